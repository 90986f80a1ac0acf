"""The report about a distillation: counts, lengths, monotony and what is suspicious, as JSON and as Markdown."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import sacrebleu

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation.text_checks import PROBLEMS, monotony, problems, usual_scripts
from speechllm_plugin.files import text_table
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.text_table import markup_escaped
from speechllm_plugin.text.word_splitting import words_of

NUM_SHOWN = 30  # suspicious translations in the Markdown; the JSON has all


def make(rows: Sequence[Utterance], texts: Sequence[Sequence[tuple[float, str]]], **facts) -> dict:
    """The contents of the report, as its JSON file has them.

    Args:
        rows: the original rows.
        texts: the translations (score, text) of each row that the new manifest holds.
        facts: what else to say, first.
    """
    scripts = usual_scripts(rows)
    used = [(row, rank, score, text) for row, best in zip(rows, texts) for rank, (score, text) in enumerate(best, 1)]
    suspicious = []
    for row, rank, score, text in used:
        found = problems(row, text, scripts[row.tgt_lang])
        if found:
            entry = {"id": row.id, "rank": rank, "problems": found, "score": score}
            suspicious.append(entry | {"src_text": row.src_text, "tgt_text": row.tgt_text, "kd_text": text})
    referenced = [(row, text) for row, _, _, text in used if row.tgt_text.strip()]
    ratios = sorted(len(text) / len(row.tgt_text) for row, text in referenced)
    best_of_each = [(row, best[0][1]) for row, best in zip(rows, texts) if row.tgt_text.strip()]
    return facts | {
        "num_utterances": len(rows),
        "num_translations": len(used),
        "mean_score": statistics.fmean(score for _, _, score, _ in used),
        "problems": {name: sum(name in entry["problems"] for entry in suspicious) for name in PROBLEMS},
        "not_checked_for_script": sorted(language for language, usual in scripts.items() if not usual),
        "mean_words": _mean_words((text, row.tgt_lang) for row, _, _, text in used),
        "mean_words_of_references": _mean_words((row.tgt_text, row.tgt_lang) for row, _ in referenced),
        "length_ratio_quantiles": {share: _quantile(ratios, share) for share in (0.01, 0.25, 0.5, 0.75, 0.99)},
        "same_as_reference": sum(text == row.tgt_text for row, text in referenced),
        "bleu_against_references": _bleu(best_of_each),
        "monotony": _monotony((row, text) for row, text in best_of_each),
        "monotony_of_references": _monotony((row, row.tgt_text) for row, _ in best_of_each),
        "suspicious": suspicious,
    }


def write(path, report: dict) -> tuple[Path, Path]:
    """Write FILE.md and FILE.json, where `path` is FILE or one of them. Returns both."""
    name = str(path).removesuffix(".md").removesuffix(".json")
    markdown, machine = Path(f"{name}.md"), Path(f"{name}.json")
    with replacing(machine) as part:
        part.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(markdown) as part:
        part.write_text(as_markdown(report), encoding="utf-8")
    return markdown, machine


def as_markdown(report: dict) -> str:
    """The report in Markdown."""
    number = report["num_translations"]
    lines = ["# Distilled translations", ""]
    facts = [(name.replace("_", " "), value) for name, value in report.items() if isinstance(value, str)]
    facts += [("utterances", f"{report['num_utterances']:,}"), ("translations in the manifest", f"{number:,}")]
    facts += [("mean score per token (log2)", _shown(report["mean_score"])), ("equal to the reference", f"{report['same_as_reference']:,}")]
    facts += [("BLEU of the best against the references", _shown(report["bleu_against_references"], 2))]
    facts += [("words per text (references)", f"{_shown(report['mean_words'], 1)} ({_shown(report['mean_words_of_references'], 1)})")]
    quantiles = ", ".join(f"{float(share):.0%}: {_shown(value, 2)}" for share, value in report["length_ratio_quantiles"].items())
    facts += [("characters against the reference, quantiles", quantiles)]
    facts += [("steps forward in the source (references)", f"{_shown(report['monotony'])} ({_shown(report['monotony_of_references'])})")]
    lines += [*text_table.markdown(["", ""], [[name, markup_escaped(str(value))] for name, value in facts]), ""]
    problems_found = [[name, f"{count:,}", f"{count / number:.2%}", PROBLEMS[name]] for name, count in report["problems"].items()]
    lines += ["## Suspicious", "", *text_table.markdown(["problem", "translations", "share", "meaning"], problems_found)]
    if report["not_checked_for_script"]:
        names = " ".join(language or "(no tgt_lang)" for language in report["not_checked_for_script"])
        lines += ["", f"Not checked for their script, as no reference has a letter: {names}."]
    if report["suspicious"]:
        lines += ["", f"The first {min(NUM_SHOWN, len(report['suspicious']))} of {len(report['suspicious']):,}:", ""]
        rows = []
        for entry in report["suspicious"][:NUM_SHOWN]:
            cells = [entry["id"], str(entry["rank"]), " ".join(entry["problems"]), entry["src_text"], entry["tgt_text"], entry["kd_text"]]
            rows.append([markup_escaped(cell) for cell in cells])
        lines += text_table.markdown(["id", "rank", "problems", "source", "reference", "translation"], rows)
    return "\n".join(lines) + "\n"


def summary(report: dict) -> str:
    """The counts of the report in one line."""
    found = ", ".join(f"{name} {count:,}" for name, count in report["problems"].items())
    return f"{report['num_translations']:,} translations of {report['num_utterances']:,} utterances; suspicious: {found}"


def _mean_words(texts):
    """texts: (text, language) pairs."""
    numbers = [len(words_of(text, language)) for text, language in texts]
    return statistics.fmean(numbers) if numbers else None


def _monotony(translations):
    return monotony([(words_of(row.src_text, row.src_lang), words_of(text, row.tgt_lang)) for row, text in translations])


def _quantile(ordered, share):
    return ordered[round(share * (len(ordered) - 1))] if ordered else None


def _bleu(pairs):
    return sacrebleu.corpus_bleu([text for _, text in pairs], [[row.tgt_text for row, _ in pairs]]).score if pairs else None


def _shown(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}"
