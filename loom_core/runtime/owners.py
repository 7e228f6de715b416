"""Who owns a run: the identity of a process, and the proof that one is dead.

A process is proved dead only by another one of the same boot and the same PID namespace which finds its pid gone or
started at another time. Anything less (another host, a container, a system without ``/proc``) proves nothing, and
then only the end of the lease frees the run.
"""

from __future__ import annotations

import os
import platform
import time
import uuid
from pathlib import Path

from loom_core.contracts.stores import Lease, Owner
from loom_core.contracts.timers import BootTime, Moment

_PROC = Path("/proc")


def this_owner(*, proc: Path = _PROC) -> Owner:
    """Return an identity for this process that no other opening of a store shares."""
    return Owner(
        host=platform.node() or "localhost",
        pid=os.getpid(),
        nonce=uuid.uuid4().hex[:12],
        boot_id=boot_id(proc=proc),
        pid_namespace=_pid_namespace(proc),
        started=_started(proc, os.getpid()),
    )


def provably_dead(owner: Owner, *, proc: Path = _PROC) -> bool:
    """Return True if ``owner`` certainly cannot write any more."""
    if owner.boot_id is None or owner.pid_namespace is None or owner.started is None:
        return False
    if owner.boot_id != boot_id(proc=proc) or owner.pid_namespace != _pid_namespace(proc):
        return False
    if not (proc / "self" / "stat").exists():
        return False
    started = _started(proc, owner.pid)
    if started is None:
        # Gone, or another user's and hidden by hidepid; the kernel tells which, whatever /proc shows.
        return not _pid_exists(owner.pid)
    return started != owner.started or _is_zombie(proc, owner.pid)


def lease_expired(lease: Lease | None, owner: Owner, *, wall_s: float, boot_s: float | None) -> bool:
    """Return True if the lease has run out by the clock that may be trusted.

    On the owner's own boot that is the time since boot, which nobody can set back; elsewhere it is the wall clock.
    """
    if lease is None:
        return True
    if lease.boot_s is not None and boot_s is not None and owner.boot_id is not None and owner.boot_id == boot_id():
        return boot_s > lease.boot_s
    return wall_s > lease.wall_s


def boot_clock() -> float | None:
    """Return the seconds since boot, sleep included; None where the system has no such clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


def moment(wall_s: float, boot_s: float | None, of_boot: str | None) -> Moment:
    """Return a moment; on the wall clock only where the system does not tell which boot this is."""
    boot = None if boot_s is None or of_boot is None else BootTime(boot_id=of_boot, at_s=boot_s)
    return Moment(wall_s=wall_s, boot=boot)


def boot_id(*, proc: Path = _PROC) -> str | None:
    """Return the kernel's random id of this boot, None where there is none."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None


def _pid_namespace(proc: Path) -> str | None:
    try:
        return str((proc / "self/ns/pid").readlink())
    except OSError:
        return None


def _started(proc: Path, pid: int) -> str | None:
    """Return field 22 of ``/proc/PID/stat``, clock ticks since boot at which the process started."""
    fields = _stat(proc, pid)
    return None if fields is None else fields[19]


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_zombie(proc: Path, pid: int) -> bool:
    """True for a process that was killed and not yet reaped, or whose every thread has ended."""
    fields = _stat(proc, pid)
    if fields is None or fields[0] not in ("Z", "X"):
        return False
    try:
        # A zombie main thread may leave living threads behind, and those can still write.
        return sum(1 for _ in (proc / str(pid) / "task").iterdir()) <= 1
    except OSError:
        return True


def _stat(proc: Path, pid: int) -> list[str] | None:
    """Return the fields after the command name, which is in parentheses and may contain any character."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > 19 else None
