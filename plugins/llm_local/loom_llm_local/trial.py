"""Load a model in a child process first: llama.cpp aborts its process on some damaged files and settings.

An assertion of the engine cannot be caught, so nothing is loaded here that has not loaded in a child with the same
file, context, template and engine. What passed is remembered by size and time of the file. The child also shows the
engine's own words, which the Python binding drops, and leaves the file in the page cache, so that the load here is
short.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import attrs

from loom_llm_local.children import run_child
from loom_llm_local.engine_spec import ERRORS, EngineSpec, build_params, socket_folder

TRIAL_TIMEOUT_S = 600.0
_PASSED = "passed"


@attrs.frozen
class Trials:
    """The memory of which loads have been tried. ``folder`` may be missing or read-only: then each is tried again."""

    folder: Path

    def failure(self, spec: EngineSpec, stop: threading.Event) -> str | None:
        """Return why ``spec`` does not load, None if it does. Blocks for about as long as the load takes.

        Raises ``Stopped`` when ``stop`` is set.
        """
        stamp = self.folder / _fingerprint(spec)
        if stamp.exists():
            return None
        reason = _try_in_child(spec, stop)
        if reason is None:
            self._remember(stamp)
        return reason

    def _remember(self, stamp: Path) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        except OSError:
            return  # costs another trial next time, nothing else


def _fingerprint(spec: EngineSpec) -> str:
    stat = Path(spec.path).stat()  # not the path: a file is tried before it is given its name
    file = [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns]
    facts = [*file, spec.n_ctx, spec.n_threads, spec.template, version("xllamacpp")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _try_in_child(spec: EngineSpec, stop: threading.Event) -> str | None:
    # The parent's sys.path is handed over: this package may be reachable only through it.
    code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from loom_llm_local.trial import main; main()"
    arguments = [json.dumps(sys.path), json.dumps(attrs.asdict(spec))]
    environ = {"GGML_NO_BACKTRACE": "1"}  # otherwise an abort starts a debugger
    with socket_folder() as folder:  # made here: a child that aborts removes nothing
        command = [sys.executable, "-c", code, *arguments, folder]
        child = run_child(command, stop=stop, environ=environ, timeout_s=TRIAL_TIMEOUT_S)
    if child.timed_out:
        return f"it did not load within {TRIAL_TIMEOUT_S:g} s"
    if child.returncode == 0 and child.output.endswith(_PASSED):
        return None
    return _reason(child.output, child.returncode)


def _reason(log: str, returncode: int) -> str:
    """Return the first complaint in the engine's log; what follows it are consequences."""
    for line in log.splitlines():
        _, error, text = line.partition(" E ")
        if error:
            return text.partition(": ")[2].strip() or text.strip()
        if "_ASSERT(" in line or "terminate called" in line:
            return f"the engine aborted: {line.rpartition('/')[2].strip()}"
    if returncode < 0:
        return f"the engine was ended by {signal.Signals(-returncode).name}"
    last = log.strip().splitlines()[-1:]
    return last[0] if last else f"the engine ended with status {returncode}"


def main() -> None:
    """Load what ``sys.argv[2]`` describes, socket in ``sys.argv[3]``; say so and leave without tearing it down."""
    import xllamacpp

    spec = EngineSpec(**json.loads(sys.argv[2]))
    server = xllamacpp.Server(build_params(spec, socket_path=f"{sys.argv[3]}/engine.sock", verbosity=ERRORS))
    sys.stdout.write(_PASSED)
    sys.stdout.flush()
    os._exit(0 if server is not None else 1)
