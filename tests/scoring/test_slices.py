"""Slices of a test set: which rows they hold, which values stand in which order, and what is left out and why."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.scoring import slices
from speechllm_plugin.scoring.slices import DIMENSIONS, Context, FactsMissing, left_out, slices_of
from speechllm_plugin.scoring.speakers import join_speakers, nativeness, read_native


def utterance(number, **values):
    return Utterance(f"utt{number}", f"{number}.wav", **{"n_frames": 300, "tgt_text": "ein Satz", "extra": {}} | values)


def random_context(seed=0, num_rows=60):
    rng = random.Random(seed)
    words = "the a cat dog Kowalczyk said nothing".split()
    utterances = [
        utterance(
            number,
            n_frames=rng.choice((1, 199, 200, 499, 500, 1000, 1999, 2000, 3000)),
            tgt_text=" ".join(rng.choices(words, k=rng.choice((0, 1, 5, 6, 10, 11, 20, 21, 40, 41)))),
            src_text=" ".join(rng.choices(words, k=rng.randint(0, 30))),
            speaker=f"spk.{rng.randrange(12)}",
            src_lang=rng.choice(("ca", "en")),
            tgt_lang=rng.choice(("de", "fr")),
            extra={
                "accent": rng.choice(("us", "England English", "other: Greek", "indian", "", "of the Moon")),
                "gender": rng.choice(("female", "male", "")),
                "age": rng.choice(("sixties", "teens", "thirties")),
                "take": str(rng.randrange(12)),
            },
        )
        for number in range(num_rows)
    ]
    rates = np.array([rng.choice((np.nan, 1.0, 2.5, 3.004, 7.0)) for _ in utterances])
    counts = Counter({"the": 5, "a": 2, "cat": 1, "dog": 1, "said": 9, "nothing": 1})
    return Context(utterances, counts, counts, rates)


def values_of(context, name):
    return {piece.value: np.flatnonzero(piece.rows).tolist() for piece in slices_of(context, [name])}


@pytest.mark.parametrize("name", [*DIMENSIONS, "take", "n_frames", "tgt_text"])
def test_every_row_is_in_one_slice_of_a_dimension(name):
    context = random_context()
    pieces = slices_of(context, [name])
    assert all(piece.dimension == name and piece.rows.shape == (60,) and piece.rows.dtype == bool for piece in pieces)
    np.testing.assert_array_equal(sum(piece.rows.astype(int) for piece in pieces), np.ones(60))
    assert len({piece.value for piece in pieces}) == len(pieces)


def test_no_names_are_all_dimensions_in_the_order_of_the_table():
    assert list(dict.fromkeys(piece.dimension for piece in slices_of(random_context()))) == list(DIMENSIONS)
    assert left_out(random_context()) == {}
    named = [piece.dimension for piece in slices_of(random_context(), ["gender", "accent", "gender"])]
    assert list(dict.fromkeys(named)) == ["gender", "accent"] and named.count("gender") == 3


def test_bounds_belong_to_the_bin_above_and_empty_bins_are_there():
    context = Context([utterance(row, n_frames=frames) for row, frames in enumerate((1, 199, 200, 499, 500, 1999, 2000))])
    assert values_of(context, "duration") == {"< 2 s": [0, 1], "2-5 s": [2, 3], "5-10 s": [4], "10-20 s": [5], ">= 20 s": [6]}
    assert list(values_of(Context([]), "duration").values()) == [[]] * 5
    texts = ["", "!", "a", "a " * 5, "a, a - a a a a.", "a " * 41]
    assert values_of(Context([utterance(row, tgt_text=text) for row, text in enumerate(texts)]), "text_length") == {
        "1-5 words": [2, 3],
        "6-10 words": [4],
        "11-20 words": [],
        "21-40 words": [],
        ">= 41 words": [5],
        "(empty)": [0, 1],
    }


@pytest.mark.parametrize("seed", range(4))
def test_rates_are_in_thirds_by_the_bounds_that_the_values_show(seed):
    context = random_context(seed)
    seconds = np.array([each.n_frames for each in context.utterances]) / 100
    words = np.array([len(each.src_text.split()) for each in context.utterances])
    for name, unit, rates in (
        ("speaking_rate", "words/s", np.where(words > 0, words / seconds, np.nan)),
        ("compression_rate", "x", context.compression_rates),
    ):
        pieces = values_of(context, name)
        assert pieces.pop("(empty)", []) == np.flatnonzero(np.isnan(rates)).tolist()
        for value, rows in pieces.items():
            low, _, high = value.removesuffix(f" {unit}").partition("-")
            low, high = {"<": (0, low[2:]), ">": (low[3:], np.inf)}.get(low[0], (low, high))
            assert np.flatnonzero((rates >= float(low)) & (rates < float(high))).tolist() == rows
    sizes = [len(rows) for value, rows in values_of(replace(context, compression_rates=np.arange(60.0)), "compression_rate").items()]
    assert sizes == [20, 20, 20]


def test_equal_rates_are_fewer_bins():
    context = Context([utterance(row) for row in range(3)], compression_rates=np.full(3, 4.0))
    assert values_of(context, "compression_rate") == {"< 4.00 x": [], ">= 4.00 x": [0, 1, 2]}


def test_values_stand_in_the_order_of_people():
    context = random_context()
    assert list(values_of(context, "take")) == [str(number) for number in range(12)]
    assert list(values_of(context, "age")) == ["teens", "thirties", "sixties"]
    assert list(values_of(context, "gender")) == ["female", "male", "(empty)"]
    assert list(values_of(context, "native")) == ["native", "non-native", "unclear", "(unknown)", "(empty)"]
    named = [utterance(row, speaker=speaker) for row, speaker in enumerate(("b", "A", "nan", "10", "2", ""))]
    assert list(values_of(Context(named), "speaker")) == ["10", "2", "A", "b", "nan", "(empty)"]


def test_unseen_words_are_those_of_the_transcript_or_the_reference_that_training_lacks():
    rows = [utterance(0, src_text="The cat.", tgt_text="die Katze"), utterance(1, src_text="A Kowalczyk", tgt_text="die"), utterance(2, tgt_text="")]
    context = Context(rows, Counter({"the": 2, "cat": 1, "a": 3}), Counter({"die": 1}))
    assert values_of(context, "unseen_in_transcript") == {"none": [0], "1 or more": [1], "(empty)": [2]}
    assert values_of(context, "unseen_in_target") == {"none": [1], "1 or more": [0], "(empty)": [2]}


def test_the_target_of_recognition_is_its_transcript():
    same = Context([utterance(0, src_lang="en", tgt_lang="en", tgt_text="the cat")], transcript_counts=Counter(the=1))
    assert values_of(same, "unseen_in_transcript") == {"none": [], "1 or more": [0]}
    other = Context([utterance(0, src_lang="en", tgt_lang="de", tgt_text="die Katze")], transcript_counts=Counter(the=1))
    assert left_out(other)["unseen_in_transcript"].startswith("unseen_in_transcript needs transcripts")


def test_a_dimension_with_one_value_divides_nothing_and_is_left_out():
    """Also one with bins: the others are empty."""
    context = Context([utterance(number, n_frames=150, tgt_text="two words") for number in range(5)])
    reasons = left_out(context)
    assert reasons["duration"] == "all rows have the same value, < 2 s" and reasons["text_length"] == "all rows have the same value, 1-5 words"
    assert {each.value: int(each.rows.sum()) for each in slices_of(context, ["duration"])} == {
        "< 2 s": 5,
        "2-5 s": 0,
        "5-10 s": 0,
        "10-20 s": 0,
        ">= 20 s": 0,
    }


def test_what_is_left_out_says_why_and_is_there_when_named():
    context = Context([utterance(row, speaker=f"s{row}", tgt_lang="de", extra={"accent": "", "gender": "male"}) for row in range(40)])
    reasons = left_out(context)
    assert not {piece.dimension for piece in slices_of(context)} & set(reasons)
    assert {*reasons, *(piece.dimension for piece in slices_of(context))} == set(DIMENSIONS)
    assert reasons["accent"] == "no row has a value of accent" and reasons["native"] == "no row has a value of native"
    assert reasons["gender"] == reasons["tgt_lang"].replace("de", "male") == "all rows have the same value, male"
    assert reasons["speaker"] == f"it has 40 values, more than {slices.MAX_VALUES_BY_DEFAULT}; name it to see them all"
    assert "column age" in reasons["age"] and "ctc-compression" in reasons["compression_rate"]
    assert len(slices_of(context, ["speaker"])) == 40 and values_of(context, "gender") == {"male": list(range(40))}
    for name in ("age", "compression_rate", "unseen_in_target", "speaking_rate"):
        with pytest.raises(FactsMissing, match=f"{name} needs") as raised:
            slices_of(context, [name])
        assert str(raised.value) == reasons[name]


def test_native_needs_accents():
    with pytest.raises(ValueError, match="native needs a column accent"):
        slices_of(Context([utterance(0)]), ["native"])


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="'dialect'") as raised:
        slices_of(random_context(), ["accent", "dialect"])
    assert all(name in str(raised.value) for name in (*DIMENSIONS, *UTTERANCE_COLUMNS, "take"))
    with pytest.raises(ValueError, match="one compression rate for each of 1 rows"):
        Context([utterance(0)], compression_rates=np.ones(2))


def test_a_thousand_speakers_are_sliced_when_asked_for():
    context = Context([utterance(row, speaker=str(row % 1000)) for row in range(2587)])
    pieces = slices_of(context, ["speaker"])
    assert [piece.value for piece in pieces] == [str(number) for number in range(1000)]
    assert sum(piece.rows.sum() for piece in pieces) == 2587


@pytest.mark.parametrize(
    "accent, language, group",
    [
        ("us", "en", "native"),
        ("ENGLAND  english", "", "native"),
        ("India and South Asia (India, Pakistan, Sri Lanka)", "en", "unclear"),
        ("southatlandtic", "en", "native"),
        ("en-GB-x-rp", "en", "native"),
        ("en-029", "en", "native"),
        ("other: Belgian French", "en", "non-native"),
        ("other", "en", "unclear"),
        ("United States English,Midwestern", "en", "native"),
        ("United States English|England English", "en", "native"),
        ("United States English; other: Greek", "en", "unclear"),
        ("West Indies and Bermuda (Bahamas, Bermuda, Jamaica, Trinidad),Scottish English", "en", "native"),
        ("German English,Non native speaker", "en", "non-native"),
        ("germany", "de", "native"),
        ("germany", "fr", "non-native"),
        ("germany", "en", None),
        ("of the Moon", "en", None),
    ],
)
def test_the_default_table_of_native_accents(accent, language, group):
    assert nativeness(accent, read_native(), language) == group


@pytest.mark.parametrize(
    "text, message",
    [
        ("native: [us\n", "not readable as YAML"),
        ("- us\n", "must have the keys native, non-native, unclear"),
        ("native: [us]\nforeign: [x]\n", "must be one of native, non-native, unclear, but is 'foreign'"),
        ("native: us\n", "native must be a list"),
        ("native: [no]\n", "native must list accents as text, but has False"),
        ("native: [us, Wales]\nnon-native: [wales]\n", "'wales' is in native and non-native"),
        ("native: [us]\nnative: [wales]\n", "'native' stands twice"),
        ("native: [caf\xe9]\n".encode("latin-1"), "must be UTF-8"),
        ("", "must have the keys"),
    ],
)
def test_a_wrong_table_of_accents_is_refused(tmp_path, text, message):
    path = tmp_path / "native.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as raised:
        read_native(path)
    assert str(raised.value).startswith(str(path))


def test_an_own_table_replaces_the_default(tmp_path):
    (tmp_path / "native.yaml").write_text('native: ["*-local"]\nnon-native:\n', encoding="utf-8")
    rows = [utterance(row, extra={"accent": accent}) for row, accent in enumerate(("us", "x-Local"))]
    context = Context(rows, native=read_native(tmp_path / "native.yaml"))
    assert values_of(context, "native") == {"native": [1], "non-native": [], "(unknown)": [0]}
    with pytest.raises(FileNotFoundError, match="no such table of accents"):
        read_native(tmp_path / "absent.yaml")


def write_table(path, *rows):
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
    return path


def test_speakers_bring_their_attributes(tmp_path):
    table = write_table(tmp_path / "speakers.tsv", ("accent", "speaker", "born"), ("us", "a", "1970"), ("", "b", "1980"), ("x", "c", ""))
    rows = [utterance(0, speaker="b", extra={"take": "3"}), utterance(1, speaker="a", extra={"take": "4"})]
    joined = join_speakers(rows, table)
    assert [each.extra for each in joined] == [{"take": "3", "accent": "", "born": "1980"}, {"take": "4", "accent": "us", "born": "1970"}]
    assert [replace(each, extra={}) for each in joined] == [replace(each, extra={}) for each in rows] and rows[0].extra == {"take": "3"}
    assert values_of(Context(joined), "native") == {"native": [1], "non-native": [], "(empty)": [0]}


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("speaker", "accent"), ("a", "us")], r"lacks 6 \(first: b0, b1, b2, b3, b4\)"),
        ([("name", "accent"), ("a", "us")], "column 'speaker' is missing"),
        ([("speaker", "accent"), ("a", "us"), ("a", "us")], r"speakers.tsv:3: .* 'a' also has .*speakers.tsv:2"),
        ([("speaker", "take"), ("a", "us")], "column 'take' also stands in the manifest"),
        ([("speaker", "tgt_lang"), ("a", "us")], "column 'tgt_lang' also stands in the manifest"),
        ([("speaker",), ("a",)], "must have columns beside speaker"),
        ([("speaker", "accent")], "must have a row for each speaker"),
        ([("speaker", "accent"), ("a",)], "must have 2 fields"),
    ],
)
def test_a_wrong_table_of_speakers_is_refused(tmp_path, rows, message):
    table = write_table(tmp_path / "speakers.tsv", *rows)
    utterances = [utterance(row, speaker=speaker, extra={"take": "1"}) for row, speaker in enumerate(["a", *(f"b{n}" for n in range(6))])]
    with pytest.raises(ValueError, match=message):
        join_speakers(utterances, table)


def test_an_absent_or_unreadable_table_of_speakers_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such table of speakers"):
        join_speakers([utterance(0)], tmp_path / "absent.tsv")
    (tmp_path / "speakers.tsv").write_bytes("speaker\taccent\na\tQu\xe9b\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be UTF-8"):
        join_speakers([utterance(0)], tmp_path / "speakers.tsv")
