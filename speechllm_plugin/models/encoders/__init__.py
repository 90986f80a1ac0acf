"""The speech encoders: one file and one line each. --encoder takes its choices from here."""

from speechllm_plugin.models.encoders.conformer import CONFORMER
from speechllm_plugin.models.encoders.parts import EncoderKind
from speechllm_plugin.models.encoders.transformer import TRANSFORMER

NO_LAYERS = EncoderKind(layer=None)

ENCODER_LAYERS: dict[str, EncoderKind] = {"conformer": CONFORMER, "transformer": TRANSFORMER, "none": NO_LAYERS}
