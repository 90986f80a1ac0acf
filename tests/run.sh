#!/usr/bin/env bash
# Set up what is missing, then run the tests, the fast ones first:  bash tests/run.sh [pytest arguments, e.g. -k beam, or -n 0 for one process]
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS="bench demo nllb report slurm test"
source recipes/environment.sh

cores=$(nproc)
processes=$((cores < 4 ? cores : 4))  # each of them takes up to 1.5 GB
no_test_selected=5  # pytest's exit code
status_of() {  # pytest's exit code in $status
  status=0
  python3 -m pytest -q -n "$processes" --dist loadscope --no-loadscope-reorder "$@" || status=$?
}

status_of -m "not end_to_end" "$@"
fast=$status
[[ $fast == 0 || ($fast == "$no_test_selected" && $# -gt 0) ]] || exit "$fast"
status_of -m end_to_end "$@"
# A choice of tests may leave one of the two groups empty, but not both.
[[ $status == "$no_test_selected" && $# -gt 0 ]] && exit "$fast"
exit "$status"
