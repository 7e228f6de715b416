"""The wheel and the sdist, built once from a copy of what is tracked here, and folders to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest

ROOT = Path(__file__).parents[2]


def pip_install(target: Path, *what: Path) -> None:
    """Install without dependencies and without a network into a folder."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-compile", "--target", str(target)]
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, *map(str, what)]
    done = subprocess.run(argv, capture_output=True, text=True, env=bare_environment())
    assert done.returncode == 0, done.stderr


def build(source: Path, out: Path, kind: str) -> Path:
    """Build a ``wheel`` or an ``sdist`` of a source tree with the installed back end."""
    argv = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, env=bare_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def bare_environment(**more: str) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("LOOM_", "XDG_", "PYTHON", "PIP_"))}
    return {**kept, **more}


@attrs.frozen
class Installed:
    """A folder with the wheel installed, and processes that see it and the dependencies but not the checkout."""

    site: Path
    place: Path

    def run(self, *argv: str, more: tuple[Path, ...] = (), **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a console script, ``argv[0]``, with this folder and then ``more`` before the other packages."""
        script = argv[0] if "/" in argv[0] else str(self.site / "bin" / argv[0])
        # -P: neither the current folder nor the script's; the editable checkout is hidden by taking its hook away.
        code = (
            "import runpy, sys; "
            "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]; "
            f"sys.path[:] = [p for p in sys.path if not p.startswith({str(ROOT)!r}) or 'site-packages' in p]; "
            f"sys.argv = [{script!r}, *{list(argv[1:])!r}]; runpy.run_path({script!r}, run_name='__main__')"
        )
        path = os.pathsep.join(map(str, (self.site, *more)))
        return subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=self.place,
            capture_output=True,
            text=True,
            env=bare_environment(PYTHONPATH=path, HOME=str(self.place), **environ),
        )


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout, so that a build leaves nothing here and sees nothing that changes meanwhile."""
    copy = tmp_path_factory.mktemp("source") / "loom"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "build")
    shutil.copytree(ROOT, copy, ignore=ignored)
    shutil.copy(ROOT / ".gitignore", copy)
    return copy


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="session")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (inside,) = folder.iterdir()
    return inside


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip_install(folder, wheel)
    return folder


@pytest.fixture
def installed(site: Path, tmp_path: Path) -> Installed:
    place = tmp_path / "place"
    place.mkdir()
    return Installed(site, place)
