"""Each kind of model translates through CTranslate2 as it does through transformers, languages and scores included."""

import math

import numpy as np
import pytest

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation.ctranslate2_teacher import CTranslate2Teacher, Search

pytest.importorskip("ctranslate2", reason="needs the extra nllb")
torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers", reason="needs the extra nllb")
models = pytest.importorskip("pretrained_models", reason="needs the extra nllb")

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["one two three", "four", "five seven six six one", "zero two"]
NUM_TOKENS = 12
# name: how it is made, languages of the teacher, what the first source is to the model, what its translation begins with
KINDS = {
    "nllb": (models.save_nllb, {}, ["eng_Latn", "▁one", "▁two", "▁three", "</s>"], ["deu_Latn"]),
    "m2m100": (models.save_m2m100, {}, ["__en__", "▁one", "▁two", "▁three", "</s>"], ["__de__"]),
    "mbart50": (models.save_mbart50, {}, ["en_XX", "▁one", "▁two", "▁three", "</s>"], ["de_DE"]),
    "marian": (models.save_marian, {}, ["▁one", "▁two", "▁three", "</s>"], []),
    "marian_tagged": (models.save_tagged_marian, {}, [">>deu<<", "▁one", "▁two", "▁three", "</s>"], []),
    "t5": (models.save_t5, {"source_prefix": "seven "}, ["▁seven", "▁one", "▁two", "▁three", "</s>"], []),
    "madlad": (models.save_madlad, {}, ["<2de>", "▁one", "▁two", "▁three", "</s>"], []),
}


def rows(texts=TEXTS, source="en", target="de"):
    return [Utterance(f"u{index}", "a.wav", 10, "x", "", text, source, target) for index, text in enumerate(texts)]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_translations_and_scores_are_those_of_transformers(kind, tmp_path):
    make, languages, first, prefix = KINDS[kind]
    folder = make(tmp_path / kind)
    teacher = CTranslate2Teacher(str(folder), cache=tmp_path / "cache", **languages)
    sources = teacher.encode(rows())
    assert teacher.tokenizer.convert_ids_to_tokens(sources[0].ids.tolist()) == first and sources[0].prefix == prefix
    teacher.load()
    (translated,) = teacher.translate([sources], Search(beam=1, kbest=1, max_length=NUM_TOKENS, length_penalty=1.0))

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    start = {"forced_bos_token_id": teacher.tokenizer.convert_tokens_to_ids(prefix[0])} if prefix else {}
    for source, (row, [(score, text)]) in zip(sources, translated, strict=True):
        assert row is source.row
        output = model.generate(
            torch.from_numpy(source.ids[None].astype(np.int64)),
            num_beams=1,
            do_sample=False,
            min_new_tokens=len(prefix) + 1,
            max_new_tokens=len(prefix) + NUM_TOKENS,
            return_dict_in_generate=True,
            output_scores=True,
            **start,
        )
        log_probabilities = model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)[0, len(prefix) :]
        words = [token for token in teacher.tokenizer.convert_ids_to_tokens(output.sequences[0].tolist()) if token not in teacher.special]
        assert text == teacher.tokenizer.convert_tokens_to_string(words).strip()
        assert score * math.log(2) == pytest.approx(log_probabilities.mean().item(), abs=1e-4)


@pytest.mark.parametrize("kind", ["m2m100", "madlad"])
def test_every_row_is_translated_between_its_own_languages(kind, tmp_path):
    teacher = CTranslate2Teacher(str(KINDS[kind][0](tmp_path / kind)), cache=tmp_path / "cache")
    mixed = rows()[:2] + rows(source="en", target="fr")[2:]
    tokens = [teacher.tokenizer.convert_ids_to_tokens(source.ids.tolist())[0] for source in teacher.encode(mixed)]
    prefixes = [source.prefix for source in teacher.encode(mixed)]
    if kind == "m2m100":
        assert prefixes == [["__de__"]] * 2 + [["__fr__"]] * 2 and set(tokens) == {"__en__"}
    else:
        assert tokens == ["<2de>"] * 2 + ["<2fr>"] * 2 and not any(prefixes)


@pytest.mark.parametrize(
    "kind, languages, pair, message",
    [
        ("marian", {}, ("en", "fr"), "tgt_lang 'fr': the model has 'de' there"),
        ("marian", {}, ("nl", "de"), "src_lang 'nl': the model has 'en' there"),
        ("marian", {"target_code": "deu"}, ("en", "de"), "--target-code: the model has no codes of languages"),
        ("marian_tagged", {"source_code": "eng"}, ("en", "de"), "--source-code: the model takes no language of the source"),
        ("marian_tagged", {}, ("en", "fr"), "tgt_lang 'fr': .* nearest names are .*; correct the column or give --target-code NAME"),
        ("t5", {}, ("en", "de"), "--source-prefix is needed"),
        ("mbart50", {"target_code": "de"}, ("en", "de"), "--target-code: 'de' is no language of the model; its nearest names are de_DE"),
        ("m2m100", {}, ("en", "tlh"), "tgt_lang 'tlh': the language code 'tlh' is unknown to the model; its nearest names are"),
    ],
)
def test_languages_that_the_model_cannot_take_are_errors(kind, languages, pair, message, tmp_path):
    folder = KINDS[kind][0](tmp_path / kind)
    with pytest.raises(ValueError, match=message):
        CTranslate2Teacher(str(folder), cache=tmp_path / "cache", **languages).encode(rows(source=pair[0], target=pair[1]))
