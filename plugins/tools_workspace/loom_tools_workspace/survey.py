"""What is in a folder of the workspace, walked within bounds."""

from __future__ import annotations

import os
from itertools import islice

import attrs

from loom_tools_workspace.guard import kind_of
from loom_tools_workspace.names import quantity, shown
from loom_tools_workspace.patterns import IgnoreRules
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.workspace import MAX_DEPTH, OpenFolder, Workspace

MOST_ENTRIES = 50_000
_IGNORE_FILE_BYTES = 65_536
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Made by tools, never by hand, and large: no question about a repository is answered there.
SKIPPED_FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".tox", ".nox", ".eggs"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache", ".ipynb_checkpoints"),
    }
)


@attrs.frozen(kw_only=True)
class Found:
    """One entry. ``closed`` says why it cannot be read, empty if it can; only empty or closed folders are entries."""

    parts: tuple[str, ...]
    kind: str
    size: int = 0
    closed: str = ""


@attrs.frozen(kw_only=True)
class Survey:
    """What a walk below the folder ``base`` found, in the order of the paths, and what it left out.

    The same files give the same survey, unless there are more than ``MOST_ENTRIES`` (then ``complete`` is False).
    """

    base: tuple[str, ...]
    found: tuple[Found, ...]
    skipped: tuple[str, ...]
    ignored: int
    unreadable: int
    too_deep: int
    complete: bool

    def left_out(self) -> str:
        """Return one sentence about what is not in ``found``; empty if nothing is missing."""
        reasons = []
        if self.skipped:
            reasons.append(f"folders named {', '.join(self.skipped)}")
        if self.ignored:
            reasons.append(f"{self.ignored:,} entries that .gitignore names")
        if self.unreadable:
            reasons.append(f"{quantity(self.unreadable, 'folder')} that could not be read")
        if self.too_deep:
            reasons.append(f"{quantity(self.too_deep, 'folder')} deeper than {MAX_DEPTH} levels")
        if not self.complete:
            reasons.append(f"whatever comes after the first {MOST_ENTRIES:,} entries")
        return f"left out: {'; '.join(reasons)}" if reasons else ""


def survey(workspace: Workspace, path: str, *, most_entries: int = MOST_ENTRIES) -> Survey:
    """Walk the folder ``path`` and everything below it, without following symbolic links.

    What is skipped or ignored applies below ``path`` and not to ``path`` itself: a folder that is named is shown.
    """
    with workspace.open_folder(path) as folder:
        walk = _Walk(workspace, _ignore_rules(workspace), most_entries)
        walk.enter(folder)
        return walk.survey(folder.parts)


class _Walk:
    def __init__(self, workspace: Workspace, ignored: IgnoreRules, most_entries: int) -> None:
        self._workspace = workspace
        self._rules = ignored
        self._room = most_entries
        self._found: list[Found] = []
        self._skipped: set[str] = set()
        self._ignored = self._unreadable = self._too_deep = 0
        self._complete = True

    def survey(self, base: tuple[str, ...]) -> Survey:
        return Survey(
            base=base,
            found=tuple(sorted(self._found, key=lambda found: [os.fsencode(part) for part in found.parts])),
            skipped=tuple(sorted(self._skipped)),
            ignored=self._ignored,
            unreadable=self._unreadable,
            too_deep=self._too_deep,
            complete=self._complete,
        )

    def enter(self, folder: OpenFolder) -> None:
        try:
            with os.scandir(folder.descriptor) as entries:
                names = [entry.name for entry in islice(entries, self._room + 1)]
        except OSError:
            self._unreadable += 1
            return
        if len(names) > self._room:
            self._complete = False
        names = names[: self._room]
        self._room -= len(names)
        if not names and folder.parts:
            self._found.append(Found(parts=folder.parts, kind="folder"))
        for name in sorted(names, key=os.fsencode):
            self._take(name, folder)

    def _take(self, name: str, folder: OpenFolder) -> None:
        parts = (*folder.parts, name)
        try:
            status = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
        except OSError:
            return  # gone since the folder was read: then it is not there to be found
        kind = kind_of(status)
        if kind == "folder" and name in SKIPPED_FOLDERS:
            self._skipped.add(name)
        elif self._rules.ignores(parts, folder=kind == "folder"):
            self._ignored += 1
        elif self._workspace.secrets.hides(parts):
            self._found.append(Found(parts=parts, kind=kind, size=status.st_size, closed="secret, not readable"))
        elif kind == "folder":
            self._descend(name, parts, folder)
        else:
            closed = self._closed(status, name, folder)
            self._found.append(Found(parts=parts, kind=kind, size=status.st_size, closed=closed))

    def _descend(self, name: str, parts: tuple[str, ...], folder: OpenFolder) -> None:
        if len(parts) > MAX_DEPTH:
            self._too_deep += 1
            return
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=folder.descriptor)
        except OSError:
            self._unreadable += 1
            return
        try:
            self.enter(OpenFolder(descriptor=descriptor, parts=parts))
        finally:
            os.close(descriptor)

    def _closed(self, status: os.stat_result, name: str, folder: OpenFolder) -> str:
        kind = kind_of(status)
        if kind == "symbolic link":
            return f"symbolic link{_target(name, folder)}"
        if kind != "file":
            return f"{kind}, not readable"
        if self._workspace.guard.protects(status):
            return "database of a run, not readable"
        return "database, not readable" if self._workspace.secrets.database(name) else ""


def _target(name: str, folder: OpenFolder) -> str:
    try:
        return f" to {shown(os.readlink(name, dir_fd=folder.descriptor))}"
    except OSError:
        return ""


def _ignore_rules(workspace: Workspace) -> IgnoreRules:
    try:
        with workspace.open_file(".gitignore") as file:
            return IgnoreRules.parse(os.read(file.descriptor, _IGNORE_FILE_BYTES).decode(errors="replace"))
    except WorkspaceRefusal:
        return IgnoreRules()
