"""Whether a function's name still means it: checked once per outer call, before its transitions become jumps."""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, MethodType

import attrs

from loom_core.tailcalls.binder import follow, make_binder
from loom_core.tailcalls.bindings import Binding, defaulted
from loom_core.tailcalls.names import Callees, Form, Kind
from loom_core.tailcalls.nodes import assign, compare, constant, load, place
from loom_core.tailcalls.source import Function

OWN = "@own"
PLAIN = "@plain"
UNREADABLE = "@unreadable"
LOOPS = "@loops"
BINDER = "@bind"
_FOLLOW = "@follow"
BY_INSTANCE = "@by_instance"
_BY_CLASS = "@by_class"
_FOUND = "@found"
_KINDS: dict[type, Kind] = {FunctionType: "function", classmethod: "classmethod", staticmethod: "staticmethod"}


def own_check(
    node: Function, callees: Callees, forms: Iterable[Form], tails: Iterable[list[Binding] | None] = ()
) -> list[ast.stmt]:
    """Return the statements that decide, once per outer call, whether every form in use still means this function.

    They set LOOPS, and then read the defaults that ``tails`` leave out from the function that was found.
    """
    at = node
    used = set(forms)
    before: list[ast.stmt] = []
    if "name" in used:
        found = node.name
        own, plain = (compare(load(found, at), ast.Is(), load(one, at), at) for one in (OWN, PLAIN))
        same: ast.expr = place(ast.BoolOp(op=ast.Or(), values=[own, plain]), at)
    else:
        found = _FOUND
        lookups = [
            place(ast.Call(func=load(check, at), args=[load(str(holder), at)], keywords=[]), at)
            for form, check, holder in (("first", BY_INSTANCE, callees.first), ("class", _BY_CLASS, callees.enclosing))
            if form in used
        ]
        before = [assign(found, lookups[0], at)]
        same = compare(load(found, at), ast.IsNot(), constant(None, at), at)
        if len(lookups) > 1:
            # One may be the loop and the other the recursion that it was made of, each with defaults of its own.
            alike = compare(load(found, at), ast.Is(), lookups[1], at)
            same = place(ast.BoolOp(op=ast.And(), values=[same, alike]), at)
    yes = [*_read_defaults(node, found, list(tails)), assign(LOOPS, constant(True, at), at)]
    no: list[ast.stmt] = [assign(LOOPS, constant(False, at), at)]
    handler = place(ast.ExceptHandler(type=load(UNREADABLE, at), name=None, body=no), at)
    decide = place(ast.If(test=same, body=yes, orelse=no), at)
    return [place(ast.Try(body=[*before, decide], handlers=[handler], orelse=[], finalbody=[]), at)]


def default_name(parameter: str) -> str:
    """Return the variable that holds a parameter's default."""
    return f"@default.{parameter}"


def _read_defaults(node: Function, found: str, tails: list[list[Binding] | None]) -> list[ast.stmt]:
    at = node
    read: list[ast.stmt] = []
    if None in tails:
        call = place(ast.Call(func=load(_FOLLOW, at), args=[load(BINDER, at), load(found, at)], keywords=[]), at)
        read.append(place(ast.Expr(value=call), at))
    positions = defaulted(node.args)
    for name in sorted({one.parameter for tail in tails for one in tail or () if one.expression is None}):
        position = positions[name]
        where = "__kwdefaults__" if position is None else "__defaults__"
        holder = place(ast.Attribute(value=load(found, at), attr=where, ctx=ast.Load()), at)
        key = constant(name if position is None else position, at)
        read.append(assign(default_name(name), place(ast.Subscript(value=holder, slice=key, ctx=ast.Load()), at), at))
    return read


def private_values(fn: FunctionType, callees: Callees, *, spreads: bool) -> tuple[dict[str, object], Owner]:
    """Return what the check needs besides OWN, PLAIN and UNREADABLE; ``own`` of the owner is to be set."""
    owner = Owner(attribute=callees.attribute, kind=callees.kind, plain=fn)
    values: dict[str, object] = {}
    if callees.name is None:
        values |= {BY_INSTANCE: owner.by_instance, _BY_CLASS: owner.by_class}
    if spreads:
        values |= {BINDER: make_binder(fn), _FOLLOW: follow}
    return values, owner


@attrs.define(eq=False)
class Owner:
    """Answers whether an attribute is this function now, without running any code of the user's.

    ``own`` is what the compiler made of ``plain``; either may stand in the class. The answer is the one that does, or
    None.
    """

    attribute: str
    kind: Kind
    plain: object
    own: object = None

    def by_instance(self, first: object) -> object:
        """Return this function if ``first.<attribute>`` is it, bound to ``first``."""
        if self.kind == "classmethod":
            return self.by_class(first)
        bases = _mro(type(first))
        looked_up = _looked_up(bases)
        found = self._found(bases) if looked_up is object or looked_up is type else None
        if found is None:
            return None
        if looked_up is type:  # a method of a metaclass: what the class has by the name comes first
            return None if any(self.attribute in _namespace(base) for base in _mro(first)) else found  # type: ignore[arg-type]
        # The lookup itself, which runs no code of the user's now. Asked for its `__dict__` instead, CPython would make
        # one for the instance, and every attribute of it would be slower from then on.
        bound = object.__getattribute__(first, self.attribute)
        return found if type(bound) is MethodType and bound.__func__ is found and bound.__self__ is first else None

    def by_class(self, cls: object) -> object:
        """Return this function if ``cls.<attribute>`` is it, unbound, or bound to ``cls`` if it is a classmethod."""
        metaclasses = _mro(type(cls))
        # A metaclass could answer first: by a lookup of its own, or with a data descriptor of the same name.
        plain = _looked_up(metaclasses) is type and not any(self.attribute in _namespace(base) for base in metaclasses)
        return self._found(_mro(cls)) if plain else None  # type: ignore[arg-type]

    def is_asked_plainly(self, cls: type) -> bool:
        """Return whether the instances of ``cls`` are looked up in as Python does it by itself."""
        looked_up = _looked_up(_mro(cls))
        return self.kind != "function" or looked_up is object or looked_up is type

    def _found(self, bases: tuple[type, ...]) -> object:
        for base in bases:
            namespace = _namespace(base)
            if self.attribute in namespace:
                return self._mine(namespace[self.attribute])
        return None

    def _mine(self, found: object) -> object:
        if _KINDS.get(type(found)) != self.kind:
            return None
        function = found if self.kind == "function" else found.__func__  # type: ignore[attr-defined]
        return next((one for one in (self.own, self.plain) if one is function), None)


def _looked_up(bases: tuple[type, ...]) -> type:
    """Return whose ``__getattribute__`` a class with these bases has; ``object`` for all that do as it does."""
    # Compared by identity: a metaclass may answer for `==` and `hash` itself.
    found = next(base for base in bases if "__getattribute__" in _namespace(base))
    return object if any(found is one for one in _AS_OBJECT) else found


# Those built-in types whose `__getattribute__` is that of `object`, although some Pythons list it as their own.
_AS_OBJECT: tuple[type, ...] = (object, dict, list, tuple, int, float, complex, str, bytes, bytearray)
_AS_OBJECT += (set, frozenset, BaseException, deque, defaultdict)
# Read as `type` reads them: a metaclass that answers for `__mro__` or `__dict__` itself is not asked.
_mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_namespace: Callable[[type], Mapping[str, object]] = type.__dict__["__dict__"].__get__
