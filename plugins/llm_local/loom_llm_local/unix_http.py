"""The little of HTTP/1.1 that asking our own engine takes: one POST a connection, answers read as they come.

Source: RFC 9112, sections 3, 4 and 7.1; https://html.spec.whatwg.org/multipage/server-sent-events.html for ``events``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping

import attrs


class BrokenAnswer(ConnectionError):
    """The connection ended inside the answer, or the answer is not HTTP."""


@attrs.frozen(kw_only=True)
class Answer:
    """Status and headers of an answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives. Raises ``BrokenAnswer`` when it is cut."""
        try:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                yield await self.reader.readexactly(int(self.headers.get("content-length", "0")))
                return
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise BrokenAnswer("the answer was cut") from error

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self.pieces()])

    async def events(self) -> AsyncGenerator[str, None]:
        """Yield the data of each server-sent event; comments, which keep the connection alive, are left out."""
        rest = b""
        async with contextlib.aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield line[5:].strip().decode("utf-8", errors="replace")


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, body: bytes) -> Answer:
    """Send ``body``, JSON, to ``target`` and return the answer once its headers are there."""
    head = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode("ascii") + body)
    await writer.drain()
    return await _answer(reader)


async def _answer(reader: asyncio.StreamReader) -> Answer:
    parts = (await reader.readline()).split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise BrokenAnswer("no answer")
    headers = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if not line:
        raise BrokenAnswer("the answer was cut in its headers")
    return Answer(status=int(parts[1]), headers=headers, reader=reader)
