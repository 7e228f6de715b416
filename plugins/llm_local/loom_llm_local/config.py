"""What a user may set under ``[plugins.llm_local]``."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
from attrs import validators

SMALLEST_CONTEXT = 256  # llama.cpp aborts the whole process on a context of a few tokens
LARGEST_CONTEXT = 1 << 20  # and takes the memory for any that it is told to make


def _default_threads() -> int:
    # One core is left to others: the engine's threads wait for each other by spinning, so that with as many threads
    # as cores a single busy neighbour makes an answer ten times slower.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores - 1))


@attrs.frozen(kw_only=True)
class LocalConfig:
    """Settings of the embedded model.

    ``n_ctx`` is the context in tokens, prompt and answer together. ``n_threads`` is how many threads compute.
    ``temperature`` and ``max_tokens`` hold where a request names none; without ``max_tokens`` a model of the catalogue
    has the limit given there and any other goes on until its context is full. ``models_dir`` is where weights are
    kept, the folder ``models`` of Loom's cache if None. ``verbose`` lets llama.cpp write its log to stderr.
    """

    n_ctx: int = attrs.field(default=4096, validator=[validators.ge(SMALLEST_CONTEXT), validators.le(LARGEST_CONTEXT)])
    n_threads: int = attrs.field(factory=_default_threads, validator=validators.ge(1))
    temperature: float = attrs.field(default=0.0, validator=validators.ge(0.0))
    max_tokens: int | None = attrs.field(default=None, validator=validators.optional(validators.ge(1)))
    models_dir: Path | None = None
    verbose: bool = False
