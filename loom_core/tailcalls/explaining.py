"""A whole file explained without executing it: which of its functions loop, which do not, and why."""

from __future__ import annotations

import ast
import inspect
import stat
import sys
import tokenize
from collections.abc import Iterator, Sequence, Set
from difflib import get_close_matches
from pathlib import Path
from types import CellType, FunctionType

import attrs

from loom_core.errors import BadInput
from loom_core.tailcalls.analysis import analyse
from loom_core.tailcalls.calls import Kept
from loom_core.tailcalls.examining import Options, examine_definition
from loom_core.tailcalls.references import Module, Transform
from loom_core.tailcalls.report import TailCallReport, TailCallSite
from loom_core.tailcalls.sites import in_order, kept_site, site_of
from loom_core.tailcalls.source import Definition, definitions_in, quiet
from loom_core.tailcalls.streams_analysis import analyse_stream
from loom_core.tailcalls.walking import spelled
from loom_core.tailcalls.written_options import WrittenOptions, options_of


@attrs.frozen(kw_only=True)
class ExplainedFunction:
    """One function of a file. ``transform`` is the decorator that it has, None if it only calls itself."""

    transform: Transform | None
    report: TailCallReport


@attrs.frozen(kw_only=True)
class FileExplanation:
    """The functions of a file, in source order. ``accepted`` is False if a decorated one is rejected."""

    path: str
    functions: tuple[ExplainedFunction, ...]

    @property
    def accepted(self) -> bool:
        """Return whether the file can be imported, as far as tail calls go."""
        return all(one.report.accepted for one in self.functions if one.transform is not None)


def explain_file(path: Path, function: str | None = None) -> FileExplanation:
    """Explain the functions of a file that are decorated by ``tailrec`` or ``tailstream`` or call themselves.

    ``function`` names one instead, whatever it is: ``name``, ``Class.method``, ``outer.inner``. The file is parsed and
    compiled, never executed; decorators are recognised by the imports and assignments that the file itself shows.

    Raises ``BadInput`` where the file is missing or no Python, and where it has no such function.
    """
    text = _read(path)
    tree, definitions = _compiled(text, path)
    chosen = definitions if function is None else _named(function, definitions, path)
    module = Module(tree)
    decorated = {
        one.node.name for one in definitions if not one.scopes and module.transform_of(one.node, one.scopes) is not None
    }
    explained = (_explained(module, one, decorated, always=function is not None) for one in chosen)
    return FileExplanation(path=str(path), functions=tuple(one for one in explained if one is not None))


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        near = get_close_matches(path.name, _python_files(path.parent), n=1)
        hint = f"did you mean `{path.parent / near[0]}`?" if near else "name a Python file: FILE or FILE:FUNCTION"
        raise BadInput(f"there is no file `{path}`", hint=hint) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read `{path}`: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        raise BadInput(f"`{path}` is not a file", hint="name one Python file")
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeError, LookupError) as error:
        # An encoding that the file names may be none of text (`base64`), or refuse everything (`undefined`).
        reason = error.msg if isinstance(error, SyntaxError) else f"it is not text in its encoding: {error}"
        raise BadInput(f"`{path}` is not Python: {reason}", hint="name one Python file") from error
    except OSError as error:
        raise BadInput(f"cannot read `{path}`: {error.strerror or error}") from error


def _python_files(folder: Path) -> list[str]:
    return [one.name for one in folder.glob("*.py")] if folder.is_dir() else []


def _compiled(text: str, path: Path) -> tuple[ast.Module, list[Definition]]:
    try:
        # What the file's own author may be warned of (an invalid escape) is not what was asked here.
        with quiet():
            # Compiled first: the parser alone lets a `return` outside of a function pass.
            definitions = definitions_in(text, str(path))
            return ast.parse(text, str(path)), definitions
    except SyntaxError as error:
        place = f" (line {error.lineno}, column {error.offset})" if error.lineno else ""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        hint = f"it is read by Python {version}, which runs this command; check it: python -m py_compile {path}"
        raise BadInput(f"`{path}` is not Python{place}: {error.msg}", hint=hint) from error
    except (RecursionError, MemoryError) as error:
        raise BadInput(f"`{path}` is nested too deeply to be read") from error
    except ValueError as error:
        raise BadInput(f"`{path}` is not Python: {error}") from error


def _named(function: str, definitions: Sequence[Definition], path: Path) -> list[Definition]:
    wanted = function.replace(".<locals>", "")
    found = [one for one in definitions if _name(one) == wanted]
    if found:
        return found
    names = list(dict.fromkeys(_name(one) for one in definitions))
    near = [one for one in names if one.rpartition(".")[2] == wanted] or get_close_matches(wanted, names, n=3)
    if near:
        hint: str | None = "did you mean " + " or ".join(f"`{one}`" for one in near[:3]) + "?"
    else:
        hint = "functions there are: " + ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else None
    raise BadInput(f"`{path}` has no function `{function}`", hint=hint)


def _name(definition: Definition) -> str:
    return ".".join(one.name for one in (*definition.scopes, definition.node))


def _explained(
    module: Module, definition: Definition, decorated: Set[str], *, always: bool
) -> ExplainedFunction | None:
    """Explain a function if there is something to say of it, or ``always``."""
    node, scopes = definition.node, definition.scopes
    position, reference = module.transform_of(node, scopes) or (0, None)
    transform = reference.transform if reference is not None else None
    is_stream = bool(definition.code.co_flags & inspect.CO_ASYNC_GENERATOR)
    if transform is None and not always and not _is_recursion(definition, is_stream=is_stream):
        return None
    options = options_of(reference)
    report = _report(definition, options, is_stream=is_stream if transform is None else transform == "tailstream")
    if transform == "tailrec":
        report = attrs.evolve(report, sites=in_order([*report.sites, *_others(definition, decorated, report.sites)]))
    if transform is not None:
        notes = [*report.notes, *_notes(node.decorator_list, position, options)]
    else:
        report = attrs.evolve(report, sites=tuple(_without_decorator(site) for site in report.sites))
        notes = [*report.notes, *_notes_of_undecorated(report, module.unfollowed(node))]
    return ExplainedFunction(transform=transform, report=attrs.evolve(report, notes=tuple(notes)))


def _report(definition: Definition, written: WrittenOptions, *, is_stream: bool) -> TailCallReport:
    options = Options(leave_first=written.leave_first, group=written.group, stream=is_stream)
    report, _ = examine_definition(_stand_in(definition), definition, options)
    sites = [site_of(definition, "rejected", fault.node, fault.reason, fault.instead) for fault in written.faults]
    return attrs.evolve(
        report,
        function=definition.code.co_qualname,
        accepted=report.accepted and not sites,
        sites=in_order([*report.sites, *sites]),
    )


def _stand_in(definition: Definition) -> FunctionType:
    """Return a function that is compiled like the one in the file, and never called."""
    code, arguments = definition.code, definition.node.args
    fn = FunctionType(code, {}, code.co_name, None, tuple(CellType() for _ in code.co_freevars))
    fn.__defaults__ = (None,) * len(arguments.defaults) or None
    fn.__kwdefaults__ = {
        one.arg: None for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
    } or None
    fn.__module__ = definition.path
    return fn


def _others(definition: Definition, decorated: Set[str], told: Sequence[TailCallSite]) -> Iterator[TailCallSite]:
    """Yield the tail calls of other decorated functions of the file, unless something was said of them."""
    if not isinstance(definition.node, ast.AsyncFunctionDef) or definition.code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return
    own = {*definition.code.co_varnames, *definition.code.co_cellvars, *definition.code.co_freevars, _name(definition)}
    lines = {(site.line, site.column) for site in told}
    for call in analyse(definition, definition.code).calls.others:
        if isinstance(call.func, ast.Name) and call.func.id in decorated - own:
            reason = f"`{call.func.id}` is another @tailrec function: an ordinary await, which needs stack"
            site = kept_site(
                definition, Kept(node=call, reason=reason, instead="put both in one group: `@tailrec(group=...)`")
            )
            if (site.line, site.column) not in lines:
                yield site


def _is_recursion(definition: Definition, *, is_stream: bool) -> bool:
    if not isinstance(definition.node, ast.AsyncFunctionDef):
        return False
    calls = (analyse_stream if is_stream else analyse)(definition, definition.code).calls
    return bool(calls.tails or calls.faults)


def _notes(decorators: Sequence[ast.expr], position: int, options: WrittenOptions) -> Iterator[str]:
    """Yield what only running the file decides: what other decorators make of the function, computed options."""
    for one in decorators[:position]:
        if not _is_method_kind(one):
            yield f"if the decorator `{spelled(one)}` above returns something else, plain recursion goes through it"
    for one in decorators[position + 1 :]:
        if not _is_method_kind(one):
            yield (
                f"if the decorator `{spelled(one)}` below returns a wrapper, it is kept and nothing loops: put it above"
            )
    for unknown in options.unknown:
        yield f"{unknown} is known only when the file runs, and was left out here"


def _notes_of_undecorated(report: TailCallReport, unfollowed: ast.expr | None) -> Iterator[str]:
    if unfollowed is not None:
        yield f"`{spelled(unfollowed)}` is not seen to come from loom_core: only this file's imports are followed"
    elif report.accepted:
        yield "not decorated: it runs as the recursion that is written, and would loop if it were"
    else:
        yield "not decorated: it runs as the recursion that is written"


def _without_decorator(site: TailCallSite) -> TailCallSite:
    """Drop the advice to remove a decorator that is not there."""
    if site.instead is None:
        return site
    advice = site.instead
    for transform in ("tailrec", "tailstream"):
        for before in ("; ", ", ", ""):
            advice = advice.removesuffix(f"{before}or remove @{transform}")
    return attrs.evolve(site, instead=advice)


def _is_method_kind(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id in ("classmethod", "staticmethod")
