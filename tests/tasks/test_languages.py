"""Several languages and tasks in one model: tags given and not learnt, tasks drawn per utterance, languages drawn by temperature."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
)
from tagged_data import WORDS, load, make_task, model_of
from tiny_model import FEATURE_DIM, batch_of, make_model

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy
from speechllm_plugin.data import manifest
from speechllm_plugin.data.row_dataset import repeated_rows, temperature_repeats
from speechllm_plugin.data.speech_texts import drawn

PAD, EOS = 1, 2


def test_the_decoder_reads_the_tag_and_no_loss_counts_it(tagged_folder):
    task, data = load(tagged_folder)
    _, untagged = load(tagged_folder, prepend_tgt_lang_tag="false")
    batch, plain = batch_of(data, [3, 4, 5]), batch_of(untagged, [3, 4, 5])
    tags = [task.target_dictionary.index(f"<lang:{'fr' if row % 4 == 0 else 'de'}>") for row in batch["id"].tolist()]
    assert batch["tag"].tolist() == tags and batch["net_input"]["prev_output_tokens"][:, 1].tolist() == tags
    assert (batch["target"][:, 0] == PAD).all() and batch["ntokens"] == plain["ntokens"]
    assert torch.equal(batch["target"][:, 1:], plain["target"])
    assert torch.equal(batch["net_input"]["prev_output_tokens"][:, 2:], plain["net_input"]["prev_output_tokens"][:, 1:])
    assert "tag" not in plain


@pytest.mark.parametrize("ours", [True, False])
def test_losses_are_those_of_the_positions_after_the_tag(tagged_folder, ours):
    task, data = load(tagged_folder)
    batch = batch_of(data, [1, 4, 6])
    logits = torch.randn(3, batch["target"].size(1), len(task.target_dictionary))
    model = torch.nn.Module()
    model.forward = lambda **net_input: SimpleNamespace(logits=logits, ctc=None) if ours else (logits, None)
    model.get_normalized_probs = lambda output, log_probs: output[0].log_softmax(-1)
    model.get_targets = lambda sample, output: sample["target"]
    criterion = CTCCrossEntropy(task, 0.1, 0.5, False) if ours else LabelSmoothedCrossEntropyCriterion(task, False, 0.1)
    loss, sample_size, _ = criterion(model.eval() if ours else model, batch)
    shifted = {**batch, "target": batch["target"][:, 1:].contiguous()}
    logits = logits[:, 1:].contiguous()
    expected, _, _ = criterion(model, shifted)
    torch.testing.assert_close(loss, expected)
    assert sample_size == (batch["target"] != PAD).sum()


def decode(task, model, batch, **options):
    args = {"beam": 2, "max_len_a": 0, "max_len_b": 8, "min_len": 1, "unnormalized": False, "lenpen": 1, "unkpen": 0, "temperature": 1.0}
    args |= {
        "no_repeat_ngram_size": 0,
        "prefix_size": 0,
        "sampling_topk": -1,
        "sampling_topp": -1.0,
        "diverse_beam_groups": -1,
        "nbest": 2,
        **options,
    }
    generator = task.build_generator([model], SimpleNamespace(**args))
    prefix = batch["target"][:, : args["prefix_size"]] if args["prefix_size"] else None
    return generator, task.inference_step(generator, [model], batch, prefix_tokens=prefix)


@pytest.mark.parametrize("options", [{}, {"prefix_size": 1}, {"prefix_size": 2}, {"sampling": True}], ids=str)
def test_every_hypothesis_begins_with_the_tag_of_its_row(tagged_folder, options):
    task, data = load(tagged_folder)
    batch = batch_of(data, [3, 4, 5])
    generator, n_best = decode(task, model_of(task), batch, **options)
    for row, hypotheses in enumerate(n_best):
        for hypothesis in hypotheses:
            assert hypothesis["tokens"][0] == batch["tag"][row]
            if options.get("prefix_size") == 2:
                assert hypothesis["tokens"][1] == batch["target"][row, 1]
    assert set(batch["tag"].tolist()) <= generator.symbols_to_strip_from_output
    assert (batch["target"][:, 0] == PAD).all()


def test_the_configuration_names_the_language_where_nothing_else_does(tagged_folder):
    task = make_task(tagged_folder, tgt_lang="fr")
    lengths = [20, 11]
    data = task.build_dataset_for_inference([np.random.randn(length, FEATURE_DIM).astype(np.float32) for length in lengths], lengths)
    batch = {"net_input": batch_of(data)["net_input"]}  # as fairseq-interactive hands it on
    _, n_best = decode(task, model_of(task), batch)
    assert {int(hypothesis["tokens"][0]) for hypotheses in n_best for hypothesis in hypotheses} == {task.target.tag("fr")}
    with pytest.raises(ValueError, match="fairseq-interactive: a tag needs its language: .* name tgt_lang in .*config.yaml"):
        task = make_task(tagged_folder)
        decode(task, model_of(task), batch)


def test_a_language_without_a_tag_is_named(tagged_folder):
    rows = manifest.read(tagged_folder / "dev.tsv")
    manifest.write(tagged_folder / "dev.tsv", [*rows[:2], manifest.Utterance("x", "0.npy", rows[0].n_frames, "uno", "", "one", "en", "es")])
    with pytest.raises(ValueError, match="utterance x: the tag <lang:es> of its language is not in target.txt"):
        load(tagged_folder)


def test_the_task_of_an_utterance_depends_on_seed_epoch_and_id_alone(tagged_folder):
    task, data = load(tagged_folder, "train", transcribe_probability=0.25)
    names = {task.target.tag(language): language for language in WORDS}

    def languages(data):
        return {data.ids[row]: names[int(data.target(row)[0])] for row in range(len(data))}

    seen = []
    for epoch in (1, 2, 3):
        data.set_epoch(epoch)
        seen.append(languages(data))
        backwards = {data.ids[row]: names[int(batch_of(data, [row])["tag"])] for row in reversed(range(len(data)))}
        assert backwards == seen[-1]
        for row in range(len(data)):  # the whole target belongs to the language
            expected = data.texts.asr_targets[row] if seen[-1][data.ids[row]] == "en" else data.texts.targets[row]
            assert data.target(row).tolist() == expected.tolist()
    assert seen[0] != seen[1] != seen[2]
    transcribed = np.mean([language == "en" for drawn_languages in seen for language in drawn_languages.values()])
    assert 0.1 < transcribed < 0.45
    _, again = load(tagged_folder, "train", transcribe_probability=0.25)  # a resumed run, or another rank, with other rows around
    again.set_epoch(2)
    assert languages(again) == seen[1]
    _, other_seed = load(tagged_folder, "train", transcribe_probability=0.25)
    other_seed.seed = 5
    assert languages(other_seed) != seen[0]
    _, validation = load(tagged_folder, "dev", transcribe_probability=0.25)
    assert "en" not in languages(validation).values()


def test_draws_are_the_same_in_every_process_and_uniform():
    code = "from speechllm_plugin.data.speech_texts import drawn; print(drawn(1, 2, 'an id'))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=manifest.__file__.rpartition("/speechllm_plugin")[0]
    )
    assert float(process.stdout) == drawn(1, 2, "an id")
    histogram, _ = np.histogram([drawn(1, 1, f"u{number}") for number in range(4000)], bins=8, range=(0, 1))
    assert histogram.min() > 400 and histogram.max() < 600


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.1])
def test_temperature_gives_every_language_its_share(alpha):
    sizes = {"de-en": 900, "fr-en": 90, "ca-en": 10}
    languages = np.repeat(list(sizes), list(sizes.values()))
    repeats = temperature_repeats(languages, alpha)
    assert repeats.sum() == pytest.approx(1000)
    total = sum(size**alpha for size in sizes.values())
    for language, size in sizes.items():
        assert repeats[languages == language].sum() == pytest.approx(1000 * size**alpha / total)
    counts = []
    for _ in range(30):
        indices = repeated_rows(repeats)
        assert len(set(indices.tolist())) == len(indices) and abs(len(indices) - 1000) <= 1
        count = np.bincount(indices % 1000, minlength=1000)
        assert ((count == np.floor(repeats + 1e-9)) | (count == np.ceil(repeats - 1e-9))).all()
        counts.append(count)
    np.testing.assert_allclose(np.mean(counts, axis=0)[languages == "de-en"].mean(), repeats[0], atol=0.02)


def test_repeated_rows_are_batched_augmented_apart_and_drawn_anew_each_epoch(tagged_folder):
    task, data = load(
        tagged_folder, "train", sampling_alpha=0.01, transforms='{"_train": ["specaugment"]}', specaugment="{freq_mask_N: 2, freq_mask_F: 6}"
    )
    epochs = []
    for seed in (1, 2):
        np.random.seed(seed)
        indices = data.ordered_indices()
        lengths = data.num_tokens_vec(indices)
        assert (np.diff(lengths) <= 0).all() and abs(len(indices) - len(data)) <= 1
        batches = data.batch_by_size(indices, max_tokens=100)
        assert sorted(index for batch in batches for index in batch) == sorted(indices.tolist())
        epochs.append(indices)
    assert set(epochs[0]) != set(epochs[1])
    french = [index for index in epochs[0] if index % len(data) % 4 == 0]
    assert len(french) == pytest.approx(20, abs=2)  # 10 of 40 rows are French
    first, second = next((index, index - len(data)) for index in french if index >= len(data))
    examples = [data[first], data[second]]
    assert [example.index for example in examples] == [first, second] and not torch.equal(examples[0].features, examples[1].features)
    batch = batch_of(data, [first, second])
    assert batch["id"].tolist() == [second] * 2


def test_training_goes_on_only_with_the_vocabularies_of_the_checkpoint(tagged_folder):
    task = make_task(tagged_folder)
    state = task.state_dict()
    task.load_state_dict(state)
    task.load_state_dict({})
    (tagged_folder / "transcript.txt").write_text("three 1\ntwo 1\none 1\n")
    with pytest.raises(ValueError, match="its transcript vocabulary is not the one that the checkpoint was trained with"):
        make_task(tagged_folder).load_state_dict(state)


def test_a_dummy_batch_counts_in_no_statistics(tagged_folder):
    task = make_task(tagged_folder)
    model = make_model("dfp", ("conformer", "xl", "none"))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    seen = []

    def criterion(model, sample):
        seen.append([norm.counts for norm in norms])
        return torch.zeros(()), 1, {}

    for ignore_grad in (False, True, False):
        task.train_step({}, model, criterion, SimpleNamespace(backward=lambda loss: None), 1, ignore_grad)
    assert seen == [[True] * len(norms), [False] * len(norms), [True] * len(norms)]
