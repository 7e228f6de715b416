"""Makes the golden file of the schema of the code that runs it: ``python tests/golden/make.py FILE``.

Run once when a schema is released, by the code of that release; the file is then kept for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RUNS = {
    "completed": {},
    "waiting": {"wait_at": 30},
    "failed": {"fail_at": 41},
    "doubt": {"doubt_at": 12},
    "killed": {"die_at": 70},
    "short": {"target": 1},
}


def main(target: Path) -> None:
    runner = (sys.executable, "-c", "import sys; from loom_runner.main import main; sys.exit(main())")
    agent = Path(__file__).with_name("agent.py")
    for run_id, state in RUNS.items():
        argv = ("run", "agent.py", "--run-id", run_id, "--db", str(target), "--input", json.dumps(state))
        subprocess.run((*runner, *argv), cwd=agent.parent, check=False, env=os.environ)
    paused = ("run", "agent.py", "--run-id", "paused", "--db", str(target), "--max-steps", "66")
    subprocess.run((*runner, *paused), cwd=agent.parent, check=True, env=os.environ)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
