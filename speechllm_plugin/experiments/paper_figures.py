"""The figures of Lam et al. 2025 (arXiv:2501.02370), Tables 1 to 3, to stand beside measured ones."""

import re

# Row: CoVoST2 WER, BLEU; MuST-C WER, BLEU en-es, en-de, en-x; None where the paper has no figure.
PAPER_SCORES = {
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
PAPER_SPEEDS = {"row1": 1, "row2": 0.96, "row3": 0.83, "row4": 0.97, "row4.1": 0.98, "row5": 0.94, "row5.1": 0.96, "row6": 0.70}
# Corpus: the languages whose mean the paper reports for a multilingual model; of others it reports the mean over all.
REPORTED_LANGUAGES = {"covost2": ("ca", "de", "es", "fr")}
BILINGUAL_MUSTC = {"en-es": 3, "en-de": 4}
NUM_MUSTC_LANGUAGES = 8


def row_of(model: str) -> str | None:
    """The row of PAPER_SCORES that a model file of the study stands for: row5.1 for row5.1_dfp_conformer_compressed."""
    match = re.match(r"(table3_)?row[\d.]+", model)
    return match[0] if match else None


def column_of(corpus: str, task: str, languages: str) -> int | None:
    """The place in PAPER_SCORES of a corpus, a task and languages as in en-de+fr; None where the paper has none."""
    if corpus == "covost2":
        return {"asr": 0, "st": 1 if languages.endswith("-en") else None}.get(task)
    if corpus == "mustc" and task == "st":
        return 5 if languages.count("+") == NUM_MUSTC_LANGUAGES - 1 else BILINGUAL_MUSTC.get(languages)
    return 2 if corpus == "mustc" and task == "asr" else None
