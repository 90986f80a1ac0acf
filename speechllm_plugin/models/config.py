"""The flags of the models, one dataclass field each, and what contradicts what.

A flag that chooses from a table takes its choices from there when it is parsed; the flags that one entry alone reads stand in its file.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from speechllm_plugin.models.compressions import COMPRESSIONS
from speechllm_plugin.models.decoder_layers import DECODER_LAYERS
from speechllm_plugin.models.decoder_positions import DECODER_POSITIONS, PREFIX_POSITIONS
from speechllm_plugin.models.encoders import ENCODER_LAYERS
from speechllm_plugin.models.positions import FlagPositions
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.subsampling import kernel_sizes

# flag -> what it may be, now
CHOICES: dict[str, Callable[[], list[str]]] = {
    "encoder": lambda: [*ENCODER_LAYERS],
    "relative_positions": lambda: ["auto", *SELF_ATTENTIONS],
    "ctc_compression": lambda: ["none", *COMPRESSIONS],
    "decoder_layer": lambda: [*DECODER_LAYERS],
    "decoder_positions": lambda: [*DECODER_POSITIONS],
    "prefix_positions": lambda: [*PREFIX_POSITIONS],
}


class TableFlags(FairseqDataclass):
    """Flags whose choices are those that the tables have when the command line is parsed: entries may be added by then."""

    def _get_type(self, attribute_name: str) -> Any:
        return ChoiceEnum(CHOICES[attribute_name]()) if attribute_name in CHOICES else super()._get_type(attribute_name)


def own_flags(table: Mapping[str, Any]) -> Iterable[type]:
    """The dataclasses of flags that single entries of a table read."""
    return dict.fromkeys(entry.flags for entry in table.values() if entry.flags is not None)


@dataclass
class EncoderFlags(TableFlags):
    """The flags of every speech encoder."""

    encoder: str = field(default="transformer", metadata={"help": "layers above the subsampling; none = the decoder reads its states directly"})
    encoder_layers: int = field(default=12, metadata={"help": "number of encoder layers"})
    encoder_embed_dim: int = field(default=512, metadata={"help": "channels of the speech states"})
    encoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "inner channels of a feed-forward network"})
    encoder_attention_heads: int = field(default=8, metadata={"help": "number of attention heads"})
    conv_channels: int = field(default=1024, metadata={"help": "channels inside the subsampler, before its gate halves them"})
    conv_kernel_sizes: str = field(
        default="5,5", metadata={"help": "kernel of each subsampling convolution, separated by commas; each halves the time"}
    )
    relative_positions: str = field(
        default="auto",
        metadata={
            "help": "positions in the encoder: "
            + "; ".join(f"{name} = {form.help}" for name, form in SELF_ATTENTIONS.items())
            + "; auto = "
            + ", ".join(f"{kind.default_positions} in {name}" for name, kind in ENCODER_LAYERS.items() if kind.layer is not None)
        },
    )
    init_encoder_from: Optional[str] = field(
        default=None, metadata={"help": "checkpoint whose encoder, with its CTC head, training starts from; made with the same encoder flags"}
    )


@dataclass
class EncoderConfig(*own_flags(ENCODER_LAYERS), EncoderFlags):  # type: ignore[misc]  # a base for each entry that has flags
    """The flags of the speech encoder, those that single encoders read included."""


@dataclass
class CTCFlags(TableFlags):
    """The flags of CTC and of every compression."""

    ctc_layer: int = field(default=0, metadata={"help": "encoder layer whose output feeds the CTC head, from 1; 0 = no CTC"})
    ctc_compression: str = field(
        default="none",
        metadata={"help": "merge the states of the CTC layer: " + "; ".join(f"{name} = {strategy.help}" for name, strategy in COMPRESSIONS.items())},
    )
    ctc_compression_max_length: int = field(
        default=0,
        metadata={
            "help": "longest output of --ctc-compression, in states: of an utterance with more, neighbouring segments are merged evenly "
            "until it has as many, each then the (weighted) mean of all its states; 0 = no limit"
        },
    )


@dataclass
class CTCConfig(*own_flags(COMPRESSIONS), CTCFlags):  # type: ignore[misc]
    """The flags of CTC, those that single strategies of compression read included."""


@dataclass
class DecoderConfig(TableFlags):
    """The flags of both decoders, and the dropout of the whole model."""

    decoder_layers: int = field(default=6, metadata={"help": "number of decoder layers"})
    decoder_embed_dim: int = field(default=512, metadata={"help": "channels of the decoder; equal to --encoder-embed-dim"})
    decoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "inner channels of a feed-forward network"})
    decoder_attention_heads: int = field(default=8, metadata={"help": "number of attention heads"})
    decoder_layer: str = field(
        default="transformer",
        metadata={"help": "kind of the decoder's layers; a conformer's convolution sees no later text, and of speech what attention sees"},
    )
    decoder_conv_kernel_size: int = field(
        default=31, metadata={"help": "kernel of a Conformer decoder's convolution, odd: text reads its own place and the half before it"}
    )
    decoder_positions: str = field(
        default="sinusoidal",
        metadata={"help": "positions in the decoder: " + "; ".join(f"{name} = {form.help}" for name, form in DECODER_POSITIONS.items())},
    )
    share_decoder_input_output_embed: bool = field(default=False, metadata={"help": "the output projection is the embedding"})
    dropout: float = field(default=0.1, metadata={"help": "dropout probability of inputs and of each residual branch"})
    attention_dropout: float = field(default=0.1, metadata={"help": "dropout probability of attention weights"})
    activation_dropout: float = field(default=0.1, metadata={"help": "dropout probability inside feed-forward networks"})
    init_decoder_from: Optional[str] = field(
        default=None,
        metadata={"help": "checkpoint whose decoder training starts from, without embedding and output; made with the same decoder flags"},
    )


@dataclass
class SpeechToTextConfig(EncoderConfig, CTCConfig, DecoderConfig):
    """The flags of --arch xattn_transformer."""


@dataclass
class DFPConfig(SpeechToTextConfig):
    """The flags of --arch dfp_transformer."""

    causal_prefix: bool = field(default=False, metadata={"help": "speech positions see only earlier speech positions; otherwise all of them"})
    speech_ffn: bool = field(default=False, metadata={"help": "decoder layers have feed-forward networks of their own for speech positions"})
    prefix_positions: str = field(
        default="none",
        metadata={
            "help": "positions of the speech inside the decoder, in the form of --decoder-positions: "
            + "; ".join(f"{name} = {meaning}" for name, meaning in PREFIX_POSITIONS.items())
            + ". Without encoder layers, those of the encoder are left out where the decoder gives some"
        },
    )


def check(cfg: SpeechToTextConfig) -> None:
    """Raise ValueError for sizes and options that contradict each other, naming the flags."""
    for name, choices in CHOICES.items():
        if hasattr(cfg, name) and getattr(cfg, name) not in choices():
            raise ValueError(f"{flag(name)} must be one of {', '.join(choices())}, but is {getattr(cfg, name)}")
    check_sizes(cfg)
    check_dropout(cfg)
    check_encoder(cfg)
    check_ctc(cfg)
    for check_entry in [entry.check for table in (ENCODER_LAYERS, COMPRESSIONS) for entry in table.values()]:
        check_entry(cfg)


def check_sizes(cfg: SpeechToTextConfig) -> None:
    for part, dim, heads in (
        ("encoder", cfg.encoder_embed_dim, cfg.encoder_attention_heads),
        ("decoder", cfg.decoder_embed_dim, cfg.decoder_attention_heads),
    ):
        if dim < 4 or heads <= 0 or dim % heads or dim % 2:
            raise ValueError(f"--{part}-embed-dim must be even and at least 4, and a multiple of --{part}-attention-heads ({heads}), but is {dim}")
    if has_encoder_layers(cfg) and cfg.encoder_layers < 1:
        raise ValueError(f"--encoder-layers must be at least 1, but is {cfg.encoder_layers}: for no layers give --encoder none")
    if cfg.decoder_layers < 1:
        raise ValueError(f"--decoder-layers must be at least 1, but is {cfg.decoder_layers}")
    if cfg.encoder_embed_dim != cfg.decoder_embed_dim:
        raise ValueError(f"--decoder-embed-dim must equal --encoder-embed-dim ({cfg.encoder_embed_dim}), but is {cfg.decoder_embed_dim}")
    if cfg.decoder_conv_kernel_size < 1 or cfg.decoder_conv_kernel_size % 2 == 0:
        raise ValueError(f"--decoder-conv-kernel-size must be odd and positive, but is {cfg.decoder_conv_kernel_size}")
    if cfg.decoder_positions == "rope" and cfg.decoder_embed_dim // cfg.decoder_attention_heads % 2:
        raise ValueError(
            f"--decoder-positions rope turns pairs of channels: --decoder-embed-dim ({cfg.decoder_embed_dim}) divided by "
            f"--decoder-attention-heads ({cfg.decoder_attention_heads}) must be even"
        )
    if getattr(cfg, "speech_ffn", False) and cfg.decoder_layers == 1 and cfg.decoder_layer == "transformer":
        raise ValueError(
            "--speech-ffn has no effect with --decoder-layers 1 and --decoder-layer transformer, as nobody reads what becomes of speech in the "
            "last layer: leave it out, or give more layers"
        )
    if cfg.conv_channels <= 0 or cfg.conv_channels % 2:
        raise ValueError(f"--conv-channels must be positive and even, as a gate halves it, but is {cfg.conv_channels}")
    kernel_sizes(cfg)


def check_dropout(cfg: SpeechToTextConfig) -> None:
    for name in ("dropout", "attention_dropout", "activation_dropout"):
        if not 0 <= getattr(cfg, name) < 1:
            raise ValueError(f"{flag(name)} must be at least 0 and below 1, but is {getattr(cfg, name)}")


def check_encoder(cfg: SpeechToTextConfig) -> None:
    if cfg.relative_positions in ("auto", "none"):
        return
    if not has_encoder_layers(cfg):
        raise ValueError(f"--relative-positions {cfg.relative_positions} needs encoder layers, but --encoder is {cfg.encoder}")
    if not has_flag_positions(cfg):
        raise ValueError(f"--relative-positions {cfg.relative_positions}: --encoder {cfg.encoder} has positions of its own: leave it out")
    SELF_ATTENTIONS[cfg.relative_positions].check(cfg.encoder_embed_dim, cfg.encoder_attention_heads)


def check_ctc(cfg: SpeechToTextConfig) -> None:
    num_layers = num_encoder_layers(cfg)
    if not 0 <= cfg.ctc_layer <= num_layers:
        raise ValueError(f"--ctc-layer must be between 0 and --encoder-layers ({num_layers} with --encoder {cfg.encoder}), but is {cfg.ctc_layer}")
    if cfg.ctc_compression != "none" and not cfg.ctc_layer:
        raise ValueError(f"--ctc-compression {cfg.ctc_compression} needs CTC: give --ctc-layer, from 1 to {num_layers}")
    if cfg.ctc_compression_max_length < 0:
        raise ValueError(f"--ctc-compression-max-length must not be negative (0 = no limit), but is {cfg.ctc_compression_max_length}")
    if cfg.ctc_compression_max_length and cfg.ctc_compression == "none":
        raise ValueError(f"--ctc-compression-max-length {cfg.ctc_compression_max_length} limits --ctc-compression, but that is none: give one")


def flag(name: str) -> str:
    """The flag of a field: `--ctc-layer` of `ctc_layer`."""
    return f"--{name.replace('_', '-')}"


def has_encoder_layers(cfg: EncoderConfig) -> bool:
    return ENCODER_LAYERS[cfg.encoder].layer is not None


def num_encoder_layers(cfg: EncoderConfig) -> int:
    return cfg.encoder_layers if has_encoder_layers(cfg) else 0


def has_flag_positions(cfg: EncoderConfig) -> bool:
    """Whether the encoder's positions are as --relative-positions says; it may have its own."""
    return ENCODER_LAYERS[cfg.encoder].positions is FlagPositions


def gives_positions_to_speech(cfg: SpeechToTextConfig) -> bool:
    """Whether the decoder does."""
    return isinstance(cfg, DFPConfig) and cfg.prefix_positions != "none"


def relative_positions(cfg: EncoderConfig) -> str:
    """The form of positions that --relative-positions stands for, `auto` resolved."""
    return ENCODER_LAYERS[cfg.encoder].default_positions if cfg.relative_positions == "auto" else cfg.relative_positions


def for_parts(cfg: EncoderConfig) -> EncoderConfig:
    """The flags as the parts of an encoder get them: `auto` is resolved."""
    cfg = copy.copy(cfg)
    cfg.relative_positions = relative_positions(cfg)
    return cfg


def has_effect(name: str, cfg: SpeechToTextConfig) -> bool:
    """Whether a flag, by its field's name, changes a model with this encoder and compression."""
    if name in ("encoder_layers", "encoder_ffn_embed_dim", "encoder_attention_heads"):
        return has_encoder_layers(cfg)
    if name == "decoder_conv_kernel_size":
        return cfg.decoder_layer == "conformer"
    if name == "ctc_compression_max_length":
        return cfg.ctc_compression != "none"
    for table, chosen in ((ENCODER_LAYERS, cfg.encoder), (COMPRESSIONS, cfg.ctc_compression)):
        readers = [entry for entry, each in table.items() if each.flags is not None and name in {field.name for field in fields(each.flags)}]
        if readers:
            return chosen in readers
    return True
