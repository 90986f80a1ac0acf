"""The commands as a user gives them, in processes of their own outside the repository, and what they print."""

import atexit
import functools
import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from warm_python import WarmPython

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "speechllm_plugin"
TASK = ["--user-dir", PACKAGE, "--task", "speechllm_speech_to_text"]
OURS = [*TASK, "--criterion", "ctc_cross_entropy"]
SEARCH = ["--beam", 3, "--nbest", 3, "--max-len-b", 12]
PROCESSES_AT_ONCE = 2
TIMEOUT_SECONDS = 900  # each takes about 6; something hangs only if even a busy machine is slower than this

DECODER = ["--decoder-layers", "1", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16", "--decoder-attention-heads", "2"]
SIZES = [
    "--encoder-layers",
    "2",
    "--encoder-embed-dim",
    "16",
    "--encoder-ffn-embed-dim",
    "16",
    "--encoder-attention-heads",
    "2",
    "--conv-channels",
    "16",
] + DECODER
CONFORMER = ["--encoder", "conformer", "--depthwise-conv-kernel-size", 3]
MODELS = {
    "dfp_conformer_compressed": ["--arch", "dfp_transformer", *CONFORMER, *SIZES, "--ctc-layer", 1, "--ctc-compression", "avg"],
    "xattn_transformer": ["--arch", "xattn_transformer", "--encoder", "transformer", *SIZES],
    "dfp_without_encoder": ["--arch", "dfp_transformer", "--encoder", "none", "--causal-prefix", *SIZES],
}
# 22 utterances: 4 batches an epoch, so that 6 updates end in the second one.
NUM_UPDATES = 6
TRAINING = [
    *["--optimizer", "adam", "--lr", "1e-2", "--max-tokens", "600", "--seed", "1", "--num-workers", "0"],
    *["--log-format", "json", "--log-interval", "1", "--valid-subset", "dev"],
]


class Hypothesis(NamedTuple):
    """An H- line: score in base 2, pieces of the text."""

    score: float
    text: str


def clean_environment(python_path=None):
    """Without what a developer's shell may hold (settings of torch and of logs, the repository on Python's path), and without pytest's own variables.

    pytest sets and deletes one of them while threads run commands. What keeps a machine's GPUs from NVLink multicast stays.
    """
    left_out = [name for name in list(os.environ) if name.startswith(("TORCH_", "PYTEST_")) or name in ("PYTHONPATH", "LOGLEVEL")]
    names = [name for name in list(os.environ) if name not in left_out or name == "TORCH_SYMM_MEM_DISABLE_MULTICAST"]
    environment = {name: value for name in names if (value := os.environ.get(name)) is not None}
    return environment | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | ({"PYTHONPATH": str(python_path)} if python_path else {})


def run(*command, cwd, python_path=None, input=None):
    """A process from its very start."""
    settings = {"input": input, "capture_output": True, "text": True, "timeout": TIMEOUT_SECONDS}
    return subprocess.run([*map(str, command)], cwd=cwd, env=clean_environment(python_path), **settings)


@functools.cache
def warm_python():
    """The Python that the commands of this session are forked from."""
    warm = WarmPython(clean_environment())
    atexit.register(warm.close)
    return warm


def run_warm(*command, cwd, python_path=None, input=None):
    """A process that begins with torch and fairseq imported, seconds earlier than `run`."""
    return warm_python().run([*map(str, command)], cwd, clean_environment(python_path), input, TIMEOUT_SECONDS)


def fairseq(name, *arguments, cwd, run=run_warm, **settings):
    """fairseq-train and so on, as installed beside this Python; it finds the package through --user-dir alone."""
    return run(Path(sys.executable).with_name(f"fairseq-{name}"), *arguments, "--cpu", cwd=cwd, **settings)


def speechllm(*arguments, cwd, run=run_warm):
    return run(sys.executable, "-m", "speechllm_plugin.commands.cli", *arguments, cwd=cwd, python_path=ROOT)


def succeeded(process):
    assert process.returncode == 0, process.stderr[-3000:]
    return process


def train(data, out, *arguments, model=MODELS["xattn_transformer"], updates=NUM_UPDATES, plugin=OURS, run=run_warm):
    return fairseq("train", *training(data, out, *arguments, model=model, updates=updates, plugin=plugin), cwd=Path(data).parent, run=run)


def training(data, out, *arguments, model=MODELS["xattn_transformer"], updates=NUM_UPDATES, plugin=OURS):
    """The arguments of a training."""
    saving = ["--save-dir", out] if out else ["--no-save"]
    return [data, *plugin, *model, *TRAINING, *saving, "--max-update", updates, *arguments]


def train_on_two_nodes(data, *arguments, **settings):
    """torchrun twice, as on two nodes with addresses of their own; returns both processes."""
    torchrun = [Path(sys.executable).with_name("torchrun"), "--nnodes", 2, "--nproc-per-node", 1, "--master-addr", "127.0.0.1"]
    torchrun += ["--master-port", free_port(), "--no-python"]
    command = [Path(sys.executable).with_name("fairseq-train"), *training(data, *arguments, **settings), "--cpu"]
    nodes = ([*torchrun, "--node-rank", node, "--local-addr", f"127.0.0.{node + 1}", *command] for node in range(2))
    return at_once(*(lambda node=node: succeeded(run(*node, cwd=Path(data).parent)) for node in nodes))


def generate(data, checkpoint, split, *arguments, plugin=TASK, run=run_warm):
    return fairseq("generate", data, *plugin, "--path", checkpoint, "--gen-subset", split, *SEARCH, *arguments, cwd=Path(data).parent, run=run)


def at_once(*calls):
    """The results of functions without arguments, in order."""
    with ThreadPoolExecutor(PROCESSES_AT_ONCE) as pool:
        return list(pool.map(lambda call: call(), calls))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def train_in_two_processes(data, out, *arguments, **settings):
    """gloo on one machine, as recipes for several CPUs start it; returns both processes."""
    processes = ["--ddp-backend", "legacy_ddp", "--distributed-backend", "gloo", "--distributed-no-spawn", "--distributed-world-size", 2]
    processes += ["--distributed-init-method", f"tcp://127.0.0.1:{free_port()}"]
    return at_once(
        *(lambda rank=rank: succeeded(train(data, out, *arguments, *processes, "--distributed-rank", rank, **settings)) for rank in (0, 1))
    )


def last_line(process):
    return process.stderr.rstrip("\n").rpartition("\n")[2]


def updates(process):
    """Number of the update -> its losses and the norm of its gradient, as fairseq-train logs them."""
    logs = [json.loads(line.partition("| train_inner | ")[2]) for line in process.stdout.splitlines() if "| train_inner |" in line]
    return {int(log["num_updates"]): {name: log[name] for name in ("loss", "nll_loss", "ctc_loss", "gnorm") if name in log} for log in logs}


def hypotheses(output):
    """Row of the manifest -> its n-best list, from what fairseq-generate or fairseq-interactive wrote."""
    rows = {}
    for row, score, text in re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", output, re.MULTILINE):
        rows.setdefault(int(row), []).append(Hypothesis(float(score), text))
    return rows


def assert_same_hypotheses(actual, expected, tolerance=1e-4):
    assert actual.keys() == expected.keys()
    for row, n_best in expected.items():
        assert [hypothesis.text for hypothesis in actual[row]] == [hypothesis.text for hypothesis in n_best]
        for one, other in zip(actual[row], n_best):
            assert abs(one.score - other.score) < tolerance
