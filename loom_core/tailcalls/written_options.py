"""The options of a decorator as they are written: what ``tailrec(blocks=..., group=...)`` says without being called."""

from __future__ import annotations

import ast

import attrs

from loom_core.tailcalls.calls import Fault
from loom_core.tailcalls.references import Reference
from loom_core.tailcalls.walking import spelled

_LEAVE_FIRST = "leave-first"
_OPTIONS = ("blocks", "group")


@attrs.define
class WrittenOptions:
    """What the call says; ``faults`` would be errors of the import, ``unknown`` is decided only when the file runs."""

    leave_first: bool = False
    group: str | None = None
    faults: list[Fault] = attrs.field(factory=list)
    unknown: list[str] = attrs.field(factory=list)


def options_of(reference: Reference | None) -> WrittenOptions:
    """Return the options that a decorator is given."""
    options = WrittenOptions()
    if reference is None or reference.call is None:
        return options
    if reference.call.args:
        options.unknown.append("its arguments")
    for keyword in reference.call.keywords:
        if keyword.arg is None:
            options.unknown.append(f"`**{spelled(keyword.value)}`")
        elif keyword.arg not in _OPTIONS:
            reason = f"`{reference.transform}` has no option `{keyword.arg}`"
            options.faults.append(
                Fault(node=keyword, reason=reason, instead=f"options there are: {', '.join(_OPTIONS)}")
            )
        elif keyword.arg == "blocks":
            _blocks(options, keyword)
        elif reference.transform == "tailstream":
            _no_group(options, keyword)
        else:
            _group(options, keyword)
    return options


def _blocks(options: WrittenOptions, keyword: ast.keyword) -> None:
    match keyword.value:
        case ast.Constant(value=None):
            pass
        case ast.Constant(value="leave-first"):
            options.leave_first = True
        case ast.Constant(value=value):
            instead = f'write `blocks="{_LEAVE_FIRST}"`, or leave it out'
            options.faults.append(Fault(node=keyword, reason=f"`blocks` cannot be {value!r}", instead=instead))
        case value:
            options.unknown.append(f"`blocks={spelled(value)}`")


def _group(options: WrittenOptions, keyword: ast.keyword) -> None:
    match keyword.value:
        case ast.Constant(value=None):
            pass
        case ast.Constant(value=str(name)) if name.strip():
            options.group = name
        case ast.Constant(value=value):
            instead = 'write `group="name"`, or `group=` and a function that is a member of the group'
            options.faults.append(Fault(node=keyword, reason=f"`group` cannot be {value!r}", instead=instead))
        case value:
            options.group = spelled(value)


def _no_group(options: WrittenOptions, keyword: ast.keyword) -> None:
    match keyword.value:
        case ast.Constant(value=None):
            pass
        case _:
            reason = "a stream cannot be a member of a group"
            options.faults.append(Fault(node=keyword, reason=reason, instead="leave `group` out"))
