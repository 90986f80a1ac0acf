"""Words that nobody says, to make lists of hot words long: two to four syllables of the given letters, the same ones on every run.

distractors.py NUMBER [--letters LETTERS] [--small]    a word a line
"""

import argparse
import random

VOWELS = "aeiou"


def words(number: int, letters: str, rng: random.Random) -> list[str]:
    """Different words of two to four syllables of a consonant and a vowel, some with a consonant at the end."""
    vowels, consonants = [letter for letter in letters if letter in VOWELS], [letter for letter in letters if letter not in VOWELS]
    found: dict[str, None] = {}
    while len(found) < number:
        syllables = [rng.choice(consonants) + rng.choice(vowels) for _ in range(rng.randint(2, 4))]
        found["".join(syllables) + rng.choice([*consonants, ""])] = None
    return list(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int)
    parser.add_argument("--letters", default="abcdefghijklmnoprstuvwz", help="of which the words are made (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="without a capital, as other words than names")
    args = parser.parse_args()
    for word in words(args.number, args.letters, random.Random(args.letters)):
        print(word if args.small else word.capitalize())
