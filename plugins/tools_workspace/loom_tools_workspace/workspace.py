"""The folder that the tools may look at, and the only way to open something in it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import attrs

from loom_tools_workspace.guard import Guard, kind_of
from loom_tools_workspace.names import shown
from loom_tools_workspace.refusals import WorkspaceRefusal, changed, forbidden, from_os_error
from loom_tools_workspace.secrets import SecretNames

MAX_DEPTH = 64
_LONGEST_PATH = 4_000
_MOST_LINKS = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen(kw_only=True)
class OpenFile:
    """A regular file inside the workspace, open for reading. ``path`` is where it really is, ``size`` in bytes."""

    descriptor: int
    path: str
    size: int


@attrs.frozen(kw_only=True)
class OpenFolder:
    """A folder inside the workspace, open; ``parts`` is its path, empty for the workspace itself."""

    descriptor: int
    parts: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Place:
    """Where a path leads, links resolved: ``parts`` from the workspace, and what is there."""

    parts: tuple[str, ...]
    kind: str


@attrs.frozen(kw_only=True)
class Workspace:
    """The folder ``root`` and what in it is closed. Methods block; they may be called from any thread.

    A path is walked one name at a time, each opened relative to the folder before it and never through a link, so
    that nothing outside can be reached whatever is renamed meanwhile. A symbolic link is followed by hand if its
    target is relative and stays inside; absolute targets and targets that leave the workspace are refused. What is
    secret is decided by the names along the way, those behind links included, and decided before anything is opened.
    """

    root: Path | None
    guard: Guard
    secrets: SecretNames

    @contextmanager
    def open_file(self, path: str) -> Iterator[OpenFile]:
        """Open a regular file; raises ``WorkspaceRefusal``."""
        with self._walked(path) as walk:
            if walk.leaf is None:
                raise WorkspaceRefusal(f"`{shown(path)}` is a folder; list_files shows what is in it")
            parts = (*walk.parts, walk.leaf)
            if self.secrets.database(walk.leaf):
                raise forbidden(f"`{shown(path)}` has the name of a database, which the workspace tools never open")
            with _explained(path):
                descriptor = self.guard.open(walk.leaf, walk.folder, shown(path))
        try:
            size = os.fstat(descriptor).st_size
            with _explained(path):
                yield OpenFile(descriptor=descriptor, path="/".join(parts), size=size)
        finally:
            self.guard.close(descriptor)

    @contextmanager
    def open_folder(self, path: str) -> Iterator[OpenFolder]:
        """Open a folder; raises ``WorkspaceRefusal``."""
        with self._walked(path) as walk:
            if walk.leaf is not None:
                raise WorkspaceRefusal(f"`{shown(path)}` is a {walk.kind}, not a folder")
            yield OpenFolder(descriptor=walk.folder, parts=walk.parts)

    def locate(self, path: str) -> Place:
        """Return where a path leads, without opening what is there; raises ``WorkspaceRefusal``."""
        with self._walked(path) as walk:
            if walk.leaf is None:
                return Place(parts=walk.parts, kind="folder")
            return Place(parts=(*walk.parts, walk.leaf), kind=walk.kind)

    @contextmanager
    def _walked(self, path: str) -> Iterator[_Walk]:
        names = split(path)
        if self.root is None:
            raise WorkspaceRefusal("no workspace is set; the user chooses one with --workspace DIR")
        try:
            root = os.open(self.root, _FOLDER)
        except OSError as error:
            raise WorkspaceRefusal("the workspace folder itself is gone or cannot be opened") from error
        walk = _Walk(self.secrets, path, root)
        try:
            walk.follow(names)
            yield walk
        finally:
            walk.close()


class _Walk:
    """One path, walked. ``leaf`` is the last name if it is not a folder; ``folder`` is the one that holds it."""

    def __init__(self, secrets: SecretNames, path: str, root: int) -> None:
        self._secrets = secrets
        self._path = path
        # Every folder on the way stays open, so that `..` of a link goes back to what was really walked through.
        self._folders = [root]
        self._links = 0
        self.parts: tuple[str, ...] = ()
        self.leaf: str | None = None
        self.kind = "folder"

    @property
    def folder(self) -> int:
        return self._folders[-1]

    def follow(self, names: tuple[str, ...]) -> None:
        waiting = deque(names)
        while waiting:
            name = waiting.popleft()
            if self.leaf is not None:
                raise WorkspaceRefusal(f"`{shown('/'.join((*self.parts, self.leaf)))}` is a {self.kind}, not a folder")
            if name == "..":
                self._go_back()
            else:
                waiting.extendleft(reversed(self._enter(name)))

    def close(self) -> None:
        for folder in self._folders:
            os.close(folder)

    def _go_back(self) -> None:
        if len(self._folders) == 1:
            raise forbidden(f"`{shown(self._path)}` is a symbolic link that leaves the workspace")
        os.close(self._folders.pop())
        self.parts = self.parts[:-1]

    def _enter(self, name: str) -> tuple[str, ...]:
        """Take one name; returns the names that take its place when it is a link."""
        parts = (*self.parts, name)
        if self._secrets.hides(parts):
            raise forbidden(f"`{shown('/'.join(parts))}` may hold secrets and is never read by a tool")
        try:
            kind = kind_of(os.stat(name, dir_fd=self.folder, follow_symlinks=False))
            if kind == "symbolic link":
                return self._target(os.readlink(name, dir_fd=self.folder))
            if kind == "folder":
                self._open(name, parts)
            else:
                self.leaf, self.kind = name, kind
        except FileNotFoundError as error:
            raise self._not_found(name) from error
        except OSError as error:
            raise from_os_error(error, self._path) from error
        return ()

    def _open(self, name: str, parts: tuple[str, ...]) -> None:
        if len(parts) > MAX_DEPTH:
            raise WorkspaceRefusal(f"`{shown(self._path)}` lies deeper than {MAX_DEPTH} folders")
        descriptor = os.open(name, _FOLDER, dir_fd=self.folder)
        self._folders.append(descriptor)
        self.parts = parts

    def _target(self, target: str) -> tuple[str, ...]:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise WorkspaceRefusal(f"`{shown(self._path)}` goes through more than {_MOST_LINKS} symbolic links")
        if target.startswith("/"):
            raise forbidden(f"`{shown(self._path)}` is a symbolic link to an absolute path and is not followed")
        if not target:
            raise changed(self._path)
        return tuple(part for part in target.split("/") if part not in ("", "."))

    def _not_found(self, name: str) -> WorkspaceRefusal:
        with suppress(OSError), os.scandir(self.folder) as entries:
            near = get_close_matches(name, [entry.name for entry in islice(entries, 1_000)], n=1)
            if near:
                meant = shown("/".join((*self.parts, near[0])))
                return WorkspaceRefusal(f"there is no `{shown(self._path)}` in the workspace; did you mean `{meant}`?")
        return WorkspaceRefusal(f"there is no `{shown(self._path)}` in the workspace; list_files shows what there is")


def split(path: str) -> tuple[str, ...]:
    """Return the names of a path that the model gave; raises ``WorkspaceRefusal`` for what cannot be inside."""
    name = shown(path)
    if not path.strip():
        raise WorkspaceRefusal("the path is empty; `.` is the workspace")
    if "\0" in path:
        raise WorkspaceRefusal(f"the path `{name}` contains a NUL character")
    if len(path) > _LONGEST_PATH:
        raise WorkspaceRefusal(f"the path `{name}` is longer than {_LONGEST_PATH:,} characters")
    if path.startswith("/"):
        raise forbidden(f"`{name}` is an absolute path; paths are relative to the workspace, such as `docs/index.md`")
    if path.startswith("~"):
        raise forbidden(f"`{name}` points to a home folder; paths are relative to the workspace")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise WorkspaceRefusal(f"`{name}` is not text that a file name can have") from error
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise forbidden(f"`{name}` contains `..`; a path must stay in the workspace and say where directly")
    return parts


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path) from error
