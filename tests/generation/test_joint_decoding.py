"""Decoding with CTC: the score of a hypothesis is that of the decoder and of the CTC head, each computed on its own."""

import pytest
import torch
from commands import MODELS, generate, hypotheses, last_line, speechllm, succeeded, train
from searched_models import LENGTHS, joint_search, make_sample, make_searched_model, scores_of_its_own
from tiny_model import task

from speechllm_plugin.generation.ctc_prefix import SILENT
from speechllm_plugin.tasks.joint_decoding import joint_decoding
from speechllm_plugin.tasks.text_codec import TextCodec

ENCODERS = [("transformer", "none", "none"), ("conformer", "xl", "avg")]


@pytest.mark.parametrize("encoder", ENCODERS, ids="-".join)
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
@torch.no_grad()
def test_a_hypothesis_has_the_scores_of_both(decoder, encoder):
    model, sample, weight, num_compared = make_searched_model(decoder, encoder), make_sample(), 0.4, 0
    for row, best in enumerate(joint_search(model, weight, sample)):
        for hypothesis in best:
            by_decoder, by_ctc = scores_of_its_own(model, sample, row, hypothesis["tokens"])
            if by_ctc > -1e4:  # more labels than states: impossible, but finite here
                assert hypothesis["score"].item() == pytest.approx((1 - weight) * by_decoder + weight * by_ctc, abs=1e-3)
                num_compared += 1
    assert num_compared > 8


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_the_weight_goes_from_the_decoders_texts_to_those_of_ctc(decoder):
    model, sample = make_searched_model(decoder), make_sample()
    alone, hardly, mostly = (
        [[hypothesis["tokens"].tolist() for hypothesis in hypotheses] for hypotheses in joint_search(model, weight, sample)]
        for weight in (0, 1e-9, 0.95)
    )
    assert hardly == alone and mostly[0] != alone[0]


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_texts_do_not_depend_on_batch_neighbours(decoder):
    model, sample = make_searched_model(decoder, ENCODERS[1]), make_sample()
    features, lengths = sample["net_input"].values()
    for row, (length, together) in enumerate(zip(LENGTHS, joint_search(model, 0.3, sample))):
        one = slice(row, row + 1)
        (alone,) = joint_search(model, 0.3, {"net_input": {"src_tokens": features[one, :length], "src_lengths": lengths[one]}})
        assert [hypothesis["tokens"].tolist() for hypothesis in together] == [hypothesis["tokens"].tolist() for hypothesis in alone]


def test_forced_prefixes_and_rules_hold():
    model = make_searched_model("dfp")
    prefix = torch.tensor([[33, 5]] * 3 + [[33, 2]])  # a tag and a word; in one sentence the end
    n_best = joint_search(model, 0.3, prefix=prefix, no_repeat_ngram_size=2, min_len=4)
    for forced, best in zip(prefix.tolist(), n_best):
        assert all(hypothesis["tokens"].tolist()[:2] == forced for hypothesis in best)
        assert all(len(hypothesis["tokens"]) > 4 or forced[1] == 2 for hypothesis in best)


@pytest.mark.end_to_end
def test_the_command_decodes_with_ctc_what_shares_its_words(spoken, trained, data):
    folder, model = spoken.root.parent, "dfp_conformer_compressed"
    arguments = ["--source-lang", "en", "--target-lang", "de", "--task", "asr", "--vocab-size", 26, "--transcript-vocab-size", 26, "--workers", 1]
    succeeded(speechllm("prepare", "mustc", "--root", spoken.root, *arguments, "--out", folder / "asr", cwd=folder))
    succeeded(train(folder / "asr", folder / "joint", model=MODELS[model], updates=2))
    checkpoint = folder / "joint" / "checkpoint_last.pt"
    alone, joint = (succeeded(generate(folder / "asr", checkpoint, "tst-COMMON", "--ctc-decoding-weight", weight)).stdout for weight in (0, 0.5))
    assert hypotheses(alone).keys() == hypotheses(joint).keys() and hypotheses(alone) != hypotheses(joint)
    refused = generate(data, trained.checkpoint, "tst-COMMON", "--ctc-decoding-weight", 0.5)
    assert refused.returncode == 1 and "it is for recognition" in last_line(refused)
    refused = train(folder / "asr", None, "--ctc-decoding-weight", 0.5, model=MODELS[model], updates=2)
    assert refused.returncode == 1 and "is for decoding, not for training" in last_line(refused)


def test_the_flag_needs_one_model_with_ctc_and_common_words(tmp_path):
    def codec(*words):
        path = tmp_path / "words.txt"
        path.write_text("".join(f"{word} 1\n" for word in words), encoding="utf-8")
        return TextCodec(type(task().target_dictionary).load(str(path)), None, None)

    model, without = make_searched_model("dfp"), make_searched_model("dfp", ("none", "none", "none"))
    target, transcript = codec("a", "b", "<lang:de>"), codec("b", "c", "a")
    assert joint_decoding(0.0, [without], target, None, ["sampling"]) is None
    assert joint_decoding(0.3, [model], target, transcript, []).labels.tolist() == [0, 1, 2, 3, 6, 4, SILENT]
    for weight, models, vocabulary, unserved, message in [
        (1.0, [model], target, [], "--ctc-decoding-weight must be at least 0 and below 1, but is 1.0"),
        (-0.1, [model], target, [], "at least 0"),
        (0.3, [model, model], target, [], "needs one model, trained with --ctc-layer, but --path names 2"),
        (0.3, [without], target, [], "the first with --ctc-layer 0"),
        (0.3, [model], target, ["sampling"], "is not served together with sampling"),
        (0.3, [model], codec("d"), [], "1 of 5 target types are no transcript types, as d: it is for recognition"),
    ]:
        with pytest.raises(ValueError, match=message):
            joint_decoding(weight, models, vocabulary, transcript, unserved)
