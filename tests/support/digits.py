"""The spoken digits, and a training of seconds, for tests of the recipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DATA = os.environ.get("SPEECHLLM_REAL_DATA")
needs_real_data = pytest.mark.skipif(DATA is None, reason="SPEECHLLM_REAL_DATA is unset")
TRAINING = """
PREPARE_ARGS=(--workers 2)
VOCAB_SIZE=([asr]=48 [st]=100 [joint]=120 [transcript]=48)
SIZE_ARGS=(
  --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2 --conv-channels 16
  --depthwise-conv-kernel-size 3 --decoder-layers 1 --decoder-embed-dim 16 --decoder-ffn-embed-dim 16 --decoder-attention-heads 2
)
TRAINING_ARGS=(
  --lr 1e-3 --max-tokens 20000 --max-update 3 --seed 1 --num-workers 0 --cpu
  --no-epoch-checkpoints --save-interval-updates 1 --keep-interval-updates 2 --validate-interval 100
)
AVERAGE_LAST=2
GENERATION_ARGS=(--max-tokens 20000 --beam 1 --max-len-b 8 --cpu)
"""
TEACHER_TRAINING = """
TEACHER_ARGS=(
  --arch transformer --encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 16
  --decoder-ffn-embed-dim 16 --encoder-attention-heads 2 --decoder-attention-heads 2
  --lr 1e-3 --max-tokens 1000 --max-update 3 --seed 1 --num-workers 0 --cpu --no-epoch-checkpoints --save-interval-updates 1
  --keep-interval-updates 2 --validate-interval 100
)
"""


def bash(*arguments, cwd, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **environment}
    return subprocess.run(["bash", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800)


def lay_out_digits(layout, folder):
    """The digits in folder/layout; as MuST-C with 300 of the 1500 training utterances: the parts are the same, and CI has two cores."""
    subprocess.run([sys.executable, Path(DATA, "make_corpora.py"), layout, folder / layout], check=True)
    for path in folder.glob(f"{layout}/en-*/data/train/txt/train.*"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[::5]))


def lay_out_study(folder):
    """The digits as MuST-C and as CoVoST2, and training.sh, a training of seconds; the same parts as in the whole corpora, and fewer rows."""
    for layout in ("digits-mustc", "digits-covost"):
        lay_out_digits(layout, folder)
    table = folder / "digits-covost/en/covost_v2.en_de.tsv"
    header, *rows = table.read_text().splitlines(keepends=True)
    train = [row for row in rows if row.endswith("\ttrain\n")]
    table.write_text("".join([header, *train[::5], *(row for row in rows if row not in set(train))]))
    (folder / "training.sh").write_text(TRAINING)
