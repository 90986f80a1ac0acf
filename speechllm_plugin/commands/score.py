"""`speechllm score`: the output of fairseq-generate against the references of the manifest.

The references come from the manifest as they were written, never through the tokenizer, and every row is scored exactly once.
"""

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from speechllm_plugin.data import manifest
from speechllm_plugin.files.atomic import check_writable
from speechllm_plugin.outputs.generated_texts import read_in_rows
from speechllm_plugin.scoring import score_file, score_table
from speechllm_plugin.scoring.ceiling import ceiling
from speechllm_plugin.scoring.group_mean import mean_of_groups
from speechllm_plugin.scoring.measuring import check_scores, measure, rows_by
from speechllm_plugin.scoring.metrics import COMET, check_installed, choices, chosen, comet
from speechllm_plugin.scoring.metrics.hot_word_rates import metrics_of
from speechllm_plugin.scoring.significance import CONFIDENCE, MOST_RESAMPLES, NUM_RESAMPLES, SEED
from speechllm_plugin.text import hot_word_list


def add_arguments(parser: ArgumentParser) -> None:
    add, metrics = parser.add_argument, list(choices())
    add("--hypotheses", nargs="+", metavar="FILE", help="output of fairseq-generate (of all shards)")
    add(
        "--check",
        action="store_true",
        help="before a training: only check that these metrics can be computed for this manifest here; needs no hypotheses",
    )
    add("--manifest", required=True, metavar="FILE", help="the TSV that was decoded; its tgt_text is scored")
    add(
        "--metrics",
        nargs="+",
        choices=metrics,
        default=[name for name in metrics if name != COMET],
        help="wer and cer are computed of normalised texts as well (default: all but comet, a model to install)",
    )
    add("--by", metavar="COLUMN", help="also score each value of this column of the manifest, e.g. tgt_lang, and their mean")
    against = "output of another system for the same manifest: also print the differences, and whether they may be chance"
    add("--against", nargs="+", metavar="FILE", help=against)
    resamples = "number of resamples for the intervals and of trials for the tests (default: %(default)s)"
    add("--resamples", type=int, default=NUM_RESAMPLES, metavar="N", help=resamples)
    add("--seed", type=int, default=SEED, metavar="N", help="seed of the resamples and trials (default: %(default)s)")
    hot_words = "also score the words or phrases of this list (b_wer), all others (u_wer), how many of the list are found, and written falsely"
    add("--hot-words", metavar="FILE", help=hot_words)
    comet_model = "name of the COMET model, or path of its .ckpt (default: %(default)s)"
    add("--comet-model", default=comet.DEFAULT_MODEL, metavar="MODEL", help=comet_model)
    add("--json", metavar="FILE", help="write the scores to this file as well")


def run(args: Namespace) -> None:
    check_arguments(args)
    utterances = manifest.read(args.manifest)
    sources, references, languages = zip(*((each.src_text, each.tgt_text, each.tgt_lang) for each in utterances))
    metrics = chosen([name for choice in args.metrics for name in choices()[choice]], sources, args.comet_model)
    if args.hot_words is not None:
        listed = hot_word_list.read(args.hot_words)
        if not listed.words:
            raise ValueError(f"{listed.summary()}: scoring needs some; add words, or leave out --hot-words")
        print(listed.summary(), file=sys.stderr)
        metrics += metrics_of(listed.words)
    if args.check:
        check_installed(args.metrics, languages, args.comet_model)
        print(f"{args.manifest}: {' '.join(args.metrics)} can be computed")
        return
    texts, targets = read_in_rows(args.hypotheses, utterances, args.manifest)
    other_texts = None if args.against is None else read_in_rows(args.against, utterances, args.manifest).hypotheses
    rows = {} if args.by is None else rows_by(args.by, utterances)
    try:
        outputs = measure(metrics, texts, references, languages)
        groups = {value: outputs.of(rows_of_value) for value, rows_of_value in rows.items()}
        scores_of_groups = {value: group.score_only() for value, group in groups.items()}
        for value, group in groups.items():
            check_scores(group, f"references with {args.by} {value!r}")
    except ValueError as error:
        raise ValueError(f"{' '.join(args.hypotheses)} against {args.manifest}: {error}") from error
    scores = outputs.scores(args.resamples, args.seed)
    lines = score_table.scores(scores, len(utterances), num_empty=sum(not reference.strip() for reference in references))
    report = {
        "hypotheses": args.hypotheses,
        "manifest": args.manifest,
        "num_sentences": len(utterances),
        **{"num_resamples": args.resamples, "seed": args.seed, "confidence": CONFIDENCE},
        "metrics": score_file.of_scores(scores),
    }
    if groups:
        numbers = {value: len(rows_of_value) for value, rows_of_value in rows.items()}
        mean = {metric.name: mean_of_groups(known([each[metric.name] for each in scores_of_groups.values()])) for metric in metrics}
        lines += ["", *score_table.by_value(args.by, {value: (numbers[value], each) for value, each in scores_of_groups.items()}, mean)]
        values = {
            value: {"num_sentences": numbers[value], "metrics": score_file.of_group(each, groups[value])} for value, each in scores_of_groups.items()
        }
        report |= {"by": args.by, "values": values, "mean": score_file.of_group(mean, outputs)}
    if other_texts is not None:
        other = measure(metrics, other_texts, references, languages)
        found = other.score_only(), outputs.compare(other, args.resamples, args.seed)
        lines += ["", *score_table.comparisons(scores, *found, len(utterances), args.resamples)]
        report["against"] = {"hypotheses": args.against, "metrics": score_file.of_comparisons(*found)}
    if targets is not None:
        highest = ceiling([metric for metric in metrics if metric.name != COMET], targets, references, languages)
        lines += score_table.ceiling(highest, targets, references)
        report |= {"ceiling": highest.scores} if highest.scores else {}
    if args.json is not None:
        score_file.write(args.json, report)
    print("\n".join(lines))


def check_arguments(args: Namespace) -> None:
    """Raise ValueError for values that are no use, before the work."""
    if not (args.check or args.hypotheses):
        raise ValueError("--hypotheses must name the output of fairseq-generate")
    if not 1 <= args.resamples <= MOST_RESAMPLES:
        raise ValueError(f"--resamples must be from 1 to {MOST_RESAMPLES:,}, but is {args.resamples}")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")
    if args.json is not None:
        check_writable("--json", args.json)


def known(scores: Sequence[float]) -> Sequence[float]:
    """Those of the scores that there are; one that there is not where there are none."""
    return [score for score in scores if not math.isnan(score)] or [math.nan]
