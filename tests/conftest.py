"""For every test: the same random numbers whatever ran before, and one thread, since the tensors are tiny. Long modules begin first."""

import collections
import random

import numpy as np
import pytest
import torch

pytest_plugins = ["shared_folder", "command_runs", "tagged_data"]
torch.set_num_threads(1)

# Modules that take long with few tests. Where several processes share the tests by modules, these begin: begun last, one of them would run alone.
# The others follow in pytest-xdist's own order, the most tests first.
LONGEST_MODULES = (
    "tests/experiments/test_study.py",
    "tests/experiments/test_game_recipes.py",
    "tests/tasks/test_rank_commands.py",
    "tests/experiments/test_distillation_recipe.py",
    "tests/benchmarking/test_bench_scaling.py",
    "tests/package/test_kills.py",
    "tests/commands/test_damaged_inputs.py",
)


@pytest.hookimpl(trylast=True)  # when -m has chosen
def pytest_collection_modifyitems(items):
    modules = [item.nodeid.partition("::")[0] for item in items]
    place, num_tests = {name: number for number, name in enumerate(LONGEST_MODULES)}, collections.Counter(modules)
    order = {item: (place.get(module, len(place)), -num_tests[module]) for item, module in zip(items, modules)}
    items.sort(key=order.__getitem__)


@pytest.fixture(autouse=True)
def same_random_numbers():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def one_thread(monkeypatch):
    """For CTranslate2, which asks the environment and sets the threads of the whole process, torch's too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
