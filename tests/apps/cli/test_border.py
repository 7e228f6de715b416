"""The border: every way a command can end, as an exit status, one sentence, and no traceback."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from loom_cli import (
    ExitStatus,
    Invocation,
    LazyCommand,
    LazyGroup,
    common_options,
    db_option,
    pass_invocation,
    run_command,
)
from loom_cli.exits import MEANINGS

from loom_core.errors import BadInput, ConfigError, LoomError, PluginError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LOOM_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def command_that(raises: BaseException | None = None, returns: object = None) -> click.Command:
    @click.command("act")
    @common_options
    def act() -> object:
        if raises is not None:
            raise raises
        return returns

    return act


@pytest.mark.parametrize(
    ("error", "status", "stderr"),
    [
        (LoomError("it failed", hint="do this"), 1, "error: it failed\nhint: do this\n"),
        (BadInput("it is wrong"), 2, "error: it is wrong\n"),
        (PluginError("it is broken"), 3, "error: it is broken\n"),
        (ConfigError(("one",)), 2, "error: one\n"),
        (ConfigError(("a", "b"), hint="h"), 2, "error: the configuration has 2 faults\n  a\n  b\nhint: h\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
        (ExceptionGroup("several", [ExceptionGroup("inner", [BadInput("one")])]), 2, "error: one\n"),
        (BadInput("evil \x1b[2J\u202e"), 2, "error: evil \\x1b[2J\\u202e\n"),
        (click.UsageError("Some Thing is missing."), 2, "error: some Thing is missing\nhint: see: act --help\n"),
    ],
)
def test_what_is_expected_is_a_sentence_and_its_own_status(
    error: BaseException, status: int, stderr: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command_that(error), []) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", stderr)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (ExitStatus.WAITING, 4), (5, 5), ("text", 0)])
def test_a_command_may_return_its_status(returned: object, status: int) -> None:
    assert run_command(command_that(returns=returned), []) == status


def test_with_json_errors_are_documents_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command_that(ConfigError(("a", "b"), hint="h")), ["--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "schema": "loom.error/1",
        "error": {"code": "config", "message": "a; b", "hint": "h", "faults": ["a", "b"]},
        "exit_status": 2,
    }
    assert captured.err == ""


@pytest.mark.parametrize("args", [["--json", "--nope"], ["--nope", "--json"]])
def test_even_a_usage_error_is_a_document_with_json(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command_that(), args) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_an_option_after_two_dashes_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command_that(), ["--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_an_interrupt_with_json_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command_that(KeyboardInterrupt()), ["--json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["error"]["code"], document["exit_status"]) == ("interrupted", 130)


def test_a_mistyped_option_says_what_was_probably_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command_that(), ["--jsn"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no such option") and "--jsn" in error
    assert hint == "hint: did you mean --json?"


def test_the_unexpected_is_a_crash_log_that_only_its_owner_reads(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command_that(RuntimeError("boom")), ["-v"], prog="loom-x") == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: unexpected RuntimeError: boom"
    path = Path(hint.rsplit(" ", 1)[1])
    assert path.parent == home / ".cache" / "loom" / "crashes"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "command: loom-x '-v'" in text and "RuntimeError: boom" in text and "Traceback" in text


def test_where_no_crash_log_can_be_written_the_traceback_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".cache").write_text("not a folder")
    assert run_command(command_that(RuntimeError("boom")), []) == 3
    stderr = capsys.readouterr().err
    assert "Traceback" in stderr and "no crash log could be written" in stderr


def test_a_traceback_is_shown_only_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(command_that(BadInput("wrong")), [])
    assert "Traceback" not in capsys.readouterr().err
    run_command(command_that(BadInput("wrong")), ["--traceback"])
    assert "Traceback" in capsys.readouterr().err


def test_the_exit_of_the_documentation_is_the_exit_of_the_code() -> None:
    rows = re.findall(r"^\| `(\d+)` \| (.+?) \|$", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert rows == [(str(int(status)), meaning) for status, meaning in MEANINGS.items()]
    assert list(MEANINGS) == list(ExitStatus)


SCRIPT = """
import sys
import click
from loom_cli import common_options, pass_invocation, run_command

@click.command("act")
@common_options
@pass_invocation
def act(invocation):
    {body}

sys.exit(run_command(act))
"""


def run_script(body: str, shell: str, *, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SCRIPT": SCRIPT.format(body=body), "PY": sys.executable}
    environ.pop("PYTHONUNBUFFERED", None)
    if unbuffered:
        environ["PYTHONUNBUFFERED"] = "1"
    return subprocess.run(["bash", "-c", shell], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_goes_away_is_quiet(lines: int, unbuffered: bool) -> None:
    body = f"[invocation.output.line('x' * 50) for _ in range({lines})]"
    done = run_script(body, '"$PY" -c "$SCRIPT" | (exec 0<&-; true); echo "${PIPESTATUS[0]}"', unbuffered=unbuffered)
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "1"}


def test_a_broken_pipe_that_is_not_our_reader_is_a_defect_that_is_reported() -> None:
    done = run_script("raise BrokenPipeError(32, 'a child of mine')", '"$PY" -c "$SCRIPT"')
    assert done.returncode == 3
    assert "unexpected BrokenPipeError" in done.stderr


def test_a_full_disk_under_stdout_is_one_sentence_and_a_failure() -> None:
    for lines in (1, 10_000):
        done = run_script(
            f"[invocation.output.line('x' * 50) for _ in range({lines})]", '"$PY" -c "$SCRIPT" > /dev/full'
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: cannot write to standard output: No space left on device")


def test_closed_standard_streams_break_nothing() -> None:
    done = run_script(
        "invocation.output.line('x'); invocation.output.note('y')", '"$PY" -c "$SCRIPT" >&- 2>&-; echo $?'
    )
    assert done.stdout.strip() == "0"


def test_a_stream_that_cannot_encode_a_character_escapes_it() -> None:
    done = run_script("invocation.output.line('é…')", 'PYTHONIOENCODING=ascii "$PY" -c "$SCRIPT"')
    assert (done.returncode, done.stdout) == (0, "\\xe9\\u2026\n")


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    body = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    done = run_script(body, '"$PY" -c "$SCRIPT"')
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@click.command("sub")
@db_option
@common_options
@pass_invocation
def sub(invocation: Invocation) -> None:
    """Show what was given."""
    out = invocation.output
    facts = {
        "flags": dict(sorted(invocation.flags.items())),
        "config": str(invocation.config_file),
        "verbosity": out.verbosity,
        "json": out.as_json,
    }
    sys.stdout.write(json.dumps(facts))


def group() -> LazyGroup:
    return LazyGroup(
        "prog",
        lazy={
            "sub": LazyCommand(f"{__name__}:sub", "Does it."),
            "broken": LazyCommand("no_such_module_anywhere:x", "Does not."),
        },
    )


@pytest.mark.parametrize(
    "args",
    [
        ["--json", "-v", "--disable-plugin", "a", "--config", "c", "sub", "-v", "--db", "d", "--disable-plugin", "b"],
        ["sub", "--json", "-vv", "--disable-plugin", "a", "--disable-plugin", "b", "--config", "c", "--db", "d"],
    ],
)
def test_common_options_mean_the_same_before_and_after_the_command(
    args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    assert run_command(group(), args) == 0
    assert json.loads(capsys.readouterr().out) == {
        "flags": {"db": "d", "disable_plugins": ["a", "b"]},
        "config": "c",
        "verbosity": 2,
        "json": True,
    }


def _this_module() -> object:
    from types import SimpleNamespace

    return SimpleNamespace(sub=sub)


def test_help_imports_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group(), ["--help"]) == 0
    stdout = capsys.readouterr().out
    assert "broken" in stdout and "Does not." in stdout


def test_an_unknown_command_says_what_was_probably_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group(), ["sbu"]) == 2
    assert capsys.readouterr().err == "error: `prog` has no command `sbu`\nhint: did you mean `sub`?\n"


def test_no_command_is_a_usage_error_that_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group(), []) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Usage: prog" in captured.err and "Does it." in captured.err
