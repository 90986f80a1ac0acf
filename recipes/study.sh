#!/usr/bin/env bash
# The whole study: rows x tasks x seeds in the order of their dependencies, then the paper's table. A second run goes on where the first ended.
#
#   bash recipes/study.sh CORPUS_ROOT... [OPTION...]
#   bash recipes/study.sh corpora/mustc corpora/covost2 --dry-run
#   bash recipes/study.sh corpora/mustc --rows 1,5.1 --tasks asr,st-de --seeds 1,2,3
#
#   CORPUS_ROOT             a folder in MuST-C's layout (en-de/data/...) or with CoVoST2 (de/clips, de/validated.tsv, de/covost_v2.de_en.tsv),
#                           or what recipes/fillets/get.sh or recipes/tuxpaint/get.sh unpacked
#   --rows ROW,...          rows of the paper's Table 1 (1,2,3,4,4.1,5,5.1,6), table3 (its mask ablations) or names in recipes/models  [table1]
#   --tasks TASK,...        asr, st-LANGUAGES, joint-LANGUAGES for every corpus given, or mustc/TASK, covost2/TASK        [asr and st of the paper]
#                           LANGUAGES: with MuST-C targets (de, de+fr), with the others sources into English (de, ca+de) or SOURCES:TARGETS (en:de);
#                           multi = all that the corpus has. asr-LANGUAGES likewise; asr = any direction of MuST-C, all sources of CoVoST2.
#   --seeds N,...                                                                                         [1]
#   --dry-run               check all inputs, list every command and the training to expect, write nothing
#   --training FILE         settings instead of the paper's, for both corpora                             [recipes/training/paper*.sh]
#   --prepare "ARGUMENTS"   more arguments of `speechllm prepare`, as in --prepare "--features online"
#   --hold-out COLUMN=VALUE leave such rows out of training and development, as in --hold-out "accent=other: Greek"; may stand several times
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   --out DIR               DIR/CORPUS/TASK-SOURCES-TARGETS/{data,MODEL-seedN}, DIR/table.md              [experiments]
#   --jobs N                experiments at a time, each on one GPU                          [1, on all visible GPUs]
#   --slurm "NAME=VALUE ..."  submit it to SLURM by submitit (pip install submitit), with options of sbatch beside those of slurm/job.sbatch
#   --stage prepare|asr|st|table, --list, --only EXPERIMENT     parts of it, for schedulers: see recipes/slurm
#
# Every translation model starts from the recognition encoder of its row and seed; a decoder-only one from the recognition decoder, too.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments study.sh "$@"
