"""`run_tests` runs what the user configured; the model chooses where, and can add nothing else."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loom_tools_workspace.process import _Group, run_bounded
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.suite import child_environment

# Every one of them either names something in the workspace, and is then exactly that one argument, or is refused.
HOSTILE = [
    *(
        "-p",
        "--help",
        "-x",
        "--rootdir=/tmp",
        "--co",
        "-k word",
        "-c/dev/null",
        "--pdb",
        "-",
        "--",
        "-pno:x",
        "-W error",
    ),
    *("@args", "@/etc/passwd", "./@args", "./-p", "./--help", "sub/-p", "-p/../-p", "./-p -x"),
    *("a.py -x", "a.py --pdb", "a.py\n-x", "a.py\t--pdb", "a.py\0-x", "a.py;touch pwned", "a.py && touch pwned"),
    *(
        "$(touch pwned)",
        "`touch pwned`",
        "a.py|sh",
        "a.py>pwned",
        "<a.py",
        "'a.py'",
        '"a.py"',
        "*.py",
        "{a,b}.py",
        "$HOME",
    ),
    *(
        "a.py::",
        "::test_x",
        "a.py::::",
        "a.py:: ::x",
        "sub::test_x",
        "a.py::test_x\n--pdb",
        "a.py::x\u202ey",
        "a.py::\x1b[0m",
    ),
    *(
        "../outside.txt",
        "/etc/passwd",
        "~",
        "sub/../../outside.txt",
        "pipe",
        "away",
        "away/passwd",
        "",
        " ",
        "%s",
        "http://x",
    ),
    *("a.py\\", "\\-p", "a.py#x", "a.py?x", "+x", "=x", ":", "::", "a.py:12", "−p", "—help", "\u00a0-p", "ａ.py"),
]
STRANGE_FILES = [
    "-p",
    "@args",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "a.py -x",
    "--help",
    "sub/-p",
    "-p -x",
]


@pytest.fixture
def odd(desk):
    for name in ("a.py", "sub/b.py", *STRANGE_FILES):
        desk.write(name, "")
    os.mkfifo(desk.root / "pipe")
    desk.link("away", "/etc")
    return desk


@pytest.mark.parametrize("target", [*HOSTILE, *STRANGE_FILES], ids=range(len(HOSTILE) + len(STRANGE_FILES)))
def test_a_target_is_one_existing_path_or_refused(odd, target: str) -> None:
    try:
        arguments = odd.argv(target)
    except WorkspaceRefusal:
        return
    [argument] = arguments
    assert argument.startswith("./")
    path = (odd.root / argument.split("::")[0]).resolve()
    assert path.is_relative_to(odd.root.resolve())
    assert path.exists()
    assert not (odd.root / "pwned").exists()


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("a.py", "./a.py"),
        ("./a.py", "./a.py"),
        ("sub", "./sub"),
        (".", "./"),
        ("a.py::TestX::test_y", "./a.py::TestX::test_y"),
        ("a.py::test_y[a-b / c]", "./a.py::test_y[a-b / c]"),
        ("a.py::--pdb", "./a.py::--pdb"),
        ("./-p", "./-p"),
        ("@args", "./@args"),
    ],
)
def test_a_good_target_is_given_as_it_is_behind_a_dot_and_a_slash(odd, target: str, argument: str) -> None:
    assert [argument] == odd.argv(target)


def test_without_a_target_nothing_is_added(odd) -> None:
    assert odd.argv(None) == []


def test_pytest_itself_takes_a_hostile_name_for_a_path(desk) -> None:
    desk.write("@args", "--version\n")
    desk.write("test_ok.py", "def test_ok(): pass\ndef test_bad(): assert False\n")
    suite = desk.suite(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    answer = suite.run("test_ok.py::test_ok")
    assert answer.startswith("exit status 0 ")
    assert "1 passed" in answer
    assert "pytest 8" not in suite.run("@args").partition("\n")[2].partition("\n")[0]


def test_the_environment_has_no_secrets_and_an_empty_home(desk) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "OPENAI_API_KEY": "sk-1",
        "GITHUB_TOKEN": "t",
        "DATABASE_URL": "postgres://u:p@h",
        "HTTPS_PROXY": "http://u:p@h",
        "PYTEST_ADDOPTS": "--pdb",
        "PYTHONPATH": "/x",
        "HOME": "/root",
        "WANTED": "1",
        "LD_PRELOAD": "x",
    }
    got = child_environment(environ, ("WANTED", "MISSING"), "/nowhere")
    assert {"PATH", "LC_ALL", "WANTED", "HOME", "NO_COLOR", "TERM", "PYTHONUNBUFFERED"} == set(got)
    assert got["HOME"] == "/nowhere"
    script = "import os; print(sorted(os.environ)); print(os.listdir(os.environ['HOME']), os.getcwd())"
    answer = desk.suite(sys.executable, "-c", script, environ=environ).run()
    assert "API_KEY" not in answer
    assert f"[] {desk.root}" in answer


def test_a_user_can_pass_on_the_real_home() -> None:
    assert child_environment({"HOME": "/root"}, ("HOME",), "/nowhere")["HOME"] == "/root"


def test_the_temporary_home_is_gone_afterwards(desk) -> None:
    script = "import os; open(os.path.expanduser('~/left'), 'w').close(); print(os.environ['HOME'])"
    assert not Path(desk.suite(sys.executable, "-c", script).run().split("\n")[1]).exists()


def test_stdin_is_empty(desk) -> None:
    assert "read ''" in desk.suite(sys.executable, "-c", "import sys; print('read', repr(sys.stdin.read()))").run()


def test_tests_that_fail_are_a_result(desk) -> None:
    assert desk.suite(sys.executable, "-c", "print('no'); raise SystemExit(3)").run().startswith("exit status 3 after")


def test_a_command_ended_by_a_signal_is_said_to_be(desk) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert desk.suite(sys.executable, "-c", script).run().startswith("ended by SIGKILL after")


@pytest.mark.parametrize("command", ["no-such-program-here", "./missing", "/dev/null", "./a.py"])
def test_a_command_that_cannot_start_is_one_sentence_that_names_the_setting(odd, command: str) -> None:
    sentence = odd.refusal(odd.suite(command).run)
    assert f"`{command}` cannot be started" in sentence
    assert "test_command" in sentence


def test_long_output_keeps_its_beginning_and_its_end(desk) -> None:
    script = "print('first'); [print('x' * 99) for _ in range(100_000)]; print('last')"
    lines = desk.suite(sys.executable, "-c", script, max_bytes=2_000).run().split("\n")
    assert lines[1] == "first"
    assert lines[-1] == "last"
    assert any("9,998,0" in line and "bytes of output are not shown" in line for line in lines)


def test_output_is_told_without_colours_and_controls(desk) -> None:
    printed = r"\x1b[31mred\x1b[0m \x1b]0;title\x07 a\x00b \x1bc \xff \xe2\x80\xae\rover\r\nnext"
    answer = desk.suite(sys.executable, "-c", f"import sys; sys.stdout.buffer.write(b'{printed}')").run()
    assert answer.split("\n")[1:] == ["red  a\\x00b \\x1bc \ufffd \\u202e", "over", "next"]


def test_a_command_that_takes_too_long_is_ended_and_what_it_printed_is_kept(desk) -> None:
    script = "import time; print('began', flush=True); time.sleep(1000)"
    started = time.monotonic()
    answer = desk.suite(sys.executable, "-c", script, timeout_s=1).run()
    assert answer.startswith("stopped, because the limit is 1 s, after")
    assert answer.endswith("\nbegan")
    assert time.monotonic() - started < 5


IGNORE_TERM = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(1000)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not is_alive(pid)


pids_of = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pids_of
def test_a_grandchild_that_holds_the_output_neither_hangs_the_tool_nor_survives(desk) -> None:
    script = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {IGNORE_TERM!r}], stdout=subprocess.PIPE)
print(child.stdout.readline().decode().strip(), flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
"""
    started = time.monotonic()
    answer = desk.suite(sys.executable, "-c", script).run()
    assert answer.startswith("exit status 0")
    assert time.monotonic() - started < 10
    assert wait_until_gone(int(answer.split("\n")[1]))


@pids_of
def test_a_group_that_ignores_term_is_killed_after_a_grace(desk) -> None:
    ended = run_bounded(
        (sys.executable, "-c", IGNORE_TERM),
        cwd=desk.root,
        environ=os.environ,
        timeout_s=1,
        grace_s=0.2,
        most_output=1_000,
    )
    assert (ended.timed_out, ended.status) == (True, -signal.SIGKILL)
    assert wait_until_gone(int(ended.head + ended.tail))


@pids_of
def test_a_daemon_that_left_the_group_and_holds_the_output_does_not_hang_the_tool(desk) -> None:
    script = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
print(child.pid, flush=True)
os._exit(0)
"""
    answer = desk.suite(sys.executable, "-c", script).run()
    assert answer.startswith("exit status 0")
    os.kill(int(answer.split("\n")[1]), signal.SIGKILL)


def test_a_process_that_floods_its_output_is_still_stopped_in_time(desk) -> None:
    started = time.monotonic()
    answer = desk.suite("yes", timeout_s=0.5, max_bytes=1_000).run()
    assert answer.startswith("stopped, because the limit is 0.5 s,")
    assert time.monotonic() - started < 5
    assert len(answer) < 3_000


def test_nothing_is_left_to_do_at_exit_once_the_command_has_ended(desk) -> None:
    desk.suite().run()
    assert [thing for thing in gc.get_objects() if type(thing) is _Group] == []


@pids_of
def test_the_command_ends_when_the_interpreter_does(desk) -> None:
    script = f"""
import os, sys, threading
from pathlib import Path
from loom_tools_workspace.process import run_bounded
ready = Path({str(desk.root)!r}) / "ready"
os.mkfifo(ready)
child = "import os, time; open('ready', 'w').write(str(os.getpid())); time.sleep(1000)"
threading.Thread(target=run_bounded, args=((sys.executable, "-c", child),), daemon=True, kwargs=dict(
    cwd=ready.parent, environ=os.environ, timeout_s=1000, most_output=1000)).start()
print(ready.read_text())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert wait_until_gone(int(done.stdout))
