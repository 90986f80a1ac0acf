"""The cache of a teacher's word probabilities: what went in comes out, killed writers lose and double nothing, other data is an error."""

import json
import shutil

import numpy as np
import pytest

from speechllm_plugin.data import teacher_cache
from speechllm_plugin.data.teacher_cache import TopKCache, TopKWriter, token_hash

LENGTHS = [4, 1, 7, 3, 2, 5]
IDS = [f"utterance {number} ü" for number in range(len(LENGTHS))]


def described(**changes):
    return {"vocabulary": "digest", "num_types": 60, "k": 3, "split": "train", "teacher": "teacher.pt", **changes}


def make_texts(num_types=60, k=3):
    """Per text its token ids (U,), top ids and top probabilities (U, k)."""
    rng, texts = np.random.default_rng(0), []
    for length in LENGTHS:
        ids = np.stack([rng.permutation(num_types)[:k] for _ in range(length)])
        probabilities = np.sort(rng.dirichlet(np.ones(k), length) * 0.9)[:, ::-1]
        texts.append((rng.integers(0, num_types, length), ids, probabilities))
    return texts


def write(folder, texts=None, **changes):
    writer = TopKWriter(folder, described(**changes))
    for text_id, text in zip(IDS, texts or make_texts()):
        writer.add(text_id, *text)
    writer.close()
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("num_types", "k", "id_bytes"), [(60, 3, 2), (65536, 3, 2), (65537, 3, 4), (9, 9, 2)])
def test_what_went_in_comes_out(tmp_path, num_types, k, id_bytes):
    texts = make_texts(num_types, k)
    write(tmp_path / "cache/train", texts, num_types=num_types, k=k)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["train"]
    assert (tmp_path / "cache/train/ids.bin").stat().st_size == sum(LENGTHS) * k * id_bytes
    rows = [5, 0, 2, 2]
    cache = TopKCache(tmp_path / "cache/train", "digest", [IDS[row] for row in rows], [texts[row][0] for row in rows])
    assert len(cache) == 4 and cache.description == described(num_types=num_types, k=k, num_utterances=len(IDS))
    for place, row in enumerate(rows):
        ids, probabilities = cache[place]
        assert (ids.dtype, probabilities.dtype) == (np.int32, np.float32) and (ids == texts[row][1]).all()
        np.testing.assert_allclose(probabilities, texts[row][2], rtol=1e-3)


def test_an_utterance_may_have_several_texts(tmp_path):
    texts, writer = make_texts(), TopKWriter(tmp_path / "train", described())
    for text in texts:
        writer.add("same", *text)
    writer.close()
    cache = TopKCache(tmp_path / "train", "digest", ["same"] * len(texts), [text[0] for text in texts])
    assert all((cache[row][0] == text[1]).all() for row, text in enumerate(texts))


@pytest.mark.parametrize("block", [1, 2, 4])
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path, monkeypatch, block):
    """Killed after any number of texts, and with each file cut at any byte of its last text."""
    monkeypatch.setattr(teacher_cache, "TEXTS_PER_BLOCK", block)
    texts, expected = make_texts(), contents(write(tmp_path / "whole"))
    for num_added in range(1, len(texts)):
        for name in ("ids.bin", "probabilities.bin", "index.tsv"):
            for cut in (0, 1, 9):
                folder = tmp_path / f"{num_added}-{name}-{cut}"
                writer = TopKWriter(folder, described())
                for text_id, text in zip(IDS[:num_added], texts):
                    writer.add(text_id, *text)
                path = folder.with_name(f".{folder.name}.part") / name
                with open(path, "r+b") as file:
                    file.truncate(max(path.stat().st_size - cut, 0))
                resumed = TopKWriter(folder, described())
                assert len(resumed.done) <= num_added // block * block and (cut or len(resumed.done) == num_added // block * block)
                for text_id, text in zip(IDS, texts):
                    if (text_id, token_hash(text[0])) not in resumed.done:
                        resumed.add(text_id, *text)
                resumed.close()
                assert contents(folder) == expected


def test_a_writer_killed_while_closing_is_closed_again(tmp_path, monkeypatch):
    expected = contents(write(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(teacher_cache.Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "train")
    assert not (tmp_path / "train").exists()
    resumed = TopKWriter(tmp_path / "train", described())
    assert len(resumed.done) == len(IDS)
    resumed.close()
    assert contents(tmp_path / "train") == expected


def test_work_that_was_begun_otherwise_is_not_gone_on_with(tmp_path):
    TopKWriter(tmp_path / "train", described()).add(IDS[0], *make_texts()[0])
    with pytest.raises(ValueError, match=r"\.train.part: was begun with teacher 'teacher.pt', but now it is 'other.pt': give"):
        TopKWriter(tmp_path / "train", described(teacher="other.pt"))
    assert not (tmp_path / "train").exists()


def test_a_finished_cache_is_not_overwritten(tmp_path):
    before = contents(write(tmp_path / "train"))
    with pytest.raises(ValueError, match="train: is there already: remove it to make it again"):
        TopKWriter(tmp_path / "train", described())
    assert contents(tmp_path / "train") == before


def open_cache(folder, vocabulary="digest", ids=IDS, texts=None):
    return TopKCache(folder, vocabulary, ids, texts or [text[0] for text in make_texts()])


def shorten(name):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])

    return change


CHANGED = [text[0] if number not in (2, 4) else text[0][:-1] for number, text in enumerate(make_texts())]


@pytest.mark.parametrize(
    ("spoil", "wanted", "message"),
    [
        (None, {"vocabulary": "other"}, r"train: its teacher \(teacher.pt\) has another target vocabulary than the data, of 60 types"),
        (None, {"texts": CHANGED}, r"lacks 2 of 6 texts, first that of utterance utterance 2 ü \(it has that id with other tokens"),
        (None, {"ids": [*IDS[:5], "new"]}, r"lacks 1 of 6 texts, first that of utterance new \(it has no such id\)"),
        (shutil.rmtree, {}, "train: no cache of a teacher's probabilities; make it with speechllm distill --word-level"),
        (shorten("ids.bin"), {}, "ids.bin: must have 132 bytes, as its index says, but has 131: make the cache again"),
        (shorten("probabilities.bin"), {}, "probabilities.bin: must have 132 bytes"),
    ],
    ids=["vocabulary", "tokens", "id", "folder", "ids", "probabilities"],
)
def test_what_does_not_belong_to_the_data_is_named(tmp_path, spoil, wanted, message):
    folder = write(tmp_path / "train")
    if spoil:
        spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        open_cache(folder, **wanted)
    assert "\n" not in str(error.value)


def test_hashes_are_of_the_ids_whatever_their_type():
    assert token_hash([1, 2, 3]) == token_hash(np.array([1, 2, 3], np.int64)) == token_hash(np.array([1, 2, 3], np.uint16))
    assert len({token_hash([1, 2]), token_hash([2, 1]), token_hash([1, 2, 0]), token_hash([258])}) == 4
    assert json.loads(json.dumps(token_hash([]))) == token_hash([]) and len(token_hash([])) == 16
