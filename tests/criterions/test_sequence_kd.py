"""sequence_kd: one pass of the model gives what two passes over the two texts give, and its ends are ctc_cross_entropy on one of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fairseq.logging import metrics
from tiny_model import (
    ALL_DECODERS,
    DECODERS,
    ENCODERS_AND_DECODERS,
    FEW_ENCODERS,
    NUM_SPECIAL,
    NUM_TARGET_WORDS,
    batch_of,
    make_data,
    make_model,
    make_speech,
    make_tokens,
    task,
)
from torch.nn.functional import kl_div, log_softmax, softmax

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy
from speechllm_plugin.criterions.sequence_kd import SequenceKD, parse_schedule, scheduled, top_k_divergence

LENGTHS = [57, 40, 31, 1]
KD_LENGTHS = [3, 9, 1, 6]
PAD, EOS = 1, 2
VOCABULARY_SIZE = NUM_SPECIAL + NUM_TARGET_WORDS


def make_criterion(kd_weight="0.3", smoothing=0.1, kd_smoothing=None, word_weight=0.0, temperature=1.0, sentence_avg=False):
    cache = "unused" if word_weight else None
    return SequenceKD(task(), smoothing, 0.5, sentence_avg, kd_weight, kd_smoothing, word_weight, temperature, cache)


def plain_criterion(smoothing=0.1, sentence_avg=False):
    return CTCCrossEntropy(task(), smoothing, 0.5, sentence_avg)


def make_texts(lengths=KD_LENGTHS):
    rng = np.random.default_rng(1)
    return [np.append(rng.integers(NUM_SPECIAL, VOCABULARY_SIZE, length), EOS) for length in lengths]


def with_texts(data, texts):
    """The data with a teacher's text per row, of other lengths than the targets."""
    data.texts = replace(data.texts, kd_targets=[[text] for text in texts])
    return data


def with_probabilities(data, k):
    """The data with a teacher's k most probable words, peaked as those of a trained one."""
    rng, teacher = np.random.default_rng(2), []
    for target in data.texts.targets:
        probabilities = softmax(torch.from_numpy(rng.standard_normal((len(target), VOCABULARY_SIZE)) * 3), -1)
        top = probabilities.topk(k)
        teacher.append((top.indices.int().numpy(), top.values.float().numpy()))
    data.texts = replace(data.texts, teacher=teacher)
    return data


def batches():
    """The same speech with both texts, with the original, and with the teacher's instead of it."""
    data, texts = make_data(LENGTHS), make_texts()
    original, both = batch_of(data), batch_of(with_texts(data, texts))
    data.texts = replace(data.texts, kd_targets=None, targets=texts)
    return both, original, batch_of(data)


def without_drawing(model):
    """The model for a training step of the criterion, but every layer as in evaluation."""
    model.eval().training = True
    return model


def results(model, criterion, batch, weight=1.0):
    """Loss, sample size and gradients, the first and the last times the weight."""
    model.zero_grad()
    loss, sample_size, _ = criterion(model, batch)
    loss = weight * loss
    loss.backward()
    gradients = {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}
    return loss.detach(), sample_size, gradients


def assert_same(actual, expected, tolerance=1e-6):
    """Differences below the tolerance times the largest value."""
    largest = max(float(tensor.abs().max()) for tensor in expected.values()) if isinstance(expected, dict) else float(abs(expected))
    torch.testing.assert_close(actual, expected, atol=tolerance * largest, rtol=0)


@pytest.mark.parametrize("sentence_avg", [False, True])
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@pytest.mark.parametrize(("kd_weight", "share"), [("0", 0), ("0:0,9:0.5", 0), ("1", 1), ("0:1,9:0.5", 1)])
def test_weights_zero_and_one_are_training_on_one_of_the_texts(kd_weight, share, encoder, decoder, sentence_avg):
    model, criterion = make_model(decoder, encoder).double().train(), make_criterion(kd_weight, sentence_avg=sentence_avg)
    both, original, distilled = batches()
    assert criterion.needs_kd_text == (kd_weight != "0")
    expected = results(model, plain_criterion(sentence_avg=sentence_avg), distilled if share else original)
    actual = results(model, criterion, both if criterion.needs_kd_text else original)
    assert_same(actual[0], expected[0])
    assert_same(actual[2], expected[2])
    assert actual[1] == expected[1]


@pytest.mark.parametrize(("encoder", "decoder"), ENCODERS_AND_DECODERS, ids=str)
def test_one_pass_has_the_gradients_of_two(encoder, decoder):
    model = make_model(decoder, encoder).double().train()
    both, original, distilled = batches()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    actual = results(model, make_criterion("0.3", smoothing=0.2, kd_smoothing=0.05), both)
    statistics = {name: tensor.clone() for name, tensor in model.named_buffers()}
    model.load_state_dict(start)
    first = results(model, plain_criterion(0.2), original, 0.7)
    assert all(torch.equal(tensor, statistics[name]) for name, tensor in model.named_buffers())  # of batch norm: counted once
    second = results(model, plain_criterion(0.05), distilled, 0.3)
    assert_same(actual[0], first[0] + second[0])
    assert_same(actual[2], {name: gradient + second[2][name] for name, gradient in first[2].items()})
    assert actual[1] == pytest.approx(0.7 * first[1] + 0.3 * second[1])


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_texts_side_by_side_do_not_see_each_other(encoder, decoder):
    model, speech = make_model(decoder, encoder), make_speech([57, 40, 1])
    first, second = make_tokens(3, 6), make_tokens(3, 9)
    together = model(*speech, first, second)
    torch.testing.assert_close(together.logits, model(*speech, first).logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.kd_logits, model(*speech, second).logits, atol=1e-5, rtol=0)
    assert model(*speech, first).kd_logits is None
    for texts, unchanged in (((make_tokens(3, 6), second), "kd_logits"), ((first, make_tokens(3, 9)), "logits")):
        torch.testing.assert_close(getattr(model(*speech, *texts), unchanged), getattr(together, unchanged), atol=1e-6, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
def test_every_part_of_the_model_is_called_once(encoder, decoder):
    model, calls = make_model(decoder, encoder).train(), []
    parts = [model, model.encoder, model.encoder.subsampling, *model.encoder.layers, model.decoder, *model.decoder.layers]
    parts += [model.decoder.norm, model.decoder.output_projection]
    for part in parts:
        part.register_forward_hook(lambda module, *_: calls.append(module))
    make_criterion()(model, batches()[0])
    assert len(calls) == len(set(calls)) == len(parts)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_no_grouping_into_batches_changes_the_sums(encoder, decoder):
    model = without_drawing(make_model(decoder, encoder))
    data = with_probabilities(with_texts(make_data(LENGTHS), make_texts()), 5)
    criterion, totals = make_criterion(word_weight=0.4, temperature=2.0), []
    for groups in ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[3, 0], [1, 2]]):
        logs = [criterion(model, batch_of(data, rows))[2] for rows in groups]
        totals.append({key: float(sum(log[key] for log in logs)) for key in logs[0]})
    assert totals[0]["word_kd_loss"] > 0 and totals[0]["kd_nll_loss"] > 0
    assert totals[1] == pytest.approx(totals[0], rel=1e-5) and totals[2] == pytest.approx(totals[0], rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5, 0.7])
def test_with_the_whole_vocabulary_word_level_is_the_divergence_of_the_distributions(temperature):
    student, teacher = torch.randn(3, 7, 20, requires_grad=True), 3 * torch.randn(3, 7, 20)
    real = torch.tensor([7, 4, 1])[:, None] > torch.arange(7)
    top = softmax(teacher, -1).topk(20)
    actual = top_k_divergence(student, top.indices.int(), top.values, real, temperature)
    (gradient,) = torch.autograd.grad(actual, student)
    each = kl_div(log_softmax(student / temperature, -1), log_softmax(teacher / temperature, -1), reduction="none", log_target=True).sum(-1)
    expected = temperature**2 * each[real].sum()
    torch.testing.assert_close(actual, expected, atol=0, rtol=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, student)[0], atol=1e-6, rtol=1e-5)
    same = softmax(student.detach(), -1).topk(20)
    assert abs(top_k_divergence(student, same.indices, same.values, real, temperature)) < 1e-4


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_with_fewer_words_the_teacher_is_certain_of_them(temperature):
    student, top = torch.randn(2, 4, 20), softmax(3 * torch.randn(2, 4, 20), -1).topk(3)
    real, expected = torch.tensor([4, 2])[:, None] > torch.arange(4), 0.0
    for row, position in real.nonzero().tolist():
        softened = [float(probability) ** (1 / temperature) for probability in top.values[row, position]]
        student_log = log_softmax(student[row, position].double() / temperature, -1)
        for word, value in zip(top.indices[row, position].tolist(), softened):
            share = value / sum(softened)
            expected += temperature**2 * share * (math.log(share) - float(student_log[word]))
    probabilities = top.values.masked_fill(~real[..., None], 0)  # as the batch is padded
    assert float(top_k_divergence(student, top.indices, probabilities, real, temperature)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kd_weight", ["0", "0.3"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_word_level_is_a_share_of_the_original_texts_loss(decoder, kd_weight):
    model, data = without_drawing(make_model(decoder)), with_probabilities(make_data(LENGTHS), 6)
    data = data if kd_weight == "0" else with_texts(data, make_texts())
    batch = batch_of(data)
    parts = [make_criterion(kd_weight, word_weight=weight, temperature=2.0)(model, batch)[0] for weight in (1e-12, 0.25, 1.0)]
    torch.testing.assert_close(parts[1], 0.75 * parts[0] + 0.25 * parts[2])
    loss, size, log = make_criterion(kd_weight, word_weight=1.0, temperature=2.0)(model, batch)
    share = float(kd_weight)
    expected = (1 - share) * log["word_kd_loss"] + 0.5 * log["ctc_loss"]
    if share:
        expected = expected + share * make_criterion("1")(model, batch)[0] - share * 0.5 * log["ctc_loss"]
    torch.testing.assert_close(loss, expected)
    assert torch.autograd.grad(loss, model.decoder.embedding.weight)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", [("none", "none", "none"), ("conformer", "xl", "fixed")], ids="-".join)
def test_half_precision_is_near(encoder, decoder, dtype):
    model, data = without_drawing(make_model(decoder, encoder)), with_probabilities(with_texts(make_data(LENGTHS), make_texts()), 5)
    batch, criterion = batch_of(data), make_criterion(word_weight=0.5)
    expected = criterion(model, batch)[0]
    batch["teacher_probabilities"] = batch["teacher_probabilities"].to(dtype)  # as fairseq does with floats
    loss, _, _ = criterion(model.to(dtype).train(), batch)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.1, atol=0)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0.25", {0: 0.25, 10**6: 0.25}),
        ("0:0,1000:0.5", {0: 0, 250: 0.125, 1000: 0.5, 5000: 0.5}),
        ("100:0.2,200:1,400:0.6", {0: 0.2, 100: 0.2, 150: 0.6, 300: 0.8, 400: 0.6, math.inf: 0.6}),
    ],
)
def test_shares_between_the_points_are_linear(text, shares):
    assert {update: pytest.approx(scheduled(parse_schedule(text), update)) for update in shares} == shares


def test_the_share_follows_the_updates():
    model, batch = make_model("dfp").train(), batches()[0]
    criterion = make_criterion("10:0.2,20:0.6")
    for update, share in ((0, 0.2), (15, 0.4), (90, 0.6)):
        criterion.set_num_updates(update)
        loss, size, log = criterion(model, batch)
        torch.testing.assert_close(loss, make_criterion(str(share))(model, batch)[0], rtol=1e-6, atol=0)
        assert size == pytest.approx((1 - share) * batch["ntokens"] + share * batch["kd_ntokens"])


def test_validation_is_that_of_the_original_texts():
    model, (_, original, _) = make_model("dfp"), batches()
    loss, size, log = make_criterion("0.7", word_weight=0.5)(model, original)
    expected = plain_criterion()(model, original)
    torch.testing.assert_close(loss, expected[0], rtol=0, atol=0)
    assert size == expected[1] and log == expected[2]


def test_logged_values_are_bits_per_token_of_their_text():
    model, data = without_drawing(make_model("xattn")), with_probabilities(with_texts(make_data(LENGTHS), make_texts()), 5)
    logs = [make_criterion("0.3", word_weight=0.5)(model, batch_of(data, rows))[2] for rows in ([0, 1], [2, 3])]
    with metrics.aggregate() as meters:
        SequenceKD.reduce_metrics(logs)
    values, total = meters.get_smoothed_values(), {key: float(sum(log[key] for log in logs)) for key in logs[0]}
    assert total["kd_ntokens"] == sum(KD_LENGTHS) + 4 and values["kd_weight"] == 0.3
    bits = {"nll_loss": "ntokens", "kd_nll_loss": "kd_ntokens", "word_kd_loss": "ntokens", "ctc_loss": "ntokens", "loss": "sample_size"}
    for name, number in bits.items():
        assert values[name] == pytest.approx(total[name] / total[number] / math.log(2), abs=1e-3)
    assert total["sample_size"] == pytest.approx(0.7 * total["ntokens"] + 0.3 * total["kd_ntokens"])
    assert SequenceKD.logging_outputs_can_be_summed()
