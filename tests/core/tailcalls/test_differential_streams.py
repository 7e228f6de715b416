"""Random async generators under random consumers: the same events as of the recursion."""

from __future__ import annotations

import pytest

from tests.core.tailcalls.programs_check import StreamCheck, explore, share

SHARDS = 4


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_stream_gives_its_consumer_what_the_recursion_gives(shard: int) -> None:
    check = StreamCheck()
    explore(check, share(0.3) // SHARDS, seed=100 + shard)
    check.assert_complete()
