"""Modes and numbers of updates reach the modules that torch's and fairseq's own walks reach."""

import pytest
from fairseq.models import BaseFairseqModel
from tiny_model import make_model
from torch import nn

from speechllm_plugin.models.module_tree import all_in_mode, modules_of, modules_with
from speechllm_plugin.models.speech_to_text import SpeechToTextModel


class Told(nn.Module):
    """A module that asks for the number of updates."""

    def set_num_updates(self, num_updates):
        self.num_updates = num_updates


class Wrapper(nn.Module):
    """Has what is within, as the wrappers of parallel training."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)


class Frozen(nn.Linear):
    """A part that never trains, as one that others have trained."""

    def train(self, mode=True):
        return super().train(False)


def odd_model():
    """With modules that are empty, missing, wrapped, shared, and told by their class or by hand."""
    model, shared = make_model("dfp", ("conformer", "xl", "weighted")), Told()
    model.encoder.layers[0].extra = nn.ModuleList([nn.Sequential(), Wrapper(Told()), shared])
    model.decoder.extra, model.decoder.missing, model.decoder.by_hand = shared, None, nn.Identity()
    model.decoder.by_hand.set_num_updates = lambda num_updates: setattr(model.decoder.by_hand, "num_updates", num_updates)
    return model


def test_the_modules_are_those_that_torch_finds():
    model = odd_model()
    assert set(modules_of(model)) == set(model.modules()) and modules_of(model)[0] is model


@pytest.mark.parametrize("set_num_updates", [BaseFairseqModel.set_num_updates, SpeechToTextModel.set_num_updates])
def test_whoever_has_the_method_learns_the_number_of_updates(set_num_updates):
    model = odd_model()
    told = {module for module in model.modules() if hasattr(module, "set_num_updates")} - {model}
    assert set(modules_with(model, "set_num_updates")) == told and model.encoder in told
    set_num_updates(model, 7)
    assert [module.num_updates for module in told if module is not model.encoder] == [7] * 4


@pytest.mark.parametrize("mode", [True, False])
def test_modes_are_as_torch_sets_them(mode):
    """Also where something else has set a part, or a part is new."""
    model = make_model("dfp", ("conformer", "xl", "weighted"))
    for change in (
        lambda: None,
        lambda: model.train(not mode),
        lambda: model.encoder.layers[1].train(not mode),
        lambda: nn.Module.train(model.decoder, not mode),
        lambda: model.encoder.layers.append(nn.Dropout().train(not mode)),
        lambda: setattr(model, "training", not mode),
    ):
        change()
        for _ in range(2):
            assert model.train(mode) is model and {module.training for module in model.modules()} == {mode} and all_in_mode(model, mode)
    with pytest.raises(ValueError, match="boolean"):
        model.train("yes")


def test_a_part_with_a_mode_of_its_own_keeps_it():
    model = make_model("xattn")
    model.encoder.extra = Frozen(2, 2)
    for _ in range(2):
        model.train()
        assert model.training and model.decoder.training and not model.encoder.extra.training
