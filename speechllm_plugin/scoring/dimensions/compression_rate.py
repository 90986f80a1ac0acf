"""Slices by how much the CTC compression of a model shortens the speech."""

import numpy as np

from speechllm_plugin.scoring.dimension import Context, Dimension, FactsMissing, Values, thirds


def _values(context: Context) -> Values:
    if context.compression_rates is None:
        raise FactsMissing("compression_rate needs the rates of a checkpoint that compresses the speech (--ctc-compression), decoded here")
    return thirds(np.asarray(context.compression_rates, dtype=np.float64), "x")


COMPRESSION_RATE = Dimension("Compression rate", "Speech states before the CTC compression per state after it: thirds of the test set.", _values)
