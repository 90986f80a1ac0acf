"""The best settings of each model of a search, in the lines that `recipes/fillets/benchmark.sh --flags-of` reads."""

from pathlib import Path

from speechllm_plugin.experiments.summary_table import scores_of
from speechllm_plugin.scoring.metrics import METRICS


def best(candidates: list[tuple[str, str, float]], lower_is_better: bool) -> dict[str, tuple[str, float]]:
    """Model -> its best flags and their score; of equal scores the first counts.

    Args:
        candidates: model, flags, score.
    """
    found: dict[str, tuple[str, float]] = {}
    for model, flags, score in candidates:
        if model not in found or (score < found[model][1] if lower_is_better else score > found[model][1]):
            found[model] = flags, score
    return found


def main(split: str, metric: str, *fields: str) -> None:
    """Print `MODEL FLAG...` for the best by the metric; fields are model, flags and folder of each experiment in turn."""
    experiments = zip(fields[::3], fields[1::3], map(Path, fields[2::3]), strict=True)
    candidates = [(model, flags, scores_of(out, split)["metrics"][metric]["score"]) for model, flags, out in experiments]
    print(f"# MODEL FLAG...: the best {metric} on {split} of each model")
    for model, (flags, score) in best(candidates, METRICS[metric].lower_is_better).items():
        print(f"# {metric} {score:.2f} of {sum(name == model for name, _, _ in candidates)} settings", f"{model} {flags}".strip(), sep="\n")
