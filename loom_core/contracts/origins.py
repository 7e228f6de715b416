"""Where a run came from if it was not started here from its first state."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class RunOrigin:
    """What a run was made of.

    A fork names the run and the step that it was ``forked_from``, and goes on counting steps from there. An imported
    run names the store that its file was written from, and when it was read here (Unix seconds); nothing that came
    with a file is executed without a person naming the code.
    """

    forked_from: str | None = None
    forked_step: int | None = None
    imported_from: str | None = None
    imported_at: float | None = None
