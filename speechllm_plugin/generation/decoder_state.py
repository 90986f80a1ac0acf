"""The memory of a decoder between two steps of a search: the speech once per sentence, the text once per hypothesis and position.

Nothing of it moves when hypotheses do. The token of hypothesis k at position u is written to slot u * K + k of its sentence, for good;
all hypotheses of a sentence read the same keys, those of a speech prefix and of all slots, under a bias that hides what is not theirs.
So attention is two matrix products per sentence, and a reorder moves rows of the bias.

A step waits for nothing, keeps its shapes and changes its tensors in place: a CUDA graph may repeat it until reserve() or select().
"""

import math
from typing import Any

import torch
from torch import Tensor

POSITIONS_AT_ONCE = 32  # by which the room for text grows
KEYS_AT_ONCE = {"cuda": 8}  # of which their number is a multiple: GPUs multiply 16-bit matrices fast whose rows are one of 16 bytes


class DecoderState:
    """Keys and values per layer, and who may read which.

    Args:
        padding: (B, N) True at padding of the speech.
        num_hypotheses: K of each sentence.
        num_heads: H of each layer.
        prefix: the speech stands before the text and shares its softmax; otherwise it is read by cross-attention.
        max_tokens: the longest text.
        dtype: of keys and values.
        first_number: (B, 1) number of the first token's position.

    Attributes:
        positions: what the layers of a step get as the positions of its tokens; the decoder sets it.
    """

    positions: Any = None

    def __init__(
        self,
        padding: Tensor,
        num_hypotheses: int,
        num_heads: int,
        prefix: bool,
        max_tokens: int,
        dtype: torch.dtype,
        first_number: Tensor,
    ):
        device = padding.device
        self.num_hypotheses, self.num_heads, self.prefix, self.max_tokens = num_hypotheses, num_heads, prefix, max_tokens
        self.keys_at_once = KEYS_AT_ONCE.get(device.type, 1)
        self.num_positions = 0  # of the text, which a step reads
        self.position = torch.zeros(1, dtype=torch.long, device=device)  # of the next token
        self.first_number = first_number
        self.slot = torch.arange(num_hypotheses, device=device)
        self.own_slot = torch.full((num_hypotheses, num_hypotheses), -math.inf, dtype=dtype, device=device).fill_diagonal_(0)
        self.speech: list[list[Tensor]] = []  # per layer key and value (B, H, N, D), with cross-attention
        self.recent: list[Tensor] = []  # per layer (B, K, ., C), what the decoder keeps there of each hypothesis's last tokens
        self.text: list[list[Tensor]] = []  # per layer key and value (B, H, M, D): a prefix, then the slots
        bias = torch.zeros(padding.shape, dtype=dtype, device=device).masked_fill(padding, -math.inf)
        bias = widened(bias, 1, self.rounded(padding.size(1)), -math.inf)
        bias = bias[:, None].repeat(1, num_hypotheses, 1)  # (B, K, N)
        self.speech_bias = None if prefix else self.per_head(bias)  # (B, H, K, N), -inf where not to be read
        self.first_slot = bias.size(2) if prefix else 0
        self.bias = bias[:, :, : self.first_slot]  # (B, K, M), the same for the text

    def rounded(self, num_keys: int) -> int:
        """The number of keys that are stored for so many: some more, which stay hidden, make it a multiple of keys_at_once."""
        return -(-num_keys // self.keys_at_once) * self.keys_at_once

    @property
    def number(self) -> Tensor:
        """The (B, 1) number of the next token's position."""
        return self.first_number + self.position

    def per_head(self, bias: Tensor) -> Tensor:
        """(B, K, M) -> (B, H, K, M)."""
        return bias[:, None].repeat(1, self.num_heads, 1, 1)

    def size_for(self, num_positions: int) -> int:
        """The number of keys with room for texts of so many positions."""
        room = -(-num_positions // POSITIONS_AT_ONCE) * POSITIONS_AT_ONCE
        return self.first_slot + self.rounded(self.num_hypotheses * max(num_positions, min(room, self.max_tokens)))

    def add_layer(self, key: Tensor, value: Tensor) -> None:
        """Take the (B, H, N, D) keys and values of the speech in the next layer."""
        speech = [widened(each, 2, self.rounded(each.size(2)), 0) for each in (key, value)]
        if self.prefix:
            self.text.append(speech)
        else:
            self.speech.append(speech)
            self.text.append([each[:, :, :0] for each in speech])

    def reserve(self, num_positions: int) -> None:
        """Let the next steps read texts of up to this length, and make room for them."""
        size = self.size_for(num_positions)
        if size > self.bias.size(2):
            for pair in self.text:
                for index in range(len(pair)):  # one after the other: what it was before is dropped at once
                    pair[index] = widened(pair[index], 2, size, 0)  # finite: weights of zero must make it zero
            self.bias = widened(self.bias, 2, size, -math.inf)
        self.num_positions = num_positions

    def begin_step(self) -> None:
        """Give every hypothesis its slot for the next position."""
        self.new_slots = self.first_slot + self.position * self.num_hypotheses + self.slot
        self.bias.index_copy_(2, self.new_slots, self.own_slot.expand(len(self.bias), -1, -1))
        self.num_keys = self.first_slot + self.rounded(self.num_positions * self.num_hypotheses)
        self.text_bias = self.per_head(self.bias[:, :, : self.num_keys])  # (B, H, K, M), for all layers

    def end_step(self) -> None:
        self.position += 1

    def append(self, layer: int, key_and_value: Tensor) -> list[Tensor]:
        """Store the keys and values (B, K, 2, H, D) of the newest tokens; returns the two (B, H, M, D) that all hypotheses read.

        Numbers that overflow become zero: their hypothesis has no finite score left, and must not reach others by a weight of zero.
        """
        new = key_and_value.permute(2, 0, 3, 1, 4).nan_to_num(0, 0, 0)  # (2, B, H, K, D)
        for stored, each in zip(self.text[layer], new):
            stored.index_copy_(2, self.new_slots, each)
        return [stored[:, :, : self.num_keys] for stored in self.text[layer]]

    def reorder(self, source_beam: Tensor) -> None:
        """Hypothesis k of sentence b continues what was hypothesis source_beam[b, k]."""
        of_text = self.bias[:, :, self.first_slot : self.first_slot + self.num_positions * self.num_hypotheses]
        of_text.copy_(of_text.gather(1, source_beam[:, :, None].expand_as(of_text)))
        for recent in self.recent:
            recent.copy_(recent.gather(1, source_beam[:, :, None, None].expand_as(recent)))

    def select(self, sentences: Tensor) -> None:
        """Keep the given sentences, a (B',) list of rows, in this order."""
        self.bias = self.bias.index_select(0, sentences)
        self.first_number = self.first_number.index_select(0, sentences)
        self.recent = [recent.index_select(0, sentences) for recent in self.recent]
        if self.speech_bias is not None:
            self.speech_bias = self.speech_bias.index_select(0, sentences)
        for pair in (*self.speech, *self.text):
            pair[:] = [each.index_select(0, sentences) for each in pair]


def widened(tensor: Tensor, dim: int, size: int, value: float) -> Tensor:
    """The tensor with `value` behind its end in one dimension, up to the size."""
    shape = list(tensor.shape)
    shape[dim] = size
    wide, old_size = tensor.new_empty(shape), tensor.size(dim)
    wide.narrow(dim, 0, old_size).copy_(tensor)
    wide.narrow(dim, old_size, size - old_size).fill_(value)
    return wide
