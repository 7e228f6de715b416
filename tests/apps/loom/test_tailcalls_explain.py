"""`loom tailcalls explain`: statuses, what is printed, and that the file never runs."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.loom.conftest import Ended

Loom = Callable[..., Ended]

GOOD = """\
from loom_core import tailrec

@tailrec
async def count(n, total=0):
    if n == 0:
        return total
    return await count(n - 1, total + 1)
"""
BAD = """\
class Agent:
    @tailrec
    async def run(self, state):
        x = await self.run(state)
        return x
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "agent.py"
    path.write_text(GOOD)
    return path


def test_a_file_whose_functions_are_all_accepted_is_explained_with_status_0(file: Path, loom: Loom) -> None:
    ended = loom("tailcalls", "explain", "agent.py")
    assert ended == Ended(
        0,
        "count: a loop (1 tail call)\n"
        "loop: agent.py:7:18: becomes a jump\n"
        "        return await count(n - 1, total + 1)\n"
        "                     ^^^^^^^^^^^^^^^^^^^^^^^\n"
        "\n"
        "agent.py: 1 accepted\n",
        "",
    )


def test_a_decorated_function_that_is_rejected_ends_with_1(file: Path, loom: Loom) -> None:
    file.write_text(GOOD + BAD)
    ended = loom("tailcalls", "explain", "agent.py")
    assert ended.status == 1
    assert "Agent.run: rejected\nrejected: agent.py:11:19: this call is not a tail call: " in ended.stdout
    assert "\nhint: pass on what is left to do as a parameter" in ended.stdout
    assert ended.stdout.endswith("agent.py: 1 accepted, 1 rejected (the file cannot be imported)\n")


def test_one_function_is_judged_alone(file: Path, loom: Loom) -> None:
    file.write_text(GOOD + BAD)
    assert loom("tailcalls", "explain", "agent.py:count").status == 0
    assert loom("tailcalls", "explain", "agent.py:Agent.run").status == 1


def test_what_is_not_decorated_never_fails(file: Path, loom: Loom) -> None:
    file.write_text(BAD.replace("    @tailrec\n", ""))
    ended = loom("tailcalls", "explain", "agent.py")
    assert (ended.status, "agent.py: 1 not decorated\n" in ended.stdout) == (0, True)


def test_a_file_without_recursion_says_so(file: Path, loom: Loom) -> None:
    file.write_text("x = 1\n")
    ended = loom("tailcalls", "explain", "agent.py")
    said = "agent.py: no function is decorated by @tailrec or @tailstream, and no async one calls itself\n"
    assert (ended.status, ended.stdout) == (0, said)


def test_json_is_one_document_with_every_report(file: Path, loom: Loom) -> None:
    file.write_text(GOOD + BAD)
    ended = loom("tailcalls", "explain", "agent.py", "--json")
    found = ended.document
    assert (ended.status, found["schema"]) == (1, "loom.tailcalls.explain/1")
    assert (found["path"], found["accepted"]) == ("agent.py", False)
    count, run = found["functions"]
    assert (count["function"], count["decorated"], count["mode"], count["line"]) == ("count", "tailrec", "direct", 4)
    (site,) = run["sites"]
    assert (site["action"], site["line"], site["column"], site["end_column"]) == ("rejected", 11, 19, 34)


BAD_INPUT = {
    "missing.py": ("there is no file `missing.py`", "name a Python file: FILE or FILE:FUNCTION"),
    "agnt.py": ("there is no file `agnt.py`", "did you mean `agent.py`?"),
    "missing.py:f": ("there is no file `missing.py`", "name a Python file: FILE or FILE:FUNCTION"),
    ".": ("`.` is not a file", "name one Python file"),
    "agent.py:cuont": ("`agent.py` has no function `cuont`", "did you mean `count`?"),
    "agent.py:": ("`agent.py` has no function ``", "functions there are: count"),
    "broken.py": ("`broken.py` is not Python (line 1, column 7): invalid syntax", "it is read by Python "),
}


@pytest.mark.parametrize("target", BAD_INPUT)
def test_bad_input_is_a_sentence_a_hint_and_status_2(file: Path, loom: Loom, target: str) -> None:
    file.with_name("broken.py").write_text("def f(:\n")
    message, hint = BAD_INPUT[target]
    ended = loom("tailcalls", "explain", target)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {message}\nhint: {hint}")
    document = loom("tailcalls", "explain", target, "--json").document
    assert (document["schema"], document["error"]["message"]) == ("loom.error/1", message)


def test_a_file_whose_own_name_has_a_colon_is_a_file(file: Path, loom: Loom) -> None:
    file.rename(file.with_name("a:count"))
    assert loom("tailcalls", "explain", "a:count").stdout.endswith("a:count: 1 accepted\n")


def test_what_the_file_holds_never_reaches_the_terminal_as_a_control_sequence(file: Path, loom: Loom) -> None:
    file.write_text("async def f(n):\n    '\x1b[31m\u202e'; return 1 + await f(n)\n")
    ended = loom("tailcalls", "explain", "agent.py")
    lines = ended.stdout.split("\n")
    assert "\x1b" not in ended.stdout
    assert "\u202e" not in ended.stdout
    assert lines[2] == "        '\\x1b[31m\\u202e'; return 1 + await f(n)"
    assert lines[3].index("^") == lines[2].index("f(n)")


def test_the_file_is_not_executed(file: Path, loom: Loom) -> None:
    file.write_text("import no_such_module\nraise SystemExit(9)\n" + GOOD)
    assert loom("tailcalls", "explain", "agent.py").status == 0


def on_terminal(columns: int, folder: Path, **environ: str) -> str:
    """Return what a terminal of that width is sent."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    argv = [sys.executable, "-c", "import sys; from loom_app.main import main; sys.exit(main())"]
    paths = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [*argv, "tailcalls", "explain", "agent.py"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=folder,
        env={**paths, "TERM": "xterm", **environ},
    )
    os.close(inner)
    sent = b""
    while True:
        try:
            piece = os.read(outer, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        sent += piece
    os.close(outer)
    child.wait()
    return sent.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [60, 120])
def test_on_a_terminal_there_is_colour_and_no_line_is_too_long(file: Path, columns: int) -> None:
    long = ", ".join(f"argument_{number}" for number in range(20))
    file.write_text(GOOD + BAD.replace("x = await self.run(state)", f"x = await self.run(state, {long})"))
    shown = on_terminal(columns, file.parent)
    assert "\x1b[32ma loop (1 tail call)\x1b[0m" in shown
    assert "\x1b[31mrejected\x1b[0m" in shown
    plain = on_terminal(columns, file.parent, NO_COLOR="1")
    assert "\x1b" not in plain
    assert max(map(len, plain.split("\n"))) <= columns
    assert "x = await self.run(state, " in plain
