"""Batches are copied to a GPU beside the kernels of the batch before, and are whole when their own kernels read them."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.trainer import Trainer

from speechllm_plugin.host import batch_copies
from speechllm_plugin.host.batch_copies import is_worth_it, stream_of_copies, tensors_of
from tests.support.gpu import needs_gpu


def trainer(cuda):
    def in_16_bits(sample):
        return {**sample, "features": sample["features"].bfloat16()}

    common = SimpleNamespace(on_cpu_convert_precision=False)
    return SimpleNamespace(
        cfg=SimpleNamespace(common=common), cuda=cuda, tpu=False, pipeline_model_parallel=False, _dummy_batch=None, _fp_convert_sample=in_16_bits,
        model=SimpleNamespace(training=True), task=None,
    )  # fmt: skip


def batch(number, size=2**20):
    return {"features": torch.full((size,), float(number)), "texts": [{"ids": torch.arange(size) + number}], "name": "a"}


def test_on_a_cpu_batches_stay_as_fairseq_makes_them():
    sample, is_dummy = Trainer._prepare_sample(trainer(cuda=False), given := batch(3))
    assert not is_dummy and sample["texts"][0]["ids"] is given["texts"][0]["ids"] and sample["name"] == "a"
    assert sample["features"].dtype == torch.bfloat16


@pytest.mark.parametrize("missing", [None, {}])
def test_a_rank_without_a_batch_gets_the_one_that_is_kept(missing):
    own = trainer(cuda=False)
    own._dummy_batch = batch(4)
    own._prepare_sample = lambda *given, **named: Trainer._prepare_sample(own, *given, **named)
    sample, is_dummy = Trainer._prepare_sample(own, missing)
    assert is_dummy and float(sample["features"][0]) == 4


def test_small_batches_and_those_on_a_device_are_left_to_fairseq():
    assert is_worth_it(tensors_of(batch(1, size=2**21))) and not is_worth_it(tensors_of(batch(1, size=2**17)))
    assert not is_worth_it(tensors_of({"features": torch.zeros(2**24, device="meta")})) and not is_worth_it(tensors_of(None))


@needs_gpu
def test_a_copy_does_not_wait_for_kernels(monkeypatch):
    monkeypatch.setattr(batch_copies, "FEWEST_BYTES", 1)
    kernels, pinned = torch.cuda.current_stream(), {"features": torch.ones(2**20).pin_memory()}
    Trainer._prepare_sample(trainer(cuda=True), pinned)  # the stream and its memory are there
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)  # about a second
    sample, _ = Trainer._prepare_sample(trainer(cuda=True), pinned)
    stream_of_copies(torch.cuda.current_device()).synchronize()
    assert not kernels.query()
    assert float(sample["features"].float().sum()) == 2**20


@needs_gpu
def test_kernels_read_their_own_batch_though_the_host_is_ahead(monkeypatch):
    monkeypatch.setattr(batch_copies, "FEWEST_BYTES", 1)
    size, sums = 2**20, []
    for number in range(40):
        given = {"features": torch.full((size,), float(number)).pin_memory(), "texts": [{"ids": (torch.arange(size) + number).pin_memory()}]}
        sample, _ = Trainer._prepare_sample(trainer(cuda=True), given)
        assert sample["features"].dtype == torch.bfloat16
        torch.cuda._sleep(5_000_000)
        sums.append((sample["features"].float().mean(), sample["texts"][0]["ids"].sum()))
        del sample, given
    expected = [(float(number), size * (size - 1) // 2 + number * size) for number in range(40)]
    assert [(float(mean), int(total)) for mean, total in sums] == expected


@needs_gpu
def test_a_batch_that_is_on_the_gpu_waits_for_what_made_it():
    made = torch.zeros(2**20, device="cuda")
    torch.cuda._sleep(100_000_000)
    made += 1
    sample, _ = Trainer._prepare_sample(trainer(cuda=True), {"features": made})
    assert float(sample["features"].float().mean()) == 1
