"""Download one file over HTTP so that an interrupted download is resumed, never mixed with another version.

Beside the part file stands a small JSON file with the URL and the validator (strong ETag or date) under which its
bytes were served; they are only added to under the same validator (``If-Range``, RFC 9110 section 13.1.5).
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

import attrs

from loom_core.contracts.models import PullProgress
from loom_core.errors import BadInput, ErrorCategory, ModelFailed
from loom_llm_local.copying import PIECE_BYTES, is_full, refuse_if_no_room
from loom_llm_local.gguf import MAGIC

IDLE_TIMEOUT_S = 60.0
MAX_BYTES = 200 * 10**9
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@attrs.frozen(kw_only=True)
class _Version:
    """Which version of which file the bytes of the part file belong to."""

    url: str
    validator: str


class Download:
    """Fetch ``url`` into ``part``. ``run`` blocks; ``tell`` may raise to stop it, what has arrived stays."""

    def __init__(self, url: str, part: Path, *, what: str, tell: PullProgress) -> None:
        self._url = url
        self._part = part
        self._note = part.with_name(f"{part.name}.json")
        self._what = what
        self._tell = tell

    def run(self) -> Path:
        """Download all of it, or the rest of it, and return the part file, now complete.

        Raises ``BadInput`` for what will not get better by itself, ``ModelFailed`` (transient) for what may.
        """
        opener = urllib.request.build_opener(_NoDowngrade())
        try:
            with opener.open(self._request(), timeout=IDLE_TIMEOUT_S) as response:
                self._receive(response)
        except urllib.error.HTTPError as error:
            with error:
                return self._after_refusal(error)
        except http.client.InvalidURL as error:
            raise BadInput(f"`{self._url}` is not a URL: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, PermissionError) or (isinstance(error, OSError) and is_full(error)):
                raise
            raise self._interrupted(str(getattr(error, "reason", error) or type(error).__name__)) from error
        self._note.unlink(missing_ok=True)
        return self._part

    def _request(self) -> urllib.request.Request:
        # Without `identity` a proxy may compress, and then ranges count other bytes.
        headers = {"Accept-Encoding": "identity", "User-Agent": "loom"}
        version, have = self._version(), self._have()
        if have and version:
            headers |= {"Range": f"bytes={have}-", "If-Range": version.validator}
        try:
            return urllib.request.Request(self._url, headers=headers)  # noqa: S310 - the caller admits http and https
        except ValueError as error:
            raise BadInput(f"`{self._url}` is not a URL: {error}") from error

    def _receive(self, response: http.client.HTTPResponse) -> None:
        start = self._start(response)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else None
        if (total or 0) > MAX_BYTES:
            raise BadInput(f"{self._url} was not pulled: {total} bytes are more than {MAX_BYTES}")
        refuse_if_no_room(self._part.parent, (total or 0) - start)
        self._write_note(response)
        with self._part.open("r+b" if start else "wb") as file:
            file.seek(start)
            done = self._copy(response, file, start, total)
            file.truncate(done)
        if total is not None and done != total:
            raise self._interrupted(f"{done} of {total} bytes arrived")

    def _copy(self, response: http.client.HTTPResponse, file: IO[bytes], start: int, total: int | None) -> int:
        done = start
        self._tell(self._what, done, total)
        while piece := response.read1(PIECE_BYTES):
            if done == 0 and not piece.startswith(MAGIC[: len(piece)]):
                raise BadInput(
                    f"{self._url} was not pulled: it is no GGUF file", hint="is it the page about the file, or a login?"
                )
            file.write(piece)
            done += len(piece)
            if done > MAX_BYTES:
                raise BadInput(f"{self._url} was not pulled: it is longer than {MAX_BYTES} bytes")
            self._tell(self._what, done, total)
        return done

    def _start(self, response: http.client.HTTPResponse) -> int:
        """Return the offset that the answer's bytes belong to."""
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            return 0
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self._have():
            raise self._interrupted("the server sent another part of the file than was asked for")
        return int(match[1])

    def _after_refusal(self, error: urllib.error.HTTPError) -> Path:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._have():
            if error.headers.get("Content-Range") == f"bytes */{self._have()}":
                self._note.unlink(missing_ok=True)
                return self._part  # it was complete, only nobody had noticed
            self._part.unlink()
            self._note.unlink(missing_ok=True)
            return self.run()
        if error.code in (408, 425, 429) or error.code >= 500:
            raise self._interrupted(f"HTTP {error.code} {error.reason}") from error
        raise BadInput(f"{self._url} was not pulled: HTTP {error.code} {error.reason}") from error

    def _interrupted(self, why: str) -> ModelFailed:
        return ModelFailed(
            f"{self._url} was not pulled: {why}",
            error_category=ErrorCategory.TRANSIENT,
            is_retryable=True,
            hint="the same command goes on where this one stopped" if self._have() else None,
        )

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _version(self) -> _Version | None:
        try:
            data = json.loads(self._note.read_text(encoding="utf-8"))
            version = _Version(url=data["url"], validator=data["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if version.url == self._url and version.validator else None

    def _write_note(self, response: http.client.HTTPResponse) -> None:
        etag = response.headers.get("ETag", "")
        weak = not etag or etag.startswith("W/")  # a weak one does not promise the same bytes
        validator = response.headers.get("Last-Modified", "") if weak else etag
        self._note.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirects on the web, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """Return the request that follows a redirect."""
        admitted = ("https:",) if req.full_url.startswith("https:") else ("https:", "http:")
        if not newurl.startswith(admitted):
            fp.close()
            raise BadInput(f"{req.full_url} was not pulled: it redirects to {newurl}, which is not {admitted[0]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
