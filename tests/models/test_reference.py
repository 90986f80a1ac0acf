"""Checkpoints of the study's code compute here what they compute there (needs the reference folder beside the real data)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from speechllm_plugin.commands import cli
from speechllm_plugin.generation.beam_search import BeamSearch
from speechllm_plugin.models.reference import load_reference

REFERENCE = Path(os.environ.get("SPEECHLLM_REAL_DATA", "absent")).parent / "reference"
ROWS = ["1", "2", "2-nomask", "3", "4", "4.1", "5", "5.1", "5.1-weighted"]
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="SPEECHLLM_REAL_DATA is unset, or has no reference folder beside it")


@pytest.fixture
def inputs():
    return {name: torch.from_numpy(array) for name, array in np.load(REFERENCE / "inputs.npz").items()}


@pytest.fixture(params=["as it is", "imported"])
def load(request, tmp_path):
    """A row's model, from the study's checkpoint or from what `speechllm import` makes of it."""

    def load_row(row):
        path = REFERENCE / f"row-{row}.pt"
        if request.param == "imported":
            assert cli.main(["import", str(path), str(tmp_path / "imported.pt")]) == 0
            path = tmp_path / "imported.pt"
        return load_reference(path)

    return load_row


def assert_rows_equal(actual, expected, lengths):
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(actual[row, :length], expected[row, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("row", ROWS)
@torch.no_grad()
def test_outputs_are_those_of_the_reference(row, load, inputs):
    model, expected = load(row), np.load(REFERENCE / f"row-{row}.npz")
    speech = model.encoder(inputs["features"], inputs["lengths"])
    assert (~speech.padding).sum(1).tolist() == expected["encoder_lengths"].tolist()
    assert_rows_equal(speech.states.numpy(), expected["encoder_states"], expected["encoder_lengths"])
    if "ctc_logits" in expected:
        assert speech.ctc.lengths.tolist() == expected["ctc_lengths"].tolist()
        assert_rows_equal(speech.ctc.logits.numpy(), expected["ctc_logits"], expected["ctc_lengths"])
        compressed = speech.ctc.compressed_lengths
        assert (expected["ctc_lengths"] if compressed is None else compressed).tolist() == expected["encoder_lengths"].tolist()
    output = model(inputs["features"], inputs["lengths"], inputs["prev_output_tokens"])
    assert_rows_equal(output.logits.numpy(), expected["logits"], inputs["prev_output_lengths"])


@pytest.mark.parametrize("row", ROWS)
def test_n_best_lists_are_those_of_the_reference(row, load, inputs):
    model = load(row)
    expected = json.loads((REFERENCE / f"row-{row}.nbest.json").read_text())
    dictionary = model.decoder.dictionary
    search = BeamSearch([model], dictionary.pad(), dictionary.eos(), dictionary.unk(), len(dictionary), beam_size=5, max_len_a=0, max_len_b=12)
    n_best = search.generate([model], {"net_input": {"src_tokens": inputs["features"], "src_lengths": inputs["lengths"]}})
    for ours, theirs in zip(n_best, expected, strict=True):
        assert [hypothesis["tokens"].tolist() for hypothesis in ours] == [hypothesis["tokens"] for hypothesis in theirs]
        np.testing.assert_allclose([h["score"] for h in ours], [h["score"] for h in theirs], atol=1e-5)
