"""The table that `speechllm check` prints and stores. Nothing in it depends on the day or the folder: a second run gives the same file."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.checking.checks import CHECKS, Finding
from speechllm_plugin.files import text_table
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.text_table import aligned_row, bars_escaped

WIDTHS = (-max(map(len, CHECKS)), -6, 9, 6)
OUTCOME_COLUMNS = ("check", "result", "deviation", "bound", "what it means")


def heading() -> str:
    return aligned_row(OUTCOME_COLUMNS, WIDTHS)


def line(finding: Finding) -> str:
    return aligned_row(cells(finding), WIDTHS)


def cells(finding: Finding) -> tuple[str, str, str, str, str]:
    name, meaning, outcome = finding
    note = f" ({outcome.note})" if outcome.note else ""
    return name, outcome.status, number(outcome.deviation), number(outcome.bound), meaning + note


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}".replace(".0e", "e") if 0 < value < 1e-2 else f"{value:.2g}"


def failed(findings: Sequence[Finding]) -> list[str]:
    return [finding.name for finding in findings if finding.outcome.status == "fail"]


def write(path: Path, about: dict, findings: Sequence[Finding]) -> None:
    """Write the results to a .json, and readable beside it to a .md."""
    checks = [
        {"name": name, "result": found.status, "deviation": finite(found.deviation), "bound": found.bound, "meaning": meaning, "note": found.note}
        for name, meaning, found in findings
    ]
    content = {**about, "passed": not failed(findings), "checks": checks}
    for target, text in ((path, json.dumps(content, indent=2, ensure_ascii=False) + "\n"), (path.with_suffix(".md"), markdown(about, findings))):
        with replacing(target) as temporary:
            temporary.write_text(text, encoding="utf-8")


def finite(value: float | None) -> float | str | None:
    """JSON has no number for inf and nan."""
    return value if value is None or math.isfinite(value) else str(value)


def markdown(about: dict, findings: Sequence[Finding]) -> str:
    broken = failed(findings)
    verdict = f"Failed: {', '.join(broken)}." if broken else "Nothing failed."
    facts = [f"* {name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}" for name, value in about.items()]
    rows = [[bars_escaped(cell) for cell in cells(finding)] for finding in findings]
    table = text_table.markdown(OUTCOME_COLUMNS, rows, rules=["---", "---", "---:", "---:", "---"])
    return "\n".join([f"# Self-check of {about['checkpoint']}", "", verdict, "", *facts, "", *table, ""])
