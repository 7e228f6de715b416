"""When another process is certainly dead, and when nobody can tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from loom_core.contracts.stores import Lease
from loom_core.runtime.owners import lease_expired, provably_dead, this_owner

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc no death can be proved")


def test_this_process_is_alive_and_two_openings_are_two_owners() -> None:
    assert not provably_dead(this_owner())
    assert this_owner() != this_owner()


def test_a_process_that_has_ended_is_dead_even_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    owner = attrs.evolve(this_owner(), pid=child.pid, started=stat[19])
    assert not provably_dead(owner)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert provably_dead(owner), "a zombie cannot write"
    child.wait()
    assert child.stdin is not None
    child.stdin.close()
    assert provably_dead(owner)


def test_a_pid_that_was_given_to_another_process_proves_the_first_one_dead() -> None:
    assert provably_dead(attrs.evolve(this_owner(), started="1"))


@pytest.mark.parametrize("unknown", [{"boot_id": None}, {"boot_id": "other"}, {"pid_namespace": "pid:[1]"}])
def test_another_boot_host_or_namespace_proves_nothing(unknown: dict[str, str | None]) -> None:
    assert not provably_dead(attrs.evolve(this_owner(), pid=2**22 + 1, **unknown))


def test_a_lease_of_this_boot_is_read_on_the_clock_that_nobody_sets() -> None:
    owner = this_owner()
    lease = Lease(wall_s=1000.0, boot_s=50.0)
    assert not lease_expired(lease, owner, wall_s=9_999_999.0, boot_s=49.0)
    assert lease_expired(lease, owner, wall_s=0.0, boot_s=51.0)


def test_a_lease_of_another_boot_is_read_on_the_wall_clock() -> None:
    owner = attrs.evolve(this_owner(), boot_id="other")
    lease = Lease(wall_s=1000.0, boot_s=50.0)
    assert lease_expired(lease, owner, wall_s=1001.0, boot_s=1.0)
    assert not lease_expired(lease, owner, wall_s=999.0, boot_s=99_999.0)
