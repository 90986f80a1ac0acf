"""The metrics: of each what a sentence adds, one formula over any sum of that, and a signature.

Statistics of sentences are summed before the formula, so that a corpus, a slice, a resample of a significance test and the mean
over languages all come from one pass over the texts.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sacrebleu.metrics

from speechllm_plugin.scoring import sacrebleu_formulas, wer
from speechllm_plugin.scoring.share import share
from speechllm_plugin.text.language_codes import primary_language

# Sentences whose TER is kept: two systems agree on many, and one pair takes milliseconds. About 50 MB when full.
NUM_PAIRS_KEPT = 2**16
CHRF, TER = sacrebleu.metrics.CHRF(), sacrebleu.metrics.TER()


@dataclass(frozen=True)
class Metric:
    """One metric; the shape letters: N sentences, K statistics of each."""

    name: str
    heading: str
    lower_is_better: bool
    # (hypotheses, references, languages) -> (N, K) float64. Languages are the tgt_lang of each row, "" where unknown.
    # ValueError: not as many of one as of the others, or a library for one of the languages is not installed.
    statistics: Callable[[Sequence[str], Sequence[str], Sequence[str]], np.ndarray]
    # (..., K) sums of statistics -> (...) scores in percent, nan where there is no reference text
    formula: Callable[[np.ndarray], np.ndarray]
    # languages -> what a reader needs to compute the same, in the manner of sacreBLEU
    signature: Callable[[Sequence[str]], str]

    def score(self, hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> float:
        """The score of a corpus in percent; nan where the references have no text."""
        return float(self.formula(self.statistics(hypotheses, references, languages).sum(0)))


def _of_sentences(compute):
    """Statistics of a metric from a function of texts that agree in number."""

    def statistics(hypotheses, references, languages):
        if not len(hypotheses) == len(references) == len(languages):
            raise ValueError(
                "every hypothesis needs its reference and the language of it, but there are "
                f"{len(hypotheses)} hypotheses, {len(references)} references and {len(languages)} languages"
            )
        return np.asarray(compute(hypotheses, references, languages), dtype=np.float64)

    return statistics


def _as_they_are(edits):
    return _of_sentences(lambda hypotheses, references, languages: edits(hypotheses, references))


def _normalised(edits):
    return _of_sentences(
        lambda hypotheses, references, languages: edits(wer.normalised(hypotheses, languages), wer.normalised(references, languages))
    )


@functools.cache
def _bleu_of(language):
    """sacreBLEU's BLEU with the tokenizer that it has for a target language."""
    try:
        return sacrebleu.metrics.BLEU(trg_lang=language)
    except RuntimeError as error:  # a tokenizer's library is missing; the message says what to install
        raise ValueError(f"BLEU of texts in {language}: {' '.join(str(error).split())} (or score without bleu)") from error


def _bleu(hypotheses, references, languages):
    languages = [primary_language(language) for language in languages]
    statistics = np.zeros((len(hypotheses), 2 + 2 * sacrebleu_formulas.BLEU_ORDER))
    for language in sorted(set(languages)):
        rows = [row for row, each in enumerate(languages) if each == language]
        texts = [hypotheses[row] for row in rows], [[references[row] for row in rows]]
        statistics[rows] = _bleu_of(language)._extract_corpus_statistics(*texts)
    return statistics


def _bleu_signature(languages):
    """sacreBLEU's; where the target languages have several tokenizers those of single languages are named with them: 13a+zh[zh]."""
    tokenizers: dict[str, list[str]] = {}
    for language in sorted({primary_language(language) for language in languages} or {""}):
        tokenizers.setdefault(_bleu_of(language).tokenizer_signature, []).append(language)
    default = _bleu_of("").tokenizer_signature
    names = [name if name == default else f"{name}[{','.join(tokenizers[name])}]" for name in sorted(tokenizers)]
    return _signature(_bleu_of(""), tok="+".join(names) if len(names) > 1 else next(iter(tokenizers)))


def _chrf(hypotheses, references, languages):
    statistics = CHRF._extract_corpus_statistics(hypotheses, [references])
    return np.reshape(statistics, (-1, 3 * sacrebleu_formulas.CHRF_ORDER))


def _ter(hypotheses, references, languages):
    return np.reshape([_ter_of_pair(*pair) for pair in zip(hypotheses, references)], (-1, 2))


@functools.lru_cache(maxsize=NUM_PAIRS_KEPT)
def _ter_of_pair(hypothesis, reference):
    return TER._extract_corpus_statistics([hypothesis], [[reference]])[0]


def _signature(metric, **changes):
    """sacreBLEU's signature of a metric; one reference each."""
    metric.num_refs = 1
    signature = metric.get_signature()
    for name, value in changes.items():
        signature.update(name, value)
    return str(signature)


def _error_rate(name, unit, edits):
    """The rates of the texts as they are and of the normalised ones."""
    return [
        Metric(name, name.upper(), True, _as_they_are(edits), share, lambda languages: wer.signature(unit)),
        Metric(f"{name}_normalised", f"{name.upper()} norm.", True, _normalised(edits), share, lambda languages: wer.signature(unit, languages)),
    ]


METRICS = {
    metric.name: metric
    for metric in (
        *_error_rate("wer", "word", wer.word_edits),
        *_error_rate("cer", "character", wer.character_edits),
        Metric("bleu", "BLEU", False, _of_sentences(_bleu), sacrebleu_formulas.bleu, _bleu_signature),
        Metric("chrf", "chrF", False, _of_sentences(_chrf), sacrebleu_formulas.chrf, lambda languages: _signature(CHRF)),
        Metric("ter", "TER", True, _of_sentences(_ter), share, lambda languages: _signature(TER)),
    )
}
