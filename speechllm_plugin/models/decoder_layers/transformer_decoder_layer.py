"""Pre-norm Transformer layer of a text decoder (Vaswani et al. 2017), of the study."""

from functools import partial
from typing import Any

from torch import Tensor
from torch.nn.functional import relu

from speechllm_plugin.models.attention import SelfAttention
from speechllm_plugin.models.decoder_layers.decoder_layer import DecoderLayer, TextContext
from speechllm_plugin.models.feed_forward import FeedForward, by_modality
from speechllm_plugin.models.residual import add, add_normed


class TransformerDecoderLayer(DecoderLayer):
    """Self-attention, with cross-attention then attention to the speech, and a feed-forward network; with --speech-ffn another one for speech."""

    def __init__(self, cfg: Any, self_attention: type[SelfAttention], cross_attention: bool, is_last: bool):
        super().__init__(cfg, self_attention, cross_attention, is_last)
        sizes = cfg.decoder_embed_dim, cfg.decoder_ffn_embed_dim, relu, cfg.dropout, cfg.activation_dropout
        self.feed_forward = FeedForward(*sizes)
        self.speech_feed_forward = FeedForward(*sizes) if self.has_speech_ffn and not is_last else None

    def after_attention(self, x: Tensor, attended: Tensor, context: TextContext, skip: int, speech: tuple[Any, ...] | None) -> Tensor:
        if speech is not None:
            x, states = add_normed(x, attended, self.dropout, self.cross_attn_norm)
            attended = self.cross_attn(states, *speech)
        of_speech = None if self.speech_feed_forward is None else partial(self.fed, self.speech_feed_forward)
        return by_modality(context.num_speech - skip, of_speech, partial(self.fed, self.feed_forward), x, attended)

    def fed(self, feed_forward: FeedForward, x: Tensor, attended: Tensor) -> Tensor:
        x, states = add_normed(x, attended, self.dropout, feed_forward.norm)
        return add(x, feed_forward.transform(states), feed_forward.dropout)

    def after_attention_step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        return x + self.feed_forward(x)

    def text_flops(self, num_queries: int, num_keys: int, num_new_keys: int, is_step: bool = False) -> int:
        return self.self_attn.flops(num_queries, num_keys, num_new_keys) + self.feed_forward.flops(num_queries)

    def key_value_flops(self, num_states: int) -> int:
        return self.self_attn.key_value_flops(num_states)
