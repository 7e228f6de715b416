"""Laws that a hostile reading of the compiler found broken: each was silently wrong, untrue, or a crash."""

from __future__ import annotations

import asyncio
import functools
import itertools
import linecache
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loom_core.tailcalls import TailCallError, explain_tailcalls, tailrec, tailstream
from loom_core.tailcalls.explaining import explain_file

DEEP = 20_000
_number = itertools.count()


def undecorated(fn: Any = None, **_: object) -> Any:
    return undecorated if fn is None else fn


def module(source: str, *, loop: bool = True) -> Any:
    """Return ``source`` executed as a module, with the real decorators or without."""
    text = textwrap.dedent(source).strip("\n") + "\n"
    path = f"<review {next(_number)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    made = ModuleType("review")
    decorators = (tailrec, tailstream) if loop else (undecorated, undecorated)
    made.__dict__.update(zip(("tailrec", "tailstream"), decorators, strict=True), functools=functools, weakref=weakref)
    exec(compile(text, path, "exec"), made.__dict__)
    return made


def outcome(made: Any) -> object:
    try:
        return asyncio.run(made.main())
    except Exception as error:
        return type(error), error.args


def alike(source: str) -> Any:
    """Check that ``main`` does the same with and without the decorator; return the decorated module."""
    plain, loop = module(source, loop=False), module(source)
    assert outcome(loop) == outcome(plain)
    return loop


def test_a_value_that_waited_for_its_parameter_is_let_go_with_it() -> None:
    alike("""
        class Big: pass
        @tailrec
        async def f(n, a, b, c, d, e):
            if n == 0:
                gone = weakref.ref(a)
                del a
                return gone() is None
            return await f(n - 1, Big(), a is None, b is c, c, n)
        async def main():
            return await f(3, Big(), 1, 2, 3, 4)
    """)


@pytest.mark.parametrize("keep", ["", "k = lambda: n"], ids=["direct", "frames"])
@pytest.mark.parametrize("call", ["*5", "*(1,)", "1, *5", "*5, *()", "*5, **{}", "*(), **5"])
def test_a_spread_that_fails_in_a_method_says_what_the_method_says(call: str, keep: str) -> None:
    alike(f"""
        class C:
            @tailrec
            async def f(self, n=0, *more):
                {keep or "pass"}
                return await self.f({call}) if n == 0 else n
            @classmethod
            @tailrec
            async def g(cls, n=0, *more):
                {keep or "pass"}
                return await C.g({call}) if n == 0 else n
        async def main():
            found = []
            for fn in C().f, C.g:
                try:
                    found.append(await fn())
                except TypeError as error:
                    found.append(error.args)
            return found
    """)


@pytest.mark.parametrize("base", ["dict", "list", "tuple", "str", "int", "set", "Exception", "type"])
def test_a_method_of_what_inherits_from_a_builtin_loops(base: str) -> None:
    made = module(f"""
        class C({base}):
            @tailrec
            async def f(self, n):
                return n and await self.f(n - 1)
        async def main():
            return await ({"C('K', (), {})" if base == "type" else "C()"}).f({DEEP})
    """)
    assert outcome(made) == 0
    assert explain_tailcalls(made.C.f).notes == ()


def test_what_a_class_has_by_the_name_comes_before_the_method_of_its_metaclass() -> None:
    alike("""
        class M(type):
            @tailrec
            async def f(cls, n):
                return ("M", n) if n == 0 else await cls.f(n - 1)
        class Own(metaclass=M):
            @classmethod
            async def f(cls, n):
                return "Own", n
        class Value(metaclass=M):
            f = 5
        async def main():
            found = [await M.f(Own, 3)]
            try:
                await M.f(Value, 3)
            except TypeError as error:
                found.append(error.args)
            return found
    """)


def test_a_class_that_answers_for_its_attributes_is_said_not_to_loop() -> None:
    made = module("""
        class C:
            def __getattribute__(self, name):
                return object.__getattribute__(self, name)
            @tailrec
            async def f(self, n):
                return n and await self.f(n - 1)
    """)
    assert any("plain recursion runs" in note for note in explain_tailcalls(made.C.f).notes)


def test_a_metaclass_that_answers_for_equality_is_not_asked() -> None:
    alike("""
        LOG = []
        class M(type):
            def __eq__(cls, other): LOG.append("eq"); return NotImplemented
            def __hash__(cls): LOG.append("hash"); return 1
        class C(metaclass=M):
            def __getattribute__(self, name): return object.__getattribute__(self, name)
            @tailrec
            async def f(self, n):
                return n and await self.f(n - 1)
        async def main():
            return await C().f(3), LOG
    """)


def test_a_recursion_that_takes_over_the_name_of_another_function_loops() -> None:
    made = alike("""
        def retried(fn):
            @tailrec
            @functools.wraps(fn)
            async def wrapper(n, tries=0):
                if n == 0:
                    return await fn(tries)
                return await wrapper(n - 1, tries + 1)
            return wrapper
        @retried
        async def fetch(x):
            return x
        async def main():
            return await fetch(5), fetch.__name__, fetch.__qualname__
    """)
    assert asyncio.run(made.fetch(DEEP)) == DEEP
    report = explain_tailcalls(made.fetch)
    assert (report.mode, report.notes, [site.action for site in report.sites]) == ("direct", (), ["loop"])


def test_a_wrapper_that_calls_itself_around_a_recursion_is_kept() -> None:
    source = """
        def again(fn):
            @functools.wraps(fn)
            async def wrapper(n):
                if n < 0:
                    return await wrapper(-n)
                return await fn(n)
            return wrapper
        @tailrec
        @again
        async def f(n):
            return n and await f(n - 1)
        async def main():
            return await f(-3)
    """
    with pytest.warns(UserWarning, match="does not loop"):
        alike(source)


def test_what_wraps_itself_is_told_so() -> None:
    made = module("async def f(n):\n    return await f(n)\nf.__wrapped__ = f")
    assert explain_tailcalls(made.f).first_fault().reason == "its `__wrapped__` leads back to itself"


def test_a_function_that_is_decorated_already_takes_no_other_options_silently() -> None:
    made = module("""
        @tailrec
        async def f(n):
            return n and await f(n - 1)
        @tailrec(group="g")
        async def g(n):
            return n and await g(n - 1)
    """)
    assert tailrec(made.f) is made.f
    assert tailrec(group="g")(made.g) is made.g
    for decorate, fn in ((tailrec(group="g"), made.f), (tailrec(group="h"), made.g), (tailstream, made.f)):
        with pytest.raises(TailCallError, match="decorated already"):
            decorate(fn)


CHAIN = "    if n == 0:\n        return 0\n" + "".join(f"    elif n == -{i}:\n        pass\n" for i in range(1, 2000))
SUM = "    x = " + " + ".join(["n"] * 2500) + "\n"
CASES = "    match n:\n" + "".join(f"        case {i}:\n            return await f(n - 1)\n" for i in range(1, 2000))


@pytest.mark.parametrize("body", [CHAIN, SUM], ids=["elif", "expression"])
@pytest.mark.parametrize("kind", ["tailrec", "tailstream"])
def test_what_nests_too_deeply_is_rejected_for_that_reason(body: str, kind: str, tmp_path: Path) -> None:
    end = "    return await f(n - 1)\n"
    if kind == "tailstream":
        body = body.replace("return 0", "return") + "    yield n\n"
        end = "    async for item in f(n - 1):\n        yield item\n"
    source = f"@{kind}\nasync def f(n):\n{body}{end}"
    with pytest.raises(TailCallError, match="nests too deeply"):
        module(source)
    path = tmp_path / "deep.py"
    path.write_text(f"from loom_core import {kind}\n{source}")
    assert "nests too deeply" in explain_file(path).functions[0].report.first_fault().reason


def test_one_deep_expression_does_not_take_the_source_from_the_rest_of_its_module() -> None:
    source = f"def g(n):\n{SUM}\n@tailrec\nasync def f(n):\n    return n and await f(n - 1)\nmain = lambda: f({DEEP})\n"
    assert outcome(module(source)) == 0


def test_two_thousand_cases_are_no_depth() -> None:
    assert outcome(module(f"@tailrec\nasync def f(n):\n{CASES}    return n\nmain = lambda: f(1999)\n")) == 0


def test_the_name_is_marked_as_it_is_spelled() -> None:
    for head, marked in (("async def \ufb01b(n):", "\ufb01b"), ("async def \\\n  fib(n):", "async def")):
        with pytest.raises(TailCallError) as caught:
            module(f"@tailrec\n{head}\n    return 1\n")
        site = caught.value.report.first_fault()
        assert site.source_line is not None and site.column is not None and site.end_column is not None
        assert site.source_line[site.column - 1 : site.end_column - 1] == marked


def test_threads_that_decorate_at_once_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    text = f'from loom_core.tailcalls import tailrec\nX = "\\d"\n@tailrec\n{TAIL}'
    names = [f"review_thread_{number}" for number in range(24)]
    for name in names:
        (tmp_path / f"{name}.py").write_text(text + "def g(a):\n    return [a]\n" * 200)
    program = f"""
        import importlib, sys, threading, warnings
        sys.path.insert(0, {str(tmp_path)!r})
        sys.setswitchinterval(1e-6)
        warnings.simplefilter("ignore")
        before = list(warnings.filters), warnings.showwarning, warnings._showwarnmsg_impl
        def load(names):
            for name in names:
                importlib.import_module(name)
        threads = [threading.Thread(target=load, args=({names!r}[one::4],)) for one in range(4)]
        [one.start() for one in threads]
        [one.join() for one in threads]
        assert (list(warnings.filters), warnings.showwarning, warnings._showwarnmsg_impl) == before
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_constants_that_are_equal_but_not_the_same_are_another_source() -> None:
    text = "async def f(n, x=0):\n    return x and (0.0, -1.0) or await f(n - 1)\n"
    for edited in (text.replace("0.0,", "-0.0,"), text.replace("-1.0", "-1")):
        path = f"<review {next(_number)}>"
        names: dict[str, Any] = {"__name__": "review"}
        exec(compile(text, path, "exec"), names)
        linecache.cache[path] = (len(edited), None, edited.splitlines(keepends=True), path)
        assert "not what runs" in explain_tailcalls(names["f"]).first_fault().reason
    path = f"<review {next(_number)}>"
    same = "async def f(n):\n    return n and await f(n * (1e999 - 1e999))\n"
    linecache.cache[path] = (len(same), None, same.splitlines(keepends=True), path)
    names = {"__name__": "review"}
    exec(compile(same, path, "exec"), names)
    assert explain_tailcalls(names["f"]).accepted


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the `type` statement is of Python 3.12")
def test_a_type_statement_rebinds_the_first_parameter() -> None:
    with pytest.raises(TailCallError, match="given another value"):
        module("""
            class C:
                @tailrec
                async def f(self, n):
                    type self = int
                    return await self.f(n - 1)
        """)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="template strings are of Python 3.14")
def test_template_strings_are_read_like_others() -> None:
    alike("""
        @tailrec
        async def f(n, all=()):
            x = t"{n!r:>{n}} {all}"
            return all if n == 0 else await f(n - 1, (*all, x.values))
        async def main():
            return await f(3)
    """)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python keeps what was given by -c from 3.13 on")
def test_what_was_given_on_the_command_line_has_source() -> None:
    program = """
        import asyncio
        from loom_core.tailcalls import tailrec
        @tailrec
        async def f(n):
            return n and await f(n - 1)
        print(asyncio.run(f(20000)))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program).strip()],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert (run.stdout, run.stderr) == ("0\n", "")


HEAD = "from loom_core import tailrec, tailstream\n"
TAIL = "async def f(n):\n    return n and await f(n - 1)\n"
MANY = 4_000
HOSTILE = {
    "aliases": "from loom_core import tailrec as t0\n"
    + "".join(f"t{i + 1} = t{i}\n" for i in range(MANY))
    + f"@t{MANY}\n{TAIL}",
    "conditions": "from loom_core import tailrec as t\n" + "if a: t = t\n" * MANY + f"@t\n{TAIL}",
    "attributes": f"import loom_core\n@loom_core{'.tailcalls' * 150}.tailrec\n{TAIL}",
    "options": f"{HEAD}@tailrec(blocks={'+'.join(['a'] * 1500)}, group={'+'.join(['a'] * 1500)})\n{TAIL}",
    "parameters": f"{HEAD}@tailrec\nasync def f({','.join(f'a{i}' for i in range(MANY))}):\n    return a1 and await f("
    + ",".join(f"a{(i + 1) % MANY}" for i in range(MANY))
    + ")\n",
    "defaults": f"{HEAD}@tailrec\nasync def f("
    + ",".join(f"a{i}=0" for i in range(MANY))
    + "):\n    return a1 and await f()\n",
    "one line": f"{HEAD}@tailrec\nasync def f(n):\n    {'await f(n);' * MANY}\n",
    "streams": f"{HEAD}@tailstream\nasync def f(n):\n    yield 1\n"
    + "    if n:\n        async for x in f(n-1): yield x\n        return\n" * MANY,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_explained_in_bounded_time_and_space(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.py"
    path.write_text(HOSTILE[name])
    explanation = explain_file(path)
    said = sum(len(one.report.to_json()) for one in explanation.functions)
    assert said < 1000 * len(HOSTILE[name])
