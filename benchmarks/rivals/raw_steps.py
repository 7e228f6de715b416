"""A loop over APSW as one would write it by hand: state, digest, head and step row, a transaction a step."""

from __future__ import annotations

import hashlib
import json
import time

import apsw

from benchmarks.rivals.work import arguments, report


def main() -> None:
    _, setting, db, steps = arguments()
    connection = apsw.Connection(db)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if setting == 'strict' else 'NORMAL'}")
    connection.execute("CREATE TABLE head(run INTEGER PRIMARY KEY, step INTEGER, epoch INTEGER, lease REAL)")
    connection.execute("CREATE TABLE steps(step INTEGER PRIMARY KEY, at REAL, digest BLOB, state TEXT)")
    connection.execute("INSERT INTO head VALUES(1, 0, 1, 0)")
    execute = connection.cursor().execute
    started = time.perf_counter()
    for number in range(steps):
        state = json.dumps({"n": number + 1, "last": steps}, separators=(",", ":"))
        digest = hashlib.blake2b(state.encode(), digest_size=16).digest()
        now = time.time()
        execute("BEGIN IMMEDIATE")
        execute(
            "UPDATE head SET step=?, lease=? WHERE run=1 AND epoch=1 AND step=?",
            (number + 1, now + 30, number),
        )
        execute("INSERT INTO steps VALUES(?,?,?,?)", (number, now, digest, state))
        execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    report(db, steps, seconds)


main()
