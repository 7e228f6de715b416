"""What `loom plugins check` is pointed at: an installed plugin, a project folder, or a module's file."""

from __future__ import annotations

import os
import sys
import tomllib
from difflib import get_close_matches
from pathlib import Path

import attrs

from loom_core.errors import BadInput
from loom_core.plugins.discovery import found, installed


@attrs.frozen(kw_only=True)
class Target:
    """One plugin to check. ``roots`` are folders to import it from, before those of this process."""

    name: str
    module: str
    distribution: str
    roots: tuple[str, ...] = ()


def targets(text: str) -> tuple[Target, ...]:
    """Return the plugins that a target means. Raises ``BadInput`` if it means none."""
    path = Path(text).expanduser()
    if os.sep not in text and not text.endswith(".py"):
        named = _installed(text)
        if named or not path.exists():
            return named or _unknown(text)
    if path.is_dir():
        return _of_project(path.resolve()) if (path / "pyproject.toml").is_file() else _of_folder(path.resolve())
    if path.is_file() and path.suffix == ".py":
        return (_of_file(path.resolve()),)
    raise BadInput(f"`{text}` is neither a plugin's name, nor its folder, nor its .py file")


def _installed(text: str) -> tuple[Target, ...]:
    warnings: list[str] = []
    return tuple(
        Target(name=plugin.name, module=plugin.point.value, distribution=f"{plugin.distribution} {plugin.version}")
        for plugin in found(installed(warnings))
        if plugin.is_one_of((text,))
    )


def _unknown(text: str) -> tuple[Target, ...]:
    warnings: list[str] = []
    names = sorted({plugin.name for plugin in found(installed(warnings))})
    near = get_close_matches(text, names, n=1, cutoff=0.65)
    hint = f"did you mean `{near[0]}`?" if near else f"plugins there are: {', '.join(names) or 'none'}"
    raise BadInput(f"no plugin `{text}` is installed, and there is no such path", hint=hint)


def _of_project(folder: Path) -> tuple[Target, ...]:
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from error
    points = project.get("entry-points", {}).get("loom", {})
    if not points:
        raise BadInput(
            f"{file} declares no plugin",
            hint='add a table [project.entry-points.loom] with a line such as: my_plugin = "loom_my_plugin.plugin"',
        )
    distribution = f"{project.get('name', '?')} {project.get('version', '')}".strip()
    return tuple(
        Target(name=name, module=str(value), distribution=distribution, roots=_roots(folder, str(value)))
        for name, value in sorted(points.items())
    )


def _roots(folder: Path, module: str) -> tuple[str, ...]:
    """Return the folder from which a project's module can be imported: flat, ``src``, or deeper."""
    relative = Path(*module.partition(":")[0].split("."))
    for pattern in (".", "src", "*", "*/*"):
        for root in sorted(folder.glob(pattern)) if pattern != "." else [folder]:
            if (root / relative.with_suffix(".py")).is_file() or (root / relative / "__init__.py").is_file():
                return (str(root),)
    return (str(folder),)


def _of_folder(folder: Path) -> tuple[Target, ...]:
    modules = [folder / "plugin.py"] if (folder / "plugin.py").is_file() else sorted(folder.glob("*/plugin.py"))
    if not modules:
        raise BadInput(
            f"{folder} is no plugin: it has neither a pyproject.toml nor a plugin.py",
            hint="a plugin's folder holds one package with a module plugin.py: docs/plugins.md",
        )
    return tuple(_of_file(module) for module in modules)


def _of_file(file: Path) -> Target:
    """Return the plugin in a file, imported under its package's name if it is in a package."""
    parts, root = [file.stem], file.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if not all(part.isidentifier() for part in parts):
        raise BadInput(f"{file} cannot be imported: `{'.'.join(parts)}` is no module name")
    if len(parts) == 1 and parts[0] in sys.stdlib_module_names:
        raise BadInput(f"{file} has the name of a standard module", hint="rename it, as loom_NAME/plugin.py for one")
    package = parts[-2] if len(parts) > 1 and parts[-1] == "plugin" else parts[-1]
    return Target(
        name=package.removeprefix("loom_"), module=".".join(parts), distribution=f"from {file}", roots=(str(root),)
    )
