"""The forms in which a function may name itself in a call.

What its code shows is whether a call *has the form* of a call of itself. Whether it *is* one (the name may be given
another meaning by a decorator above, a patch, an override) is checked once per outer call, by ``ownness``.
"""

from __future__ import annotations

import ast
import sys
from types import CodeType
from typing import Literal

import attrs

from loom_core.tailcalls.bindings import all_parameters_of
from loom_core.tailcalls.source import Definition, Function
from loom_core.tailcalls.walking import walk

Form = Literal["name", "first", "class", "any"]
Kind = Literal["function", "classmethod", "staticmethod"]


@attrs.frozen(kw_only=True)
class Callees:
    """The expressions by which a function may call itself; None where a form is not provable.

    ``name``: ``fn(...)``. ``first``: ``<first parameter>.fn(...)`` in a method or classmethod. ``enclosing``:
    ``<class>.fn(...)``. ``attribute`` is ``fn`` with the class's prefix if it is private. ``kind`` is what stands in
    the class. ``any`` is True in a group: then every callee in tail position may be a member.
    """

    function: str
    attribute: str
    kind: Kind = "function"
    name: str | None = None
    first: str | None = None
    enclosing: str | None = None
    why_not_name: str | None = None
    why_not_first: str | None = None
    any: bool = False

    def form_of(self, call: ast.Call) -> Form | None:
        """Return the form in which ``call`` calls this function, None if it does not."""
        return self._form(call.func)

    def is_own(self, callee: ast.expr) -> bool:
        """Return whether an expression has the form of this function."""
        return self._form(callee) is not None

    def _form(self, callee: ast.expr) -> Form | None:
        match callee:
            case ast.Name(id=name) if name == self.name:
                return "name"
            case ast.Attribute(value=ast.Name(id=holder), attr=attribute) if attribute == self.function:
                if holder == self.first:
                    return "first"
                return "class" if holder == self.enclosing else None
            case _:
                return None

    def receiver(self, form: Form) -> str | None:
        """Return the variable that Python passes as first argument of a call of this form, None if it adds none."""
        if form == "first":
            return self.first
        return self.enclosing if form == "class" and self.kind == "classmethod" else None

    def doubt(self, callee: ast.expr) -> str | None:
        """Return why what looks like this function cannot be proved to be it, None if it looks like another."""
        match callee:
            case ast.Name(id=name) if name == self.function:
                return self.why_not_name
            case ast.Attribute(value=ast.Name(id=holder), attr=attribute) if attribute == self.function:
                if self.why_not_first is not None and holder == self.why_not_first.split("`")[1]:
                    return self.why_not_first
                return f"`{holder}.{attribute}` is not provably this function: `{holder}` may be anything"
            case ast.Attribute(attr=attribute) if attribute == self.function:
                return f"`{ast.unparse(callee)}` is not provably this function"
            case _:
                return None

    def hint_call(self) -> str:
        """Return the tail call that would be accepted, for hints."""
        callee = self.function
        if self.name is None and self.first is not None:
            callee = f"{self.first}.{self.function}"
        elif self.name is None and self.enclosing is not None:
            callee = f"{self.enclosing}.{self.function}"
        return f"return await {callee}(...)"

    def hint(self) -> str:
        """Return what to write so that a call is provably one of this function."""
        return f"write `{self.hint_call()}`"


def callees_of(definition: Definition, code: CodeType, kind: Kind | None = None, *, group: bool = False) -> Callees:
    """Return the forms in which the function can call itself; ``kind`` None: what the decorators in its source say."""
    node = definition.node
    kind = kind or _written_kind(node)
    scopes = definition.scopes
    local = {*code.co_varnames, *code.co_cellvars}
    attribute = mangled(node.name, definition)
    if not (scopes and isinstance(scopes[-1], ast.ClassDef)):
        is_local = attribute in local and not comprehensions_own(node.name, node)
        why = f"`{node.name}` is a local variable here" if is_local else None
        name = None if is_local else node.name
        return Callees(function=node.name, attribute=attribute, name=name, why_not_name=why, any=group)
    class_name = scopes[-1].name
    # The name of a class inside a class is no variable of its methods.
    nested = len(scopes) > 1 and isinstance(scopes[-2], ast.ClassDef)
    enclosing = None if nested or mangled(class_name, definition) in local else class_name
    first, why_not_first = _first_parameter(node, code, kind)
    return Callees(
        function=node.name,
        attribute=attribute,
        kind=kind,
        first=first,
        enclosing=enclosing,
        why_not_name=f"`{node.name}` is an attribute of the class `{class_name}`, no variable that the method can see",
        why_not_first=why_not_first,
        any=group,
    )


def mangled(name: str, definition: Definition) -> str:
    """Return how Python spells a private ``name`` inside the innermost class around the definition."""
    if not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    for scope in reversed(definition.scopes):
        if isinstance(scope, ast.ClassDef):
            stripped = scope.name.lstrip("_")
            return f"_{stripped}{name}" if stripped else name
    return name


def _written_kind(node: Function) -> Kind:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Name(id="classmethod" | "staticmethod" as kind):
                return "classmethod" if kind == "classmethod" else "staticmethod"
            case ast.Attribute(attr="classmethod" | "staticmethod" as kind):
                return "classmethod" if kind == "classmethod" else "staticmethod"
            case _:
                pass
    return "function"


def _first_parameter(node: Function, code: CodeType, kind: Kind) -> tuple[str | None, str | None]:
    positional = [*node.args.posonlyargs, *node.args.args]
    if not positional:
        return None, None
    first = positional[0].arg
    if kind == "staticmethod":
        return None, f"`{first}` is an ordinary parameter of a static method"
    if is_rebound(node, first):
        return None, f"`{first}` is given another value in the function"
    return first, None


def is_rebound(node: Function, name: str) -> bool:
    """Return whether anything below the definition may assign, delete or declare ``name``; nested scopes count too."""
    for one in (inner for statement in node.body for inner in walk(statement)):
        if isinstance(one, ast.Name):
            if one.id == name and not isinstance(one.ctx, ast.Load):
                return True
        elif isinstance(one, ast.Nonlocal):
            if name in one.names:
                return True
        elif name in _binds(one):
            return True
    return False


def comprehensions_own(name: str, node: Function) -> bool:
    """Return whether only comprehensions of the function bind ``name``, which is one of its code's variables.

    From Python 3.12 on they are part of the function's code, and so is their variable; each run still makes its own.
    """
    if sys.version_info < (3, 12) or name in all_parameters_of(node.args):
        return False
    targets: set[int] = set()
    names: list[ast.Name] = []
    for one in (inner for statement in node.body for inner in walk(statement)):
        if isinstance(one, ast.Name):
            names += [one] if one.id == name and not isinstance(one.ctx, ast.Load) else []
        elif isinstance(one, ast.comprehension):
            targets |= {id(target) for target in walk(one.target)}
        elif name in _binds(one):
            return False
    return all(id(one) in targets for one in names)


_BINDING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


def _binds(one: ast.AST) -> tuple[str | None, ...]:
    if isinstance(one, _BINDING):
        return (one.name,)
    if isinstance(one, ast.MatchMapping):
        return (one.rest,)
    if isinstance(one, ast.Import | ast.ImportFrom):
        return tuple((alias.asname or alias.name).split(".")[0] for alias in one.names)
    return ()
