"""Opens a file for reading without ever touching one that this process must not close.

``close()`` on any descriptor of a file drops every POSIX lock that this process holds on it, so a tool that merely
reads an open run database can cost committed rows. What must not be opened is known by device and inode
(``PluginContext.protected_files``): hard links, other spellings and symbolic links lead to the same inode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from loom_tools_workspace.refusals import WorkspaceRefusal, changed, forbidden

ProtectedFiles = Callable[[], frozenset[tuple[int, int]]]

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_PIN: int = getattr(os, "O_PATH", 0)
_DESCRIPTORS = Path("/proc/self/fd")
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFLNK: "symbolic link",
}


def _can_pin() -> bool:
    return bool(_PIN) and _DESCRIPTORS.is_dir()


@attrs.frozen
class Guard:
    """Opens regular files that are not protected.

    Where the system has ``O_PATH`` and ``/proc`` (Linux), the name is first bound to an inode by a descriptor that
    cannot take or drop locks; that inode is checked, and that inode is opened, so that no swap of names can get in
    between. Elsewhere the name is looked at, opened and looked at again. In both cases a descriptor that turns out to
    be of a protected file is never closed: it is lost until the process ends, which costs a descriptor where closing
    it would cost the locks.
    """

    protected: ProtectedFiles
    pins: bool = attrs.field(factory=_can_pin, kw_only=True)

    def protects(self, status: os.stat_result) -> bool:
        """Say whether this process must not open the file."""
        return (status.st_dev, status.st_ino) in self.protected()

    def open(self, name: str, folder: int, path: str) -> int:
        """Return a descriptor of the regular file ``name`` in the open ``folder``; ``path`` is for messages."""
        if self.pins:
            return self._open_pinned(name, folder, path)
        return self._open_looking_twice(name, folder, path)

    def close(self, descriptor: int) -> None:
        """Close what ``open`` returned, unless its file has become protected while it was open.

        A store that opens the file between the question and the close is not noticed; stores are opened before runs
        start and tools run inside runs.
        """
        if not self.protects(os.fstat(descriptor)):
            os.close(descriptor)

    def _open_pinned(self, name: str, folder: int, path: str) -> int:
        pin = os.open(name, _PIN | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._check(os.fstat(pin), path)
            return os.open(f"{_DESCRIPTORS}/{pin}", _READ & ~os.O_NOFOLLOW)
        finally:
            os.close(pin)

    def _open_looking_twice(self, name: str, folder: int, path: str) -> int:
        self._check(os.stat(name, dir_fd=folder, follow_symlinks=False), path)
        descriptor = os.open(name, _READ, dir_fd=folder)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and not self.protects(status):
            return descriptor
        self.close(descriptor)
        raise changed(path)

    def _check(self, status: os.stat_result, path: str) -> None:
        kind = kind_of(status)
        if kind == "symbolic link":
            raise changed(path)
        if kind == "folder":
            raise WorkspaceRefusal(f"`{path}` is a folder; list_files shows what is in it")
        if kind != "file":
            raise forbidden(f"`{path}` is a {kind}, not a file that can be read")
        if self.protects(status):
            raise forbidden(f"`{path}` is the database of a run that is under way and is never opened by a tool")


def kind_of(status: os.stat_result) -> str:
    """Return what a status is of: ``file``, ``folder``, ``symbolic link``, ``FIFO``, ``socket``, ``device`` …"""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "special file")
