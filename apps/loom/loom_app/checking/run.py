"""Running the probe in a process of its own, so that a plugin that crashes, hangs or prints spoils nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

from loom_app.checking.findings import Finding, Report
from loom_app.checking.target import Target

TIMEOUT_S = 60.0


def check(target: Target, *, timeout_s: float = TIMEOUT_S) -> Report:
    """Check one plugin; blocks until its process has ended, for ``timeout_s`` at most."""
    with tempfile.TemporaryDirectory(prefix="loom-check-") as folder:
        answer = Path(folder) / "report.json"
        spec = {**attrs.asdict(target), "answer": str(answer), "scratch": folder, "path": sys.path}
        finding = _run(spec, timeout_s)
        findings = [Finding(**found) for found in json.loads(answer.read_text())] if answer.is_file() else []
    if finding is not None:
        findings.append(finding)
    return Report(name=target.name, distribution=target.distribution, findings=tuple(findings))


def _run(spec: dict[str, object], timeout_s: float) -> Finding | None:
    # -P: the current folder is a user's, and no module in it may take the place of one of ours.
    command = [sys.executable, "-P", "-m", "loom_app.checking.probe", json.dumps(spec)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=timeout_s, check=False, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding("failure", f"did not finish loading within {timeout_s:g} s: loading must not block or connect")
    if done.returncode < 0:
        return Finding("failure", f"ended its process by signal {-done.returncode}")
    if done.returncode > 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding("failure", f"ended its process with status {done.returncode}: {last}")
    return None
