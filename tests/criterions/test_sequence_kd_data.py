"""From the manifest to the batch: a teacher's texts and word probabilities, when a criterion asks for them, and what is wrong with them."""

import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tiny_model import FEATURE_DIM, batch_of

from speechllm_plugin.criterions.sequence_kd import SequenceKDConfig
from speechllm_plugin.data import manifest
from speechllm_plugin.data.kd_texts import kd_texts
from speechllm_plugin.data.teacher_cache import TopKWriter
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

PAD, EOS = 1, 2
WORDS = {"en": ["one", "two", "three"], "de": ["eins", "zwei", "drei"]}
LENGTHS = [13, 30, 9, 21, 21, 17]


def texts_of(rng, language):
    return " ".join(WORDS[language][word] for word in rng.integers(0, 3, rng.integers(1, 5)))


@pytest.fixture
def folder(tmp_path):
    """Utterances with a translation and three of a teacher; the fourth row has two of these, the fifth one."""
    (tmp_path / "target.txt").write_text("".join(f"{word} 1\n" for word in ["<lang:de>", "<lang:en>", *WORDS["en"], *WORDS["de"]]))
    (tmp_path / "transcript.txt").write_text("".join(f"{word} 1\n" for word in WORDS["en"]))
    rng, rows = np.random.default_rng(0), []
    for number, length in enumerate(LENGTHS):
        np.save(tmp_path / f"{number}.npy", rng.standard_normal((length, FEATURE_DIM)).astype(np.float32))
        kd = {"kd_text": texts_of(rng, "de"), "kd_score": "-0.5", "kd_text_2": texts_of(rng, "de"), "kd_text_3": texts_of(rng, "de")}
        kd |= {"kd_text_3": ""} if number >= 3 else {}
        kd |= {"kd_text_2": ""} if number >= 4 else {}
        rows.append(manifest.Utterance(f"u{number}", f"{number}.npy", length, texts_of(rng, "de"), "", texts_of(rng, "en"), "en", "de", kd))
    for split in ("train", "dev"):
        manifest.write(tmp_path / f"{split}.tsv", rows)
    return tmp_path


def make_task(folder, criterion=None, seed=1, **settings):
    """The task after fairseq-train built its criterion: flags of sequence_kd, or None for another one."""
    values = {"vocab_filename": "target.txt", "transcript_vocab_filename": "transcript.txt", "input_feat_per_channel": FEATURE_DIM}
    values |= settings
    (folder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(folder), seed=seed))
    if criterion is not None:
        task.build_criterion(OmegaConf.structured(SequenceKDConfig(_name="sequence_kd", sentence_avg=False, **criterion)))
    return task


def load(folder, split="train", criterion={}, **settings):
    task = make_task(folder, criterion, **settings)
    task.load_dataset(split, combine=split.startswith("train"))
    return task, task.datasets[split]


def encoded(task, text, tag=None):
    dictionary = task.target_dictionary
    return [dictionary.index(word) for word in ([tag] if tag else []) + text.split()] + [EOS]


@pytest.mark.parametrize("tagged", [False, True])
def test_batches_hold_the_teachers_text_beside_the_original(folder, tagged):
    settings = {"prepend_tgt_lang_tag": "true"} if tagged else {}
    task, data = load(folder, **settings)
    _, plain = load(folder, criterion=None, **settings)
    rows = manifest.read(folder / "train.tsv")
    batch, without = batch_of(data, [2, 0, 3]), batch_of(plain, [2, 0, 3])
    tokens = 0
    for place, row in enumerate(batch["id"].tolist()):
        learnt = encoded(task, rows[row].extra["kd_text"], "<lang:de>" if tagged else None)
        padding = [PAD] * (batch["kd_target"].size(1) - len(learnt))
        assert batch["net_input"]["kd_prev_output_tokens"][place].tolist() == [EOS, *learnt[:-1]] + padding
        learnt[:tagged] = [PAD] * tagged
        assert batch["kd_target"][place].tolist() == learnt + padding
        tokens += len(learnt) - tagged
    assert batch["kd_ntokens"] == tokens == int((batch["kd_target"] != PAD).sum())
    assert not {"kd_target", "kd_ntokens"} & set(without) and "kd_prev_output_tokens" not in without["net_input"]
    for name in ("target", "transcript", "id", "ntokens"):
        assert (torch.as_tensor(without[name]) == torch.as_tensor(batch[name])).all()


def test_only_what_the_criterion_learns_from_is_loaded(folder):
    for criterion, has_texts in ((None, False), ({"kd_weight": "0"}, False), ({"kd_weight": "0:0,9:0.1"}, True), ({}, True)):
        assert (load(folder, "train", criterion)[1].texts.kd_targets is not None) == has_texts
        assert load(folder, "dev", criterion)[1].texts.kd_targets is None
    assert load(folder, "dev", word_level(folder))[1].texts.teacher is None


def test_a_teachers_longer_text_counts_where_rows_are_left_out(folder):
    rows = manifest.read(folder / "train.tsv")
    rows[1].extra["kd_text"] = "eins " * 40
    manifest.write(folder / "train.tsv", rows)
    _, data = load(folder)
    kept, left_out = data.filter_indices_by_size(np.arange(len(data)), (6000, 40))
    assert left_out == [1] and len(kept) == len(data) - 1


def drawn_texts(task, data):
    return {data.ids[row]: task.target.decode(data.kd_target(row)[:-1].tolist()) for row in range(len(data))}


def test_sampling_draws_by_seed_epoch_and_id_alone(folder):
    task, data = load(folder, sample_kd_texts="true")
    candidates = {}
    for row in manifest.read(folder / "train.tsv"):
        candidates[row.id] = [text for name, text in row.extra.items() if name.startswith("kd_text") and text]
    epochs = []
    for epoch in range(1, 60):
        data.set_epoch(epoch)
        epochs.append(drawn_texts(task, data))
        assert drawn_texts(task, data) == epochs[-1]
    for text_id, texts in candidates.items():
        seen = [epoch[text_id] for epoch in epochs]
        assert set(seen) == set(texts)
        assert min(seen.count(text) for text in texts) > 0.5 * len(seen) / len(texts)
    _, resumed = load(folder, sample_kd_texts="true")  # or another rank
    resumed.set_epoch(7)
    assert [batch_of(resumed, [row])["kd_target"].tolist() for row in (3, 0)] == [[encoded(task, epochs[6][f"u{row}"])] for row in (3, 0)]
    _, other = load(folder, sample_kd_texts="true", seed=2)
    assert any(other.set_epoch(epoch) or drawn_texts(task, other) != epochs[epoch - 1] for epoch in (1, 2, 3))
    _, fixed = load(folder)
    assert all(len(texts) == 1 for texts in fixed.texts.kd_targets)
    assert list(drawn_texts(task, fixed).values()) == [texts[0] for texts in candidates.values()]


def test_where_the_task_is_recognition_the_transcript_stands_for_the_teachers_text(folder):
    task, data = load(folder, prepend_tgt_lang_tag="true", transcribe_probability=0.5)
    transcribed = 0
    for epoch in range(1, 20):
        data.set_epoch(epoch)
        for row in range(len(data)):
            batch = batch_of(data, [row])
            if int(batch["tag"]) == task.target.tag("en"):
                assert batch["kd_target"].equal(batch["target"])
                transcribed += 1
            else:
                assert int(batch["net_input"]["kd_prev_output_tokens"][0, 1]) == task.target.tag("de")
    assert 0.3 < transcribed / (19 * len(data)) < 0.7


def write_cache(folder, task, split, k=4, rows=None, **changes):
    """A cache of random probabilities for the targets of a split; returns them by id."""
    rng, texts, num_types = np.random.default_rng(3), {}, len(task.target_dictionary)
    description = {"vocabulary": task.target.digest(), "num_types": num_types, "k": k, "split": split, "teacher": "t.pt", **changes}
    writer = TopKWriter(folder / "cache" / split, description)
    for row in rows or manifest.read(folder / "train.tsv"):
        target = task.encode_target(row.id, row.tgt_text, row.tgt_lang)
        texts[row.id] = [rng.permutation(num_types)[:k] for _ in target], np.sort(rng.dirichlet(np.ones(k), len(target)))[:, ::-1]
        writer.add(row.id, target, *texts[row.id])
    writer.close()
    return texts


def word_level(folder):
    return {"kd_weight": "0", "word_kd_weight": 0.5, "word_kd_cache": str(folder / "cache")}


@pytest.mark.parametrize("tagged", [False, True])
def test_batches_hold_the_teachers_probabilities_at_the_positions_of_the_target(folder, tagged):
    settings = {"prepend_tgt_lang_tag": "true"} if tagged else {}
    manifest.write(folder / "train_2.tsv", manifest.read(folder / "train.tsv")[:2])
    task = make_task(folder, **settings)
    caches = [write_cache(folder, task, "train"), write_cache(folder, task, "train_2")]
    _, data = load(folder, "train,train_2", word_level(folder), **settings)
    batch = batch_of(data, [1, 5, 2, 6])
    assert batch["teacher_ids"].shape == batch["teacher_probabilities"].shape == (*batch["target"].shape, 4)
    for place, row in enumerate(batch["id"].tolist()):
        ids, probabilities = caches[row // len(LENGTHS)][data.ids[row]]
        length = int(batch["target_lengths"][place])
        assert batch["teacher_ids"][place, :length].tolist() == np.stack(ids).tolist()
        np.testing.assert_allclose(batch["teacher_probabilities"][place, :length].numpy(), probabilities, rtol=1e-3)
        assert not batch["teacher_probabilities"][place, length:].any()


def without_column(name):
    def spoil(folder):
        rows = manifest.read(folder / "train.tsv")
        for row in rows:
            del row.extra[name]
        manifest.write(folder / "train.tsv", rows)

    return spoil


def with_text(number, text):
    def spoil(folder):
        rows = manifest.read(folder / "train.tsv")
        rows[number].extra["kd_text"] = rows[number + 2].extra["kd_text"] = text
        manifest.write(folder / "train.tsv", rows)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_column("kd_text"), "train.tsv: sequence_kd learns from a teacher's texts, but there is no column kd_text: add it with"),
        (with_text(1, " "), r"train.tsv:3: kd_text must not be empty \(utterance u1\), but is in 2 of 6 rows: distill again"),
    ],
    ids=["no column", "empty"],
)
def test_a_manifest_without_the_teachers_texts_is_an_error_of_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)
    load(folder, criterion={"kd_weight": "0"})


def test_sampling_from_one_text_is_an_error(folder):
    columns = {"id": ["u"], "kd_text": ["eins"], "kd_score": ["0"]}
    assert kd_texts("train.tsv", columns, several=False) == [["eins"]]
    with pytest.raises(ValueError, match="train.tsv: sample_kd_texts draws among kd_text, kd_text_2 ..., but has kd_text only"):
        kd_texts("train.tsv", columns, several=True)


def test_a_cache_of_other_data_is_an_error(folder):
    task = make_task(folder)
    with pytest.raises(FileNotFoundError, match="cache/train: no cache of a teacher's probabilities; make it with speechllm"):
        load(folder, "train", word_level(folder))
    write_cache(folder, task, "train", vocabulary="another")
    with pytest.raises(ValueError, match=r"cache/train: its teacher \(t.pt\) has another target vocabulary than the data"):
        load(folder, "train", word_level(folder))
    shutil.rmtree(folder / "cache/train")
    write_cache(folder, task, "train", rows=manifest.read(folder / "train.tsv")[:4])
    with pytest.raises(ValueError, match=r"cache/train: lacks 2 of 6 texts, first that of utterance u4 \(it has no such id\)"):
        load(folder, "train", word_level(folder))


def test_word_level_and_drawn_transcripts_exclude_each_other(folder):
    with pytest.raises(ValueError, match="--word-kd-cache has a teacher's .* of translations, but transcribe_probability in .* is 0.5"):
        load(folder, "train", word_level(folder), prepend_tgt_lang_tag="true", transcribe_probability=0.5)
