"""`search_docs` puts the right place first, always the same way, and says what it did not look at."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loom_tools_workspace.chunks import chunks
from loom_tools_workspace.index import Query
from loom_tools_workspace.search import Search

GUIDE = """# Guide

Words about many things.

## Retries

A retried step waits between attempts.

```sh
# not a heading
```

### Backoff

The delay doubles every time.

## Storage

Runs are rows.
"""


def places(answer: str) -> list[str]:
    return [block.split("\n")[0].split("  ")[0] for block in answer.split("\n\n")[1:]]


def test_the_section_about_it_comes_first_with_its_headings_and_lines(desk) -> None:
    desk.write("docs/guide.md", GUIDE)
    desk.write("docs/other.md", "# Other\n\nNothing of interest.\n")
    expected = [
        "docs/guide.md:13-16  (Guide > Retries > Backoff)",
        "  13: ### Backoff",
        "  15: The delay doubles every time.",
    ]
    assert expected == desk.search("backoff delay").split("\n\n")[1].split("\n")


def test_stems_of_words_are_enough(desk) -> None:
    desk.write("docs/guide.md", GUIDE)
    assert places(desk.search("retrying a step"))[0] == "docs/guide.md:5-12"


@pytest.mark.parametrize(
    "query",
    ["PluginContext", "plugin context", "plugincontext", "context plugin", "protected_files", "protected files"],
)
def test_identifiers_are_found_whole_and_by_their_parts(desk, query: str) -> None:
    desk.write("core.py", "class PluginContext:\n    def protected_files(self):\n        return 1\n")
    desk.write("noise.py", "context = 1\n" * 30)
    assert places(desk.search(query))[0] == "core.py:1-3"


def test_a_definition_comes_before_its_uses(desk) -> None:
    for number in range(10):
        desk.write(f"use{number}.py", "from core import RetryPolicy\n\npolicy = RetryPolicy()\n")
    desk.write("zcore.py", "x = 1\n" * 30 + "\nclass RetryPolicy:\n    attempts = 3\n    delay = 1\n" + "y = 2\n" * 20)
    assert places(desk.search("RetryPolicy"))[0].startswith("zcore.py:")


def test_signs_are_found_literally(desk) -> None:
    desk.write("a.c", "int x;\nx->y = 1;\n")
    assert "a.c:1-2" in desk.search("->")
    assert "  2: x->y = 1;" in desk.search("->")
    assert desk.search("!=") == "0 results for `!=`; searched 1 of 1 file"


def test_what_no_word_matches_is_looked_for_literally(desk) -> None:
    desk.write("a.md", "本文検索のテスト")
    assert "a.md:1-1" in desk.search("検索")


def test_one_file_gives_at_most_three_places(desk) -> None:
    desk.write("long.md", "".join(f"# word {number}\n\nword\n\n" for number in range(20)))
    desk.write("short.md", "some text with one word in a long line of others that do not matter\n")
    found = places(desk.search("word"))
    assert len(found) == 4
    assert any(place.startswith("short.md") for place in found)


def test_the_number_of_results_is_what_was_asked_for(desk) -> None:
    for number in range(20):
        desk.write(f"f{number}.md", "word")
    assert len(places(desk.search("word", 5))) == 5
    for number in (0, -1, 51):
        assert "max_results must be 1 to 50" in desk.refusal(desk.search, "word", number)


@pytest.mark.parametrize("query", ["", "  ", "x" * 501])
def test_a_query_that_is_none_is_refused(desk, query: str) -> None:
    assert desk.refusal(desk.search, query) == "a query has 1 to 500 characters"


def test_a_search_can_be_confined_to_a_folder_or_a_file(desk) -> None:
    desk.write("a/x.md", "word")
    desk.write("b/y.md", "word")
    assert places(desk.search("word", path="b")) == ["b/y.md:1-1"]
    assert places(desk.search("word", path="a/x.md")) == ["a/x.md:1-1"]


def test_equals_are_ordered_by_path_and_answers_repeat(desk) -> None:
    for name in "cab":
        desk.write(f"{name}.md", "same word here")
    answers = {desk.search("word") for _ in range(3)}
    assert len(answers) == 1
    assert places(answers.pop()) == ["a.md:1-1", "b.md:1-1", "c.md:1-1"]


def test_data_comes_after_prose_and_code_when_not_everything_can_be_searched(desk) -> None:
    for name in ("a.json", "b.py", "c.md", "d.csv"):
        desk.write(name, "word")
    search = Search(workspace=desk.workspace, max_files=2, timeout_s=60)
    answer = search.search("word")
    assert answer.startswith(
        "2 results for `word`; searched 2 of 4 files; stopped at 2 files; give a path to search less"
    )
    assert {"b.py:1-1", "c.md:1-1"} == set(places(answer))


def test_a_search_that_takes_too_long_answers_with_what_it_has(desk) -> None:
    for number in range(10):
        desk.write(f"f{number}.md", "word")
    ticks = itertools.count()
    search = Search(workspace=desk.workspace, max_files=100, timeout_s=4, clock=lambda: float(next(ticks)))
    assert search.search("word").startswith("3 results for `word`; searched 3 of 10 files; stopped at the limit of 4 s")


def test_of_a_large_file_the_beginning_is_searched_and_said_so(desk) -> None:
    desk.write("big.md", "early\n" + "filler\n" * 100_000 + "late\n")
    assert "of 1 large file only the first 512 KiB" in desk.search("early")
    assert desk.search("late").startswith("0 results")


def test_binary_files_are_counted_and_not_searched(desk) -> None:
    desk.write("a.bin", b"word\0word")
    desk.write("b.dat", b"word\xff")
    desk.write("c.md", "word")
    answer = desk.search("word")
    assert "searched 1 of 3 files; 2 files not text or not readable" in answer
    assert places(answer) == ["c.md:1-1"]


def test_a_file_without_line_ends_gives_short_lines(desk) -> None:
    desk.write("min.js", "word;" * 50_000)
    assert all(len(line) < 250 for line in desk.search("word").split("\n"))


@pytest.mark.parametrize(
    "query", ['"', "a OR b", "NEAR(a b)", "title:x", "a*", "-a", "^a", "(", '"a" AND', "\0", "a\0b"]
)
def test_no_query_is_an_expression(desk, query: str) -> None:
    desk.write("other.txt", "unrelated")
    assert desk.search(query).startswith("0 results")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(str.strip))
def test_any_text_can_be_searched_for(desk, query: str) -> None:
    desk.write("a.md", "# Title\n\nSome text: 1²³ ªº ①\n")
    desk.search(query).encode()


@given(st.text("a# \n`~x", max_size=300), st.sampled_from(["a.md", "a.py"]))
def test_chunks_cover_every_line_that_is_not_blank_once(text: str, path: str) -> None:
    lines = text.split("\n")
    covered: list[int] = []
    for chunk in chunks(path, text):
        assert lines[chunk.first - 1 : chunk.last] == chunk.lines
        covered += range(chunk.first, chunk.last + 1)
    assert sorted(set(covered)) == covered
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
    assert set(range(1, len(lines) + 1)) - blank <= set(covered)


def test_windows_end_before_a_definition_when_they_can() -> None:
    text = "".join(f"def f{number}():\n" + "    pass\n" * 10 + "\n" for number in range(10))
    assert [(chunk.first, chunk.last) for chunk in chunks("a.py", text)] == [(1, 36), (37, 72), (73, 108), (109, 120)]
    assert next(chunks("a.py", text)).title == "f0 f1 f2"


def test_a_heading_of_blanks_takes_no_time() -> None:
    assert len(list(chunks("a.md", "# x" + " \t" * 300_000 + "y"))) == 1


@pytest.mark.parametrize(
    "piece", ["a", " ", "`", "aA", "# ", "def ", "Aa0_", "{", "\t", "é", "\n", "\r", "class A\n", "\n#"]
)
def test_no_content_is_slow_to_search(desk, piece: str) -> None:
    for name in ("hostile.md", "hostile.py"):
        desk.write(name, piece * (200_000 // len(piece)))
    started = time.process_time()
    desk.search("word NoSuchName")
    assert time.process_time() - started < 8


def test_a_query_has_at_most_32_words() -> None:
    assert len(Query.parse(" ".join(f"w{number}" for number in range(100))).words) == 32
