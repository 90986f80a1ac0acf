"""`speechllm score`: the output of fairseq-generate against the references of the manifest.

fairseq-generate numbers its lines by the row of the manifest (`D-0` is the first utterance). The references come from
the manifest as they were written, never through the tokenizer, and every row is scored exactly once.
"""

import collections
import json
import re
from typing import NamedTuple

import sacrebleu.metrics

from speechllm_plugin.atomic_file import replacing
from speechllm_plugin.data import manifest
from speechllm_plugin.scoring import wer
from speechllm_plugin.scoring.normalise import normalise

# A sentence's hypotheses stand together: H-, D-, P- (A-, I-, E- with some options) for each of its n best.
HYPOTHESIS_LINE = re.compile(r"([HDPAIE])-(\d+)[\t_]")

NUM_ROWS_SHOWN = 5


class Score(NamedTuple):
    """One line of the table."""

    metric: str
    score: float
    signature: str


def read_hypotheses(paths):
    """The best detokenised hypothesis of every decoded sentence, from files that fairseq-generate wrote.

    Args:
        paths: one file, or the files of all shards of a test set.

    Returns:
        (row, text) pairs in the files' order; row is the manifest's, from 0. Of an n-best list the first, which is the
        best. A row that was decoded twice is there twice.

    Raises:
        ValueError: a D- line is cut, or no file has one.
    """
    hypotheses = []
    for path in paths:
        open_row = None  # the row whose n-best list the file is in
        with open(path, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(_decoded(lines, path), start=1):
                match = HYPOTHESIS_LINE.match(line)
                row = int(match[2]) if match else None
                if line.startswith("D-"):
                    text = _detokenised_text(line, f"{path}:{number}")
                    if row != open_row:
                        hypotheses.append((row, text))
                    open_row = row
                elif row != open_row:
                    open_row = None
    if not hypotheses:
        raise ValueError(f"{' '.join(map(str, paths))}: no D- line; give a file that holds the output of fairseq-generate")
    return hypotheses


def select_by_row(hypotheses, utterances):
    """The texts in the manifest's order, one for every row.

    Args:
        hypotheses: (row, text) pairs, rows from 0.
        utterances: rows of the manifest.

    Raises:
        ValueError: a hypothesis has no row, or a row has no hypothesis or several.
    """
    count = collections.Counter(row for row, _ in hypotheses)
    beyond = sorted(row for row in count if row >= len(utterances))
    if beyond:
        raise ValueError(
            f"every hypothesis needs a row of the manifest, but {len(beyond)} are beyond its {len(utterances)} rows "
            f"(first: {_first(beyond)}); give the manifest that was decoded"
        )
    ids = [f"{row} {utterance.id}" for row, utterance in enumerate(utterances)]
    doubled = [ids[row] for row in sorted(count) if count[row] > 1]
    if doubled:
        raise ValueError(
            f"every row needs one hypothesis, but {len(doubled)} of {len(utterances)} have several "
            f"(first: {_first(doubled)}); give the output of one run"
        )
    missing = [ids[row] for row in range(len(utterances)) if row not in count]
    if missing:
        raise ValueError(
            f"every row needs one hypothesis, but {len(missing)} of {len(utterances)} have none "
            f"(first: {_first(missing)}); decode all rows of the manifest"
        )
    texts = dict(hypotheses)
    return [texts[row] for row in range(len(utterances))]


def word_error_rates(hypotheses, references):
    """The word error rate of the texts as they are, and normalised."""
    return _error_rates("wer", "word", wer.word_error_rate, hypotheses, references)


def character_error_rates(hypotheses, references):
    """The character error rate of the texts as they are, and normalised."""
    return _error_rates("cer", "character", wer.character_error_rate, hypotheses, references)


def bleu(hypotheses, references):
    """sacreBLEU's BLEU, with its defaults."""
    return [_sacrebleu_score("bleu", sacrebleu.metrics.BLEU(), hypotheses, references)]


def chrf(hypotheses, references):
    """sacreBLEU's chrF2, with its defaults."""
    return [_sacrebleu_score("chrf", sacrebleu.metrics.CHRF(), hypotheses, references)]


METRICS = {"wer": word_error_rates, "cer": character_error_rates, "bleu": bleu, "chrf": chrf}


def compute(metrics, hypotheses, references):
    """The scores of the named METRICS, two for an error rate (raw and normalised).

    Raises:
        ValueError: no reference has any text.
    """
    if not any(reference.strip() for reference in references):
        raise ValueError(f"scoring needs reference text, but all {len(references)} references (tgt_text) are empty")
    return [score for metric in dict.fromkeys(metrics) for score in METRICS[metric](hypotheses, references)]


def compute_by(column, metrics, hypotheses, utterances):
    """The scores of each value of a column (say tgt_lang), and their mean, in which every value counts the same.

    Returns:
        {value: (number of sentences, scores)}, values sorted, and the mean scores.

    Raises:
        ValueError: the manifest has no such column, or one value's references are all empty.
    """
    groups = {}
    for hypothesis, utterance in zip(hypotheses, utterances):
        pair = groups.setdefault(_value(utterance, column), ([], []))
        pair[0].append(hypothesis)
        pair[1].append(utterance.tgt_text)
    scores = {value: (len(groups[value][0]), compute(metrics, *groups[value])) for value in sorted(groups)}
    together = zip(*(scores_of_value for _, scores_of_value in scores.values()))
    mean = [Score(same[0].metric, sum(score.score for score in same) / len(same), same[0].signature) for same in together]
    return scores, mean


def format_table(scores, num_sentences, by=None):
    """Aligned lines: metric, score, number of sentences, signature; with `by` a column per value and one of their mean after them."""
    lines = [f"{'metric':<14}  {'score':>6}  {'sentences':>9}  signature"]
    for metric, score, signature in scores:
        lines.append(f"{metric:<14}  {score:>6.2f}  {num_sentences:>9}  {signature}")
    if by is not None:
        column, scores_by_value, mean = by
        names = [*(f"{value or '(empty)'} ({number})" for value, (number, _) in scores_by_value.items()), "mean"]
        widths = [max(7, len(name)) for name in names]
        lines += ["", "  ".join([f"{'by ' + column:<14}", *(name.rjust(width) for name, width in zip(names, widths))])]
        for index, (metric, average, _) in enumerate(mean):
            values = [*(scores_of_value[index].score for _, scores_of_value in scores_by_value.values()), average]
            lines.append("  ".join([f"{metric:<14}", *(f"{value:{width}.2f}" for value, width in zip(values, widths))]))
    return "\n".join(lines)


def add_arguments(parser):
    parser.add_argument(
        "--hypotheses", nargs="+", required=True, metavar="FILE", help="output of fairseq-generate (of all shards)"
    )
    parser.add_argument("--manifest", required=True, metavar="FILE", help="the TSV that was decoded; its tgt_text is scored")
    parser.add_argument("--metrics", nargs="+", choices=list(METRICS), default=list(METRICS), help="(default: all)")
    parser.add_argument("--by", metavar="COLUMN", help="also score each value of this column of the manifest, e.g. tgt_lang, and their mean")
    parser.add_argument("--json", metavar="FILE", help="write the scores to this file as well")


def run(args):
    utterances = manifest.read(args.manifest)
    hypotheses = read_hypotheses(args.hypotheses)
    by = None
    try:
        texts = select_by_row(hypotheses, utterances)
        scores = compute(args.metrics, texts, [utterance.tgt_text for utterance in utterances])
        if args.by is not None:
            by = (args.by, *compute_by(args.by, args.metrics, texts, utterances))
    except ValueError as error:
        raise ValueError(f"{' '.join(args.hypotheses)} against {args.manifest}: {error}") from error
    if args.json is not None:
        report = {
            "hypotheses": args.hypotheses,
            "manifest": args.manifest,
            "num_sentences": len(utterances),
            "metrics": _as_json(scores),
        }
        if by is not None:
            values = {value: {"num_sentences": number, "metrics": _as_json(each)} for value, (number, each) in by[1].items()}
            report |= {"by": by[0], "values": values, "mean": _as_json(by[2])}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(format_table(scores, len(utterances), by))


def _as_json(scores):
    return {metric: {"score": score, "signature": signature} for metric, score, signature in scores}


def _value(utterance, column):
    if column in manifest.COLUMNS:
        return str(getattr(utterance, column))
    if column not in utterance.extra:
        columns = " ".join([*manifest.COLUMNS, *utterance.extra])
        raise ValueError(f"--by must be a column of the manifest ({columns}), but is {column}")
    return utterance.extra[column]


def _error_rates(name, unit, rate, hypotheses, references):
    return [
        Score(name, rate(hypotheses, references), wer.signature(unit, normalised=False)),
        Score(
            f"{name}_normalised",
            rate([normalise(text) for text in hypotheses], [normalise(text) for text in references]),
            wer.signature(unit, normalised=True),
        ),
    ]


def _sacrebleu_score(name, metric, hypotheses, references):
    score = metric.corpus_score(hypotheses, [references]).score
    return Score(name, score, str(metric.get_signature()))


def _detokenised_text(line, place):
    fields = line.rstrip("\r\n").split("\t", 2)
    if len(fields) < 3 or not fields[0][2:].isdecimal():
        raise ValueError(f"{place}: a D- line needs row, score and text, but is {line.rstrip()!r}; decode again")
    return fields[2]


def _decoded(lines, path):
    """The lines of a file that must be UTF-8."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but {error}") from error


def _first(rows):
    return ", ".join(map(str, rows[:NUM_ROWS_SHOWN]))
