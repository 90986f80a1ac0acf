"""The corpora that `speechllm prepare` knows, and what each task makes of their rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.readers import covost2, fillets, mustc, own_tsv, tuxpaint
from speechllm_plugin.text.progress import with_progress

TRAIN_SPLIT = "train"
VALIDATION_SPLIT = "dev"
TASKS = ("asr", "st", "joint")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: how its files are read, and what counts where no flag says otherwise.

    title: its name in tables.
    read: read(root, split, source_lang, target_lang) -> rows; src_text is the transcript, tgt_text the translation.
    layout: what its root holds, for messages and help texts, e.g. en-de/data.
    directions: directions(root) -> (source, target) of everything that is there, sorted; None where the folder does not say them.
    texts: texts(root, source_lang, target_lang) -> rows of training without recording, for a text model; None where there are none.
    splits: what is prepared.
    test_split: what experiments are scored on.
    vocab_sizes: pieces of the target vocabulary by task.
    multilingual_vocab_size: pieces of a target vocabulary for several languages.
    transcript_vocab_size: pieces of the transcript vocabulary.
    training_file: file of recipes/training that experiments use.
    into: the one language that experiments translate into, so that a task's LANGUAGES are those of the speech; None: they are those of the text.
    study_tasks: what recipes/study.sh trains where --tasks is not given.
    rows_name_languages: the languages stand in the rows; the flags may be left out.
    """

    title: str
    read: Callable[..., list[CorpusRow]]
    layout: str
    directions: Callable[[Any], list[tuple[str, str]]] | None = None
    texts: Callable[..., list[CorpusRow]] | None = None
    splits: tuple[str, ...]
    test_split: str
    vocab_sizes: Mapping[str, int]
    multilingual_vocab_size: int
    transcript_vocab_size: int
    training_file: str = "paper.sh"
    into: str | None = None
    study_tasks: tuple[str, ...] = ("asr", "st-multi")
    rows_name_languages: bool = False

    def recognises(self, root: str | Path) -> bool:
        """Whether a folder is laid out as this corpus; never where the folder does not say its directions."""
        return self.directions is not None and bool(self.directions(root))


# The sizes are the paper's, as far as it has the task.
MUSTC_SIZES: dict[str, Any] = {
    "vocab_sizes": {"asr": 5000, "st": 8000, "joint": 8000},
    "multilingual_vocab_size": 32000,
    "transcript_vocab_size": 5000,
}
COVOST2_SIZES: dict[str, Any] = {
    "vocab_sizes": {"asr": 32000, "st": 5000, "joint": 32000},
    "multilingual_vocab_size": 32000,
    "transcript_vocab_size": 32000,
}
# An hour and a half of speech: 1,500 short texts.
GAME_SIZES: dict[str, Any] = {
    "vocab_sizes": {"asr": 150, "st": 500, "joint": 800},
    "multilingual_vocab_size": 2000,
    "transcript_vocab_size": 150,
}
CORPORA = {
    "mustc": Corpus(
        title="MuST-C",
        read=mustc.read,
        layout="en-de/data",
        directions=mustc.directions,
        splits=("train", "dev", "tst-COMMON"),
        test_split="tst-COMMON",
        study_tasks=("asr", "st-es", "st-de", "st-multi"),
        **MUSTC_SIZES,
    ),
    "covost2": Corpus(
        title="CoVoST2",
        read=covost2.read,
        layout="de/covost_v2.de_en.tsv",
        directions=covost2.directions,
        splits=("train", "dev", "test"),
        test_split="test",
        training_file="paper_covost2.sh",
        into="en",
        **COVOST2_SIZES,
    ),
    "fillets": Corpus(
        title="Fish Fillets",
        read=fillets.read,
        texts=fillets.texts,
        layout=f"{fillets.GAME}/script",
        directions=fillets.directions,
        splits=("train", "dev", "test"),
        test_split="test",
        training_file="fillets.sh",
        into="en",
        study_tasks=("asr-cs", "asr-nl", "st-cs", "st-nl"),
        **GAME_SIZES,
    ),
    "tuxpaint": Corpus(
        title="Tux Paint",
        read=tuxpaint.read,
        layout=tuxpaint.STAMPS,
        directions=tuxpaint.directions,
        splits=("train", "dev", "test"),
        test_split="test",
        training_file="fillets.sh",
        into="en",
        study_tasks=("st-multi",),
        vocab_sizes={"asr": 1000, "st": 500, "joint": 1500},
        multilingual_vocab_size=2000,
        transcript_vocab_size=1000,
    ),
    "tsv": Corpus(
        title="own corpus",
        read=own_tsv.read,
        layout="train.tsv",
        splits=("train", "dev", "test"),
        test_split="test",
        rows_name_languages=True,
        **MUSTC_SIZES,
    ),
}


def language_pairs(name: str, task: str, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Source and target language of every part of a corpus to read.

    Raises:
        ValueError: a language is missing, or there are too many for the task or the corpus.
    """
    sources, targets = list(dict.fromkeys(sources)), list(dict.fromkeys(targets))
    if CORPORA[name].rows_name_languages:
        for flag, languages in (("--source-lang", sources), ("--target-lang", targets)):
            if len(languages) > 1:
                raise ValueError(f"{flag} must be one language at most for {name}, but is {' '.join(languages)}: name each row's in its columns")
        return [(next(iter(sources), None), next(iter(targets), None))]
    for flag, languages in (("--source-lang", sources), ("--target-lang", targets)):
        if not languages:
            raise ValueError(f"{flag} is needed for {name}: give it the language or languages, e.g. {flag} en")
    pairs: list[tuple[str | None, str | None]] = [(source, target) for source in sources for target in targets if source != target]
    if not pairs:
        raise ValueError(f"--target-lang must differ from --source-lang, but both are {sources[0]}")
    for source in sources:
        others = [target for target in targets if target != source]
        if task == "asr" and len(others) > 1:
            raise ValueError(
                f"--target-lang must be one language for asr, as all pairs with {source} have the same speech and transcripts, "
                f"but is {' '.join(others)}"
            )
    return pairs


def read(name: str, root: str | Path, splits: Sequence[str], pairs: Sequence[tuple]) -> dict[str, list[CorpusRow]]:
    """The rows of every split, pair of languages after pair; with several pairs their ids start with the pair, as in en-de_ID."""
    contents: dict[str, list[CorpusRow]] = {split: [] for split in splits}
    parts = [(split, pair) for split in splits for pair in pairs]
    for split, pair in with_progress(parts, "texts", "file"):
        contents[split] += with_pair(CORPORA[name].read(root, split, *pair), pair if len(pairs) > 1 else None)
    return contents


def with_pair(rows: list[CorpusRow], pair: tuple | None) -> list[CorpusRow]:
    """The rows, with ids that start with a pair of languages; as they are without one."""
    return rows if pair is None else [_with(row, id=f"{'-'.join(pair)}_{row.utterance.id}") for row in rows]


def manifests(task: str, split: str, rows: Sequence[CorpusRow]) -> dict[str, Sequence[CorpusRow]]:
    """The rows of each manifest of a split.

    asr: the target is the transcript.
    joint: in training, an utterance stands once, as training draws between translation and transcript. In validation it stands as both.
        A test split has one manifest for each.
    """
    if task == "st" or (task == "joint" and split == TRAIN_SPLIT):
        return {split: rows}
    if task == "asr":
        return {split: [_with_transcript_as_target(row, row.utterance.id) for row in rows]}
    asr_rows = [_with_transcript_as_target(row, f"{row.utterance.id}_asr") for row in rows]
    if split == VALIDATION_SPLIT:
        return {split: [*rows, *asr_rows]}
    return {split: rows, f"{split}_asr": asr_rows}


def _with_transcript_as_target(row: CorpusRow, utterance_id: str) -> CorpusRow:
    utterance = row.utterance
    return _with(row, id=utterance_id, tgt_text=utterance.src_text, tgt_lang=utterance.src_lang)


def _with(row: CorpusRow, **values: Any) -> CorpusRow:
    return replace(row, utterance=replace(row.utterance, **values))
