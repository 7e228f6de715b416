"""Change of code: old states are brought forward, what no longer fits is refused by name, and both are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import Agent, AgentRunner, Complete, Continue, Upgrade, Wait
from loom_core.errors import AgentLoadError, ValueNotDecodable
from tests.core.runtime.support import play


@attrs.frozen
class Old:
    count: int = 0


@attrs.frozen
class New:
    total: int
    currency: str


async def old_step(state: Old, ctx: Any) -> Any:
    return Continue(Old(state.count + 1)) if state.count < 3 else Wait(Old(state.count + 1), signal="go")


async def new_step(state: New, ctx: Any) -> Any:
    return Continue(attrs.evolve(state, total=state.total + 10)) if state.total < 20 else Complete(attrs.asdict(state))


def rename(state: dict[str, Any]) -> dict[str, Any]:
    return {"total": state["count"]}


def price(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "currency": "EUR"}


OLD = Agent(name="till", step=old_step, initial_state=Old)
UPGRADES = (Upgrade("1", "2", rename), Upgrade("2", "3", price))
NEW = Agent(name="till", version="3", step=new_step, upgrades=UPGRADES)


async def _begin(place: Path) -> None:
    async with AgentRunner(agent=OLD, store=place / "r.sqlite") as runner:
        await runner.start(run_id="r")
        await runner.send_signal("r", "go")


def test_a_run_of_an_old_version_goes_on_with_the_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        await _begin(tmp_path)
        async with AgentRunner(agent=NEW, store=tmp_path / "r.sqlite") as runner:
            paused = await runner.resume(run_id="r", max_steps=1)
            assert paused.state == New(14, "EUR")
            # The state is of the new version now, and is not brought forward again.
            assert (await runner.resume(run_id="r")).result == {"total": 24, "currency": "EUR"}
            assert (await runner.verify_run("r")).ok

    play(main)


def test_an_upgraded_state_is_not_stored_before_a_step_is_committed(tmp_path: Path) -> None:
    async def failing(state: New, ctx: Any) -> Any:
        raise ValueError("not yet")

    async def main() -> None:
        await _begin(tmp_path)
        async with AgentRunner(agent=attrs.evolve(NEW, step=failing), store=tmp_path / "r.sqlite") as runner:
            with pytest.raises(ValueError, match="not yet"):
                await runner.resume(run_id="r")
            assert (await runner.get_history("r"))[-1].state == {"count": 4}
        async with AgentRunner(agent=NEW, store=tmp_path / "r.sqlite") as runner:
            done = await runner.resume(run_id="r", retry_failed=True)
            assert done.result == {"total": 24, "currency": "EUR"}

    play(main)


def test_a_state_that_no_longer_decodes_names_the_field_and_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        await _begin(tmp_path)
        async with AgentRunner(agent=attrs.evolve(NEW, upgrades=()), store=tmp_path / "r.sqlite") as runner:
            before = await runner.get_run("r")
            with pytest.raises(ValueNotDecodable, match="total"):
                await runner.resume(run_id="r")
            assert await runner.get_run("r") == before

    play(main)


def test_an_upgrade_that_fails_is_named_and_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    def broken(state: Any) -> Any:
        return state["no such field"]

    def unstorable(state: Any) -> Any:
        return {"total": object()}

    async def main() -> None:
        await _begin(tmp_path)
        for function, words in ((broken, "KeyError: 'no such field'"), (unstorable, "state.total")):
            upgrades = (Upgrade("1", "3", function),)
            async with AgentRunner(agent=attrs.evolve(NEW, upgrades=upgrades), store=tmp_path / "r.sqlite") as runner:
                before = await runner.get_run("r")
                with pytest.raises(ValueNotDecodable, match="upgrade from version 1 to 3 failed") as caught:
                    await runner.resume(run_id="r")
                assert words in str(caught.value)
                assert await runner.get_run("r") == before

    play(main)


def test_explain_says_that_other_code_went_on(tmp_path: Path) -> None:
    async def main() -> None:
        await _begin(tmp_path)
        async with AgentRunner(agent=NEW, store=tmp_path / "r.sqlite") as runner:
            await runner.resume(run_id="r")
            claims = await runner._store("read").get_claims("r")
            assert [c.agent and c.agent.version for c in claims] == [None, "3"]
            text = "\n".join((await runner.explain_run("r")).lines(width=None))
            assert "with other code: version 1 → 3, its state has another shape" in text

    play(main)


@pytest.mark.parametrize(
    ("upgrades", "words"),
    [
        ((Upgrade("1", "2", rename),), "lead from version 1 to 2"),
        ((Upgrade("1", "3", rename), Upgrade("1", "3", price)), "two upgrades from version 1"),
        ((Upgrade("1", "2", rename), Upgrade("2", "1", price)), "in a circle"),
        (("1", "3", rename), "not an Upgrade"),
    ],
)
def test_upgrades_that_do_not_lead_to_the_agents_version_are_refused(upgrades: Any, words: str) -> None:
    with pytest.raises(AgentLoadError, match=words):
        attrs.evolve(NEW, upgrades=upgrades)
