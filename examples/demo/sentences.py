"""English sentences of a small grammar with their German translations, which reorder."""

import random
from collections.abc import Iterable, Sequence

# The verb is second or last in German, so hardly any pattern can be translated word by word.
PATTERNS = (
    ("{name} {past} {object}.", "{name} {past} {object}."),
    ("{time} {name} {past} {object}.", "{time} {past} {name} {object}."),
    ("{name} {past} {object} {time}.", "{name} {past} {time} {object}."),
    ("{name} {past} {short_object} for {other_name}.", "{name} {past} {short_object} für {other_name}."),
    ("tomorrow {name} will {base} {object}.", "morgen wird {name} {object} {base}."),
    ("{name} wants to {base} {object}.", "{name} will {object} {base}."),
    ("{name} has {participle} {object}.", "{name} hat {object} {participle}."),
    ("{name} did not {base} {definite_object}.", "{name} hat {definite_object} nicht {participle}."),
    ("what did {name} {base}?", "was hat {name} {participle}?"),
    ("what will {name} {base} tomorrow?", "was wird {name} morgen {base}?"),
    ("why did {name} {base} {object}?", "warum hat {name} {object} {participle}?"),
    ("{name} says that {other_name} {past} {short_object}.", "{name} sagt, dass {other_name} {short_object} {past}."),
    ("{name} says that {subject} is {adjective}.", "{name} sagt, dass {subject} {adjective} ist."),
    ("{name} laughed because {other_name} {past} {short_object}.", "{name} lachte, weil {other_name} {short_object} {past}."),
    ("this is {subject} that {name} {past}.", "das ist {subject}, {relative} {name} {past}."),
)
NAMES = ("Anna", "Peter", "Maria", "David", "Julia")
# For sentences that nothing is trained on; of letters that the other words have in both languages.
UNSEEN_NAMES = ("Thomas", "Martin", "Paula")
MORE_UNSEEN_NAMES = ("Diana", "Oliver", "Walter")  # to choose settings with, such as the bonus of hot words
TIMES = (("yesterday", "gestern"), ("on Monday", "am Montag"))
VERBS = (  # base, past, participle
    (("buy", "bought", "bought"), ("kaufen", "kaufte", "gekauft")),
    (("hide", "hid", "hidden"), ("verstecken", "versteckte", "versteckt")),
    (("find", "found", "found"), ("finden", "fand", "gefunden")),
    (("paint", "painted", "painted"), ("malen", "malte", "gemalt")),
    (("sell", "sold", "sold"), ("verkaufen", "verkaufte", "verkauft")),
)
NOUNS = (
    ("car", "Auto", "neuter"),
    ("book", "Buch", "neuter"),
    ("picture", "Bild", "neuter"),
    ("dog", "Hund", "masculine"),
    ("table", "Tisch", "masculine"),
    ("lamp", "Lampe", "feminine"),
    ("guitar", "Gitarre", "feminine"),
)
ADJECTIVES = (("red", "rot"), ("old", "alt"), ("small", "klein"), ("new", "neu"))
# Accusative articles, each with the ending of the adjective after it. The definite one is the relative pronoun, too.
OBJECT_ARTICLES = {
    "a": {"masculine": ("einen", "en"), "feminine": ("eine", "e"), "neuter": ("ein", "es")},
    "the": {"masculine": ("den", "en"), "feminine": ("die", "e"), "neuter": ("das", "e")},
}
SUBJECT_ARTICLES = {"masculine": "der", "feminine": "die", "neuter": "das"}


def object_phrase(rng: random.Random, article: str, has_adjective: bool) -> tuple[str, str]:
    """('an old lamp', 'eine alte Lampe')."""
    noun, german_noun, gender = rng.choice(NOUNS)
    german_article, ending = OBJECT_ARTICLES[article][gender]
    if not has_adjective:
        return f"{article} {noun}", f"{german_article} {german_noun}"
    adjective, stem = rng.choice(ADJECTIVES)
    article = "an" if article == "a" and adjective == "old" else article
    return f"{article} {adjective} {noun}", f"{german_article} {stem}{ending} {german_noun}"


def sentence(rng: random.Random, unseen_names: Sequence[str], seen_names: Sequence[str]) -> tuple[str, str]:
    """One sentence of a pattern, in English and German; about one of the unseen names if there are any."""
    article = rng.choice(("a", "the"))
    noun, german_noun, gender = rng.choice(NOUNS)
    places = {
        "object": object_phrase(rng, article, has_adjective=rng.random() < 0.5),
        "definite_object": object_phrase(rng, "the", has_adjective=rng.random() < 0.5),
        "short_object": object_phrase(rng, article, has_adjective=False),
        "subject": (f"the {noun}", f"{SUBJECT_ARTICLES[gender]} {german_noun}"),
        "relative": ("that", OBJECT_ARTICLES["the"][gender][0]),
        "adjective": rng.choice(ADJECTIVES),
        "time": rng.choice(TIMES),
    }
    names = rng.sample(seen_names, 2)
    if unseen_names:
        names[0] = rng.choice(unseen_names)
    places |= {place: (name, name) for place, name in zip(("name", "other_name"), names)}
    places |= dict(zip(("base", "past", "participle"), zip(*rng.choice(VERBS))))
    texts = []
    for language, pattern in enumerate(rng.choice(PATTERNS)):
        text = pattern.format(**{place: words[language] for place, words in places.items()})
        texts.append(text[0].upper() + text[1:])
    english, german = texts
    return english, german


def different_sentences(unseen_names: Iterable[Sequence[str]], seed: int, seen_names: Sequence[str] = NAMES) -> list[tuple[str, str]]:
    """English sentences, each once, with their German translations: the same ones for the same seed.

    unseen_names: those of which each sentence has one; empty where it has none.
    seen_names: all others.
    """
    rng, german_of = random.Random(seed), {}
    for names in unseen_names:
        english, german = sentence(rng, names, seen_names)
        while english in german_of:
            english, german = sentence(rng, names, seen_names)
        german_of[english] = german
    return list(german_of.items())
