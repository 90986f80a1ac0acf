"""The kinds of translation models, by how they are told the languages.

m2m_100 (NLLB, M2M-100), mbart    the source's tag stands where the tokenizer puts it, the target's begins the translation
marian, t5 (MADLAD)               the target's tag begins the source, if the model has several targets
bart, pegasus, other t5           nothing, or words before the source (--source-prefix)
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speechllm_plugin.text import language_codes


class Family(NamedTuple):
    """Models that are told the languages in the same way.

    tags: patterns of the tokens of languages; their group is the name of the language.
    tagged_source: whether the token of the target language begins the source text.
    """

    tags: tuple[str, ...]
    tagged_source: bool = False


_T5 = Family((r"<2(\w+)>",), tagged_source=True)
# transformers' model_type
FAMILIES = {
    "m2m_100": Family((r"([a-z]{3}_[A-Z][a-z]{3})", r"__([a-z]{2,3})__")),
    "mbart": Family((r"([a-z]{2}_[A-Z]{2})",)),
    "marian": Family((r">>(.+)<<",), tagged_source=True),
    "t5": _T5,
    "mt5": _T5,
    "umt5": _T5,
    "bart": Family(()),
    "pegasus": Family(()),
}


class Languages(NamedTuple):
    """The languages of one direction, as a model is told them.

    source: name to set as the tokenizer's src_lang, or None where it has none.
    text: what stands before every source text.
    prefix: tokens that every translation begins with.
    """

    source: str | None
    text: str
    prefix: list[str]


class ModelLanguages:
    """The languages of a model.

    Args:
        model_type: a key of FAMILIES.
        tokenizer: the model's.
        forced_start: token that translations begin with where there is no language's; None if there is none.
        source_code, target_code: names among the model's in place of what the manifest's codes mean.
        source_prefix: words before every source; None where the user gave none.

    Raises:
        ValueError: a code is given to a model without, a code is unknown, or the model has to be told the words.
    """

    def __init__(self, model_type, tokenizer, forced_start=None, source_code=None, target_code=None, source_prefix=None):
        self.family, self.tokenizer, self.forced_start = FAMILIES[model_type], tokenizer, forced_start
        self.tokens = tags(self.family, tokenizer.get_vocab())
        self.source_code, self.target_code, self.source_prefix = source_code, target_code, source_prefix or ""
        if model_type in ("m2m_100", "mbart") and not self.tokens:
            raise ValueError("--model: its tokenizer has no token of a language; copy the model with all of its tokenizer's files")
        if source_code is not None and (self.family.tagged_source or not self.tokens):
            raise ValueError(f"--source-code: the model takes no language of the source, but it is {source_code!r}; leave it out")
        if target_code is not None and not self.tokens:
            raise ValueError(f"--target-code: the model has no codes of languages, but it is {target_code!r}; leave it out")
        if self.family is _T5 and not self.tokens and source_prefix is None:
            raise ValueError(
                "--source-prefix is needed, as the model has no tokens of languages: the words that it was trained with, "
                "as in --source-prefix 'translate English to German: ', or '' for none"
            )

    def direction(self, source: str, target: str) -> Languages:
        """The Languages for a source and a target language of the manifest.

        Raises:
            ValueError: the model does not know a language, or translates between others.
        """
        if not self.tokens:
            self._check_languages_of_model(("source_lang", source, "src_lang"), ("target_lang", target, "tgt_lang"))
            return Languages(None, self.source_prefix, [self.forced_start] if self.forced_start else [])
        target_name = self._name(target, self.target_code, "target", "tgt_lang")
        if self.family.tagged_source:
            self._check_languages_of_model(("source_lang", source, "src_lang"))
            return Languages(None, f"{self.tokens[target_name]} {self.source_prefix}", [])
        return Languages(self._name(source, self.source_code, "source", "src_lang"), self.source_prefix, [self.tokens[target_name]])

    def _name(self, code, given, side, column):
        try:
            if given is not None and given not in self.tokens:
                nearest = ", ".join(language_codes.nearest(given, self.tokens))
                raise ValueError(f"{given!r} is no language of the model; its nearest names are {nearest}")
            return given or language_codes.find(code, self.tokens)
        except ValueError as error:
            where = f"--{side}-code" if given is not None else f"{column} {code!r}"
            what = "correct it" if given is not None else f"correct the column or give --{side}-code NAME"
            raise ValueError(f"{where}: {error}; {what}") from error

    def _check_languages_of_model(self, *sides: Sequence[str]):
        """Check the two languages if a tokenizer names them, as Marian's may; names of groups (ROMANCE, gem) cannot be checked."""
        for attribute, code, column in sides:
            named = getattr(self.tokenizer, attribute, None)
            if named and language_codes.is_known(named) and language_codes.parse(named).language != language_codes.parse(code).language:
                raise ValueError(f"{column} {code!r}: the model has {named!r} there; give a model of these languages or correct the column")


def tags(family: Family, vocabulary: Iterable[str]) -> dict[str, str]:
    """Name of a language -> its token, by the first pattern of a family that a vocabulary has tokens of."""
    for pattern in family.tags:
        found = {match[1]: token for token in vocabulary if (match := re.fullmatch(pattern, token))}
        if found:
            return found
    return {}
