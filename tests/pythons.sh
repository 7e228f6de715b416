#!/usr/bin/env bash
# Runs the tail-call suite on every Python that this machine has, one line of result each.
#
#   bash tests/pythons.sh [--all] [pytest options]
#
# --all runs the whole suite instead. Found are the interpreters of pyenv and of PATH from 3.11 on; LOOM_PYTHONS names
# others, separated by spaces. Each gets an environment in .pythons, where its log stays.
set -uo pipefail
cd "$(dirname "$0")/.."
suite=(tests/core/tailcalls)
if [ "${1-}" = --all ]; then suite=(); shift; fi
only=("$@")
identify='import sys, sysconfig
free = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(".".join(map(str, sys.version_info[:3])) + free if sys.version_info >= (3, 11) else "")'

# Wheels only: what a free-threaded Python cannot have built is left at its last version that it can.
install() {
  local pip=("$1/bin/python" -m pip install --quiet --disable-pip-version-check)
  [ -x "$1/bin/python" ] || "$2" -m venv "$1" || return
  if [ ${#suite[@]} = 0 ]; then "${pip[@]}" -e '.[dev]'; else
    "${pip[@]}" --only-binary :all: attrs cattrs pluggy click hypothesis pytest pytest-randomly pytest-timeout pytest-xdist
  fi
}

declare -A seen=()
failed=0
# Five interpreters share the time that the test command gives to one.
export LOOM_FUZZ_PROGRAMS=${LOOM_FUZZ_PROGRAMS:-1000}
for python in ${LOOM_PYTHONS-} "$HOME"/.pyenv/versions/3.*/bin/python3 $(compgen -c python3. | grep -xE "python3\.[0-9]+t?" | sort -u); do
  version=$("$python" -c "$identify" 2>/dev/null) || continue
  [ -n "$version" ] && [ -z "${seen[$version]-}" ] || continue
  seen[$version]=1
  mkdir -p .pythons
  log=.pythons/$version.log
  if ! install ".pythons/$version" "$python" >"$log" 2>&1; then
    result="NOT RUN: its packages cannot be installed, see $log"; failed=1
  elif ".pythons/$version/bin/python" -m pytest -q -p no:cacheprovider -n "${LOOM_TEST_PROCESSES:-2}" --dist loadgroup \
      "${suite[@]}" "${only[@]}" >"$log" 2>&1; then
    result=$(grep -E "passed|failed|error" "$log" | tail -n 1)
  else
    result="FAILED: $(grep -E "passed|failed|error" "$log" | tail -n 1), see $log"; failed=1
  fi
  printf '%-8s %s\n' "$version" "$result"
done
[ ${#seen[@]} -gt 0 ] || { echo "no Python from 3.11 on was found"; exit 1; }
exit $failed
