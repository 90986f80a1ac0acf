"""`speechllm score`: the output of fairseq-generate against the references of the manifest.

The references come from the manifest as they were written, never through the tokenizer, and every row is scored exactly once.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data import manifest
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.outputs.generated_texts import read_in_rows
from speechllm_plugin.scoring import comet, score_table
from speechllm_plugin.scoring.metrics import METRICS, Metric
from speechllm_plugin.scoring.significance import CONFIDENCE, NUM_RESAMPLES, SEED, Comparison, compare, interval

# What can be asked for: an error rate comes in two kinds, of the texts as they are and normalised.
CHOICES = {"wer": ["wer", "wer_normalised"], "cer": ["cer", "cer_normalised"], **{name: [name] for name in ("bleu", "chrf", "ter", "comet")}}


class Score(NamedTuple):
    """One line of the table; low and high are the ends of the bootstrap interval, nan where too few sentences tell."""

    metric: str
    score: float
    low: float
    high: float
    signature: str


class Outputs(NamedTuple):
    """One system's outputs on a test set of N sentences.

    statistics: metric -> (N, K), what each sentence adds.
    """

    metrics: Sequence[Metric]
    statistics: Mapping[str, np.ndarray]
    languages: Sequence[str]

    def scores(self, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> list[Score]:
        found = [(metric, interval(metric.formula, self.statistics[metric.name][None], num_resamples, seed)) for metric in self.metrics]
        return [Score(metric.name, each.score, each.low, each.high, metric.signature(self.languages)) for metric, each in found]

    def of(self, rows: Sequence[int]) -> "Outputs":
        """The outputs for some of the sentences."""
        statistics = {name: each[rows] for name, each in self.statistics.items()}
        return Outputs(self.metrics, statistics, [self.languages[row] for row in rows])

    def score_only(self) -> dict[str, float]:
        """Metric -> score, without an interval."""
        return {metric.name: float(metric.formula(self.statistics[metric.name].sum(0))) for metric in self.metrics}

    def compare(self, other: "Outputs", num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> dict[str, Comparison]:
        """Metric -> difference to another system on the same sentences."""
        pairs = {metric: (self.statistics[metric.name][None], other.statistics[metric.name][None]) for metric in self.metrics}
        return {metric.name: compare(metric.formula, *pair, num_resamples, num_resamples, seed) for metric, pair in pairs.items()}


def measure(metrics: Sequence[Metric], hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> Outputs:
    """The statistics of a system's hypotheses.

    Args:
        metrics: what to compute.
        hypotheses, references: a text for each sentence.
        languages: of the references; "" where unknown.

    Raises:
        ValueError: there are not as many of each, no reference has any text, or the references of a metric have none that it
            counts (normalisation removes punctuation).
    """
    if not any(reference.strip() for reference in references):
        raise ValueError(f"scoring needs reference text, but all {len(references)} references (tgt_text) are empty")
    outputs = Outputs(metrics, {metric.name: metric.statistics(hypotheses, references, languages) for metric in metrics}, languages)
    _check_scores(outputs.score_only(), f"{len(references)} references")
    return outputs


def rows_by(column: str, utterances: Sequence[manifest.Utterance]) -> dict[str, list[int]]:
    """Value of the column -> its rows, values sorted.

    Raises:
        ValueError: the manifest has no such column.
    """
    rows: dict[str, list[int]] = {}
    for row, utterance in enumerate(utterances):
        rows.setdefault(_value(utterance, column), []).append(row)
    return dict(sorted(rows.items()))


def mean_over(values: Mapping[str, Outputs], column: str) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Value -> metric -> score, and the mean of each metric, in which every value counts the same.

    Raises:
        ValueError: the references of one value have no text.
    """
    scores = {value: outputs.score_only() for value, outputs in values.items()}
    for value, each in scores.items():
        _check_scores(each, f"references with {column} {value!r}")
    names = next(iter(scores.values()))
    return scores, {name: sum(each[name] for each in scores.values()) / len(scores) for name in names}


def add_arguments(parser):
    parser.add_argument("--hypotheses", nargs="+", required=True, metavar="FILE", help="output of fairseq-generate (of all shards)")
    parser.add_argument("--manifest", required=True, metavar="FILE", help="the TSV that was decoded; its tgt_text is scored")
    default = [name for name in CHOICES if name != "comet"]
    parser.add_argument("--metrics", nargs="+", choices=list(CHOICES), default=default, help="(default: all but comet, a model to install)")
    parser.add_argument("--by", metavar="COLUMN", help="also score each value of this column of the manifest, e.g. tgt_lang, and their mean")
    against = "output of another system for the same manifest: also print the differences, and whether they may be chance"
    parser.add_argument("--against", nargs="+", metavar="FILE", help=against)
    resamples = "of the bootstrap intervals, and of both tests (default: %(default)s)"
    parser.add_argument("--resamples", type=int, default=NUM_RESAMPLES, metavar="N", help=resamples)
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="of the resamples (default: %(default)s)")
    parser.add_argument("--comet-model", default=comet.DEFAULT_MODEL, metavar="MODEL", help="name, or path of a .ckpt (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the scores to this file as well")


def run(args):
    if args.resamples < 1:
        raise ValueError(f"--resamples must be positive, but is {args.resamples}")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")
    if args.json is not None:
        check_writable("--json", args.json)
    utterances = manifest.read(args.manifest)
    texts = read_in_rows(args.hypotheses, utterances, args.manifest)
    other_texts = None if args.against is None else read_in_rows(args.against, utterances, args.manifest)
    rows = {} if args.by is None else rows_by(args.by, utterances)
    sources, references, languages = zip(*((each.src_text, each.tgt_text, each.tgt_lang) for each in utterances))
    chosen = dict.fromkeys(name for choice in args.metrics for name in CHOICES[choice])
    metrics = [comet.metric(sources, args.comet_model) if name == "comet" else METRICS[name] for name in chosen]

    try:
        outputs = measure(metrics, texts, references, languages)
        values = {value: outputs.of(rows_of_value) for value, rows_of_value in rows.items()}
        of_values, mean = mean_over(values, args.by) if values else ({}, {})
    except ValueError as error:
        raise ValueError(f"{' '.join(args.hypotheses)} against {args.manifest}: {error}") from error
    scores = outputs.scores(args.resamples, args.seed)
    lines = score_table.scores(scores, len(utterances), num_empty=sum(not reference.strip() for reference in references))
    report = {
        "hypotheses": args.hypotheses,
        "manifest": args.manifest,
        "num_sentences": len(utterances),
        **{"num_resamples": args.resamples, "seed": args.seed, "confidence": CONFIDENCE},
        "metrics": {each.metric: _as_json(score=each.score, low=each.low, high=each.high, signature=each.signature) for each in scores},
    }
    if values:
        numbers = {value: len(rows_of_value) for value, rows_of_value in rows.items()}
        lines += ["", *score_table.by_value(args.by, {value: (numbers[value], each) for value, each in of_values.items()}, mean)]
        of_values = {value: {"num_sentences": numbers[value], "metrics": _signed(each, values[value])} for value, each in of_values.items()}
        report |= {"by": args.by, "values": of_values, "mean": _signed(mean, outputs)}
    if other_texts is not None:
        other = measure(metrics, other_texts, references, languages)
        found = other.score_only(), outputs.compare(other, args.resamples, args.seed)
        lines += ["", *score_table.comparisons(scores, *found, len(utterances), args.resamples)]
        # One run each: no deviation over seeds.
        differences = {name: _as_json(score=score, **dict(zip(Comparison._fields[:-1], found[1][name]))) for name, score in found[0].items()}
        report["against"] = {"hypotheses": args.against, "metrics": differences}
    if args.json is not None:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _signed(scores, outputs):
    return {metric.name: {"score": scores[metric.name], "signature": metric.signature(outputs.languages)} for metric in outputs.metrics}


def _check_scores(scores, where):
    missing = [name for name, score in scores.items() if math.isnan(score)]
    if missing:
        raise ValueError(f"{' '.join(missing)} cannot be computed: the {where} (tgt_text) have no text that counts; score other metrics or rows")


def _as_json(**values):
    """JSON has no nan, which stands for what cannot be known of so few sentences."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _value(utterance, column):
    if column in manifest.UTTERANCE_COLUMNS:
        return str(getattr(utterance, column))
    if column not in utterance.extra:
        columns = " ".join([*manifest.UTTERANCE_COLUMNS, *utterance.extra])
        raise ValueError(f"--by must be a column of the manifest ({columns}), but is {column}; correct it")
    return utterance.extra[column]
