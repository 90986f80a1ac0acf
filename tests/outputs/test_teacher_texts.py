"""The output of fairseq-generate as a teacher's translations: joined by row and source text, or refused."""

import pytest
from small_teacher import make_rows

from speechllm_plugin.outputs import teacher_texts

ROWS = make_rows(6)


def printed(numbers, rows=ROWS, best=2, source=lambda text: text):
    """What fairseq-generate prints for rows in this order."""
    lines = ["some log line"]
    for number in numbers:
        lines += [f"S-{number}\t{source(rows[number].src_text)}", f"T-{number}\t{rows[number].tgt_text}"]
        for rank in range(best):
            lines += [f"{kind}-{number}\t{-number - rank / 4}\ttext {number} {rank}" for kind in "HD"] + [f"P-{number}\t-1.0 -2.0"]
    return "\n".join([*lines, "Generate train with beam=2: BLEU4 = 1.0"]) + "\n"


def expected(best=2):
    return [[(-number - rank / 4, f"text {number} {rank}") for rank in range(best)] for number in range(len(ROWS))]


def read(tmp_path, *texts, rows=ROWS, renderings=lambda text: []):
    paths = [tmp_path / f"generate-{shard}.txt" for shard, _ in enumerate(texts)]
    for path, text in zip(paths, texts):
        path.write_text(text, encoding="utf-8")
    return teacher_texts.read(paths, rows, renderings)


def test_translations_are_joined_by_row_whatever_their_order(tmp_path):
    assert read(tmp_path, printed([3, 1, 5, 0, 2, 4])) == expected()
    assert read(tmp_path, printed([3, 1], best=1), printed([5, 0, 2, 4], best=1)) == expected(best=1)


@pytest.mark.parametrize(
    "source",
    [
        lambda text: "\u2581" + text.replace(" ", " \u2581"),
        lambda text: " ".join("\u2581" + text.replace(" ", "\u2581")),
        lambda text: text.replace("s", "s@@ "),
    ],
    ids=["SentencePiece", "characters", "subword-nmt"],
)
def test_sources_are_compared_without_the_marks_of_their_pieces(source, tmp_path):
    assert read(tmp_path, printed(range(6), source=source)) == expected()


def test_sources_may_be_what_the_vocabulary_makes_of_them(tmp_path):
    def unknown(text):
        return text.replace("s1", "<unk>")

    assert any(unknown(row.src_text) != row.src_text for row in ROWS)
    assert read(tmp_path, printed(range(6), source=unknown), renderings=lambda text: [unknown(text)]) == expected()
    with pytest.raises(ValueError, match="is not the src_text of the row"):
        read(tmp_path, printed(range(6), source=unknown))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([printed(range(6), rows=make_rows(6, seed=5))], r"source of 6 of 6 translated rows is not .* the first is utterance 'utt_0'"),
        (
            [printed([*range(6), 6], rows=make_rows(7))],
            r"generate-0.txt: every hypothesis needs a row of the manifest, but 1 are beyond its 6 rows \(first: 6\)",
        ),
        ([printed([0, 1, 3, 5])], r"every row needs one decoding, but 2 of 6 have none \(first: 2 utt_2, 4 utt_4\)"),
        ([printed([*range(6), 4])], r"every row needs one decoding, but 1 of 6 have several \(first: 4 utt_4\)"),
        ([printed(range(6)), printed([1, 0])], r"2 of 6 have several \(first: 0 utt_0, 1 utt_1\); give the output of one run"),
        ([printed([0, 1, 2]), printed([3, 4, 5], best=1)], r"3 of 6 rows have fewer than 2 translations, .* 'utt_3' \(row 3\) with 1"),
        ([printed(range(6)).replace("S-", "X-")], r"no S- line; give a KD file"),
        (["nothing\n"], r"no D- line"),
        ([printed(range(6)) + "D-1\tgood\ttext\n"], r"generate-0.txt:\d+: a D- line needs row, score and text"),
        ([printed(range(6)) + "D-1\t-0.5"], r"generate-0.txt:\d+: a D- line needs row, score and text"),
        ([printed(range(6)) + "D-1\t-0.5\tte"], r"generate-0.txt:\d+: the file ends within this line"),
        ([printed(range(6)).replace("S-4", "X-4")], r"source of 1 of 6 translated rows .* 'utt_4' \(row 4\): no source was translated"),
    ],
    ids=[
        "another split",
        "beyond",
        "missing",
        "doubled",
        "doubled in shards",
        "fewer",
        "no sources",
        "no output",
        "no number",
        "cut",
        "cut text",
        "no source",
    ],
)
def test_what_does_not_belong_to_the_manifest_is_refused(texts, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, *texts)
    assert "\n" not in str(caught.value)
