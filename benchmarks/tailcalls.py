"""What a tail call costs, beside the loop that a person would write with the same body, and beside plain recursion.

    python -m benchmarks.tailcalls [--rounds 15] [--transitions 100000] [--deep 10000000] [--beside PYTHON]

Loop and handwritten loop take turns, the first of a pair being the second of the next; a ratio is the median of the
pairs. Times are of the thread's processor, without the event loop: the functions never suspend. Instructions are
counted with sys.settrace, exactly. ``--beside`` names an interpreter that has the package loom-tailcalls, which is
then timed and tried on the traps of ``benchmarks/tailcall_traps.py`` too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tailcall_shapes import SHAPES, THIRTY_LINES, Shape  # noqa: E402
from benchmarks.tailcall_traps import TRAPS  # noqa: E402

# What `depth` returns instead while results are compared.
END: list[str] = []
Run = Callable[[int], Coroutine[Any, Any, object]]
HEADERS = ["shape", "loop ns", "by hand ns", "ratio", "goal", "instructions", "by hand", "recursion ns"]


def plain(fn: Any) -> Any:
    return fn


def depth() -> object:
    """Return how many Python frames stand on each other here, or what all shapes have to end with."""
    if END:
        return END[-1]
    frame: FrameType | None = sys._getframe()
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def made(source: str, name: str, folder: Path, transforms: dict[str, Any]) -> ModuleType:
    """Import source text from a file, so that decorators can read it."""
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(transforms, depth=depth)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def runner(shape: Shape, module: ModuleType) -> Run:
    async def consume(n: int) -> object:
        stream: AsyncIterator[object] = module.start(n)
        async for _ in stream:
            pass
        return depth()

    return consume if shape.kind == "stream" else module.start


def results(module: ModuleType, shape: Shape) -> list[object]:
    """Return what 20 transitions end with or yield."""

    async def items() -> list[object]:
        return [x if isinstance(x, int) else x() async for x in module.start(20)]

    END.append("the end")
    try:
        found = asyncio.run(items() if shape.kind == "stream" else module.start(20))
    finally:
        END.pop()
    return found if isinstance(found, list) else [found]


def seconds(run: Run, n: int) -> float:
    """Return the processor seconds of one run, which must not suspend."""
    coroutine = run(n)
    started = time.thread_time()
    try:
        coroutine.send(None)
    except StopIteration:
        return time.thread_time() - started
    raise AssertionError("the function suspended")


def instructions(run: Run, n: int) -> int:
    """Return how many bytecode instructions a run executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    coroutine = run(n)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    finally:
        sys.settrace(before)
    return count


def per_transition(run: Run) -> float:
    return (instructions(run, 300) - instructions(run, 100)) / 200


def ratio_of(one: Run, other: Run, n: int, rounds: int) -> tuple[float, float, float]:
    """Return nanoseconds per transition of both, and the median ratio of pairs that take turns."""
    pairs: list[tuple[float, float]] = []
    gc.collect()
    gc.disable()
    try:
        seconds(one, n), seconds(other, n)
        for number in range(rounds):
            if number % 2:
                second, first = seconds(other, n), seconds(one, n)
            else:
                first, second = seconds(one, n), seconds(other, n)
            pairs.append((first, second))
    finally:
        gc.enable()
    ratio = statistics.median(first / second for first, second in pairs)
    own, hand = (statistics.median(times) / n * 1e9 for times in zip(*pairs, strict=True))
    return own, hand, ratio


def recursion_ns(run: Run, rounds: int) -> float:
    """Return nanoseconds per transition of recursion 300 deep, which Python's own limit allows."""
    gc.disable()
    try:
        return statistics.median(sum(seconds(run, 300) for _ in range(30)) / 9000 for _ in range(rounds)) * 1e9
    finally:
        gc.enable()


def shapes_table(transforms: dict[str, Any], options: argparse.Namespace, folder: Path) -> Iterator[list[str]]:
    for number, shape in enumerate(SHAPES):
        loop = runner(shape, made(shape.loop, f"loop{number}", folder, transforms))
        hand = runner(shape, made(shape.hand, f"hand{number}", folder, transforms))
        unchanged = {"tailrec": _either(plain), "tailstream": _either(plain)}
        recursion = runner(shape, made(shape.loop, f"recursion{number}", folder, unchanged))
        own, by_hand, ratio = ratio_of(loop, hand, options.transitions, options.rounds)
        yield [
            shape.name,
            f"{own:.1f}",
            f"{by_hand:.1f}",
            f"**{ratio:.3f}**",
            "" if shape.goal is None else f"{shape.goal}",
            f"{per_transition(loop):.0f}",
            f"{per_transition(hand):.0f}",
            f"{recursion_ns(recursion, 5):.0f}",
        ]


def _either(transform: Any) -> Any:
    """Make a transform usable with and without options."""
    return lambda fn=None, **options: transform(fn) if fn is not None else transform


def decoration_ms(transform: Any, folder: Path) -> tuple[float, float]:
    """Return the milliseconds of the first function of a file of 60, and the median of the others."""
    source = "\n".join(THIRTY_LINES.format(name=f"work{number}") for number in range(60))
    module = made(source, "thirty", folder, {})
    times = []
    for number in range(60):
        fn = getattr(module, f"work{number}")
        started = time.thread_time()
        transform(fn)
        times.append((time.thread_time() - started) * 1e3)
    return times[0], statistics.median(times[1:])


def deep(number: int, n: int) -> None:
    """Print, as JSON, what ``n`` transitions of a shape take; run in a process of its own."""
    from loom_core import tailrec, tailstream

    shape = SHAPES[number]
    with tempfile.TemporaryDirectory() as name:
        run = runner(shape, made(shape.loop, "deep", Path(name), {"tailrec": tailrec, "tailstream": tailstream}))
        shallow = asyncio.run(run(1000))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        reached = asyncio.run(run(n))
        took = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        asyncio.run(run(min(n, 100_000)))
        traced = tracemalloc.get_traced_memory()[1]
    print(json.dumps([took, after - before, traced, shallow, reached]))


def deep_table(n: int) -> Iterator[list[str]]:
    for number, shape in enumerate(SHAPES):
        argv = [sys.executable, "-m", "benchmarks.tailcalls", "--child", str(number), str(n)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT)
        took, grown, traced, shallow, reached = json.loads(done.stdout)
        assert shallow == reached, (shape.name, shallow, reached)
        yield [shape.name, f"{took:.1f}", f"{grown:,}", f"{traced / 1000:.1f}", f"{reached}"]


def beside_table(python: str, options: argparse.Namespace) -> Iterator[list[str]]:
    for number, shape in enumerate(SHAPES):
        argv = [python, __file__, "--beside-child", str(number)]
        argv += ["--rounds", str(options.rounds), "--transitions", str(options.transitions)]
        done = subprocess.run(argv, capture_output=True, text=True)
        yield [
            shape.name,
            *(json.loads(done.stdout) if done.returncode == 0 else ["fails", done.stderr.split("\n")[-2]]),
        ]


def beside(number: int, options: argparse.Namespace) -> None:
    """Print the ratio of the other package's loop to the handwritten one; run by its interpreter."""
    import loom  # type: ignore[import-not-found]

    shape = SHAPES[number]
    with tempfile.TemporaryDirectory() as name:
        try:
            made_by_it = made(shape.loop, "loop", Path(name), {"tailrec": loom.tailrec, "tailstream": loom.tailstream})
        except (loom.TailCallError, TypeError) as error:
            print(json.dumps(["rejected", type(error).__name__]))
            return
        by_hand = made(shape.hand, "hand", Path(name), {})
        loop, hand = runner(shape, made_by_it), runner(shape, by_hand)
        if results(made_by_it, shape) != results(by_hand, shape):
            print(json.dumps(["wrong result", ""]))
            return
        try:
            own, _, ratio = ratio_of(loop, hand, options.transitions, options.rounds)
        except RecursionError:
            print(json.dumps(["recursion", "RecursionError: not made a loop"]))
            return
    print(json.dumps([f"{own:.1f}", f"{ratio:.3f}"]))


def traps_table(beside_python: str | None) -> Iterator[list[str]]:
    for trap in TRAPS:
        expected = tried(sys.executable, trap, "plain")
        row = [trap, verdict(expected, tried(sys.executable, trap, "loom_core"))]
        if beside_python is not None:
            row.append(verdict(expected, tried(beside_python, trap, "loom")))
        yield row


def tried(python: str, trap: str, kind: str) -> str:
    argv = [python, str(ROOT / "benchmarks/tailcall_traps.py"), trap, kind]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, env={"PYTHONPATH": str(ROOT)})
    except subprocess.TimeoutExpired:
        return '["does not end"]'
    return done.stdout.strip() or json.dumps(["crashes", done.stderr.strip().split("\n")[-1]])


def verdict(expected: str, seen: str) -> str:
    if seen == expected:
        return "as the recursion"
    if seen == '["rejected"]':
        return "rejected"
    return f"**wrong**: `{seen if len(seen) <= 60 else seen[:59] + '…'}`"


def table(headers: list[str], rows: Iterator[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--deep", type=int, default=10_000_000)
    parser.add_argument("--beside", metavar="PYTHON")
    parser.add_argument("--child", nargs=2, type=int, metavar=("SHAPE", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--beside-child", type=int, metavar="SHAPE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        deep(*options.child)
    elif options.beside_child is not None:
        beside(options.beside_child, options)
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    from loom_core import tailrec, tailstream

    with tempfile.TemporaryDirectory() as name:
        transforms = {"tailrec": tailrec, "tailstream": tailstream}
        print(f"Python {sys.version.split()[0]}\n\n{table(HEADERS, shapes_table(transforms, options, Path(name)))}")
        first, later = decoration_ms(tailrec, Path(name))
    print(f"\ndecoration of 30 lines: {later:.2f} ms ({first:.1f} ms for the first, which parses a file of 60)\n")
    print(
        table(
            [f"{options.deep:,} transitions", "s", "resident KB more", "traced peak KB", "frames"],
            deep_table(options.deep),
        )
    )
    if options.beside:
        print(f"\n{table(['shape', 'loom-tailcalls ns', 'ratio to by hand'], beside_table(options.beside, options))}")
    print(f"\n{table(['trap', 'Loom', *(['loom-tailcalls'] if options.beside else [])], traps_table(options.beside))}")


if __name__ == "__main__":
    main()
