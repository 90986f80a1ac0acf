"""Slices by how fast somebody speaks."""

from speechllm_plugin.scoring.dimension import Context, Dimension, Values, num_words, source_languages, thirds, transcripts_of
from speechllm_plugin.scoring.dimensions.duration import durations


def _values(context: Context) -> Values:
    words = num_words(transcripts_of(context, "speaking_rate"), source_languages(context))
    return thirds(words / durations(context.utterances), "words/s")


SPEAKING_RATE = Dimension("Speaking rate", "Words of the normalised transcript per second of speech: thirds of the test set.", _values)
