"""`--check` tells what a corpus has, from its texts and folders alone, and leaves no trace."""

import pytest
from covost_corpus import CommonVoice
from mustc_corpus import run, small_corpus
from prepare_command import prepare


def table(output):
    """Manifest -> its cells."""
    lines = output[output.index("manifest ") :].splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1:-1]}


@pytest.mark.parametrize("task, manifests", [("st", ["train", "dev", "tst-COMMON"]), ("joint", ["train", "dev", "tst-COMMON", "tst-COMMON_asr"])])
def test_rows_and_hours_are_counted_and_no_audio_is_read(tmp_path, capsys, task, manifests):
    corpus = small_corpus(tmp_path / "mustc")
    for segments in corpus.segments.values():
        for segment in segments:
            segment["duration"] *= 1000
    corpus.write_texts()
    for wav in corpus.root.rglob("*.wav"):
        wav.write_text("no audio")
    before = sorted(tmp_path.rglob("*"))
    run_check = ["--task", task, "--source-lang", "en", "--target-lang", "de", "--check"]
    prepare("mustc", corpus.root, tmp_path / "out", *run_check)
    assert sorted(tmp_path.rglob("*")) == before
    counted = table(capsys.readouterr().out)
    assert list(counted) == manifests
    for name, (rows, hours, left_out) in counted.items():
        segments = corpus.segments[name.removesuffix("_asr")] * (2 if (task, name) == ("joint", "dev") else 1)
        assert (int(rows), left_out) == (len(segments), "0")
        assert float(hours) == pytest.approx(sum(segment["duration"] for segment in segments) / 3600, abs=0.0051)
    next(corpus.root.rglob("ted_4.wav")).unlink()
    with pytest.raises(ValueError, match="1 of 4 audio files are not there: en-de/data/tst-COMMON/wav/ted_4.wav"):
        prepare("mustc", corpus.root, tmp_path / "out", *run_check)


def test_hours_are_open_where_the_corpus_states_none_and_what_it_lacks_is_counted(tmp_path, capsys):
    corpus = CommonVoice(tmp_path / "cv", "de", ("en",), ["train", "train", "dev", "test", "test", "test"], lambda number: ("eins", "one"))
    del corpus.voices[4]
    corpus.write()
    before = sorted(tmp_path.rglob("*"))
    prepare("covost2", corpus.root, tmp_path / "out", "--task", "st", "--source-lang", "de", "--target-lang", "en", "--check")
    assert sorted(tmp_path.rglob("*")) == before
    output = capsys.readouterr().out
    assert table(output) == {"train": ["2", "-", "0"], "dev": ["1", "-", "0"], "test": ["2", "-", "1"]}
    assert "test: left out 1 of 3 rows" in output and "common_voice_de_4.mp3" in output


def test_a_finished_folder_stays_as_it_is(tmp_path, capsys):
    corpus = small_corpus(tmp_path / "mustc")
    run(corpus, tmp_path / "out")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    run(corpus, tmp_path / "out", "--check")
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
