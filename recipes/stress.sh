#!/usr/bin/env bash
# Harder test sets (docs/stress.md) for finished experiments: made, decoded, scored; a second run goes on where the first ended.
#
#   bash recipes/stress.sh [OPTION...] DATA SPLIT EXPERIMENT... -- STRESS_ARGUMENT...
#   bash recipes/stress.sh experiments/mustc/asr-en-de/data tst-COMMON experiments/mustc/asr-en-de/row{4,5}_* -- --join 30 60 120 --snr 20 10 0
#
#   EXPERIMENT              folder that a recipe has made, with average.pt; all were trained on DATA
#   STRESS_ARGUMENT         of `speechllm stress` beside --data and --split
#   --training FILE         whose GENERATION_ARGS decode, for an EXPERIMENT where SPLIT was not decoded; else as SPLIT was  [recipes/training/paper.sh]
#   --metrics "NAME..."                                                                                    [wer]
#   --jobs N                decodings at a time, dealt out to the visible GPUs                              [1]
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
source "$recipes/help.sh"
training=$recipes/training/paper.sh metrics=wer jobs=1 models=()
while [[ ${1:-} == --* ]]; do
  case $1 in
    --training | --metrics | --jobs) declare "${1#--}=${2:?$1 needs a value}" ;;
    *) echo "stress.sh: error: $1 is no option; --help lists them" >&2; exit 2 ;;
  esac
  shift 2
done
data=${1:?data folder; --help says more} split=${2:?split; --help says more}
shift 2
while (($#)) && [[ $1 != -- ]]; do models+=("$1") && shift; done
((${#models[@]} && $# > 1)) || { echo "stress.sh: error: give EXPERIMENT... -- STRESS_ARGUMENT...; --help says more" >&2; exit 2; }
shift
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { echo "stress.sh: error: --jobs must be a positive number, but is $jobs" >&2; exit 2; }
for out in "${models[@]}"; do
  [[ -f $out/average.pt ]] || { echo "stress.sh: error: $out has no average.pt: give the folder of a finished experiment" >&2; exit 1; }
done

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$recipes/side_by_side.sh"
source "$training"
read -ra metrics <<<"$metrics"
tokens_a_second=20  # of a joined utterance at most: fairseq's 200 are ten seconds of pieces of one letter

# longest_frames SPLIT: of its utterances.
longest_frames() {
  LC_ALL=C awk -F '\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "n_frames") column = i } NR > 1 && $column > most { most = $column } END { print most + 0 }' "$data/$1.tsv"
}

# decode_one NUMBER: as SPLIT was decoded, with limits for what is longer.
decode_one() {
  local out=${folders[$1]} set=${set_of[$1]} decoding_args=("${decoding_args[@]}") GENERATION_ARGS=("${GENERATION_ARGS[@]}") frames tokens
  if [[ -f $out/.generate-$split.done ]]; then
    decoding_args=()
    read -r -d '' -a GENERATION_ARGS <"$out/.generate-$split.done" || true
  fi
  frames=$(longest_frames "$set")
  if ((frames > $(longest_frames "$split"))); then
    tokens=$((200 + tokens_a_second * frames / 100))
    GENERATION_ARGS+=(--max-source-positions "$frames" --max-target-positions $((2 * tokens)) --max-len-b "$tokens")
  fi
  generate "$data" "$out" "$set" && score "$data" "$out" "$set" "${metrics[@]}"
}

[[ -t 2 ]] || export TQDM_DISABLE=1
made=$("${speechllm[@]}" stress --data "$data" --split "$split" "$@")
echo "$made"
mapfile -t sets < <(sed -n 's#^.*/\([^/]*\)\.tsv: .* utterances.*#\1#p' <<<"$made")
folders=() set_of=()
for set in "${sets[@]}"; do
  for out in "${models[@]}"; do folders+=("$out") set_of+=("$set"); done
done
begin 0
for number in "${!folders[@]}"; do start_when_free "$jobs" decode_one "$number"; done
wait
end_with_failures
for set in "${sets[@]}"; do summary "$set" "${models[@]}"; done
