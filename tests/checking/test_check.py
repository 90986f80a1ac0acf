"""speechllm check: sound models pass all that applies; what is no fault is none, what is no number fails."""

import math

import numpy as np
import pytest
import torch
from checked_models import COMPRESSED, make_subject, statuses
from searched_models import make_searched_model
from tagged_data import load, model_of
from tiny_model import DECODERS, FEW_ENCODERS, make_model

from speechllm_plugin.checking import outcome_table
from speechllm_plugin.checking.checks import CHECKS, check
from speechllm_plugin.checking.outcome import Outcome, not_applicable
from speechllm_plugin.checking.reading import ROUNDING, Reading, distance
from speechllm_plugin.checking.subject import Subject, spread
from speechllm_plugin.tasks.manifest_task import ManifestTask

SOUND = [("conformer", "legacy", "drop_blanks<=3"), ("transformer", "rope", "merge_blanks"), COMPRESSED]
SOUND = [*zip(SOUND, DECODERS), *zip(FEW_ENCODERS, DECODERS)]


@pytest.mark.parametrize(("encoder", "decoder"), SOUND, ids=str)
def test_sound_models_pass_all_that_applies(encoder, decoder):
    found = statuses(make_subject(make_searched_model(decoder, encoder)))
    expected = dict.fromkeys(CHECKS, "pass") | {"tags": "n/a"}
    expected |= {} if encoder[0] == "conformer" else {"batch norm": "n/a"}
    expected |= {} if decoder == "dfp-causal" else {"future speech": "n/a"}
    expected |= {} if encoder[2] != "none" else {"compression": "n/a"}
    assert found == expected


def test_the_model_is_as_before():
    subject = make_subject(make_model("dfp", COMPRESSED))
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    statuses(subject)
    assert not any(module.training for module in subject.model.modules())
    torch.testing.assert_close(subject.model.state_dict(), before, rtol=0, atol=0)


def test_the_studys_batch_norm_is_no_failure_but_its_deviation_is_told():
    outcome = check(make_subject(make_model("dfp", COMPRESSED, legacy_batch_norm=True)), "batch norm").outcome
    assert outcome.status == "n/a" and outcome.deviation > 0.01 and "padding counts" in outcome.note


def test_borders_that_bfloat16_moves_are_told_and_no_failure():
    model = make_model("dfp", COMPRESSED)
    with torch.no_grad():  # every state's best two labels are nearly equal
        model.encoder.ctc_head.weight[1] = model.encoder.ctc_head.weight[0] + 1e-3 * torch.randn_like(model.encoder.ctc_head.weight[0])
        model.encoder.ctc_head.bias.fill_(-50)[:2] = 0
    outcome = check(make_subject(model), "bfloat16").outcome
    assert outcome.status == "pass" and "borders of CTC compression move in 2 of 3 utterances" in outcome.note


def make_tagged_subject(tagged_folder):
    task, data = load(tagged_folder)
    return Subject(model_of(task), task, data, spread(np.arange(len(data)), data.num_frames, 4))


def test_sound_multilingual_models_pass(tagged_folder):
    found = statuses(make_tagged_subject(tagged_folder), ["tags", "search", "fairseq", "cache", "batch"])
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize("fault", ["first in hypotheses", "in printed texts", "read by the decoder", "in targets"])
def test_misplaced_tags_are_seen(tagged_folder, monkeypatch, fault):
    subject = make_tagged_subject(tagged_folder)
    task = subject.task
    build, collate = task.build_generator, subject.dataset.collater

    def without_stripping(*arguments):
        generator = build(*arguments)
        generator.symbols_to_strip_from_output = {task.target_dictionary.eos()}
        return generator

    def of_another_language(examples):
        made = collate(examples)
        made["net_input"]["prev_output_tokens"][0, 1] = task.target.tag("en")
        return made

    def with_tags_to_learn(examples):
        made = collate(examples)
        made["target"][:, 0] = made["tag"]
        return made

    faults = {
        "first in hypotheses": (task, "inference_step", super(ManifestTask, task).inference_step),
        "in printed texts": (task, "build_generator", without_stripping),
        "read by the decoder": (subject.dataset, "collater", of_another_language),
        "in targets": (subject.dataset, "collater", with_tags_to_learn),
    }
    assert check(subject, "tags").outcome == Outcome(0, 0)
    monkeypatch.setattr(*faults[fault])
    outcome = check(subject, "tags").outcome
    assert outcome.status == "fail" and outcome.deviation >= 1 and outcome.note == f"{int(outcome.deviation)} {fault}"


def test_weights_that_are_no_numbers_fail():
    model = make_model("xattn")
    model.encoder.layers[0].feed_forward.fc1.weight.data[0, 0] = math.nan
    found = statuses(make_subject(model))
    assert {found[name] for name in ("batch", "padding", "cache", "bfloat16", "search", "fairseq")} == {"fail"}


def test_a_model_that_torch_cannot_run_fails_and_the_table_goes_on():
    subject = make_subject(make_model("xattn"))
    subject.model.decoder.output_projection = torch.nn.Linear(3, 4)  # of other sizes than what comes
    for name in ("cache", "search"):
        outcome = check(subject, name).outcome
        assert outcome.status == "fail" and outcome.note.startswith("RuntimeError: ")


def made_up(value, labels):
    """A reading with CTC logits that have these best labels."""
    logits = torch.nn.functional.one_hot(torch.tensor(labels), 3).float()
    segments = (logits.argmax(-1).diff(prepend=logits.argmax(-1)[:1]) != 0).cumsum(0)
    return Reading(torch.full((int(segments[-1]) + 1, 2), float(value)), torch.full((4, 5), float(value)), logits, segments)


def test_a_tie_of_labels_is_no_deviation_but_another_border_is():
    one, tied = made_up(1, [0, 0, 2, 2]), made_up(5, [0, 0, 2, 2])
    tied.ctc_logits[1, 1] = one.ctc_logits[1, 1] = 1  # 0 and 1 are equally good in the second state, up to rounding
    tied.ctc_logits[1, 1] += 1e-6
    tied = tied._replace(segments=torch.tensor([0, 1, 2, 2]))
    found = distance([tied, one], [one, one])
    assert 0 < found.deviation < ROUNDING and found.num_ties == 1 and "1 not compared" in found.note
    same_labels = one._replace(segments=torch.tensor([0, 1, 2, 2]), states=torch.ones(3, 2))
    assert distance([same_labels], [one]).deviation == math.inf
    far = tied._replace(ctc_logits=tied.ctc_logits + 0.1)
    assert distance([far], [one]).deviation > 0.1


def test_utterances_are_spread_over_the_lengths():
    num_frames = np.array([5, 9, 1, 7, 3, 11, 20])
    assert spread(np.arange(7), num_frames, 4) == [2, 0, 1, 6]
    assert spread(np.array([0, 1, 2, 3]), num_frames, 2) == [2, 1]
    assert spread(np.arange(7), num_frames, 50) == [2, 4, 0, 3, 1, 5, 6]


def test_numbers_that_are_none_fail_and_are_stored_as_text():
    for value in (math.nan, math.inf):
        assert Outcome(value, 1.0).status == "fail" and outcome_table.finite(value) == str(value)
    assert not_applicable("why", 0.5).status == "n/a" and Outcome(1.0, 1.0).status == "pass"
