"""Nothing outside the workspace can be reached, and nothing that blocks is opened."""

from __future__ import annotations

import os
import socket

import pytest
from loom_tools_workspace.refusals import WorkspaceRefusal

from loom_core.errors import ErrorCategory

BOTH_WAYS_OF_OPENING = True

OUT_OF_BOUNDS = [
    "../outside.txt",
    "..",
    "../",
    "./..",
    "docs/../../outside.txt",
    "docs/..",
    "docs/./../docs",
    "/etc/passwd",
    "//etc/passwd",
    "/",
    "/proc/self/environ",
    "~",
    "~/.ssh/id_rsa",
    "~root/x",
]
NOT_A_PATH = ["", " ", "\t", "a\0b", "\0", "README.md\0.png", "a" * 5_000, "a" * 300, "\ud800", "x/" * 3_000]


@pytest.mark.parametrize("path", OUT_OF_BOUNDS)
def test_a_path_that_points_out_of_the_workspace_is_refused_by_every_tool(desk, path: str) -> None:
    desk.write("docs/a.md")
    for call in (desk.read, desk.list, lambda path: desk.search("word", path=path), desk.argv):
        with pytest.raises(WorkspaceRefusal) as caught:
            call(path)
        assert caught.value.error_category == ErrorCategory.PERMISSION
        assert caught.value.is_retryable is False


@pytest.mark.parametrize("path", NOT_A_PATH, ids=range(len(NOT_A_PATH)))
def test_what_is_not_a_path_is_refused_with_one_printable_sentence(desk, path: str) -> None:
    for call in (desk.read, desk.list, lambda path: desk.search("word", path=path), desk.argv):
        desk.refusal(call, path)


def test_dots_and_doubled_slashes_inside_are_harmless(desk) -> None:
    desk.write("docs/a.md", "text")
    assert desk.read("./docs//./a.md") == "text"


def test_a_missing_file_is_named_and_the_nearest_one_is_suggested(desk) -> None:
    desk.write("docs/README.md")
    assert "did you mean `docs/README.md`?" in desk.refusal(desk.read, "docs/README")
    assert "list_files shows what there is" in desk.refusal(desk.read, "zzz.qqq")


def test_a_file_used_as_a_folder_is_refused(desk) -> None:
    desk.write("a.md")
    assert desk.refusal(desk.read, "a.md/b") == "`a.md` is a file, not a folder"
    assert desk.refusal(desk.list, "a.md") == "`a.md` is a file, not a folder"


def test_a_folder_cannot_be_read(desk) -> None:
    desk.write("docs/a.md")
    assert desk.refusal(desk.read, "docs") == "`docs` is a folder; list_files shows what is in it"
    assert "folder" in desk.refusal(desk.read, ".")


def test_without_a_workspace_every_call_is_refused(desk) -> None:
    desk.write("a.md")
    with pytest.raises(WorkspaceRefusal, match="--workspace"):
        type(desk.workspace)(root=None, guard=desk.workspace.guard, secrets=desk.workspace.secrets).locate("a.md")


def test_a_workspace_that_is_gone_is_said_to_be_gone(desk) -> None:
    desk.root.rmdir()
    assert "is gone" in desk.refusal(desk.read, "a.md")
    assert "gone" in desk.refusal(desk.suite().run)


def test_a_relative_link_that_stays_inside_is_followed(desk) -> None:
    desk.write("docs/real.md", "real")
    desk.link("docs/deep/up.md", "../real.md")
    desk.link("door", "docs/deep")
    assert desk.read("door/up.md") == "real"
    assert desk.argv("door/up.md") == ["./docs/real.md"]


@pytest.mark.parametrize(
    "target",
    ["../outside.txt", "docs/../../outside.txt", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/tty", "../"],
)
def test_a_link_that_leaves_the_workspace_is_refused(desk, target: str) -> None:
    desk.write("docs/a.md")
    desk.link("link", target)
    desk.link("chain", "docs/../link")
    for path in ("link", "chain", "link/x"):
        for call in (desk.read, desk.list, lambda path: desk.search("word", path=path), desk.argv):
            assert "symbolic link" in desk.refusal(call, path)


def test_an_absolute_link_is_refused_even_if_it_points_inside(desk) -> None:
    desk.link("link", desk.write("a.md"))
    assert "absolute" in desk.refusal(desk.read, "link")


def test_links_in_a_circle_end_in_a_refusal(desk) -> None:
    desk.link("a", "b")
    desk.link("b", "a")
    desk.link("self", "self/self/self")
    for path in ("a", "self"):
        assert "more than 16 symbolic links" in desk.refusal(desk.read, path)


def test_a_link_that_goes_up_and_down_a_thousand_times_holds_few_descriptors(desk) -> None:
    desk.write("d/a.md", "here")
    desk.link("zigzag", "d/../" * 800 + "d/a.md")
    assert desk.read("zigzag") == "here"


def test_a_path_deeper_than_the_limit_is_refused_and_lists_say_so(desk) -> None:
    desk.write("d/" * 70 + "a.md")
    assert "deeper than 64 folders" in desk.refusal(desk.read, "d/" * 70 + "a.md")
    assert "1 folder deeper than 64 levels" in desk.list()


def test_a_fifo_is_refused_without_being_opened(desk) -> None:
    os.mkfifo(desk.root / "pipe")
    desk.link("link", "pipe")
    for path in ("pipe", "link"):
        assert "is a FIFO" in desk.refusal(desk.read, path)
        assert "FIFO" in desk.refusal(desk.argv, path)
    assert "pipe  FIFO, not readable" in desk.list()
    assert "searched 0 of 0 files" in desk.search("word")


def test_a_socket_is_refused(desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert "is a socket" in desk.refusal(desk.read, "s")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_refused_without_being_opened(desk) -> None:
    try:
        os.mknod(desk.root / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container makes no devices")
    assert "is a device" in desk.refusal(desk.read, "zero")
    assert "zero  device, not readable" in desk.list()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_the_system_does_not_let_us_read_is_said_to_be_so(desk) -> None:
    desk.write("a.md").chmod(0)
    assert "does not allow" in desk.refusal(desk.read, "a.md")


def test_a_folder_swapped_for_a_link_never_leads_outside(desk) -> None:
    desk.write("door/note.txt", "inside")
    (desk.outside / "away").mkdir()
    (desk.outside / "away" / "note.txt").write_text("outside")
    other = desk.root / "other"
    other.symlink_to("../away")
    seen, refused = desk.race("door", other, lambda: desk.read("door/note.txt"))
    assert seen == {"inside"}
    assert refused


def test_a_file_swapped_for_a_link_never_leads_outside(desk) -> None:
    desk.write("note.txt", "inside")
    other = desk.root / "other"
    other.symlink_to("../outside.txt")
    seen, refused = desk.race("note.txt", other, lambda: desk.read("note.txt"))
    assert seen == {"inside"}
    assert refused


def test_a_file_swapped_for_a_secret_behind_a_link_is_never_shown(desk) -> None:
    desk.write("note.txt", "inside")
    desk.write(".env", "secret")
    other = desk.root / "other"
    other.symlink_to(".env")
    assert desk.race("note.txt", other, lambda: desk.read("note.txt"))[0] == {"inside"}


def test_a_file_swapped_for_a_fifo_never_blocks(desk) -> None:
    desk.write("note.txt", "inside")
    os.mkfifo(desk.root / "other")
    assert desk.race("note.txt", desk.root / "other", lambda: desk.read("note.txt"))[0] == {"inside"}


def test_listing_a_folder_that_turns_into_a_link_never_shows_what_is_outside(desk) -> None:
    desk.write("door/note.txt")
    (desk.outside / "away").mkdir()
    (desk.outside / "away" / "elsewhere.txt").write_text("outside")
    other = desk.root / "other"
    other.symlink_to("../away")
    answers, _ = desk.race("door", other, lambda: str("elsewhere" in desk.list()), turns=800)
    assert answers == {"False"}


def test_searching_a_folder_that_turns_into_a_link_never_finds_what_is_outside(desk) -> None:
    desk.write("door/note.txt", "word inside")
    (desk.outside / "away").mkdir()
    (desk.outside / "away" / "note.txt").write_text("word outside")
    other = desk.root / "other"
    other.symlink_to("../away")
    answers, _ = desk.race("door", other, lambda: str("word outside" in desk.search("word")), turns=100)
    assert answers == {"False"}
