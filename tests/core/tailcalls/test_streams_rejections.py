"""What ``tailstream`` rejects: with place, caret, a reason that is true, and what to write instead."""

from __future__ import annotations

import json
import linecache
import textwrap
from itertools import count
from typing import Any

import pytest

from loom_core.tailcalls import TailCallError, explain_tailcalls, tailrec, tailstream

NUMBERS = count()


def define(source: str, name: str = "f", **names: Any) -> Any:
    text = textwrap.dedent(source).lstrip("\n")
    path = f"<rejected stream {next(NUMBERS)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": "rejected", "tailstream": tailstream, **names}
    exec(compile(text, path, "exec"), namespace)
    return namespace[name]


def rejected(source: str, transform: Any = tailstream) -> TailCallError:
    fn = define(source)
    with pytest.raises(TailCallError) as error:
        transform(fn)
    return error.value


def marked(error: TailCallError) -> str:
    """Return the source under the caret."""
    site = error.report.first_fault()
    assert site.source_line is not None
    assert site.column is not None
    assert site.end_column is not None
    return site.source_line[site.column - 1 : site.end_column - 1]


GO_ON = "the function goes on after it"
BODIES = [
    ("async for x in f(n):\n        yield x\n    log()", "f(n)", GO_ON),
    ("if n:\n        async for x in f(n): yield x\n    yield 1", "f(n)", GO_ON),
    ("while n:\n        async for x in f(n): yield x", "f(n)", GO_ON),
    ("for i in n:\n        async for x in f(n): yield x\n        break\n    log()", "f(n)", GO_ON),
    ("for i in n:\n        async for x in f(n): yield x\n        continue", "f(n)", GO_ON),
    ("for i in n:\n        async for x in f(n): yield x\n    else: return", "f(n)", GO_ON),
    ("async for x in f(n): yield x + 1", "f(n)", "something else than the item `x`"),
    ("async for x in f(n): yield n", "f(n)", "something else than the item `x`"),
    ("async for x in f(n): yield", "f(n)", "something else than the item `x`"),
    ("async for x in f(n):\n        if x: yield x", "f(n)", "is not just `yield x`"),
    ("async for x in f(n):\n        yield x\n        yield x", "f(n)", "is not just `yield x`"),
    ("async for x in f(n):\n        y = yield x", "f(n)", "is not just `yield x`"),
    ("async for x, y in f(n): yield x, y", "f(n)", "not a plain variable"),
    ("async for n.x in f(n): yield n.x", "f(n)", "not a plain variable"),
    ("async for x in f(n): yield x\n    else: log()", "f(n)", "`else`, which runs after it"),
    ("try:\n        async for x in f(n): yield x\n    finally: log()", "f(n)", "inside `try`"),
    ("try: log()\n    except KeyError:\n        async for x in f(n): yield x", "f(n)", "inside `try`"),
    ("with n:\n        async for x in f(n): yield x", "f(n)", "inside `with`"),
    ("async with n:\n        if n:\n            async for x in f(n): yield x", "f(n)", "inside `async with`"),
    ("try: log()\n    finally:\n        async for x in f(n): yield x", "f(n)", "inside `finally`"),
    ("yield [x async for x in f(n)]", "f(n)", "comprehension"),
    ("yield f(n)", "f(n)", "the generator itself is yielded"),
    ("yield await f(n)", "f(n)", "cannot be awaited"),
    ("await f(n)", "f(n)", "cannot be awaited"),
    ("for x in f(n): yield x", "f(n)", "`for` cannot loop over"),
    ("g = f(n)\n    async for x in g: yield x", "f(n)", "assigned"),
    ("async for x in wrap(f(n)): yield x", "f(n)", "looped over"),
    ("async for x in f(f(n)): yield x", "f(n)", "argument of another call"),
    ("async with closing(f(n)) as g:\n        async for x in g: yield x", "f(n)", "left after it"),
    ("if f(n): yield 1", "f(n)", "condition"),
    ("global x\n    async for x in f(n): yield x", "x", "not a local one"),
    ("g = lambda: x\n    async for x in f(n): yield x", "x", "keeps `x`"),
]


@pytest.mark.parametrize(("body", "caret", "reason"), BODIES)
def test_what_is_no_tail_of_a_stream_is_rejected_under_a_caret(body: str, caret: str, reason: str) -> None:
    error = rejected(f"async def f(n):\n    yield n\n    {body}\n")
    assert marked(error) == caret
    assert reason in error.reason
    assert error.hint
    assert f"hint: {error.hint}" in error.__notes__


FUNCTIONS = [
    ("async def f(n):\n    return await f(n)", "f", "without `yield` is not a stream", "@tailrec"),
    ("async def f(n):\n    async for x in f(n): print(x)", "f", "without `yield` is not a stream", "@tailrec"),
    ("def f(n):\n    yield n\n    yield from f(n)", "f", "the generator is not async", "async def f"),
    ("def f(n):\n    return f(n)", "f", "not an async generator", "remove @tailstream"),
    ("async def f(n):\n    yield n", "f", "does not go on with itself", "async for item in f(...): yield item"),
    ("async def f(n):\n    yield n\n    async for x in g(n): yield x", "f", "does not go on with itself", "remove"),
    ("async def f(n, f):\n    yield n\n    async for x in f(n): yield x", "f(n)", "`f` is a local variable here", "f"),
    ("async def f(n):\n    yield n\n    async for x in n.f(n): yield x", "n.f(n)", "`n.f` is not provably", "f(...)"),
    ("async def f(n):\n    yield n\n    async for x in f(n, 1): yield x", "1", "nothing to loop", "arguments"),
    ("async def f(n):\n    yield n\n    global f\n    async for x in f(n): yield x", None, "rebinds", "another name"),
]


@pytest.mark.parametrize(("source", "caret", "reason", "hint"), FUNCTIONS)
def test_a_function_that_is_no_tail_recursive_stream_is_rejected(
    source: str, caret: str | None, reason: str, hint: str
) -> None:
    if "global f" in source:
        source = source.replace("    yield n\n    global f\n", "    global f\n    yield n\n")
    error = rejected(source)
    if caret is not None:
        assert marked(error) == caret
    assert reason in error.reason
    assert hint in str(error.hint)


def test_tailrec_of_a_stream_names_tailstream() -> None:
    error = rejected("async def f(n):\n    yield n\n    async for x in f(n): yield x", tailrec)
    assert "an async generator" in error.reason
    assert "@tailstream" in str(error.hint)


def test_leave_first_still_rejects_finally_and_what_sees_variables_by_name() -> None:
    first = tailstream(blocks="leave-first")
    error = rejected("async def f(n):\n    try: yield n\n    finally:\n        async for x in f(n): yield x", first)
    assert "inside `finally`" in error.reason
    source = "async def f(n):\n    yield locals()\n    with n:\n        async for x in f(n): yield x"
    assert "variables by name" in rejected(source, first).reason


def test_the_hint_for_a_block_names_the_option() -> None:
    error = rejected("async def f(n):\n    with n:\n        yield n\n        async for x in f(n): yield x")
    assert '@tailstream(blocks="leave-first")' in str(error.hint)


def test_a_plain_stream_is_explained_as_tailstream_would_take_it() -> None:
    source = """
    async def f(n):
        yield n
        g = lambda: f(n)
        if n:
            async for x in f(n - 1): yield x
            return
        async for x in f(n, 1): yield x
    """
    plain = define(source)
    report = explain_tailcalls(plain)
    assert [(site.action, site.line) for site in report.sites] == [("kept", 3), ("loop", 5), ("kept", 7)]
    assert (report.accepted, report.mode) == (True, "frames")
    assert report == explain_tailcalls(tailstream(plain))
    found = json.loads(explain_tailcalls(plain, as_json=True))
    assert (found["schema"], found["mode"]) == ("loom.tailcalls/1", "frames")
    assert "keeps `n`" in found["why_frames"]


def test_a_rejected_stream_is_explained_with_all_its_faults_and_left_as_it_was() -> None:
    fn = define(
        "async def f(n):\n    yield f(1)\n    async for x in f(2): yield x\n    async for x in f(3): yield -x\n"
    )
    code = fn.__code__
    report = explain_tailcalls(fn)
    assert [(site.action, site.line) for site in report.sites] == [("rejected", 2), ("rejected", 3), ("rejected", 4)]
    assert (fn.__code__, fn.__dict__) == (code, {})


WHY_FRAMES = [
    ("try: yield n\n    finally: pass", "the `yield` in line 2 stands in a block"),
    ("for i in n(): yield i", "the loop in line 2 yields items of something that only it holds"),
    ("async for i in n(): yield i", "the loop in line 2 yields"),
    ("for i in await n: yield i", "the loop in line 2 yields"),
    ("for i in (j for j in n()): yield i", "the loop in line 2 yields"),
    ("for i in enumerate(n()): yield i", "the loop in line 2 yields"),
    ("for i in n() if n else []: yield i", "the loop in line 2 yields"),
    ("list = n\n    for i in list(n): yield i", "the loop in line 3 yields"),
    ("i = yield n", "sent to the `yield` in line 2 is used"),
    ("print((yield n))", "sent to the `yield` in line 2 is used"),
    ("yield lambda: n", "keeps `n`"),
    ("for i in n: yield i", None),
    ("for i in n.items: yield i", None),
    ("for i in list(n()): yield i", None),
    ("for i in enumerate(zip(n, range(3))): yield i", None),
    ("for i in [n()]: yield i", None),
    ("for i in n or []: yield i", None),
    ("async for i in n.items: yield i", None),
    ("for i in n(): pass\n    yield 1", None),
    ("try: await n\n    finally: pass\n    yield 1", None),
]


@pytest.mark.parametrize(("body", "why"), WHY_FRAMES)
def test_the_explanation_says_why_transitions_need_frames_of_their_own(body: str, why: str | None) -> None:
    report = explain_tailcalls(define(f"async def f(n):\n    {body}\n    async for x in f(n - 1): yield x"))
    if why is None:
        assert (report.mode, report.why_frames) == ("direct", None)
    else:
        assert report.mode == "frames"
        assert why in str(report.why_frames)
        assert str(report.why_frames) in str(report)


def test_another_stream_at_the_end_is_said_to_be_an_ordinary_loop() -> None:
    source = """
    @tailstream
    async def g(n):
        yield n
        async for x in g(n): yield x
    @tailstream
    async def f(n):
        yield n
        if n:
            async for x in g(n): yield x
        else:
            async for x in f(n): yield x
    """
    report = explain_tailcalls(define(source))
    assert [site.action for site in report.sites] == ["kept", "loop"]
    assert "`g` is another @tailstream function" in report.sites[0].reason
