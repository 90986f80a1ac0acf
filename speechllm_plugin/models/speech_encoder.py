"""Speech encoder: subsampling, layers, the CTC exit and compression on the way, and the positions of the speech."""

import math
from typing import NamedTuple

import torch
from fairseq.models import FairseqEncoder
from torch import nn

from speechllm_plugin.models.config import kernel_sizes, relative_positions
from speechllm_plugin.models.conformer import ConformerLayer
from speechllm_plugin.models.ctc import CTCOutput, Segments, compress
from speechllm_plugin.models.positions import SinusoidalPositions
from speechllm_plugin.models.subsampling import Subsampling
from speechllm_plugin.models.transformer import TransformerLayer

LOGITS_AT_ONCE = 2**24  # of the CTC head, where compression alone needs them: they would be the largest tensor of an encoder


class SpeechStates(NamedTuple):
    """What a decoder reads: states (B, N, C), zero at padding, and padding (B, N); the CTC output, if any and if asked for; the segments of
    the states before compression, if there was any.
    """

    states: torch.Tensor
    padding: torch.Tensor
    ctc: CTCOutput | None = None
    segments: Segments | None = None


class SpeechContext(NamedTuple):
    """What every layer knows of the utterances: padding (B, S), mask (B, 1, 1, S), lengths (B,), relative positions."""

    padding: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor | None


# --encoder -> layer(dim, ffn_dim, num_heads, cfg, positions) and whether a LayerNorm follows the last one
ENCODER_LAYERS = {"transformer": (TransformerLayer, True), "conformer": (ConformerLayer, False), "none": (None, True)}


class SpeechEncoder(FairseqEncoder):
    """Filterbanks to speech states.

    Args:
        cfg: a SpeechToTextConfig.
        feature_dim: filterbanks per frame.
        num_transcript_labels: size of the transcript vocabulary without blank; needed with CTC only.
        max_frames: the longest utterance that fairseq may send here.
    """

    def __init__(self, cfg, feature_dim: int, num_transcript_labels: int, max_frames: int):
        super().__init__(None)
        self.cfg, self.max_frames = cfg, max_frames
        dim = cfg.encoder_embed_dim
        layer_type, final_norm = ENCODER_LAYERS[cfg.encoder]
        form = relative_positions(cfg)
        self.subsampling = Subsampling(feature_dim, cfg.conv_channels, dim, kernel_sizes(cfg))
        self.positions = SinusoidalPositions(dim) if form == "none" else None
        self.dropout = nn.Dropout(cfg.dropout)
        self.layers = nn.ModuleList(
            layer_type(dim, cfg.encoder_ffn_embed_dim, cfg.encoder_attention_heads, cfg, form) for _ in range(cfg.encoder_layers if layer_type else 0)
        )
        self.norm = nn.LayerNorm(dim) if final_norm else nn.Identity()
        self.num_labels = num_transcript_labels + 1  # with the blank
        self.ctc_head = nn.Linear(dim, self.num_labels) if cfg.ctc_layer else None

    def forward(self, src_tokens, src_lengths, with_ctc: bool = True) -> SpeechStates:
        """Encode filterbanks (B, T, feature_dim) with src_lengths (B,) frames; T may exceed the longest.

        Without `with_ctc` the CTC logits are computed only where compression needs them, and not returned.
        """
        dtype = self.subsampling.convolutions[0].weight.dtype
        x, padding = self.subsampling(src_tokens.to(dtype), src_lengths)
        x = x * math.sqrt(x.size(-1))
        if self.positions is not None:
            x = x + self.positions(0, x.size(1)).to(x.dtype)
        x = self.dropout(x)
        context, ctc, segments = self.context(padding), None, None
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, context)
            if number == self.cfg.ctc_layer and (with_ctc or self.cfg.ctc_compression != "none"):
                ctc = CTCOutput(self.ctc_head(x), context.lengths) if with_ctc else None
                if self.cfg.ctc_compression != "none":
                    num_sentences = max(1, LOGITS_AT_ONCE // (x.size(1) * self.num_labels))
                    logits = [ctc.logits] if with_ctc else map(self.ctc_head, x.split(num_sentences))
                    x, padding, segments = compress(x, logits, padding, self.cfg)
                    context = self.context(padding)
                    ctc = ctc and ctc._replace(compressed_lengths=context.lengths)
        return SpeechStates(self.norm(x).masked_fill(padding[..., None], 0), padding, ctc, segments)

    @property
    def frames_per_state(self) -> int:
        """Before compression."""
        return 2 ** len(self.subsampling.convolutions)

    def context(self, padding) -> SpeechContext:
        keep = ~padding
        positions = None
        if self.layers:
            positions = self.layers[0].self_attn.positions(padding.size(1), self.cfg.encoder_embed_dim, padding.device)
        return SpeechContext(padding, keep[:, None, None], keep.sum(1), positions)

    def forward_torchscript(self, net_input) -> SpeechStates:
        """The entry that searches call: decoding does not need the CTC logits."""
        return self(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)

    def reorder_encoder_out(self, encoder_out: SpeechStates, new_order) -> SpeechStates:
        return SpeechStates(encoder_out.states.index_select(0, new_order), encoder_out.padding.index_select(0, new_order))

    def max_positions(self) -> int:
        return self.max_frames
