"""The shipped models on human speech: talks against their given segments, and times of words against the places where the words were put."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from digits import lay_out_digits, needs_real_data

import speechllm_plugin
from speechllm_plugin.scoring.measuring import measure
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.text.normalisation import normalise

pytestmark = [pytest.mark.end_to_end, needs_real_data]
DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
SHORTEST_GAP = 800  # samples of digital silence between two words, at least


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Talk, waveform and text of each of the 200 utterances of the test set."""
    root = tmp_path_factory.mktemp("digits")
    lay_out_digits("digits-mustc", root, num_test=200)
    folder = root / "digits-mustc/en-de/data/tst-COMMON"
    places = yaml.safe_load((folder / "txt/tst-COMMON.yaml").read_text())
    spans = [(folder / "wav" / each["wav"], round(each["offset"] * 16000), round(each["duration"] * 16000)) for each in places]
    waveforms = [soundfile.read(path, start=start, frames=frames, dtype="float32")[0] for path, start, frames in spans]
    return list(zip([path for path, _, _ in spans], waveforms, (folder / "txt/tst-COMMON.en").read_text().splitlines(), strict=True))


@pytest.fixture(scope="module", params=["dfp", "xattn"])
def model(request):
    return speechllm_plugin.load(DIGITS / request.param, device="cpu")


def wer(texts, references):
    return measure([METRICS["wer_normalised"]], texts, references, ["en"] * len(texts)).score_only()["wer_normalised"]


def test_whole_talks_are_written_as_well_as_their_given_segments(model, segments):
    talks: dict = {}
    for path, _, text in segments:
        talks.setdefault(path, []).append(text)
    of_segments = wer([each.text for each in model.transcribe([waveform for _, waveform, _ in segments])], [text for _, _, text in segments])
    of_talks = wer([each.text for each in model.transcribe(list(talks))], [" ".join(texts) for texts in talks.values()])
    assert of_segments < 4 and of_talks <= of_segments + 1


def places_of_words(waveform):
    """Start and end in seconds of what is between the gaps."""
    edges = np.flatnonzero(np.diff(waveform == 0, prepend=False, append=False)).reshape(-1, 2)  # first zero and end of each stretch of them
    gaps = edges[(edges[:, 1] - edges[:, 0] >= SHORTEST_GAP) & (edges[:, 0] > 0) & (edges[:, 1] < len(waveform))]
    return np.stack([np.append(0, gaps[:, 1]), np.append(gaps[:, 0], len(waveform))], 1) / 16000


@pytest.mark.parametrize("by, limits", [("ctc", (20, 50, 15, 80)), ("attention", (150, 260, 30, 130))])
def test_words_are_where_they_were_put(model, segments, by, limits, monkeypatch):
    """Limits in ms: the median of the errors and that which 90 % are below, of starts and of ends."""
    search = model.search

    def aligned(options):
        found = search(options)
        found.align_by_ctc = by == "ctc"
        return found

    monkeypatch.setattr(model, "search", aligned)
    errors = []
    for found, (_, waveform, text) in zip(model.transcribe([waveform for _, waveform, _ in segments], word_timestamps=True), segments):
        places = places_of_words(waveform)
        if normalise(found.text, "en") == normalise(text, "en") and len(places) == len(found.words):
            errors += np.abs([(word.start, word.end) for word in found.words] - places).tolist()
    milliseconds = 1000 * np.quantile(errors, [0.5, 0.9], axis=0).T.ravel()  # start: median, 90 %; end: the same
    print(f"{len(errors)} words by {by}, ms: start {milliseconds[0]:.0f}, {milliseconds[1]:.0f}; end {milliseconds[2]:.0f}, {milliseconds[3]:.0f}")
    assert len(errors) > 400 and (milliseconds <= limits).all()
