"""The slow way to say how many characters of a text hot words cover: all ways to cover it, tried."""

import unicodedata

UNSPACED = "語"  # of the letters in the tests, the one of a script without blanks


def is_boundary(text, position):
    if position < len(text) and unicodedata.category(text[position])[0] == "M":
        return False
    if position in (0, len(text)):
        return True
    before = text[:position].rstrip("\u0330")[-1:]  # of a letter and its marks, the letter
    return not (before.isalnum() and text[position].isalnum() and UNSPACED not in (before, text[position]))


def coverage(text, words, is_ended):
    """The most characters that words cover without overlap; unless the text is ended its end may be the beginning of one."""
    places = [
        (start, start + len(word))
        for word in words
        for start in range(len(text))
        if text.startswith(word, start) and is_boundary(text, start) and is_boundary(text, start + len(word))
    ]
    if not is_ended:
        places += [
            (start, len(text)) for start in range(len(text)) if is_boundary(text, start) and any(word.startswith(text[start:]) for word in words)
        ]
    best = [0]  # of the first characters
    for end in range(1, len(text) + 1):
        best.append(max([best[-1], *(best[start] + end - start for start, its_end in set(places) if its_end == end)]))
    return best[-1]


def random_vocabulary(rng, letters, size):
    """Different texts of tokens, all single letters among them."""
    pieces = list(letters)
    while len(pieces) < size:
        piece = "".join(rng.choices(letters, k=rng.randint(2, 4)))
        pieces += [piece] if piece not in pieces else []
    return pieces


def random_words(rng, letters, number):
    """Words that begin and end with a letter, some of them phrases."""
    starts = [letter for letter in letters if letter.isalpha()]
    return sorted({rng.choice(starts) + "".join(rng.choices(letters, k=rng.randint(0, 3))) + rng.choice(starts) for _ in range(number)})
