"""The table that ends a recipe: parameters, scores and speeds of finished experiments, and where their files are."""

from pathlib import Path
from typing import Any

from speechllm_plugin.experiments import score_files
from speechllm_plugin.files import json_file, text_table
from speechllm_plugin.outputs import logs

COUNTED_METRICS = {"wer": "WER", "wer_normalised": "WER norm.", "cer": "CER", "bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
SPEED_HEADINGS = ("training frames/s", "decoding sentences/s")
NOT_KNOWN = "-"  # not scored with this metric, or not logged: fairseq's own criterions do not count frames
FILES_OF_AN_EXPERIMENT = {
    "training log": "train.log",
    "checkpoints": "checkpoints",
    "averaged model": "average.pt",
    "hypotheses": "generate-{split}.txt",
    "scores": "score-{split}.json",
}


def scores_of(out: Path, split: str) -> dict[str, Any]:
    """What `speechllm score` has written of an experiment."""
    return json_file.read_object(out / f"score-{split}.json", {"metrics": dict}, remedy="score again")


def cells_of(out: Path, split: str, normaliser: int = 0) -> dict[str, str]:
    """One experiment's cells, by heading.

    Args:
        normaliser: the version that the figures of the table have; those of an older one are left out, with a word.

    Raises:
        FileNotFoundError: it has not been scored.
        ValueError: its training has not ended an epoch, or its logs lack the number of parameters or the speed of decoding.
    """
    metrics = scores_of(out, split)["metrics"]
    training, decoding = logs.read_training(out / "train.log"), logs.read_decoding(out / f"generate-{split}.log")
    if training is None or training.num_parameters is None:
        raise ValueError(f"{out / 'train.log'}: does not say how many parameters the model has; train again")
    if (logs.TRAIN, "loss") not in training.curves:
        raise ValueError(f"{out / 'train.log'}: no epoch is complete; train longer")
    if decoding is None or decoding.sentences_per_second is None:
        raise ValueError(f"{out / f'generate-{split}.log'}: does not say how fast was decoded; decode again")
    return {
        "experiment": str(Path(*out.parts[-2:])),
        "parameters": f"{training.num_parameters:,}",
        **{
            heading: score_files.OUTDATED if score_files.is_outdated(metrics[name], normaliser) else f"{metrics[name]['score']:.2f}"
            for name, heading in COUNTED_METRICS.items()
            if name in metrics
        },
        SPEED_HEADINGS[0]: f"{training.frames_per_second:,.0f}" if training.frames_per_second else NOT_KNOWN,
        SPEED_HEADINGS[1]: f"{decoding.sentences_per_second:.1f}",
    }


def table(experiments: list[dict[str, str]]) -> list[str]:
    """Aligned lines; metrics are those of any experiment, in the order of COUNTED_METRICS."""
    metrics = [heading for heading in COUNTED_METRICS.values() if any(heading in cells for cells in experiments)]
    headings = ["experiment", "parameters", *metrics, *SPEED_HEADINGS]
    return text_table.aligned(headings, [[cells.get(heading, NOT_KNOWN) for heading in headings] for cells in experiments])


def main(split: str, *folders: str) -> None:
    outs = [Path(folder) for folder in folders]
    newest = score_files.newest_normaliser(scores_of(out, split) for out in outs)
    lines = table([cells_of(out, split, newest) for out in outs])
    print(f"\n{split}", *lines, *([score_files.NOTE] if score_files.OUTDATED in "".join(lines) else []), "", sep="\n")
    for out in outs:
        print(out)
        for what, name in FILES_OF_AN_EXPERIMENT.items():
            print(f"  {what:<15} {out / name.format(split=split)}")
