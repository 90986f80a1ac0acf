"""`speechllm describe`: what a model file builds, its parameters, and what one utterance costs in training and decoding."""

import json
from dataclasses import fields
from pathlib import Path

from speechllm_plugin.describing import model_file
from speechllm_plugin.describing.description import MEASURES, facts, match
from speechllm_plugin.describing.setting import Setting
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS

POSITIONS = {"sinusoidal": "sinusoidal", "own": "as the encoder has its own"}
SPEECH_MASKS = {
    None: "none: the speech is no prefix",
    "causal": "causal: a state sees itself and earlier ones",
    "full": "full: every state sees all states",
}


def add_arguments(parser):
    parser.add_argument(
        "model_file", metavar="MODEL_FILE", type=Path, help="file that sets MODEL_ARGS=(...), as those in recipes/models; it is read, not run"
    )
    parser.add_argument("--vocab-size", required=True, type=int, metavar="N", help="types of the target vocabulary, special symbols included")
    parser.add_argument("--transcript-vocab-size", type=int, metavar="N", help="the same of the transcripts' vocabulary; needed with CTC")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="length of the utterance (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=40, metavar="U", help="tokens of its text, the end token included (default: %(default)s)")
    parser.add_argument("--beam", type=int, default=5, metavar="K", help="hypotheses in decoding (default: %(default)s)")
    parser.add_argument(
        "--compression-rate",
        type=float,
        metavar="R",
        help="states before / after CTC compression, which depend on the data (default: an assumption that the output states)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; the docstring of describing/description.py has its keys")
    parser.add_argument(
        "--match",
        choices=list(MEASURES),
        help="propose prepending models with as many parameters, or FLOPs of a training step, as MODEL_FILE's, which has cross-attention",
    )


def run(args):
    setting = Setting(**{field.name: getattr(args, field.name) for field in fields(Setting)})
    arch, cfg = model_file.read(args.model_file)
    setting.check(cfg)
    described = facts(args.model_file, arch, cfg, setting)
    if args.match:
        described["match"] = match(arch, cfg, setting, args.match)
    if args.json:
        print(json.dumps(described, indent=2))
    else:
        print("\n".join([described["file"], *structure(described), *parameters(described), *operations(described), *proposals(described)]))


def structure(described) -> list[str]:
    encoder, decoder, ctc, compression = (described[name] for name in ("encoder", "decoder", "ctc", "compression"))
    place_of_speech = architectures()[described["arch"]].model.decoder_type.place_of_speech
    positions = POSITIONS.get(encoder["positions"]) or SELF_ATTENTIONS[encoder["positions"]].label
    lines = {
        "architecture": f"{described['arch']}: {place_of_speech}",
        "subsampling": f"{subsampling(encoder)}, width {encoder['dim']:,}",
        "encoder": f"{encoder['kind']}, {transformer_sizes(encoder)}" if encoder["layers"] else "none",
        "decoder": transformer_sizes(decoder),
        "positions": f"speech {positions}; text {POSITIONS['sinusoidal']}",
        "speech mask": SPEECH_MASKS[described["masks"]["speech"]],
        "text mask": "causal: a token sees itself and earlier ones",
        "CTC": "none",
        "compression": "none",
    }
    if encoder["depthwise_conv_kernel_size"]:
        lines["encoder"] += f", convolution over {encoder['depthwise_conv_kernel_size']} states"
    if encoder["legacy_batch_norm"]:
        lines["encoder"] += ", batch norm counts padding (legacy)"
    if ctc:
        lines["CTC"] = f"on encoder layer {ctc['layer']}: {ctc['labels'] - 1:,} labels and the blank"
    if compression:
        lines["compression"] = f"{compression['kind']} after encoder layer {compression['layer']}: {compression['rate']:g} states to one"
        if compression["rate_is_assumed"]:
            lines["compression"] += " (assumed: it depends on the data, and --compression-rate sets it)"
        if compression["max_length"]:
            lines["compression"] += f", at most {compression['max_length']:,} states"
    return [f"  {name:<14}{text}" for name, text in lines.items()]


def subsampling(encoder) -> str:
    if encoder["conv_kernel_sizes"] is None:
        return f"{encoder['frames_per_state']} frames to a state, in the encoder's own way"
    kernels = ", ".join(map(str, encoder["conv_kernel_sizes"]))
    return f"convolutions with kernels {kernels} and stride 2, {encoder['conv_channels']:,} channels inside"


def transformer_sizes(part) -> str:
    return f"{part['layers']} layers, width {part['dim']:,}, feed-forward {part['ffn_dim']:,}, {part['heads']} heads"


def parameters(described) -> list[str]:
    counts = described["parameters"]
    return ["", f"parameters            {counts['total']:>13,}", *(parts(counts, lambda count: f"{count:>13,}"))]


def operations(described) -> list[str]:
    utterance, training_step, decoding = described["utterance"], described["flops"]["training_step"], described["flops"]["decoding"]
    lengths = f"{utterance['seconds']:g} s of speech = {utterance['frames']:,} frames = {utterance['states']:,} states"
    if described["compression"]:
        lengths += f", {utterance['compressed_states']:,} after compression"
    return [
        "",
        f"GFLOPs of one utterance: {lengths}; {utterance['tokens']:,} tokens",
        f"training step         {gigas(training_step['total'])}   forward, and backward as twice that",
        *parts(training_step, gigas),
        f"decoding              {gigas(decoding['total'])}   beam {decoding['beam']}",
        *parts(decoding, gigas),
    ]


def parts(numbers, form) -> list[str]:
    """A line for each number that is not zero; `total` and `beam` stand elsewhere."""
    shown = {name.replace("_", " ").replace("ctc", "CTC"): number for name, number in numbers.items() if name not in ("total", "beam") and number}
    return [f"  {name:<20}{form(number)}" for name, number in shown.items()]


def gigas(count: int) -> str:
    return f"{count / 1e9:>13,.2f}"


def proposals(described) -> list[str]:
    if "match" not in described:
        return []
    found = described["match"]
    what = {"parameters": f"{found['target']:,} parameters", "flops": f"{found['target'] / 1e9:,.2f} GFLOPs of a training step"}[found["by"]]
    lines = ["", f"prepending models for {what}, the nearest first", "difference   parameters  training GFLOPs  flags to append to MODEL_ARGS"]
    for proposal in [*found["proposals"], found["same_sizes"]]:
        note = "   (cannot shrink further)" if proposal["is_smallest"] else ""
        if proposal is found["same_sizes"]:
            note = "   (the same sizes, as in the study)"
        numbers = f"{proposal['difference_percent']:>+8.3f} %  {proposal['parameters']:>11,}  {proposal['flops'] / 1e9:>15,.2f}"
        lines.append(f"{numbers}  {' '.join(proposal['flags'])}{note}")
    return lines
