"""Slices by whether a speaker's accent is that of a native speaker."""

from speechllm_plugin.scoring.dimension import EMPTY, UNKNOWN, Context, Dimension, Values, column_of
from speechllm_plugin.scoring.speakers import NATIVE, NON_NATIVE, nativeness


def _values(context: Context) -> Values:
    of_rows = [
        EMPTY if accent == EMPTY else nativeness(accent, context.native, utterance.src_lang) or UNKNOWN
        for accent, utterance in zip(column_of(context, "accent", "native"), context.utterances)
    ]
    return Values(of_rows, (NATIVE, NON_NATIVE))


NATIVE_SPEAKER = Dimension("Native speaker", "Whether the accent counts as a native speaker's, by an editable table of accents.", _values)
