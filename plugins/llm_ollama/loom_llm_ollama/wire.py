"""The connection to one Ollama server: HTTP with timeouts of Loom's own, and lines of JSON.

The official client is not used: it drops the ids of tool calls and has no timeout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping
from typing import TypeVar

import attrs
import httpx2

from loom_core.contracts.models import ModelRequest
from loom_core.errors import LoomError
from loom_llm_ollama.body import body
from loom_llm_ollama.failures import Failures
from loom_llm_ollama.settings import Settings

CONNECT_TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 30.0
LONGEST_LINE_BYTES = 64 << 20

Got = TypeVar("Got")


@attrs.frozen
class Wire:
    """An open client; makes no retries."""

    settings: Settings
    client: httpx2.AsyncClient
    failures: Failures

    @classmethod
    def open(cls, settings: Settings) -> Wire:
        """Return a client that has not connected yet."""
        client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {},
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=None),
            trust_env=not settings.loopback,
        )
        return cls(settings, client, Failures(settings))

    async def lines(self, request: ModelRequest) -> AsyncGenerator[Mapping[str, object], None]:
        """Yield the lines of one answer; closing early hangs up, at which Ollama stops generating.

        Raises ``ModelFailed`` and ``ModelNotFound``.
        """
        started = asyncio.get_running_loop().time()
        asked = self._asked("POST", "/api/chat", body(request, self.settings))
        response = await self._within(self.client.send(asked, stream=True), "answer", request.first_event_timeout_s)
        try:
            if response.status_code != 200:
                raise await self._refusal(response, request.model)
            chunks, splitter, seen = response.aiter_bytes(), LineSplitter(), False
            while True:
                if seen:
                    chunk = await self._within(anext(chunks, None), "further line", request.idle_timeout_s)
                else:
                    first = anext(chunks, None)
                    chunk = await self._within(first, "first line", request.first_event_timeout_s, since=started)
                for line in splitter.feed(chunk):
                    seen = True
                    yield self._checked(line, request.model)
                if chunk is None:
                    return
                if splitter.pending_bytes > LONGEST_LINE_BYTES:
                    raise self.failures.endless_line(LONGEST_LINE_BYTES)
        finally:
            await response.aclose()

    async def models(self) -> object:
        """Return the answer of ``/api/tags``."""
        sent = self.client.send(self._asked("GET", "/api/tags", None))
        response = await self._within(sent, "list of models", LIST_TIMEOUT_S)
        if response.status_code != 200:
            raise await self._refusal(response, None)
        try:
            return response.json()
        except ValueError:
            raise self.failures.not_a_line(response.content) from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self.client.aclose()

    def _asked(self, method: str, path: str, content: object) -> httpx2.Request:
        return self.client.build_request(method, self.settings.url + path, json=content)

    def _checked(self, line: bytes, model: str) -> Mapping[str, object]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise self.failures.not_a_line(line) from None
        if not isinstance(value, dict):
            raise self.failures.not_a_line(line)
        if value.get("error"):
            raise self.failures.of_line(value, model)
        return value

    async def _refusal(self, response: httpx2.Response, model: str | None) -> LoomError:
        raw = await self._within(response.aread(), "end of its error", LIST_TIMEOUT_S)
        try:
            said: object = json.loads(raw)
        except (ValueError, RecursionError):
            said = raw[:1000].decode("utf-8", "replace")
        return self.failures.of_status(response.status_code, said, model, response.headers.get("retry-after"))

    async def _within(self, pending: Awaitable[Got], what: str, seconds: float, *, since: float | None = None) -> Got:
        begun = asyncio.get_running_loop().time() if since is None else since
        try:
            async with asyncio.timeout_at(begun + seconds):
                return await pending
        except TimeoutError:
            raise self.failures.timed_out(what, seconds) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self.failures.unreachable(error) from error
        except httpx2.HTTPError as error:
            raise self.failures.hung_up(error) from error


class LineSplitter:
    """Splits a stream at line feeds, and at nothing else.

    ``aiter_lines`` also splits at U+2028 and its kin, which JSON texts may contain unescaped.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.pending_bytes = 0

    def feed(self, chunk: bytes | None) -> Iterator[bytes]:
        """Yield the lines that ``chunk`` completes, blank ones left out; None is the end and completes the last."""
        *ended, rest = [b"", b""] if chunk is None else chunk.split(b"\n")
        for part in ended:
            line = b"".join((*self._pieces, part)).strip()
            self._pieces, self.pending_bytes = [], 0
            if line:
                yield line
        if rest:
            self._pieces.append(rest)
            self.pending_bytes += len(rest)
