"""`list_files` shows what there is, folded to what fits, and says what it leaves out."""

from __future__ import annotations

import os

import pytest
from loom_tools_workspace.survey import survey


def test_files_are_listed_with_sizes_in_the_order_of_their_paths(desk) -> None:
    for name in ("b.md", "a/z.txt", "a/b/c.py", "a.txt"):
        desk.write(name, "1234")
    expected = ["4 entries below `.`", "a/b/c.py  4 bytes", "a/z.txt  4 bytes", "a.txt  4 bytes", "b.md  4 bytes"]
    assert expected == desk.list().split("\n")
    assert desk.list("a/b").split("\n") == ["1 entry below `a/b`", "a/b/c.py  4 bytes"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.py", ["a/x.py", "a/b/y.py", "z.py"]),
        ("a/*.py", ["a/x.py"]),
        ("a/**/*.py", ["a/x.py", "a/b/y.py"]),
        ("**/b/*", ["a/b/y.py"]),
        ("*.{md,txt}", ["a/n.md"]),
        ("?.py", ["a/x.py", "a/b/y.py", "z.py"]),
        ("[xz].py", ["a/x.py", "z.py"]),
        ("nothing", []),
    ],
)
def test_patterns_choose_by_name_or_by_path(desk, pattern: str, names: list[str]) -> None:
    for name in ("a/x.py", "a/b/y.py", "z.py", "a/n.md"):
        desk.write(name)
    listed = {line.split("  ")[0] for line in desk.list(pattern=pattern).split("\n")[1:]}
    assert set(names) == listed


def test_a_pattern_with_a_slash_starts_at_the_folder_that_is_listed(desk) -> None:
    desk.write("src/a/x.py")
    assert "src/a/x.py" in desk.list("src", "a/*.py")
    assert "0 entries" in desk.list("src", "src/a/*.py")


@pytest.mark.parametrize("pattern", ["", " ", "x" * 501, "a\0b", "{a,b}" * 9])
def test_patterns_that_are_none_are_refused(desk, pattern: str) -> None:
    assert "pattern" in desk.refusal(desk.list, ".", pattern)


@pytest.mark.parametrize("number", [0, -1, 5_001])
def test_an_impossible_number_of_entries_is_refused(desk, number: int) -> None:
    assert "max_entries must be 1 to 5,000" in desk.refusal(desk.list, ".", None, number)


def test_more_than_fits_is_folded_from_the_deepest_folders_up(desk) -> None:
    for folder in range(3):
        for file in range(10):
            desk.write(f"top/d{folder}/f{file}.txt", "")
    desk.write("top/readme.md", "")
    assert desk.list(max_entries=6).split("\n") == [
        "31 entries below `.`",
        "top/d0/  10 files, folded; list it by its path",
        "top/d1/  10 files, folded; list it by its path",
        "top/d2/  10 files, folded; list it by its path",
        "top/readme.md  0 bytes",
    ]
    assert desk.list(max_entries=1).split("\n") == [
        "31 entries below `.`",
        "top/  31 files, folded; list it by its path",
    ]


def test_one_flat_folder_of_too_many_files_is_cut_with_a_word(desk) -> None:
    for file in range(20):
        desk.write(f"f{file:02}", "")
    lines = desk.list(max_entries=5).split("\n")
    assert lines[-2:] == ["f04  0 bytes", "and 15 more; raise max_entries, or give a pattern"]


def test_twenty_thousand_files_are_listed_in_bounds_and_always_alike(desk) -> None:
    for folder in range(20):
        (desk.root / f"d{folder}").mkdir()
        for file in range(1_000):
            os.close(os.open(desk.root / f"d{folder}" / f"f{file}", os.O_CREAT | os.O_WRONLY, 0o600))
    listed = desk.list()
    assert listed.startswith("20,000 entries below `.`\nd0/  1,000 files, folded")
    assert listed.count("\n") + 1 == 21
    assert listed == desk.list()


def test_the_walk_stops_at_its_limit_and_says_so(desk) -> None:
    for file in range(30):
        desk.write(f"d{file % 3}/f{file}")
    walked = survey(desk.workspace, ".", most_entries=12)
    assert not walked.complete
    assert len(walked.found) <= 12
    assert "whatever comes after the first" in walked.left_out()


def test_what_tools_make_is_left_out_and_named(desk) -> None:
    for name in ("node_modules/x/y.js", ".git/config", "src/__pycache__/a.pyc", "src/a.py"):
        desk.write(name)
    assert (desk.list().split("\n")) == [
        "1 entry below `.`",
        "src/a.py  7 bytes",
        "left out: folders named .git, __pycache__, node_modules",
    ]


def test_a_skipped_folder_is_listed_if_it_is_asked_for(desk) -> None:
    desk.write("node_modules/x/y.js")
    assert "node_modules/x/y.js" in desk.list("node_modules")


def test_the_top_gitignore_is_respected(desk) -> None:
    desk.write(".gitignore", "# comment\n\n*.log\n!keep.log\n/build/\ntmp\ndocs/*.html\n**/gen/**\n\\#odd\n")
    for name in ("a.log", "keep.log", "build/x", "src/build/x", "tmp/x", "src/tmp", "docs/a.html", "docs/b/a.html"):
        desk.write(name)
    desk.write("x/gen/y/z")
    desk.write("#odd")
    lines = desk.list().split("\n")
    assert [line.split("  ")[0] for line in lines[1:-1]] == [".gitignore", "docs/b/a.html", "keep.log", "src/build/x"]
    assert lines[-1] == "left out: 7 entries that .gitignore names"


def test_links_are_shown_and_not_walked_through(desk) -> None:
    desk.write("a/x")
    desk.link("a/loop", "..")
    desk.link("away", "/etc")
    listed = desk.list()
    assert "a/loop  symbolic link to .." in listed
    assert "away  symbolic link to /etc" in listed
    assert len(listed.split("\n")) == 4


def test_empty_folders_and_secrets_are_shown_as_what_they_are(desk) -> None:
    (desk.root / "empty").mkdir()
    desk.write(".env", "KEY=1")
    desk.write(".ssh/id_rsa", "key")
    listed = desk.list()
    assert "empty/  empty" in listed
    assert ".env  secret, not readable" in listed
    assert ".ssh/  secret, not readable" in listed
    assert "id_rsa" not in listed


def test_names_that_would_deceive_are_shown_escaped(desk) -> None:
    desk.write("a\nb\x1b[31m.txt")
    desk.write("cod\u202egnp.exe")
    desk.write("zero\u200bwidth")
    os.close(os.open(os.fsencode(desk.root) + b"/bad\xff", os.O_CREAT | os.O_WRONLY, 0o600))
    listed = desk.list()
    for name in (r"a\x0ab\x1b[31m.txt", r"cod\u202egnp.exe", r"zero\u200bwidth", r"bad\xff"):
        assert name in listed
    assert all(line.isprintable() for line in listed.split("\n"))
    listed.encode()


def test_a_name_that_is_not_utf8_is_searched_without_harm(desk) -> None:
    descriptor = os.open(os.fsencode(desk.root) + b"/bad\xff.md", os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, b"word")
    os.close(descriptor)
    assert r"bad\xff.md:1-1" in desk.search("word")


def test_a_control_in_a_name_can_be_given_as_it_is(desk) -> None:
    desk.write("a\nb", "here")
    assert desk.read("a\nb") == "here"
