#!/usr/bin/env bash
# Show that a change keeps the numbers: train, decode and score a small study with the code before it and after it, compare bit by bit.
#
#   git worktree add ../before main && bash tests/same_numbers.sh ../before [FOLDER]
#
# The code after it is this clone; FOLDER takes the two studies (default: a temporary folder). Ten minutes on two cores.
set -euo pipefail
before=$(cd "${1:?folder with the code before the change, as made by: git worktree add ../before main}" && pwd)
after=$(cd "$(dirname "$0")/.." && pwd)
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"  # python -m looks for the package in the folder that it starts in
folder=$PWD
EXTRAS=test
source "$after/recipes/environment.sh"
# One thread and one seed: sums come in the same order.
export OMP_NUM_THREADS=1 TQDM_DISABLE=1
[[ -f $folder/training.sh ]] || python3 "$after/tests/support/small_study.py" "$folder"
for name in before after; do
  echo "the study with the code $name the change: $folder/$name.log"
  PYTHONPATH=${!name} bash "${!name}/recipes/study.sh" "$folder/digits-mustc" "$folder/digits-covost" --training "$folder/training.sh" \
    --tasks mustc/asr,mustc/st-de+fr,mustc/joint-de,covost2/st-en:de --rows 1,4,5.1,6 --jobs 2 --out "$folder/$name" >"$folder/$name.log" 2>&1 \
    || { tail -n 20 "$folder/$name.log" >&2; exit 1; }
done
python3 "$after/tests/support/same_results.py" "$folder/before" "$folder/after"
