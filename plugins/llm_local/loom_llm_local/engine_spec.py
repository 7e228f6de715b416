"""What an engine is started with, and its translation to llama.cpp's parameters."""

from __future__ import annotations

import tempfile
from typing import Any

import attrs

SILENT, ERRORS, TALKATIVE = -1, 1, 3
POLL_S = 1
LONGEST_FOLDER = 70  # a socket's path may have 107 bytes on Linux, 103 on macOS


@attrs.frozen(kw_only=True)
class EngineSpec:
    """One engine: a file, its context and its threads. ``template`` is chat-template text, None for the file's own."""

    path: str
    n_ctx: int
    n_threads: int
    template: str | None = None


def build_params(spec: EngineSpec, *, socket_path: str, verbosity: int) -> Any:
    """Return ``xllamacpp.CommonParams`` for ``spec``, listening on a Unix socket at ``socket_path`` and nowhere else.

    A host name that ends in ``.sock`` is what makes llama.cpp's server take a Unix socket instead of a TCP port.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = spec.path
    params.n_ctx = spec.n_ctx
    params.n_parallel = 1  # one request at a time has the whole context
    params.cpuparams.n_threads = spec.n_threads
    params.cpuparams_batch.n_threads = spec.n_threads
    params.hostnames = [socket_path]
    params.n_threads_http = 2
    params.use_jinja = True
    if spec.template is not None:
        params.chat_template = spec.template
    params.ui = False
    params.endpoint_slots = False
    params.warmup = False
    params.fit_params = False  # would lower n_ctx on its own
    params.cache_ram_mib = 0  # 8 GiB of kept prompts by default
    params.cache_idle_slots = False
    params.sse_ping_interval = POLL_S  # also how soon a stream of which the reader is gone ends
    params.verbosity = verbosity
    return params


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder for a socket, which only this user can enter; a context manager that removes it."""
    parent = tempfile.gettempdir()
    return tempfile.TemporaryDirectory(prefix="loom-local-", dir=parent if len(parent) <= LONGEST_FOLDER else "/tmp")  # noqa: S108
