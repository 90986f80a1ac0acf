"""The base of the text decoders: embedding, layers and output, for whole texts, for fairseq's searches and for ours."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqIncrementalDecoder
from torch import Tensor, nn

from speechllm_plugin.generation.decoder_state import DecoderState
from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.models.cost import matmul
from speechllm_plugin.models.decoder_layers import DECODER_LAYERS, DecoderLayer
from speechllm_plugin.models.decoder_positions import DECODER_POSITIONS
from speechllm_plugin.models.dropout import dropped
from speechllm_plugin.models.speech_encoder import SpeechStates


class TextDecoder(FairseqIncrementalDecoder, ABC):
    """Base of the decoders: embedding, positions, layers, output.

    Args:
        cfg: flags of the model.
        dictionary: of the target text.
        max_tokens: the longest text that fairseq may send here.

    Attributes:
        cross_attention: whether layers read the speech by cross-attention; otherwise it stands before the text.
        place_of_speech: where the decoder finds the speech, in the words of `speechllm describe`.
        speech_mask: which speech a state of the prefix sees, `causal` or `full`; None where the speech is no prefix.
    """

    cross_attention: bool
    place_of_speech: str
    speech_mask: str | None

    def __init__(self, cfg: SpeechToTextConfig, dictionary: Dictionary, max_tokens: int):
        super().__init__(dictionary)
        self.max_tokens = max_tokens
        self.dim, self.vocabulary_size = dim, vocabulary_size = cfg.decoder_embed_dim, len(dictionary)
        self.embedding = nn.Embedding(vocabulary_size, dim, dictionary.pad())
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        nn.init.zeros_(self.embedding.weight[dictionary.pad()])
        self.num_heads = cfg.decoder_attention_heads
        self.positions = DECODER_POSITIONS[cfg.decoder_positions](dim, cfg.decoder_attention_heads, max_tokens)
        self.dropout = nn.Dropout(cfg.dropout)
        layers = nn.ModuleList(
            DECODER_LAYERS[cfg.decoder_layer](cfg, self.positions.self_attention, self.cross_attention, number == cfg.decoder_layers)
            for number in range(1, cfg.decoder_layers + 1)
        )
        self.layers = cast(Sequence[DecoderLayer], layers)
        self.norm = nn.LayerNorm(dim)
        self.output_projection = nn.Linear(dim, vocabulary_size, bias=False)
        if cfg.share_decoder_input_output_embed:
            self.output_projection.weight = self.embedding.weight
        else:
            nn.init.normal_(self.output_projection.weight, std=dim**-0.5)

    def embed(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """(B, U) or (B, K) tokens -> (B, ., C), at positions with these (B or 1, U or 1) numbers."""
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)
        return dropped(self.positions.added(x, numbers), self.dropout)

    def embed_text(self, tokens: Tensor, speech: SpeechStates) -> Tensor:
        """(B, U) tokens of a whole text -> (B, U, C)."""
        self.positions.reserve(speech.padding.size(1) + tokens.size(1))
        return self.embed(tokens, self.text_numbers(speech, tokens.size(1)))

    def first_number(self, speech: SpeechStates) -> Tensor:
        """The (B, 1) number of the first token's position."""
        return speech.padding.new_zeros(len(speech.padding), 1, dtype=torch.long)

    def layer_positions(self, speech: SpeechStates, lengths: Sequence[int]) -> Tensor | None:
        """What layers get as positions, of texts of these lengths, one behind the other, and of a prefix."""
        return self.positions.for_layers(self.numbers(speech, lengths)) if self.positions.in_layers else None

    def numbers(self, speech: SpeechStates, lengths: Sequence[int]) -> Tensor:
        """The (B, S) numbers of all positions in which the layers compute."""
        return torch.cat([self.text_numbers(speech, length) for length in lengths], dim=1)

    def text_numbers(self, speech: SpeechStates, length: int) -> Tensor:
        """The (B, U) numbers of the positions of a text."""
        return self.first_number(speech) + torch.arange(length, device=speech.padding.device)

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: SpeechStates | None = None,
        incremental_state: dict | None = None,
        kd_prev_output_tokens: Tensor | None = None,
        **unused: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """(B, U) tokens and SpeechStates -> (B, U, V) logits, and {"attn": [None]} as fairseq's tools expect.

        A second text of the same speech goes through the layers beside the first, neither seeing the other: its logits are "kd_logits".
        With an incremental state only the logits of the last token, (B, 1, V); the tokens before it were seen or are caught up on.
        """
        if incremental_state is None:
            assert encoder_out is not None
            texts = [tokens for tokens in (prev_output_tokens, kd_prev_output_tokens) if tokens is not None]
            lengths = [tokens.size(1) for tokens in texts]
            x = torch.cat([self.embed_text(tokens, encoder_out) for tokens in texts], dim=1)
            logits, kd_logits = self.output_projection(self.norm(self.decode(x, encoder_out, lengths))), None
            if kd_prev_output_tokens is not None:  # not by split(): that one text's loss writes over its logits is nothing to the other's
                logits, kd_logits = logits.unsafe_split_with_sizes(lengths, dim=1)
            return logits, {"attn": [None], "kd_logits": kd_logits}
        if "state" not in incremental_state:
            assert encoder_out is not None
            incremental_state["state"] = self.start(encoder_out)
        state, num_tokens = incremental_state["state"], prev_output_tokens.size(1)
        for column in range(state.num_positions, num_tokens):
            state.reserve(column + 1)
            logits = self.step(prev_output_tokens[:, column, None], state)
        return logits, {"attn": [None]}

    @abstractmethod
    def decode(self, x: Tensor, speech: SpeechStates, lengths: Sequence[int] = ()) -> Tensor:
        """(B, U, C) embedded text -> (B, U, C), each position knowing the text up to itself and the speech.

        `lengths` of the texts that stand one behind the other in x, where these are several.
        """

    def attention_to_speech(self, prev_output_tokens: Tensor, speech: SpeechStates, layer: int, heads: Sequence[int] | None = None) -> Tensor:
        """The (B, U, N) weights over the speech states, of sum 1, with which a layer predicts the token after each; mean over its heads.

        layer, heads: from 0. Before the text, the speech shares its softmax with the text: only the part over the speech counts.
        """
        return next(itertools.islice(self.attention_of_layers(prev_output_tokens, speech, heads), layer, None))

    def attention_of_layers(self, prev_output_tokens: Tensor, speech: SpeechStates, heads: Sequence[int] | None = None) -> Iterator[Tensor]:
        """The `attention_to_speech` of every layer, one after the other."""
        for weights in self.speech_weights(self.embed_text(prev_output_tokens, speech), speech):
            weights = (weights if heads is None else weights[:, heads]).mean(1)
            yield weights / weights.sum(-1, keepdim=True)

    @abstractmethod
    def speech_weights(self, x: Tensor, speech: SpeechStates) -> Iterator[Tensor]:
        """The (B, H, U, N) weights with which embedded text (B, U, C) reads the speech in every layer, one after the other."""

    def start(self, speech: SpeechStates, num_hypotheses: int = 1, max_tokens: int | None = None) -> DecoderState:
        """The state before the first token: keys and values of the speech, once per sentence, for texts of up to `max_tokens`."""
        max_tokens = min(max_tokens or self.max_tokens, self.max_tokens)
        self.positions.reserve(speech.padding.size(1) + max_tokens)
        state = DecoderState(
            speech.padding, num_hypotheses, self.num_heads, not self.cross_attention, max_tokens, speech.states.dtype, self.first_number(speech)
        )
        if (num_recent := self.layers[0].num_recent) is not None:
            state.recent = [speech.states.new_zeros(len(speech.states), num_hypotheses, num_recent, self.dim) for _ in self.layers]
        self.read_speech(speech, state)
        return state

    @abstractmethod
    def read_speech(self, speech: SpeechStates, state: DecoderState) -> None:
        """Add the keys and values of the speech to the state, layer by layer."""

    def step(self, last_tokens: Tensor, state: DecoderState) -> Tensor:
        """(B, K) newest tokens of K hypotheses per sentence -> (B, K, V) logits of the next; `state` has room for them, and keeps them."""
        place = state.number
        x, state.positions = self.embed(last_tokens, place), self.positions.for_layers(place)
        state.begin_step()
        for number, layer in enumerate(self.layers):
            x = layer.step(x, state, number)
        state.end_step()
        return self.output_projection(self.norm(x))

    def reorder_incremental_state(self, incremental_state: dict, new_order: Tensor) -> None:
        """The state with its rows in another order: fairseq's search has one row per hypothesis, each a sentence of its own here."""
        if "state" in incremental_state:
            incremental_state["state"].select(new_order)

    def max_positions(self) -> int:
        return self.max_tokens

    @abstractmethod
    def layer_flops(self, num_states: int, num_tokens: int) -> int:
        """Operations of all layers for a text whose tokens come at once, after so many speech states."""

    @abstractmethod
    def prefill_flops(self, num_states: int) -> int:
        """Operations of `start`: what the speech costs before the first token."""

    @abstractmethod
    def step_flops(self, num_states: int, position: int, num_hypotheses: int) -> int:
        """Operations of `step` at a position, counted from 1, for all hypotheses; each reads the text of all, under a mask."""

    def output_flops(self, num_tokens: int) -> int:
        """Operations of the output projection."""
        return matmul(num_tokens, self.dim, self.vocabulary_size)
