"""Every metric equals a slow or known definition; sums of sentences are all that a score needs."""

import importlib.util
import random
import sys

import numpy as np
import pytest
import sacrebleu.metrics

from speechllm_plugin.scoring.metrics import METRICS, check_installed, comet, error_rates, ter
from speechllm_plugin.text.normalisation import normalise

SACREBLEU = {"bleu": sacrebleu.metrics.BLEU, "chrf": sacrebleu.metrics.CHRF, "ter": sacrebleu.metrics.TER}
WORDS = "the a cat sat on mat , . dog's Über schön 猫 x y z".split()


def slow_distance(hypothesis, reference):
    """Levenshtein's recurrence, as in textbooks."""
    row = list(range(len(reference) + 1))
    for i, unit in enumerate(hypothesis, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(reference, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (unit != other))
    return row[-1]


def random_texts(seed, num_sentences=8, longest=12):
    """Pairs that share words, with empty hypotheses, empty references and sentences shorter than 4 words among them."""
    generator = random.Random(seed)
    pairs = []
    for _ in range(num_sentences):
        reference = generator.choices(WORDS, k=generator.choice([0, 1, 2, 3, longest, longest]))
        hypothesis = [word for word in reference if generator.random() < 0.8] + generator.choices(WORDS, k=generator.choice([0, 0, 1, 3]))
        if generator.random() < 0.3:
            generator.shuffle(hypothesis)
        pairs.append((" ".join([] if generator.random() < 0.1 else hypothesis), " ".join(reference)))
    return [list(texts) for texts in zip(*pairs)]


def unknown(texts):
    return [""] * len(texts)


@pytest.mark.parametrize(
    "hypothesis, reference, num_edits",
    [
        ("a b c", "a b c", 0),
        ("a  b\tc ", "a b c", 0),
        ("a x c", "a b c", 1),
        ("a c", "a b c", 1),
        ("a b b c", "a b c", 1),
        ("", "a b c", 3),
        ("a b", "", 2),
        ("b c d e", "a b c d", 2),
    ],
)
def test_word_edits_are_counted(hypothesis, reference, num_edits):
    assert error_rates.word_edits([hypothesis], [reference]).tolist() == [[num_edits, len(reference.split())]]


def test_characters_are_counted_with_the_spaces_between_words():
    assert error_rates.character_edits([" ab  cd ", "abcd"], ["ab cd", "ab cd"]).tolist() == [[0, 5], [1, 5]]


def test_distances_equal_the_textbooks_also_for_long_sentences():
    generator = random.Random(1)
    for length in (1, 7, 63, 64, 65, 700):
        reference = generator.choices("abc", k=length)
        hypothesis = [unit for unit in reference if generator.random() < 0.8] + generator.choices("abcd", k=3)
        assert error_rates.word_edits([" ".join(hypothesis)], [" ".join(reference)])[0, 0] == slow_distance(hypothesis, reference)


def test_error_rates_are_of_the_corpus_not_means_of_sentences():
    # 1 of 1 and 1 of 9 words wrong: 2 of 10, not the mean of 100% and 11%.
    assert METRICS["wer"].score(["x", "b c d e f g h i x"], ["a", "b c d e f g h i j"], ["", ""]) == pytest.approx(20)
    assert METRICS["cer"].score(["ab", ""], ["abc", "d"], ["", ""]) == pytest.approx(50)


def test_insertions_count_where_single_references_are_empty():
    assert METRICS["wer"].score(["a b", "c"], ["a b", ""], ["", ""]) == pytest.approx(50)
    assert METRICS["wer"].score(["a b c d e"], ["a"], [""]) == pytest.approx(400)


@pytest.mark.parametrize("name", METRICS)
def test_there_is_no_score_without_reference_text(name):
    assert np.isnan(METRICS[name].score(["a b", "c"], ["", " "], ["", ""]))
    assert np.isnan(METRICS[name].score([], [], []))
    with pytest.raises(ValueError, match="2 hypotheses, 1 references, 2 languages"):
        METRICS[name].statistics(["a", "b"], ["a"], ["", ""])


def test_normalised_rates_are_rates_of_normalised_texts():
    hypotheses, references, languages = ["L’Homme dit", "Don't"], ["d'homme, dit !", "don’t you?"], ["fr", "en"]
    for name in ("wer", "cer"):
        texts = [[normalise(text, language) for text, language in zip(each, languages)] for each in (hypotheses, references)]
        expected = METRICS[name].score(*texts, ["", ""])
        assert METRICS[f"{name}_normalised"].score(hypotheses, references, languages) == expected
    # l' for d', and you is missing: the noun of the first and "don't" are right.
    assert METRICS["wer_normalised"].score(hypotheses, references, languages) == pytest.approx(100 * 2 / 5)
    assert "norm:3|apostrophe:elision[fr]+within" in METRICS["wer_normalised"].signature(languages)
    assert "norm:no" in METRICS["wer"].signature(languages)


@pytest.mark.parametrize("name", SACREBLEU)
def test_scores_equal_sacrebleus_for_one_and_for_many_sums(name):
    metric, theirs = METRICS[name], SACREBLEU[name]()
    sums, expected = [], []
    for seed in range(60):
        hypotheses, references = random_texts(seed, longest=(2, 5, 12)[seed % 3])
        if any(references):
            sums.append(metric.statistics(hypotheses, references, unknown(references)).sum(0))
            expected.append(theirs.corpus_score(hypotheses, [references]).score)
            assert metric.score(hypotheses, references, unknown(references)) == pytest.approx(expected[-1], abs=1e-9)
    assert len(set(expected)) > 30 and (name != "bleu" or 0 in expected)
    stacked = metric.formula(np.array(sums[:48]).reshape(4, 3, 4, -1))
    assert stacked.shape == (4, 3, 4) and np.allclose(stacked.ravel(), expected[:48], rtol=0, atol=1e-9)
    assert metric.signature(["de"]) == str(theirs.get_signature())


@pytest.mark.parametrize("name", SACREBLEU)
@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        ([""], ["a b"]),
        (["a"], ["a"]),
        (["a b c"], ["a b c"]),
        (["a b c d"], ["a b c d"]),
        (["x y z w v"], ["a b c d e"]),
        (["a x b y c z"], ["a b c d"]),
        (["a b c d", ""], ["a b c d", "e f g h"]),
        (["a b c d e f", "b"], ["a b c d", ""]),
    ],
)
def test_short_and_empty_texts_score_as_in_sacrebleu(name, hypotheses, references):
    score = METRICS[name].score(hypotheses, references, unknown(references))
    assert score == pytest.approx(SACREBLEU[name]().corpus_score(hypotheses, [references]).score, abs=1e-9)


def test_the_target_language_chooses_bleus_tokenizer():
    hypotheses, references = ["他说了不。", "she said no."], ["她说了不。", "She said: no."]
    chinese = sacrebleu.metrics.BLEU(trg_lang="zh")
    for code in ("zh", "zh-CN", "zho_Hans"):
        assert METRICS["bleu"].score(hypotheses[:1], references[:1], [code]) == pytest.approx(
            chinese.corpus_score(hypotheses[:1], [references[:1]]).score
        )
    assert METRICS["bleu"].signature(["zh-CN"]) == str(chinese.get_signature())
    both = METRICS["bleu"].statistics(hypotheses, references, ["zh-CN", "en"])
    apart = [METRICS["bleu"].statistics([h], [r], [language])[0] for h, r, language in zip(hypotheses, references, ("zh", ""))]
    assert (both == np.array(apart)).all()
    assert "|tok:13a+zh[zh]|" in METRICS["bleu"].signature(["zh-CN", "en", "de"])


@pytest.mark.parametrize(("language", "library"), [("ja", "MeCab"), ("ko-KR", "mecab_ko")])
def test_a_missing_tokenizer_says_what_to_install(language, library):
    if importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(ValueError, match=rf"BLEU of texts in {language[:2]}: .* pip install sacrebleu\[{language[:2]}\]"):
        METRICS["bleu"].statistics(["a"], ["a"], [language])
    with pytest.raises(ValueError, match="pip install sacrebleu"):
        check_installed(["wer", "bleu"], ["de", language])
    check_installed(["wer", "cer", "chrf", "ter"], [language])
    check_installed(METRICS, ["de", "", "yue", "th"])


def test_ter_of_a_pair_is_computed_once():
    ter.edits_of_pair.cache_clear()
    hypotheses, references = random_texts(3)
    first = METRICS["ter"].statistics(hypotheses, references, unknown(references))
    again = METRICS["ter"].statistics(hypotheses[:-1] + ["another one"], references, unknown(references))
    assert ter.edits_of_pair.cache_info().misses == len({*zip(hypotheses, references), ("another one", references[-1])})
    assert (first[:-1] == again[:-1]).all()


COMET = """
from types import SimpleNamespace
calls = []
def download_model(name):
    if name == "nobody/nothing":
        raise KeyError("Model 'nobody/nothing' not supported by COMET.")
    return f"/models/{name}/checkpoints/model.ckpt"
class Model:
    def predict(self, samples, batch_size=16, gpus=1, progress_bar=True):
        calls.append((samples, gpus))
        return SimpleNamespace(scores=[len(sample["mt"]) / 10 for sample in samples], system_score=0.0)
def load_from_checkpoint(path):
    calls.append(path)
    return Model()
"""


@pytest.fixture
def comet_package(tmp_path, monkeypatch):
    """What of unbabel-comet we call, with its interface; the model itself is a download of 2 GB."""
    (tmp_path / "comet.py").write_text(COMET)
    (tmp_path / "unbabel_comet-2.2.7.dist-info").mkdir()
    (tmp_path / "unbabel_comet-2.2.7.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: unbabel-comet\nVersion: 2.2.7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "comet", raising=False)
    yield __import__("comet")
    sys.modules.pop("comet")


def test_comet_scores_every_row_with_its_source_on_the_cpu(comet_package):
    metric = comet.metric(["ein", "zwei"])
    statistics = metric.statistics(["one", "seven"], ["one", "two"], ["en", "en"])
    assert statistics.tolist() == [[0.3, 1], [0.5, 1]] and metric.formula(statistics.sum(0)) == pytest.approx(40)
    samples = [{"src": "ein", "mt": "one", "ref": "one"}, {"src": "zwei", "mt": "seven", "ref": "two"}]
    assert comet_package.calls == ["/models/Unbabel/wmt22-comet-da/checkpoints/model.ckpt", (samples, 0)]
    metric.statistics(["one", "two"], ["one", "two"], ["en", "en"])
    assert len(comet_package.calls) == 3  # the model was loaded once
    assert metric.signature(["en"]) == "nrefs:1|model:Unbabel/wmt22-comet-da|version:unbabel-comet-2.2.7"
    with pytest.raises(ValueError, match=r"sources \(2\), but got 1 hypotheses"):
        metric.statistics(["one"], ["one"], ["en"])


def test_comets_model_can_be_a_file_and_must_be_there(comet_package, tmp_path):
    path = tmp_path / "da" / "checkpoints" / "model.ckpt"
    missing = comet.metric(["a"], str(path))
    with pytest.raises(ValueError, match="model.ckpt, which is not there"):
        missing.statistics(["a"], ["a"], [""])
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(ValueError, match="hparams.yaml, which is not there"):
        missing.statistics(["a"], ["a"], [""])
    (tmp_path / "da" / "hparams.yaml").touch()
    missing.statistics(["a"], ["a"], [""])
    assert comet_package.calls[0] == str(path)
    with pytest.raises(ValueError, match="COMET has no model nobody/nothing.*check its name"):
        comet.metric(["a"], "nobody/nothing").statistics(["a"], ["a"], [""])


def test_comet_needs_every_source(comet_package):
    with pytest.raises(ValueError, match=r"src_text is empty in 1 of 2 rows \(first: 1"):
        comet.metric(["ein", " "])


def test_comet_says_what_to_install():
    if importlib.util.find_spec("comet"):
        pytest.skip("COMET is installed")
    with pytest.raises(ValueError, match="pip install unbabel-comet;.* numpy<2"):
        comet.metric(["ein"])


# language -> (a sentence, one with other characters at the end, name of the tokenizer)
WITHOUT_BLANKS = {
    "zh-CN": ("今天的天气非常好啊", "今天的天气非常坏吗", "zh"),
    "zh-HK": ("今日天氣真係好好呀", "今日天氣真係好差咩", "zh"),
    "yue": ("今日天氣真係好好呀", "今日天氣真係好差咩", "zh"),
    "zh-yue": ("今日天氣真係好好呀", "今日天氣真係好差咩", "zh"),
    "nan": ("今仔日天氣真好啊", "今仔日天氣真歹呢", "zh"),
    "lzh": ("學而時習之不亦說乎", "學而時習之不亦樂矣", "zh"),
    "th": ("วันนี้อากาศดีมากครับ", "วันนี้อากาศร้อนมากค่ะ", "char"),
    "lo": ("ມື້ນີ້ອາກາດດີຫຼາຍ", "ມື້ນີ້ອາກາດຮ້ອນແທ້", "char"),
    "my": ("ဒီနေ့ရာသီဥတုကောင်းတယ်", "ဒီနေ့ရာသီဥတုပူလား", "char"),
    "km": ("ថ្ងៃនេះអាកាសធាតុល្អណាស់", "ថ្ងៃនេះអាកាសធាតុក្ដៅទេ", "char"),
    "bo": ("དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག", "དེ་རིང་གནམ་གཤིས་ཚ་པོ་རེད", "char"),
}


@pytest.mark.parametrize("language", WITHOUT_BLANKS)
def test_bleu_is_of_use_where_no_blanks_separate_words(language):
    reference, hypothesis, tokenizer = WITHOUT_BLANKS[language]
    bleu = METRICS["bleu"]
    assert bleu.score([reference], [reference], [language]) == pytest.approx(100)
    assert 20 < bleu.score([hypothesis], [reference], [language]) < 95
    assert f"tok:{tokenizer}|" in bleu.signature([language])
    # Mixed with a language with blanks each sentence keeps its own words.
    mixed = bleu.statistics([hypothesis, "a b c d"], [reference, "a b c e"], [language, "en"])
    assert (mixed[:1] == bleu.statistics([hypothesis], [reference], [language])).all()
    for unnamed in ("", "en"):
        with pytest.raises(ValueError, match=f"{unnamed or 'an unknown language'}, but these are written without"):
            bleu.score([hypothesis], [reference], [unnamed])


def test_names_in_other_scripts_do_not_stop_bleu():
    assert METRICS["bleu"].score(["Das heißt 你好 auf Chinesisch"], ["Das heißt 你好 auf Chinesisch"], ["de"]) == pytest.approx(100)
