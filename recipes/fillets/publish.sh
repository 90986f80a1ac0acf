#!/usr/bin/env bash
# Results as what is committed: the tables and cells of docs/benchmark.md, docs/benchmark/{asr,st}-*.html and their pictures; a second run does it again.
#
#   bash recipes/fillets/publish.sh EXPERIMENTS [--page FILE] [--no-pictures]
#   bash recipes/fillets/publish.sh experiments
#
#   EXPERIMENTS             the --out of benchmark.sh, with its reports; and what search.sh, run.sh and recipes/stress.sh made below it
#   --page FILE             Markdown that says where results belong, as docs/benchmark.md does            [docs/benchmark.md]
#   --no-pictures           for machines without matplotlib
#
# A report that quotes a text of the data, or names a folder of this machine, is an error, and nothing is written.
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments publish "$@"
