"""Speech encoder: subsampling, layers, the CTC exit and compression on the way, and the positions of the speech."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from fairseq.models import FairseqEncoder
from torch import Tensor, nn

from speechllm_plugin.models.config import SpeechToTextConfig, for_parts, gives_positions_to_speech, num_encoder_layers
from speechllm_plugin.models.cost import Lengths, matmul
from speechllm_plugin.models.ctc import CTCHead, CTCOutput
from speechllm_plugin.models.dropout import dropped
from speechllm_plugin.models.encoders import ENCODER_LAYERS
from speechllm_plugin.models.encoders.parts import EncoderLayer, SpeechContext
from speechllm_plugin.models.merging import Segments, find_segments, merge
from speechllm_plugin.models.module_tree import modules_with
from speechllm_plugin.models.positions import SpeechPositions

LOGITS_AT_ONCE = 2**24  # of the CTC head, where compression alone needs them: they would be the largest tensor of an encoder


class SpeechStates(NamedTuple):
    """The speech as a decoder reads it.

    states:   (B, N, C), zero at padding.
    padding:  (B, N).
    ctc:      the CTC output, if there is any and it was asked for.
    segments: of the states before compression, if there is any.
    """

    states: Tensor
    padding: Tensor
    ctc: CTCOutput | None = None
    segments: Segments | None = None


class SpeechEncoder(FairseqEncoder):
    """Filterbanks to speech states, by the parts that ENCODER_LAYERS names for --encoder.

    Args:
        cfg: flags of the model.
        feature_dim: filterbanks per frame.
        num_transcript_types: of the transcript vocabulary, without blank; needed with CTC only.
        max_frames: the longest utterance that fairseq may send here.
    """

    captured: Callable[..., SpeechStates] | None = None  # forward in decoding on a GPU; see captured_encoder.py

    def __init__(self, cfg: SpeechToTextConfig, feature_dim: int, num_transcript_types: int, max_frames: int):
        super().__init__(None)
        self.cfg, self.max_frames, self.dim = cfg, max_frames, cfg.encoder_embed_dim
        kind, flags = ENCODER_LAYERS[cfg.encoder], for_parts(cfg)
        self.subsampling = kind.subsampling(flags, feature_dim)
        # The subsampled states of an encoder without layers are the decoder's: they get positions once.
        leaves_them = kind.layer is None and gives_positions_to_speech(cfg)
        self.positions = SpeechPositions(flags) if leaves_them else kind.positions(flags)
        self.dropout = nn.Dropout(cfg.dropout)
        layers = nn.ModuleList(kind.layer(flags) for _ in range(num_encoder_layers(cfg)) if kind.layer is not None)
        self.layers = cast(Sequence[EncoderLayer], layers)
        self.norm = nn.LayerNorm(self.dim) if kind.final_norm else nn.Identity()
        self.num_labels = num_transcript_types + 1  # with the blank
        self.ctc_head = CTCHead(self.dim, self.num_labels) if cfg.ctc_layer else None

    def forward(self, src_tokens: Tensor, src_lengths: Tensor, with_ctc: bool = True) -> SpeechStates:
        """The speech states of filterbanks (B, T, feature_dim) with src_lengths (B,) frames; T may exceed the longest.

        Without `with_ctc` the CTC logits are computed only where compression needs them, and not returned.
        """
        if self.captured is not None and not (self.training or torch.is_grad_enabled()):
            return self.captured(src_tokens, src_lengths, with_ctc)
        return self.forward_by_operations(src_tokens, src_lengths, with_ctc)

    def forward_by_operations(self, src_tokens: Tensor, src_lengths: Tensor, with_ctc: bool) -> SpeechStates:
        """As forward, without graphs."""
        x, context = self.below_exit(src_tokens, src_lengths)
        logits, found = self.at_exit(x, context.padding, with_ctc)
        ctc, segments = None if logits is None else CTCOutput(logits, context.lengths), None
        if found is not None:
            x, padding, segments = merge(x, *found, context.padding)
            context = self.context(padding)
            ctc = ctc and ctc._replace(compressed_lengths=context.lengths)
        return SpeechStates(self.above_exit(x, context), context.padding, ctc, segments)

    def at_exit(self, x: Tensor, padding: Tensor, with_ctc: bool) -> tuple[Tensor | None, tuple[Tensor, Tensor] | None]:
        """The CTC logits (B, S, V + 1) if they are asked for, and with compression the segments that it finds, as `merge` takes them."""
        if self.ctc_head is None or not (with_ctc or self.compresses):
            return None, None
        logits = self.ctc_head(x) if with_ctc else None
        if not self.compresses:
            return logits, None
        num_sentences = max(1, LOGITS_AT_ONCE // (x.size(1) * self.num_labels))
        return logits, find_segments(map(self.ctc_head, x.split(num_sentences)) if logits is None else [logits], padding, self.cfg)

    def below_exit(self, src_tokens: Tensor, src_lengths: Tensor) -> tuple[Tensor, SpeechContext]:
        """The states of the CTC layer, or without CTC those that the first layer reads, and their context."""
        x, padding = self.subsampling(src_tokens.to(next(self.parameters()).dtype), src_lengths)
        x, context = dropped(self.positions(x * math.sqrt(self.dim)), self.dropout), self.context(padding)
        for layer in self.layers[: self.cfg.ctc_layer]:
            x = layer(x, context)
        return x, context

    def above_exit(self, x: Tensor, context: SpeechContext) -> Tensor:
        """What the layers above make of these states, zero at padding."""
        for layer in self.layers[self.cfg.ctc_layer :]:
            x = layer(x, context)
        return self.norm(x).masked_fill(context.padding[..., None], 0)

    def set_num_updates(self, num_updates: int) -> None:
        """As fairseq's: every module below that has such a method learns the number."""
        for module in modules_with(self, "set_num_updates"):
            module.set_num_updates(num_updates)

    @property
    def compresses(self) -> bool:
        return self.cfg.ctc_compression != "none"

    @property
    def frames_per_state(self) -> int:
        """Before compression."""
        return self.subsampling.frames_per_state

    def context(self, padding: Tensor) -> SpeechContext:
        """The context of the layers, for utterances with this (B, S) padding."""
        keep = ~padding
        return SpeechContext(padding, keep[:, None, None], keep.sum(1), self.positions.for_layers(padding.size(1), padding.device))

    def up_to_compression(self) -> "SpeechEncoder":
        """The same encoder, with the same weights, without the layers above compression, which change no length."""
        shorter = copy.copy(self)
        shorter._modules = {**self._modules, "layers": self.layers[: self.cfg.ctc_layer]}
        shorter.captured = None
        return shorter

    def flops(self, lengths: Lengths) -> dict[str, int]:
        """Operations by part. The first `ctc_layer` layers see all states, the others what compression leaves of them."""
        below, above = self.layers[: self.cfg.ctc_layer], self.layers[self.cfg.ctc_layer :]
        layers = [layer.flops(lengths.num_states) for layer in below] + [layer.flops(lengths.num_compressed) for layer in above]
        return {
            "subsampling": self.subsampling.flops(lengths.num_frames),
            "encoder_layers": sum(layers),
            "ctc_head": 0 if self.ctc_head is None else matmul(lengths.num_states, self.dim, self.num_labels),
        }

    def forward_torchscript(self, net_input: dict[str, Any]) -> SpeechStates:
        """The entry that searches call: decoding does not need the CTC logits."""
        return self(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)

    def reorder_encoder_out(self, encoder_out: SpeechStates, new_order: Tensor) -> SpeechStates:
        """The rows of the states in another order, or several times, as fairseq's search asks for them."""
        return SpeechStates(encoder_out.states.index_select(0, new_order), encoder_out.padding.index_select(0, new_order))

    def max_positions(self) -> int:
        return self.max_frames
