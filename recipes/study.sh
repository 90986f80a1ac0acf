#!/usr/bin/env bash
# The whole study: rows x tasks x seeds in the order of their dependencies, then the paper's table. A second run goes on where the first ended.
#
#   bash recipes/study.sh CORPUS_ROOT... [OPTION...]
#   bash recipes/study.sh corpora/mustc corpora/covost2 --dry-run
#   bash recipes/study.sh corpora/mustc --rows 1,5.1 --tasks asr,st-de --seeds 1,2,3
#
#   CORPUS_ROOT             a folder in MuST-C's layout (en-de/data/...) or with CoVoST2 (de/clips, de/validated.tsv, de/covost_v2.de_en.tsv)
#   --rows ROW,...          rows of the paper's Table 1 (1,2,3,4,4.1,5,5.1,6), table3 (its mask ablations) or names in recipes/models  [table1]
#   --tasks TASK,...        asr, st-LANGUAGES, joint-LANGUAGES for every corpus given, or mustc/TASK, covost2/TASK        [asr and st of the paper]
#                           LANGUAGES: with MuST-C targets (de, de+fr), with CoVoST2 sources into English (de, ca+de) or SOURCES:TARGETS (en:de);
#                           multi = all that the corpus has. asr-LANGUAGES likewise; asr = any direction of MuST-C, all sources of CoVoST2.
#   --seeds N,...                                                                                         [1]
#   --dry-run               check all inputs, list every command and the training to expect, write nothing
#   --training FILE         settings instead of the paper's, for both corpora                             [recipes/training/paper*.sh]
#   --prepare "ARGUMENTS"   more arguments of `speechllm prepare`, as in --prepare "--features online"
#   --hold-out COLUMN=VALUE leave such rows out of training and development, as in --hold-out "accent=other: Greek"; may stand several times
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   --out DIR               DIR/CORPUS/TASK-SOURCES-TARGETS/{data,MODEL-seedN}, DIR/table.md              [experiments]
#   --jobs N                experiments at a time, each on one GPU                          [1, on all visible GPUs]
#   --stage prepare|asr|st|table, --list, --only EXPERIMENT     parts of it, for schedulers: see recipes/slurm
#
# Every translation model starts from the recognition encoder of its row and seed; a decoder-only one from the recognition decoder, too.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)

study_error() {
  echo "study.sh: error: $*; \`bash recipes/study.sh --help\` describes the arguments" >&2
  exit 2
}

roots=() rows=table1 tasks='' seeds=1 dry_run='' training='' prepare_arguments='' hold_out=() with_silence='' out=experiments jobs=1 stage=all list='' only=''
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "$0" && exit ;;
    --dry-run) dry_run=1 && shift ;;
    --list) list=1 && shift ;;
    --silence) with_silence=1 && shift ;;
    --*) [[ $# -gt 1 ]] || study_error "$1 needs a value" ;;&
    --rows) rows=$2 && shift 2 ;;
    --tasks) tasks=$2 && shift 2 ;;
    --seeds) seeds=$2 && shift 2 ;;
    --training) training=$2 && shift 2 ;;
    --prepare) prepare_arguments=$2 && shift 2 ;;
    --hold-out) hold_out+=(--hold-out "$2") && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --jobs) jobs=$2 && shift 2 ;;
    --stage) stage=$2 && shift 2 ;;
    --only) only=$2 && shift 2 ;;
    -*) study_error "unknown option $1" ;;
    *) roots+=("$1") && shift ;;
  esac
done
((${#roots[@]})) || study_error "give the root of a corpus"
[[ $stage =~ ^(all|prepare|asr|st|table)$ ]] || study_error "--stage must be prepare, asr, st or table, but is $stage"
[[ -z $training || -f $training ]] || study_error "--training $training is no file"
[[ $jobs =~ ^[1-9][0-9]*$ ]] || study_error "--jobs must be a positive number, but is $jobs"

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$recipes/experiment.sh"
source "$recipes/study_plan.sh"
plan  # all that can be wrong with the arguments ends here: folders[], experiments[]

if [[ -n $list ]]; then
  list_experiments "$stage"
  exit
fi
if [[ -z $only && $stage != table ]]; then check_inputs; fi
failed=()
count_gpus
if [[ -n $only ]]; then
  run_experiment "$only"
  exit
fi
[[ $stage != all && $stage != prepare ]] || prepare_all
for wave in asr st; do
  [[ $stage != all && $stage != "$wave" ]] || run_wave "$wave"
done
[[ $stage != all && $stage != table ]] || write_table
((!${#failed[@]})) || { echo "study.sh: error: ${#failed[@]} experiments did not end well: ${failed[*]}; the same command goes on with them" >&2 && exit 1; }
