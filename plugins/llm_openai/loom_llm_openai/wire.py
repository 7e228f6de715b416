"""The connection to one server: the official SDK for transport and events, Loom's own timeouts and errors around it.

Answers are taken as plain JSON, not as the SDK's classes: those take for granted fields that many servers leave out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import TypeVar

import attrs
import openai

from loom_core.contracts.models import ModelRequest
from loom_llm_openai.body import body, headers
from loom_llm_openai.failures import Failures
from loom_llm_openai.settings import Settings

CONNECT_TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 30.0

Got = TypeVar("Got")
Chunks = openai.AsyncStream[object]


@attrs.frozen
class Wire:
    """An open client. Makes no retries: the runtime journals every attempt, and a hidden one would be paid twice."""

    settings: Settings
    client: openai.AsyncOpenAI
    failures: Failures

    @classmethod
    def open(cls, settings: Settings) -> Wire:
        """Return a client that has not connected yet. Nothing is left to the SDK's own look at the environment."""
        client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not settings.loopback),
        )
        return cls(settings, client, Failures(settings))

    async def chunks(self, request: ModelRequest) -> AsyncGenerator[Mapping[str, object], None]:
        """Yield the chunks of one answer; closing early hangs up. Raises ``ModelFailed`` and ``ModelNotFound``."""
        if self.settings.official and self.settings.api_key is None:
            raise self.failures.missing_key()
        started = asyncio.get_running_loop().time()
        stream = await self._within(self._post(request), "first event", request.first_event_timeout_s, request.model)
        seen = False
        try:
            while True:
                chunk = await self._next(stream, request, None if seen else started)
                if chunk is None:
                    break
                seen = True
                yield self._checked(chunk, request.model)
        finally:
            await stream.close()
        if not seen and not stream.response.headers.get("content-type", "").startswith("text/event-stream"):
            raise self.failures.no_events(stream.response.headers.get("content-type", ""))

    async def models(self) -> object:
        """Return the server's list of models as it sends it."""
        if self.settings.official and self.settings.api_key is None:
            raise self.failures.missing_key()
        asked = self.client.get("/models", options={"headers": self._identity()}, cast_to=object)
        return await self._within(asked, "list of models", LIST_TIMEOUT_S, None)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.client.close()

    def _post(self, request: ModelRequest) -> Awaitable[Chunks]:
        return self.client.post(
            "/chat/completions",
            body=body(request, official=self.settings.official),
            options={"headers": {**self._identity(), **headers(request)}},
            cast_to=object,
            stream=True,
            stream_cls=Chunks,
        )

    def _identity(self) -> dict[str, str | openai.Omit]:
        """Return who asks; what is not configured is left out, whatever the SDK found in the environment."""
        unsent = openai.Omit()
        return {
            **({} if self.settings.api_key else {"Authorization": unsent}),
            "OpenAI-Organization": self.settings.organization or unsent,
            "OpenAI-Project": self.settings.project or unsent,
        }

    async def _next(self, stream: Chunks, request: ModelRequest, started: float | None) -> object:
        """Return the next event, None at the end. ``started`` is when the request was, while the first is due."""
        if started is None:
            return await self._within(anext(stream, None), "further event", request.idle_timeout_s, request.model)
        return await self._within(
            anext(stream, None), "first event", request.first_event_timeout_s, request.model, since=started
        )

    def _checked(self, chunk: object, model: str) -> Mapping[str, object]:
        if not isinstance(chunk, Mapping):
            raise self.failures.not_a_chunk()
        if chunk.get("error"):
            raise self.failures.of_object(chunk["error"], model)
        return chunk

    async def _within(
        self, pending: Awaitable[Got], what: str, seconds: float, model: str | None, *, since: float | None = None
    ) -> Got:
        begun = asyncio.get_running_loop().time() if since is None else since
        try:
            async with asyncio.timeout_at(begun + seconds):
                return await pending
        except TimeoutError:
            raise self.failures.timed_out(what, seconds) from None
        except Exception as error:
            failure = self.failures.of(error, model)
            if failure is None:
                raise
            raise failure from (None if self.failures.shows_key(error) else error)
