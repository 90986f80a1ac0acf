"""From a checkpoint of the study's code to decoding and to training that starts from it, with the commands that a user gives."""

import re
import shlex

import pytest
import study_checkpoint
import torch
from commands import (
    MODELS,
    at_once,
    generate,
    hypotheses,
    last_line,
    speechllm,
    succeeded,
    train,
)

from speechllm_plugin.data import manifest

pytestmark = pytest.mark.end_to_end


def test_an_imported_checkpoint_decodes_and_training_starts_from_it(data, tmp_path):
    """With learning rate 0 all weights of encoder and decoder stay, but for batch norm's statistics; another row is an error."""
    reference, imported = tmp_path / "reference.pt", tmp_path / "imported.pt"
    sizes = [len((data / f"spm_{name}.txt").read_text().splitlines()) + 4 for name in ("target", "transcript")]
    torch.save(study_checkpoint.make(feature_dim=80, vocabularies=sizes), reference)
    flags = shlex.split(succeeded(speechllm("import", reference, imported, "--data", data, cwd=tmp_path)).stdout.partition("; ")[2])
    start = ["--init-encoder-from", imported, "--init-decoder-from", imported]
    decoded, trained, other_row = at_once(
        lambda: succeeded(generate(data, imported, "tst-COMMON")),
        lambda: succeeded(train(data, tmp_path / "run", *start, "--lr", 0, model=flags, updates=1)),
        lambda: train(data, None, *start, model=MODELS["xattn_transformer"], updates=1),
    )
    assert hypotheses(decoded.stdout).keys() == set(range(len(manifest.read(data / "tst-COMMON.tsv"))))
    assert len(re.findall(rf"(?:encoder|decoder): \d+ tensors from {re.escape(str(imported))}", trained.stdout)) == 2
    before, after = (torch.load(path, weights_only=True)["model"] for path in (imported, tmp_path / "run/checkpoint_last.pt"))
    for name, weight in after.items():
        if name in ("decoder.embedding.weight", "decoder.output_projection.weight"):
            assert (weight != before[name]).any()
        elif "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(weight, before[name], rtol=0, atol=0)
    error = f"fairseq-train: error: --init-encoder-from {imported}: its encoder is not this model's; flags that differ: "
    assert last_line(other_row).startswith(error)
