"""Compare one random program with its reference, and judge what is said of it."""

from __future__ import annotations

import ast
import os
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any, Protocol

import attrs
import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

import loom_core.tailcalls
from loom_core.tailcalls import TailCallError, TailCallReport, explain_tailcalls, tailrec
from tests.core.tailcalls.programs import Tape
from tests.core.tailcalls.programs_faults import Fault, calls_of, excuse, is_nested, is_stream_tail, is_tail, judge
from tests.core.tailcalls.programs_reference import Reference
from tests.core.tailcalls.programs_streams import StreamProgram
from tests.core.tailcalls.programs_world import Endless, World, cancelled, compiled, forget, written

PROGRAMS = int(os.environ.get("LOOM_FUZZ_PROGRAMS", "5000"))
SEED = int(os.environ.get("LOOM_FUZZ_SEED", "0"))
ONE = os.environ.get("LOOM_FUZZ_TAPE")
TAPE = 900
# The fuel of each run, of two for a run in which two take turns. The recursion of the last fits Python's limit.
ROUNDS = ([0], [1], [2], [5], [2, 4], [60], [3])
CANCELLED = 6  # the round that is cancelled on its way


def share(part: float) -> int:
    """Return how many of all programs a test takes."""
    return max(1, int(PROGRAMS * part))


class AnyProgram(Protocol):
    shape: str
    leave_first: bool
    fault: Fault | None

    @property
    def callees(self) -> list[str]: ...
    @property
    def source(self) -> str: ...
    @property
    def reference(self) -> str: ...


def explore(check: Callable[[bytes], None], programs: int, seed: int) -> None:
    """Let hypothesis write tapes; from the same seed always the same."""
    if ONE is not None:
        check(bytes.fromhex(ONE))
        return

    @hypothesis.seed(SEED * 1000 + seed)
    @settings(
        max_examples=programs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if PROGRAMS <= 5000 else [Phase.generate],
    )
    @hypothesis.given(data=st.binary(min_size=TAPE, max_size=TAPE))
    def run(data: bytes) -> None:
        check(data)

    run()


@attrs.define
class Check:
    """Checks programs one by one; counts what became of them."""

    program: Callable[[Tape], AnyProgram]
    counts: Counter[str] = attrs.field(factory=Counter)
    decorate: Any = tailrec
    stream: bool = False
    mode: str | None = None  # of the function that was compiled last

    def __call__(self, data: bytes) -> None:
        try:
            self.check(self.program(Tape(data)))
        except Exception as error:
            error.add_note(f"LOOM_FUZZ_TAPE={data.rstrip(bytes(1)).hex()}")
            raise

    def check(self, program: AnyProgram) -> None:
        """Check one program; raise AssertionError for a difference, or an explanation that is not true."""
        source = program.source
        path = written(source)
        try:
            self._check(program, source, path)
        except Exception as error:
            error.add_note(numbered(source))
            raise
        finally:
            forget(path)

    def _check(self, program: AnyProgram, source: str, path: str) -> None:
        faulty = program.fault is not None and not (program.fault.in_block and program.leave_first)
        code = compiled(source, path)
        reports: list[TailCallReport] = []
        decorate = reporting(self.decorate, reports)
        tested = World(tailrec=decorate, tailstream=decorate, same=same, marked=marked)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(code, tested.names)
        except TailCallError as error:
            self.counts["rejected"] += 1
            self._judge(program, source, error, faulty=faulty)
            return
        self.counts["accepted"] += 1
        assert not faulty, f"accepted although a call of it is no tail call: {program.fault}"
        for report in reports:
            self.counts[str(report.mode)] += 1
            self.mode = report.mode
            untrue = misexplained(_function_at(ast.parse(source), report.line), report, program, stream=self.stream)
            assert untrue is None, untrue
        self._compare(program, code, tested, path)

    def _compare(self, program: AnyProgram, code: CodeType, tested: World, path: str) -> None:
        reference = Reference()
        expected = World(**reference.names, same=same, marked=marked)
        exec(code if program.reference == program.source else compiled(program.reference, path), expected.names)
        for number, fuels in enumerate(ROUNDS):
            try:
                wanted = expected.run(*(self.begin(program, expected, fuel, number) for fuel in fuels))
            except Endless:
                self.counts["endless"] += 1
                return
            finally:
                reference.close()
            try:
                found = tested.run(*(self.begin(program, tested, fuel, number) for fuel in fuels))
            except Endless:
                raise AssertionError(f"fuel {fuels}: it does not end, and the recursion does") from None
            if found != wanted:
                raise AssertionError(f"fuel {fuels}: {difference(found, wanted)}")
            self.counts["runs"] += 1
            self.counts["effects"] += len(wanted[1])  # type: ignore[arg-type]

    def begin(self, program: Any, world: World, fuel: int, number: int) -> Coroutine[Any, Any, object]:
        """Return what runs ``program`` in ``world``, in the round of this number."""
        started: Coroutine[Any, Any, object] = world.names["start"](fuel)
        return cancelled(started, turns=2) if number == CANCELLED else started

    def _judge(self, program: AnyProgram, source: str, error: TailCallError, *, faulty: bool) -> None:
        function = _function_at(ast.parse(source), error.report.line)
        faults = [site for site in error.report.sites if site.action == "rejected"]
        if not faulty:
            assert all(excuse(function, site.reason) for site in faults), f"nothing is wrong with it: {error}"
            self.counts["excused"] += 1
            return
        for site in faults:
            assert site.line is not None
            assert site.column is not None
            assert site.instead
            untrue = judge(
                function, site.line, site.column, site.reason, leave_first=program.leave_first, stream=self.stream
            )
            assert untrue is None, f"{untrue}: {site.text(None)}"

    def assert_complete(self) -> None:
        """Check that hardly a program is rejected but for its planted fault, or left out because it does not end."""
        print(dict(self.counts))
        allowed = 5 + self.counts["accepted"] // 50
        assert self.counts["excused"] <= allowed
        assert self.counts["endless"] <= allowed


@attrs.define
class StreamCheck(Check):
    """Checks generators, with the consumers of each program; two at once take everything that comes."""

    program: Any = StreamProgram
    decorate: Any = loom_core.tailcalls.tailstream
    stream: bool = True

    def begin(self, program: StreamProgram, world: World, fuel: int, number: int) -> Coroutine[Any, Any, object]:
        shared = self.mode == "direct"
        if len(ROUNDS[number]) > 1:
            return world.consume(fuel, _ALL, beyond=False, shared=shared)
        script = program.scripts[number % len(program.scripts)]
        return world.consume(fuel, script, beyond=not program.leave_first, shared=shared)


_ALL = (("next", None),) * 60


def reporting(decorate: Any, reports: list[TailCallReport]) -> Any:
    """Return a decorator that keeps the explanation of what ``decorate`` made."""

    def decorating(fn: Any = None, **options: Any) -> Any:
        if fn is None:
            return lambda fn: decorating(fn, **options)
        new = decorate(**options)(fn) if options else decorate(fn)
        reports.append(explain_tailcalls(getattr(new, "__func__", new)))
        return new

    return decorating


def misexplained(
    function: ast.AsyncFunctionDef, report: TailCallReport, program: AnyProgram, *, stream: bool
) -> str | None:
    """Return what is untrue or missing in the explanation of an accepted function; None if nothing is."""
    tails = is_stream_tail if stream else is_tail
    places = {(site.line, site.column): site for site in report.sites}
    for callee in program.callees:
        for call, path in calls_of(function, callee):
            inside = [
                site
                for place, site in places.items()
                if (call.lineno, call.col_offset + 1) <= place <= (call.end_lineno, call.end_col_offset)
            ]
            if not inside and callee.split(".")[-1] == function.name:
                return f"{callee} in line {call.lineno} is not explained"
            if not inside or inside[0].action != "loop":
                continue
            if is_nested(path[1:]):
                return f"{callee} in line {call.lineno} is said to loop and is called by a nested function"
            if not tails(call, path, leave_first=program.leave_first):
                return f"{callee} in line {call.lineno} is said to loop and is no tail call"
    return None


def _function_at(tree: ast.AST, line: int | None) -> ast.AsyncFunctionDef:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))
    return next(node for node in functions if node.lineno == line)


def same(fn: Any) -> Any:
    return fn


def marked(fn: Any) -> Any:
    fn.mark = 1
    return fn


def difference(found: list[Any], wanted: list[Any]) -> str:
    """Return the first thing that differs."""
    for number, (one, other) in enumerate(zip(found[1], wanted[1], strict=False)):
        if one != other:
            return f"effect {number} is {one}, and {other} in the recursion"
    if len(found[1]) != len(wanted[1]):
        rest = max(found[1], wanted[1], key=len)[min(len(found[1]), len(wanted[1])) :]
        return f"{len(found[1])} effects, and {len(wanted[1])} in the recursion; one goes on with {rest[:3]}"
    return f"found {found[0]} {found[2:]}, and {wanted[0]} {wanted[2:]} in the recursion"


def numbered(source: str) -> str:
    return "\n".join(f"{number:3} {line}" for number, line in enumerate(source.split("\n"), 1))
