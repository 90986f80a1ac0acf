"""The criterion: fairseq's label smoothing, torch's CTC, sums that no grouping into batches changes, and what it logs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.logging import metrics
from gpu import needs_gpu
from tiny_model import (
    DECODERS,
    FEW_ENCODERS,
    NUM_SPECIAL,
    NUM_TARGET_WORDS,
    NUM_TRANSCRIPT_WORDS,
    batch_of,
    make_data,
    make_model,
    task,
)
from torch.nn.functional import cross_entropy, ctc_loss, log_softmax, one_hot

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy, label_smoothed_cross_entropy
from speechllm_plugin.data.ctc_length import states_of_transcripts
from speechllm_plugin.models.ctc import CTCOutput, states_needed
from speechllm_plugin.models.speech_to_text import ModelOutput

LENGTHS = [57, 40, 31, 1]
PAD = 1
CTC_ENCODERS = [("transformer", "none", "none"), ("conformer", "xl", "weighted")]


def make_criterion(label_smoothing=0.1, ctc_weight=0.5, sentence_avg=False):
    return CTCCrossEntropy(task(), label_smoothing, ctc_weight, sentence_avg)


class FixedOutput(torch.nn.Module):
    """A model that has its output already."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, **unused):
        return self.output


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_is_fairseqs(label_smoothing):
    target = torch.randint(NUM_SPECIAL, 20, (3, 7))
    target[1, 4:] = target[2, 1:] = PAD
    ours = (4 * torch.randn(3, 7, 20)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    actual = label_smoothed_cross_entropy(ours, target, label_smoothing, PAD)
    expected = label_smoothed_nll_loss(log_softmax(theirs, -1).flatten(0, 1), target.flatten(), label_smoothing, ignore_index=PAD)
    torch.testing.assert_close(actual, expected)
    actual[0].backward()
    expected[0].backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_states_are_counted_as_torchs_ctc_counts_them():
    """The loss is infinite with one state less than the labels and the blanks between equal ones need."""
    for labels in ([5], [5, 5], [5, 6], [5, 5, 5], [5, 6, 6, 5, 5], [5, 6, 5, 6]):
        transcript = torch.tensor([labels + [PAD] * (6 - len(labels)), [7] + [PAD] * 5])
        num_states = states_needed(transcript, PAD).tolist()
        assert num_states == states_of_transcripts([np.array(labels), np.array([7])]).tolist() and num_states[1] == 1
        for states, finite in ((num_states[0], True), (num_states[0] - 1, False)):
            log_probabilities = torch.zeros(max(states, 1), 1, 9).log_softmax(-1)
            loss = ctc_loss(log_probabilities, torch.tensor([labels]), torch.tensor([states]), torch.tensor([len(labels)]), 8, reduction="sum")
            assert bool(loss.isfinite()) == finite
    assert states_of_transcripts([]).tolist() == [] and states_of_transcripts([np.array([], dtype=int)] * 2).tolist() == [0, 0]


def test_what_ctc_cannot_emit_does_not_count_in_its_mean():
    data, model, criterion = make_data(LENGTHS), make_model("dfp"), make_criterion()
    rest = criterion(model, batch_of(data, [0, 1, 2]))[2]
    data.texts.transcripts[3] = data.texts.transcripts[3].repeat(5)
    for rows, share in (([0, 1, 2, 3], 25), ([3], 100)):
        with metrics.aggregate() as aggregated:
            CTCCrossEntropy.reduce_metrics([criterion(model, batch_of(data, rows))[2]])
        values = aggregated.get_smoothed_values()
        assert values["ctc_impossible"] == share
        if share < 100:
            assert values["ctc_loss"] == pytest.approx(float(rest["ctc_loss"]) / rest["ntokens"] / math.log(2), abs=1e-3)
        else:
            assert values["ctc_loss"] == 0


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", CTC_ENCODERS, ids="-".join)
def test_loss_is_the_sum_of_both_over_the_utterances(encoder, decoder):
    model, batch = make_model(decoder, encoder), batch_of(make_data(LENGTHS))
    loss, sample_size, log = make_criterion(label_smoothing=0.0, ctc_weight=0.3)(model, batch)
    output = model(**batch["net_input"])
    ctc, nll = 0, cross_entropy(output.logits.transpose(1, 2), batch["target"], ignore_index=PAD, reduction="sum")
    for row, (num_states, num_labels) in enumerate(zip(output.ctc.lengths.tolist(), batch["transcript_lengths"].tolist())):
        log_probabilities = log_softmax(output.ctc.logits[row, :num_states], -1)
        labels = batch["transcript"][row, :num_labels]
        blank = NUM_SPECIAL + NUM_TRANSCRIPT_WORDS
        ctc = ctc + ctc_loss(log_probabilities, labels, torch.tensor(num_states), torch.tensor(num_labels), blank, reduction="sum")
    torch.testing.assert_close(log["ctc_loss"], ctc.detach())
    torch.testing.assert_close(loss, nll + 0.3 * ctc)
    torch.testing.assert_close(log["loss"], loss.detach())
    assert sample_size == log["sample_size"] == log["ntokens"] == int((batch["target"] != PAD).sum())
    assert (log["nsentences"], log["nframes"]) == (len(LENGTHS), sum(LENGTHS))


@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
def test_the_model_is_called_once(encoder):
    model, calls = make_model("dfp", encoder).train(), []
    for module in (model, model.encoder, model.decoder, model.decoder.layers[0], model.encoder.ctc_head or model.encoder.norm):
        module.register_forward_hook(lambda module, *_: calls.append(module))
    make_criterion()(model, batch_of(make_data(LENGTHS)))
    assert len(calls) == len(set(calls)) == 5


def test_a_transcript_longer_than_its_states_adds_nothing():
    data = make_data(LENGTHS)
    model, criterion = make_model("dfp"), make_criterion()
    rest = criterion(model, batch_of(data, [0, 1, 2]))[2]
    data.texts.transcripts[3] = data.texts.transcripts[3].repeat(5)
    batch = batch_of(data)
    loss, _, log = criterion(model, batch)
    torch.testing.assert_close(log["ctc_loss"], rest["ctc_loss"])
    assert (log["ctc_impossible"], log["ctc_ntokens"]) == (1, rest["ctc_ntokens"]) and log["ntokens"] > rest["ntokens"] == rest["ctc_ntokens"]
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", CTC_ENCODERS, ids="-".join)
@torch.no_grad()
def test_no_grouping_into_batches_changes_the_sums(encoder, decoder):
    model, data, criterion = make_model(decoder, encoder), make_data(LENGTHS), make_criterion()
    totals = []
    for groups in ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[3, 0], [1, 2]]):
        logs = [criterion(model, batch_of(data, rows))[2] for rows in groups]
        totals.append({key: float(sum(log[key] for log in logs)) for key in logs[0]})
    assert totals[0]["ctc_errors"] > 0 and totals[0]["ctc_words"] > 0
    assert totals[1] == pytest.approx(totals[0], rel=1e-5) and totals[2] == pytest.approx(totals[0], rel=1e-5)


def test_sentence_average_divides_by_sentences():
    _, sample_size, _ = make_criterion(sentence_avg=True)(make_model("dfp"), batch_of(make_data(LENGTHS)))
    assert sample_size == len(LENGTHS)


def test_without_transcripts_ctc_says_what_is_missing():
    data = make_data(LENGTHS)
    data.texts = replace(data.texts, transcripts=None)
    with pytest.raises(ValueError, match="src_text"):
        make_criterion()(make_model("dfp"), batch_of(data))


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("compression", ["none", "fixed", "drop_blanks"])
def test_compression_rate_is_that_of_all_states_of_the_epoch(compression, is_training):
    model, data = make_model("dfp", ("conformer", "xl", compression)).train(is_training), make_data(LENGTHS)
    before = after = 0
    with metrics.aggregate() as meters:
        for rows in ([0, 3], [1], [2]):
            batch = batch_of(data, rows)
            CTCCrossEntropy.reduce_metrics([make_criterion()(model, batch)[2]])
            speech = model.encoder(batch["net_input"]["src_tokens"], batch["net_input"]["src_lengths"])
            before, after = before + int(speech.ctc.lengths.sum()), after + int((~speech.padding).sum())
            if compression != "none":
                assert speech.ctc.compressed_lengths.tolist() == (~speech.padding).sum(1).tolist()
    rate = meters.get_smoothed_values().get("compression_rate")
    assert rate == (None if compression == "none" else round(before / after, 2))
    assert compression == "none" or rate > 1.2


def made_up_example():
    """Two utterances, their output and the batch: 4 of 6 tokens right, CTC 3 word errors in 5 words."""
    blank = NUM_SPECIAL + NUM_TRANSCRIPT_WORDS
    a, b, c = NUM_SPECIAL, NUM_SPECIAL + 1, NUM_SPECIAL + 2
    target = torch.tensor([[10, 11, 12, 2], [13, 2, PAD, PAD]])
    predicted = torch.tensor([[10, 14, 12, 2], [2, 2, PAD, PAD]])
    # a a blank a b -> "a a b" for "a b c" is two edits; c blank | beyond the end -> "c" for "b c" is one
    labels = torch.tensor([[a, a, blank, a, b], [c, blank, b, b, b]])
    batch = {
        "net_input": {},
        "target": target,
        "transcript": torch.tensor([[a, b, c], [b, c, PAD]]),
        "transcript_lengths": torch.tensor([3, 2]),
        "ntokens": 6,
        "nsentences": 2,
        "nframes": 30,
    }
    logits = 9.0 * one_hot(predicted, NUM_SPECIAL + NUM_TARGET_WORDS)
    return ModelOutput(logits, CTCOutput(9.0 * one_hot(labels, blank + 1), torch.tensor([5, 2]))), batch


def test_accuracy_and_ctc_wer_of_a_made_up_example():
    output, batch = made_up_example()
    _, _, log = make_criterion()(FixedOutput(output).eval(), batch)
    assert int(log["correct_tokens"]) == 4
    assert (log["ctc_errors"], log["ctc_words"]) == (3, 5)
    with metrics.aggregate() as meters:
        CTCCrossEntropy.reduce_metrics([log])
    values = meters.get_smoothed_values()
    assert values["accuracy"] == pytest.approx(100 * 4 / 6, abs=0.01)
    assert values["ctc_wer"] == pytest.approx(60)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(("has_ctc", "has_compression"), [(False, False), (True, False), (True, True)])
def test_logged_values(is_training, has_ctc, has_compression):
    output, batch = made_up_example()
    if has_compression:
        output = output._replace(ctc=output.ctc._replace(compressed_lengths=torch.tensor([3, 1])))
    if not has_ctc:
        output = output._replace(ctc=None)
    model = FixedOutput(output).train(is_training)
    loss, _, log = make_criterion()(model, batch)
    # Only on the way to the log line, not in a step, does anybody wait for the device.
    sums = ["loss", "nll_loss"] + ["ctc_loss", "ctc_impossible", "ctc_ntokens"] * has_ctc + ["ctc_states", "compressed_states"] * has_compression
    assert all(torch.is_tensor(log[key]) and not log[key].requires_grad for key in sums)
    with metrics.aggregate() as meters:
        CTCCrossEntropy.reduce_metrics([log, log])
    values = meters.get_smoothed_values()
    expected = {"loss", "nll_loss", "frames_per_second"}
    expected |= {"ctc_loss", "ctc_impossible"} if has_ctc else set()
    expected |= {"compression_rate"} if has_compression else set()
    expected |= set() if is_training else {"accuracy"} | ({"ctc_wer"} if has_ctc else set())
    assert values.keys() == expected
    bits = 6 * math.log(2)
    assert values["loss"] == pytest.approx(float(loss) / bits, abs=1e-3)
    assert values["nll_loss"] == pytest.approx(float(log["nll_loss"]) / bits, abs=1e-3)
    if has_compression:
        assert values["compression_rate"] == pytest.approx((5 + 2) / (3 + 1))
    if has_ctc:  # per target token, as the others are
        assert values["ctc_loss"] == pytest.approx(float(log["ctc_loss"]) / bits, abs=1e-3)
    assert CTCCrossEntropy.logging_outputs_can_be_summed()


@needs_gpu
@pytest.mark.parametrize("encoder", [("transformer", "none", "none"), ("conformer", "xl", "none")], ids="-".join)
def test_on_a_gpu_the_loss_and_its_gradients_are_the_cpus_and_the_host_waits_for_nothing(encoder):
    model, criterion, batch = make_model("dfp", encoder, dropout=0.0).train(), make_criterion(), batch_of(make_data(LENGTHS))
    expected = criterion(model, batch)[0]
    expected.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    batch = {name: each.cuda() if torch.is_tensor(each) else each for name, each in batch.items()}
    batch["net_input"] = {name: each.cuda() for name, each in batch["net_input"].items()}
    model.cuda()
    criterion(model, batch)[0].backward()  # compiles
    model.zero_grad()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = criterion(model, batch)[0]
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(loss.cpu(), expected, rtol=1e-3, atol=1e-3)
    scale = max(gradient.norm() for gradient in gradients.values())
    for name, weight in model.named_parameters():
        assert (weight.grad.cpu() - gradients[name]).norm() <= 1e-2 * (gradients[name].norm() + 1e-2 * scale), name
