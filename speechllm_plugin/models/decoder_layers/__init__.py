"""The layers of the text decoders: one file and one line each. --decoder-layer takes its choices from here."""

from speechllm_plugin.models.decoder_layers.conformer_decoder_layer import ConformerDecoderLayer
from speechllm_plugin.models.decoder_layers.decoder_layer import DecoderLayer
from speechllm_plugin.models.decoder_layers.transformer_decoder_layer import TransformerDecoderLayer

DECODER_LAYERS: dict[str, type[DecoderLayer]] = {"transformer": TransformerDecoderLayer, "conformer": ConformerDecoderLayer}
