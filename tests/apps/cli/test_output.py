"""What goes to stdout, what to stderr, and how a table is laid out."""

from __future__ import annotations

import io
import json

import pytest
from loom_cli.output import Output, OutputFailed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(**options: object) -> Output:
    return Output(stdout=io.StringIO(), stderr=io.StringIO(), **options)  # type: ignore[arg-type]


def shown(out: Output) -> str:
    assert isinstance(out.stdout, io.StringIO)
    return out.stdout.getvalue()


def said(out: Output) -> str:
    assert isinstance(out.stderr, io.StringIO)
    return out.stderr.getvalue()


def test_a_table_is_aligned_and_has_no_blanks_at_line_ends() -> None:
    out = output()
    out.table(["NAME", "SIZE"], [["a", "5"], ["日本", "1000"]], right=["SIZE"])
    assert shown(out) == "NAME  SIZE\na        5\n日本  1000\n"


def test_a_table_fits_the_terminal_by_cutting_its_widest_columns() -> None:
    out = output(columns=24)
    out.table(["ID", "TEXT"], [["abc", "x" * 100], ["d", "日本" * 30]])
    lines = shown(out).splitlines()
    assert lines[1] == "abc  " + "x" * 18 + "…"
    assert lines[2] == "d    " + "日本" * 4 + "日…"


def test_in_a_pipe_nothing_is_cut() -> None:
    out = output(columns=None)
    out.table(["TEXT"], [["x" * 500]])
    assert "x" * 500 in shown(out)


def test_a_cell_cannot_break_its_row_nor_reach_the_terminal() -> None:
    out = output()
    out.table(["A"], [["one\ntwo\x1b[31m"]])
    assert shown(out) == "A\none\\ntwo\\x1b[31m\n"


def test_an_empty_table_is_its_header() -> None:
    out = output()
    out.table(["A", "B"], [])
    assert shown(out) == "A  B\n"


def test_fields_are_in_one_column_and_may_have_lines() -> None:
    out = output()
    out.fields([("a", "1"), ("long", "2\n3"), ("none", "")])
    assert shown(out) == "a     1\nlong  2\n      3\nnone\n"


def test_every_way_to_print_escapes_what_it_is_given() -> None:
    out = output(verbosity=1)
    evil = "x\x1b]0;t\x07\u202e"
    for printing in (out.line, out.block, out.stream, out.note, out.detail, out.warning, out.error, out.hint):
        printing(evil)
    out.fields([(evil, evil)])
    out.labelled(evil, evil, "red")
    out.document("x/1", {"a": evil})
    out.json_line({"a": evil})
    for text in (shown(out), said(out)):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_messages_go_to_stderr_and_quiet_silences_notes_but_not_warnings() -> None:
    for verbosity, expected in [
        (-1, "warning: w\nhint: h\n"),
        (0, "n\nwarning: w\nhint: h\n"),
        (1, "n\nd\nwarning: w\nhint: h\n"),
    ]:
        out = output(verbosity=verbosity)
        out.note("n")
        out.detail("d")
        out.warning("w", "h")
        assert (shown(out), said(out)) == ("", expected)


def test_colours_are_for_terminals_that_want_them() -> None:
    def colour(stdout: io.StringIO, **environ: str) -> bool:
        return Output.of_process(stdout, io.StringIO(), environ).colour

    assert colour(Terminal(), TERM="xterm")
    assert not colour(io.StringIO(), TERM="xterm")
    assert not colour(Terminal(), NO_COLOR="1")
    assert colour(Terminal(), NO_COLOR="")
    assert not colour(Terminal(), TERM="dumb")


def test_a_coloured_table_is_as_wide_as_a_plain_one() -> None:
    plain, coloured = output(), output(colour=True)
    for out in (plain, coloured):
        out.table(["A", "B"], [["1", "2"]])
    assert shown(coloured).replace("\x1b[2m", "").replace("\x1b[0m", "") == shown(plain)


def test_a_document_has_its_schema_first_and_is_ascii() -> None:
    out = output()
    out.document("loom.x/1", {"name": "é\ud800"})
    assert shown(out).isascii()
    assert list(json.loads(shown(out))) == ["schema", "name"]


def test_a_full_disk_is_one_sentence() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputFailed, match="cannot write to standard output: No space left on device"):
        Output(stdout=Full(), stderr=io.StringIO()).line("x")


def test_headers_are_in_upper_case_whatever_a_command_writes() -> None:
    out = output()
    out.table(("name", "Size"), [["a", "5"]], right=("Size",))
    assert shown(out) == "NAME  SIZE\na        5\n"


def test_the_parts_of_a_line_have_colours_of_their_own_and_are_escaped() -> None:
    parts = (("a\x1b[0m", "red"), ("\tb ", None))
    plain, coloured = output(), output(colour=True)
    for out in (plain, coloured):
        out.spans(parts)
    assert shown(plain) == "a\\x1b[0m\tb\n"
    assert shown(coloured) == "\x1b[31ma\\x1b[0m\x1b[0m\tb\n"
