"""What is rejected: with place, caret, a reason that is true, and what to write instead."""

from __future__ import annotations

import functools
import json
import linecache
import textwrap
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
    ("return await f(n - 1) or 5", "f(n - 1)", "`and` or `or`"),
    ("return n and await f(n - 1)", "f(n - 1)", "`and` or `or`"),
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
    ("try:\n        n = 1\n    finally:\n        return await f(n - 1)", "f(n - 1)", "inside `try`"),
    ("try:\n        n = 1\n    except* ValueError:\n        n = await f(n - 1)", "f(n - 1)", "assigned"),
    ("with open(n):\n        return await f(n - 1)", "f(n - 1)", "inside `with`"),
    ("async with n:\n        if n:\n            return await f(n - 1)", "f(n - 1)", "inside `async with`"),
    ("def g(x=f(1)): ...\n    return await f(n - 1)", "f(1)", "goes on after it"),
    ("return await f(*n)", "*n", "`*` spreads"),
    ("return await f(**n)", "n", "`**` spreads"),
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
    ("async def f(n):\n    return n", "f", "does not call itself by its name: there is no tail call of it"),
    ("async def f(n, f):\n    return await f(n - 1)", "f", "a local variable here"),
    ("async def f(n, *rest):\n    return await f(n - 1)", "rest", "`*rest`"),
    ("async def f(n, **rest):\n    return await f(n - 1)", "rest", "`**rest`"),
    ("async def f(n):\n    n.append(lambda: n)\n    return await f(n)", "lambda: n", "keeps `n`"),
    ("async def f(n):\n    x = n\n    def g(): return x\n    return await f(g)", "g", "keeps `x`"),
    ("async def f(n):\n    return await f(n + q for q in n)", "n + q for q in n", "keeps `n`"),
    ("async def f(n):\n    return await f(q + n for q in [(lambda: n) for p in n])", None, "keeps `n`"),
    ("async def f(n):\n    class C: x = n\n    return await f(C)", "class C: x = n", "keeps `n`"),
    ("async def f(n):\n    global f\n    f = n\n    return await f(n)", "global f", "rebinds its own name"),
    ("async def f(n):\n    def g():\n        global f\n    return await f(n)", "global f", "rebinds its own name"),
    ("async def f(n):\n    if n:\n        global X\n    return await f(n)", "global X", "inside a block"),
    ("async def f(n):\n    print(locals())\n    return await f(n)", "locals()", "by name"),
    ("async def f(n):\n    eval('n')\n    return await f(n)", "eval('n')", "by name"),
    ("async def f(n):\n    print(vars())\n    return await f(n)", "vars()", "by name"),
]


@pytest.mark.parametrize(("source", "caret", "reason"), FUNCTIONS)
def test_a_function_that_cannot_be_proved_alike_is_rejected(source: str, caret: str | None, reason: str) -> None:
    error = rejected(source)
    if caret is not None:
        assert marked(error).strip("()") == caret.strip("()")
    assert reason in error.reason
    assert error.hint


def test_methods_are_rejected() -> None:
    source = "class C:\n    async def f(self, n):\n        return await f(n)\n"
    with pytest.raises(TailCallError, match="a method is not accepted"):
        tailrec(define(source, "C").f)


@pytest.mark.parametrize("use", ["super()", "__class__", "self.__x", "__x"])
def test_what_means_something_else_outside_its_class_is_rejected(use: str) -> None:
    source = f"""
    class C:
        def m(self):
            async def f(n):
                {use}
                return await f(n)
            return f
    """
    with pytest.raises(TailCallError, match=r"does not accept|not accepted"):
        tailrec(define(source, "C")().m())


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


def keeps_the_function(fn: Any) -> Any:
    return fn


def wraps_the_function(fn: Any) -> Any:
    @functools.wraps(fn)
    async def wrapper(n: int) -> Any:
        return await fn(n)

    return wrapper


@pytest.mark.parametrize("below", [keeps_the_function, wraps_the_function])
def test_a_decorator_below_is_rejected_and_not_dropped(below: Any) -> None:
    with pytest.raises(TailCallError, match="a decorator below @tailrec"):
        define("@tailrec\n@below\nasync def f(n):\n    return await f(n - 1)\n", below=below)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (5, "a value of type int is not a function"),
        (len, "a value of type builtin_function_or_method is not a function"),
        (classmethod(len), "a value of type classmethod is not a function"),
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
