"""Reads checkpoints of the code of Lam et al. 2025 (FBK-fairseq) into the models of this package, without running any of it."""

import re
from types import SimpleNamespace

import torch
from fairseq.data import Dictionary

from speechllm_plugin import safe_loading  # noqa: F401
from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig
from speechllm_plugin.models.speech_to_text import CrossAttentionModel, DFPModel

# --arch of the reference -> our model, its configuration and the encoder
ARCHITECTURES = {
    "s2t_transformer_fbk": (CrossAttentionModel, SpeechToTextConfig, "transformer"),
    "conformer": (CrossAttentionModel, SpeechToTextConfig, "conformer"),
    "s2tlm_transformer_fbk": (DFPModel, DFPConfig, "transformer"),
    "s2tlm_conformer": (DFPModel, DFPConfig, "conformer"),
}

# Settings of the reference that mean the same here, under the same name.
SHARED_SETTINGS = [
    "encoder_layers",
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

# Old names to new ones, in this order; what matches none of them keeps its name.
RENAMED = [
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
CONSTANTS = re.compile(r"positional_encoding\.pe$|decoder\.version$|embed_positions\.")


def load_reference(path):
    """The model of a reference checkpoint, in eval mode; its dictionary has placeholders for types, as the checkpoint names none.

    Raises:
        ValueError: the checkpoint is not one of the reference's speech-to-text models, or has weights that are not understood.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    args, old = vars(checkpoint["args"]), checkpoint["model"]
    if args["arch"] not in ARCHITECTURES:
        raise ValueError(f"{path}: --arch must be one of {', '.join(ARCHITECTURES)}, but is {args['arch']}")
    weights = convert_weights(old)
    model_type, cfg = read_settings(args, weights)
    num_labels = weights["encoder.ctc_head.bias"].numel() - 1 if cfg.ctc_layer else 0
    task = SimpleNamespace(
        target_dictionary=placeholder_dictionary(weights["decoder.embedding.weight"].size(0)),
        transcript_dictionary=placeholder_dictionary(num_labels) if num_labels else None,
        data_config=SimpleNamespace(input_feat_per_channel=args["input_feat_per_channel"] * args["input_channels"]),
        data_config_path=path,
        cfg=SimpleNamespace(max_source_positions=args["max_source_positions"], max_target_positions=args["max_target_positions"]),
    )
    model = model_type.build_model(cfg, task)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    return model.eval()


def read_settings(args: dict, weights: dict):
    """Our model class and its configuration, for the reference's settings and the converted weights."""
    model_type, config_type, encoder = ARCHITECTURES[args["arch"]]
    cfg = config_type(**{name: args[name] for name in SHARED_SETTINGS})
    cfg.encoder = encoder if cfg.encoder_layers else "none"
    cfg.encoder_ffn_embed_dim = args["encoder_ffn_embed_dim"]
    if "encoder.ctc_head.weight" in weights:                            # the reference decides it by the name of the criterion
        cfg.ctc_layer = args["ctc_encoder_layer"]
        cfg.ctc_compression = args["ctc_compress_strategy"]
        cfg.ctc_compression_stride = args["ctc_compress_fixed_ratio"]
    if encoder == "conformer":
        cfg.relative_positions = "legacy"
        cfg.depthwise_conv_kernel_size = args["conformer_conv_kernel_size"]
        cfg.encoder_ffn_embed_dim = args["feed_forward_expansion_factor"] * cfg.encoder_embed_dim
    if config_type is DFPConfig:
        cfg.causal_prefix = args["causal_prompt_mask"]
    return model_type, cfg


def convert_weights(old: dict) -> dict:
    """The weights under our names: query, key and value in one matrix, pointwise convolutions as linear layers."""
    new = {}
    for name, weight in old.items():
        if CONSTANTS.search(name):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        new[name] = weight.squeeze(-1) if "pointwise" in name and weight.dim() == 3 else weight
    for name in [name for name in new if ".k_proj." in name]:
        parts = {letter: name.replace(".k_proj.", f".{letter}_proj.") for letter in "qkv"}
        joined = "kv" if ".cross_attn." in name else "qkv"
        new[name.replace(".k_proj.", f".{joined}_proj.")] = torch.cat([new.pop(parts[letter]) for letter in joined])
    return new


def placeholder_dictionary(size: int) -> Dictionary:
    dictionary = Dictionary()
    for number in range(dictionary.nspecial, size):
        dictionary.add_symbol(f"type{number}")
    return dictionary
