"""Times in the files of corpora."""

from speechllm_plugin.text.one_line import excerpt

LONGEST_TIME = 10**8  # three years; what is computed with more leaves the range of numbers


def seconds(text: object, name: str, place: str, is_positive: bool = False) -> float:
    """The number that a text is.

    Raises:
        ValueError: it is none, negative, not finite or of no recording; or 0 where it must be positive.
    """
    try:
        number = float(text) if isinstance(text, str) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= LONGEST_TIME or (is_positive and not number):
        raise ValueError(f"{place}: {name} must be seconds, {'positive' if is_positive else 'not negative'}, but is {excerpt(text)}; correct it")
    return number
