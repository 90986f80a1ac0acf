"""The spoken digits, and a training of seconds, for tests of the recipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import warm_python

DATA = os.environ.get("SPEECHLLM_REAL_DATA")
needs_real_data = pytest.mark.skipif(DATA is None, reason="SPEECHLLM_REAL_DATA is unset")
TRAINING = """
PREPARE_ARGS=(--workers 2)
LAYERS_DIVIDED_BY=6
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


def bash(*arguments, cwd, is_warm=True, first_in_path=(), **environment):
    """A recipe; what it calls begins with torch and fairseq imported, or from nothing, as a user's commands do."""
    folders = [*first_in_path, *([warm_python().path] if is_warm else []), Path(sys.executable).parent, os.environ["PATH"]]
    path = ":".join(map(str, folders))
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **environment}
    return subprocess.run(["bash", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800)


def lay_out_digits(layout, folder, num_dev=20, num_test=40):
    """The first of the digits in folder/layout: of the 1500, 100 and 200 utterances; the parts are the same, and CI has two cores."""
    sizes = {"train": 300, "dev": num_dev, "tst-COMMON": num_test}
    script = (
        f"import make_corpora, pathlib, sys; make_corpora.SIZES.update({sizes}); make_corpora.{layout.replace('-', '_')}(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, folder / layout], env={**os.environ, "PYTHONPATH": DATA}, check=True)


def lay_out_study(folder, **sizes):
    """The digits as MuST-C and as CoVoST2, and training.sh, a training of seconds."""
    for layout in ("digits-mustc", "digits-covost"):
        lay_out_digits(layout, folder, **sizes)
    (folder / "training.sh").write_text(TRAINING)
