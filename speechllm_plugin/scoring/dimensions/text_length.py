"""Slices by words of the reference."""

from speechllm_plugin.scoring.dimension import Context, Dimension, Values, binned, num_words, target_languages

BOUNDS_WORDS = (6, 11, 21, 41)  # a bound belongs to the bin above it


def _values(context: Context) -> Values:
    bounds = BOUNDS_WORDS
    labels = [f"{low}-{high - 1} words" for low, high in zip((1, *bounds), bounds)] + [f">= {bounds[-1]} words"]
    return binned(num_words([utterance.tgt_text for utterance in context.utterances], target_languages(context)), bounds, labels)


TEXT_LENGTH = Dimension("Reference length", "Words of the normalised reference.", _values)
