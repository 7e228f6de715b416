"""The fuzzer finds what it is for: each known-wrong transform is seen to differ within some hundred programs."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from loom_core.tailcalls import analysis, frames, rewrite, sharing, streams_analysis, streams_frames, tailrec
from loom_core.tailcalls.bindings import Binding
from loom_core.tailcalls.nodes import changed
from loom_core.tailcalls.ownness import LOOPS
from tests.core.tailcalls.programs_check import TAPE, Check, StreamCheck
from tests.core.tailcalls.programs_shapes import Program

PROGRAMS = 1_500

Mutation = Callable[[pytest.MonkeyPatch, Check], None]


def differs_within(check: Check) -> int | None:
    """Return how many programs it took to see a difference; None if none did."""
    for number in range(PROGRAMS):
        try:
            check(Random(number).randbytes(TAPE))
        except AssertionError as error:
            assert str(error).startswith("fuel"), error
            return number
    return None


def locals_keep_their_values(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(analysis, "stale_variables", lambda *_: ())


def arguments_are_assigned_one_after_the_other(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(rewrite, "segments", lambda bindings, removable: [[one] for one in bindings])


def an_argument_that_is_passed_on_is_not_read(patch: pytest.MonkeyPatch, check: Check) -> None:
    real = rewrite.segments
    patch.setattr(rewrite, "segments", lambda bindings, removable: real(bindings, frozenset()))


def cells_are_shared(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(sharing, "kept_cells", lambda *_: set())


def a_jump_inside_a_loop_goes_on_with_that_loop(patch: pytest.MonkeyPatch, check: Check) -> None:
    def users_loop(self: Any, statement: Any, depth: int) -> list[ast.stmt]:
        body, orelse = self._block(statement.body, 0), self._block(statement.orelse, depth)
        return [changed(statement, body=body, orelse=orelse)]

    patch.setattr(rewrite._Writer, "_users_loop", users_loop)


def operands_of_and_and_or_are_evaluated_again(patch: pytest.MonkeyPatch, check: Check) -> None:
    def tested_twice(self: Any, value: ast.BoolOp, statement: ast.Return, depth: int) -> list[ast.stmt]:
        first = value.values[0] if len(value.values) == 2 else ast.BoolOp(op=value.op, values=value.values[:-1])
        jump, stay = self._tail(value.values[-1], statement, depth), [ast.Return(value=first)]
        body, orelse = (jump, stay) if isinstance(value.op, ast.And) else (stay, jump)
        new = ast.copy_location(ast.If(test=first, body=body, orelse=orelse), statement)
        return [ast.fix_missing_locations(new)]

    patch.setattr(rewrite._Writer, "_marked_tails", tested_twice)


def blocks_are_left_after_the_call(patch: pytest.MonkeyPatch, check: Check) -> None:
    def recursion(fn: Any = None, *, blocks: str | None = None, **options: Any) -> Any:
        if fn is None:
            return lambda fn: recursion(fn, blocks=blocks, **options)
        looping = tailrec(blocks=blocks, **options)(fn)  # type: ignore[call-overload]
        return fn if blocks is not None else looping

    check.decorate = recursion


def variables_are_seen_by_name_in_a_shared_frame(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(analysis, "sees_by_name", lambda *_: False)


def the_name_is_not_checked(patch: pytest.MonkeyPatch, check: Check) -> None:
    real = rewrite.own_check

    def always(node: ast.AST, *rest: Any) -> list[ast.stmt]:
        assign = ast.Assign(targets=[ast.Name(id=LOOPS, ctx=ast.Store())], value=ast.Constant(value=True))
        return [*real(node, *rest), ast.fix_missing_locations(ast.copy_location(assign, node))]  # type: ignore[arg-type]

    for module in (rewrite, frames, streams_frames):
        patch.setattr(module, "own_check", always)


def default_expressions_are_evaluated_again(patch: pytest.MonkeyPatch, check: Check) -> None:
    real = analysis.bind

    def with_expressions(arguments: ast.arguments, *rest: Any) -> list[Binding] | None:
        bound = real(arguments, *rest)
        if bound is None:
            return None
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = dict(zip(reversed([one.arg for one in positional]), reversed(arguments.defaults), strict=False))
        defaults |= {
            one.arg: value for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
        }
        return [Binding(one.parameter, one.expression or defaults.get(one.parameter)) for one in bound]

    patch.setattr(analysis, "bind", with_expressions)


def a_decorator_below_is_dropped(patch: pytest.MonkeyPatch, check: Check) -> None:
    def dropping(fn: Any = None, **options: Any) -> Any:
        if fn is None:
            return lambda fn: dropping(fn, **options)
        return tailrec(**options)(inspect.unwrap(fn))

    check.decorate = dropping


def the_yields_are_not_looked_at(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(streams_analysis, "_why_yields", lambda *_: None)


def cells_of_streams_are_shared(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(sharing, "kept_cells", lambda *_: set())


def locals_of_streams_keep_their_values(patch: pytest.MonkeyPatch, check: Check) -> None:
    patch.setattr(streams_analysis, "stale_variables", lambda *_: ())


FUNCTIONS: list[Mutation] = [
    locals_keep_their_values,
    arguments_are_assigned_one_after_the_other,
    an_argument_that_is_passed_on_is_not_read,
    cells_are_shared,
    a_jump_inside_a_loop_goes_on_with_that_loop,
    operands_of_and_and_or_are_evaluated_again,
    blocks_are_left_after_the_call,
    variables_are_seen_by_name_in_a_shared_frame,
    the_name_is_not_checked,
    default_expressions_are_evaluated_again,
    a_decorator_below_is_dropped,
]
STREAMS: list[Mutation] = [
    the_yields_are_not_looked_at,
    cells_of_streams_are_shared,
    locals_of_streams_keep_their_values,
    the_name_is_not_checked,
]


@pytest.mark.parametrize("mutation", FUNCTIONS)
def test_a_wrong_transform_of_functions_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check(Program)
    mutation(monkeypatch, check)
    found = differs_within(check)
    print(mutation.__name__, found)
    assert found is not None


@pytest.mark.parametrize("mutation", STREAMS)
def test_a_wrong_transform_of_streams_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    check = StreamCheck()
    mutation(monkeypatch, check)
    found = differs_within(check)
    print(mutation.__name__, found)
    assert found is not None
