"""The facts of a model file as text, for a reader: its layers and masks, parameters, operations, and models that match it."""

from collections.abc import Callable

from speechllm_plugin.models.decoder_positions import DECODER_POSITIONS
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS

POSITIONS = {"sinusoidal": "sinusoidal", "own": "as the encoder has its own", "none": "none in the encoder"}
PREFIX = {
    None: "",
    "none": ", none for the speech before it",
    "own": ", and for the speech before it, which counts by itself",
    "continued": ", counted on from the speech before it",
}
SPEECH_MASKS = {
    None: "none: the speech is no prefix",
    "causal": "causal: a state sees itself and earlier ones",
    "full": "full: every state sees all states",
}


def text(described: dict) -> str:
    """Of the facts that description.facts returns, with those of description.match as their entry `match`."""
    matching = proposals(described["match"]) if "match" in described else []
    return "\n".join([described["file"], *structure(described), *parameters(described), *operations(described), *matching])


def structure(described: dict) -> list[str]:
    encoder, decoder, ctc, compression = (described[name] for name in ("encoder", "decoder", "ctc", "compression"))
    place_of_speech = architectures()[described["arch"]].model.decoder_type.place_of_speech
    positions = POSITIONS.get(encoder["positions"]) or SELF_ATTENTIONS[encoder["positions"]].label
    lines = {
        "architecture": f"{described['arch']}: {place_of_speech}",
        "subsampling": f"{subsampling(encoder)}, width {encoder['dim']:,}",
        "encoder": f"{encoder['kind']}, {transformer_sizes(encoder)}" if encoder["layers"] else "none",
        "decoder": f"{decoder['kind']}, {transformer_sizes(decoder)}",
        "positions": f"speech {positions}; text {DECODER_POSITIONS[decoder['positions']].label}{PREFIX[decoder['prefix_positions']]}",
        "speech mask": SPEECH_MASKS[described["masks"]["speech"]],
        "text mask": "causal: a token sees itself and earlier ones",
        "CTC": "none",
        "compression": "none",
    }
    if encoder["depthwise_conv_kernel_size"]:
        lines["encoder"] += f", convolution over {encoder['depthwise_conv_kernel_size']} states"
    if decoder["conv_kernel_size"]:
        lines["decoder"] += f", convolution over {decoder['conv_kernel_size']} states, of text up to itself"
    if decoder["speech_ffn"]:
        lines["decoder"] += ", feed-forward networks of its own for speech"
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


def subsampling(encoder: dict) -> str:
    if encoder["conv_kernel_sizes"] is None:
        return f"{encoder['frames_per_state']} frames to a state, in the encoder's own way"
    kernels = ", ".join(map(str, encoder["conv_kernel_sizes"]))
    return f"convolutions with kernels {kernels} and stride 2, {encoder['conv_channels']:,} channels inside"


def transformer_sizes(part: dict) -> str:
    return f"{part['layers']} layers, width {part['dim']:,}, feed-forward {part['ffn_dim']:,}, {part['heads']} heads"


def parameters(described: dict) -> list[str]:
    counts = described["parameters"]
    return ["", f"parameters            {counts['total']:>13,}", *(parts(counts, lambda count: f"{count:>13,}"))]


def operations(described: dict) -> list[str]:
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


def parts(numbers: dict[str, int], form: Callable[[int], str]) -> list[str]:
    """A line for each number that is not zero; `total` and `beam` stand elsewhere."""
    shown = {name.replace("_", " ").replace("ctc", "CTC"): number for name, number in numbers.items() if name not in ("total", "beam") and number}
    return [f"  {name:<20}{form(number)}" for name, number in shown.items()]


def gigas(count: int) -> str:
    return f"{count / 1e9:>13,.2f}"


def proposals(found: dict) -> list[str]:
    what = {"parameters": f"{found['target']:,} parameters", "flops": f"{found['target'] / 1e9:,.2f} GFLOPs of a training step"}[found["by"]]
    lines = ["", f"prepending models for {what}, the nearest first", "difference   parameters  training GFLOPs  flags to append to MODEL_ARGS"]
    for proposal in [*found["proposals"], found["same_sizes"]]:
        note = "   (cannot shrink further)" if proposal["is_smallest"] else ""
        if proposal is found["same_sizes"]:
            note = "   (the same sizes, as in the study)"
        numbers = f"{proposal['difference_percent']:>+8.3f} %  {proposal['parameters']:>11,}  {proposal['flops'] / 1e9:>15,.2f}"
        lines.append(f"{numbers}  {' '.join(proposal['flags'])}{note}")
    return lines
