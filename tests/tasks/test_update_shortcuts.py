"""What an update leaves out because it would change nothing: trainings that make it all end with the same weights, bit by bit."""

import one_process
import pytest
import torch
from fairseq.trainer import Trainer
from tagged_data import make_task
from tiny_model import SIZES

from speechllm_plugin.models.speech_encoder import SpeechEncoder
from speechllm_plugin.models.speech_to_text import SpeechToTextModel

FLAGS = "--cpu --task speechllm_speech_to_text --criterion ctc_cross_entropy --arch dfp_transformer --encoder conformer --ctc-layer 1".split()
FLAGS += [flag for name, value in SIZES.items() for flag in (f"--{name.replace('_', '-')}", value) if not name.startswith("ctc_")]
FLAGS += "--dropout 0.1 --attention-dropout 0.1 --optimizer speechllm_adam --lr 1e-3 --max-tokens 100 --num-workers 0 --log-format none".split()
# Validations lie between updates: batch norm and dropout must know which is which.
FLAGS += "--valid-subset dev --validate-interval-updates 2 --update-freq 2 --max-update 5 --no-epoch-checkpoints".split()


def weights(folder, name, *flags):
    ended = one_process.run(["fairseq-train", ".", *FLAGS, "--save-dir", name, *flags], folder)
    assert ended.status == 0, ended.traceback
    state = torch.load(folder / name / "checkpoint_last.pt", weights_only=True)
    return state["model"], state["optimizer_history"][-1]["num_updates"], state["extra_state"]["val_loss"]


@pytest.mark.parametrize("flags", [[], ["--bf16"], ["--optimizer", "adam"]], ids=["float32", "bf16", "fairseqs_adam"])
def test_weights_are_those_of_updates_that_leave_out_nothing(tagged_folder, monkeypatch, flags):
    make_task(tagged_folder)
    shorter = weights(tagged_folder, "shorter", *flags)
    for kind, name in ((SpeechToTextModel, "train"), (SpeechToTextModel, "set_num_updates"), (SpeechEncoder, "set_num_updates")):
        monkeypatch.delattr(kind, name)
    for name in ("_set_seed", "_reduce_and_log_stats"):
        monkeypatch.setattr(Trainer, name, getattr(Trainer, name).__wrapped__)
    whole = weights(tagged_folder, "whole", *flags)
    assert shorter[1:] == whole[1:] and shorter[1] == 5
    assert shorter[0].keys() == whole[0].keys() and all(torch.equal(shorter[0][name], whole[0][name]) for name in whole[0])
