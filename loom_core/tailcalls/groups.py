"""Functions that call each other in tail position: each hands over to the next, and one driver runs them all.

::

    @tailrec(group="parity")
    async def even(n):                    async def even(n):                     # BODY; as even(n): all by position
        if n == 0: return True                if n == 0: return True
        return await odd(n - 1)               return await MEMBER(odd)(n - 1)

                                          async def even(n):                     # the driver: what the user gets
                                              next = BODY(n)
                                              while True:
                                                  next = await next
                                                  if type(next) is not Handover: return next
                                                  next = next.begin()

``odd`` is evaluated at every call as in the recursion, so that a patch or an override is seen at once. ``MEMBER``
returns it as it is unless it is a member of the same group. For a member it returns the binder: that binds the
arguments as the call would, and what comes of it, when it is awaited, is at once the handover itself.
"""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import cast

import attrs

from loom_core.errors import BadInput
from loom_core.tailcalls.binder import follow, make_binder
from loom_core.tailcalls.compiling import check_source, make_function
from loom_core.tailcalls.frames import constant, driver, from_template, make_body, replaced
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.source import Definition

_MEMBER = "__tailcall_member__"
_DRIVE = """
next = (parameters)
del (parameters)
next = body(*next)
while True:
    next = await next
    if type(next) is not Handover:
        return next
    next = next.begin()
"""


@attrs.frozen(kw_only=True)
class Group:
    """A set of functions that hand over to each other: those decorated with the same name in the same module."""

    module: str
    name: str

    def has(self, compiled: FunctionType) -> bool:
        """Return whether what the compiler made is a member."""
        member = _member(compiled)
        return member is not None and member.group == self

    def callee(self, callee: object) -> object:
        """Return what to call instead of ``callee``: the binder of a member of this group, else ``callee`` itself."""
        function: object = callee.__func__ if type(callee) is MethodType else callee
        member = _member(function)
        # A decorator's wrapper may have taken over the attributes of the member that it wraps.
        if member is None or member.function is not function or member.group != self:
            return callee
        binder: FunctionType = member.binder  # type: ignore[assignment]  # mypy takes it for a method of the record
        follow(binder, cast("FunctionType", function))
        return MethodType(binder, callee.__self__) if type(callee) is MethodType else binder


@attrs.frozen(kw_only=True, eq=False)
class _Member:
    group: Group
    function: FunctionType
    binder: FunctionType


class Handover:
    """The body that runs next and its parameters; of a type that no code of the user's can get hold of."""

    __slots__ = ("arguments", "body")

    def __init__(self, body: FunctionType, arguments: tuple[object, ...]) -> None:
        self.body = body
        self.arguments = arguments

    def begin(self) -> object:
        """Return the coroutine of the body."""
        return self.body(*self.arguments)

    def __await__(self) -> Generator[None, None, Handover]:
        """Return this handover at once."""
        return self
        yield


def group_of(option: object, fn: FunctionType) -> Group:
    """Return the group that ``fn`` joins: one of its module by name, or that of a member.

    Raises ``BadInput`` if ``option`` is neither.
    """
    if isinstance(option, str):
        if not option.strip():
            raise BadInput("the name of a group is empty", hint='write @tailrec(group="a name")')
        return Group(module=fn.__module__, name=option)
    for one in _meant(option):
        member = _member(one)
        if member is not None:
            return member.group
    name = getattr(option, "__qualname__", None)
    what = f"`{name}` is in no group" if name else f"a group cannot be given by a value of type {type(option).__name__}"
    raise BadInput(what, hint='give a name, @tailrec(group="a name"), or a function that was decorated so')


def make_member(fn: FunctionType, definition: Definition, plan: Plan, group: Group) -> FunctionType:
    """Return the driver of ``fn`` as a member of ``group``.

    The calls of ``plan`` are handed over whenever what they call then is a member. Raises ``CannotCompile`` where the
    source is not what runs, or nests too deeply.
    """
    check_source(fn, definition)
    tails = {key: _resolved(call) for key, call in plan.calls.items()}
    body = make_body(fn, definition, replaced(definition.node.body, plan.path, tails), {"member": group.callee})
    drive = driver(fn, definition, from_template(_DRIVE, fn, definition))
    new = make_function(fn, definition, drive, {"@body": body, "@type": type, "@Handover": Handover})
    binder = make_binder(fn, partial(Handover, body))
    setattr(new, _MEMBER, _Member(group=group, function=new, binder=binder))
    return new


def _member(function: object) -> _Member | None:
    member = function.__dict__.get(_MEMBER) if type(function) is FunctionType else None
    return member if type(member) is _Member else None


def _meant(option: object) -> Iterator[object]:
    """Yield the function, and that of a bound method, of what stands for a method in its class, of a wrapper."""
    seen: set[int] = set()
    while isinstance(option, FunctionType | MethodType | classmethod | staticmethod) and id(option) not in seen:
        yield option
        seen.add(id(option))
        option = option.__dict__.get("__wrapped__") if isinstance(option, FunctionType) else option.__func__


def _resolved(call: ast.Call) -> ast.Await:
    callee = call.func
    nothing = ast.copy_location(ast.Constant(value=None), callee)
    member = ast.Call(func=constant("member", nothing), args=[callee], keywords=[])
    handed_over = ast.Call(func=ast.copy_location(member, callee), args=call.args, keywords=call.keywords)
    return ast.copy_location(ast.Await(value=ast.copy_location(handed_over, call)), call)
