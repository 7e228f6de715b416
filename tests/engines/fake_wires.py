"""What the fake model servers share: a server on a loopback port whose faults are chosen by the model's name.

Asking for the model ``index0`` gets the fault ``index0``; ``good`` is a well-behaved model, ``endless`` one that talks
until it is hung up on. So a server has no state that a test could leave behind, and faults can be mixed in one test.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

TEXT = "Grüße\u2028from the wire, in pieces."
DEADLINE_S = 10.0

Json = dict[str, object]


@attrs.frozen
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Json


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # so that closing joins the handlers, and no socket is left open


class FakeServer:
    """A server in a thread; use as a context manager. ``seen`` has the requests in the order in which they came."""

    def __init__(self, answer: Callable[[Reply, Seen], None], prefix: str = "") -> None:
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._busy = 0
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._answer = answer
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}{prefix}"

    def __enter__(self) -> FakeServer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        for connection in [*self._connections]:  # kept alive by a client that has not closed
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def busy(self) -> int:
        """Return how many requests are being answered."""
        return self._busy

    def wait_until_idle(self) -> None:
        """Wait until every request has been answered or given up; fails after ten seconds."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._busy == 0, DEADLINE_S), f"{self._busy} requests still run"

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = DEADLINE_S

            def setup(self) -> None:
                super().setup()
                outer._connections.add(self.connection)

            def finish(self) -> None:
                outer._connections.discard(self.connection)
                super().finish()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(
                    self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(raw or b"{}")
                )
                outer.seen.append(seen)
                outer._count(1)
                try:
                    outer._answer(Reply(self, outer.closing), seen)
                except OSError:
                    self.close_connection = True  # the client hung up
                finally:
                    outer._count(-1)
                self.close_connection |= outer.closing.is_set()

        return Handler

    def _count(self, by: int) -> None:
        with self._changed:
            self._busy += by
            self._changed.notify_all()


class Reply:
    """One answer, written whole or in chunks."""

    def __init__(self, handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        self._handler = handler
        self._closing = closing
        self._streaming = False

    def whole(self, status: int, body: object, content_type: str = "application/json", **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self._handler.wfile.write(data)

    def part(self, text: str, content_type: str) -> None:
        if not self._streaming:
            self._streaming = True
            self._handler.send_response(200)
            self._handler.send_header("Content-Type", content_type)
            self._handler.send_header("Transfer-Encoding", "chunked")
            self._handler.end_headers()
        data = text.encode()
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self._handler.wfile.flush()

    def end(self) -> None:
        self._handler.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """Break the connection in the middle of the body."""
        self._handler.close_connection = True

    def stall(self) -> None:
        """Say nothing more until the client hangs up or the server closes."""
        self._handler.close_connection = True
        self._handler.connection.settimeout(0.02)
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._handler.connection.recv(1):
                    return

    def pause(self) -> bool:
        """Let a moment pass between pieces of an endless answer; False when the server closes."""
        return not self._closing.wait(0.002)


STATUS_FAULTS: dict[str, tuple[int, str]] = {
    "429": (429, "slow down"),
    "503": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "500": (500, "the runner has stopped"),
    "401": (401, "bad credentials"),
    "403": (403, "not for you"),
    "422": (422, "what is this"),
    "overflow": (400, "the request exceeds the available context size, the input length exceeds the context length"),
}


def words() -> list[str]:
    """Return the well-behaved answer in pieces."""
    return [TEXT[start : start + 5] for start in range(0, len(TEXT), 5)]


def calls_wanted(body: Json) -> bool:
    """Say whether tools are offered and the user spoke last."""
    messages = body["messages"]
    assert isinstance(messages, list)
    return bool(body.get("tools")) and messages[-1]["role"] == "user"


def tool(body: Json) -> str:
    """Return the name of the first tool that is offered."""
    tools = body.get("tools")
    return tools[0]["function"]["name"] if isinstance(tools, list) and tools else "add"
