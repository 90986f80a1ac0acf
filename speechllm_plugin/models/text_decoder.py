"""The two text decoders. They differ in where the speech stands: before the text, or beside it behind cross-attention."""

from collections.abc import Iterator, Sequence

import torch
from fairseq.data import Dictionary
from torch import Tensor, nn

from speechllm_plugin.generation.decoder_state import DecoderState
from speechllm_plugin.models import kernels
from speechllm_plugin.models.attention import Sight
from speechllm_plugin.models.config import DFPConfig
from speechllm_plugin.models.decoder_base import TextDecoder
from speechllm_plugin.models.decoder_layers.decoder_layer import TextContext
from speechllm_plugin.models.speech_encoder import SpeechStates


class CrossAttentionDecoder(TextDecoder):
    """The text attends to itself, then to the speech: Vaswani et al. 2017."""

    cross_attention = True
    place_of_speech = "the decoder reads the speech through cross-attention"
    speech_mask = None

    def decode(self, x: Tensor, speech: SpeechStates, lengths: Sequence[int] = ()) -> Tensor:
        num_states, real = speech.padding.size(1), ~speech.padding
        mask, sight = causal(lengths or [x.size(1)], x.device), Sight(0, None, second_text=second_text(0, lengths))
        context = TextContext(mask, sight, self.layer_positions(speech, lengths or [x.size(1)]), None, lengths or [x.size(1)])
        of_speech = real[:, None, None], Sight(num_states, real.sum(1), first_query=num_states)
        for layer in self.layers:
            x = layer(x, context, speech=(*layer.cross_attn.keys_and_values(speech.states), *of_speech))
        return x

    def speech_weights(self, x: Tensor, speech: SpeechStates) -> Iterator[Tensor]:
        lengths, mask = [x.size(1)], (~speech.padding)[:, None, None]
        context = TextContext(causal(lengths, x.device), positions=self.layer_positions(speech, lengths), lengths=lengths)
        for below, layer in zip((None, *self.layers), self.layers):
            x = x if below is None else below(x, context, speech=(*below.cross_attn.keys_and_values(speech.states), mask))
            yield layer.cross_weights(x, context, speech.states, mask)

    def read_speech(self, speech: SpeechStates, state: DecoderState) -> None:
        for layer in self.layers:
            state.add_layer(*layer.cross_attn.keys_and_values(speech.states))

    def layer_flops(self, num_states: int, num_tokens: int) -> int:
        own = sum(layer.text_flops(num_tokens, num_tokens, num_tokens) + layer.cross_attn.flops(num_tokens, num_states) for layer in self.layers)
        return own + self.prefill_flops(num_states)

    def prefill_flops(self, num_states: int) -> int:
        return sum(layer.cross_attn.key_value_flops(num_states) for layer in self.layers)

    def step_flops(self, num_states: int, position: int, num_hypotheses: int) -> int:
        num_keys = position * num_hypotheses
        layers = (
            layer.text_flops(num_hypotheses, num_keys, num_hypotheses, is_step=True) + layer.cross_attn.flops(num_hypotheses, num_states)
            for layer in self.layers
        )
        return sum(layers) + self.output_flops(num_hypotheses)


class PrefixDecoder(TextDecoder):
    """The speech stands before the text, and self-attention reads both: dense feature prepending, Lam et al. 2025."""

    cross_attention = False
    place_of_speech = "the speech stands before the text of the decoder"

    def __init__(self, cfg: DFPConfig, dictionary: Dictionary, max_tokens: int):
        super().__init__(cfg, dictionary, max_tokens)
        self.causal_prefix, self.prefix_positions = cfg.causal_prefix, cfg.prefix_positions
        self.speech_mask = "causal" if cfg.causal_prefix else "full"

    def first_number(self, speech: SpeechStates) -> Tensor:
        """That behind the last state of the utterance itself, whatever padding follows it, where --prefix-positions continues."""
        return (~speech.padding).sum(1, keepdim=True) if self.prefix_positions == "continued" else super().first_number(speech)

    def numbers(self, speech: SpeechStates, lengths: Sequence[int]) -> Tensor:
        of_speech = self.positions.speech_numbers(speech.states, self.prefix_positions).expand(len(speech.states), -1)
        return torch.cat([of_speech, *(self.text_numbers(speech, length) for length in lengths)], dim=1)

    def prefix(self, speech: SpeechStates) -> Tensor:
        """The (B, N, C) states as the first layer reads them."""
        self.positions.reserve(speech.padding.size(1))
        return self.positions.speech(speech.states, self.prefix_positions)

    def prefix_mask(self, padding: Tensor, lengths: Sequence[int]) -> Tensor:
        """The (B, 1, N + U, N + U) mask: text sees the speech and the text up to itself, speech sees speech, nobody sees padding.

        `lengths` of the texts, one behind the other in U; no text sees another.
        """
        num_states = padding.size(1)
        mask = causal([num_states, *lengths], padding.device)
        mask[num_states:, :num_states] = True
        if not self.causal_prefix:
            mask[:num_states, :num_states] = True
        real = nn.functional.pad(~padding, (0, sum(lengths)), value=True)
        return mask & real[:, None, None]

    def decode(self, x: Tensor, speech: SpeechStates, lengths: Sequence[int] = ()) -> Tensor:
        num_states = speech.states.size(1)
        sight = Sight(num_states, (~speech.padding).sum(1), second_text=second_text(num_states, lengths), causal=self.causal_prefix)
        lengths = lengths or [x.size(1)]
        served = kernels.serve_attention(x.unflatten(-1, (self.num_heads, -1)))
        mask = None if served else self.prefix_mask(speech.padding, lengths)
        context = TextContext(mask, sight, self.layer_positions(speech, lengths), speech.padding, lengths)
        x = torch.cat([self.prefix(speech), x], dim=1)  # (B, N + U, C)
        for layer in self.layers[:-1]:
            x = layer(x, context)
        of_text = context._replace(mask=None if mask is None else mask[:, :, num_states:], sight=sight._replace(first_query=num_states))
        return self.layers[-1](x, of_text, skip=num_states)  # nobody reads its speech

    def speech_weights(self, x: Tensor, speech: SpeechStates) -> Iterator[Tensor]:
        num_states, lengths = speech.states.size(1), [x.size(1)]
        mask = self.prefix_mask(speech.padding, lengths)
        context = TextContext(mask, None, self.layer_positions(speech, lengths), speech.padding, lengths)
        x = torch.cat([self.prefix(speech), x], dim=1)
        for below, layer in zip((None, *self.layers), self.layers):
            x = x if below is None else below(x, context)
            yield layer.weights(x, context)[:, :, num_states:, :num_states]

    def read_speech(self, speech: SpeechStates, state: DecoderState) -> None:
        context = TextContext(self.prefix_mask(speech.padding, []), None, self.layer_positions(speech, []), speech.padding)
        x = self.prefix(speech)
        for layer in self.layers[:-1]:
            x, key, value = layer.prefill(x, context)
            state.add_layer(key, value)
            del key, value  # else what they are views of is kept while the next layer computes
        state.add_layer(*self.layers[-1].keys_and_values(x, context))  # nobody reads what its speech becomes

    def layer_flops(self, num_states: int, num_tokens: int) -> int:
        """The last layer reads the speech, but computes the text only."""
        both, (*layers, last) = num_states + num_tokens, self.layers
        return sum(layer.text_flops(both, both, both) for layer in layers) + last.text_flops(num_tokens, both, both)

    def prefill_flops(self, num_states: int) -> int:
        *layers, last = self.layers
        return sum(layer.text_flops(num_states, num_states, num_states) for layer in layers) + last.key_value_flops(num_states)

    def step_flops(self, num_states: int, position: int, num_hypotheses: int) -> int:
        num_keys = num_states + position * num_hypotheses
        layers = sum(layer.text_flops(num_hypotheses, num_keys, num_hypotheses, is_step=True) for layer in self.layers)
        return layers + self.output_flops(num_hypotheses)


def second_text(num_states: int, lengths: Sequence[int]) -> int | None:
    """The place of a second text behind so many states of speech and the first one; None if there is none."""
    return num_states + lengths[0] if len(lengths) > 1 else None


def causal(lengths: Sequence[int], device: torch.device) -> Tensor:
    """The (sum, sum) mask over the lengths: True on and below the diagonal, within a block for each of them."""
    return torch.block_diag(*(torch.ones(length, length, dtype=torch.bool, device=device).tril() for length in lengths))
