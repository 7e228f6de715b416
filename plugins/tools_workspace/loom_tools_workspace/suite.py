"""`run_tests`: the workspace's own tests, by a command that only the user chooses."""

from __future__ import annotations

import re
import shlex
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs

from loom_tools_workspace.names import shown
from loom_tools_workspace.process import Ended, run_bounded
from loom_tools_workspace.refusals import WorkspaceRefusal, forbidden
from loom_tools_workspace.workspace import Workspace

_LONGEST_TARGET = 1_000
# What programs need in order to start and to speak a language. All else, every key and token among it, stays here.
_PASSED = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV")
_SET = {"NO_COLOR": "1", "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
_ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@attrs.frozen(kw_only=True)
class Suite:
    """Runs ``command`` in the workspace, for at most ``timeout_s``, and keeps about ``max_bytes`` of its output.

    ``environment`` names variables of ``environ`` that the command gets besides the usual few.
    """

    workspace: Workspace
    command: tuple[str, ...]
    timeout_s: float
    max_bytes: int
    environ: Mapping[str, str]
    environment: tuple[str, ...] = ()

    def run(self, target: str | None = None) -> str:
        """Return how the tests ended and what they printed; blocks until they have.

        ``target`` is an existing path of the workspace, with ``::name`` parts if need be. It becomes one argument that
        begins with ``./``, so that no runner can take it for an option or a file of arguments. Tests that fail are a
        result; ``WorkspaceRefusal`` is raised for a target that is not one and a command that cannot be started.
        """
        arguments = () if target is None else (self._argument(target),)
        root = self.workspace.root
        if root is None or not root.is_dir():
            raise WorkspaceRefusal(
                "no workspace is set, or its folder is gone; the user chooses one with --workspace DIR"
            )
        command = (*self.command, *arguments)
        with tempfile.TemporaryDirectory(prefix="loom-tests-", ignore_cleanup_errors=True) as home:
            environ = child_environment(self.environ, self.environment, home)
            try:
                ended = self._run(command, root, environ)
            except OSError as error:
                raise WorkspaceRefusal(
                    f"the test command `{shown(self.command[0])}` cannot be started ({error.strerror});"
                    " the user sets test_command under [plugins.tools_workspace]"
                ) from error
        return _report(command, ended, self.timeout_s)

    def _run(self, command: tuple[str, ...], root: Path, environ: Mapping[str, str]) -> Ended:
        return run_bounded(command, cwd=root, environ=environ, timeout_s=self.timeout_s, most_output=self.max_bytes)

    def _argument(self, target: str) -> str:
        name = shown(target)
        if len(target) > _LONGEST_TARGET:
            raise WorkspaceRefusal(f"the target `{name}` is longer than {_LONGEST_TARGET:,} characters")
        if target.startswith("-"):
            raise forbidden(f"`{name}` looks like an option; a target is a path, with ::name parts if need be")
        if not target.isprintable():
            raise WorkspaceRefusal(f"the target `{name}` contains characters that cannot be printed")
        path, *names = target.split("::")
        if not all(part.strip() for part in names):
            raise WorkspaceRefusal(f"the target `{name}` has an empty part after ::")
        place = self.workspace.locate(path)
        if place.kind not in ("file", "folder"):
            raise forbidden(f"`{shown(path)}` is a {place.kind} and has no tests")
        if names and place.kind == "folder":
            raise WorkspaceRefusal(f"`{shown(path)}` is a folder; ::name parts follow a file")
        return "::".join(["./" + "/".join(place.parts), *names])


def child_environment(environ: Mapping[str, str], more: tuple[str, ...], home: str) -> dict[str, str]:
    """Return the environment of the test command: a few variables, those named in ``more``, and an empty home."""
    passed = {name: value for name, value in environ.items() if name in _PASSED or name.startswith("LC_")}
    named = {name: environ[name] for name in more if name in environ}
    return {**passed, **_SET, "HOME": home, **named}


def _report(command: tuple[str, ...], ended: Ended, timeout_s: float) -> str:
    lines = [f"{_ending(ended, timeout_s)} after {ended.seconds:.1f} s: {shown(shlex.join(command), 600)}"]
    head, tail = _printable(ended.head), _printable(ended.tail)
    if ended.dropped:
        lines += [head, f"[… {ended.dropped:,} bytes of output are not shown …]", tail]
    else:
        lines.append(_printable(ended.head + ended.tail) or "(no output)")
    return "\n".join(lines)


def _ending(ended: Ended, timeout_s: float) -> str:
    if ended.timed_out:
        return f"stopped, because the limit is {timeout_s:g} s,"
    if ended.status < 0:
        return f"ended by {_signal_name(-ended.status)}"
    return f"exit status {ended.status}"


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _printable(output: bytes) -> str:
    """Return output as text without colours, and with no control that a terminal would obey."""
    text = output.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub(lambda found: shown(found[0]), _ESCAPE_SEQUENCES.sub("", text))
    return text.strip("\n")
