"""The flags of the models, one dataclass field each, and what contradicts what."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

ENCODERS = ChoiceEnum(["conformer", "transformer", "none"])
RELATIVE_POSITIONS = ChoiceEnum(["auto", "none", "xl", "legacy", "rope"])
CTC_COMPRESSIONS = ChoiceEnum(["none", "avg", "weighted", "softmax", "fixed", "drop_blanks", "merge_blanks"])


@dataclass
class EncoderConfig(FairseqDataclass):
    encoder: ENCODERS = field(
        default="transformer", metadata={"help": "layers above the convolutional subsampler; none = the decoder reads it directly"}
    )
    encoder_layers: int = field(default=12, metadata={"help": "number of encoder layers"})
    encoder_embed_dim: int = field(default=512, metadata={"help": "channels of the speech states"})
    encoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "inner channels of a feed-forward network"})
    encoder_attention_heads: int = field(default=8, metadata={"help": "number of attention heads"})
    conv_channels: int = field(default=1024, metadata={"help": "channels inside the subsampler, before its gate halves them"})
    conv_kernel_sizes: str = field(
        default="5,5", metadata={"help": "kernel of each subsampling convolution, separated by commas; each halves the time"}
    )
    depthwise_conv_kernel_size: int = field(default=31, metadata={"help": "kernel of the Conformer's convolution, in states; odd"})
    legacy_batch_norm: bool = field(
        default=False,
        metadata={
            "help": "the Conformer's batch norm counts padding in its statistics, and each GPU's alone, as Lam et al. 2025's code: "
            "results depend on how batches are padded, so for comparison only"
        },
    )
    relative_positions: RELATIVE_POSITIONS = field(
        default="auto",
        metadata={
            "help": "positions in the encoder's self-attention: xl (Transformer-XL, both directions), rope, "
            "legacy (the form of Lam et al. 2025's code, for its checkpoints), none (sinusoids added to the input); "
            "auto = xl in the Conformer, none otherwise"
        },
    )
    init_encoder_from: Optional[str] = field(
        default=None, metadata={"help": "checkpoint whose encoder, with its CTC head, training starts from; made with the same encoder flags"}
    )


@dataclass
class CTCConfig(FairseqDataclass):
    ctc_layer: int = field(default=0, metadata={"help": "encoder layer whose output feeds the CTC head, from 1; 0 = no CTC"})
    ctc_compression: CTC_COMPRESSIONS = field(
        default="none",
        metadata={
            "help": "merge the CTC layer's states that share a CTC label: mean (avg), weighted by the label's probability, "
            "or by a softmax over it; fixed = mean of every --ctc-compression-stride states; drop_blanks = avg without blanks, unless "
            "there is nothing else; merge_blanks = avg with blanks in what follows them, those at the end in what precedes them"
        },
    )
    ctc_compression_stride: int = field(default=4, metadata={"help": "states merged into one by --ctc-compression fixed"})
    ctc_compression_max_length: int = field(
        default=0,
        metadata={
            "help": "longest output of --ctc-compression, in states: of an utterance with more, neighbouring segments are merged evenly "
            "until it has as many, each then the (weighted) mean of all its states; 0 = no limit"
        },
    )


@dataclass
class DecoderConfig(FairseqDataclass):
    decoder_layers: int = field(default=6, metadata={"help": "number of decoder layers"})
    decoder_embed_dim: int = field(default=512, metadata={"help": "channels of the decoder; equal to --encoder-embed-dim"})
    decoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "inner channels of a feed-forward network"})
    decoder_attention_heads: int = field(default=8, metadata={"help": "number of attention heads"})
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
    pass


@dataclass
class DFPConfig(SpeechToTextConfig):
    causal_prefix: bool = field(default=False, metadata={"help": "speech positions see only earlier speech positions; otherwise all of them"})


def check(cfg: SpeechToTextConfig) -> None:
    """Raise ValueError for sizes and options that contradict each other, naming the flags."""
    encoder_layers = 0 if cfg.encoder == "none" else cfg.encoder_layers
    for flag, dim, heads in (
        ("encoder", cfg.encoder_embed_dim, cfg.encoder_attention_heads),
        ("decoder", cfg.decoder_embed_dim, cfg.decoder_attention_heads),
    ):
        if dim < 4 or heads <= 0 or dim % heads or dim % 2:
            raise ValueError(f"--{flag}-embed-dim must be even and at least 4, and a multiple of --{flag}-attention-heads ({heads}), but is {dim}")
    if cfg.encoder != "none" and cfg.encoder_layers < 1:
        raise ValueError(f"--encoder-layers must be at least 1, but is {cfg.encoder_layers}: for no layers give --encoder none")
    if cfg.decoder_layers < 1:
        raise ValueError(f"--decoder-layers must be at least 1, but is {cfg.decoder_layers}")
    if cfg.relative_positions == "rope" and cfg.encoder_embed_dim // cfg.encoder_attention_heads % 2:
        raise ValueError(
            f"--relative-positions rope turns pairs of channels: --encoder-embed-dim ({cfg.encoder_embed_dim}) divided by "
            f"--encoder-attention-heads ({cfg.encoder_attention_heads}) must be even"
        )
    if cfg.encoder_embed_dim != cfg.decoder_embed_dim:
        raise ValueError(f"--decoder-embed-dim must equal --encoder-embed-dim ({cfg.encoder_embed_dim}), but is {cfg.decoder_embed_dim}")
    if cfg.conv_channels <= 0 or cfg.conv_channels % 2:
        raise ValueError(f"--conv-channels must be positive and even, as a gate halves it, but is {cfg.conv_channels}")
    if not 0 <= cfg.ctc_layer <= encoder_layers:
        raise ValueError(
            f"--ctc-layer must be between 0 and --encoder-layers ({encoder_layers} with --encoder {cfg.encoder}), but is {cfg.ctc_layer}"
        )
    if cfg.ctc_compression != "none" and not cfg.ctc_layer:
        raise ValueError(f"--ctc-compression {cfg.ctc_compression} needs CTC: give --ctc-layer, from 1 to {encoder_layers}")
    if cfg.ctc_compression_stride < 1:
        raise ValueError(f"--ctc-compression-stride must be at least 1, but is {cfg.ctc_compression_stride}")
    if cfg.ctc_compression_max_length < 0:
        raise ValueError(f"--ctc-compression-max-length must not be negative (0 = no limit), but is {cfg.ctc_compression_max_length}")
    if cfg.ctc_compression_max_length and cfg.ctc_compression == "none":
        raise ValueError(f"--ctc-compression-max-length {cfg.ctc_compression_max_length} limits --ctc-compression, but that is none: give one")
    if cfg.legacy_batch_norm and cfg.encoder != "conformer":
        raise ValueError(f"--legacy-batch-norm needs --encoder conformer, as no other has a batch norm, but it is {cfg.encoder}: leave it out")
    if cfg.encoder == "conformer" and cfg.depthwise_conv_kernel_size % 2 == 0:
        raise ValueError(f"--depthwise-conv-kernel-size must be odd, but is {cfg.depthwise_conv_kernel_size}")
    if encoder_layers == 0 and cfg.relative_positions not in ("auto", "none"):
        raise ValueError(f"--relative-positions {cfg.relative_positions} needs encoder layers, but --encoder is {cfg.encoder}")
    kernel_sizes(cfg)


def kernel_sizes(cfg: EncoderConfig) -> list[int]:
    """The subsampler's kernel sizes as numbers; ValueError if the flag is no list of odd numbers."""
    try:
        sizes = [int(size) for size in cfg.conv_kernel_sizes.split(",")]
    except ValueError:
        sizes = [0]
    if any(size < 1 or size % 2 == 0 for size in sizes):
        raise ValueError(f"--conv-kernel-sizes must be odd numbers separated by commas, as in 5,5, but is {cfg.conv_kernel_sizes!r}")
    return sizes


def relative_positions(cfg: EncoderConfig) -> str:
    """The form of positions that `auto` stands for."""
    if cfg.relative_positions != "auto":
        return cfg.relative_positions
    return "xl" if cfg.encoder == "conformer" else "none"
