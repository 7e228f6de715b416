"""Syntax nodes of our own, placed where the user wrote what they stand for."""

from __future__ import annotations

import ast
from copy import copy
from typing import TypeVar

_Node = TypeVar("_Node", bound=ast.AST)
_Statement = TypeVar("_Statement", bound=ast.AST)


def place(node: _Node, where: ast.AST) -> _Node:
    """Return ``node`` at the position of ``where``."""
    # What ast.copy_location does, four times as fast; it is most of what rewriting costs.
    new, source = node.__dict__, where.__dict__
    new["lineno"], new["col_offset"] = source["lineno"], source["col_offset"]
    new["end_lineno"], new["end_col_offset"] = source["end_lineno"], source["end_col_offset"]
    return node


def changed(statement: _Statement, **fields: object) -> _Statement:
    """Return a copy of a node with other fields, at the same position."""
    new = copy(statement)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def variable(name: str, context: ast.expr_context, at: ast.AST) -> ast.Name:
    """Return a name that is read, assigned or deleted."""
    return place(ast.Name(id=name, ctx=context), at)


def load(name: str, at: ast.AST) -> ast.Name:
    """Return a name that is read."""
    return variable(name, ast.Load(), at)


def assign(name: str, value: ast.expr, at: ast.AST) -> ast.stmt:
    """Return ``name = value``."""
    return place(ast.Assign(targets=[variable(name, ast.Store(), at)], value=value), at)


def constant(value: object, at: ast.AST) -> ast.expr:
    """Return a constant."""
    return place(ast.Constant(value=value), at)  # type: ignore[arg-type]


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr, at: ast.AST) -> ast.expr:
    """Return ``left <operator> right``."""
    return place(ast.Compare(left=left, ops=[operator], comparators=[right]), at)
