"""Word and character error rates: edits in a hundred words of the references, of the texts as they are and of the normalised ones."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np
from rapidfuzz.distance import Levenshtein

from speechllm_plugin.scoring.metric import Metric, checked
from speechllm_plugin.scoring.share import share
from speechllm_plugin.text.normalisation import normalise, normaliser_signature


def word_edits(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(N, 2) float64: fewest substitutions, deletions and insertions of words, and the words of the reference.

    Words are separated by any white space. A sentence with an empty reference adds its insertions only.
    """
    return _edits([text.split() for text in hypotheses], [text.split() for text in references])


def character_edits(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(N, 2) float64: fewest edits of Unicode characters, and the characters of the reference.

    White space between words counts as one character, around the text as none.
    """
    return _edits([" ".join(text.split()) for text in hypotheses], [" ".join(text.split()) for text in references])


def normalised(texts: Sequence[str], languages: Sequence[str]) -> list[str]:
    """Each text as `normalise` has it in its language."""
    return [normalise(text, language) for text, language in zip(texts, languages, strict=True)]


def signature(unit: str, languages: Sequence[str] | None = None) -> str:
    """What a reader needs to compute the same rate, in the manner of sacreBLEU's signatures; with languages of normalised texts."""
    text = "case:mixed|punct:yes|norm:no" if languages is None else f"case:lc|punct:no|{normaliser_signature(languages)}"
    return f"nrefs:1|{text}|unit:{unit}|version:rapidfuzz-{version('rapidfuzz')}"


def _edits(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    counts = [(Levenshtein.distance(hypothesis, reference), len(reference)) for hypothesis, reference in zip(hypotheses, references, strict=True)]
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def _error_rate(name: str, unit: str, edits: Callable[[Sequence[str], Sequence[str]], np.ndarray]) -> tuple[Metric, Metric]:
    def as_they_are(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
        return edits(hypotheses, references)

    def of_normalised(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
        return edits(normalised(hypotheses, languages), normalised(references, languages))

    return (
        Metric(name, name.upper(), True, checked(as_they_are), share, lambda languages: signature(unit)),
        Metric(
            f"{name}_normalised",
            f"{name.upper()} norm.",
            True,
            checked(of_normalised),
            share,
            lambda languages: signature(unit, languages),
            choice=name,
        ),
    )


WER, WER_NORMALISED = _error_rate("wer", "word", word_edits)
CER, CER_NORMALISED = _error_rate("cer", "character", character_edits)
