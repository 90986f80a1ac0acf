#!/usr/bin/env bash
# Harder test sets (docs/stress.md) for finished experiments: made, decoded, scored; a second run goes on where the first ended.
#
#   bash recipes/stress.sh [OPTION...] DATA SPLIT EXPERIMENT... -- STRESS_ARGUMENT...
#   bash recipes/stress.sh experiments/mustc/asr-en-de/data tst-COMMON experiments/mustc/asr-en-de/row{4,5}_* -- --join 30 60 120 --snr 20 10 0
#
#   EXPERIMENT              folder that a recipe has made, with average.pt; all were trained on DATA
#   STRESS_ARGUMENT         of `speechllm stress` beside --data and --split
#   --training FILE         whose GENERATION_ARGS decode                                                    [recipes/training/paper.sh]
#   --metrics "NAME..."                                                                                    [wer]
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
source "$recipes/help.sh"
training=$recipes/training/paper.sh metrics=wer experiments_of_data=()
while [[ ${1:-} == --* ]]; do
  case $1 in
    --training) training=$2 ;;
    --metrics) metrics=$2 ;;
    *) echo "stress.sh: error: $1 is no option; --help lists them" >&2; exit 2 ;;
  esac
  shift 2
done
data=${1:?data folder; --help says more} split=${2:?split; --help says more}
shift 2
while (($#)) && [[ $1 != -- ]]; do experiments_of_data+=("$1") && shift; done
((${#experiments_of_data[@]} && $# > 1)) || { echo "stress.sh: error: give EXPERIMENT... -- STRESS_ARGUMENT...; --help says more" >&2; exit 2; }
shift
for out in "${experiments_of_data[@]}"; do
  [[ -f $out/average.pt ]] || { echo "stress.sh: error: $out has no average.pt: give the folder of a finished experiment" >&2; exit 1; }
done

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$training"
read -ra metrics <<<"$metrics"
# An hour of speech; texts of four minutes in pieces of one letter, where fairseq's 200 tokens are ten seconds.
GENERATION_ARGS+=(--max-source-positions 360000 --max-target-positions 4000 --max-len-b 3000)

[[ -t 2 ]] || export TQDM_DISABLE=1
made=$("${speechllm[@]}" stress --data "$data" --split "$split" "$@")
echo "$made"
mapfile -t sets < <(sed -n 's#^.*/\([^/]*\)\.tsv: .* utterances.*#\1#p' <<<"$made")
for set in "${sets[@]}"; do
  for out in "${experiments_of_data[@]}"; do
    generate "$data" "$out" "$set"
    score "$data" "$out" "$set" "${metrics[@]}"
  done
done
for set in "${sets[@]}"; do summary "$set" "${experiments_of_data[@]}"; done
