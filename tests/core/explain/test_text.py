"""Words, widths and commands."""

from __future__ import annotations

import shlex
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom_core.runtime.explain.failure import user_line
from loom_core.runtime.explain.text import _columns, ago, arguments, cut, duration, parsed, safe, wrapped

REFERENCE = "/srv/agent.py:main"


@given(st.text())
def test_safe_text_has_no_hostile_characters_and_one_line(text: str) -> None:
    shown = safe(text)
    assert len(shown.splitlines()) <= 1
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


@given(st.text(), st.integers(0, 60))
def test_cut_text_fits(text: str, columns: int) -> None:
    shown = cut(safe(text), columns)
    assert sum(map(_columns, shown)) <= columns


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"])), min_size=1), st.integers(40, 120))
def test_a_wrapped_command_is_still_the_same_command(words: list[str], columns: int) -> None:
    lines = wrapped(words, columns, "    ")
    # A shell drops a backslash at the end of a line; shlex does not know that.
    assert shlex.split("\n".join(lines).replace(" \\\n", " ")) == words


def test_only_a_single_long_word_may_overflow() -> None:
    words = ["loom-runner", "resume", "--run-id", "r" * 30, "--db", "d" * 100, "--retry-failed"]
    long = [line for line in wrapped(words, 60, "    ") if len(line) > 60]
    assert long == ["        " + "d" * 100 + " \\"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0ms"),
        (0.0123, "12ms"),
        (4.24, "4.2s"),
        (59.96, "1m"),
        (72, "1m 12s"),
        (11_100, "3h 5m"),
        (187_200, "2d 4h"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_clocks_that_disagree_are_just_now() -> None:
    assert ago(100.0, 90.0) == "just now"
    assert ago(90.0, 100.0) == "10.0s ago"


def test_arguments_read_like_a_call() -> None:
    assert arguments('{"path":"a b","limit":3,"deep":{"x":[1]}}') == 'path="a b", limit=3, deep={"x": [1]}'
    assert arguments("[1]") == "[1]"
    assert arguments("not json") == "not json"
    assert parsed("[" * 100_000) is None


def test_the_line_that_is_shown_is_the_agents_own() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/srv/agent.py", line 3, in step\n    helper()\n'
        '  File "/srv/helper.py", line 9, in helper\n    raise E\nE: x\n'
    )
    assert user_line(text, REFERENCE) == "/srv/agent.py, line 3, in step: helper()"
    assert user_line(text, None) == "/srv/helper.py, line 9, in helper: raise E"


def test_a_traceback_without_source_or_without_user_code_is_no_trouble() -> None:
    assert user_line('  File "/srv/agent.py", line 3, in step\nE: x\n', REFERENCE) == "/srv/agent.py, line 3, in step"
    assert user_line('  File "/v/site-packages/x.py", line 3, in f\n    x\nE: x\n', None) is None
    assert user_line("nonsense", None) is None
    assert user_line(None, None) is None
