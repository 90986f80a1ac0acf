"""The corpora that `speechllm prepare` knows, and what each task makes of their rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from speechllm_plugin.data.manifest import Segment
from speechllm_plugin.preparation.readers import covost, mustc, own_tsv

TRAIN_SPLIT = "train"
VALIDATION_SPLIT = "dev"
TASKS = ("asr", "st", "joint")


@dataclass(frozen=True)
class Corpus:
    """How a corpus is read, and what counts where no flag says otherwise.

    read: read(root, split, source_lang, target_lang) -> segments; src_text is the transcript, tgt_text the translation.
    vocab_sizes: pieces of the target vocabulary by task, and those for targets in several languages.
    rows_name_languages: the languages stand in the rows; the flags may be left out.
    """

    read: Callable[..., list[Segment]]
    splits: tuple[str, ...]
    vocab_sizes: dict[str, int]
    multilingual_vocab_size: int
    transcript_vocab_size: int
    rows_name_languages: bool = False


# The sizes are the paper's, as far as it has the task.
MUSTC_SIZES = {"vocab_sizes": {"asr": 5000, "st": 8000, "joint": 8000}, "multilingual_vocab_size": 32000, "transcript_vocab_size": 5000}
COVOST_SIZES = {"vocab_sizes": {"asr": 32000, "st": 5000, "joint": 32000}, "multilingual_vocab_size": 32000, "transcript_vocab_size": 32000}
CORPORA = {
    "mustc": Corpus(mustc.read, ("train", "dev", "tst-COMMON"), **MUSTC_SIZES),
    "covost2": Corpus(covost.read, ("train", "dev", "test"), **COVOST_SIZES),
    "tsv": Corpus(own_tsv.read, ("train", "dev", "test"), **MUSTC_SIZES, rows_name_languages=True),
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
    pairs = [(source, target) for source in sources for target in targets if source != target]
    if not pairs:
        raise ValueError(f"--target-lang must differ from --source-lang, but both are {sources[0]}")
    for source in sources:
        others = [target for one, target in pairs if one == source]
        if task == "asr" and len(others) > 1:
            raise ValueError(
                f"--target-lang must be one language for asr, as all pairs with {source} have the same speech and transcripts, "
                f"but is {' '.join(others)}"
            )
    return pairs


def read(name: str, root, splits: Sequence[str], pairs: Sequence[tuple]) -> dict[str, list[Segment]]:
    """The segments of every split, pair after pair; with several pairs their ids start with the pair, as in en-de_ID."""
    segments = {split: [] for split in splits}
    parts = [(split, pair) for split in splits for pair in pairs]
    for split, pair in tqdm(parts, desc="texts", unit="file", disable=len(parts) < 10):
        read_segments = CORPORA[name].read(root, split, *pair)
        if len(pairs) > 1:
            prefix = f"{'-'.join(pair)}_"
            read_segments = [_with(segment, id=prefix + segment.utterance.id) for segment in read_segments]
        segments[split] += read_segments
    return segments


def manifests(task: str, split: str, segments: Sequence[Segment]) -> dict[str, list[Segment]]:
    """The rows of each manifest of a split.

    For asr the target is the transcript. For joint, training draws between translation and transcript, so each utterance stands there
    once; it is validated as both, and other splits have a manifest for each.
    """
    if task == "st" or (task == "joint" and split == TRAIN_SPLIT):
        return {split: segments}
    if task == "asr":
        return {split: [_transcription(segment, segment.utterance.id) for segment in segments]}
    transcriptions = [_transcription(segment, f"{segment.utterance.id}_asr") for segment in segments]
    if split == VALIDATION_SPLIT:
        return {split: [*segments, *transcriptions]}
    return {split: segments, f"{split}_asr": transcriptions}


def _transcription(segment, utterance_id):
    utterance = segment.utterance
    return _with(segment, id=utterance_id, tgt_text=utterance.src_text, tgt_lang=utterance.src_lang)


def _with(segment, **values):
    return replace(segment, utterance=replace(segment.utterance, **values))
