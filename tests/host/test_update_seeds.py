"""Updates are seeded as torch and fairseq seed them."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.trainer import Trainer

from speechllm_plugin.host import update_seeds


@pytest.mark.parametrize("number", [0, 7, 2**62 + 1, -3])
def test_a_seed_gives_the_random_numbers_of_torch(number):
    torch.manual_seed(number)
    expected = torch.get_rng_state(), torch.rand(5), torch.randn(3), torch.randint(2**62, ())
    torch.rand(11)
    update_seeds.seed(number)
    assert all(map(torch.equal, expected, (torch.get_rng_state(), torch.rand(5), torch.randn(3), torch.randint(2**62, ()))))


@pytest.mark.parametrize("tpu", [False, True])
def test_an_update_begins_with_the_random_numbers_of_fairseq(tpu):
    trainer = SimpleNamespace(tpu=tpu, cfg=SimpleNamespace(common=SimpleNamespace(seed=3)), get_num_updates=lambda: 40)
    Trainer._set_seed.__wrapped__(trainer)
    expected = torch.rand(5)
    Trainer._set_seed(trainer)
    assert torch.equal(torch.rand(5), expected)
