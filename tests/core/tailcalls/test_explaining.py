"""A file is explained without being executed: which functions, by which decorators, and what is said of each."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from loom_core.errors import BadInput
from loom_core.tailcalls import TailCallError, explain_tailcalls
from loom_core.tailcalls.explaining import ExplainedFunction, FileExplanation, explain_file
from loom_core.tailcalls.rendering import Page, plain


def written(folder: Path, source: str, name: str = "given.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(source).lstrip("\n"))
    return path


def explained(folder: Path, source: str, function: str | None = None) -> FileExplanation:
    return explain_file(written(folder, source), function)


def only(explanation: FileExplanation) -> ExplainedFunction:
    (one,) = explanation.functions
    return one


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
    return module


LOOP = "async def f(n):\n    return await f(n - 1) if n else 0\n"

SPELLINGS = {
    "from loom_core import tailrec\n@tailrec\n": True,
    "from loom_core import tailrec\n@tailrec()\n": True,
    "from loom_core import tailrec as loop\n@loop\n": True,
    "from loom_core.tailcalls import tailrec\n@tailrec\n": True,
    "from loom_core.tailcalls import *\n@tailrec\n": True,
    "import loom_core\n@loom_core.tailrec\n": True,
    "import loom_core.tailcalls\n@loom_core.tailcalls.tailrec\n": True,
    "import loom_core.tailcalls as calls\n@calls.tailrec\n": True,
    "from loom_core import tailcalls\n@tailcalls.tailrec()\n": True,
    "import loom_core\nloop = loom_core.tailrec\nagain = loop\n@again\n": True,
    "import loom_core\nloop: object = loom_core.tailrec()\n@loop\n": True,
    "try:\n    from loom_core import tailrec\nexcept ImportError:\n    tailrec = lambda fn: fn\n@tailrec\n": True,
    "import sys\nif sys.argv:\n    from loom_core import tailrec\n@tailrec\n": True,
    "from loom_core import tailrec\nif __name__ == 'x':\n    tailrec = print\n@tailrec\n": True,
    "from loom_core import tailrec\ntailrec = print\n@tailrec\n": False,
    "from loom_core import tailrec\ndef tailrec(fn): return fn\n@tailrec\n": False,
    "from elsewhere import tailrec\n@tailrec\n": False,
    "from . import tailrec\n@tailrec\n": False,
    "import loom\n@loom.tailrec\n": False,
    "import loom_core\n@loom_core.tool\n": False,
    "@tailrec\n": False,
    "@undefined[0](1)\n": False,
    "tailrec = tailrec\n@tailrec\n": False,
}


@pytest.mark.parametrize("above", SPELLINGS)
def test_a_decorator_is_known_by_the_imports_and_assignments_of_its_file(tmp_path: Path, above: str) -> None:
    one = only(explained(tmp_path, above + LOOP))
    assert one.transform == ("tailrec" if SPELLINGS[above] else None)
    assert one.report.accepted


def test_names_are_looked_up_as_scopes_do(tmp_path: Path) -> None:
    source = """
    import loom_core
    from loom_core import tailrec

    def given(tailrec):
        @tailrec
        async def parameter(n): return await parameter(n)

    def later():
        @loop
        async def global_(n): return await global_(n)

    class C:
        tailrec = print
        def m(self):
            @tailrec
            async def beyond_the_class(n): return await beyond_the_class(n)

        @tailrec
        async def inside_the_class(self, n): return await self.inside_the_class(n)

    def shadowed():
        from elsewhere import tailrec
        def deeper():
            @tailrec
            async def shadow(n): return await shadow(n)

    loop = loom_core.tailrec
    """
    found = {one.report.function.split(".")[-1]: one.transform for one in explained(tmp_path, source).functions}
    assert found == {
        "parameter": None,
        "global_": "tailrec",
        "beyond_the_class": "tailrec",
        "inside_the_class": None,
        "shadow": None,
    }


def test_many_conditional_assignments_to_itself_take_no_time(tmp_path: Path) -> None:
    source = "from loom_core import tailrec\n" + "if tailrec:\n    tailrec = tailrec\n" * 200 + "@tailrec\n" + LOOP
    assert only(explained(tmp_path, source)).transform == "tailrec"


def test_a_decorator_that_only_looks_like_ours_is_named_in_a_note(tmp_path: Path) -> None:
    (note,) = only(explained(tmp_path, "from elsewhere import tailrec\n@tailrec\n" + LOOP)).report.notes
    assert note == "`tailrec` is not seen to come from loom_core: only this file's imports are followed"


def test_listed_are_decorated_functions_and_async_ones_that_call_themselves(tmp_path: Path) -> None:
    source = """
    from loom_core import tailrec

    def factorial(n): return n * factorial(n - 1)
    async def fetch(n): return n
    async def again(n): return 1 + await again(n)
    async def elsewhere(self): return await self.inner.elsewhere()
    @tailrec
    def sync(n): return sync(n)
    def outer():
        async def inner(n): return await inner(n)
    class C:
        async def method(self, n): return await self.method(n)
    async def stream(n):
        yield n
        async for x in stream(n): yield x
    """
    explanation = explained(tmp_path, source)
    assert [one.report.function for one in explanation.functions] == [
        "again",
        "sync",
        "outer.<locals>.inner",
        "C.method",
        "stream",
    ]
    assert not explanation.accepted


def test_only_a_decorated_function_that_is_rejected_makes_the_file_unusable(tmp_path: Path) -> None:
    source = "async def f(n):\n    return 1 + await f(n)\n"
    assert explained(tmp_path, source).accepted
    assert not explained(tmp_path, "from loom_core import tailrec\n@tailrec\n" + source).accepted


def test_what_is_not_decorated_is_not_told_to_remove_the_decorator(tmp_path: Path) -> None:
    report = only(explained(tmp_path, "async def f(n):\n    return 1 + await f(n)\n")).report
    assert "@tailrec" not in str(report)
    assert report.notes == ("not decorated: it runs as the recursion that is written",)


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    source = f"open({str(ran)!r}, 'w')\nimport no_such_module\nfrom loom_core import tailrec\n@tailrec\n" + LOOP
    assert explained(tmp_path, source).accepted
    assert not ran.exists()


VERDICTS = {
    "@tailrec\nasync def f(n):\n    return await f(n - 1) if n else 0\n": "loop",
    "@tailrec\nasync def f(n, *rest, **more):\n    return await f(*rest, **more)\n": "loop",
    "@tailrec\nasync def f(n):\n    print(lambda: n)\n    return await f(n - 1) if n else 0\n": "frames",
    '@tailrec(blocks="leave-first")\nasync def f(n):\n    with n:\n        return await f(n)\n': "frames",
    '@tailrec(group="g")\nasync def f(n):\n    return await h(n)\n': "frames",
    "@tailrec\nasync def f(n):\n    with n:\n        return await f(n)\n": "rejected",
    "@tailrec\nasync def f(n):\n    return 1 + await f(n)\n": "rejected",
    "@tailrec\nasync def f(n):\n    return n\n": "rejected",
    "@tailrec\ndef f(n):\n    return f(n)\n": "rejected",
    "@tailrec\nasync def f(n, f):\n    return await f(n)\n": "rejected",
    "class C:\n  @tailrec\n  async def f(self, n):\n    return await self.f(n)\nf = C.f\n": "loop",
    "class C:\n  @tailrec\n  @classmethod\n  async def f(cls, n):\n    return await cls.f(n)\nf = C.f\n": "loop",
    "@tailstream\nasync def f(n):\n    yield n\n    async for x in f(n - 1): yield x\n": "loop",
    "@tailstream\nasync def f(n):\n    yield n\n    async for x in f(n - 1): yield -x\n": "rejected",
    "@tailstream\nasync def f(n):\n    n = yield n\n    async for x in f(n - 1): yield x\n": "frames",
    "class C:\n  @staticmethod\n  @tailrec\n  async def f(n):\n    return await C.f(n)\nf = C.f\n": "loop",
}


@pytest.mark.parametrize("source", VERDICTS)
def test_the_verdict_is_the_one_that_the_decorator_gives_when_the_file_is_imported(tmp_path: Path, source: str) -> None:
    path = written(tmp_path, "from loom_core import tailrec, tailstream\n" + source, "verdict.py")
    report = only(explain_file(path)).report
    try:
        live = explain_tailcalls(imported(path).f)
    except TailCallError as error:
        live = error.report
    assert (report.accepted, report.mode, report.why_frames) == (live.accepted, live.mode, live.why_frames)
    assert report.sites == live.sites
    assert live.function.endswith(report.function)
    expected = VERDICTS[source]
    assert report.accepted == (expected != "rejected")
    assert expected == "rejected" or report.mode == ("frames" if expected == "frames" else "direct")


OPTIONS = {
    'blocks="stay"': "`blocks` cannot be 'stay'",
    "blocks=1": "`blocks` cannot be 1",
    'group=""': "`group` cannot be ''",
    "groups=1": "`tailrec` has no option `groups`",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_an_option_that_the_decorator_refuses_is_a_rejection(tmp_path: Path, options: str) -> None:
    path = written(tmp_path, f"from loom_core import tailrec\n@tailrec({options})\n" + LOOP, "refused.py")
    explanation = explain_file(path)
    assert only(explanation).report.first_fault().reason == OPTIONS[options]
    with pytest.raises((BadInput, TypeError)):
        imported(path)


def test_a_stream_in_a_group_is_a_rejection(tmp_path: Path) -> None:
    source = """
    from loom_core import tailstream
    @tailstream(group="g")
    async def f(n):
        yield n
        async for x in f(n - 1): yield x
    """
    path = written(tmp_path, source, "grouped.py")
    assert only(explain_file(path)).report.first_fault().reason == "a stream cannot be a member of a group"
    with pytest.raises(BadInput, match="a stream cannot be a member of a group"):
        imported(path)


def test_what_only_running_the_file_decides_is_said(tmp_path: Path) -> None:
    source = """
    from loom_core import tailrec
    @cached
    @tailrec(blocks=BLOCKS)
    @traced("x")
    """
    report = only(explained(tmp_path, textwrap.dedent(source) + LOOP)).report
    assert report.notes == (
        "if the decorator `cached` above returns something else, plain recursion goes through it",
        "if the decorator `traced('x')` below returns a wrapper, it is kept and nothing loops: put it above",
        "`blocks=BLOCKS` is known only when the file runs, and was left out here",
    )


def test_a_function_is_chosen_by_its_qualified_name(tmp_path: Path) -> None:
    source = "def outer():\n    async def inner(n): return await inner(n)\nclass C:\n    def m(self): pass\n"
    for name in ("outer.inner", "outer.<locals>.inner"):
        assert only(explained(tmp_path, source, name)).report.function == "outer.<locals>.inner"
    assert not only(explained(tmp_path, source, "C.m")).report.accepted


def test_all_definitions_of_a_name_are_chosen(tmp_path: Path) -> None:
    source = "if X:\n    async def f(n): return await f(n)\nelse:\n    async def f(n): return 1 + await f(n)\n"
    assert [one.report.accepted for one in explained(tmp_path, source, "f").functions] == [True, False]


UNKNOWN = {
    "metod": "did you mean `C.method`?",
    "method": "did you mean `C.method`?",
    "C": "functions there are: C.method, work, other",
    "zzz": "functions there are: C.method, work, other",
    "": "functions there are: C.method, work, other",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_function_is_bad_input_with_what_was_meant(tmp_path: Path, name: str) -> None:
    source = "class C:\n    async def method(self): pass\nasync def work(): pass\ndef other(): pass\n"
    with pytest.raises(BadInput, match=f"has no function `{name}`$") as error:
        explained(tmp_path, source, name)
    assert error.value.hint == UNKNOWN[name]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"async def f(:\n", r"is not Python \(line 1, column 13\): invalid syntax"),
        (b"x = 1\nreturn 2\n", r"is not Python \(line 2, column 1\): 'return' outside function"),
        (b"def f():\n  x\n y\n", r"is not Python \(line 3, column \d+\): unindent does not match"),
        (b"\xff\xfe\x00", "is not Python: "),
        (b"# coding: nonsense\n", "is not Python: unknown encoding"),
        (b"x = '\x00'\n", "is not Python.*null byte"),
        (b"x = " + b"(" * 5000, "is not Python|nested too deeply"),
        (b"x = " + b"-" * 200_000 + b"1\n", "is not Python|nested too deeply"),
    ],
)
def test_what_is_not_python_is_one_sentence_with_the_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=reason) as error:
        explain_file(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_none_is_bad_input(tmp_path: Path) -> None:
    written(tmp_path, "", "agent.py")
    with pytest.raises(BadInput, match="there is no file") as error:
        explain_file(tmp_path / "agnet.py")
    assert error.value.hint == f"did you mean `{tmp_path / 'agent.py'}`?"
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(BadInput, match="is not a file"):
            explain_file(path)
    with pytest.raises(BadInput, match="there is no file"):
        explain_file(tmp_path / "agent.py" / "x")
    for name, reason in (("x" * 5000, "File name too long"), ("nul\0", "null")):
        with pytest.raises(BadInput, match=f"cannot read .*{reason}"):
            explain_file(Path(name))


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_bad_input(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.chmod(0)
    with pytest.raises(BadInput, match="cannot read"):
        explain_file(path)


def test_a_warning_of_pythons_about_the_file_is_not_ours_to_raise(tmp_path: Path) -> None:
    assert explained(tmp_path, 'x = "\\d"\n' + LOOP).functions
    finally_ = "def g():\n    try: pass\n    finally:\n        return 1\n"
    assert explained(tmp_path, finally_ + LOOP).functions


def test_an_encoding_that_the_file_declares_is_used(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("# coding: latin-1\nasync def f(n):\n    'é'; return 1 + await f(n)\n".encode("latin-1"))
    site = only(explain_file(path)).report.first_fault()
    assert site.source_line == "    'é'; return 1 + await f(n)"
    assert site.column == 27


def test_what_cannot_be_compiled_as_a_loop_is_said_without_importing(tmp_path: Path) -> None:
    lines = ["from loom_core import tailrec", "@tailrec", "async def f(n):"]
    lines += ["    " * (depth + 1) + f"for i{depth} in n:" for depth in range(20)]
    lines += ["    " * 21 + "return await f(n)"]
    report = only(explained(tmp_path, "\n".join(lines) + "\n")).report
    assert not report.accepted
    assert "does not compile" in report.first_fault().reason


def lines_of(report: object, columns: int) -> list[str]:
    return plain(Page(columns=columns).report(report)).split("\n")  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [30, 60, 120])
def test_a_page_is_never_wider_than_the_terminal_and_the_caret_stays_under_the_call(
    tmp_path: Path, columns: int
) -> None:
    argument = " + ".join(f"argument_{number}" for number in range(20))
    source = f"async def f(n):\n    if n:\n        value = ('wide 数字', await f(n), {argument})\n    return value\n"
    report = only(explained(tmp_path, source)).report
    lines = lines_of(attrs_path(report), columns)
    assert max(len(line) + sum(char in "数字" for char in line) for line in lines) <= columns
    index = next(index for index, line in enumerate(lines) if set(line) == {" ", "^"})
    above, carets = lines[index - 1 : index + 1]
    start = carets.index("^") - sum(char in "数字" for char in above[: carets.index("^")])
    assert above[start:].startswith("f(n)")
    assert carets.count("^") == len("f(n)")


def attrs_path(report: object) -> object:
    """Return the report with a short path: one that is longer than the terminal is not broken."""
    import attrs

    return attrs.evolve(report, path="given.py")  # type: ignore[type-var]


def test_a_page_and_str_have_the_same_words(tmp_path: Path) -> None:
    report = only(explained(tmp_path, "async def f(n):\n    return 1 + await f(n)\n")).report
    words = re.findall(r"\S+", str(report))
    assert [word for line in lines_of(report, 60) for word in line.split()] == words


@pytest.mark.parametrize("encoding", ["base64", "rot13", "zlib", "undefined", "punycode", "no-such"])
def test_a_file_in_an_encoding_that_is_none_of_text_is_bad_input(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_bytes(f"# coding: {encoding}\nasync def f(n):\n    return await f(n)  # \xff\n".encode("latin-1"))
    with pytest.raises(BadInput, match="is not Python"):
        explain_file(path)


def test_a_decorator_that_is_too_deep_to_be_spelled_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "deep.py"
    path.write_text(f"@a{'.b' * 1000}\nasync def f(n):\n    return await f(n - 1) if n else 0\n")
    assert explain_file(path).accepted


def test_a_tail_call_of_another_decorated_function_needs_a_group_and_the_explanation_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mutual.py"
    path.write_text(
        "from loom_core import tailrec\n"
        "@tailrec\nasync def even(n):\n    if n > 9:\n        return await even(n - 2)\n"
        "    return True if n == 0 else await odd(n - 1)\n"
        "@tailrec\nasync def odd(n):\n    if n > 9:\n        return await odd(n - 2)\n"
        "    return False if n == 0 else await even(n - 1)\n"
    )
    for one in explain_file(path).functions:
        assert [site.action for site in one.report.sites] == ["loop", "kept"]
        assert "is another @tailrec function" in one.report.sites[1].reason
        assert one.report.sites[1].instead == "put both in one group: `@tailrec(group=...)`"
