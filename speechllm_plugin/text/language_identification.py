"""The language of a text, judged by texts whose language is known."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from speechllm_plugin.text.normalisation import normalise
from speechllm_plugin.text.scripts import scripts_of

# Enough to tell scripts and languages: more training texts make it slower, not better.
MAX_TEXTS_PER_LANGUAGE = 2000
MAX_LETTERS_OF_NGRAM = 3

# Short texts, names and words that two languages share are no evidence.
MIN_LETTERS = 10
MIN_POSTERIOR = 0.99


class LanguageIdentifier:
    """A naive Bayes classifier over the letters (n-grams within words) of normalised texts; all languages are equally likely beforehand.

    Args:
        texts: language -> texts in it, two languages or more. Of many texts an even selection is used.

    Raises:
        ValueError: there are less than two languages.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.naive_bayes import MultinomialNB

        if len(texts) < 2:
            raise ValueError(f"telling languages apart needs texts in two or more, but there are {' '.join(texts) or 'none'}")
        selected: list[str] = []
        labels: list[str] = []
        for language in texts:
            chosen = _even_selection(texts[language], MAX_TEXTS_PER_LANGUAGE)
            selected += map(normalise, chosen)
            labels += [language] * len(chosen)
        self._vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(1, MAX_LETTERS_OF_NGRAM), lowercase=False)
        self._classifier = MultinomialNB(fit_prior=False).fit(self._vectorizer.fit_transform(selected), labels)

    @property
    def languages(self) -> list[str]:
        return list(map(str, self._classifier.classes_))

    def posteriors(self, texts: Sequence[str]) -> np.ndarray:
        """(N, number of languages) probabilities, in the order of `languages`."""
        if not texts:
            return np.zeros((0, len(self.languages)))
        return self._classifier.predict_proba(self._vectorizer.transform(map(normalise, texts)))

    def in_another_language(self, texts: Sequence[str], languages: Sequence[str]) -> np.ndarray:
        """(N,) bool: whether a text with enough letters is surely in another language than its own. An unknown language is never left."""
        others = self.posteriors(texts)
        index_of = {language: index for index, language in enumerate(self.languages)}
        known = np.array([language in index_of for language in languages], dtype=bool)
        for row in np.flatnonzero(known).tolist():
            others[row, index_of[languages[row]]] = 0
        long_enough = np.array([sum(map(str.isalpha, normalise(text))) >= MIN_LETTERS for text in texts], dtype=bool)
        return known & long_enough & (others.max(axis=1) >= MIN_POSTERIOR)


@dataclass(frozen=True)
class KnownLanguages:
    """What the texts of a test set and its training set say about their languages.

    scripts: language -> its scripts; a language whose references have no letters is not there.
    identifier: None where the training texts are not of two languages; why stands in `no_identifier`.
    """

    scripts: Mapping[str, frozenset[str]]
    identifier: LanguageIdentifier | None = None
    no_identifier: str = ""


class Row(Protocol):
    """Two texts and their languages, as a row of a manifest has them."""

    @property
    def src_text(self) -> str: ...

    @property
    def src_lang(self) -> str: ...

    @property
    def tgt_text(self) -> str: ...

    @property
    def tgt_lang(self) -> str: ...


def learn(utterances: Sequence[Row], training: Sequence[Row] = ()) -> KnownLanguages:
    """Learn the scripts from the references (tgt_text) and the training texts, and the languages from the training texts.

    Args:
        utterances: of the test set.
        training: of the training set; src_text counts as src_lang and tgt_text as tgt_lang. Without any, no language can be told.
    """
    references: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for utterance in utterances:
        references[utterance.tgt_lang].append(utterance.tgt_text)
    for utterance in training:
        for text, language in ((utterance.src_text, utterance.src_lang), (utterance.tgt_text, utterance.tgt_lang)):
            if text.strip():
                texts[language][text] = None  # a dict: each text once, in order
    scripts = {
        language: scripts_of(references[language]) | scripts_of(_even_selection(list(texts.get(language, ())), MAX_TEXTS_PER_LANGUAGE))
        for language in references
    }
    scripts = {language: found for language, found in scripts.items() if found}
    named = {language: list(texts[language]) for language in texts if language}
    if len(named) < 2:
        found = f"only {' '.join(named)}" if named else "none"
        return KnownLanguages(scripts, None, f"telling languages apart needs training texts in two or more languages, but there are {found}")
    return KnownLanguages(scripts, LanguageIdentifier(named))


def _even_selection(texts: Sequence[str], size: int) -> list[str]:
    return [texts[index] for index in np.linspace(0, len(texts) - 1, min(size, len(texts))).round().astype(int).tolist()]
