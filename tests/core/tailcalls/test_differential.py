"""Random programs: what the compiler accepts cannot be told from the recursion, what it rejects has a true reason.

``LOOM_FUZZ_PROGRAMS`` sets the number of programs of all tests in this directory's fuzzers together (5,000 in CI,
100,000 for the docs), ``LOOM_FUZZ_SEED`` where hypothesis starts. A failure prints the program and the tape that
writes it; ``LOOM_FUZZ_TAPE`` runs that one alone.
"""

from __future__ import annotations

from random import Random

import attrs
import pytest

from tests.core.tailcalls.programs import Tape
from tests.core.tailcalls.programs_check import TAPE, Check, StreamCheck, explore, share
from tests.core.tailcalls.programs_faults import FAULTS, STREAM_FAULTS, Fault
from tests.core.tailcalls.programs_shapes import Program, indented

SHARDS = 8


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_is_accepted_is_the_recursion_and_what_is_rejected_has_a_true_reason(shard: int) -> None:
    check = Check(Program)
    explore(check, share(0.7) // SHARDS, seed=shard)
    check.assert_complete()


FORMS = (
    *("match ", "async for ", "while True", "else:", "except* ", "finally:", "async with ", "nonlocal ", "global "),
    *("del ", "locals()", "eval(", "lambda: ", "class C", ".__next__", "*r", "**o", "**{", "*[", ", /", "*, k", ":= "),
    *("group=p", "blocks='leave-first'", "@classmethod", "@staticmethod", "super()", "__hidden", "self.f(", "cls.f("),
    *("K.f(self", "spied(", "class S(K)", "__getattribute__", "@marked", " and await ", " or await ", "unknown="),
)


def test_the_fuzzer_reaches_every_form_it_is_meant_for() -> None:
    random = Random(0)
    text = "\n".join(Program(Tape(random.randbytes(TAPE))).source for _ in range(1000))
    assert [form for form in FORMS if form not in text] == []


@attrs.frozen
class Planted:
    """The simplest program with a fault."""

    source: str
    fault: Fault
    shape: str = "module"
    leave_first: bool = False
    callees: tuple[str, ...] = ("f",)

    @property
    def reference(self) -> str:
        return self.source


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.text)
def test_each_use_that_is_no_tail_call_is_rejected_with_a_true_reason(fault: Fault) -> None:
    text = indented(fault.text.replace("CALL", "f(n - 2)"))
    source = f"@tailrec\nasync def f(n):\n    l0 = l1 = 0\n{text}\n    return await f(n - 1)\n"
    check = Check(Program)
    check.check(Planted(source, fault))
    assert check.counts["rejected"] == 1


@pytest.mark.parametrize("fault", STREAM_FAULTS, ids=lambda fault: fault.text)
def test_each_use_that_is_no_tail_of_a_stream_is_rejected_with_a_true_reason(fault: Fault) -> None:
    inside = indented(indented(fault.text.replace("CALL", "f(n - 2)")))
    source = f"@tailstream\nasync def f(n):\n    yield n\n    if n:\n{inside}\n"
    source += "    async for x in f(n - 1):\n        yield x\n"
    check = StreamCheck()
    check.check(Planted(source, fault))
    assert check.counts["rejected"] == 1
