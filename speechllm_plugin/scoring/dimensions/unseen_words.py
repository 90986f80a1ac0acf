"""Slices by words that training lacks."""

from collections.abc import Mapping, Sequence

from speechllm_plugin.scoring.dimension import EMPTY, Context, Dimension, FactsMissing, Values, source_languages, target_languages, transcripts_of
from speechllm_plugin.scoring.words import num_unseen_words


def _in_transcript(context: Context) -> Values:
    said = transcripts_of(context, "unseen_in_transcript")
    return _unseen("unseen_in_transcript", said, source_languages(context), context.transcript_counts, "transcripts (src_text)")


def _in_target(context: Context) -> Values:
    texts = [utterance.tgt_text for utterance in context.utterances]
    return _unseen("unseen_in_target", texts, target_languages(context), context.target_counts, "targets (tgt_text)")


def _unseen(name: str, texts: Sequence[str], languages: Sequence[str], counts: Mapping[str, int] | None, needed: str) -> Values:
    if counts is None:
        raise FactsMissing(f"{name} needs the words of the training {needed}; give the training manifest")
    unseen = num_unseen_words(texts, languages, counts)
    bins = ("none", "1 or more")
    return Values([bins[min(number, 1)] if text.strip() else EMPTY for text, number in zip(texts, unseen)], bins)


UNSEEN_IN_TRANSCRIPT = Dimension("Unseen words, transcript", "Words of the transcript that no training transcript has.", _in_transcript)
UNSEEN_IN_TARGET = Dimension("Unseen words, reference", "Words of the reference that no training target has.", _in_target)
