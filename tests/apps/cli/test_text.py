"""Text made fit for a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_cli.text import cut, duration, relative, safe, size, width


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066x\u2069\u200f", "\\u2066x\\u2069\\u200f"),
        ("a\u200bb\ufeff\u00ad", "a\\u200bb\\ufeff\\xad"),
        ("line\u2028sep\u2029", "line\\u2028sep\\u2029"),
        ("\ud800", "\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\ue000", "\\ue000"),
        ("naïve 日本 👩\u200d🚀 e\u0301", "naïve 日本 👩\u200d🚀 e\u0301"),
    ],
)
def test_hostile_characters_are_escaped_and_ordinary_ones_are_not(hostile: str, shown: str) -> None:
    assert safe(hostile) == shown


@given(st.text())
def test_safe_text_has_no_control_and_no_direction_in_it(text: str) -> None:
    assert not {unicodedata.category(char) for char in safe(text).replace("\u200d", "")} & {
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    }
    safe(text).encode()


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_cut_text_is_never_wider_than_asked(text: str, columns: int) -> None:
    shown = safe(text)
    assert width(cut(shown, columns)) <= columns
    assert cut(shown, columns) == shown or cut(shown, columns).endswith("…")


def test_wide_and_combining_characters_are_counted_as_they_are_drawn() -> None:
    assert (width("日本"), width("e\u0301"), width("abc")) == (4, 1, 3)
    assert cut("日本語", 4) == "日…"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (4.23, "4.2s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (72, "1m 12s"),
        (3599.7, "1h"),
        (3 * 3600 + 5 * 60 + 9, "3h 5m"),
        (86400, "1d"),
        (2 * 86400 + 4 * 3600, "2d 4h"),
        (400 * 86400, "400d"),
        (-72, "-1m 12s"),
    ],
)
def test_durations_are_words_of_two_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("distance", "shown"),
    [(0.4, "now"), (-0.4, "now"), (1.4, "1s ago"), (75, "1m ago"), (7300, "2h ago"), (-7300, "in 2h"), (-5, "in 5s")],
)
def test_times_are_relative_to_now(distance: float, shown: str) -> None:
    assert relative(1000.0, 1000.0 + distance) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (98_400_000, "98.4 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_powers_of_a_thousand(count: int, shown: str) -> None:
    assert size(count) == shown
