"""The arguments of a tool call as a model writes them: a JSON text that nobody has checked."""

from __future__ import annotations

import json
import math

from loom_core.contracts.tools import Tool
from loom_core.errors import ToolArgumentsInvalid


def arguments_from_json(tool: Tool, text: str) -> dict[str, object]:
    """Return the arguments in ``text``, which must be a JSON object; nothing at all is an empty one.

    Raises ``ToolArgumentsInvalid`` for what is not JSON, is no object, names a key twice, or holds a number or a
    character that JSON cannot hold. Whether the arguments fit the tool is for ``tool.bind`` to say.
    """
    if not text.strip():
        return {}
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ToolArgumentsInvalid(tool.name, ("the arguments hold half a character (a lone surrogate)",)) from error
    except json.JSONDecodeError as error:
        fault = f"the arguments are not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ToolArgumentsInvalid(tool.name, (fault,)) from error
    except (ValueError, RecursionError) as error:
        fault = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ToolArgumentsInvalid(tool.name, (f"the arguments are not usable JSON: {fault}",)) from error
    if not isinstance(data, dict):
        fault = f"the arguments must be a JSON object, not {_KINDS.get(type(data), 'a number')}"
        raise ToolArgumentsInvalid(tool.name, (fault,))
    return data


_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {json.dumps(key)} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is too large for a number")
    return value
