"""From what was given to ``tailrec`` to the report and the function that is made of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import attrs

from loom_core.tailcalls.analysis import NEST_LESS, TOO_DEEP, Analysis, analyse
from loom_core.tailcalls.calls import Fault
from loom_core.tailcalls.compiling import CannotCompile, check_source
from loom_core.tailcalls.direct import make_direct
from loom_core.tailcalls.frames import make_frames
from loom_core.tailcalls.groups import Group, group_of, make_member
from loom_core.tailcalls.names import Kind
from loom_core.tailcalls.report import TailCallReport, TailCallSite
from loom_core.tailcalls.sites import report_of
from loom_core.tailcalls.source import Definition, definition_of
from loom_core.tailcalls.streams_analysis import analyse_stream
from loom_core.tailcalls.streams_frames import make_stream_frames

REPORT = "__tailcalls__"


@attrs.frozen(kw_only=True)
class Options:
    """What ``tailrec`` was told, or ``tailstream`` if ``stream``; ``group`` is a name or a member."""

    leave_first: bool = False
    group: str | Callable[..., object] | None = None
    stream: bool = False


def examine(fn: object, options: Options) -> tuple[TailCallReport, object]:
    """Return the report, and what takes the place of ``fn``; ``fn`` itself where nothing does.

    A ``classmethod`` or ``staticmethod`` is opened, and what is made of its function closed again in one like it.
    """
    if type(fn) not in (classmethod, staticmethod):
        return _examine_function(fn, options, None)
    kind: Kind = "classmethod" if isinstance(fn, classmethod) else "staticmethod"
    inside: object = fn.__func__  # type: ignore[attr-defined]
    report, new = _examine_function(inside, options, kind)
    if new is inside:
        return report, fn
    closed = type(fn)(new)  # type: ignore[call-arg]
    for name, value in vars(fn).items():
        vars(closed).setdefault(name, value)
    return report, closed


def is_stream(fn: object) -> bool:
    """Return whether ``fn``, or what its decorators wrap, is an async generator, for which ``tailstream`` is meant."""
    try:
        function: Any = getattr(fn, "__func__", fn)
        inside = inspect.unwrap(function)
    except ValueError:  # it wraps itself
        return False
    return inspect.isasyncgenfunction(inside)


def is_compiled(fn: object) -> bool:
    """Return whether ``fn`` itself was made by the compiler; its attributes may have been copied by others."""
    return isinstance(fn, FunctionType) and any(name.startswith("@") for name in fn.__code__.co_freevars)


def _examine_function(fn: object, options: Options, kind: Kind | None) -> tuple[TailCallReport, object]:
    if is_compiled(fn):
        return _examine_again(fn, options), fn
    if hasattr(fn, "__wrapped__") and not _only_itself_recurs(fn, kind):
        return _examine_wrapper(fn, options, kind)
    if not isinstance(fn, FunctionType):
        return _refused(fn, f"{_describe(fn)} is not a function", "decorate an `async def`"), fn
    definition = _definition(fn)
    if isinstance(definition, TailCallReport):
        return definition, fn
    return examine_definition(fn, definition, options, kind)


def examine_definition(
    fn: FunctionType, definition: Definition, options: Options, kind: Kind | None = None
) -> tuple[TailCallReport, object]:
    """Return the report on a function that is written as ``definition``, and what takes the place of ``fn``.

    ``fn`` is not called; of it only code, cells, defaults and names are used.
    """
    group = None if options.group is None else group_of(options.group, fn)
    analysis = _analysed(definition, fn, options, kind)
    faults, new = analysis.faults, None
    if analysis.plan is not None:
        try:
            new = _compiled(fn, definition, analysis, group, stream=options.stream)
        except CannotCompile as error:
            faults = (Fault(node=definition.node, reason=error.reason, instead=error.instead),)
        except RecursionError:
            faults = (Fault(node=definition.node, reason=TOO_DEEP, instead=NEST_LESS),)
    report = report_of(
        definition, analysis, function=_name(fn), faults=faults, group=None if group is None else group.name
    )
    if new is None:
        return report, fn
    setattr(new, REPORT, report)
    return report, new


def _analysed(definition: Definition, fn: FunctionType, options: Options, kind: Kind | None) -> Analysis:
    if options.stream:
        return analyse_stream(definition, fn.__code__, kind=kind, leave_first=options.leave_first)
    in_group = options.group is not None
    return analyse(definition, fn.__code__, kind=kind, leave_first=options.leave_first, group=in_group)


def _compiled(
    fn: FunctionType, definition: Definition, analysis: Analysis, group: Group | None, *, stream: bool
) -> FunctionType:
    assert analysis.plan is not None
    if group is not None:
        return make_member(fn, definition, analysis.plan, group)
    if analysis.mode == "frames" and stream:
        in_blocks = frozenset(analysis.plan.tails) & frozenset(analysis.calls.blocks)
        return make_stream_frames(fn, definition, analysis.plan, in_blocks=in_blocks, by_name=analysis.by_name)
    if analysis.mode == "frames":
        return make_frames(fn, definition, analysis.plan, by_name=analysis.by_name)
    return make_direct(fn, definition, analysis.plan)


def _examine_again(fn: object, options: Options) -> TailCallReport:
    """Return the report of what is decorated already; other options than it has would do nothing silently."""
    assert isinstance(fn, FunctionType)
    if inspect.isasyncgenfunction(fn) != options.stream:
        return _refused(fn, "the function is decorated already, by the other decorator", "decorate it once")
    if options.group is not None and not group_of(options.group, fn).has(fn):
        reason = "the function is decorated already, and not as a member of this group"
        return _refused(fn, reason, "decorate it once: `@tailrec(group=...)`")
    report: TailCallReport = getattr(fn, REPORT)
    return report


def _only_itself_recurs(fn: object, kind: Kind | None) -> bool:
    """Return whether ``fn`` is written as a recursion, and what it claims to wrap is none.

    So it is if ``functools.wraps`` gave the recursion the name of another function. A decorator's wrapper is not: what
    it wraps is the recursion.
    """
    try:
        return _recurs(fn, kind) and not _recurs(inspect.unwrap(fn), None)  # type: ignore[arg-type]
    except (ValueError, RecursionError):  # it wraps itself; its file nests too deeply
        return False


def _recurs(fn: object, kind: Kind | None) -> bool:
    definition = definition_of(fn) if isinstance(fn, FunctionType) and not is_compiled(fn) else None
    if definition is None or not isinstance(fn, FunctionType):
        return False
    stream = inspect.isasyncgenfunction(fn)
    calls = (analyse_stream if stream else analyse)(definition, fn.__code__, kind=kind).calls
    return bool(calls.tails or calls.faults)


def _examine_wrapper(fn: object, options: Options, kind: Kind | None) -> tuple[TailCallReport, object]:
    """A decorator below made ``fn`` of the function; the recursion as it is written goes through it at each call."""
    try:
        inside = inspect.unwrap(fn)  # type: ignore[arg-type]
    except ValueError:
        return _refused(fn, "its `__wrapped__` leads back to itself", "set `__wrapped__` to what it wraps, or not"), fn
    if not isinstance(inside, FunctionType) or is_compiled(inside):
        return _refused(fn, f"{_describe(fn)} is not a function", "decorate an `async def`"), fn
    definition = _definition(inside)
    if isinstance(definition, TailCallReport):
        return definition, fn
    analysis = _analysed(definition, inside, options, kind)
    faults = analysis.faults
    try:
        check_source(inside, definition)
    except CannotCompile as error:
        faults = (Fault(node=definition.node, reason=error.reason, instead=error.instead),)
    name = "@tailstream" if options.stream else "@tailrec"
    kept = f"goes through the decorator below {name} at each call, as in the recursion: it does not become a jump"
    note = f"a decorator below {name} wraps the function, and each call goes through it as in the recursion"
    notes = () if faults else (note,)
    return report_of(definition, analysis, function=_name(inside), faults=faults, kept=kept, notes=notes), fn


def _definition(fn: FunctionType) -> Definition | TailCallReport:
    if fn.__name__ == "<lambda>" or fn.__code__.co_name == "<lambda>":
        return _refused(fn, "a lambda cannot be async, so there is no tail call in it", "write an `async def`")
    try:
        definition = definition_of(fn)
    except RecursionError:
        return _refused(fn, "the file nests too deeply to be read: an expression, or a chain of `elif`", NEST_LESS)
    if definition is None:
        reason = f"the source of `{fn.__qualname__}` is not to be had, so nothing can be proved of it"
        return _refused(fn, reason, "keep the function in a file, unchanged while it is imported")
    return definition


def _refused(fn: object, reason: str, instead: str) -> TailCallReport:
    code = getattr(fn, "__code__", None)
    line = getattr(code, "co_firstlineno", None)
    return TailCallReport(
        function=_name(fn),
        path=getattr(code, "co_filename", None),
        line=line,
        accepted=False,
        sites=(TailCallSite(action="rejected", reason=reason, instead=instead, line=line),),
    )


def _name(fn: object) -> str:
    return f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', None) or _describe(fn)}"


def _describe(value: object) -> str:
    return f"a value of type {type(value).__name__}"
