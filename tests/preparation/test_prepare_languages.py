"""Several languages, or both tasks, in one folder: tags, ids and manifests are right, and fairseq reads them."""

import argparse
import zipfile

import pytest
import yaml
from mustc_corpus import Corpus, contents, run, small_corpus
from prepare_command import manifests_in, prepare

from speechllm_plugin.data import features
from speechllm_plugin.data.data_config import DataConfig


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "mustc", targets=("de", "fr"))


@pytest.fixture
def german(tmp_path):
    return small_corpus(tmp_path / "mustc")


def pieces(folder, name):
    return [line.removesuffix(" 1") for line in (folder / f"spm_{name}.txt").read_text(encoding="utf-8").splitlines()]


def tags_in(folder):
    return [piece for piece in pieces(folder, "target") if piece.startswith("<lang:")]


def config_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def read_by_fairseq(folder, split):
    """fairseq's own items, its dictionary and how it decodes."""
    from fairseq.data import Dictionary, encoders
    from fairseq.data.audio.data_cfg import S2TDataConfig
    from fairseq.data.audio.speech_to_text_dataset import SpeechToTextDatasetCreator

    config = S2TDataConfig(folder / "config.yaml")
    dictionary = Dictionary.load(str(folder / config.vocab_filename))
    bpe = encoders.build_bpe(argparse.Namespace(**config.bpe_tokenizer))
    data = SpeechToTextDatasetCreator.from_tsv(str(folder), config, split, dictionary, None, bpe, split == "train", 1, 1)
    return [data[index] for index in range(len(data))], dictionary, bpe


def check_fairseqs_items(folder, split, utterances):
    items, dictionary, bpe = read_by_fairseq(folder, split)
    for item, utterance in zip(items, utterances, strict=True):
        assert dictionary[item.target[0]] == f"<lang:{utterance.tgt_lang}>"
        assert bpe.decode(dictionary.string(item.target[1:])) == utterance.tgt_text
        assert item.source.shape == (utterance.n_frames, 80)


def test_pairs_of_languages_stand_one_after_the_other_with_ids_of_their_own(corpus, tmp_path):
    both = run(corpus, tmp_path / "out", sizes=("40", "26"))
    for position, target in enumerate(corpus.targets):
        alone = Corpus(corpus.root, (target,))
        alone.segments = corpus.segments
        for split, utterances in run(alone, tmp_path / target).items():
            rows = both[split][position * len(utterances) : (position + 1) * len(utterances)]
            assert len(both[split]) == 2 * len(utterances)
            for one, other in zip(rows, utterances, strict=True):
                assert one.id == f"en-{target}_{other.id}" and (one.tgt_text, one.tgt_lang, one.src_text) == (other.tgt_text, target, other.src_text)
                assert (features.read(one.audio, tmp_path / "out") == features.read(other.audio, tmp_path / target)).all()


def test_several_target_languages_have_tags_within_the_vocabulary_size(corpus, tmp_path):
    manifests = run(corpus, tmp_path / "out", sizes=("40", "26"))
    assert tags_in(tmp_path / "out") == ["<lang:de>", "<lang:fr>"] and len(pieces(tmp_path / "out", "target")) == 40 - 4
    assert DataConfig.load(tmp_path / "out/config.yaml").prepend_tgt_lang_tag
    for split, utterances in manifests.items():
        check_fairseqs_items(tmp_path / "out", split, utterances)


def test_one_target_language_has_no_tags(german, tmp_path):
    run(german, tmp_path / "out")
    config = config_of(tmp_path / "out")
    assert not tags_in(tmp_path / "out") and not config.keys() & {"prepend_tgt_lang_tag", "sampling_alpha", "transcribe_probability"}


def test_joint_folders_hold_each_utterance_as_both_tasks_except_in_training(german, tmp_path):
    out = tmp_path / "out"
    translations = run(german, tmp_path / "st")
    manifests = run(german, out, task="joint", sizes=("42", "26"))
    assert manifests.keys() == {"train", "dev", "tst-COMMON", "tst-COMMON_asr"}
    num_dev = len(translations["dev"])
    for rows, split, is_asr in [
        (manifests["train"], "train", False),
        (manifests["dev"][:num_dev], "dev", False),
        (manifests["dev"][num_dev:], "dev", True),
        (manifests["tst-COMMON"], "tst-COMMON", False),
        (manifests["tst-COMMON_asr"], "tst-COMMON", True),
    ]:
        for row, st in zip(rows, translations[split], strict=True):
            assert (row.src_text, row.src_lang, row.audio, row.n_frames) == (st.src_text, st.src_lang, st.audio, st.n_frames)
            expected = (f"{st.id}_asr", st.src_text, "en") if is_asr else (st.id, st.tgt_text, "de")
            assert (row.id, row.tgt_text, row.tgt_lang) == expected
    for split in translations:
        assert (out / f"fbank80.{split}.zip").read_bytes() == (tmp_path / f"st/fbank80.{split}.zip").read_bytes()
        with zipfile.ZipFile(out / f"fbank80.{split}.zip") as archive:
            assert len(archive.namelist()) == len(translations[split])


def test_the_target_vocabulary_of_joint_folders_knows_both_languages(german, tmp_path):
    out = tmp_path / "out"
    manifests = run(german, out, task="joint", sizes=("42", "26"))
    config = DataConfig.load(out / "config.yaml")
    assert tags_in(out) == ["<lang:de>", "<lang:en>"] and config.prepend_tgt_lang_tag and config.transcribe_probability == 0.5
    for split, utterances in manifests.items():
        check_fairseqs_items(out, split, utterances)
        items, dictionary, _ = read_by_fairseq(out, split)
        assert all(dictionary.unk() not in item.target for item in items)


def test_a_joint_run_that_lost_a_manifest_makes_it_again(german, tmp_path):
    run(german, tmp_path / "out", task="joint", sizes=("42", "26"))
    before = contents(tmp_path / "out")
    (tmp_path / "out/tst-COMMON_asr.tsv").unlink()
    run(german, tmp_path / "out", task="joint", sizes=("42", "26"))
    assert contents(tmp_path / "out") == before


def test_settings_of_the_draws_stand_in_the_config(german, tmp_path):
    run(german, tmp_path / "out", "--transcribe-probability", "0.25", "--sampling-alpha", "0.3", task="joint", sizes=("42", "26"))
    config = DataConfig.load(tmp_path / "out/config.yaml")
    assert (config.transcribe_probability, config.sampling_alpha) == (0.25, 0.3)


def test_a_transcript_vocabulary_can_be_that_of_another_folder(german, tmp_path, capsys):
    run(german, tmp_path / "asr", task="asr", sizes=("26", "27"))
    capsys.readouterr()
    flags = ["--source-lang", "en", "--target-lang", "de", "--task", "st", "--vocab-size", 26]
    for _ in range(2):
        prepare("mustc", german.root, tmp_path / "st", *flags, "--transcript-vocab-from", tmp_path / "asr")
        for name in ("spm_transcript.model", "spm_transcript.txt"):
            assert (tmp_path / "st" / name).read_bytes() == (tmp_path / "asr" / name).read_bytes()
    assert f"27 pieces, copied from {tmp_path}/asr/spm_transcript" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--transcript-vocab-from is None, but .*st was made with .*asr"):
        prepare("mustc", german.root, tmp_path / "st", *flags)
    with pytest.raises(FileNotFoundError, match="dev/spm_transcript.model: no such file; --transcript-vocab-from must be"):
        prepare("mustc", german.root, tmp_path / "new", *flags, "--transcript-vocab-from", tmp_path / "dev")
    with pytest.raises(ValueError, match="--transcript-vocab-from must be another folder than --out"):
        prepare("mustc", german.root, tmp_path / "asr", *flags, "--transcript-vocab-from", tmp_path / "asr")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--transcript-vocab-from", "x", "--transcript-vocab-size", "9"], "not allowed with argument"),
        (["--sampling-alpha", "0"], "argument --sampling-alpha: must be above 0 and at most 1, but is 0.0"),
        (["--transcribe-probability", "1.5"], "argument --transcribe-probability: must be between 0 and 1, but is 1.5"),
        (["--task", "mt"], "invalid choice: 'mt'"),
    ],
)
def test_impossible_values_of_flags_are_refused(german, tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit):
        prepare("mustc", german.root, tmp_path / "out", "--source-lang", "en", "--target-lang", "de", "--task", "joint", *flags)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--task", "asr"], "--target-lang must be one language for asr, as all pairs with en have the same speech and transcripts, but is de fr"),
        (["--task", "st", "--transcribe-probability", "0.5"], "--transcribe-probability is for --task joint, but --task is st: leave it out"),
        (["--task", "st", "--target-lang", "de", "es"], "en-es/data/train: no such split"),
    ],
)
def test_flags_that_contradict_each_other_are_an_error_before_anything_is_written(corpus, tmp_path, flags, message):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        prepare("mustc", corpus.root, tmp_path / "out", "--source-lang", "en", "--target-lang", "de", "fr", *flags)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "corpus_name, task, targets, target_size, transcript_size",
    [
        ("mustc", "asr", ["de"], 5000, 5000),
        ("mustc", "st", ["de"], 8000, 5000),
        ("mustc", "st", ["de", "fr"], 32000, 5000),
        ("mustc", "joint", ["de"], 8000, 5000),
        ("tsv", "asr", [], 5000, 5000),
        ("tsv", "st", [], 32000, 5000),
    ],
)
def test_vocabularies_have_the_papers_sizes_unless_told_otherwise(corpus, tmp_path, corpus_name, task, targets, target_size, transcript_size):
    root = corpus.root
    if corpus_name == "tsv":
        for split in ("train", "dev", "test"):
            lines = [f"en-de/data/train/wav/ted_2.wav\tone\teins\ten\t{language}" for language in ("de", "fr")]
            (root / f"{split}.tsv").write_text("\n".join(["audio\tsrc_text\ttgt_text\tsrc_lang\ttgt_lang", *(lines * 2)]) + "\n")
    languages = ["--source-lang", "en", "--target-lang", *targets] if targets else []
    flags = [*languages, "--task", task, "--features", "online"]
    for flag, size in (("--vocab-size", target_size), ("--transcript-vocab-size", transcript_size)):
        with pytest.raises(ValueError, match=rf"^{flag} must be at most \d+ for these training texts, but is {size}$") as error:
            prepare(corpus_name, root, tmp_path / "out", *flags)
        flags += [flag, str(error.value).split()[5]]
    assert not manifests_in(tmp_path / "out")
