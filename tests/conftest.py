"""For every test: the same random numbers whatever ran before, and one thread, since the tensors are tiny."""

import random

import numpy as np
import pytest
import torch

pytest_plugins = ["shared_folder", "command_runs", "tagged_data"]
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def one_thread(monkeypatch):
    """For CTranslate2, which asks the environment and sets the threads of the whole process, torch's too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
