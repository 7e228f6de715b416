"""JSON texts from the command line: given directly, or as ``@FILE``."""

from __future__ import annotations

import json
from pathlib import Path

from loom_core.errors import BadInput


def json_text(option: str, given: str) -> str:
    """Return the JSON text that an option names; raises ``BadInput`` for what cannot be read or is no JSON."""
    text = _from_file(option, given[1:]) if given.startswith("@") else given
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{option}: not JSON: {error}", hint=f"give JSON, such as '{{\"count\": 3}}', or {option} @FILE"
        ) from error
    return text


def _from_file(option: str, name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{option}: {name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{option}: {name} is not UTF-8 text") from error


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
