"""The process that loads one plugin alone and writes down what it finds.

Run as ``python -P -m loom_app.checking.probe SPEC``; ``loom_app.checking.run`` does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import attrs

from loom_app.checking.findings import Finding
from loom_core.plugins import PluginInfo, load_registry

SLOW_IMPORT_MS = 100.0

# Of the standard library, but too dear for every start of every command.
_DEAR = frozenset({"asyncio", "multiprocessing", "sqlite3", "ssl", "http", "unittest", "xml", "tkinter"})


def main(spec_text: str) -> None:
    """Check the plugin that the specification names; write the findings to its ``answer`` file."""
    spec = json.loads(spec_text)
    sys.path[:] = [*spec["roots"], *spec["path"]]
    before = frozenset(sys.modules)
    registry = load_registry(entry_points=[_entry_point(spec)])
    imported = frozenset(sys.modules) - before
    info = registry.plugins[0]
    findings = [*_loading(info), *_imports(info, imported)]
    if info.status != "failed":
        # Imported only now: it would hide what the plugin imports.
        from loom_app.checking.capabilities import capabilities

        findings.extend(capabilities(info, registry, Path(spec["scratch"])))
    Path(spec["answer"]).write_text(json.dumps([attrs.asdict(finding) for finding in findings]), encoding="utf-8")


def _entry_point(spec: dict[str, str]) -> EntryPoint:
    return EntryPoint(name=spec["name"], value=spec["module"], group="loom")


def _loading(info: PluginInfo) -> Iterator[Finding]:
    if info.status == "failed":
        yield Finding("failure", info.error or "does not load")
    elif info.status == "idle":
        yield Finding("failure", "loads but offers nothing: is a hook missing, or its @hookimpl?")
    else:
        yield Finding("ok", f"loads `{info.module}` in {info.import_ms or 0:.1f} ms; hooks: {', '.join(info.hooks)}")
    if (info.import_ms or 0) > SLOW_IMPORT_MS:
        yield Finding("warning", f"takes {info.import_ms:.0f} ms to import, at every start of every command")
    if not info.name.isidentifier() or not info.name.islower():
        yield Finding(
            "warning", f"`{info.name}` should be lower case, digits and `_`: it is also a configuration table"
        )


def _imports(info: PluginInfo, imported: frozenset[str]) -> Iterator[Finding]:
    package = info.module.partition(":")[0].split(".")[0]
    roots = {name.split(".")[0] for name in imported} - {package, "loom_core"}
    heavy = sorted(root for root in roots if root in _DEAR or (root not in sys.stdlib_module_names and root[0] != "_"))
    if heavy:
        yield Finding("failure", f"imports {', '.join(heavy)} when it is loaded: import that in the factory")
    elif info.import_ms is not None and info.status != "failed":
        yield Finding("ok", "imports nothing but loom_core and the standard library")


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1])
