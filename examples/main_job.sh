#!/usr/bin/env bash
# The main job, with real commands: the embedded model reads a real repository through a real tool,
# the run is killed with kill -9 in its middle, resumed, and explained.
#
#   bash examples/main_job.sh [REPOSITORY]      (default: the repository this file is in)
#
# Leaves .demo-venv and demo.sqlite in the current folder; the weights (98 MB) go into the user's cache.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
repository=${1:-$here}
python=${PYTHON:-python3}
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

say "pip install '.[local]'"
"$python" -m venv .demo-venv
.demo-venv/bin/python -m pip install --quiet --disable-pip-version-check "$here[local]"
PATH="$PWD/.demo-venv/bin:$PATH"
export LOOM_DB=$PWD/demo.sqlite LOOM_MODEL=local:smollm2
run=job-$(date +%H%M%S)

say "loom models pull smollm2"
loom models pull smollm2

say "loom-run chat 'Read the file pyproject.toml' --run-id $run --workspace $repository &"
loom-run chat "Read the file pyproject.toml" --run-id "$run" --workspace "$repository" &
agent=$!

# Wait for the tool's recorded end: the model has asked, the file has been read, the answer is still to come.
tool_is_done() {
  loom-runner tool-calls --run-id "$run" --json 2>/dev/null | python -c '
import json, sys
calls = json.load(sys.stdin).get("calls", [])
sys.exit(not any(c["kind"] == "tool" and c["status"] in ("done", "failed") for c in calls))'
}
until tool_is_done; do
  kill -0 "$agent" 2>/dev/null || break
  sleep 0.05
done
say "kill -9 $agent"
kill -9 "$agent" 2>/dev/null || echo "(it had finished already)"
wait "$agent" 2>/dev/null || true

say "loom-run explain --run-id $run"
loom-run explain --run-id "$run"

say "loom-run resume --run-id $run"
loom-run resume --run-id "$run"

say "loom-run explain --run-id $run"
loom-run explain --run-id "$run"

say "loom-run show --run-id $run"
loom-run show --run-id "$run"
