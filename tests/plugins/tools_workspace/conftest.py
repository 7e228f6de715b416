"""A workspace to be hostile in, and the tools' logic bound to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from loom_tools_workspace.guard import Guard
from loom_tools_workspace.listing import Listing
from loom_tools_workspace.reader import Reader
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.search import Search
from loom_tools_workspace.secrets import SecretNames
from loom_tools_workspace.suite import Suite
from loom_tools_workspace.workspace import Workspace

ECHO = (sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))")

# Exchanges two names as fast as it can, with one system call where the C library offers it.
EXCHANGE = """
import ctypes, os, sys
one, two = (os.fsencode(name) for name in sys.argv[1:])
exchange = getattr(ctypes.CDLL(None), "renameat2", None)
sys.stdout.write("x")
sys.stdout.flush()
while True:
    if exchange is None or exchange(-100, one, -100, two, 2) != 0:
        os.rename(one, one + b"~")
        os.rename(two, one)
        os.rename(one + b"~", two)
"""


@attrs.define
class Desk:
    """A workspace ``root`` inside ``outside``, and every tool over it."""

    outside: Path
    root: Path
    protected: set[tuple[int, int]] = attrs.field(factory=set)
    pins: bool = True
    may_park: bool = False

    @property
    def workspace(self) -> Workspace:
        guard = Guard(lambda: frozenset(self.protected), pins=self.pins)
        return Workspace(root=self.root, guard=guard, secrets=SecretNames.of(("*.private", "docs/closed/*")))

    def protect(self, path: Path) -> None:
        status = path.stat()
        self.protected.add((status.st_dev, status.st_ino))

    def write(self, path: str, content: str | bytes = "inside\n") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def link(self, path: str, target: str | Path) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, self.root / path)

    def read(self, path: str, start_line: int = 1, max_lines: int = 400, max_bytes: int = 32_768) -> str:
        return Reader(workspace=self.workspace, max_bytes=max_bytes, max_lines=2_000).read(path, start_line, max_lines)

    def list(self, path: str = ".", pattern: str | None = None, max_entries: int = 500) -> str:
        return Listing(self.workspace).list(path, pattern, max_entries)

    def search(self, query: str, max_results: int = 8, path: str = ".") -> str:
        return Search(workspace=self.workspace, max_files=4_000, timeout_s=60).search(query, max_results, path)

    def suite(self, *command: str, timeout_s: float = 60, max_bytes: int = 32_768, **more: object) -> Suite:
        return Suite(
            workspace=self.workspace,
            command=command or ECHO,
            timeout_s=timeout_s,
            max_bytes=max_bytes,
            environ=more.pop("environ", os.environ),
            **more,
        )

    def argv(self, target: str | None) -> list[str]:
        """Return the arguments that the test command gets for a target."""
        return json.loads(self.suite().run(target).splitlines()[1])

    def refusal(self, call: Callable[..., str], *args: object, **kwargs: object) -> str:
        """Return the sentence with which a call is refused."""
        with pytest.raises(WorkspaceRefusal) as caught:
            call(*args, **kwargs)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.isprintable()
        return sentence

    def race(self, name: str, other: Path, look: Callable[[], str], turns: int = 1_200) -> tuple[set[str], set[str]]:
        """Look while another process keeps exchanging ``name`` and ``other``; returns what was seen, and refusals.

        Another process and not a thread, because the swap must be able to fall between two system calls of a tool.
        """
        command = [sys.executable, "-c", EXCHANGE, str(self.root / name), str(other)]
        seen: set[str] = set()
        refused: set[str] = set()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as swapping:
            assert swapping.stdout is not None
            swapping.stdout.read(1)
            try:
                for turn in range(10 * turns):
                    if turn >= turns and seen:
                        break
                    try:
                        seen.add(look())
                    except WorkspaceRefusal as refusal:
                        refused.add(str(refusal))
            finally:
                swapping.kill()
        return seen, refused


CAN_PIN = Guard(frozenset).pins


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the modules that ask for it with both ways of opening, the others with this system's own."""
    if "desk" in metafunc.fixturenames:
        ways = {CAN_PIN, False} if getattr(metafunc.module, "BOTH_WAYS_OF_OPENING", False) else {CAN_PIN}
        names = {True: "pinned", False: "looked-at-twice"}
        metafunc.parametrize("desk", sorted(ways), ids=names.__getitem__, indirect=True)


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A fresh workspace; after the test, no descriptor may be left."""
    pins = request.param
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "outside.txt").write_text("outside\n")
    before = _descriptors()
    desk = Desk(outside=tmp_path, root=root, pins=pins)
    yield desk
    if not desk.may_park:
        assert before == _descriptors()


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
