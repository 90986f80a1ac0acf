"""Checkpoints in the form of the study's code, with random weights: one encoder layer with CTC, one decoder layer."""

from argparse import Namespace

import torch
from tiny_model import (
    FEATURE_DIM,
    NUM_SPECIAL,
    NUM_TARGET_WORDS,
    NUM_TRANSCRIPT_WORDS,
)

DIM, HEADS, FFN, CHANNELS, KERNEL = 8, 2, 16, 12, 3
NUM_TARGET_TYPES, NUM_TRANSCRIPT_TYPES = NUM_SPECIAL + NUM_TARGET_WORDS, NUM_SPECIAL + NUM_TRANSCRIPT_WORDS
ARCHITECTURES = ["s2t_transformer_fbk", "conformer", "s2tlm_transformer_fbk", "s2tlm_conformer"]
SETTINGS = {
    "max_source_positions": 600,
    "max_target_positions": 100,
    "criterion": "ctc_multi_loss",
    "label_smoothing": 0.2,
    "ctc_weight": 0.3,
    "ctc_encoder_layer": 1,
    "ctc_compress_strategy": "avg",
    "ctc_compress_max_out_size": -1,
    "ctc_compress_fixed_ratio": 4,
    "no_syncbatchnorm": True,
    "batch_unsafe_relative_shift": False,
    "causal_prompt_mask": True,
    "conv_channels": CHANNELS,
    "conv_kernel_sizes": "5,3",
    "conformer_conv_kernel_size": KERNEL,
    "conformer_half_step_residual": True,
    "conformer_conv_dropout": 0.1,
    "conv_expansion_factor": 2,
    "feed_forward_expansion_factor": 2,
    "encoder_embed_dim": DIM,
    "encoder_ffn_embed_dim": FFN,
    "encoder_attention_heads": HEADS,
    "encoder_layers": 1,
    "encoder_normalize_before": True,
    "decoder_embed_dim": DIM,
    "decoder_ffn_embed_dim": FFN,
    "decoder_attention_heads": HEADS,
    "decoder_layers": 1,
    "decoder_normalize_before": True,
    "decoder_learned_pos": False,
    "decoder_input_dim": DIM,
    "decoder_output_dim": DIM,
    "decoder_layerdrop": 0.0,
    "activation_fn": "relu",
    "adaptive_softmax_cutoff": None,
    "share_decoder_input_output_embed": False,
    "no_token_positional_embeddings": False,
    "no_scale_embedding": False,
    "distance_penalty": False,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
}


def linear(name, out_dim, in_dim, *kernel):
    return {f"{name}.weight": (out_dim, in_dim, *kernel), f"{name}.bias": (out_dim,)}


def norm(name):
    return {f"{name}.weight": (DIM,), f"{name}.bias": (DIM,)}


def attention(name, projections="kvq"):
    names = [f"{name}.{projection}_proj" for projection in [*projections, "out"]]
    return {key: shape for each in names for key, shape in linear(each, DIM, DIM).items()}


def transformer_layer(name, cross_attention=False):
    cross = {**attention(f"{name}.encoder_attn"), **norm(f"{name}.encoder_attn_layer_norm")} if cross_attention else {}
    own = {**attention(f"{name}.self_attn"), **norm(f"{name}.self_attn_layer_norm")}
    return {**own, **cross, **linear(f"{name}.fc1", FFN, DIM), **linear(f"{name}.fc2", DIM, FFN), **norm(f"{name}.final_layer_norm")}


def conformer_layer(name):
    inner, conv = f"{name}.attention.attention", f"{name}.conv_module"
    shapes = attention(inner, ["query", "key", "value"]) | norm(f"{name}.attention.layer_norm") | norm(f"{name}.layernorm")
    shapes |= {f"{inner}.{bias}_bias": (HEADS, DIM // HEADS) for bias in "uv"} | {f"{inner}.pos_proj.weight": (DIM, DIM)}
    shapes |= linear(f"{conv}.first_pointwise_conv1d", 2 * DIM, DIM, 1) | linear(f"{conv}.second_pointwise_conv1d", DIM, DIM, 1)
    shapes |= norm(f"{conv}.layernorm") | norm(f"{conv}.batchnorm") | {f"{conv}.depthwise_conv1d.weight": (DIM, 1, KERNEL)}
    shapes |= {f"{conv}.batchnorm.running_{name}": (DIM,) for name in ("mean", "var")} | {f"{conv}.batchnorm.num_batches_tracked": ()}
    for part in ("first_feed_forward", "second_feed_forward"):
        shapes |= linear(f"{name}.{part}.first_linear", FFN, DIM) | linear(f"{name}.{part}.second_linear", DIM, FFN)
        shapes |= norm(f"{name}.{part}.layernorm")
    return shapes


def make(arch="s2tlm_conformer", feature_dim=FEATURE_DIM, vocabularies=(NUM_TARGET_TYPES, NUM_TRANSCRIPT_TYPES), **settings) -> dict:
    """What torch.save gets; `vocabularies` are the sizes of target and transcript, `settings` replace those of SETTINGS."""
    num_target_types, num_transcript_types = vocabularies
    conv = linear("encoder.subsample.conv_layers.0", CHANNELS, feature_dim, 5) | linear("encoder.subsample.conv_layers.1", 2 * DIM, CHANNELS // 2, 3)
    if "conformer" in arch:
        encoder = conformer_layer("encoder.conformer_layers.0")
    else:
        encoder = transformer_layer("encoder.transformer_layers.0") | norm("encoder.layer_norm")
    decoder = transformer_layer("decoder.layers.0", cross_attention="lm" not in arch) | norm("decoder.layer_norm")
    ends = linear("encoder.ctc_fc", num_transcript_types + 1, DIM)
    ends |= {f"decoder.{name}.weight": (num_target_types, DIM) for name in ("embed_tokens", "output_projection")}
    model = {name: torch.rand(shape) + 0.01 for name, shape in (conv | encoder | decoder | ends).items()}
    constants = {"decoder.version": torch.tensor([3.0]), "decoder.embed_positions._float_tensor": torch.zeros(1)}
    if "conformer" in arch:
        model["encoder.conformer_layers.0.conv_module.batchnorm.num_batches_tracked"] = torch.tensor(7)
        constants["encoder.conformer_layers.0.attention.positional_encoding.pe"] = torch.zeros(1, 10, DIM)
    return {
        "args": Namespace(arch=arch, **{**SETTINGS, **settings}),
        "model": {**model, **constants},
        "optimizer_history": [{"num_updates": 1234}],
        "extra_state": {},
        "last_optimizer_state": None,
    }
