"""`speechllm translate` with a small NLLB: real conversion, loading, search, batches, and going on after an interruption."""

import collections
import math
import os
import shutil

import pytest

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import kd_file

ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the extra nllb")
torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers", reason="needs the extra nllb")
models = pytest.importorskip("pretrained_models", reason="needs the extra nllb")

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_ROWS = 13
TEXTS = [" ".join(models.WORDS["en"][(row * row + word) % 8] for word in range(1 + row % 4)) for row in range(NUM_ROWS)]
BEAM = ["--beam", 4, "--kbest", 3]


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    torch.manual_seed(0)
    return models.save_nllb(tmp_path_factory.mktemp("pretrained") / "nllb")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def data(tmp_path):
    """A folder whose train.tsv has sources of 1 to 4 words."""
    write_rows(tmp_path / "data", TEXTS)
    return tmp_path / "data"


def write_rows(folder, texts, **columns):
    languages = {"src_lang": "en", "tgt_lang": "de"} | columns
    rows = [Utterance(f"u{row}", "a.wav", 10, "x", src_text=text, **languages) for row, text in enumerate(texts)]
    manifest.write(folder / "train.tsv", rows)
    return rows


def translate(data, model, cache, out, *options):
    arguments = ["--data", data, "--split", "train", "--model", model, "--cache", cache, "--out", out, *options]
    return cli.main(["translate", *map(str, arguments)])


def translations(out):
    return kd_file.read(out)


def test_hypotheses_and_scores_are_those_of_transformers(nllb, cache, data, tmp_path):
    rows = write_rows(data, TEXTS[:5])
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", *BEAM) == 0
    model, tokenizer = (kind.from_pretrained(nllb) for kind in (transformers.AutoModelForSeq2SeqLM, transformers.AutoTokenizer))
    german = tokenizer.convert_tokens_to_ids("deu_Latn")
    found = translations(tmp_path / "kd.tsv")
    assert list(found)[0] == "u3" and len(found) == 5  # the longest first, joined by id
    for row in rows:
        source = tokenizer(row.src_text, return_tensors="pt")
        output = model.generate(
            **{**source, "num_beams": 4, "num_return_sequences": 3, "forced_bos_token_id": german},
            **{"min_new_tokens": 2, "max_new_tokens": 50, "length_penalty": 1.0},
        )
        digest, hypotheses = found[row.id]
        assert digest == kd_file.source_hash(row)
        # The two searches stop by different rules, so that only the best is the same; the others are judged by their scores.
        assert hypotheses[0][1] == tokenizer.decode(output[0], skip_special_tokens=True)
        for score, text in hypotheses:
            tokenizer.src_lang = "deu_Latn"
            target = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text).input_ids]])
            tokenizer.src_lang = "eng_Latn"
            with torch.no_grad():
                logits = model(**source, decoder_input_ids=target[:, :-1]).logits[0, 1:]  # behind the language
            logits[0, tokenizer.eos_token_id] = -torch.inf  # no empty translation
            log_probabilities = logits.log_softmax(-1).gather(1, target[0, 2:, None])
            assert score * math.log(2) == pytest.approx(log_probabilities.mean().item(), abs=2e-4), (row.src_text, text)


def test_k_best_are_different_and_the_best_first(nllb, cache, data, tmp_path):
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", *BEAM) == 0
    assert translate(data, nllb, cache, tmp_path / "best.tsv", "--beam", 4) == 0
    best = translations(tmp_path / "best.tsv")
    for utterance_id, (_, hypotheses) in translations(tmp_path / "kd.tsv").items():
        scores, texts = zip(*hypotheses)
        assert len(set(texts)) == 3 and list(scores) == sorted(scores, reverse=True)
        assert best[utterance_id][1] == [hypotheses[0]]


def test_a_trained_model_names_the_digits(nllb, cache, data, tmp_path):
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", "--beam", 1) == 0
    german = dict(zip(models.WORDS["en"], models.WORDS["de"]))
    found = translations(tmp_path / "kd.tsv")
    right = [" ".join(german[word] for word in text.split()) == found[f"u{row}"][1][0][1] for row, text in enumerate(TEXTS)]
    assert sum(right) >= NUM_ROWS - 2


@pytest.mark.parametrize("max_tokens", [1, 14, 4096])
def test_translations_do_not_depend_on_the_batch(max_tokens, nllb, cache, data, tmp_path):
    assert translate(data, nllb, cache, tmp_path / "alone.tsv", *BEAM, "--max-tokens", 1) == 0
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", *BEAM, "--max-tokens", max_tokens) == 0
    alone, together = translations(tmp_path / "alone.tsv"), translations(tmp_path / "kd.tsv")
    assert alone.keys() == together.keys()
    for utterance_id, (digest, hypotheses) in together.items():
        assert digest == alone[utterance_id][0]
        assert [text for _, text in hypotheses] == [text for _, text in alone[utterance_id][1]]
        assert [score for score, _ in hypotheses] == pytest.approx([score for score, _ in alone[utterance_id][1]], abs=1e-4)


def test_batches_keep_to_the_tokens(nllb, cache, data):
    from speechllm_plugin.distillation.ctranslate2_teacher import CTranslate2Teacher
    from speechllm_plugin.distillation.split_translation import batches

    sources = CTranslate2Teacher(str(nllb), cache=cache).encode(manifest.read(data / "train.tsv"))
    for max_tokens in (1, 14, 20, 1000):
        made = list(batches(sources, max_tokens))
        assert sorted(source.row.id for batch in made for source in batch) == sorted(source.row.id for source in sources)
        assert all(len(batch) == 1 or len(batch) * max(len(source.ids) for source in batch) <= max_tokens for batch in made)
        assert len(made) < len(sources) or max_tokens == 1


@pytest.mark.parametrize("torn", ["", "u3\tabc", "u3\tabc\t1\t-0.5\tx\n", "\ufffd"])
def test_an_interrupted_run_goes_on(torn, nllb, cache, data, tmp_path, monkeypatch, capsys):
    assert translate(data, nllb, cache, tmp_path / "whole.tsv", *BEAM, "--max-tokens", 14) == 0
    write, written, asked = kd_file.Writer.write, [], collections.Counter()

    class Killed(BaseException):
        """Nobody catches it."""

    def interrupted(self, block):
        if len(written) == 2:
            raise Killed
        written.append(block)
        write(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(kd_file.Writer, "write", interrupted)
        with pytest.raises(Killed):
            translate(data, nllb, cache, tmp_path / "kd.tsv", *BEAM, "--max-tokens", 14)
    with pytest.raises(ValueError, match="run the teacher's command again"):
        translations(tmp_path / "kd.tsv")
    with open(tmp_path / "kd.tsv", "a", encoding="utf-8") as file:
        file.write(torn)

    def counted(self, block):
        asked.update(row.id for row, _ in block)
        write(self, block)

    monkeypatch.setattr(kd_file.Writer, "write", counted)
    capsys.readouterr()
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", *BEAM, "--max-tokens", 14) == 0
    num_before = sum(map(len, written))
    assert f"{num_before} of them from before" in capsys.readouterr().out
    assert set(asked) == {f"u{row}" for row in range(NUM_ROWS)} - {row.id for block in written for row, _ in block}
    assert translations(tmp_path / "kd.tsv") == translations(tmp_path / "whole.tsv")
    assert (tmp_path / "kd.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_a_finished_file_is_left_as_it_is(nllb, cache, data, tmp_path):
    for _ in range(2):
        assert translate(data, nllb, cache, tmp_path / "kd.tsv") == 0
    assert len(translations(tmp_path / "kd.tsv")) == NUM_ROWS


@pytest.mark.parametrize("options, name", [(["--beam", 3], "options"), (["--beam", 4, "--kbest", 2], "k"), (["--compute-type", "int8"], "teacher")])
def test_a_file_is_only_continued_with_what_it_was_begun_with(options, name, nllb, cache, data, tmp_path, capsys):
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", "--beam", 4) == 0
    before = (tmp_path / "kd.tsv").read_bytes()
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", *options) == 1
    assert f"was begun with {name} " in capsys.readouterr().err
    write_rows(data, [*TEXTS[:-1], "seven"])
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", "--beam", 4) == 1
    assert "was begun with manifest" in capsys.readouterr().err
    assert (tmp_path / "kd.tsv").read_bytes() == before


def test_a_model_is_converted_once_and_again_when_it_changes(nllb, data, tmp_path, capsys):
    shutil.copytree(nllb, tmp_path / "model")
    for num_folders, options in ((1, []), (1, []), (2, ["--compute-type", "int8"]), (2, [])):
        (tmp_path / "kd.tsv").unlink(missing_ok=True)
        assert translate(data, tmp_path / "model", tmp_path / "cache", tmp_path / "kd.tsv", *options) == 0
        assert len(list((tmp_path / "cache").iterdir())) == num_folders
        capsys.readouterr()
    weights = tmp_path / "model" / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1_000_000_000))
    assert translate(data, tmp_path / "model", tmp_path / "cache", tmp_path / "new.tsv") == 0
    assert "converting" in capsys.readouterr().err and len(list((tmp_path / "cache").iterdir())) == 3


def test_a_conversion_that_fails_leaves_nothing(nllb, data, tmp_path, capsys):
    shutil.copytree(nllb, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert translate(data, tmp_path / "model", tmp_path / "cache", tmp_path / "kd.tsv") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"speechllm: error: --model: {tmp_path / 'model'} cannot be converted")
    assert not list((tmp_path / "cache").iterdir()) and not (tmp_path / "kd.tsv").exists()


def test_long_translations_are_cut_and_counted(nllb, cache, data, tmp_path, capsys):
    assert translate(data, nllb, cache, tmp_path / "kd.tsv", "--beam", 1, "--max-length", 2) == 0
    found = translations(tmp_path / "kd.tsv")
    num_words = [len(hypotheses[0][1].split()) for _, hypotheses in found.values()]
    # One word has room for the end behind it.
    assert max(num_words) == 2 and f"{num_words.count(2)} of the new hypotheses are cut off at --max-length 2" in capsys.readouterr().out
