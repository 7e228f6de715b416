"""Random programs: what the compiler accepts cannot be told from the recursion, what it rejects has a true reason.

``LOOM_FUZZ_PROGRAMS`` sets the number of programs of all tests in this directory's fuzzers together (5,000 in CI,
100,000 for the docs), ``LOOM_FUZZ_SEED`` where hypothesis starts. A failure prints the program and the tape that
writes it; ``LOOM_FUZZ_TAPE`` runs that one alone.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.core.tailcalls.programs import Tape
from tests.core.tailcalls.programs_check import TAPE, Check, explore, share
from tests.core.tailcalls.programs_faults import FAULTS
from tests.core.tailcalls.programs_shapes import Program

SHARDS = 8


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_is_accepted_is_the_recursion_and_what_is_rejected_has_a_true_reason(shard: int) -> None:
    check = Check(Program)
    explore(check, share(0.7) // SHARDS, seed=shard)
    check.assert_complete()


FORMS = (
    *(
        "match ",
        "async for ",
        "while True",
        "else:",
        "except* ",
        "finally:",
        "async with ",
        "nonlocal ",
        "global ",
        ":= ",
    ),
    *(
        "del ",
        "locals()",
        "eval(",
        "lambda: ",
        "class C",
        ".__next__",
        "*r",
        "**o",
        "**{",
        "*[",
        ", /",
        "*, k",
        "(await ",
    ),
    *("group=p", "blocks='leave-first'", "@classmethod", "@staticmethod", "super()", "__hidden", "self.f(", "cls.f("),
    *("K.f(self", "spied(", "class S(K)", "__getattribute__", "@marked", " and await ", " or await ", "unknown="),
)


def test_the_fuzzer_reaches_every_form_it_is_meant_for() -> None:
    random = Random(0)
    text = "\n".join(Program(Tape(random.randbytes(TAPE))).source for _ in range(1000))
    assert [form for form in FORMS if form not in text] == []
    assert [fault for fault in FAULTS if fault.lines[-1].split("CALL")[0] not in text] == []
