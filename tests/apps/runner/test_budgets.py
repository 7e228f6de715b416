"""`--max-tokens`, `--max-cost`, `resume --add-…`: exit status 5, what is said, what `get` and `explain` show."""

from __future__ import annotations

import pytest

from tests.apps.runner.support import Shell

SPENDING = """
from loom_core import Agent, Budget, Complete, Continue, Message, tool

@tool(effect="read")
def look(n: int) -> int:
    "Look."
    return n

async def step(state: int, ctx):
    if state == 3:
        return Complete("done")
    await ctx.call_tool("look", state)
    await ctx.call_model("mock:default", [Message(role="user", content="hello there")])
    return Continue(state + 1)

agent = Agent(name="spender", step=step, initial_state=0, tools=(look,), budget=Budget(tool_calls=2, steps=9))
"""


@pytest.fixture
def spending(shell: Shell) -> Shell:
    shell.write("spending.py", SPENDING)
    return shell


def test_a_run_that_is_out_of_budget_ends_with_5_says_which_and_goes_on_with_more(spending: Shell) -> None:
    out = spending("run", "spending.py", "--run-id", "r")
    assert out.status == 5
    assert "is paused at step 2, its budget of tool calls is used up" in out.err
    assert "next: loom-runner resume --run-id r --db runs.sqlite --add-tool-calls N" in out.err
    again = spending("resume", "--run-id", "r", "--json")
    assert (again.status, again.data["reason"], again.data["exit_status"]) == (5, "budget:tool_calls", 5)
    other = spending("resume", "--run-id", "r", "--add-steps", "1")
    assert other.status == 5
    assert spending("resume", "--run-id", "r", "--add-tool-calls", "1").out.strip() == "done"


def test_get_and_explain_show_what_is_spent_of_what(spending: Shell) -> None:
    spending("run", "spending.py", "--run-id", "r", "--max-tokens", "100000", "--max-cost", "0.5")
    data = spending("get", "--run-id", "r", "--json").data["budget"]
    assert data["tool_calls"] == {"spent": 2, "limit": 2, "left": 0}
    assert (data["cost"]["limit"], data["cost"]["spent"], data["steps"]["spent"]) == (0.5, 0, 2)
    assert 0 < data["tokens"]["spent"] < 1000 and data["tokens"]["limit"] == 100_000
    assert data["seconds"]["limit"] is None
    assert spending("explain", "--run-id", "r", "--json").data["budget"] == data
    for command in ("get", "explain"):
        told = spending(command, "--run-id", "r").out
        assert "2 tool calls of 2 tool calls" in told and "$0.0000 of $0.5000" in told, told
    told = spending("explain", "--run-id", "r").out
    assert "Nothing until it gets more tool calls (--add-tool-calls)" in told
    assert spending("list", "--json").status == 0


def test_a_run_without_a_budget_has_none_to_show_or_to_raise(shell: Shell) -> None:
    shell.run("--max-steps", "2")
    assert shell("get", "--run-id", "r", "--json").data["budget"] is None
    assert "\nbudget" not in shell("get", "--run-id", "r").out
    before = shell("get", "--run-id", "r", "--json").data
    refused = shell("resume", "--run-id", "r", "--add-tokens", "5")
    assert (refused.status, "run `r` has no budget" in refused.err) == (2, True)
    assert shell("get", "--run-id", "r", "--json").data == before
    shell("resume", "--run-id", "r")
    over = shell("resume", "--run-id", "r", "--add-tokens", "5")
    assert (over.status, "is completed; it spends nothing any more" in over.err) == (2, True)


@pytest.mark.parametrize("option", [("--max-tokens", "0"), ("--max-cost", "-1"), ("--max-cost", "nan")])
def test_a_budget_that_is_none_is_refused_before_anything_is_stored(spending: Shell, option: tuple[str, str]) -> None:
    refused = spending("run", "spending.py", "--run-id", "r", *option)
    assert refused.status == 2
    assert not (spending.place / "runs.sqlite").exists()


def test_an_unknown_price_is_a_failure_that_names_the_model_and_is_mended_by_a_file_of_prices(
    spending: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = "[[price]]\nmodel = 'mock:*'\nas_of = 2026-01-01\n"
    monkeypatch.setenv("LOOM_PRICES", str(spending.write("prices.toml", unknown)))
    failed = spending("run", "spending.py", "--run-id", "r", "--max-cost", "1")
    assert failed.status == 1
    assert "what model `mock:default` costs is not known; it was not asked" in failed.err
    spending.write("prices.toml", f"{unknown}input = 100\noutput = 100\n")
    again = spending("resume", "--run-id", "r", "--retry-failed")
    assert again.status == 5
    cost = spending("get", "--run-id", "r", "--json").data["budget"]["cost"]
    assert 0 < cost["spent"] < 1
    spending.write("prices.toml", "x")
    broken = spending("resume", "--run-id", "r", "--add-tool-calls", "5")
    assert broken.status != 0 and "is not TOML" in broken.err
