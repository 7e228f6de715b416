"""Random programs: what the compiler accepts cannot be told from the recursion, what it rejects has a true reason.

``LOOM_FUZZ_PROGRAMS`` sets the number of programs of all tests in this directory's fuzzers together (5,000 in CI,
100,000 for the docs), ``LOOM_FUZZ_SEED`` where hypothesis starts. A failure prints the program and the tape that
writes it; ``LOOM_FUZZ_TAPE`` runs that one alone.
"""

from __future__ import annotations

import pytest

from tests.core.tailcalls.programs_check import Check, explore, share
from tests.core.tailcalls.programs_shapes import Program

SHARDS = 8


@pytest.mark.parametrize("shard", range(SHARDS))
def test_what_is_accepted_is_the_recursion_and_what_is_rejected_has_a_true_reason(shard: int) -> None:
    check = Check(Program)
    explore(check, share(0.7) // SHARDS, seed=shard)
    check.assert_complete()
