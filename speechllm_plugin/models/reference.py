"""Reads checkpoints of the code of Lam et al. 2025 (FBK-fairseq) into the models of this package, without running any of it."""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.models import registry, saved_model
from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.models.saved_model import SavedModel
from speechllm_plugin.models.speech_to_text import Sizes, SpeechToTextModel

# --arch of the reference -> ours, and the encoder
REFERENCE_ARCHITECTURES = {
    "s2t_transformer_fbk": ("xattn_transformer", "transformer"),
    "conformer": ("xattn_transformer", "conformer"),
    "s2tlm_transformer_fbk": ("dfp_transformer", "transformer"),
    "s2tlm_conformer": ("dfp_transformer", "conformer"),
}

# Settings of the reference that mean the same here, under the same name.
SHARED_SETTINGS = [
    "encoder_embed_dim",
    "encoder_attention_heads",
    "conv_channels",
    "conv_kernel_sizes",
    "decoder_layers",
    "decoder_embed_dim",
    "decoder_ffn_embed_dim",
    "decoder_attention_heads",
    "share_decoder_input_output_embed",
    "dropout",
    "attention_dropout",
    "activation_dropout",
]

# Settings that change what is computed, and their values that mean what our models do. A checkpoint without one is older than it.
SUPPORTED: dict[str, list[Any]] = {
    "activation_fn": ["relu"],
    "adaptive_input": [False, None],
    "adaptive_softmax_cutoff": [None],
    "cross_self_attention": [False],
    "ctc_compress_strategy": ["none", "avg", "weighted", "softmax", "fixed"],
    "decoder_learned_pos": [False],
    "decoder_normalize_before": [True],
    "distance_penalty": [False, None],
    "encoder_learned_pos": [False],
    "encoder_normalize_before": [True],
    "layernorm_embedding": [False],
    "no_cross_attention": [False],
    "no_decoder_final_norm": [False],
    "no_scale_embedding": [False],
    "no_token_positional_embeddings": [False],
}
SUPPORTED_IN_CONFORMER: dict[str, list[Any]] = {
    "batch_unsafe_relative_shift": [False],
    "conformer_half_step_residual": [True],
    "conv_expansion_factor": [2],
}

# Settings of training alone -> the flags used instead, which have the same value unless training on is to differ; without a flag, 0.
TRAINING_ONLY: dict[str, list[str]] = {"decoder_layerdrop": [], "encoder_layerdrop": [], "quant_noise_pq": []}
TRAINING_ONLY_IN_CONFORMER = {
    "conformer_attention_dropout": ["attention_dropout"],
    "conformer_conv_dropout": ["dropout"],
    "conformer_feedforward_dropout": ["activation_dropout", "dropout"],
    "no_syncbatchnorm": ["legacy_batch_norm"],
}

# Old names to new ones, in this order; what matches none of them keeps its name.
RENAMED: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r"encoder\.subsample\.conv_layers", "encoder.subsampling.convolutions"),
    (r"encoder\.(?:transformer|conformer)_layers", "encoder.layers"),
    (r"encoder\.layer_norm", "encoder.norm"),
    (r"encoder\.ctc_fc", "encoder.ctc_head"),
    (r"decoder\.embed_tokens", "decoder.embedding"),
    (r"decoder\.layer_norm", "decoder.norm"),
    (r"\.self_attn_layer_norm", ".self_attn_norm"),
    (r"\.encoder_attn_layer_norm", ".cross_attn_norm"),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.final_layer_norm", ".feed_forward.norm"),
    (r"(layers\.\d+)\.(fc[12])", r"\1.feed_forward.\2"),
    (r"_feed_forward\.layernorm", "_feed_forward.norm"),
    (r"\.first_linear", ".fc1"),
    (r"\.second_linear", ".fc2"),
    (r"\.attention\.layer_norm", ".self_attn_norm"),
    (r"\.attention\.attention\.", ".self_attn."),
    (r"\.u_bias", ".content_bias"),
    (r"\.v_bias", ".position_bias"),
    (r"\.pos_proj", ".position_proj"),
    (r"\.(query|key|value)_proj", lambda match: f".{match[1][0]}_proj"),
    (r"\.conv_module\.layernorm", ".convolution.norm"),
    (r"\.conv_module\.", ".convolution."),
    (r"\.batchnorm", ".batch_norm"),
    (r"\.first_pointwise_conv1d", ".pointwise_in"),
    (r"\.second_pointwise_conv1d", ".pointwise_out"),
    (r"\.depthwise_conv1d", ".depthwise"),
    (r"(encoder\.layers\.\d+)\.layernorm", r"\1.final_norm"),
]
CONSTANTS = re.compile(r"positional_encoding\.pe$|decoder\.version$|embed_positions\._float_tensor$")


def load_reference(path: str | Path) -> SpeechToTextModel:
    """The model of a reference checkpoint, or of what `speechllm import` made of it, in eval mode.

    Its dictionary has placeholders for types, as a checkpoint names none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or computes what our models do not.
    """
    checkpoint = checkpoint_file.load(path)
    return build(saved_model.parse(checkpoint, path) if checkpoint.get("args") is None else convert(checkpoint, path), path)


def build(saved: SavedModel, path: str | Path) -> SpeechToTextModel:
    """The model in eval mode, its vocabularies made up, with the sizes that the weights have."""
    target, features = (size_of(saved, name, path) for name in ("decoder.embedding.weight", "encoder.subsampling.convolutions.0.weight"))
    num_transcript_types = size_of(saved, "encoder.ctc_head.bias", path)[0] - 1 if saved.cfg.ctc_layer else 0
    limits = saved.task["max_source_positions"], saved.task["max_target_positions"]
    try:
        model = registry.build(saved.arch, saved.cfg, Sizes(features[1], num_transcript_types, *limits), target[0])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    problems = saved_model.differences(saved.weights, model.state_dict())
    if problems:
        raise ValueError(f"{path}: its weights (there) are not those of the model that its settings describe (here); {'; '.join(problems)}")
    model.load_state_dict(saved.weights)
    return model.eval()


def size_of(saved: SavedModel, name: str, path: str | Path) -> torch.Size:
    if name not in saved.weights:
        raise ValueError(f"{path}: must have the weights {name}, or what they were called in the study's code, but has not")
    return saved.weights[name].shape


def convert(checkpoint: dict, path: str | Path) -> SavedModel:
    """A reference checkpoint under our names."""
    args = checkpoint.get("args")
    if not isinstance(args, Namespace):
        raise ValueError(f"{path}: must be a checkpoint of the study's code, which has its settings in args, but has none there")
    args, weights = vars(args), convert_weights(saved_model.tensors(checkpoint, path))
    if args.get("arch") not in REFERENCE_ARCHITECTURES:
        raise ValueError(f"{path}: --arch must be one of {', '.join(REFERENCE_ARCHITECTURES)}, but is {args.get('arch')}")
    try:
        check_settings(args, path)
        arch, cfg = read_settings(args, weights)
        task = {name: args[name] for name in ("max_source_positions", "max_target_positions")}
    except KeyError as error:
        raise ValueError(f"{path}: a checkpoint of the study's code has the setting {error}, but this has not") from error
    return SavedModel(arch, cfg, weights, task, {})


def check_settings(args: dict[str, Any], path: str | Path) -> None:
    """Raise ValueError for a setting that makes the reference compute what our models do not."""
    dim, encoder = [args["decoder_embed_dim"]], REFERENCE_ARCHITECTURES[args["arch"]][1]
    supported = {**SUPPORTED, "decoder_input_dim": dim, "decoder_output_dim": dim}
    if encoder == "conformer":
        supported |= SUPPORTED_IN_CONFORMER
        if not args["encoder_layers"]:
            raise ValueError(f"{path}: encoder_layers must be at least 1 with --arch {args['arch']}, but is 0")
    for name, values in supported.items():
        if name in args and args[name] not in values:
            raise ValueError(f"{path}: {name} must be {' or '.join(map(str, values))}, as only that is implemented here, but is {args[name]}")


def read_settings(args: dict[str, Any], weights: dict[str, Tensor]) -> tuple[str, SpeechToTextConfig]:
    """Our architecture and its flags, for the reference's settings and the converted weights."""
    arch, encoder = REFERENCE_ARCHITECTURES[args["arch"]]
    flags = {name: args[name] for name in SHARED_SETTINGS} | {"encoder": encoder, "encoder_ffn_embed_dim": args["encoder_ffn_embed_dim"]}
    if args["encoder_layers"]:
        flags["encoder_layers"] = args["encoder_layers"]
    else:
        flags["encoder"] = "none"
    if "encoder.ctc_head.weight" in weights:  # the reference decides it by the name of the criterion
        flags["ctc_layer"] = args["ctc_encoder_layer"]
        flags["ctc_compression"] = args["ctc_compress_strategy"]
        flags["ctc_compression_stride"] = args["ctc_compress_fixed_ratio"]
        flags["ctc_compression_max_length"] = max(args["ctc_compress_max_out_size"], 0) if flags["ctc_compression"] != "none" else 0
    if encoder == "conformer":
        flags["relative_positions"] = "legacy"
        flags["legacy_batch_norm"] = True  # in training the reference counts padding
        flags["depthwise_conv_kernel_size"] = args["conformer_conv_kernel_size"]
        flags["encoder_ffn_embed_dim"] = args["feed_forward_expansion_factor"] * args["encoder_embed_dim"]
    if arch == "dfp_transformer":
        flags["causal_prefix"] = args["causal_prompt_mask"]
    return arch, registry.architectures()[arch].config(**flags)


def other_training(args: Mapping[str, Any], cfg: SpeechToTextConfig) -> list[str]:
    """The settings of its training that training here would not repeat, with their values."""
    names = TRAINING_ONLY | (TRAINING_ONLY_IN_CONFORMER if cfg.encoder == "conformer" else {})
    used = {name: {getattr(cfg, flag) for flag in flags} or {0} for name, flags in names.items()}
    return [f"{name} {args[name]}" for name, values in used.items() if name in args and values != {args[name]}]


def convert_weights(old: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names: query, key and value in one matrix, pointwise convolutions as linear layers."""
    new = {}
    for name, weight in old.items():
        if CONSTANTS.search(name):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        new[name] = weight.squeeze(-1) if "pointwise" in name and weight.dim() == 3 else weight
    for name in [name for name in new if ".k_proj." in name]:
        joined = "kv" if ".cross_attn." in name else "qkv"
        parts = [name.replace(".k_proj.", f".{letter}_proj.") for letter in joined]
        if all(part in new for part in parts):  # otherwise these names are reported as unknown
            new[name.replace(".k_proj.", f".{joined}_proj.")] = torch.cat([new.pop(part) for part in parts])
    return new
