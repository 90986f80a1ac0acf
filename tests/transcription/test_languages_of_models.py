"""A model of several languages, from its corpus to texts: each text begins with the tag that --language names, and is not printed with it."""

import json
from pathlib import Path

import pytest
from commands import MODELS, speechllm, succeeded, train
from mustc_corpus import Corpus, run

import speechllm_plugin
from speechllm_plugin.commands.cli import main
from speechllm_plugin.models.speech_to_text import DFPModel

pytestmark = pytest.mark.end_to_end
RECORDINGS = sorted((Path(__file__).resolve().parents[2] / "examples/digits/recordings").glob("*.flac"))[:3]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model folder for translation into German and French, of a training of seconds."""
    folder = tmp_path_factory.mktemp("languages")
    corpus = Corpus(folder / "mustc", ("de", "fr"))
    for talk, split in enumerate(["train", "dev", "tst-COMMON"]):
        corpus.add_talk(split, talk, [0.5, 0.8, 3.5, 0.4] * 2)
    run(corpus.write_texts(), folder / "data", sizes=("40", "26"))
    succeeded(train(folder / "data", folder / "run", model=MODELS["xattn_transformer"]))
    succeeded(speechllm("export", folder / "run/checkpoint_last.pt", folder / "model", "--data", folder / "data", cwd=folder))
    return folder / "model"


def transcribe(capsys, *arguments):
    """Status, texts and the line of an error."""
    status = main(["transcribe", *map(str, arguments), "--device", "cpu", "--format", "json"])
    captured = capsys.readouterr()
    return status, [json.loads(line)["text"] for line in captured.out.splitlines()], captured.err.rstrip().rpartition("\n")[2]


def test_texts_are_in_the_language_that_is_chosen(exported, capsys):
    hub = DFPModel.from_pretrained(str(exported), beam=5, no_repeat_ngram_size=5, unkpen=10_000)
    found = {}
    for language in ("de", "fr"):
        status, found[language], _ = transcribe(capsys, exported, *RECORDINGS, "--language", language)
        assert status == 0 and found[language] == [hub.predict(str(path), tgt_lang=language) for path in RECORDINGS]
        assert found[language] == [each.text for each in speechllm_plugin.load(exported, "cpu").transcribe(RECORDINGS, language=language)]
        assert not any("<lang:" in text for text in found[language])
    assert found["de"] != found["fr"]


@pytest.mark.parametrize(
    "language, message",
    [(["--language", "it"], "--language it: {} writes de, fr"), ([], "{} writes de, fr: choose one with --language")],
)
def test_a_language_without_a_tag_is_one_line_that_names_the_languages(exported, capsys, language, message):
    status, texts, error = transcribe(capsys, exported, *RECORDINGS, *language)
    assert (status, texts) == (1, []) and error == f"speechllm: error: {message.format(exported)}"
    with pytest.raises(ValueError, match="writes de, fr"):
        speechllm_plugin.load(exported, "cpu").transcribe(RECORDINGS, language=language[1] if language else None)
