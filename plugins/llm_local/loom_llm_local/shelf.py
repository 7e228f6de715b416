"""The folder of pulled weights: ``NAME.gguf``, beside it ``NAME.json`` (where it came from) and ``NAME.LICENSE``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from loom_core.errors import BadInput, ErrorCategory, ModelFailed, ModelNotFound
from loom_llm_local.catalogue import CATALOGUE, known_model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@attrs.frozen(kw_only=True)
class Origin:
    """Where a file on the shelf came from, and what it was when it came."""

    source: str
    sha256: str
    size_bytes: int


@attrs.frozen
class Shelf:
    """The folder ``folder``, which is made when something is put there."""

    folder: Path

    def find(self, model: str) -> Path:
        """Return the file that ``model`` means: a path, or a name on the shelf. Raises ``ModelNotFound``."""
        if is_path(model):
            return self._existing(Path(model).expanduser())
        if _NAME.fullmatch(model) and self.path_of(model).exists():
            return self.path_of(model)
        if known_model(model):
            fetch = f"fetch them: loom models pull {model}"
            raise ModelNotFound(f"the weights of `{model}` are not here yet", hint=fetch)
        raise ModelNotFound(f"there is no embedded model `{model}`", hint=self._ways())

    def names(self) -> tuple[str, ...]:
        """Return the names of what is on the shelf, sorted."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.gguf") if not path.name.startswith(".")))

    def path_of(self, name: str) -> Path:
        """Return where the weights of that name are or would be."""
        return self.folder / f"{name}.gguf"

    def origin(self, name: str) -> Origin | None:
        """Return where the file of that name came from; None if there is no file or nobody wrote it down."""
        try:
            data = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            origin = Origin(source=str(data["source"]), sha256=str(data["sha256"]), size_bytes=int(data["size_bytes"]))
            return origin if self.path_of(name).stat().st_size == origin.size_bytes else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, name: str, part: Path, origin: Origin) -> Path:
        """Put a complete file in its place in one step, durable before it has the name."""
        with part.open("rb") as file:
            os.fsync(file.fileno())
        self._write(f"{name}.json", json.dumps(attrs.asdict(origin), indent=1))
        return part.replace(self.path_of(name))

    def put_licence(self, name: str, text: str) -> None:
        """Keep a licence beside its weights."""
        self._write(f"{name}.LICENSE", text)

    @contextlib.contextmanager
    def pulling(self, name: str) -> Iterator[None]:
        """Hold the name against a second pull of it, by this process or another. Raises ``ModelFailed`` if held."""
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"`{name}` cannot be the name of a model", hint="letters, digits, dot, dash and underscore, 100 at most"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        # The lock's file stays: removing it would let a third process lock a new one while the second waits on the old.
        with (self.folder / f".{name}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ModelFailed(
                    f"`{name}` is being pulled already",
                    error_category=ErrorCategory.TRANSIENT,
                    hint="wait for the other pull to end",
                ) from error
            yield

    def _existing(self, path: Path) -> Path:
        if not path.exists():
            raise ModelNotFound(f"there is no file {path}", hint=self._ways())
        return path

    def _ways(self) -> str:
        known = ", ".join(dict.fromkeys([*self.names(), *(model.name for model in CATALOGUE)]))
        return f"models there are: {known}; others: local:/path/to/FILE.gguf, or loom models pull URL"

    def _write(self, file_name: str, text: str) -> None:
        part = self.folder / f".{file_name}.new"
        part.write_text(text, encoding="utf-8")
        part.replace(self.folder / file_name)


def is_path(model: str) -> bool:
    """Return whether ``model`` is meant as a path rather than a name."""
    return "/" in model or model.startswith("~") or model.endswith(".gguf")
