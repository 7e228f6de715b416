#!/usr/bin/env bash
# The one test command: installs what it needs into .ci-venv, then runs everything that CI runs.
#
#   bash tests/run.sh [pytest options]        e.g. bash tests/run.sh --torture
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
step() { printf '\n== %s\n' "$*"; }

step "install"
[ -x .ci-venv/bin/python ] || "$python" -m venv .ci-venv
.ci-venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
# System calls per step are counted with strace; its test says so where it cannot be installed.
if ! command -v strace >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq strace >/dev/null || echo "strace could not be installed"
fi
PATH="$PWD/.ci-venv/bin:$PATH"

step "ruff";         ruff check . && ruff format --check .
step "mypy";         mypy
step "import-linter"; lint-imports
step "pytest"
pytest -n "${LOOM_TEST_PROCESSES:-2}" --dist loadgroup "$@"
