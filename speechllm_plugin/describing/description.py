"""The facts of a model that `speechllm describe` prints, as one dictionary; --json prints it as it is:

file, name (without folder and .sh), arch
encoder      kind, layers, dim, ffn_dim, heads, positions (sinusoidal, xl, legacy, rope, own, or none: the decoder gives some),
             depthwise_conv_kernel_size (null: no Conformer), legacy_batch_norm, frames_per_state, conv_channels and conv_kernel_sizes
             (null: another subsampling)
decoder      kind (transformer, conformer), layers, dim, ffn_dim, heads, conv_kernel_size (null: no Conformer), speech_ffn, shared_embeddings,
             positions (sinusoidal, rope), prefix_positions (none, own, continued; null: the speech is no prefix)
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

from pathlib import Path

from torch import nn

from speechllm_plugin.describing import matching
from speechllm_plugin.describing.setting import Setting, depends_on_data
from speechllm_plugin.models import cost
from speechllm_plugin.models.config import (
    DFPConfig,
    SpeechToTextConfig,
    gives_positions_to_speech,
    has_effect,
    has_encoder_layers,
    has_flag_positions,
    num_encoder_layers,
    relative_positions,
)
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.models.subsampling import ConvolutionalSubsampling, kernel_sizes


def facts(file: Path, arch: str, cfg: SpeechToTextConfig, setting: Setting) -> dict:
    """The dictionary above, of a model that has the flags of a model file."""
    model = setting.shapes(arch, cfg)
    lengths, parameters = setting.lengths(model), count_parameters(model)
    training_step, decoding = cost.training_step(model, lengths), cost.decoding(model, lengths, setting.beam)
    has_layers, has_convolutions = has_encoder_layers(cfg), isinstance(model.encoder.subsampling, ConvolutionalSubsampling)
    compression = {
        "kind": cfg.ctc_compression,
        "layer": cfg.ctc_layer,
        "max_length": cfg.ctc_compression_max_length or None,
        "rate": setting.rate(cfg),
        "rate_is_assumed": setting.compression_rate is None and depends_on_data(cfg),
    }
    return {
        "file": str(file),
        "name": file.stem,
        "arch": arch,
        "encoder": {
            "kind": cfg.encoder,
            "layers": num_encoder_layers(cfg),
            "dim": cfg.encoder_embed_dim,
            "ffn_dim": cfg.encoder_ffn_embed_dim if has_layers else None,
            "heads": cfg.encoder_attention_heads if has_layers else None,
            "positions": positions_of(cfg),
            "depthwise_conv_kernel_size": cfg.depthwise_conv_kernel_size if has_effect("depthwise_conv_kernel_size", cfg) else None,
            "legacy_batch_norm": cfg.legacy_batch_norm,
            "frames_per_state": model.encoder.frames_per_state,
            "conv_channels": cfg.conv_channels if has_convolutions else None,
            "conv_kernel_sizes": kernel_sizes(cfg) if has_convolutions else None,
        },
        "decoder": {
            "kind": cfg.decoder_layer,
            "layers": cfg.decoder_layers,
            "dim": cfg.decoder_embed_dim,
            "ffn_dim": cfg.decoder_ffn_embed_dim,
            "heads": cfg.decoder_attention_heads,
            "conv_kernel_size": cfg.decoder_conv_kernel_size if has_effect("decoder_conv_kernel_size", cfg) else None,
            "speech_ffn": isinstance(cfg, DFPConfig) and cfg.speech_ffn,
            "shared_embeddings": cfg.share_decoder_input_output_embed,
            "positions": cfg.decoder_positions,
            "prefix_positions": cfg.prefix_positions if isinstance(cfg, DFPConfig) else None,
        },
        "masks": {"speech": model.decoder.speech_mask, "text": "causal"},
        "ctc": {"layer": cfg.ctc_layer, "labels": model.encoder.num_labels} if cfg.ctc_layer else None,
        "compression": compression if model.encoder.compresses else None,
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


def positions_of(cfg: SpeechToTextConfig) -> str:
    """The positions of the speech in the encoder: `sinusoidal`, a form of --relative-positions, `own`, or `none`."""
    form = relative_positions(cfg)
    if not has_encoder_layers(cfg) and gives_positions_to_speech(cfg):
        return "none"
    return "own" if not has_flag_positions(cfg) else "sinusoidal" if form == "none" else form


def count_parameters(model: SpeechToTextModel) -> dict[str, int]:
    """Parameters by part, and their total; an output projection that is the embedding counts there."""
    tied = model.decoder.output_projection.weight is model.decoder.embedding.weight
    parts = {
        "ctc_head": 0 if model.encoder.ctc_head is None else count(model.encoder.ctc_head),
        "input_embedding": count(model.decoder.embedding),
        "output_projection": 0 if tied else count(model.decoder.output_projection),
    }
    encoder = count(model.encoder) - parts["ctc_head"]
    decoder = count(model.decoder) - parts["input_embedding"] - parts["output_projection"]
    return {"total": count(model), "encoder": encoder, "decoder": decoder, **parts}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def match(arch: str, cfg: SpeechToTextConfig, setting: Setting, by: str) -> dict:
    """Sizes of prepending models that cost what this cross-attention model costs; `by` is a key of MEASURES."""
    if not architectures()[arch].model.decoder_type.cross_attention:
        raise ValueError(f"--match proposes models that match one with cross-attention, but --arch is {arch}: give a file with xattn_transformer")

    def measure(cfg: SpeechToTextConfig) -> int:
        return MEASURES[by](setting.shapes(matching.ARCH, cfg), setting)

    def described(proposal: matching.Proposal) -> dict:
        model = setting.shapes(matching.ARCH, proposal.cfg)
        return {
            "flags": proposal.flags,
            **{name: measure(model, setting) for name, measure in MEASURES.items()},
            "difference_percent": 100 * (proposal.cost - target) / target,
            "is_smallest": proposal.is_smallest,
        }

    target = MEASURES[by](setting.shapes(arch, cfg), setting)
    found = matching.proposals(cfg, measure, target)
    same_sizes = matching.same_sizes(cfg, measure)
    return {"by": by, "target": target, "proposals": [described(each) for each in found], "same_sizes": described(same_sizes)}


# --match -> what to match: a function of a model and a Setting
MEASURES = {
    "parameters": lambda model, setting: count_parameters(model)["total"],
    "flops": lambda model, setting: sum(cost.training_step(model, setting.lengths(model)).values()),
}
