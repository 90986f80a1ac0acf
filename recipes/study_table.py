"""Writes OUT/table.md, shaped like the paper's Table 1, from what study.sh has finished:

python3 recipes/study_table.py --out OUT --seeds 1,2 [--not-the-papers TRAINING_FILE] MODEL_FILE...
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import NamedTuple

from summary import last_match

# Lam et al. 2025 (arXiv:2501.02370), Tables 1 to 3: row -> CoVoST2 WER, BLEU; MuST-C WER, BLEU en-es, en-de, en-x
PAPER = {
    "row1": (23.7, 25.6, 12.1, 26.9, 22.0, 25.1),
    "row2": (24.7, 24.6, 12.4, 26.9, 21.1, 24.6),
    "row3": (26.1, 24.6, 13.2, 27.4, 21.9, 25.3),
    "row4": (19.6, 29.7, 10.4, 29.9, 25.2, 28.6),
    "row4.1": (21.8, 28.5, 10.4, 30.2, 25.5, 28.1),
    "row5": (19.9, 29.7, 10.3, 30.2, 25.4, 28.3),
    "row5.1": (19.9, 29.7, 10.4, 30.7, 25.9, 28.0),
    "row6": (24.3, 25.3, 13.2, 27.2, 22.2, 26.8),
    "table3_row2": (24.6, None, 13.2, 25.8, 20.8, 16.5),
    "table3_row3": (28.7, None, 13.9, 26.0, 20.1, 24.2),
    "table3_row6": (26.6, None, 14.4, 26.0, 20.2, 25.5),
}
PAPER_SPEED = {"row1": 1, "row2": 0.96, "row3": 0.83, "row4": 0.97, "row4.1": 0.98, "row5": 0.94, "row5.1": 0.96, "row6": 0.70}
REPORTED_SOURCES = ["ca", "de", "es", "fr"]  # the paper's CoVoST2 figures are the mean of these
HEADINGS = {"wer_normalised": "WER", "bleu": "BLEU", "chrf": "chrF"}
NONE = "–"


class Column(NamedTuple):
    """One column: a metric of the experiments in a folder (corpus/task-sources-targets); paper is its place in PAPER's rows."""

    folder: str
    split: str
    metric: str
    paper: int | None

    @property
    def heading(self):
        corpus, _, name = self.folder.partition("/")
        task = name.partition("-")[0] if not self.split.endswith("_asr") else "joint asr"
        return f"{ {'mustc': 'MuST-C', 'covost2': 'CoVoST2'}[corpus] } {task} {name.partition('-')[2]} {HEADINGS[self.metric]}"


def columns_of(out, with_chrf):
    """What the finished experiments under OUT can fill, recognition first."""
    columns = []
    for folder in sorted({path.parents[1] for path in out.glob("*/*-*-*/*-seed*/score-*.json")}):
        corpus, kind, languages = folder.parts[-2], *folder.name.split("-", 1)
        split = {"mustc": "tst-COMMON", "covost2": "test"}[corpus]
        name = f"{corpus}/{folder.name}"
        if kind in ("asr", "joint"):
            paper = None if kind == "joint" else (2 if corpus == "mustc" else 0)
            columns.append(Column(name, split if kind == "asr" else f"{split}_asr", "wer_normalised", paper))
        if kind in ("st", "joint"):
            paper = None
            if kind == "st" and corpus == "covost2" and languages.endswith("-en"):
                paper = 1
            elif kind == "st" and corpus == "mustc":
                paper = 5 if languages.count("+") == 7 else {"en-es": 3, "en-de": 4}.get(languages)
            columns += [Column(name, split, metric, paper) for metric in (("bleu", "chrf") if with_chrf else ("bleu",))]
    return sorted(columns, key=lambda column: column.metric != "wer_normalised")


def score_of(path, column):
    """The score of one experiment: of a multilingual one the mean over its languages."""
    report = json.loads(path.read_text(encoding="utf-8"))
    values = report.get("values", {})
    if report.get("by") in ("src_lang", "tgt_lang") and set(REPORTED_SOURCES) <= set(values) and column.folder.startswith("covost2"):
        return statistics.mean(values[language]["metrics"][column.metric]["score"] for language in REPORTED_SOURCES)
    return (report.get("mean") or report["metrics"])[column.metric]["score"]


def cell(out, model, seeds, column, paper):
    """`measured ± deviation over seeds (paper's)`."""
    folders = [out / column.folder / f"{model}-seed{seed}" for seed in seeds]
    scores = [score_of(path, column) for path in (folder / f"score-{column.split}.json" for folder in folders) if path.exists()]
    measured = f"{statistics.mean(scores):.1f}" if scores else NONE
    measured += f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return measured + (f" ({paper[column.paper]})" if paper and column.paper is not None and paper[column.paper] is not None else "")


def sentences_per_second(out, model, seeds, column):
    """The median over the seeds, or None."""
    logs = [out / column.folder / f"{model}-seed{seed}" / f"generate-{column.split}.log" for seed in seeds]
    speeds = [float(last_match(log, r"([\d.]+) sentences/s")) for log in logs if log.exists()]
    return statistics.median(speeds) if speeds else None


def parameters(out, model, column):
    for log in sorted(out.glob(f"{column.folder}/{model}-seed*/train.log")):
        if re.search("num. shared model params", log.read_text(encoding="utf-8")):
            return last_match(log, r"num\. shared model params: ([\d,]+)")
    return NONE


def table(out, models, seeds, own_settings):
    """The lines of table.md."""
    columns = columns_of(out, with_chrf=own_settings is not None)
    if not columns:
        raise SystemExit(f"study_table.py: error: {out}: no experiment has been scored yet")
    last = columns[-1]
    speeds = {model: sentences_per_second(out, model, seeds, last) for model in models}
    base = next((speeds[model] for model in models if model.startswith("row1_")), None)
    headings = ["row", f"parameters ({last.folder})", *(column.heading for column in columns), f"decoding speed ({last.folder})"]
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for model in models:
        row = re.match(r"(table3_)?row[\d.]+", model)
        key = row[0] if row and own_settings is None else None
        speed = f"{speeds[model] / base:.2f}" if base and speeds[model] else NONE
        speed += f" ({PAPER_SPEED[key]})" if key in PAPER_SPEED else ""
        cells = [cell(out, model, seeds, column, PAPER.get(key)) for column in columns]
        lines.append("| " + " | ".join([model, parameters(out, model, last), *cells, speed]) + " |")
    notes = [
        "WER after removing punctuation; of multilingual models the mean over languages"
        + (" (CoVoST2: ca, de, es, fr)." if any(column.folder.startswith("covost2") for column in columns) else "."),
        f"Seeds: {', '.join(seeds)}" + ("; mean ± standard deviation." if len(seeds) > 1 else "."),
        "Decoding speed: sentences per second of fairseq-generate relative to row 1, on whatever else the machine did.",
    ]
    if own_settings is None:
        notes.append("In brackets: the figures of Lam et al. 2025.")
    else:
        notes.insert(0, f"Trained with {own_settings}, not with the paper's settings: the paper's figures are not comparable and left out.")
    return [*lines, "", *(f"* {note}" for note in notes)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--not-the-papers", metavar="TRAINING_FILE")
    parser.add_argument("model_files", nargs="+", type=Path)
    args = parser.parse_args()
    own_settings = args.not_the_papers and Path(args.not_the_papers).name
    lines = table(args.out, [path.stem for path in args.model_files], args.seeds.split(","), own_settings)
    (args.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, sep="\n")
    print(f"\n{args.out / 'table.md'}")


if __name__ == "__main__":
    main()
