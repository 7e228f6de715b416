"""What a step does not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy
import pytest

from loom_core import Complete, Continue, tool
from tests.core.runtime.support import play, runner


def test_no_plugin_hook_is_called_while_a_run_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    original = pluggy.HookCaller.__call__

    def counting(self: Any, **arguments: Any) -> Any:
        called.append(self.name)
        return original(self, **arguments)

    @tool(effect="read")
    async def look() -> int:
        """Look."""
        return 1

    async def step(state: int, ctx: Any) -> Any:
        if state == 0:
            monkeypatch.setattr(pluggy.HookCaller, "__call__", counting)
        if state % 100 == 0:
            await ctx.call_tool("look")
        if state == 500 and ctx.attempt_index == 0:
            raise ConnectionError
        return Complete(state) if state == 1_000 else Continue(state + 1)

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 1_000

    play(main)
    assert called == []
