"""What workers send is what the main process makes, and comes in two pieces of memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import make_data, task

from speechllm_plugin.data.text_dataset import TextDataset


def texts(*lengths):
    return [np.arange(5, 5 + length) for length in lengths]


def speech():
    data = make_data([13, 30, 1, 22])
    sizes = [(len(target), 2) for target in data.texts.targets]
    data.texts = replace(data.texts, teacher=[(np.full(size, 7, np.int32), np.full(size, 0.5, np.float32)) for size in sizes])
    return data


def translation():
    return TextDataset(["a", "b", "c", "d"], texts(3, 1, 7, 2), texts(2, 6, 3, 4), task().target_dictionary, has_tags=True)


def tensors_of(batch):
    return {name: value for part in (batch, batch["net_input"]) for name, value in part.items() if torch.is_tensor(value)}


@pytest.mark.parametrize(("make", "pieces"), [(speech, 2), (translation, 1)])
def test_a_batch_of_a_worker_is_that_of_the_main_process(make, pieces):
    data = make()
    loaders = (torch.utils.data.DataLoader(data, batch_sampler=[[1, 0, 3], [2]], collate_fn=data.collater, num_workers=number) for number in (0, 1))
    for alone, sent in zip(*loaders, strict=True):
        ours, theirs = tensors_of(sent), tensors_of(alone)
        assert ours.keys() == theirs.keys() and len(ours) >= 6
        for name, value in theirs.items():
            assert torch.equal(ours[name], value) and ours[name].dtype == value.dtype and ours[name].is_contiguous(), name
        assert len({value.untyped_storage().data_ptr() for value in ours.values()}) == pieces
        assert {name: value for name, value in sent.items() if isinstance(value, (int, bool))} == {
            name: value for name, value in alone.items() if isinstance(value, (int, bool))
        }
