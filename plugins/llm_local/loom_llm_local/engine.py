"""A loaded model: llama.cpp's server in this process, reached through a Unix socket that only this process can open.

Why a socket and not the binding's callbacks: there is none while a prompt is being read, which takes minutes for a long
one, so that a callback cannot stop it. Closing a connection stops the engine within a second or two in either phase,
no thread is blocked, and nothing of the engine ever calls into Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Mapping
from pathlib import Path
from typing import TypeVar

from loom_core.errors import ErrorCategory, ModelFailed
from loom_core.wire.chat_errors import failure_from_error
from loom_llm_local.engine_spec import SILENT, TALKATIVE, EngineSpec, build_params, socket_folder
from loom_llm_local.threads import on_thread
from loom_llm_local.unix_http import Answer, post

T = TypeVar("T")

WHO = "the embedded model"
QUIET_TIMEOUT_S = 15.0


class Engine:
    """One loaded model. It answers one request at a time; others wait for their turn.

    Belongs to the event loop that uses it. ``Engine(...)`` blocks for the load and holds the interpreter's lock
    meanwhile, which is the binding's doing: call it on a thread, after a trial has warmed the page cache.
    """

    def __init__(self, spec: EngineSpec, *, verbose: bool) -> None:
        import xllamacpp

        self._n_ctx = spec.n_ctx
        self._turn = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._closed = False
        self._perhaps_busy = False
        with socket_folder() as folder:
            socket_path = Path(folder) / "engine.sock"
            verbosity = TALKATIVE if verbose else SILENT
            self._server = xllamacpp.Server(build_params(spec, socket_path=str(socket_path), verbosity=verbosity))
            self._door = _Door(socket_path)

    async def chat(
        self, body: Mapping[str, object], *, first_timeout_s: float, idle_timeout_s: float
    ) -> AsyncGenerator[object, None]:
        """Yield the chunks of a streamed chat completion, parsed. Closing the generator stops the engine.

        A stream that is open holds up the others, also while nobody reads it. Timeouts are seconds until the first
        chunk, counted from this request's turn, and between two. Raises ``ModelFailed``.
        """
        async with self._turn:
            reader, writer = await self._connect()
            self._writer, self._perhaps_busy = writer, True
            try:
                answer = await _within(first_timeout_s, post(reader, writer, "/v1/chat/completions", _json(body)))
                if answer.status != 200:
                    raise self._refusal(answer.status, await _within(idle_timeout_s, answer.body()))
                async with contextlib.aclosing(_chunks(answer, idle_timeout_s)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                self._perhaps_busy = False
            except ConnectionError as error:
                raise ModelFailed(
                    f"{WHO} stopped answering: {error}", error_category=ErrorCategory.TRANSIENT, is_retryable=True
                ) from error
            finally:
                self._writer = None
                writer.transport.abort()

    async def aclose(self) -> None:
        """Unload the model; a stream that is open is cut.

        Waits until the engine is idle: taking it down while it computes would freeze the whole process.
        """
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._writer.transport.abort()
        if self._perhaps_busy:
            await self._become_idle()
        await on_thread(self._unload)

    def _unload(self) -> None:
        self._server = None
        self._door.close()

    async def _become_idle(self) -> None:
        """Ask for one token and wait for it: it comes after whatever was given up has stopped."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(QUIET_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._door.address)
                try:
                    answer = await post(reader, writer, "/v1/completions", _json({"prompt": " ", "max_tokens": 1}))
                    await answer.body()
                finally:
                    writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._closed:
            raise ModelFailed(f"{WHO} was closed", error_category=ErrorCategory.VALIDATION)
        return await asyncio.open_unix_connection(self._door.address)

    def _refusal(self, status: int, body: bytes) -> ModelFailed:
        try:
            error = json.loads(body)["error"]
        except (ValueError, TypeError, KeyError):
            error = body.decode(errors="replace")
        # Its 500 is a request that it cannot put into the model's template; asked again it would say the same.
        failure = failure_from_error(error, who=WHO, status=400 if status == 500 else status)
        if isinstance(error, dict) and error.get("type") == "exceed_context_size_error":
            failure.hint = (
                f"the context holds {self._n_ctx} tokens, prompt and answer together: shorten the conversation "
                f"or raise n_ctx under [plugins.llm_local]"
            )
        return failure


class _Door:
    """The way to the engine's socket. On Linux a descriptor of the unlinked socket: no path is left for anyone to find.

    Elsewhere the socket stays in a folder of mode 0700 until ``close``.
    """

    def __init__(self, socket_path: Path) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._descriptor: int | None = None
        if sys.platform == "linux":
            self._descriptor = os.open(socket_path, os.O_PATH | os.O_CLOEXEC)
            self.address = f"/proc/self/fd/{self._descriptor}"
            return
        self._folder = socket_folder()
        self.address = str(socket_path.rename(Path(self._folder.name) / socket_path.name))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._folder is not None:
            self._folder.cleanup()


async def _chunks(answer: Answer, idle_timeout_s: float) -> AsyncGenerator[object, None]:
    async with contextlib.aclosing(answer.events()) as events:
        while (event := await _within(idle_timeout_s, anext(events, None))) not in (None, "[DONE]"):
            assert event is not None
            yield json.loads(event)


async def _within(timeout_s: float, awaitable: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await awaitable
    except TimeoutError as error:
        raise ModelFailed(
            f"{WHO} said nothing for {timeout_s:g} s", error_category=ErrorCategory.TRANSIENT, is_retryable=True
        ) from error


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", errors="replace")
