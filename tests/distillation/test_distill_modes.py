"""What each mode makes of a manifest, and of a data folder."""

import itertools
import os
import random
from dataclasses import replace

import pytest
import sacrebleu
from small_teacher import make_folder, make_rows

from speechllm_plugin.data import manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.kd_texts import kd_texts
from speechllm_plugin.data.manifest_blocks import ManifestBlocks
from speechllm_plugin.distillation import data_folder, kd_file, modes

ROWS = [replace(row, extra={"accent": f"a{number}"}) for number, row in enumerate(make_rows(4))]
BEST = [[(-rank - number / 8, f"teacher {number} {rank}") for rank in range(3)] for number in range(4)]
OPTIONS = {"--mode": "replace", "--kbest": None}


def assert_same_but(new, old, **expected):
    """All fields of the old row, but the expected ones; the hash is that of the old row."""
    assert {name: getattr(new, name) for name in manifest.UTTERANCE_COLUMNS} == {
        name: getattr(old, name) for name in manifest.UTTERANCE_COLUMNS
    } | expected
    assert new.extra["accent"] == old.extra["accent"] and new.extra["kd_source_hash"] == kd_file.source_hash(old)


def test_replace_takes_the_best_text():
    for new, row, best in zip(modes.apply("replace", ROWS, BEST), ROWS, BEST, strict=True):
        assert_same_but(new, row, tgt_text=best[0][1])
        assert float(new.extra["kd_score"]) == best[0][0] and "kd_text" not in new.extra


def test_append_puts_the_distilled_rows_behind_the_original_ones():
    made = modes.apply("append", ROWS, BEST)
    for new, row in zip(made[:4], ROWS, strict=True):
        assert_same_but(new, row)
        assert new.extra["kd_score"] == ""
    for new, row, best in zip(made[4:], ROWS, BEST, strict=True):
        assert_same_but(new, row, id=f"{row.id}_kd", tgt_text=best[0][1])


def test_kbest_makes_k_rows_of_each():
    made = modes.apply("kbest", ROWS, BEST)
    for new, (number, rank) in zip(made, itertools.product(range(4), range(3)), strict=True):
        assert_same_but(new, ROWS[number], id=f"{ROWS[number].id}_kd{rank + 1}", tgt_text=BEST[number][rank][1])


@pytest.mark.parametrize("mode", ["columns", "sampled"])
def test_columns_are_what_training_reads(mode, tmp_path):
    made = modes.apply(mode, ROWS, BEST)
    for new, row in zip(made, ROWS, strict=True):
        assert_same_but(new, row)
    manifest.write(tmp_path / "train.tsv", made)
    rows, (columns,) = manifest.read(tmp_path / "train.tsv"), ManifestBlocks(tmp_path / "train.tsv")
    assert kd_texts("train.tsv", columns, several=True) == [[text for _, text in best] for best in BEST]
    assert kd_texts("train.tsv", columns, several=False) == [[best[0][1]] for best in BEST]
    for row, best in zip(rows, BEST, strict=True):
        assert [float(row.extra[name]) for name in ("kd_score", "kd_score_2", "kd_score_3")] == [score for score, _ in best]


def test_interpolation_picks_what_brute_force_picks():
    """Against all sentence BLEUs of 40 sentences with 6 hypotheses each; of equal ones the teacher's best."""
    rng, metric = random.Random(0), sacrebleu.metrics.BLEU(effective_order=True)
    not_the_first = 0
    for row in make_rows(40, seed=3):
        words = row.tgt_text.split()
        best = []
        for rank in range(6):
            best.append((-rank, " ".join(rng.choice(["other", word]) for word in words + words[:1])))
        bleu = [metric.sentence_score(text, [row.tgt_text]).score for _, text in best]
        pick = bleu.index(max(bleu))
        not_the_first += pick > 0
        [chosen] = modes.MODES["interpolate"].choose(row, best)
        assert chosen is best[pick]
        assert modes.apply("interpolate", [row], [[chosen]])[0].tgt_text == best[pick][1]
    assert not_the_first > 10


def test_an_earlier_distillation_is_replaced():
    once = modes.apply("columns", ROWS, BEST)
    assert modes.apply("columns", once, BEST) == once
    assert [row.extra.keys() for row in modes.apply("replace", once, BEST)] == [{"accent", "kd_source_hash", "kd_score"}] * 4


def test_ids_that_are_taken_are_named():
    with pytest.raises(ValueError, match="--mode append makes a row with the id 'utt_0_kd', which another row has"):
        modes.apply("append", modes.apply("append", ROWS, BEST), BEST * 2)


@pytest.fixture
def prepared(tmp_path):
    folder = make_folder(tmp_path / "data", train=ROWS, dev=ROWS[:2])
    (folder / "spm.model").write_bytes(b"model")
    (folder / "kd.tsv").write_text("id\tkd_text\n")
    with open(folder / "config.yaml", "a") as config:
        config.write("bpe_tokenizer: {bpe: sentencepiece, sentencepiece_model: spm.model}\nsampling_alpha: 0.5\n")
    return folder


def test_a_data_folder_reads_the_same_sounds_and_vocabularies(prepared, tmp_path):
    old, out = DataConfig.load(prepared / "config.yaml"), tmp_path / "deep/out"
    made = modes.apply("sampled", ROWS, BEST)
    assert data_folder.write(old, out, "train", made, modes.MODES["sampled"].settings, OPTIONS) == out / "train.tsv"
    new = DataConfig.load(out / "config.yaml")
    assert new.sample_kd_texts and not old.sample_kd_texts and new.sampling_alpha == 0.5
    assert os.path.normpath(new.audio_root) == str(prepared / "sounds") == new.values["audio_root"]
    assert new.bpe_tokenizer["sentencepiece_model"] == (out / "spm.model").as_posix()
    for name in ("target.txt", "transcript.txt", "spm.model", "dev.tsv"):
        assert (out / name).read_bytes() == (prepared / name).read_bytes()
    assert manifest.read(out / "train.tsv") == made and not (out / "kd.tsv").exists()
    data_folder.write(new, tmp_path / "next", "train", made, {}, OPTIONS)
    assert not DataConfig.load(tmp_path / "next/config.yaml").sample_kd_texts


def test_vocabularies_in_other_folders_stay_where_they_are(prepared, tmp_path):
    (tmp_path / "vocabularies").mkdir()
    (prepared / "target.txt").rename(tmp_path / "vocabularies/target.txt")
    config = prepared / "config.yaml"
    config.write_text(config.read_text().replace("vocab_filename: target.txt", "vocab_filename: ../vocabularies/target.txt"))
    out = tmp_path / "far/out"
    data_folder.write(DataConfig.load(config), out, "train", ROWS, {}, OPTIONS)
    assert (out / DataConfig.load(out / "config.yaml").vocab_filename).samefile(tmp_path / "vocabularies/target.txt")


def test_only_a_folder_made_with_the_same_options_is_written_again(prepared, tmp_path):
    config, out = DataConfig.load(prepared / "config.yaml"), tmp_path / "out"
    with pytest.raises(ValueError, match="--out must be another folder than --data"):
        data_folder.check(prepared, prepared / "../data", "train", OPTIONS)
    data_folder.write(config, out, "train", ROWS, {}, OPTIONS)
    data_folder.check(prepared, out, "train", OPTIONS)
    data_folder.write(config, out, "train", ROWS[:2], {}, OPTIONS)
    assert manifest.read(out / "train.tsv") == ROWS[:2]
    with pytest.raises(ValueError, match="--kbest is 3, but .*out was made with None; choose another --out"):
        data_folder.check(prepared, out, "train", OPTIONS | {"--kbest": 3})
    (out / ".distill.json").unlink()
    with pytest.raises(ValueError, match="train.tsv: speechllm distill did not make this manifest"):
        data_folder.check(prepared, out, "train", OPTIONS)
