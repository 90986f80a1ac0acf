"""Our models in the stock form of fairseq's decoders, for its generator: what `speechllm bench --against fairseq` compares with.

As fairseq's MultiheadAttention caches, and as the study's code decodes: every hypothesis is a row with a copy of the speech. A step appends
to the keys and values by copying them, those of a prefix with the text's; the search reorders everything that is cached, and the encoder's
output. Weights, and everything outside attention's cache, are those of the model. Not charged: the study's code reorders the CTC logits too.

Shapes: R rows, one per hypothesis.   M positions that are attended to.   C, H, D, N as in models/__init__.py.
"""

import math

import torch
from fairseq.models import FairseqEncoderDecoderModel, FairseqIncrementalDecoder

from speechllm_plugin.models.config import flag
from speechllm_plugin.models.decoder_layers.decoder_layer import TextContext

CACHE = "stock_cache"
SERVED = {"decoder_positions": "sinusoidal", "prefix_positions": "none", "decoder_layer": "transformer", "speech_ffn": False}


def check_served(cfg) -> None:
    """Raise ValueError for flags of a decoder that has no stock form here."""
    for name, value in SERVED.items():
        if getattr(cfg, name, value) != value:
            raise ValueError(f"--against fairseq measures decoders with {flag(name)} {value}, but it is {getattr(cfg, name)}: leave one of them out")


class StockCache:
    """Per layer the (R, H, M, D) keys and values of self-attention and, in a cross-attention decoder, those of the speech; masks (R, 1, 1, M).

    `text` begins empty, or with the speech as its prefix.
    """

    def __init__(self, keys_and_values: list[list], mask, prefix: bool):
        if prefix:
            self.text, self.text_mask = keys_and_values, mask
            self.speech = self.speech_mask = None
        else:
            self.text, self.text_mask = [[cached[:, :, :0] for cached in pair] for pair in keys_and_values], mask[..., :0]
            self.speech, self.speech_mask = keys_and_values, mask

    def append(self, layer: int, key, value):
        """Add the key and value (R, H, 1, D) of one token; returns all."""
        self.text[layer] = [torch.cat([cached, new], dim=2) for cached, new in zip(self.text[layer], (key, value))]
        return self.text[layer]

    def select(self, rows):
        self.text = [[cached.index_select(0, rows) for cached in pair] for pair in self.text]
        self.text_mask = self.text_mask.index_select(0, rows)
        if self.speech is not None:
            self.speech = [[cached.index_select(0, rows) for cached in pair] for pair in self.speech]
            self.speech_mask = self.speech_mask.index_select(0, rows)


class StockDecoder(FairseqIncrementalDecoder):
    """The layers of a TextDecoder under fairseq's incremental interface, with a StockCache."""

    def __init__(self, decoder):
        super().__init__(decoder.dictionary)
        self.decoder = decoder

    def start(self, speech) -> StockCache:
        mask = (~speech.padding)[:, None, None]
        if self.decoder.cross_attention:
            return StockCache([list(layer.cross_attn.keys_and_values(speech.states)) for layer in self.decoder.layers], mask, prefix=False)
        context, x, keys_and_values = TextContext(self.decoder.prefix_mask(speech.padding, []), padding=speech.padding), speech.states, []
        for layer in self.decoder.layers:
            x, *key_and_value = layer.prefill(x, context)
            keys_and_values.append([cached.contiguous() for cached in key_and_value])
        return StockCache(keys_and_values, mask, prefix=True)

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state: dict | None = None, **unused):
        """(R, U) tokens -> (R, 1, V) logits of the last."""
        if CACHE not in incremental_state:
            incremental_state[CACHE] = self.start(encoder_out)
        decoder, cache, position = self.decoder, incremental_state[CACHE], prev_output_tokens.size(1) - 1
        cache.text_mask = torch.nn.functional.pad(cache.text_mask, (0, 1), value=True)
        x = decoder.embedding(prev_output_tokens[:, -1:]) * math.sqrt(decoder.embedding.embedding_dim)
        x = x + decoder.positions.sinusoids(position, position + 1).to(x.dtype)
        for number, layer in enumerate(decoder.layers):
            x = x + self.self_attention(layer.self_attn, layer.self_attn_norm(x), cache, number)
            if cache.speech is not None:
                x = x + self.cross_attention(layer.cross_attn, layer.cross_attn_norm(x), cache, number)
            x = x + layer.feed_forward(x)
        return decoder.output_projection(decoder.norm(x)), {"attn": [None]}

    @staticmethod
    def self_attention(module, x, cache: StockCache, layer: int):
        query, key, value = (module.heads(part) for part in module.qkv_proj(x).chunk(3, dim=-1))
        key, value = cache.append(layer, key, value)
        return module.out_proj(attend(query, key, value, cache.text_mask))

    @staticmethod
    def cross_attention(module, x, cache: StockCache, layer: int):
        query = module.q_proj(x).unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        return module.out_proj(attend(query, *cache.speech[layer], cache.speech_mask))

    def reorder_incremental_state(self, incremental_state, new_order):
        if CACHE in incremental_state:
            incremental_state[CACHE].select(new_order)

    def max_positions(self) -> int:
        return self.decoder.max_positions()


def attend(query, key, value, mask):
    """(R, H, 1, D) queries -> (R, 1, C), by two batched products and a float32 softmax between them, as fairseq's modules in decoding."""
    scores = (query * query.size(-1) ** -0.5) @ key.transpose(-1, -2)
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2).flatten(2)


class StockModel(FairseqEncoderDecoderModel):
    """A SpeechToTextModel with the same weights and a StockDecoder."""

    def __init__(self, model):
        super().__init__(model.encoder, StockDecoder(model.decoder))
