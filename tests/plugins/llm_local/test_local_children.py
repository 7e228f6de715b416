"""A child process is waited for, timed and ended; it never outlives the call."""

import sys
import threading
from pathlib import Path

import pytest
from loom_llm_local.children import Stopped, run_child

FOREVER = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER


def test_a_child_that_ends_gives_its_status_and_all_that_it_wrote() -> None:
    code = "import os, sys; sys.stdout.write('out'); sys.stdout.flush(); sys.stderr.write('err'); sys.exit(3)"
    ended = run_child([sys.executable, "-c", code], stop=threading.Event(), timeout_s=30)
    assert (ended.returncode, ended.output, ended.timed_out) == (3, "outerr", False)


def test_a_child_that_hangs_is_ended_at_its_limit() -> None:
    ended = run_child([sys.executable, "-c", FOREVER], stop=threading.Event(), timeout_s=0.3)
    assert ended.timed_out
    assert ended.returncode < 0


def test_a_stop_ends_the_child() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        run_child([sys.executable, "-c", FOREVER], stop=stop, timeout_s=30)


def test_no_child_is_left_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os; open({str(note)!r}, 'w').write(str(os.getpid())); " + STUBBORN
    run_child([sys.executable, "-c", code], stop=threading.Event(), timeout_s=1.0)
    assert not Path(f"/proc/{note.read_text()}").exists()
