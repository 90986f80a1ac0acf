"""BLEU with the tokenizer that sacreBLEU has for each target language.

The statistics of a sentence are sacreBLEU's own, and so is the score, to rounding: sacreBLEU computes one sum at a time, in Python,
which takes minutes for the 10,000 sums of a significance test.
"""

import functools
from collections.abc import Sequence

import numpy as np
import regex
import sacrebleu.metrics

from speechllm_plugin.scoring.metric import Metric, checked
from speechllm_plugin.scoring.sacrebleu_signature import signature
from speechllm_plugin.text.language_codes import primary_language

BLEU_ORDER = 4  # n-grams of 1 to 4 words

# Where blanks separate no words, sacreBLEU knows words in Chinese, Japanese and Korean only. Other Chinese languages are split as Chinese is
# (Min Nan and Hakka also where they are written in Latin letters), further ones into characters.
TOKENIZER_OF_LANGUAGE = dict.fromkeys("cdo cjy cnp cpx csp czh czo gan hak hsn lzh mnp nan wuu yue".split(), "zh")
TOKENIZER_OF_LANGUAGE |= dict.fromkeys("bo dz ii khb km ksw lo my nod shn tdd th".split(), "char")
WITHOUT_BLANKS = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{TaiLe}\p{NewTaiLue}\p{TaiTham}]"
)
MAX_SHARE_WITHOUT_BLANKS = 0.5  # of letters of a language whose words blanks are to separate; less are names and quotations


def formula(sums: np.ndarray) -> np.ndarray:
    """BLEU in percent, with sacreBLEU's exponential smoothing.

    Args:
        sums: (..., 2 + 2 * BLEU_ORDER): words of the hypotheses, words of the references, n-grams that match (of 1 word, of 2
            ...), n-grams of the hypotheses.

    Returns:
        (...), nan where the references have no word.

    Source: Papineni et al. 2002, BLEU: a Method for Automatic Evaluation of Machine Translation; Chen and Cherry 2014, A
    Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU (its third method).
    """
    sums = np.asarray(sums, dtype=np.float64)
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    # The k-th order without any match counts as 1 / 2^k of one. Without n-grams of some order, or without any match, the score is 0.
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1))
    is_positive = (totals > 0).all(-1) & (matches > 0).any(-1)
    log_precision = np.log(smoothed / np.where(totals > 0, totals, 1)).mean(-1)
    log_brevity = np.minimum(0, 1 - reference_length / np.where(length > 0, length, 1))
    return np.where(reference_length > 0, np.where(is_positive, 100 * np.exp(log_brevity + log_precision), 0.0), np.nan)


@functools.cache
def _of_language(language: str) -> sacrebleu.metrics.BLEU:
    """sacreBLEU's BLEU for a target language."""
    try:
        return sacrebleu.metrics.BLEU(trg_lang=language, tokenize=TOKENIZER_OF_LANGUAGE.get(language))
    except RuntimeError as error:  # a tokenizer's library is missing; the message says what to install
        raise ValueError(f"BLEU of texts in {language}: {' '.join(str(error).split())} (or score without bleu)") from error


def _statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
    languages = [primary_language(language) for language in languages]
    statistics = np.zeros((len(hypotheses), 2 + 2 * BLEU_ORDER))
    for language in sorted(set(languages)):
        rows = [row for row, each in enumerate(languages) if each == language]
        _check_words(language, [references[row] for row in rows])
        texts = [hypotheses[row] for row in rows], [[references[row] for row in rows]]
        statistics[rows] = _of_language(language)._extract_corpus_statistics(*texts)
    return statistics


def _check_words(language: str, references: Sequence[str]) -> None:
    """Raise ValueError where a whole sentence would count as one word."""
    if _of_language(language).tokenizer_signature != _of_language("").tokenizer_signature:
        return
    text = "".join(references)
    letters = sum(map(str.isalpha, text))
    without_blanks = len(WITHOUT_BLANKS.findall(text))
    if without_blanks > MAX_SHARE_WITHOUT_BLANKS * letters:
        raise ValueError(
            f"BLEU counts words between blanks in texts {f'in {language}' if language else 'of an unknown language'}, but these are written without: "
            "name their language in tgt_lang (zh, yue, ja, th ...), or score without bleu"
        )


def _signature(languages: Sequence[str]) -> str:
    """sacreBLEU's; where the target languages have several tokenizers those of single languages are named with them: 13a+zh[zh]."""
    tokenizers: dict[str, list[str]] = {}
    for language in sorted({primary_language(language) for language in languages} or {""}):
        tokenizers.setdefault(_of_language(language).tokenizer_signature, []).append(language)
    default = _of_language("").tokenizer_signature
    names = [name if name == default else f"{name}[{','.join(tokenizers[name])}]" for name in sorted(tokenizers)]
    return signature(_of_language(""), tok="+".join(names) if len(names) > 1 else next(iter(tokenizers)))


BLEU = Metric("bleu", "BLEU", False, checked(_statistics), formula, _signature)
