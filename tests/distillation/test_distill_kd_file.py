"""KD files: what is written is read, a run that was cut off anywhere loses and doubles nothing, damage is named."""

import json
from dataclasses import replace

import pytest
from small_teacher import make_rows

from speechllm_plugin.distillation import kd_file, teacher_output

ROWS = make_rows(5)
K = 2
HYPOTHESES = {row.id: [(-0.25 * rank - number, f"wört {number} {rank}") for rank in range(K)] for number, row in enumerate(ROWS)}


def description(rows=ROWS, **changes):
    return kd_file.describe(rows, teacher="t.pt", split="train", k=K, options={"beam": 3}) | changes


def write(path, rows=ROWS, **changes):
    with kd_file.Writer(path, description(rows, **changes)) as writer:
        for start in range(0, len(rows), 2):
            writer.write([(row, HYPOTHESES[row.id]) for row in rows[start : start + 2] if row.id not in writer.done])
    return path


def test_what_is_written_is_read(tmp_path):
    path = write(tmp_path / "kd.tsv")
    assert kd_file.read(path) == {row.id: (kd_file.source_hash(row), HYPOTHESES[row.id]) for row in ROWS}
    assert teacher_output.join(path, ROWS[::-1]) == [HYPOTHESES[row.id] for row in ROWS[::-1]]
    assert path.read_text(encoding="utf-8").split("\n")[0] == "id\tkd_source_hash\trank\tkd_score\tkd_text"


def test_a_file_cut_off_anywhere_is_completed_as_if_it_never_was(tmp_path):
    path = write(tmp_path / "kd.tsv")
    whole, header = path.read_bytes(), len("\t".join(kd_file.KD_COLUMNS)) + 1
    for length in range(header, len(whole) + 1):
        path.write_bytes(whole[:length])
        with kd_file.Writer(path, description()) as writer:
            complete = whole[:length].count(b"\n") - 1
            assert writer.done == {row.id for row in ROWS[: complete // K]}
            writer.write([(row, HYPOTHESES[row.id]) for row in ROWS if row.id not in writer.done])
        assert path.read_bytes() == whole


@pytest.mark.parametrize(("name", "value"), [("k", 3), ("teacher", "other"), ("options", {"beam": 4}), ("manifest", "0")])
def test_another_teacher_or_manifest_does_not_go_on(name, value, tmp_path):
    path = write(tmp_path / "kd.tsv")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"kd.tsv: was begun with {name} "):
        kd_file.Writer(path, description(**{name: value}))
    assert path.read_bytes() == before


def test_a_finished_file_that_changed_is_refused_unless_its_mark_is_removed(tmp_path):
    path = write(tmp_path / "kd.tsv")
    path.write_bytes(path.read_bytes().replace(b"3 0", b"3 8", 1))
    message = "kd.tsv: is not what was written: its checksum is another; remove it to translate again, or, if you edited it, 'finished' from .*json"
    for use in (lambda: kd_file.read(path), lambda: kd_file.Writer(path, description())):
        with pytest.raises(ValueError, match=message):
            use()
    described = json.loads(kd_file.description_path(path).read_text())
    del described["finished"]
    kd_file.description_path(path).write_text(json.dumps(described))
    assert len(kd_file.read(path)) == len(ROWS)


def test_texts_stay_in_their_row(tmp_path):
    with kd_file.Writer(tmp_path / "kd.tsv", description(ROWS[:1])) as writer:
        writer.write([(ROWS[0], [(-1, " a\tb\nc\u2028d\r "), (-2, "")])])
    assert kd_file.read(tmp_path / "kd.tsv")[ROWS[0].id][1] == [(-1, "a b c d"), (-2, "")]


def test_hashes_differ_with_text_and_languages():
    changed = [ROWS[0], *(replace(ROWS[0], **{name: "x"}) for name in ("src_text", "src_lang", "tgt_lang"))]
    hashes = {kd_file.source_hash(row) for row in changed}
    assert len(hashes) == 4 and all(len(digest) == 16 for digest in hashes)
    assert kd_file.source_hash(ROWS[0]) == kd_file.source_hash(replace(ROWS[0], id="other", tgt_text="other"))


def damaged(path, edit):
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(edit(lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines[:7] + [""], r"must have 2 hypotheses of each of 5 utterances, but has them of 3: run"),
        (lambda lines: lines[:6] + [""], r"but has them of 2, the first that lacks some is 'utt_2'"),
        (lambda lines: lines[:3] + lines[1:], r"kd.tsv:4: utterance 'utt_0' must have the ranks 1 to 2 .* after 2 of them comes rank 1"),
        (lambda lines: lines[:-1] + lines[1:3] + [""], r"kd.tsv:12: utterance 'utt_0'"),
        (
            lambda lines: [lines[0].replace("rank", "place"), *lines[1:]],
            r"kd.tsv:1: column 'rank' is missing; the header must have id kd_source_hash rank kd_score kd_text",
        ),
        (lambda lines: [lines[0], lines[1] + "\tmore", *lines[2:]], r"kd.tsv:2: the row must have 5 fields as the header has, but has 6"),
        (
            lambda lines: [lines[0], lines[1].replace("-0.000000", "high").replace("0.000000", "high"), *lines[2:]],
            r"kd.tsv:2: rank and kd_score must be numbers, but are '1' and '-?high'",
        ),
    ],
    ids=["unfinished", "fewer", "doubled", "doubled at the end", "header", "fields", "score"],
)
def test_a_damaged_file_is_named_with_its_line(edit, message, tmp_path):
    path = damaged(write(tmp_path / "kd.tsv"), edit)
    with pytest.raises(ValueError, match=message) as caught:
        kd_file.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_without_its_description_is_refused(tmp_path):
    path = write(tmp_path / "kd.tsv")
    described = kd_file.description_path(path)
    described.write_text(json.dumps({"teacher": "t"}))
    with pytest.raises(ValueError, match="split must be of type str, but is missing"):
        kd_file.read(path)
    described.unlink()
    with pytest.raises(FileNotFoundError, match="kd.tsv.json: missing"):
        kd_file.read(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:3], r"\(translations of split train\): 2 of 5 utterances are not in the manifest, the first is 'utt_3'"),
        (make_rows(7), r"2 of 7 utterances have no translation, the first is 'utt_5'"),
        (ROWS[:1] + make_rows(5, seed=9)[1:], r"4 of 5 utterances have another source text .* the first is 'utt_1'"),
    ],
    ids=["fewer rows", "more rows", "changed rows"],
)
def test_translations_of_another_split_or_manifest_are_refused(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        teacher_output.join(write(tmp_path / "kd.tsv"), rows)
