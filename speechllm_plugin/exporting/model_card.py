"""The card of a model: what it does, on what it was trained and how, and the scores that its run has on file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ARCHITECTURES = {"dfp_transformer": "dense feature prepending", "xattn_transformer": "cross-attention"}


def text(name: str, settings: Mapping[str, Any], score_files: Sequence[Path], about: str) -> str:
    """The card in Markdown.

    Args:
        settings: of model.json.
        score_files: of `speechllm score`.
        about: more Markdown, such as where the recordings are from.
    """
    parts = [f"# {name}", introduction(settings), about.strip(), scores(score_files), training(settings), usage(name, settings)]
    return "\n\n".join(part for part in parts if part) + "\n"


def introduction(settings: Mapping[str, Any]) -> str:
    languages, speech = settings["languages"], settings["training_speech"]
    kind = ARCHITECTURES.get(settings["arch"], settings["arch"])
    data = settings["trained_on"]
    sets = " and ".join(f"`{name}`" for name in data["subsets"])
    return (
        f"Speech {languages['task']} by {kind} (`--arch {settings['arch']}`, {settings['num_parameters']:,} parameters, stored as "
        f"{settings['dtype']}), from speech in {listed(languages['speech'])} to text in {listed(languages['text'])}.\n\n"
        f"Trained on {speech['utterances']:,} utterances ({speech['hours']:.2f} hours) of {sets} in {data['corpus']}. They have "
        f"{speech['median_seconds']:g} s in the median and {speech['longest_seconds']:g} s at most: longer recordings are cut at pauses."
    )


def listed(languages: Sequence[str]) -> str:
    return ", ".join(languages) or "a language that the data does not name"


def scores(score_files: Sequence[Path]) -> str:
    """A table of what score files say."""
    if not score_files:
        return "## Scores\n\nNone: no score file was given, and none lay beside the checkpoint."
    rows = ["| test set | sentences | metric | score | 95% interval | signature |", "|---|---|---|---|---|---|"]
    for path in score_files:
        report = read_scores(path)
        for metric, found in report["metrics"].items():
            interval = "" if found.get("low") is None else f"[{found['low']:.2f}, {found['high']:.2f}]"
            cells = [Path(report["manifest"]).stem, f"{report['num_sentences']:,}", metric, f"{found['score']:.2f}", interval, found["signature"]]
            rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "## Scores\n\n" + "\n".join(rows)


def read_scores(path: Path) -> dict[str, Any]:
    """The content of a file of `speechllm score --json`."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        rows = report["metrics"].values()
        assert all({"score", "signature"} <= found.keys() for found in rows) and {"manifest", "num_sentences"} <= report.keys()
    except (ValueError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(f"{path}: not a file of speechllm score --json; leave it out, or score again") from error
    return report


def training(settings: Mapping[str, Any]) -> str:
    parts = ("optimizer", "lr_scheduler", "dataset", "optimization", "criterion", "model", "common")
    optimizer, schedule, dataset, optimization, criterion, model, common = (settings["cfg"].get(name) or {} for name in parts)
    frames = (dataset.get("max_tokens") or 0) * (optimization.get("update_freq") or [1])[0]
    rates = ", ".join(f"{rate:g}" for rate in schedule.get("lr") or [])
    averaged = settings["averaged_checkpoints"]
    sizes = [f"{side} of {model.get(f'{side}_layers')} layers, {model.get(f'{side}_embed_dim')} channels" for side in ("encoder", "decoder")]
    ctc = f"CTC after encoder layer {model.get('ctc_layer')}, weight {criterion.get('ctc_weight')}, compression {model.get('ctc_compression')}"
    facts = [
        f"{model.get('encoder')} {sizes[0]}; {sizes[1]}; dropout {model.get('dropout')}",
        *([ctc] if model.get("ctc_layer") else []),
        f"{settings['num_updates']:,} updates of up to {frames:,} frames (10 ms) per process",
        *([f"mean of {', '.join(averaged)}"] if averaged else []),
        f"optimizer {optimizer.get('_name')}, learning rate {rates} ({schedule.get('_name')})",
        f"criterion {criterion.get('_name')}, label smoothing {criterion.get('label_smoothing')}, seed {common.get('seed')}",
        *(f"`--{name.replace('_', '-')} {path}`" for name, path in settings["started_from"].items()),
    ]
    return "## Training\n\n" + "\n".join(f"* {fact}" for fact in facts) + "\n\nAll flags are in `model.json`."


def usage(name: str, settings: Mapping[str, Any]) -> str:
    tags = settings["languages"]["tags"]
    language = f" --language {tags[0]}" if len(tags) > 1 else ""
    return (
        f"## Use\n\n    speechllm transcribe {name} recording.wav{language}\n"
        f"    fairseq-generate DATA --user-dir speechllm_plugin --task speechllm_speech_to_text --path {name} ...\n\n"
        "The second line runs in a clone of `speechllm_plugin`. "
        "`sha256sum -c checksums.sha256` in this folder checks its files. Nothing in it is code."
    )
