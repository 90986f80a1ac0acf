"""What a layer of a text decoder must be able to do: for whole texts, for the speech before a search, and for a token of each hypothesis.

The sequence of a layer is the speech, if it stands before the text, then one text or two. A new layer is a file in this folder with a
subclass, and one line in DECODER_LAYERS.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from speechllm_plugin.models.attention import CrossAttention, SelfAttention, Sight
from speechllm_plugin.models.residual import with_normed


class TextContext(NamedTuple):
    """The sequence as every layer knows it.

    mask:      True where a row may look at a column, broadcast to (B, H, rows, columns); None where all layers take the numbers instead.
    sight:     the same in numbers; None where no kernel reads them.
    positions: what --decoder-positions gives to the layers.
    padding:   (B, N) of the speech that stands before the text; None where there is none.
    lengths:   of the texts, one behind the other.
    """

    mask: Tensor | None
    sight: Sight | None = None
    positions: Tensor | None = None
    padding: Tensor | None = None
    lengths: Sequence[int] = ()

    @property
    def num_speech(self) -> int:
        """Positions of speech that stand before the text."""
        return 0 if self.padding is None else self.padding.size(1)


class DecoderLayer(nn.Module, ABC):
    """Base of the layers, and their attention; built as DecoderLayer(flags, self-attention, cross_attention, is_last).

    Args:
        cfg: flags of the model.
        self_attention: its form.
        cross_attention: whether the layer reads the speech by cross-attention.
        is_last: whether no other layer follows, so that nobody reads what becomes of speech before the text.

    Attributes:
        num_recent: vectors of the model's width that a step reads of the tokens before it, beside keys and values; None where it asks for none.
    """

    num_recent: int | None = None

    def __init__(self, cfg: Any, self_attention: type[SelfAttention], cross_attention: bool, is_last: bool):
        super().__init__()
        dim, num_heads = cfg.decoder_embed_dim, cfg.decoder_attention_heads
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = self_attention(dim, num_heads, cfg.attention_dropout)
        if cross_attention:
            self.cross_attn_norm = nn.LayerNorm(dim)
            self.cross_attn = CrossAttention(dim, num_heads, cfg.attention_dropout)
        self.has_speech_ffn = not cross_attention and cfg.speech_ffn
        self.dropout = nn.Dropout(cfg.dropout)

    def before_attention(self, x: Tensor, num_speech: int) -> Tensor:
        """(B, S, C) -> (B, S, C): what self-attention and its residual start from; the first `num_speech` positions are speech."""
        return x

    @abstractmethod
    def after_attention(self, x: Tensor, attended: Tensor, context: TextContext, skip: int, speech: tuple[Any, ...] | None) -> Tensor:
        """The rest of the layer: x and what self-attention brings to it, both (B, S - skip, C) -> (B, S - skip, C)."""

    @abstractmethod
    def after_attention_step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """The same for one new token per hypothesis, (B, K, C) -> (B, K, C), with all attention added."""

    @abstractmethod
    def text_flops(self, num_queries: int, num_keys: int, num_new_keys: int, is_step: bool = False) -> int:
        """Operations of all but cross-attention, where so many queries read so many keys, of which the new ones are computed."""

    @abstractmethod
    def key_value_flops(self, num_states: int) -> int:
        """Operations of `keys_and_values`."""

    def forward(self, x: Tensor, context: TextContext, skip: int = 0, speech: tuple[Any, ...] | None = None) -> Tensor:
        """(B, S, C) -> (B, S - skip, C): positions before `skip`, which is 0 or the speech, are read but not computed.

        `speech`, with cross-attention: its (B, H, N, D) keys and values, the mask over N, and this in numbers.
        """
        x, attended, _, _ = self.attend(x, context, skip)
        return self.after_attention(x[:, skip:], attended, context, skip, speech)

    def attend(self, x: Tensor, context: TextContext, skip: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What self-attention starts from, what it brings to the positions from `skip` on, and its keys and values."""
        x, states = with_normed(self.before_attention(x, context.num_speech), self.self_attn_norm)
        return x, *self.self_attn(states, context, skip)

    def prefill(self, x: Tensor, context: TextContext) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs of forward, and the (B, H, S, D) keys and values that later positions will read."""
        x, attended, key, value = self.attend(x, context)
        return self.after_attention(x, attended, context, 0, None), key, value

    def keys_and_values(self, x: Tensor, context: TextContext) -> tuple[Tensor, Tensor]:
        """The keys and values alone."""
        return self.self_attn.keys_and_values(self.self_attn_norm(self.before_attention(x, context.num_speech)), context.positions)

    def step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """One new token per hypothesis, (B, K, C) -> (B, K, C)."""
        x = self.before_attention(x, 0)
        x = x + self.self_attn.step(self.self_attn_norm(x), state, layer)
        if state.speech:
            x = x + self.cross_attn.step(self.cross_attn_norm(x), state, layer)
        return self.after_attention_step(x, state, layer)

    def weights(self, x: Tensor, context: TextContext) -> Tensor:
        """The (B, H, S, S) weights with which x (B, S, C) reads itself."""
        return self.self_attn.weights(self.self_attn_norm(self.before_attention(x, context.num_speech)), context)

    def cross_weights(self, x: Tensor, context: TextContext, states: Tensor, mask: Tensor) -> Tensor:
        """The (B, H, U, N) weights with which text x (B, U, C) reads speech states (B, N, C) by cross-attention."""
        x, attended, _, _ = self.attend(x, context)
        return self.cross_attn.weights(self.cross_attn_norm(x + attended), states, mask)
