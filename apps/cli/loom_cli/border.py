"""The border of every command: what comes out of it is a result, one clear sentence, or a crash log; never a traceback.

expected (``LoomError``) → its own exit status · usage → 2 · Ctrl-C → 130 · a reader that went away → quiet ·
anything else → 3, and a crash log whose path is printed.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

import click

from loom_cli.crash import write_crash_log
from loom_cli.exits import ExitStatus
from loom_cli.groups import NoCommandGiven
from loom_cli.output import Output, OutputFailed
from loom_core.errors import ConfigError, LoomError


def run_command(command: click.Command, argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run a command line and return its exit status; nothing but ``SystemExit`` of a command's own leaves it.

    ``argv`` is without the program's name and defaults to the process's own. A command's callback may return an exit
    status; None is 0.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    _mend_streams()
    own = args[: args.index("--")] if "--" in args else args
    output = Output.of_process(sys.stdout, sys.stderr, os.environ, as_json="--json" in own)
    try:
        return _guarded(command, args, prog or command.name or "loom", output, show_traceback="--traceback" in own)
    except BrokenPipeError:
        # The error itself could not be printed: nobody is there to read it.
        _discard_stdout()
        return ExitStatus.FAILED


def _guarded(command: click.Command, args: list[str], prog: str, output: Output, *, show_traceback: bool) -> int:
    try:
        status = _invoke(command, args, prog)
        _flush_stdout()
        return status
    except (KeyboardInterrupt, EOFError, click.Abort):
        return _report(output, ExitStatus.INTERRUPTED, "interrupted", "interrupted", None)
    except SystemExit:
        raise
    except BaseException as raised:  # noqa: BLE001 - the border itself: whatever arrives here is reported
        error = _only_leaf(raised)
        if isinstance(error, BrokenPipeError) and _stdout_is_closed():
            _discard_stdout()
            return ExitStatus.FAILED
        if show_traceback:
            sys.stderr.write("".join(traceback.format_exception(raised)))
        if isinstance(error, click.ClickException):
            return _report_usage(output, error)
        if isinstance(error, OutputFailed):
            _discard_stdout()
        if isinstance(error, LoomError):
            return _report_loom_error(output, error)
        if isinstance(error, KeyboardInterrupt):
            return _report(output, ExitStatus.INTERRUPTED, "interrupted", "interrupted", None)
        return _report_crash(output, prog, args, raised)


def _invoke(command: click.Command, args: list[str], prog: str) -> int:
    # Not ``command.main``: it ends the process by itself on a closed pipe and turns Ctrl-C into 1.
    try:
        with command.make_context(prog, list(args)) as ctx:
            status = command.invoke(ctx)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    return int(status) if isinstance(status, int) else ExitStatus.DONE


def _report(output: Output, status: int, code: str, message: str, hint: str | None, faults: Sequence[str] = ()) -> int:
    if output.as_json:
        error: dict[str, object] = {"code": code, "message": message, "hint": hint}
        if faults:
            error["faults"] = list(faults)
        output.document("loom.error/1", {"error": error, "exit_status": int(status)})
        output.stdout.flush()
    elif code == "interrupted":
        output.stderr.write("interrupted\n")
    else:
        lines = (
            [message] if not faults else [f"the configuration has {len(faults)} faults", *(f"  {f}" for f in faults)]
        )
        output.error("\n".join(lines), hint)
    return int(status)


def _report_loom_error(output: Output, error: LoomError) -> int:
    faults = error.faults if isinstance(error, ConfigError) and len(error.faults) > 1 else ()
    return _report(output, error.exit_status, error.code, str(error), error.hint, faults)


def _report_usage(output: Output, error: click.ClickException) -> int:
    if isinstance(error, NoCommandGiven) and error.ctx and not output.as_json:
        output.stderr.write(error.ctx.get_help() + "\n")
        return ExitStatus.USAGE
    message = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    message = message.rstrip(".")
    return _report(output, ExitStatus.USAGE, "usage", message[:1].lower() + message[1:], _usage_hint(error))


def _usage_hint(error: click.ClickException) -> str | None:
    hint: str | None = getattr(error, "hint", None)
    if hint:
        return hint
    ctx = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        near = error.possibilities or (get_close_matches(error.option_name, _options(ctx)) if ctx else [])
        if near:
            return "did you mean " + " or ".join(near) + "?"
    return f"see: {ctx.command_path} --help" if ctx else None


def _options(ctx: click.Context) -> list[str]:
    return [name for param in ctx.command.get_params(ctx) for name in param.opts]


def _report_crash(output: Output, prog: str, args: Sequence[str], error: BaseException) -> int:
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    try:
        path = write_crash_log(os.environ, prog, args, error)
    except OSError as unwritable:
        sys.stderr.write("".join(traceback.format_exception(error)))
        hint = f"no crash log could be written ({unwritable}); the traceback above is what to report"
    else:
        hint = f"this is a defect; please report it with the crash log {path}"
    return _report(output, ExitStatus.INTERNAL, "internal", f"unexpected {what}", hint)


def _only_leaf(error: BaseException) -> BaseException:
    """Return the one error in nested exception groups, or the group if it holds several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _mend_streams() -> None:
    """Make standard output and error usable: closed ones are replaced, characters they cannot encode are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush_stdout() -> None:
    """Write out what is buffered; a command whose result did not arrive has not succeeded."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"cannot write to standard output: {error.strerror or error}") from error


def _stdout_is_closed() -> bool:
    """Tell a reader of ours that went away from a broken pipe elsewhere, which is a defect to report."""
    poll = select.poll()
    try:
        poll.register(sys.stdout, 0)
    except (OSError, ValueError):
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _discard_stdout() -> None:
    """Keep the interpreter from failing again when it flushes standard output at exit."""
    with open(os.devnull, "w", encoding="utf-8") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), sys.stdout.fileno())
