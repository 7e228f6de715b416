"""Transitions as jumps: the function whose tail calls are assignments in one frame."""

from __future__ import annotations

from types import FunctionType

from loom_core.tailcalls.compiling import make_function
from loom_core.tailcalls.ownness import private_values
from loom_core.tailcalls.rewrite import Plan, rewrite
from loom_core.tailcalls.source import Definition


def make_direct(fn: FunctionType, definition: Definition, plan: Plan) -> FunctionType:
    """Return ``fn`` as a loop; raises ``CannotCompile`` where the source is not what runs or nests too deeply."""
    rewritten, marks = rewrite(definition.node, plan)
    values, owner = private_values(fn, plan.callees, spreads=None in plan.tails.values())
    owner.own = make_function(fn, definition, rewritten, values | {name: object() for name in marks})
    return owner.own
