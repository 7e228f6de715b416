"""The environment variables that Loom reads; others that look like one of them are mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

PREFIX = "LOOM_"
PLUGIN_PREFIX = "LOOM_PLUGINS__"
VARIABLES = (
    "LOOM_DB",
    "LOOM_MODEL",
    "LOOM_PRICES",
    "LOOM_DISABLE_PLUGINS",
    "LOOM_CONFIG",
    "LOOM_STRICT_PLUGINS",
)
# Loom's own test suite reads these; no command does.
TEST_PREFIXES = ("LOOM_TEST_", "LOOM_FUZZ_")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})
_SERVICE = re.compile(r"LOOM_(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|LOOM_(\w+_)?PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?")


def is_strict(environ: Mapping[str, str]) -> bool:
    """Return whether ``LOOM_STRICT_PLUGINS`` says that a broken plugin is an error."""
    return environ.get("LOOM_STRICT_PLUGINS", "").strip().lower() in _TRUE


def variable_faults(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that is none of Loom's but looks like one; an empty one is an unset one."""
    for name in sorted(environ):
        if name.startswith(PREFIX) and environ[name] and not _is_known(name):
            yield f"environment {name}: is unknown; {_guess(name)}"
    strict = environ.get("LOOM_STRICT_PLUGINS", "").strip().lower()
    if strict not in _TRUE | _FALSE:
        yield "environment LOOM_STRICT_PLUGINS: must be true or false (1 or 0), not this text"


def _is_known(name: str) -> bool:
    if name in VARIABLES or name.startswith((PLUGIN_PREFIX, *TEST_PREFIXES)):
        return True
    # Kubernetes sets these in every container of a namespace with a service named `loom` or `loom-…`.
    return _SERVICE.fullmatch(name) is not None


def _guess(name: str) -> str:
    if name.startswith("LOOM_PLUGIN"):
        return f"write {PLUGIN_PREFIX}NAME__FIELD"
    near = get_close_matches(name, VARIABLES, n=1, cutoff=0.75)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"variables there are: {', '.join(VARIABLES)} and {PLUGIN_PREFIX}NAME__FIELD"
