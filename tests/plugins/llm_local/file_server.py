"""A web server on loopback with one file and the faults that web servers have."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs


@attrs.define(kw_only=True)
class Site:
    """What is served and how; ``requests`` has the headers of each request."""

    url: str
    content: bytes
    headers: dict[str, str] = attrs.field(factory=lambda: {"ETag": '"v1"'})
    status: int | None = None
    cut_after: int | None = None
    ranges: bool = True
    length: bool = True
    redirect: str | None = None
    range_offset: int = 0
    requests: list[dict[str, str]] = attrs.field(factory=list)
    hold: threading.Event | None = None


@contextlib.contextmanager
def serve(content: bytes, name: str = "model.gguf") -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    site = Site(url=f"http://127.0.0.1:{server.server_port}/files/{name}", content=content)
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        if site.hold is not None:
            site.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.requests.append(dict(self.headers))
        if site.redirect is not None:
            self._send(302, {"Location": site.redirect}, b"")
            return
        if site.status is not None:
            self._send(site.status, {}, b"no")
            return
        start = self._wanted_start(site)
        if start > 0 and start >= len(site.content):
            self._send(416, {"Content-Range": f"bytes */{len(site.content)}"}, b"")
            return
        body = site.content[start:]
        headers = dict(site.headers)
        if start:
            first = start + site.range_offset
            headers["Content-Range"] = f"bytes {first}-{len(site.content) - 1}/{len(site.content)}"
        self._send(206 if start else 200, headers, body, site)

    def _wanted_start(self, site: Site) -> int:
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (site.headers.get("ETag"), site.headers.get("Last-Modified"))
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and fresh and site.ranges else 0

    def _send(self, status: int, headers: dict[str, str], body: bytes, site: Site | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if site is None or site.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = len(body) if site is None or site.cut_after is None else site.cut_after
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if site is not None and site.hold is not None:
                site.hold.wait()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
