"""Random programs: the loop and the recursion that it replaces cannot be told apart."""

from __future__ import annotations

import asyncio
import importlib.util
import linecache
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loom_core.tailcalls import explain_tailcalls, tailrec

PROGRAMS = int(os.environ.get("LOOM_FUZZ_PROGRAMS", "300"))


def _load_programs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tailcall_programs", Path(__file__).with_name("programs.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


programs = _load_programs()


def build(source: str, name: str) -> tuple[Callable[[int], Coroutine[Any, Any, object]], dict[str, Any]]:
    path = f"<{name}>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"tailrec": tailrec, "__name__": "program"}
    exec(compile(source, path, "exec"), namespace)
    return namespace["outside"](), namespace


def observe(run: Callable[[int], Coroutine[Any, Any, object]], namespace: dict[str, Any], fuel: int) -> list[object]:
    try:
        outcome: object = ("returned", asyncio.run(run(fuel)))
    except Exception as error:
        outcome = ("raised", type(error), error.args)
    return [outcome, namespace["LOG"], namespace["G"]]


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_a_loop_and_its_recursion_agree_in_result_exception_and_order_of_effects(random: Random) -> None:
    program = programs.Program(random)
    plain_source = program.source("# no decorator")
    if "await f(" not in plain_source:
        return
    plain, plain_names = build(plain_source, "plain")
    loop, loop_names = build(program.source("@tailrec"), "loop")
    for fuel in (0, 1, 2, 5):
        assert observe(plain, plain_names, fuel) == observe(loop, loop_names, fuel), plain_source


FORMS = ("match ", "for i in", "while j", "else (await f(", "*, k", "n, /", "nonlocal c", ":= ", "except", "del l0")


def test_the_fuzzer_reaches_every_form_it_is_meant_for() -> None:
    text = "\n".join(programs.Program(Random(seed)).source("@tailrec") for seed in range(200))
    for form in FORMS:
        assert form in text, form


def test_a_program_is_explained_as_accepted_and_keeps_its_line_numbers() -> None:
    source = "async def f(n):\n    if n == 0:\n        raise ValueError\n    return await f(n - 1)\n"
    path = "<lines>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {}
    exec(compile(source, path, "exec"), namespace)
    namespace["f"] = tailrec(namespace["f"])
    assert explain_tailcalls(namespace["f"]).accepted
    try:
        asyncio.run(namespace["f"](3))
    except ValueError as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        assert last is not None
        assert (last.tb_lineno, last.tb_frame.f_code.co_name) == (3, "f")
    else:
        raise AssertionError("the exception was lost")
