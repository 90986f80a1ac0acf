"""Blocks of a manifest hold what manifest.read finds, and end in its errors."""

from array import array

import pytest

from speechllm_plugin.data import manifest, manifest_blocks
from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS
from speechllm_plugin.data.manifest_blocks import ManifestBlocks

HEADER = "id\taudio\tn_frames\ttgt_text\tkd_text"
MANIFESTS = {
    "plain": [HEADER, *(f"u{row}\ta.zip:{row}:9\t{row + 1}\tWört {row}\t\u2028 x\x0b\x85 \u00a0" for row in range(23))],
    "one row": [HEADER, "u\ta.wav\t7\t\t"],
    "empty lines": [HEADER, "", "u\ta.wav\t7\tone\t", "", "", "v\tb.wav\t8\ttwo\t", ""],
    "other columns": ["tgt_text\tsrc_lang\tid\tn_frames\taudio", "one\ten\tu\t7\ta.wav", "two\tde\tv\t007\tb.wav"],
}
BROKEN = {
    "header only": [HEADER],
    "nothing": [],
    "column missing": ["id\taudio\ttgt_text", "u\ta.wav\tone"],
    "column twice": ["id\tid\taudio\tn_frames\ttgt_text", "u\tu\ta.wav\t3\tone"],
    "field missing": [HEADER, "u\ta.wav\t7\tone\t", "v\ta.wav\t7\tone"],
    "field too many": [HEADER, "u\ta.wav\t7\tone\t\tx"],
    "too many frames": [HEADER, "u\ta.wav\t7\tone\t", "v\ta.wav\t10000000001\tone\t"],
    "no frames": [HEADER, "u\ta.wav\t7\tone\t", "v\ta.wav\t00\tone\t"],
    "no number": [HEADER, "u\ta.wav\t-7\tone\t"],
    "other digits": [HEADER, "u\ta.wav\t٧\tone\t"],
    "id twice": [HEADER, *(f"{name}\ta.wav\t7\tone\t" for name in "uvwxyzu")],
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(manifest_blocks, "LINES_PER_BLOCK", 5)
    monkeypatch.setattr(manifest_blocks, "BYTES_AT_ONCE", 16)


def read(path):
    """The rows of all blocks, as (name of column -> value), and the number of blocks."""
    blocks, hashes, rows = ManifestBlocks(path), array("q"), []
    for columns in blocks:
        hashes.extend(map(hash, columns["id"]))
        rows += [dict(zip(columns, values)) for values in zip(*columns.values())]
    blocks.check_ids(hashes)
    return rows, len(blocks)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("last_line_end", [True, False])
@pytest.mark.parametrize("name", MANIFESTS)
def test_blocks_hold_the_rows(tmp_path, name, line_end, last_line_end):
    path = tmp_path / "train.tsv"
    path.write_text(line_end.join(MANIFESTS[name]) + line_end * last_line_end, encoding="utf-8", newline="")
    rows, num_blocks = read(path)
    expected = [{column: str(getattr(row, column)) for column in UTTERANCE_COLUMNS} | row.extra for row in manifest.read(path)]
    assert [row | {"n_frames": str(int(row["n_frames"]))} for row in rows] == expected
    assert num_blocks == 5 or name != "plain"


@pytest.mark.parametrize("name", BROKEN)
def test_errors_are_those_of_read(tmp_path, name):
    path = tmp_path / "train.tsv"
    path.write_text("".join(line + "\n" for line in BROKEN[name]), encoding="utf-8")
    with pytest.raises(ValueError) as expected:
        manifest.read(path)
    with pytest.raises(ValueError) as actual:
        read(path)
    assert str(actual.value) == str(expected.value)


def test_a_manifest_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(f"{HEADER}\nu\ta.wav\t7\t".encode() + b"\xff\t\n")
    with pytest.raises(ValueError, match="train.tsv: must be UTF-8"):
        read(path)
    path.write_text(HEADER + "\ru\ta.wav\t7\tone\t\r", newline="")
    with pytest.raises(ValueError, match="train.tsv:1: lines must end with a line feed, but end with a carriage return alone"):
        read(path)
    with pytest.raises(FileNotFoundError, match="nowhere.tsv: no such manifest; make it with speechllm prepare"):
        read(tmp_path / "nowhere.tsv")
