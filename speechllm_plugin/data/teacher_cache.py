"""A cache of a teacher's most probable next tokens at every position of the target texts, in a folder per split.

    description.json      what made them: vocabulary, num_types, k, split, teacher, num_utterances
    index.tsv             a line per text: id, hash of its token ids, number of tokens
    ids.bin               (tokens of all texts, k), uint16, or int32 where the vocabulary needs it
    probabilities.bin     (tokens of all texts, k), float16

Token ids are those that training has as target: with the tag of the language, if the data has tags, and with end of sentence. The
i-th row of a text are the probabilities of its i-th token, given the tokens before it.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from speechllm_plugin.files import json_file
from speechllm_plugin.files.digests import short_digest
from speechllm_plugin.files.growing import GrowingFiles, check_description, write_description
from speechllm_plugin.text.one_line import excerpt

# description -> its type; a description may say more
REQUIRED_ENTRIES = {"vocabulary": str, "num_types": int, "k": int, "split": str, "teacher": str}
TEXTS_PER_BLOCK = 256
PROBABILITY_TYPE = np.dtype("<f2")


def token_hash(token_ids) -> str:
    """16 hexadecimal digits that tell token ids (U,) from any other."""
    return short_digest([np.asarray(token_ids, dtype="<i4").tobytes()])


def id_type(num_types: int):
    """The smallest stored type of a token id."""
    return np.dtype("<u2") if num_types <= 2**16 else np.dtype("<i4")


class TopKWriter:
    """Writes the folder of a split text by text.

    The folder appears when the writer is closed. Until then its files grow in `.NAME.part` beside it; after a killed writer, the next
    one goes on with them.

    Args:
        folder: the split's folder.
        description: REQUIRED_ENTRIES and more: `vocabulary` is TextCodec.digest() of the target vocabulary, `num_types` its size.

    Attributes:
        done: (id, token hash) of the texts that are already there.

    Raises:
        ValueError: the folder is there, or its unfinished part has another description.
    """

    def __init__(self, folder, description: dict):
        for name, kind in REQUIRED_ENTRIES.items():
            assert isinstance(description.get(name), kind), f"{name}: {description.get(name)!r}"
        assert 1 <= description["k"] <= description["num_types"]
        self.folder, self.description = Path(folder), description
        if self.folder.exists():
            raise ValueError(f"{self.folder}: is there already: remove it to make it again")
        self.part = self.folder.with_name(f".{self.folder.name}.part")
        self.types = {"ids.bin": id_type(description["num_types"]), "probabilities.bin": PROBABILITY_TYPE}
        self.done, self.waiting = set(), []
        if (self.part / "description.json").is_file():
            remedy = f"remove {self.part} to begin anew"
            begun = json_file.read_object(self.part / "description.json", REQUIRED_ENTRIES, remedy=remedy)
            begun.pop("num_utterances", None)  # it was killed while closing
            check_description(self.part, begun, self.description, "give the same, or remove that folder to begin anew")
        else:
            self.begin()
        self.files = GrowingFiles(self.num_complete_bytes())

    def begin(self):
        self.part.mkdir(parents=True, exist_ok=True)
        for name in [*self.types, "index.tsv"]:
            (self.part / name).write_bytes(b"")
        write_description(self.part / "description.json", self.description)

    def num_complete_bytes(self) -> dict[Path, int]:
        """The sizes of the files up to the last text that is complete in all of them; `done` gets all that are."""
        row_bytes = {name: kind.itemsize * self.description["k"] for name, kind in self.types.items()}
        num_rows = min((self.part / name).stat().st_size // size for name, size in row_bytes.items())
        tokens = index_bytes = 0
        for text_id, digest, length in index_lines(self.part / "index.tsv"):
            if tokens + length > num_rows:
                break
            self.done.add((text_id, digest))
            tokens, index_bytes = tokens + length, index_bytes + len(f"{text_id}\t{digest}\t{length}\n".encode())
        return {self.part / name: tokens * size for name, size in row_bytes.items()} | {self.part / "index.tsv": index_bytes}

    def add(self, text_id: str, token_ids, top_ids, top_probabilities) -> None:
        """A text's token ids (U,), and the k most probable ids and their probabilities (U, k) at every position."""
        shape = (len(token_ids), self.description["k"])
        assert np.shape(top_ids) == np.shape(top_probabilities) == shape, (np.shape(top_ids), np.shape(top_probabilities), shape)
        key = (text_id, token_hash(token_ids))
        assert key not in self.done, f"{text_id} twice"
        self.done.add(key)
        self.waiting.append((*key, np.asarray(top_ids), np.asarray(top_probabilities)))
        if len(self.waiting) == TEXTS_PER_BLOCK:
            self.flush()

    def flush(self):
        """Write what waits: the numbers first, because a line of the index promises them."""
        top_ids = b"".join(ids.astype(self.types["ids.bin"]).tobytes() for _, _, ids, _ in self.waiting)
        probabilities = b"".join(values.astype(PROBABILITY_TYPE).tobytes() for _, _, _, values in self.waiting)
        index = "".join(f"{text_id}\t{digest}\t{len(ids)}\n" for text_id, digest, ids, _ in self.waiting).encode()
        contents = {"ids.bin": top_ids, "probabilities.bin": probabilities, "index.tsv": index}
        self.files.append({self.part / name: content for name, content in contents.items()})
        self.waiting = []

    def close(self) -> None:
        """Make the folder appear. Only a folder with all its texts may be closed."""
        self.flush()
        self.files.close()
        write_description(self.part / "description.json", {**self.description, "num_utterances": len(self.done)})
        self.part.rename(self.folder)


class TopKCache:
    """A sequence of what TopKWriter wrote for some texts: (U, k) ids int32 and (U, k) probabilities float32, read when asked for.

    Args:
        folder: a split's folder.
        vocabulary: TextCodec.digest() of the vocabulary that the ids must belong to.
        text_ids, token_ids: id and (U,) token ids of every text.

    Raises:
        FileNotFoundError: there is no such folder, or it is not finished.
        ValueError: it is of another vocabulary, its files do not belong together, a text is missing, or its id is there with other tokens.
    """

    def __init__(self, folder, vocabulary: str, text_ids: Sequence[str], token_ids: Sequence[np.ndarray]):
        folder = Path(folder)
        if not (folder / "description.json").is_file():
            raise FileNotFoundError(f"{folder}: no cache of a teacher's probabilities; make it with speechllm distill --word-level")
        needed = REQUIRED_ENTRIES | {"num_utterances": int}
        self.description = json_file.read_object(folder / "description.json", needed, remedy="make the cache again")
        if self.description["vocabulary"] != vocabulary:
            raise ValueError(
                f"{folder}: its teacher ({self.description['teacher']}) has another target vocabulary than the data, of "
                f"{self.description['num_types']:,} types: make the cache with a teacher that was trained on this data"
            )
        places, num_rows = {}, 0
        for text_id, digest, length in index_lines(folder / "index.tsv"):
            places.setdefault(text_id, {})[digest] = num_rows
            num_rows += length
        self.starts = np.array([places.get(text_id, {}).get(token_hash(tokens), -1) for text_id, tokens in zip(text_ids, token_ids)])
        self.lengths = np.array([len(tokens) for tokens in token_ids])
        missing = np.flatnonzero(self.starts < 0)
        if len(missing):
            first = text_ids[missing[0]]
            why = "it has that id with other tokens: the text or its tokenizer changed" if first in places else "it has no such id"
            raise ValueError(
                f"{folder}: lacks {len(missing):,} of {len(text_ids):,} texts, first that of utterance {first} ({why}): "
                "make the cache from this data with speechllm distill --word-level"
            )
        shape = num_rows, self.description["k"]
        self.ids = memory_mapped(folder / "ids.bin", id_type(self.description["num_types"]), shape)
        self.probabilities = memory_mapped(folder / "probabilities.bin", PROBABILITY_TYPE, shape)

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(self.starts[row], self.starts[row] + self.lengths[row])
        return self.ids[rows].astype(np.int32), self.probabilities[rows].astype(np.float32)


def index_lines(path: Path) -> Iterator[tuple[str, str, int]]:
    """Id, hash and number of tokens of every text; what follows the last end of line is torn."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            text_id, digest, length = line.decode("utf-8").split("\t")
            yield text_id, digest, int(length)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: must be id, hash and number of tokens, but is {excerpt(line)}: make the cache again") from error


def memory_mapped(path: Path, kind, shape: tuple[int, int]):
    expected, actual = math.prod(shape) * kind.itemsize, path.stat().st_size
    if actual != expected:
        raise ValueError(f"{path}: must have {expected:,} bytes, as its index says, but has {actual:,}: make the cache again")
    return np.memmap(path, kind, "r", shape=shape)
