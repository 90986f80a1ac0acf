"""Results of a benchmark as what a repository commits: tables and cells of a Markdown page, reports without a word of the data, pictures of scores.

The page says where results belong: `not run <!-- FOLDER -->` in a cell, and lines between `<!-- tables FOLDER -->` (of the report) or
`<!-- stress FOLDER -->` (of harder test sets) and `<!-- end -->`, with FOLDER below the experiments. What has no results stays as it is.
"""

import html
import re
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from speechllm_plugin.data import manifest
from speechllm_plugin.experiments import score_picture
from speechllm_plugin.experiments.summary_table import COUNTED_METRICS
from speechllm_plugin.files import json_file, text_table
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.scoring.metrics import METRICS

PAGE, REPORT, BEST = "docs/benchmark.md", "report.html", "best.txt"
TABLES = ("tables/scores.md", "tables-peer/scores.md", "tables/speed.md")
MOST_IN_A_CELL = 2  # metrics
UNSTRESSED, MISSING = "plain", "–"  # the test set that others were made of; a score that is not there
QUOTING = ('class="utterance"', 'class="words"', "<audio")  # what a page with texts or sound of the data has
SHORTEST_QUOTE = 12  # characters: a shorter reference may stand in any page

_CELL = re.compile(r"\| [^|\n]*<!-- (\S+) --> \|")
_BLOCK = re.compile(r"(<!-- (tables|stress) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, experiments: Path, reports: str) -> str:
    """The page's text with what is known of its folders.

    Args:
        reports: folder of the published reports, as the page links it.
    """

    def cell(match: re.Match[str]) -> str:
        state = state_of(experiments / match[1], f"{reports}/{Path(match[1]).name}.html")
        return f"| {state} <!-- {match[1]} --> |" if state else match[0]

    def block(match: re.Match[str]) -> str:
        found = FOUND[match[2]](experiments / match[3])
        return match[1] + "".join(f"\n{table}\n" for table in found) + "\n" + match[4] if found else match[0]

    return _BLOCK.sub(block, _CELL.sub(cell, text))


def state_of(folder: Path, link: str) -> str:
    """What stands in a cell: a link to the report, the best settings of a search, or the scores of every experiment; "" where there is nothing."""
    if (folder / REPORT).is_file():
        return f"[report]({link})"
    if (folder / BEST).is_file():
        _, *lines = (folder / BEST).read_text(encoding="utf-8").splitlines()  # the first says what is in it
        return "<br>".join(f"`{flags}`: {found.removeprefix('# ')} on dev" for found, flags in zip(lines[::2], lines[1::2]))
    scores = sorted(path for path in folder.glob("*/score-*.json") if not path.stem.startswith("score-test-"))
    return "<br>".join(f"`{path.parent.name}`, {path.stem.removeprefix('score-')}: {_scores(path)}" for path in scores)


def report_tables(folder: Path) -> list[str]:
    """Those of the report, a line before those of scores that says what `first` is."""
    tables = []
    for path in (folder / name for name in TABLES):
        if path.is_file():
            table = path.read_text(encoding="utf-8").strip()
            scores = next(iter(score_picture.read(table).values()), None)
            tables.append(f"Compared with `{scores[0].system}`:\n\n{table}" if scores else table)
    return tables


def title_of(report: Path) -> str:
    found = re.search(r"<title>([^<]*)</title>", report.read_text(encoding="utf-8"))
    return html.unescape(found[1]) if found else report.parent.name


def stress_table(folder: Path) -> list[str]:
    """Every experiment on the test set and on those that `speechllm stress` made of it; of an error rate the normalised kind, as in the pictures."""
    found: dict[str, dict[str, dict[str, Any]]] = {}  # by experiment and test set
    for path in folder.glob("*/score-test*.json"):
        name = path.stem.removeprefix("score-test").removeprefix("-") or UNSTRESSED
        found.setdefault(path.parent.name, {})[name] = json_file.read_object(path, {"metrics": dict, "num_sentences": int}, remedy="score again")
    found = {experiment: scores for experiment, scores in found.items() if set(scores) != {UNSTRESSED}}
    sizes = {name: score["num_sentences"] for scores in found.values() for name, score in scores.items()}
    sets = sorted(sizes, key=lambda name: (name != UNSTRESSED, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", f"x{name}")]))
    rows = []
    for metric in METRICS.values():
        if f"{metric.name}_normalised" in METRICS:
            continue
        for experiment, scores in sorted(found.items()):
            entries = [scores.get(name, {"metrics": {}})["metrics"].get(metric.name) for name in sets]
            if any(entries):
                rows.append([metric.heading, f"`{experiment}`", *(with_interval(entry) if entry else MISSING for entry in entries)])
    headings = ["metric", "system", *(f"{name} ({sizes[name]} utterances)" for name in sets)]
    return ["\n".join(text_table.markdown(headings, rows))] if rows else []


FOUND = {"tables": report_tables, "stress": stress_table}


def _scores(path: Path) -> str:
    """`WER norm. 71.20 [68.10, 74.00], CER 40.00 [38.00, 42.00]`"""
    metrics: dict[str, Any] = json_file.read_object(path, {"metrics": dict}, remedy="score again")["metrics"]
    known = [(heading, metrics[name]) for name, heading in COUNTED_METRICS.items() if name in metrics][:MOST_IN_A_CELL]
    return ", ".join(f"{heading} {with_interval(entry)}" for heading, entry in known)


def with_interval(entry: dict[str, Any]) -> str:
    """`71.20 [68.10, 74.00]`"""
    return f"{_number(entry['score'])} [{_number(entry['low'])}, {_number(entry['high'])}]"


def _number(value: float | None) -> str:
    """None is what too few sentences tell."""
    return "unknown" if value is None else f"{value:.2f}"


def check_quotes_nothing(report: Path, data: Path) -> None:
    """Raise ValueError for a report that may not be published.

    Args:
        data: the folder of the manifests whose texts it must not quote.
    """
    page = report.read_text(encoding="utf-8")
    remedy = "make it by benchmark.sh, or by `speechllm report` with --examples 0 --no-audio --no-words"
    for sign in QUOTING:
        if sign in page:
            raise ValueError(f"{report}: must hold no text or sound of the data, but has {sign}; {remedy}")
    manifests = sorted(data.glob("*.tsv"))
    if not manifests:
        raise ValueError(f"{data}: has no manifest, so that nobody knows whether {report} quotes it; prepare the data as benchmark.sh does")
    shown = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split()).casefold()
    for path in manifests:
        for utterance in manifest.read(path):
            for text in (utterance.tgt_text, utterance.src_text):
                if len(text) >= SHORTEST_QUOTE and " ".join(text.split()).casefold() in shown:
                    raise ValueError(f"{report}: quotes the text of {utterance.id} of {path}; {remedy}")
    found = re.search(r'<span class="path">/[^<]*', page)
    if found:
        raise ValueError(f"{report}: names a folder of this machine ({found[0].partition('>')[2]}); call benchmark.sh with a relative --out")


def main(*arguments: str) -> None:
    parser = ArgumentParser(prog="publish.sh")
    parser.add_argument("experiments", type=Path, help="the --out of benchmark.sh")
    parser.add_argument("--page", type=Path, default=Path(PAGE))
    parser.add_argument("--no-pictures", action="store_true")
    args = parser.parse_args(arguments)
    reports = args.page.with_suffix("")
    text = args.page.read_text(encoding="utf-8")
    folders = dict.fromkeys([match[1] for match in _CELL.finditer(text)] + [match[3] for match in _BLOCK.finditer(text)])
    finished = [args.experiments / folder for folder in folders if (args.experiments / folder / REPORT).is_file()]
    for folder in finished:
        check_quotes_nothing(folder / REPORT, folder / "data")
    drawn = {} if args.no_pictures else {folder: score_picture.check(folder / TABLES[0]) for folder in finished}
    page = filled(text, args.experiments, reports.name)
    if page == text and not finished:
        raise ValueError(f"{args.experiments}: has no results for {args.page}, which names {', '.join(folders) or 'no folder'}")
    for folder in finished:
        with replacing(reports / f"{folder.name}.html") as temporary:
            shutil.copyfile(folder / REPORT, temporary)
        if folder in drawn:
            score_picture.draw(reports / f"{folder.name}.png", drawn[folder], title_of(folder / REPORT))
        print(reports / f"{folder.name}.html")
    with replacing(args.page) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(args.page)
