"""What is rejected: with place, caret, a reason that is true, and what to write instead."""

from __future__ import annotations

import asyncio
import functools
import json
import linecache
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest

from loom_core.errors import BadInput
from loom_core.tailcalls import TailCallError, TailCallReport, explain_tailcalls, tailrec


def define(source: str, name: str = "f", **names: Any) -> Any:
    text = textwrap.dedent(source).lstrip("\n")
    path = f"<rejected {abs(hash(text))}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": "rejected", "tailrec": tailrec, **names}
    with warnings.catch_warnings():
        # From Python 3.14 on, it warns of a return in `finally`.
        warnings.simplefilter("ignore", SyntaxWarning)
        exec(compile(text, path, "exec"), namespace)
    return namespace[name]


def rejected(source: str, **names: Any) -> TailCallError:
    with pytest.raises(TailCallError) as error:
        tailrec(define(source, **names))
    return error.value


def marked(error: TailCallError) -> str:
    """Return the source under the caret."""
    site = error.report.first_fault()
    assert site.source_line is not None
    assert site.column is not None
    assert site.end_column is not None
    return site.source_line[site.column - 1 : site.end_column - 1]


CALLS = [
    ("x = await f(n - 1)\n    return x", "f(n - 1)", "assigned"),
    ("await f(n - 1)", "f(n - 1)", "dropped"),
    ("return 1 + await f(n - 1)", "f(n - 1)", "used after it"),
    ("return f(n - 1)", "f(n - 1)", "without `await`"),
    ("return await other(f(n - 1))", "f(n - 1)", "used after it"),
    ("return await f(await f(n - 1))", "f(n - 1)", "argument of another call"),
    ("return [await f(q) for q in range(n)]", "f(q)", "comprehension"),
    ("return await f(n - 1) or 5", "f(n - 1)", "tested by `or`"),
    ("return n or (await f(n - 1) and n)", "f(n - 1)", "tested by `and`"),
    ("return (n and await f(n - 1)) or n", "f(n - 1)", "tested by `or`"),
    ("return await (f(1) if n else f(2))", "f(1)", "used after it"),
    ("if await f(n - 1):\n        return 1", "f(n - 1)", "condition"),
    ("while await f(n - 1):\n        return 1", "f(n - 1)", "condition"),
    ("return 1 if await f(n - 1) else 2", "f(n - 1)", "condition"),
    ("for x in await f(n - 1):\n        return 1", "f(n - 1)", "looped over"),
    ("match await f(n - 1):\n        case 1: return 1", "f(n - 1)", "matched"),
    ("assert await f(n - 1)", "f(n - 1)", "goes on after it"),
    ("raise ValueError(await f(n - 1))", "f(n - 1)", "goes on after it"),
    ("try:\n        return await f(n - 1)\n    finally:\n        pass", "f(n - 1)", "inside `try`"),
    ("try:\n        return 1\n    except ValueError:\n        return await f(n - 1)", "f(n - 1)", "inside `try`"),
    ("try:\n        n = 1\n    finally:\n        return await f(n - 1)", "f(n - 1)", "inside `finally`"),
    ("try: n = 1\n    finally:\n        with n: return await f(n)", "f(n)", "inside `finally`"),
    ("try:\n        n = 1\n    except* ValueError:\n        n = await f(n - 1)", "f(n - 1)", "assigned"),
    ("with open(n):\n        return await f(n - 1)", "f(n - 1)", "inside `with`"),
    ("async with n:\n        if n:\n            return await f(n - 1)", "f(n - 1)", "inside `async with`"),
    ("def g(x=f(1)): ...\n    return await f(n - 1)", "f(1)", "goes on after it"),
    ("return await f(1, 2)", "2", "2 positional arguments, the function takes 1"),
    ("return await f(m=1)", "m=1", "no keyword argument `m`"),
    ("return await f(1, n=1)", "n=1", "`n` twice"),
    ("return await f()", "f()", "no argument for `n`"),
]


@pytest.mark.parametrize(("body", "caret", "reason"), CALLS)
def test_a_call_that_is_no_tail_call_is_rejected_under_a_caret(body: str, caret: str, reason: str) -> None:
    error = rejected(f"async def f(n):\n    {body}\n")
    assert marked(error) == caret
    assert reason in error.reason
    assert error.hint
    assert f"hint: {error.hint}" in error.__notes__


FUNCTIONS = [
    ("def f(n):\n    return f(n - 1)", "f", "not async"),
    ("async def f(n):\n    yield n", "f", "async generator"),
    ("async def f(n):\n    return n", "f", "does not call itself in tail position: there is no tail call of it"),
    ("async def f(n, f):\n    return await f(n - 1)", "f(n - 1)", "`f` is a local variable here"),
    ("async def f(n):\n    return await n.f(1)", "n.f(1)", "`n.f` is not provably this function"),
    ("async def f(n):\n    return await n.x.f(1)", "n.x.f(1)", "`n.x.f` is not provably this function"),
    ("async def f(n):\n    g = f\n    return await g(1)", "g(1)", "`g` is an alias"),
    ("async def f(n):\n    global f\n    f = n\n    return await f(n)", "global f", "rebinds its own name"),
    ("async def f(n):\n    def g():\n        global f\n    return await f(n)", "global f", "rebinds its own name"),
]


@pytest.mark.parametrize(("source", "caret", "reason"), FUNCTIONS)
def test_a_function_that_cannot_be_proved_alike_is_rejected(source: str, caret: str | None, reason: str) -> None:
    error = rejected(source)
    if caret is not None:
        assert marked(error).strip("()") == caret.strip("()")
    assert reason in error.reason
    assert error.hint


METHODS = [
    (
        "self, n",
        "f(self, n)",
        "`f` is an attribute of the class `C`, no variable that the method can see",
        "self.f(...)",
    ),
    ("self, n", "self.g.f(n)", "`self.g.f` is not provably this function", "self.f(...)"),
    ("self, n", "super().f(n)", "`super().f` is not provably this function", "self.f(...)"),
    ("self, n", "type(self).f(self, n)", "`type(self).f` is not provably this function", "self.f(...)"),
    ("self, other", "other.f(1)", "`other.f` is not provably this function: `other` may be anything", "self.f(...)"),
]


@pytest.mark.parametrize(("parameters", "call", "reason", "instead"), METHODS)
def test_a_call_that_is_not_provably_of_the_method_is_nothing_to_loop(
    parameters: str, call: str, reason: str, instead: str
) -> None:
    source = f"class C:\n    async def f({parameters}):\n        return await {call}\n"
    with pytest.raises(TailCallError) as error:
        tailrec(define(source, "C").f)
    assert marked(error.value) == call
    assert error.value.reason == f"nothing to loop: {reason}"
    assert error.value.hint == f"write `return await {instead}`"


@pytest.mark.parametrize(
    "statement",
    [
        "self = n",
        "del self",
        "for self in n: pass",
        "with n as self: pass",
        "(self := n)",
        "import self",
        "def self(): pass",
        "async def g():\n            nonlocal self\n            self = 1",
        "match n:\n            case {**self}: pass",
    ],
)
def test_a_method_whose_self_may_be_another_is_rejected(statement: str) -> None:
    source = f"class C:\n    async def f(self, n):\n        {statement}\n        return await self.f(n)\n"
    with pytest.raises(TailCallError, match="`self` is given another value in the function"):
        tailrec(define(source, "C").f)


def test_a_static_method_has_no_self() -> None:
    source = "class C:\n    @staticmethod\n    async def f(self, n):\n        return await self.f(self, n)\n"
    with pytest.raises(TailCallError, match=r"`self` is an ordinary parameter of a static method") as error:
        tailrec(define(source, "C").f)
    assert error.value.hint == "write `return await C.f(...)`"


def test_a_method_that_rebinds_the_name_of_its_class_is_rejected() -> None:
    source = "class C:\n    async def f(self):\n        global C\n        return await C.f(self)\n"
    with pytest.raises(TailCallError, match="`C` may be something else at the next call"):
        tailrec(define(source, "C").f)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("f(1, 2)", "the call gives 2 positional arguments, the function takes 1"),
        ("f(m=1)", "the function takes no keyword argument `m`"),
        ("f(1, n=1)", "the call gives `n` twice"),
        ("f()", "the call gives no argument for `n`, which has no default"),
    ],
)
def test_a_call_that_cannot_fit_is_kept_where_another_one_loops(call: str, reason: str) -> None:
    fn = define(f"async def f(n):\n    if n:\n        return await f(n - 1)\n    return await {call}\n")
    report = explain_tailcalls(fn)
    assert [(site.action, site.line) for site in report.sites] == [("loop", 3), ("kept", 4)]
    assert report.sites[1].reason.startswith(reason)
    with pytest.raises(TypeError) as raised:
        asyncio.run(tailrec(fn)(1))
    with pytest.raises(TypeError) as expected:
        asyncio.run(fn(1))
    assert str(raised.value) == str(expected.value)


def test_calls_between_functions_of_no_group_are_rejected_with_the_way_to_a_group() -> None:
    error = rejected("async def f(n):\n    return await g(n - 1)\n")
    assert error.hint is not None
    assert "if `g` calls it back, put both in one group" in error.hint


@pytest.mark.parametrize("blocks", [True, "leave_first", 1])
def test_an_option_that_does_not_exist_is_refused_in_one_sentence(blocks: Any) -> None:
    with pytest.raises(BadInput, match="`blocks` cannot be") as error:
        tailrec(blocks=blocks)
    assert error.value.hint == 'write `blocks="leave-first"`, or leave it out'


def test_a_function_of_a_method_that_uses_none_of_these_is_accepted() -> None:
    source = """
    class C:
        def m(self):
            @tailrec
            async def f(n):
                return await f(n - 1) if n else self
            return f
    """
    assert explain_tailcalls(define(source, "C")().m()).accepted


def wraps_the_function(fn: Any) -> Any:
    @functools.wraps(fn)
    async def wrapper(n: int) -> Any:
        return await fn(n)

    return wrapper


def hides_the_function(fn: Any) -> Any:
    async def wrapper(n: int) -> Any:
        return await fn(n)

    return wrapper


def test_what_nothing_is_known_of_is_rejected() -> None:
    with pytest.raises(TailCallError, match="`wrapper` does not call itself in tail position") as error:
        define("@tailrec\n@below\nasync def f(n):\n    return await f(n - 1)\n", below=hides_the_function)
    assert error.value.hint is not None
    assert "functools.wraps" in error.value.hint


def test_a_faulty_function_is_rejected_below_a_wrapper_too() -> None:
    with pytest.raises(TailCallError, match="its result is used after it"):
        define("@tailrec\n@below\nasync def f(n):\n    return 1 + await f(n - 1)\n", below=wraps_the_function)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (5, "a value of type int is not a function"),
        (len, "a value of type builtin_function_or_method is not a function"),
        (classmethod(len), "a value of type builtin_function_or_method is not a function"),
        (lambda n: n, "a lambda cannot be async"),
    ],
)
def test_what_is_no_function_is_rejected(thing: Any, reason: str) -> None:
    with pytest.raises(TailCallError, match=reason):
        tailrec(thing)
    assert not explain_tailcalls(thing).accepted


def test_a_function_without_source_is_rejected() -> None:
    names: dict[str, Any] = {}
    exec("async def f(n):\n    return await f(n)\n", names)
    with pytest.raises(TailCallError, match="the source of `f` is not to be had"):
        tailrec(names["f"])


def test_a_file_that_was_edited_after_its_import_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    path.write_text("async def f(n):\n    return await f(n - 1) if n else 1\n")
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    path.write_text("async def f(n):\n    return await f(n - 1) if n else 222\n")
    with pytest.raises(TailCallError, match="the source is not what runs"):
        tailrec(names["f"])


def test_a_loop_that_python_cannot_nest_is_rejected_and_not_broken() -> None:
    lines = ["async def f(n):"]
    lines += ["    " * (depth + 1) + f"for i{depth} in n:" for depth in range(20)]
    lines += ["    " * 21 + "return await f(n)"]
    with pytest.raises(TailCallError, match="as a loop the function does not compile"):
        tailrec(define("\n".join(lines) + "\n"))


def test_the_error_shows_file_line_column_and_caret_also_behind_wide_characters_and_tabs() -> None:
    error = rejected("async def f(n):\n\tif n:\n\t\tx = 'ü…', await f(n)\n")
    assert str(error) == (
        f"{error.path}:3:19: this call is not a tail call: its result is assigned, and the function goes on after it\n"
        "    \t\tx = 'ü…', await f(n)\n"
        "    \t\t                ^^^^"
    )
    assert (error.line, error.column, error.code, error.exit_status) == (3, 19, "tail_call", 2)
    assert isinstance(error, BadInput)


def test_a_rejected_function_is_left_as_it_was() -> None:
    fn = define("async def f(n):\n    x = await f(n)\n")
    code = fn.__code__
    with pytest.raises(TailCallError):
        tailrec(fn)
    assert (fn.__code__, fn.__dict__) == (code, {})


def test_an_explanation_has_every_call_in_source_order() -> None:
    fn = define("""
    async def f(n):
        if n == 1:
            return await f(n - 1)
        g = lambda: f(5)
        x = await f(2)
        try:
            return await f(n - 2)
        finally:
            pass
    """)
    report = explain_tailcalls(fn)
    assert isinstance(report, TailCallReport)
    assert [(site.action, site.line) for site in report.sites] == [
        ("kept", 3),
        ("kept", 4),
        ("rejected", 5),
        ("rejected", 7),
    ]
    assert (report.accepted, report.function) == (False, "rejected.f")


def test_an_explanation_of_an_accepted_function_is_the_same_before_and_after() -> None:
    fn = define("async def f(n):\n    return await f(n - 1) if n else 0\n")
    report = explain_tailcalls(fn)
    assert report == explain_tailcalls(tailrec(fn))
    assert str(report) == (
        "rejected.f: a loop (1 tail call)\n"
        f"loop: {report.path}:2:18: becomes a jump\n"
        "        return await f(n - 1) if n else 0\n"
        "                     ^^^^^^^^"
    )


def test_an_explanation_as_json_has_a_schema() -> None:
    fn = define("async def f(n):\n    return await f(n - 1) if n else 0\n")
    found = json.loads(explain_tailcalls(fn, as_json=True))
    assert (found["schema"], found["accepted"], found["sites"][0]["action"]) == ("loom.tailcalls/1", True, "loop")


def test_an_explanation_as_json_never_fails_for_a_rejected_function() -> None:
    found = json.loads(explain_tailcalls(len, as_json=True))
    assert (found["accepted"], found["path"]) == (False, None)


@pytest.mark.parametrize("body", ["return f(n - 1)", "await f(n - 1)"])
def test_a_call_that_only_lacks_its_return_or_await_is_told_to_have_them(body: str) -> None:
    assert "write `return await f(...)`" in (rejected(f"async def f(n):\n    {body}\n").hint or "")
