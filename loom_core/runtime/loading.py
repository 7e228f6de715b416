"""Agents from files and modules: ``file.py``, ``file.py:name``, ``package.module:name``.

A file is loaded under a private module name, so that one called ``json.py`` does not become everybody's ``json``. Its
neighbours can be imported as from a script, by a finder that steps back for the standard library and for the file's
own name: putting the folder on ``sys.path`` would let the file shadow what others import later.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from loom_core.errors import AgentLoadError, LoomError
from loom_core.runtime.agent import Agent
from loom_core.runtime.runner import AgentRunner

_NO_AGENT_HINT = (
    "define `agent = Agent(name=…, step=…, initial_state=…)`, or `build_runner(db)` and `initial_state()`; "
    "name another object with FILE.py:NAME"
)


@attrs.frozen(kw_only=True)
class LoadedAgent:
    """What was found: an ``agent``, or functions that build a runner and its first state, and where (``reference``)."""

    reference: str
    agent: Agent | None = None
    build_runner: Callable[[Any], AgentRunner] | None = None
    initial_state: Callable[[], Any] | None = None

    def runner(self, store: Any, **options: Any) -> AgentRunner:
        """Return a runner of this agent on ``store`` (a path or URL for ``build_runner``)."""
        if self.agent is not None:
            return AgentRunner(agent=self.agent, store=store, **options)
        if self.build_runner is None:
            raise AgentLoadError(f"{self.reference} offers no agent", hint=_NO_AGENT_HINT)
        runner = _call(self.reference, "build_runner", lambda: self.build_runner(store))  # type: ignore[misc]
        if not isinstance(runner, AgentRunner):
            raise AgentLoadError(f"build_runner of {self.reference} returned {type(runner).__name__}, no AgentRunner")
        runner.configure(reference=self.reference, **options)
        return runner

    def first_state(self) -> Any:
        """Return the state that a run without input starts with."""
        if self.agent is not None:
            return _call(self.reference, "initial_state", self.agent.first_state)
        if self.initial_state is None:
            raise AgentLoadError(f"{self.reference} has build_runner but no initial_state()", hint=_NO_AGENT_HINT)
        return _call(self.reference, "initial_state", self.initial_state)


def load_agent(target: str) -> LoadedAgent:
    """Load what ``target`` names; raises ``AgentLoadError`` with the reason and, for a file that raises, the line."""
    place, _, name = target.partition(":")
    if place.endswith(".py") or "/" in place:
        path = Path(place).absolute()
        module, reference = _load_file(path, place), str(path)
    else:
        module, reference = _load_module(place), place
    found = _find(module, name, reference)
    return attrs.evolve(found, reference=f"{reference}:{name}" if name else reference)


def _find(module: ModuleType, name: str, reference: str) -> LoadedAgent:
    if name:
        return _wrap(getattr(module, name, None), f"{reference}:{name}", name)
    if isinstance(getattr(module, "agent", None), Agent):
        return _wrap(module.agent, reference, "agent")
    build = getattr(module, "build_runner", None)
    if callable(build):
        return LoadedAgent(
            reference=reference, build_runner=build, initial_state=getattr(module, "initial_state", None)
        )
    agents = [key for key, value in vars(module).items() if isinstance(value, Agent)]
    if agents:
        raise AgentLoadError(
            f"{reference} has no `agent`",
            hint=f"name the one you mean: {', '.join(f'{reference}:{a}' for a in agents)}",
        )
    raise AgentLoadError(f"{reference} offers no agent", hint=_NO_AGENT_HINT)


def _wrap(value: object, reference: str, name: str) -> LoadedAgent:
    if isinstance(value, Agent):
        return LoadedAgent(reference=reference, agent=attrs.evolve(value, reference=reference))
    what = "is not there" if value is None else f"is a {type(value).__name__}, not an Agent"
    raise AgentLoadError(f"`{name}` in {reference.rpartition(':')[0] or reference} {what}", hint=_NO_AGENT_HINT)


def _load_file(path: Path, shown: str) -> ModuleType:
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise AgentLoadError(f"agent file {shown} {what}", hint="give FILE.py, FILE.py:NAME or package.module:NAME")
    name = f"loom_agent_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AgentLoadError(f"agent file {shown} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs: dataclasses and pickle look their module up by name.
    sys.modules[name] = module
    _Neighbours.install(path)
    try:
        _execute(lambda: spec.loader.exec_module(module), shown, path)  # type: ignore[union-attr]
    except AgentLoadError:
        sys.modules.pop(name, None)
        raise
    return module


def _load_module(name: str) -> ModuleType:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise AgentLoadError(
            f"no module `{name}` can be imported", hint="give FILE.py for a file, or install the package that has it"
        )
    loaded: list[ModuleType] = []
    _execute(lambda: loaded.append(importlib.import_module(name)), name, None)
    return loaded[0]


def _execute(action: Callable[[], object], shown: str, path: Path | None) -> None:
    try:
        action()
    except SyntaxError as error:
        raise AgentLoadError(f"{shown}, line {error.lineno}: {error.msg}") from error
    except LoomError as error:
        raise AgentLoadError(f"{shown}{_line(error, path)}: {error}", hint=error.hint) from error
    except (Exception, SystemExit) as error:
        raise AgentLoadError(f"{shown}{_line(error, path)} raised {type(error).__name__}: {error}") from error


def _line(error: BaseException, path: Path | None) -> str:
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if path is not None and f.filename == str(path)
    ]
    return f", line {lines[-1]}," if lines else ""


def _call(reference: str, name: str, function: Callable[[], Any]) -> Any:
    try:
        value = function()
    except LoomError:
        raise
    except Exception as error:
        raise AgentLoadError(f"{name} of {reference} raised {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(value):
        value.close()
        raise AgentLoadError(f"{name} of {reference} is async; it has to be a plain function")
    return value


class _Neighbours(importlib.abc.MetaPathFinder):
    """Finds the modules beside an agent file."""

    def __init__(self, folder: str, own_name: str) -> None:
        self._folder = folder
        self._hidden = {own_name, "__init__", *sys.stdlib_module_names}

    @classmethod
    def install(cls, path: Path) -> None:
        folder, own = str(path.parent), path.stem
        # The file's own folder is the most specific place, yet built-in and frozen modules stay theirs.
        known = [f for f in sys.meta_path if isinstance(f, cls) and f._folder == folder and own in f._hidden]
        if not known:
            sys.meta_path.insert(0, cls(folder, own))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or fullname in self._hidden:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self._folder], target)
