"""`read_file` shows text faithfully, says what it does not show, and how to read on."""

from __future__ import annotations

import os
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loom_tools_workspace.content import text_of

TEN = "".join(f"line {number}\n" for number in range(1, 11))


def test_a_whole_file_is_shown_without_any_note(desk) -> None:
    desk.write("a.txt", TEN)
    assert TEN.removesuffix("\n") == desk.read("a.txt")


def test_a_passage_says_which_lines_it_is_and_how_to_read_on(desk) -> None:
    desk.write("a.txt", TEN)
    expected = "line 3\nline 4\n[lines 3 to 4 of 10; the file has 71 bytes; read on with start_line=5]"
    assert expected == desk.read("a.txt", 3, 2)


def test_the_last_passage_says_that_it_is_the_last(desk) -> None:
    desk.write("a.txt", TEN)
    assert desk.read("a.txt", 9, 400) == "line 9\nline 10\n[lines 9 to 10 of 10: the end of the file]"
    assert desk.read("a.txt", 9, 2) == "line 9\nline 10\n[lines 9 to 10 of 10: the end of the file]"


@pytest.mark.parametrize(("text", "lines"), [("a\nb", 2), ("a\nb\n", 2), ("a\n\n", 2), ("\n", 1), ("a", 1)])
def test_lines_are_counted_as_editors_do(desk, text: str, lines: int) -> None:
    desk.write("a.txt", text)
    assert f"has {lines} lines, so that start_line={lines + 1} is behind its end" in desk.refusal(
        desk.read, "a.txt", lines + 1
    )
    assert text.removesuffix("\n") == desk.read("a.txt")


def test_an_empty_file_is_said_to_be_empty(desk) -> None:
    desk.write("a.txt", "")
    assert desk.read("a.txt") == "[`a.txt` is empty]"


@pytest.mark.parametrize(("start", "most"), [(0, 1), (-1, 1), (1, 0), (1, -5)])
def test_numbers_below_one_are_refused(desk, start: int, most: int) -> None:
    desk.write("a.txt", TEN)
    assert "count from 1" in desk.refusal(desk.read, "a.txt", start, most)


def test_windows_line_ends_and_byte_order_marks_are_dropped(desk) -> None:
    desk.write("a.txt", b"\xef\xbb\xbfa\r\nb\r\n")
    assert desk.read("a.txt") == "a\nb"


def test_reading_passage_by_passage_shows_every_line_once(desk) -> None:
    text = "".join(f"{'ü' * (number % 90)} {number}\n" for number in range(500))
    desk.write("a.txt", text)
    shown, start = "", 1
    while start:
        *lines, note = desk.read("a.txt", start, 70, max_bytes=2_000).split("\n")
        shown += "".join(f"{line}\n" for line in lines)
        following = re.search(r"start_line=(\d+)", note)
        start = int(following[1]) if following else 0
    assert text == shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40), min_size=1, max_size=30),
    most=st.integers(1, 10),
    start=st.integers(1, 30),
)
def test_what_is_shown_is_what_is_there(desk, lines: list[str], most: int, start: int) -> None:
    lines[0] = "x" + lines[0]
    desk.write("a.txt", "\n".join(lines) + "\n")
    if start <= len(lines):
        expected = lines[start - 1 : start - 1 + most]
        assert expected == desk.read("a.txt", start, most).split("\n")[: len(expected)]
    else:
        desk.refusal(desk.read, "a.txt", start, most)


def test_a_line_longer_than_the_limit_is_cut_between_characters(desk) -> None:
    desk.write("a.txt", "é" * 1_000 + "\nnext\n")
    *lines, note = desk.read("a.txt", max_bytes=301).split("\n")
    assert lines == ["é" * 150]
    assert note.startswith("[line 1 of 2 is cut after 301 bytes, its rest cannot be shown; the file has 2,006 bytes;")
    assert "next" in desk.read("a.txt", 2)


def test_the_configured_number_of_lines_is_a_ceiling(desk) -> None:
    desk.write("a.txt", "x\n" * 3_000)
    assert "[lines 1 to 2,000 of 3,000;" in desk.read("a.txt", 1, 9_999)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        (b"SQLite format 3\0" + b"\0" * 100, "a SQLite database"),
        (b"\x7fELF\x02\x01\x01\0", "an ELF program"),
        ("text".encode("utf-16"), "UTF-16 text"),
        (b"text\0text", "binary data"),
        ("Grüße".encode("latin-1"), "text in an encoding other than UTF-8"),
        (b"text" * 3_000 + b"\xff\xfe", "text in an encoding other than UTF-8"),
        (b"text" * 3_000 + b"\0", "binary data"),
        (b"\xed\xa0\x80", "text in an encoding other than UTF-8"),
        (b"abc\xe2\x82", "text in an encoding other than UTF-8"),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_its_kind_and_size(desk, content: bytes, kind: str) -> None:
    desk.write("thing", content)
    sentence = desk.refusal(desk.read, "thing")
    assert kind in sentence
    assert f"of {len(content):,} bytes" in sentence


def test_a_terabyte_of_nothing_is_refused_at_once(desk) -> None:
    os.truncate(desk.write("hole", ""), 1 << 40)
    assert "binary data of 1,099,511,627,776 bytes" in desk.refusal(desk.read, "hole")
    assert "not text" in desk.search("word", path="hole")


def test_a_terabyte_that_begins_with_text_is_cut_without_being_read(desk) -> None:
    os.truncate(desk.write("hole", "line\n" * 4_000), 1 << 40)
    note = desk.read("hole", 2, 3).split("\n")[-1]
    assert note.startswith("[lines 2 to 4 of more than 4,000; the file has 1,099,511,627,776 bytes;")
    assert "lies behind its first 64 MiB" in desk.refusal(desk.read, "hole", 4_002)
    assert "[lines 3,999 to 4,000 of more than 4,000;" in desk.read("hole", 3_999, max_bytes=1_000_000)
    assert "is binary data" in desk.refusal(desk.read, "hole", 4_001)


def test_a_file_that_grows_while_it_is_read_ends_where_it_ended_at_first(desk) -> None:
    path = desk.write("log.txt", "line\n" * 10_000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("a") as file:
            while not stop.is_set():
                file.write("more\n" * 1_000)
                file.flush()
                if file.tell() > 50_000_000:
                    file.truncate(50_000)
                    file.seek(50_000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        answers = [desk.read("log.txt", 9_000, 10) for _ in range(30)]
    finally:
        stop.set()
        thread.join()
    assert {"\n".join(["line"] * 10)} == {answer.rpartition("\n")[0] for answer in answers}


def test_a_file_that_is_cut_off_while_it_is_open_is_shown_as_far_as_it_goes(desk) -> None:
    path = desk.write("a.txt", TEN)
    with desk.workspace.open_file("a.txt") as file:
        os.truncate(path, 7)
        assert file.size == 71
    assert desk.read("a.txt") == "line 1"


@given(st.binary(max_size=40), st.text(max_size=10))
def test_a_character_cut_at_the_end_is_dropped_and_nothing_else(tail: bytes, text: str) -> None:
    data = text.encode(errors="ignore")
    for length in range(len(data) + 1):
        part = text_of(data[:length], whole=False)
        assert part is not None
        assert text.encode(errors="ignore").decode().startswith(part)
    assert (text_of(tail) is None) == (tail.decode(errors="replace").encode() != tail)
