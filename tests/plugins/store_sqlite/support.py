"""What the tests of the SQLite store share: opening, other processes, and looking at a folder."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loom_store_sqlite.store import SQLiteStore

PREAMBLE = """
import asyncio, os, sys
import attrs
from loom_core.contracts.budgets import Budget
from loom_core.contracts.stores import Settlement
from loom_core.errors import LoomError, RunBusy
from loom_core.testing.store_contract_people import *
from loom_core.testing.store_values import *
from loom_store_sqlite.store import SQLiteStore
path = sys.argv[1]
"""


def opened(path: Path, mode: str = "create", **options: Any) -> SQLiteStore:
    return SQLiteStore.open(str(path), mode, **options)


def with_store(path: Path, use: Callable[[SQLiteStore], Awaitable[Any]], mode: str = "create") -> Any:
    async def main() -> Any:
        store = opened(path, mode)
        try:
            return await use(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


@contextmanager
def child(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs ``code``, killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; only for files that this process has not open through SQLite."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every name in a folder with inode, size and time of change."""
    found = {name: os.stat(folder / name) for name in sorted(os.listdir(folder))}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found.items()}


def as_nobody(check: Callable[[], str]) -> str:
    """Return what ``check`` returns without root's power to write everywhere."""
    if os.geteuid() != 0:
        return check()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            os.setgid(65534)
            os.setuid(65534)
            os.write(write_end, check().encode())
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer
