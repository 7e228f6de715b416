"""DBOS (PyPI) on SQLite: a workflow that calls a step N times."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy
from dbos import DBOS
from sqlalchemy.engine import Engine
from work import arguments, report

what, setting, db, steps = arguments()

if setting == "equal":

    @sqlalchemy.event.listens_for(Engine, "connect")
    def _pragmas(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")


DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{db}",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
def count(n: int) -> int:
    return n + 1


@DBOS.workflow()
def loop(last: int) -> int:
    n = 0
    while n < last:
        n = count(n)
    return n


DBOS.launch()
started = time.perf_counter()
assert loop(steps) == steps
seconds = time.perf_counter() - started
DBOS.destroy()
report(db, steps, seconds)
