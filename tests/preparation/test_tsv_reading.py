"""Own TSV files: what looks like a spreadsheet's mark is said, and whatever stands in a file becomes rows or one line of error."""

import csv
import io
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechllm_plugin.preparation.readers import own_tsv

HEADER = "audio\tsrc_text\ttgt_text"

# what is written -> what is said of it, with its line; nothing where it is text
LOOKS = {
    f'{HEADER}\na.wav\tShe said yes\t"Er sagte ""ja"""\n': [
        'train.tsv:2: tgt_text is quoted as spreadsheets do ("Er sagte ""ja"""): quotes are text'
    ],
    f'{HEADER}\na.wav\tx\ty\nb.wav\t"a ""b"" c"\t""""\nc.wav\tx\t"""no"""\n': ["train.tsv:3: src_text is quoted", "and 2 more fields"],
    f'{HEADER}\na.wav\t"Yes," she said.\t"Ja"\nb.wav\tsay "a" and "b"\t""\n': [],
    f'{HEADER}\na.wav\t5\'10""\t"a" "b"\n': [],
    "audio\tsrc_text\tTGT_TEXT\tOffset\na.wav\tx\ty\t1\n": [
        "train.tsv:1: the column 'TGT_TEXT' is carried as it is, and not read as tgt_text",
        "'Offset'",
    ],
    "audio\tsrc_text\tTgt Text\tsrc-lang\na.wav\tx\ty\ten\n": ["'Tgt Text' is carried as it is", "if it is meant, write src_lang"],
    "audio\tsrc_text\tAccent\tTEXT\na.wav\tx\tus\tt\n": [],
}


def write(folder, content):
    (folder / "train.tsv").write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


@pytest.mark.parametrize("content", LOOKS)
def test_what_looks_like_a_spreadsheets_is_said_with_its_line(tmp_path, caplog, content):
    write(tmp_path, content)
    with caplog.at_level(logging.WARNING):
        rows = own_tsv.read(tmp_path, "train", "en", "de")
    assert len(rows) == content.count("\n") - 1
    assert bool(caplog.text) == bool(LOOKS[content])
    for part in LOOKS[content]:
        assert part in caplog.text


def test_a_header_in_capitals_is_an_error_that_says_so(tmp_path):
    write(tmp_path, "AUDIO\tSRC_TEXT\na.wav\tx\n")
    with pytest.raises(ValueError, match=r"train.tsv:1: column 'audio' is missing; .* write 'AUDIO' in small letters"):
        own_tsv.read(tmp_path, "train", "en", "de")


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=12)
NAME = st.sampled_from(["audio", "src_text", "tgt_text", "offset", "duration", "id", "speaker", "src_lang", "tgt_lang", "accent", "Audio", ""])
FILES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: f"{HEADER}\n{text}".encode("utf-8", "surrogatepass")),
    st.tuples(st.lists(NAME, max_size=7), st.lists(st.lists(FIELD, max_size=7), max_size=4)).map(
        lambda table: "\n".join("\t".join(row) for row in [table[0], *table[1]]).encode()
    ),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(content=FILES)
def test_any_file_is_rows_or_one_line_of_error(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    write(folder, content)
    try:
        rows = own_tsv.read(folder, "train", None, None)
    except ValueError as error:
        assert str(error).startswith(str(folder / "train.tsv")) and len(str(error).splitlines()) == 1
    else:
        assert rows and all(row.utterance.id and row.utterance.audio for row in rows)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(table=st.lists(st.tuples(FIELD.filter(bool), FIELD, FIELD), min_size=1, max_size=5))
def test_fields_are_what_stands_between_tabs(tmp_path_factory, table):
    folder = tmp_path_factory.getbasetemp()
    content = io.StringIO()
    csv.writer(content, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n").writerows([HEADER.split("\t"), *table])
    write(folder, content.getvalue())
    rows = own_tsv.read(folder, "train", "en", "de")
    assert [(row.utterance.audio, row.utterance.src_text, row.utterance.tgt_text) for row in rows] == [
        (audio, source.strip(), target.strip()) for audio, source, target in table
    ]
