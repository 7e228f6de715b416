"""How fast `loom` starts, and what it may import to do so."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

CPU_LIMIT_S = 0.150

# What `loom --help` may load besides the standard library. More is a decision, not an accident.
ALLOWED = {
    "apsw": False,
    "attr": True,
    "attrs": True,
    "click": True,
    "loom_app": True,
    "loom_cli": True,
    "loom_core": True,
    "pluggy": True,
    "cattrs": False,
}
# Dear modules of the standard library that must not be loaded.
DEAR = {"asyncio", "sqlite3", "ssl", "multiprocessing", "http", "unittest", "concurrent", "xml"}

DUMP = """
import sys
from loom_app.main import main
status = main(["--help"])
print("\\n".join(["MODULES", *sys.modules]))
sys.exit(status)
"""


def modules_of_help() -> set[str]:
    done = subprocess.run([sys.executable, "-c", DUMP], capture_output=True, text=True, check=True)
    return set(done.stdout.split("MODULES\n", 1)[1].split())


def test_help_loads_only_what_is_allowed() -> None:
    loaded = {name.split(".")[0] for name in modules_of_help()}
    plugins = {name for name in loaded if name.startswith("loom_") and name not in ALLOWED}
    foreign = loaded - set(sys.stdlib_module_names) - plugins - {name for name, may in ALLOWED.items() if may}
    # Left by editable installs and by site-packages itself, before any of our code runs.
    foreign = {name for name in foreign if not name.startswith(("_", "sitecustomize", "usercustomize", "distutils"))}
    assert foreign == set()
    assert loaded & DEAR == set()


def test_help_loads_of_each_plugin_only_its_entry_and_its_configuration() -> None:
    of_plugins = {name for name in modules_of_help() if name.startswith("loom_") and name.split(".")[0] not in ALLOWED}
    allowed = {"plugin", "config", "settings"}
    assert {name for name in of_plugins if "." in name and name.split(".")[1] not in allowed} == set()


def test_help_loads_no_contract_that_it_does_not_need() -> None:
    assert {name for name in modules_of_help() if name.startswith("loom_core.contracts.")} == set()


def test_help_takes_less_than_150_ms_of_cpu(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", "import sys; from loom_app.main import main; sys.exit(main(['--help']))"]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # The least is what it costs; the rest is what else the machine did.
    assert min(taken) < CPU_LIMIT_S


@pytest.mark.parametrize("args", [["--version"], ["plugins", "list"], ["config", "show"]])
def test_commands_that_run_nothing_import_no_event_loop(args: list[str]) -> None:
    code = (
        f"import sys; from loom_app.main import main; s = main({args!r}); print('asyncio' in sys.modules); sys.exit(s)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
