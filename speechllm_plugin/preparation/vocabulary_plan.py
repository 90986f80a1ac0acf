"""Which vocabularies a data folder gets, and making them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.data import manifest
from speechllm_plugin.preparation import borrowed_vocabularies, vocabulary
from speechllm_plugin.preparation.corpora import TRAIN_SPLIT, VALIDATION_SPLIT
from speechllm_plugin.preparation.corpus_check import needed_texts
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.ctc_limit import impossible_transcripts
from speechllm_plugin.preparation.prepared_folder import PreparedFolder
from speechllm_plugin.preparation.round_trip import LostTexts
from speechllm_plugin.preparation.settings import TRANSCRIPT_VOCABULARY, Settings
from speechllm_plugin.text.progress import with_progress

TARGET_VOCABULARY = "spm_target"


@dataclass(frozen=True)
class PlannedVocabulary:
    """A vocabulary to make.

    name: of its files, without suffix.
    flag: the flag of its size, for errors.
    columns: of the training manifest, whose texts it is trained on.
    tags: language tags among its pieces.
    source: the files that it is copied from instead, without suffix.
    """

    name: str
    flag: str
    size: int
    columns: tuple[str, ...]
    tags: tuple[str, ...] = ()
    source: Path | None = None


def plan(settings: Settings, folder: PreparedFolder, contents: Mapping[str, Mapping[str, Sequence[CorpusRow]]]) -> list[PlannedVocabulary]:
    """The vocabulary of the targets, and that of the transcripts if the corpus has some.

    Args:
        contents: rows of each manifest of each split. Without the training split, its finished manifest says what there is.

    Raises:
        ValueError: a flag about transcripts was given for a corpus without them, or the folder has vocabularies of another size.
    """
    if settings.vocabulary_folder is not None:
        return _borrowed(settings, contents)
    if TRAIN_SPLIT in contents:
        utterances = [row.utterance for row in contents[TRAIN_SPLIT][TRAIN_SPLIT]]
    else:
        utterances = manifest.read(folder.manifest(TRAIN_SPLIT))
    languages = {utterance.tgt_lang for utterance in utterances}
    corpus = settings.facts
    size = settings.vocab_size or (corpus.multilingual_vocab_size if len(languages) > 1 else corpus.vocab_sizes[settings.task])
    columns: tuple[str, ...] = ("tgt_text",)
    if settings.task == "joint":
        languages |= {utterance.src_lang for utterance in utterances}
        columns = ("tgt_text", "src_text")
    tags = tuple(map(vocabulary.language_tag, sorted(languages))) if len(languages) > 1 else ()
    planned = [PlannedVocabulary(TARGET_VOCABULARY, "--vocab-size", size, columns, tags)]
    if "src_text" in needed_texts(settings.task, utterances):
        size, source = settings.transcript_vocab_size or corpus.transcript_vocab_size, None
        if settings.transcript_vocab_from:
            source = Path(settings.transcript_vocab_from, TRANSCRIPT_VOCABULARY)
            size = vocabulary.size_of(source)
        planned.append(PlannedVocabulary(TRANSCRIPT_VOCABULARY, "--transcript-vocab-size", size, ("src_text",), source=source))
    elif settings.transcript_vocab_from or settings.transcript_vocab_size:
        flag = "--transcript-vocab-from" if settings.transcript_vocab_from else "--transcript-vocab-size"
        raise ValueError(f"{flag} needs transcripts, but {settings.root} has no src_text: leave it out")
    if (folder.path / f"{TRAIN_SPLIT}.tsv").exists():
        for one in planned:
            entry = folder.entry(one.name)
            if entry is not None and one.source is None:
                folder.require_same(one.flag, entry["facts"]["size"], one.size)
    return planned


def _borrowed(settings: Settings, contents: Mapping[str, Mapping[str, Sequence[CorpusRow]]]) -> list[PlannedVocabulary]:
    """Those of the folder that --vocab-from names, whatever the corpus has."""
    assert settings.vocabulary_folder is not None
    utterances = [row.utterance for manifests in contents.values() for rows in manifests.values() for row in rows]
    lent = borrowed_vocabularies.borrow(settings.vocabulary_folder, {utterance.tgt_lang for utterance in utterances})
    columns = ("tgt_text", "src_text") if settings.task == "joint" else ("tgt_text",)
    planned = [PlannedVocabulary(TARGET_VOCABULARY, "--vocab-size", vocabulary.size_of(lent.target), columns, lent.tags, lent.target)]
    if lent.transcript is not None:
        size = vocabulary.size_of(lent.transcript)
        planned.append(PlannedVocabulary(TRANSCRIPT_VOCABULARY, "--transcript-vocab-size", size, ("src_text",), source=lent.transcript))
    return planned


def make(folder: PreparedFolder, planned: PlannedVocabulary) -> None:
    """Train or copy a vocabulary, unless it is there already."""
    if planned.source is None:
        training = folder.entry(TRAIN_SPLIT)
        assert training is not None
        mark = f"{training['mark']} {planned.size}"
    else:
        mark = vocabulary.digest(planned.source)
    if folder.finished(planned.name, mark) is not None:
        return
    files = [f"{planned.name}{suffix}" for suffix in vocabulary.VOCABULARY_SUFFIXES]
    folder.withdraw(planned.name, *files)
    if planned.source is None:
        utterances = manifest.read(folder.manifest(TRAIN_SPLIT))
        texts = (getattr(utterance, column) for column in planned.columns for utterance in utterances)
        shown = with_progress(texts, planned.name, "text", total=len(planned.columns) * len(utterances))
        vocabulary.train(folder.path / planned.name, shown, planned.size, planned.flag, planned.tags)
    else:
        vocabulary.copy(planned.source, folder.path / planned.name)
    folder.finish(planned.name, mark, *files, size=planned.size)


def lost_texts(folder: PreparedFolder, planned: PlannedVocabulary, manifests: Sequence[str]) -> list[str]:
    """A line for each column of each manifest with texts that the vocabulary cannot write as they are, or that CTC cannot emit."""
    lines = []
    for name in manifests:
        utterances = manifest.read(folder.manifest(name))
        for column in planned.columns if name == TRAIN_SPLIT else planned.columns[:1]:
            places = [utterance.id for utterance in utterances]
            texts = [getattr(utterance, column) for utterance in utterances]
            found = LostTexts.of(folder.path / planned.name, places, texts)
            lines.append(found.described(planned.name, f"texts of {name} ({column})"))
        if planned.name == TRANSCRIPT_VOCABULARY and name in (TRAIN_SPLIT, VALIDATION_SPLIT):
            lines.append(impossible_transcripts(folder.path / planned.name, name, utterances))
    return list(filter(None, lines))
