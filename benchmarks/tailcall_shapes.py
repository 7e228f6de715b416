"""Functions to time: each as tail recursion, and as the loop that a person would write with the same body."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal["function", "stream"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """``loop`` and ``hand`` each define ``start(n)``; what they do for ``n`` transitions is the same.

    ``goal`` is the ratio that ``loop`` may take at most, None where there is none: no loop in one frame would be right.
    """

    name: str
    goal: float | None
    loop: str
    hand: str
    kind: Kind = "function"


SHAPES = (
    Shape(
        name="one parameter",
        goal=1.02,
        loop="""
@tailrec
async def start(n):
    if n == 0:
        return depth()
    return await start(n - 1)
""",
        hand="""
async def start(n):
    while True:
        if n == 0:
            return depth()
        n = n - 1
""",
    ),
    Shape(
        name="three parameters",
        goal=1.02,
        loop="""
@tailrec
async def start(n, a=0, b=1):
    if n == 0:
        return depth()
    return await start(n - 1, b, (a + b) % 1000)
""",
        hand="""
async def start(n, a=0, b=1):
    while True:
        if n == 0:
            return depth()
        n = n - 1
        a, b = b, (a + b) % 1000
""",
    ),
    Shape(
        name="six parameters",
        goal=1.05,
        loop="""
@tailrec
async def start(n, a=0, b=1, c=2, d=3, e=4):
    if n == 0:
        return depth()
    return await start(n - 1, b, a, c + 1, d ^ c, e)
""",
        hand="""
async def start(n, a=0, b=1, c=2, d=3, e=4):
    while True:
        if n == 0:
            return depth()
        n = n - 1
        a, b = b, a
        c, d = c + 1, d ^ c
""",
    ),
    Shape(
        name="keyword parameters",
        goal=1.05,
        loop="""
@tailrec
async def start(n, *, step=1, total=0, limit=10**12):
    if n == 0 or total > limit:
        return depth()
    return await start(n - 1, total=total + step, step=step, limit=limit)
""",
        hand="""
async def start(n, *, step=1, total=0, limit=10**12):
    while True:
        if n == 0 or total > limit:
            return depth()
        n = n - 1
        total = total + step
""",
    ),
    Shape(
        name="inside loops of its own",
        goal=1.05,
        loop="""
@tailrec
async def start(n, total=0):
    for i in (1, 2):
        for j in (3, 4):
            if n == 0:
                return depth()
            if i * j > 3:
                return await start(n - 1, total + j)
    return total
""",
        hand="""
async def start(n, total=0):
    while True:
        again = False
        for i in (1, 2):
            for j in (3, 4):
                if n == 0:
                    return depth()
                if i * j > 3:
                    n = n - 1
                    total = total + j
                    again = True
                    break
            if again:
                break
        if again:
            continue
        return total
""",
    ),
    Shape(
        name="a method",
        goal=1.05,
        loop="""
class Counter:
    total = 0
    @tailrec
    async def count(self, n):
        if n == 0:
            return depth()
        self.total += n
        return await self.count(n - 1)
def start(n):
    return Counter().count(n)
""",
        hand="""
class Counter:
    total = 0
    async def count(self, n):
        while True:
            if n == 0:
                return depth()
            self.total += n
            n = n - 1
def start(n):
    return Counter().count(n)
""",
    ),
    Shape(
        name="a stream",
        goal=1.05,
        kind="stream",
        loop="""
@tailstream
async def start(n):
    yield n
    if n:
        async for x in start(n - 1):
            yield x
""",
        hand="""
async def start(n):
    while True:
        yield n
        if n:
            n = n - 1
            continue
        return
""",
    ),
    Shape(
        name="`*args, **kwargs` in the call",
        goal=None,
        loop="""
@tailrec
async def start(n, a=0, b=1):
    if n == 0:
        return depth()
    args, more = (n - 1, a), {"b": b}
    return await start(*args, **more)
""",
        hand="""
async def start(n, a=0, b=1):
    while True:
        if n == 0:
            return depth()
        args, more = (n - 1, a), {"b": b}
        n, a, b = *args, more["b"]
""",
    ),
    Shape(
        name="frames: a variable is captured",
        goal=None,
        loop="""
@tailrec
async def start(n, read=None):
    if n == 0:
        return depth() if read() == 1 else "one variable for all"
    return await start(n - 1, lambda: n)
""",
        hand="""
async def body(n, read=None):
    if n == 0:
        return depth() if read() == 1 else "one variable for all"
    return Again((n - 1, lambda: n))
class Again(tuple): pass
async def start(n, read=None):
    result = await body(n, read)
    while type(result) is Again:
        result = await body(*result)
    return result
""",
    ),
    Shape(
        name="frames: a group of two",
        goal=None,
        loop="""
@tailrec(group="parity")
async def start(n):
    if n == 0:
        return depth()
    return await odd(n - 1)
@tailrec(group="parity")
async def odd(n):
    if n == 0:
        return depth()
    return await start(n - 1)
""",
        hand="""
class Again(tuple): pass
async def even(n):
    if n == 0:
        return depth()
    return Again((odd, (n - 1,)))
async def odd(n):
    if n == 0:
        return depth()
    return Again((even, (n - 1,)))
async def start(n):
    result = await even(n)
    while type(result) is Again:
        result = await result[0](*result[1])
    return result
""",
    ),
    Shape(
        name='frames: `blocks="leave-first"`',
        goal=None,
        loop="""
import contextlib
@tailrec(blocks="leave-first")
async def start(n, total=0):
    with contextlib.nullcontext():
        if n == 0:
            return depth()
        return await start(n - 1, total + n)
""",
        hand="""
import contextlib
class Again(tuple): pass
async def body(n, total):
    with contextlib.nullcontext():
        if n == 0:
            return depth()
        return Again((n - 1, total + n))
async def start(n, total=0):
    result = await body(n, total)
    while type(result) is Again:
        result = await body(*result)
    return result
""",
    ),
    Shape(
        name="frames: a stream that captures",
        goal=None,
        kind="stream",
        loop="""
@tailstream
async def start(n):
    yield lambda: n
    if n:
        async for x in start(n - 1):
            yield x
""",
        hand="""
async def one(n, then):
    yield lambda: n
    if n:
        then[0] = n - 1
async def start(n):
    then = [n]
    while then[0] is not None:
        n, then[0] = then[0], None
        async for x in one(n, then):
            yield x
""",
    ),
)

# Thirty lines of an ordinary agent's loop, of which a file has many.
THIRTY_LINES = '''
async def {name}(queue, seen=0, failures=0, *, limit=100, pause=0.5):
    """Work off a queue and return how many jobs were done."""
    job = await queue.get()
    if job is None:
        return seen
    for attempt in range(3):
        try:
            result = await job.run(attempt)
        except ValueError as error:
            failures += 1
            queue.log("attempt failed", job.name, str(error))
        else:
            break
    else:
        queue.give_up(job)
        return await {name}(queue, seen, failures, limit=limit, pause=pause)
    match result:
        case {{"next": [first, *rest]}} if first:
            for other in rest:
                queue.put_later(other, pause)
            queue.put(first)
        case {{"again": True}}:
            return await {name}(queue, seen, failures, limit=limit - 1, pause=pause * 2)
        case _:
            queue.done(job, [part for part in result if part])
    if seen > limit:
        return seen
    if failures > 10:
        failures = 0
        queue.log("too many failures", seen)
    return await {name}(queue, seen + 1, failures, limit=limit, pause=pause)
'''
