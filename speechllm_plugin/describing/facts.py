"""What `speechllm describe` says of a model, as one dictionary, which is what --json prints:

file, name (without folder and .sh), arch
encoder      kind, layers, dim, ffn_dim, heads, positions (sinusoidal, xl, legacy, rope), depthwise_conv_kernel_size (null: no Conformer),
             legacy_batch_norm, conv_channels, conv_kernel_sizes
decoder      layers, dim, ffn_dim, heads, shared_embeddings
masks        speech: causal, full, or null (the speech is no prefix of the text); text: causal
ctc          null, or layer, labels (the blank included)
compression  null, or kind, layer, max_length (states, null: no limit), rate (states before / after), rate_is_assumed
vocabulary   target, transcript (types, special symbols included)
parameters   total, and what adds up to it: encoder, ctc_head, decoder, input_embedding, output_projection (0: shared)
utterance    seconds, frames, states, compressed_states, tokens (the end token included)
flops        training_step: total, and what adds up to it: subsampling, encoder_layers, ctc_head, decoder_layers, output_projection;
             decoding: beam, total, and what adds up to it: encoder (with the CTC head if compression needs it), prefill, steps
match        with --match only: by, target, proposals (the nearest first) and same_sizes, which is the study's; each of these: flags (to
             append), parameters, flops (of a training step), difference_percent, is_smallest (the size cannot shrink further)
"""

import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from fairseq.data import Dictionary

from speechllm_plugin.describing import matching
from speechllm_plugin.describing.model_file import ARCHITECTURES
from speechllm_plugin.models.config import kernel_sizes, relative_positions
from speechllm_plugin.models.cost import Cost, Lengths, states_after_subsampling

FEATURE_DIM = 80
FRAMES_PER_SECOND = 100
# Ten seconds of speech are 250 states and about 40 tokens, each a run of labels and a run of blanks: some 80 segments, half as many without blanks.
ASSUMED_COMPRESSION_RATE = 3.0
ASSUMED_WITHOUT_BLANKS = {"drop_blanks": 6.0, "merge_blanks": 6.0}
SMALLEST_VOCABULARY = 5  # fairseq's four special symbols and a word


@dataclass
class Setting:
    """What a model file leaves open; `compression_rate` None is the assumed one, or the stride of fixed compression."""

    vocab_size: int
    transcript_vocab_size: int | None
    seconds: float
    tokens: int
    beam: int
    compression_rate: float | None

    def check(self, cfg) -> None:
        """Raise ValueError for a number that is out of range, or lacks or is too many for the model."""
        smallest = {"vocab_size": SMALLEST_VOCABULARY, "transcript_vocab_size": SMALLEST_VOCABULARY, "seconds": 1 / FRAMES_PER_SECOND}
        for name, value in vars(self).items():
            if value is not None and not smallest.get(name, 1) <= value < math.inf:
                raise ValueError(f"--{name.replace('_', '-')} must be at least {smallest.get(name, 1)}, but is {value}")
        if cfg.ctc_layer and self.transcript_vocab_size is None:
            raise ValueError(f"--ctc-layer {cfg.ctc_layer} predicts transcripts: give --transcript-vocab-size")
        if self.compression_rate is not None and not depends_on_data(cfg):
            raise ValueError(
                f"--compression-rate is for compression that depends on the data, but --ctc-compression is {cfg.ctc_compression}: leave it out"
            )

    def rate(self, cfg) -> float:
        """Speech states before / after compression."""
        name, known = cfg.ctc_compression, {"none": 1.0, "fixed": float(cfg.ctc_compression_stride)}
        return known.get(name) or self.compression_rate or ASSUMED_WITHOUT_BLANKS.get(name, ASSUMED_COMPRESSION_RATE)

    def lengths(self, cfg) -> Lengths:
        num_frames = round(self.seconds * FRAMES_PER_SECOND)
        num_states = states_after_subsampling(cfg, num_frames)
        num_compressed = min(math.ceil(num_states / self.rate(cfg)), cfg.ctc_compression_max_length or num_states)
        return Lengths(num_frames, num_states, num_compressed, self.tokens)

    def cost(self, arch, cfg) -> Cost:
        num_labels = self.transcript_vocab_size + 1 if cfg.ctc_layer else 0
        return Cost(cfg, has_cross_attention(arch), FEATURE_DIM, self.vocab_size, num_labels)


def facts(file: Path, arch: str, cfg, setting: Setting) -> dict:
    lengths, cost, parameters = setting.lengths(cfg), setting.cost(arch, cfg), count_parameters(arch, cfg, setting)
    training_step, decoding = cost.training_step(lengths), cost.decoding(lengths, setting.beam)
    has_encoder, form = cfg.encoder != "none", relative_positions(cfg)
    compression = {
        "kind": cfg.ctc_compression,
        "layer": cfg.ctc_layer,
        "max_length": cfg.ctc_compression_max_length or None,
        "rate": setting.rate(cfg),
        "rate_is_assumed": setting.compression_rate is None and cfg.ctc_compression != "fixed",
    }
    return {
        "file": str(file),
        "name": file.stem,
        "arch": arch,
        "encoder": {
            "kind": cfg.encoder,
            "layers": cfg.encoder_layers if has_encoder else 0,
            "dim": cfg.encoder_embed_dim,
            "ffn_dim": cfg.encoder_ffn_embed_dim if has_encoder else None,
            "heads": cfg.encoder_attention_heads if has_encoder else None,
            "positions": "sinusoidal" if form == "none" else form,
            "depthwise_conv_kernel_size": cfg.depthwise_conv_kernel_size if cfg.encoder == "conformer" else None,
            "legacy_batch_norm": cfg.legacy_batch_norm,
            "conv_channels": cfg.conv_channels,
            "conv_kernel_sizes": kernel_sizes(cfg),
        },
        "decoder": {
            "layers": cfg.decoder_layers,
            "dim": cfg.decoder_embed_dim,
            "ffn_dim": cfg.decoder_ffn_embed_dim,
            "heads": cfg.decoder_attention_heads,
            "shared_embeddings": cfg.share_decoder_input_output_embed,
        },
        "masks": {"speech": None if cost.cross_attention else "causal" if cfg.causal_prefix else "full", "text": "causal"},
        "ctc": {"layer": cfg.ctc_layer, "labels": cost.num_labels} if cfg.ctc_layer else None,
        "compression": None if cfg.ctc_compression == "none" else compression,
        "vocabulary": {"target": setting.vocab_size, "transcript": setting.transcript_vocab_size},
        "parameters": parameters,
        "utterance": {
            "seconds": setting.seconds,
            "frames": lengths.num_frames,
            "states": lengths.num_states,
            "compressed_states": lengths.num_compressed,
            "tokens": lengths.num_tokens,
        },
        "flops": {
            "training_step": {"total": sum(training_step.values()), **training_step},
            "decoding": {"beam": setting.beam, "total": sum(decoding.values()), **decoding},
        },
    }


def count_parameters(arch: str, cfg, setting: Setting) -> dict[str, int]:
    model = build(arch, cfg, setting)
    parts = {
        "ctc_head": count(model.encoder.ctc_head) if cfg.ctc_layer else 0,
        "input_embedding": count(model.decoder.embedding),
        "output_projection": 0 if cfg.share_decoder_input_output_embed else count(model.decoder.output_projection),
    }
    encoder = count(model.encoder) - parts["ctc_head"]
    decoder = count(model.decoder) - parts["input_embedding"] - parts["output_projection"]
    return {"total": count(model), "encoder": encoder, "decoder": decoder, **parts}


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def depends_on_data(cfg) -> bool:
    """Whether the number of states after compression does."""
    return cfg.ctc_compression not in ("none", "fixed")


def build(arch: str, cfg, setting: Setting, device: str = "meta", max_tokens: int = 0):
    """The model; on the device `meta` without weights: shapes only."""
    task = SimpleNamespace(
        target_dictionary=dictionary_of(setting.vocab_size),
        transcript_dictionary=dictionary_of(setting.transcript_vocab_size) if cfg.ctc_layer else None,
        data_config=SimpleNamespace(input_feat_per_channel=FEATURE_DIM),
        cfg=SimpleNamespace(max_source_positions=0, max_target_positions=max_tokens),  # limits of data sets and searches
    )
    with torch.device(device):
        return ARCHITECTURES[arch].build_model(cfg, task)


def dictionary_of(size: int) -> Dictionary:
    dictionary = Dictionary()
    for number in range(size - dictionary.nspecial):
        dictionary.add_symbol(f"word{number}")
    return dictionary


def has_cross_attention(arch: str) -> bool:
    return ARCHITECTURES[arch].decoder_type.cross_attention


def match(arch: str, cfg, setting: Setting, by: str) -> dict:
    """Sizes of prepending models that cost what this cross-attention model costs; by is a key of MEASURES."""
    if not has_cross_attention(arch):
        raise ValueError(f"--match proposes models that match one with cross-attention, but --arch is {arch}: give a file with xattn_transformer")

    def measure(cfg):
        return MEASURES[by](matching.ARCH, cfg, setting)

    def described(proposal):
        return {
            "flags": proposal.flags,
            **{name: measure(matching.ARCH, proposal.cfg, setting) for name, measure in MEASURES.items()},
            "difference_percent": 100 * (proposal.cost - target) / target,
            "is_smallest": proposal.is_smallest,
        }

    target = MEASURES[by](arch, cfg, setting)
    found = matching.proposals(cfg, measure, target)
    same_sizes = matching.same_sizes(cfg, measure)
    return {"by": by, "target": target, "proposals": [described(each) for each in found], "same_sizes": described(same_sizes)}


def count_training_step(arch: str, cfg, setting: Setting) -> int:
    return sum(setting.cost(arch, cfg).training_step(setting.lengths(cfg)).values())


# --match -> what to match
MEASURES = {"parameters": lambda *model: count_parameters(*model)["total"], "flops": count_training_step}
