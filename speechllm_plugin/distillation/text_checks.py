"""Checks of a teacher's translation by its text, its source and its reference, and how monotone translations are."""

import collections
from collections.abc import Collection, Sequence

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.text.normalisation import normalise
from speechllm_plugin.text.scripts import is_mostly_in_others, scripts_of

# Shorter or longer than the reference by this factor, and by as many characters: short texts vary more.
MAX_LENGTH_RATIO, MAX_LENGTH_DIFFERENCE = 2.0, 20
MODEL_1_ITERATIONS = 5
NUM_MONOTONY_PAIRS = 2000


def usual_scripts(rows: Sequence[Utterance]) -> dict[str, frozenset[str]]:
    """Target language -> the scripts that its references are written in; empty where they have no letter."""
    references = collections.defaultdict(list)
    for row in rows:
        references[row.tgt_lang].append(row.tgt_text)
    return {language: scripts_of(texts) for language, texts in references.items()}


def problems(row: Utterance, text: str, scripts: Collection[str]) -> list[str]:
    """Names of what is suspicious about a translation of a row: empty, copy, script, length."""
    if not text.strip():
        return ["empty"]
    found = []
    if normalise(text) == normalise(row.src_text) != normalise(row.tgt_text):
        found.append("copy")
    if scripts and is_mostly_in_others(text, scripts):
        found.append("script")
    short, long = sorted((len(text), len(row.tgt_text)))
    if short and long > MAX_LENGTH_RATIO * short and long - short > MAX_LENGTH_DIFFERENCE:
        found.append("length")
    return found


PROBLEMS = {
    "empty": "without any text",
    "copy": "the source text again",
    "script": "mostly in letters of a script that the references of the language are not written in",
    "length": f"more than {MAX_LENGTH_RATIO:g} times as long as the reference or as short, and by more than {MAX_LENGTH_DIFFERENCE} characters",
}


def monotony(pairs: Sequence[tuple[list[str], list[str]]]) -> float | None:
    """How often, from one word of a target to the next, the source word that it translates is not an earlier one.

    Word by word alignments of IBM model 1 over NUM_MONOTONY_PAIRS of the pairs (words of a source, words of its target), spread evenly; equally
    probable words: the one closest to the diagonal. None where no target has two words.

    Source: Brown et al. 1993, The Mathematics of Statistical Machine Translation; that distilled text is more monotone is
    Zhou, Neubig and Gu 2020, Understanding Knowledge Distillation in Non-autoregressive Machine Translation (arXiv:1911.02727).
    """
    step = max(1, len(pairs) / NUM_MONOTONY_PAIRS)
    chosen = [pairs[int(number * step)] for number in range(min(len(pairs), NUM_MONOTONY_PAIRS))]
    words = [(source, target) for source, target in chosen if source and len(target) > 1]
    if not words:
        return None
    translation = _model_1(words)
    steps = forward = 0
    for source, target in words:
        places = []
        for position, word in enumerate(target):
            diagonal = position * (len(source) - 1) / (len(target) - 1)
            places.append(max(range(len(source)), key=lambda place: (translation[source[place], word], -abs(place - diagonal))))
        steps += len(places) - 1
        forward += sum(place <= after for place, after in zip(places, places[1:]))
    return forward / steps


def _model_1(words):
    """(source word, target word) -> probability of the target word, by expectation maximisation from equal probabilities."""
    translation = collections.defaultdict(lambda: 1.0)
    for _ in range(MODEL_1_ITERATIONS):
        counts, totals = collections.defaultdict(float), collections.defaultdict(float)
        for source, target in words:
            for word in target:
                mass = sum(translation[origin, word] for origin in source)
                for origin in source:
                    share = translation[origin, word] / mass
                    counts[origin, word] += share
                    totals[origin] += share
        translation = {pair: count / totals[pair[0]] for pair, count in counts.items()}
    return translation
