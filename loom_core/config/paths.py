"""Where a user's files for Loom are, after the XDG Base Directory Specification 0.8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def user_config_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the user's configuration file, which may not exist."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "loom" / "config.toml"


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the user's cache folder for Loom, which may not exist yet."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / "loom"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    # The specification says that a relative path is invalid and must be ignored.
    named = Path(environ.get(variable, ""))
    if named.is_absolute():
        return named
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / default
