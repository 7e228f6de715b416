"""Run llama.cpp's HTTP server (through ``xllamacpp``) in a child process, for tests that need a real engine on a port.

``serve`` is for tests; ``python llama_server.py SPEC`` is the child, where SPEC is a JSON object.
The child ends when its standard input is closed, so that it cannot outlive a test process that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

READY_TIMEOUT_S = 60.0


@contextlib.contextmanager
def serve(gguf: Path, *, template: str | None = None, n_ctx: int = 4096) -> Iterator[str]:
    """Serve ``gguf`` on 127.0.0.1 and yield the base URL, such as ``http://127.0.0.1:40123/v1``.

    ``template`` is the text of a chat template that replaces the model's own. The server is ready when this yields,
    and gone, reaped and its pipes closed when the block is left, however it is left.
    """
    with start(gguf, template=template, n_ctx=n_ctx) as (url, _):
        yield url


@contextlib.contextmanager
def start(
    gguf: Path, *, template: str | None = None, n_ctx: int = 4096
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Like ``serve``, and yield the process as well, for tests that kill it."""
    spec = json.dumps({"model": str(gguf), "template": template, "n_ctx": n_ctx})
    log = Path(f"{gguf}.server.log")
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), spec],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield _first_line(child, log) + "/v1", child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _first_line(child: subprocess.Popen[bytes], log: Path) -> str:
    assert child.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reader = threading.Thread(target=lambda stream: lines.put(stream.readline()), args=(child.stdout,), daemon=True)
    reader.start()
    try:
        line = lines.get(timeout=READY_TIMEOUT_S).decode().strip()
    except queue.Empty:
        child.kill()
        line = ""
    reader.join()
    if not line:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"the llama.cpp server did not start:\n{tail}")
    return line


def _serve_until_stdin_closes(spec: dict[str, object]) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = spec["model"]
    params.n_ctx = spec["n_ctx"]
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.use_jinja = True
    if spec["template"]:
        params.chat_template = spec["template"]
    params.ui = False
    params.warmup = False
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # the engine's own shutdown waits for open connections


if __name__ == "__main__":
    _serve_until_stdin_closes(json.loads(sys.argv[1]))
