"""Arguments are bound as Python binds them, each evaluated once, in the order in which they are written."""

from __future__ import annotations

import pytest

from loom_core.tailcalls import explain_tailcalls
from tests.core.tailcalls.worlds import both, world

HEADER = """
LOG = []
def e(value):
    LOG.append(repr(value))
    return value
class Odd:
    def __init__(self, *truths): self.truths = list(truths)
    def __bool__(self):
        LOG.append("bool")
        return self.truths.pop(0) if len(self.truths) > 1 else self.truths[0]
    def __repr__(self): return f"Odd({self.truths})"
class Bad:
    def keys(self): raise ValueError("keys")
def bad():
    yield 1
    raise ValueError("in the middle")
"""

# Signature, tail call; every one is run from f(3, ...) as the last column says.
CALLS = [
    ("n, *rest", "f(n - 1, *rest, n)", "f(3, 'x')"),
    ("n, *rest", "f(n - 1, n, *rest, n)", "f(3)"),
    ("n, *rest", "f(n - 1, e(n), e(rest))", "f(3)"),
    ("n, *rest", "f(n - 1)", "f(3, 1, 2)"),
    ("n, *rest", "f(*rest, n - 1)", "f(3)"),
    ("n, **more", "f(n - 1)", "f(3, a=1)"),
    ("n, **more", "f(n - 1, a=e(n), b=e(more))", "f(3)"),
    ("n, **more", "f(a=e(n), n=e(n - 1))", "f(3)"),
    ("n, **more", "f(b=e(1), n=e(n - 1), a=e(2))", "f(3)"),
    ("n, **more", "f(n - 1, **more, a=n)", "f(3, b=1)"),
    ("n, **more", "f(n - 1, **more)", "f(3, b=1)"),
    ("n, **more", "f(n - 1, a=n, **more)", "f(3, a=1)"),
    ("n, **more", "f(**more, n=n - 1)", "f(3, b=1)"),
    ("n, /, **more", "f(n - 1, n=n)", "f(3)"),
    ("n, /, **more", "f(n - 1, **{'n': n})", "f(3)"),
    ("n, *rest, **more", "f(n - 1, *rest, *more, **more)", "f(3, 4, b=1)"),
    ("n, *rest, k=1, **more", "f(n - 1, *rest, k=e(k + 1), **more)", "f(3, 4, b=1)"),
    ("n, *rest, k=1", "f(n - 1, *e(rest), k=e(n))", "f(3, 4)"),
    ("n, *rest, k=1", "f(n - 1, k=n, *rest)", "f(3, 4)"),
    ("n, *, k", "f(n - 1, k=k, **{'k': 1})", "f(3, k=1)"),
    ("n, *, k", "f(n - 1, **{'k': 1}, **{'k': 2})", "f(3, k=1)"),
    ("n, *, k", "f(n - 1, **{'j': 1})", "f(3, k=1)"),
    ("n, *, k=5", "f(*(n - 1,))", "f(3, k=1)"),
    ("n, a=1", "f(*(n - 1, 2, 3))", "f(3)"),
    ("n, a=1", "f(*(n - 1,), **{'n': 1})", "f(3)"),
    ("n, a=1", "f(*5)", "f(3)"),
    ("n, a=1", "f(n - 1, **5)", "f(3)"),
    ("n, a=1", "f(n - 1, **Bad())", "f(3)"),
    ("n, a=1", "f(n - 1, *bad())", "f(3)"),
    ("n, a=1", "f(e(n - 1), *(e(i) for i in range(1)), **{e('a'): e(2)})", "f(3)"),
    ("n, a=1", "f(n - 1, **{1: 2})", "f(3)"),
    ("n, a=1, b=2", "f(n - 1, b, a)", "f(3)"),
    ("n, a=1, b=2", "f(n - 1, a, (a := 7))", "f(3)"),
    ("n, a=1, b=2", "f(n - 1, (b := 7), b)", "f(3)"),
    ("n, a=1, b=2", "f((a := n - 1), a, [a := i for i in range(2)])", "f(3)"),
    ("n, a=1, b=2", "f(n - 1, [(a := a + i) for i in range(3)], a)", "f(3)"),
    ("n, args=1, *rest, **kwargs", "f(n - 1, kwargs, rest, kwargs=args)", "f(3)"),
    ("n, a, *rest, **more", "f(n - 1, rest, a, more, more=a, rest=rest)", "f(3, 0)"),
    ("n, *rest, **more", "f(n - 1, more, rest=rest)", "f(3, 0, b=1)"),
]


@pytest.mark.parametrize(("signature", "call", "start"), CALLS)
def test_a_tail_call_binds_as_the_call_does(signature: str, call: str, start: str) -> None:
    names = ", ".join(
        part.split("=")[0].strip().lstrip("*") for part in signature.split(",") if part.strip() not in "*/"
    )
    body = f"    if n <= 0:\n        return ({names},)\n    return await {call}\n"
    plain, loop = both(f"{HEADER}@tailrec\nasync def f({signature}):\n{body}", start)
    assert loop == plain


def test_the_dict_of_keywords_is_fresh_at_each_transition() -> None:
    source = """
    LOG = []
    @tailrec
    async def f(n, **more):
        LOG.append(more)
        more["n"] = n
        if n == 2: return await f(n - 1)
        if n == 1: return await f(n - 1, **{**more, 'n': 0} if n > 1 else {'b': 2})
        return await f(n - 1, a=1) if n else [dict(one) for one in LOG]
    """
    plain, loop = both(source, "f(3)")
    assert loop == plain
    assert len({id(one) for one in loop[1]}) == 4  # type: ignore[index]


def test_defaults_of_spread_calls_are_those_of_the_function() -> None:
    source = """
    @tailrec
    async def f(n, a=[], *, k=1):
        a.append((n, k))
        return await f(*(n - 1,)) if n else a
    f.__defaults__ = (["new"],)
    f.__kwdefaults__ = {"k": 5}
    """
    plain, loop = both(source, "f(2)")
    assert loop == plain


@pytest.mark.parametrize(
    "tail",
    [
        "n and await f(n - 1)",
        "n == 0 or await f(n - 1)",
        "a and n and await f(n - 1)",
        "(a and n) and await f(n - 1)",
        "(a or n) and n > 0 and await f(n - 1)",
        "a or (n and await f(n - 1))",
        "a and (n == 0 or await f(n - 1))",
        "(a and b) or (n > 0 and await f(n - 1, b, a))",
        "(a and n) or await f(n - 1, True) if n else a",
        "a or (await f(n - 1, n % 2) if n else b)",
        "a and (await f(n - 1) if n % 2 else await f(n - 2, b)) if n > 1 else b",
        "await f(n - 1) if n and a else (b and await f(n - 1, 1) if n else a)",
        "not a or (n > 0 and await f(n - 1))",
        "a or await f(n - 1, 1)",
    ],
)
@pytest.mark.parametrize("loop_around", [False, True])
def test_and_and_or_are_tail_positions_that_ask_for_truth_as_often_as_python(tail: str, *, loop_around: bool) -> None:
    body = f"    return {tail}\n"
    if loop_around:
        loops = "    for i in range(2):\n        while True:\n            LOG.append(i)\n"
        body = f"{loops}            return {tail}\n    else: pass\n"
    source = f"{HEADER}@tailrec\nasync def f(n, a=Odd(True, False, True), b=Odd(False, True)):\n{body}"
    plain, loop = both(f"{source}async def start():\n    return repr(await f(5))\n", "start()")
    assert loop == plain


def test_a_chain_of_and_needs_no_stack() -> None:
    source = "@tailrec\nasync def f(n):\n    return n and await f(n - 1)\n"
    plain, loop = both(source, "f(30_000)")
    assert (plain[0][0], loop[0]) == (RecursionError, 0)  # type: ignore[index]


DECLARED = """
LOG = []
X = 0
def outer():
    y = 0
    @tailrec
    async def f(n):
        '''Documented.'''
        if n % 2:
            global X
            X += n
            for _ in range(2):
                nonlocal y
                y += 1
                if y == 5: return await f(n - 1)
        else:
            try:
                pass
            finally:
                global Z
                Z = n
        match n:
            case 0:
                global W
                W = 1
                return X, y, Z
            case _:
                return await f(n - 1)
    return f
f = outer()
"""


def test_global_and_nonlocal_may_stand_anywhere() -> None:
    plain, loop = both(DECLARED, "f(6)")
    assert loop == plain
    assert world(DECLARED)["f"].__doc__ == "Documented."
    assert explain_tailcalls(world(DECLARED)["f"]).mode == "direct"


CAPTURES = [
    ("fs.append(lambda: n)", "frames"),
    ("fs.append(lambda: len(fs))", "direct"),
    ("fs.append([lambda: q for q in range(2)][0])", "direct"),
    ("fs.append([lambda: (q, n) for q in range(2)][0])", "frames"),
    ("fs.append(lambda: sum([q * 2 for q in range(2)]))", "direct"),
    ("q = n\n    fs.append([lambda: q for q in range(2)][0])", None),
    ("fs.append(next(lambda: i for i in range(2)))", "direct"),
    ("class C: fs.append(lambda: len(fs))", "direct"),
    ("class C:\n        x = n\n        fs.append(lambda: C.x)", "frames"),
    ("fs.append(lambda n=n: n)", "direct"),
]


@pytest.mark.parametrize(("statement", "mode"), CAPTURES)
def test_a_closure_sees_the_values_of_its_own_transition(statement: str, mode: str | None) -> None:
    tail = "    return await f(n - 1, fs) if n else [one() for one in fs]\n"
    source = f"@tailrec\nasync def f(n, fs):\n    {statement}\n{tail}"
    plain, loop = both(source, "f(3, [])")
    assert loop == plain
    if mode is not None:
        assert explain_tailcalls(world(source)["f"]).mode == mode


def test_what_frames_are_for_is_said() -> None:
    report = explain_tailcalls(world("@tailrec\nasync def f(n):\n    lambda: n\n    return await f(n - 1)\n")["f"])
    assert report.why_frames == "a nested function, class or generator keeps `n`, so that each transition needs its own"


def test_variables_of_comprehensions_are_no_variables_of_the_function() -> None:
    source = """
    q = "global"
    LOG = []
    @tailrec
    async def f(n):
        LOG.append([q for q in range(n)])
        LOG.append(q)
        LOG.append([f for f in range(n)])
        return await f(n - 1) if n else [lambda: q for q in range(2)][0]()
    """
    plain, loop = both(source, "f(2)")
    assert loop == plain
    assert explain_tailcalls(world(source)["f"]).mode == "direct"
