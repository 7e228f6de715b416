"""A store whose process dies at a chosen write: that write, before or after it reaches the store, is the last one."""

from __future__ import annotations

from typing import Any

import attrs

from loom_core.contracts.stores import ClaimedRun, Store


class Death(BaseException):
    """What a process that is killed does not see; everything after it is refused, too."""


@attrs.define
class Life:
    """How many more writes there will be; None without end. ``after``: the last one still reaches the store."""

    writes: int | None = None
    after: bool = False
    dead: bool = False

    async def write(self, work: Any) -> Any:
        """Do a write, or die at it."""
        if self.dead:
            work.close()
            raise Death
        if self.writes is None:
            return await work
        self.writes -= 1
        if self.writes > 0:
            return await work
        self.dead = True
        if self.after:
            await work
        else:
            work.close()
        raise Death


class Mortal:
    """Wraps a store or a writer: coroutines that write cost life, everything else is passed on."""

    _READS = ("get_", "list_", "read_", "verify")

    def __init__(self, inner: Store | Any, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name.startswith(self._READS) or name in ("aclose", "protected_files", "lease_age_s", "beat"):
            return found
        if not callable(found):
            return found

        async def write(*args: Any, **options: Any) -> Any:
            answer = await self._life.write(found(*args, **options))
            if isinstance(answer, ClaimedRun):
                return attrs.evolve(answer, writer=Mortal(answer.writer, self._life))
            return answer

        return write
