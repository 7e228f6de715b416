"""Twenty small programs on which a tail-call transform goes wrong silently, each run as a process of its own.

    python benchmarks/tailcall_traps.py TRAP plain|loom_core|loom

``plain`` is the recursion itself, ``loom_core`` this project, ``loom`` the package loom-tailcalls of PyPI. Prints what
the program saw, or that it was rejected. Standard library only, so that any interpreter can run it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path

BEGIN = "import contextlib, functools, traceback\nfrom unittest import mock\nfrom transform import tailrec\nSEEN = []\n"

TRAPS = {
    "nested loops": """
@tailrec
async def f(n):
    for i in range(3):
        for j in range(3):
            if n and (i, j) == (1, 1):
                return await f(n - 1)
            SEEN.append((n, i, j))
    return n
""",
    "a loop inside `while True`": """
@tailrec
async def f(n):
    while True:
        for i in range(2):
            for j in range(2):
                if n:
                    return await f(n - 1)
        SEEN.append(n)
        assert len(SEEN) < 9, "endless"
        if n == 0:
            return n
""",
    "`else` of a loop": """
@tailrec
async def f(n):
    for i in range(2):
        for j in range(2):
            if n:
                return await f(n - 1)
        else:
            SEEN.append(("inner else", n, i))
    else:
        SEEN.append(("else", n))
    return n
""",
    "`finally` that reads arguments": """
@tailrec
async def f(n):
    try:
        if n:
            return await f(n - 1)
        return n
    finally:
        SEEN.append(n)
""",
    "`suppress` around the call": """
@tailrec
async def f(n):
    if n == 0:
        1 / 0
    with contextlib.suppress(ZeroDivisionError):
        return await f(n - 1)
    return ("after", n)
""",
    "a transaction around the call": """
class Transaction:
    def __init__(self, n): self.n = n
    async def __aenter__(self): SEEN.append(("begin", self.n))
    async def __aexit__(self, kind, *rest): SEEN.append(("rollback" if kind else "commit", self.n))
@tailrec
async def f(n):
    async with Transaction(n):
        if n == 0:
            raise ValueError("bottom")
        return await f(n - 1)
""",
    "a closure over a variable": """
@tailrec
async def f(n):
    SEEN.append(lambda: n)
    if n:
        return await f(n - 1)
    return [each() for each in SEEN]
""",
    "`nonlocal`": """
def make():
    total = 0
    @tailrec
    async def f(n):
        nonlocal total
        total += n
        if n:
            return await f(n - 1)
        return total
    return f, lambda: total
made, read = make()
async def f(n):
    return await made(n), read()
""",
    "`global` writes": """
TOTAL = 0
@tailrec
async def f(n):
    global TOTAL
    TOTAL += n
    if n:
        return await f(n - 1)
    return TOTAL
async def main(n):
    return await f(n), TOTAL
""",
    "`mock.patch` of a helper": """
def step(n):
    return n - 1
@tailrec
async def f(n):
    SEEN.append(n)
    if n > 0:
        return await f(step(n))
    return n
async def main(n):
    with mock.patch.dict(globals(), step=lambda n: n - 2):
        return await f(n)
""",
    "`mock.patch` of the function": """
@tailrec
async def f(n):
    SEEN.append(n)
    if n:
        return await f(n - 1)
    return n
async def patched(n):
    return "patched"
async def main(n):
    original = f
    with mock.patch.dict(globals(), f=patched):
        return await original(n)
""",
    "a helper defined later": """
@tailrec
async def f(n):
    if n:
        return await f(later(n))
    return n
def later(n):
    SEEN.append(n)
    return n - 1
""",
    "the class's own name": """
class C:
    kind = "C"
    @tailrec
    async def f(self, n):
        SEEN.append(C.kind)
        if n:
            return await self.f(n - 1)
        return n
async def f(n):
    return await C().f(n)
""",
    "`super()`": """
class Base:
    def log(self, n): SEEN.append(n)
class C(Base):
    def log(self, n): raise AssertionError("not super")
    @tailrec
    async def f(self, n):
        super().log(n)
        if n:
            return await self.f(n - 1)
        return n
async def f(n):
    return await C().f(n)
""",
    "private names": """
class C:
    def __log(self, n): SEEN.append(n)
    @tailrec
    async def f(self, n):
        self.__log(n)
        if n:
            return await self.f(n - 1)
        return n
async def f(n):
    return await C().f(n)
""",
    "a decorator below": """
def traced(fn):
    @functools.wraps(fn)
    async def wrapper(n):
        SEEN.append(n)
        return await fn(n)
    return wrapper
@tailrec
@traced
async def f(n):
    if n:
        return await f(n - 1)
    return n
""",
    "constant stack of `self.f()`": """
class C:
    @tailrec
    async def f(self, n):
        if n:
            return await self.f(n - 1)
        return n
async def f(n):
    return await C().f(n * (1 if LIMIT else 2000))
""",
    "duplicate keywords in `**`": """
@tailrec
async def f(n, a=0, **more):
    if n:
        return await f(n - 1, a=1, **{"a": 2, "b": n})
    return a, more
""",
    "a default is evaluated once": """
def made(value):
    SEEN.append(value)
    return []
@tailrec
async def f(n, seen=made("default")):
    seen.append(n)
    if n:
        return await f(n - 1)
    return seen
""",
    "lines of a traceback": """
@tailrec
async def f(n):
    if n:
        return await f(n - 1)
    raise ValueError("bottom")
async def main(n):
    try:
        await f(n)
    except ValueError as error:
        frames = traceback.extract_tb(error.__traceback__)
        return [(frame.name, frame.lineno, frame.filename == __file__) for frame in frames][-1]
""",
    "the function's name in an error": """
@tailrec
async def f(n, *, a=0):
    if n:
        return await f(n - 1, **{"b": 1})
    return n
""",
}


def run(text: str, kind: str, folder: Path) -> str:
    """Return what a program saw under a transform, as one line of JSON."""
    path = folder / "trap.py"
    path.write_text(BEGIN + text)
    sys.modules["transform"] = transform = types.ModuleType("transform")
    transform.tailrec = _transform(kind)  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("trap", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["trap"] = module
    # The recursion cannot go as deep as a loop has to; it goes less deep and ends with the same.
    module.LIMIT = kind == "plain"  # type: ignore[attr-defined]
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is compared
        if type(error).__name__ == "TailCallError":
            return json.dumps(["rejected"])
        return json.dumps(["does not import", type(error).__name__, str(error)])
    try:
        result = ["returned", asyncio.run(getattr(module, "main", module.f)(3))]
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is compared
        result = ["raised", type(error).__name__, str(error)]
    return json.dumps([result, [one for one in module.SEEN if not callable(one)]])


def _transform(kind: str) -> object:
    if kind == "plain":
        return lambda fn: fn
    if kind == "loom":
        from loom import tailrec  # type: ignore[import-not-found]
    else:
        from loom_core import tailrec
    return tailrec


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(run(TRAPS[sys.argv[1]], sys.argv[2], Path(name)))
