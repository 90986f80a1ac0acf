"""The values of flags of `speechllm prepare`, read from their texts; argparse says which flag an error is about."""

import argparse
from typing import Any

from speechllm_plugin.data.augmentation import SpecAugment

SLOWEST_SPEED, FASTEST_SPEED = 0.5, 2.0


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, but is {number}")
    return number


def probability(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, but is {number}")
    return number


def sampling_alpha(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, but is {number}")
    return number


def speed(text: str) -> float:
    number = round(float(text), 4)  # as many digits as ids show
    if not SLOWEST_SPEED <= number <= FASTEST_SPEED:
        raise argparse.ArgumentTypeError(f"must be between {SLOWEST_SPEED} and {FASTEST_SPEED} times the speed of the recording, but is {number}")
    return number


def condition(text: str) -> tuple[str, str]:
    """Column and value of COLUMN=VALUE; the value may be empty."""
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise argparse.ArgumentTypeError(f"must be a column and its value, as in accent=us, but is {text}")
    return column, value


def specaugment_setting(text: str) -> tuple[str, int | float]:
    """Key and value of KEY=VALUE, as SpecAugment takes them."""
    key, _, value = text.partition("=")
    try:
        number = float(value) if key == "time_mask_p" else int(value)
        settings: dict[str, Any] = {"freq_mask_F": 1, "time_mask_T": 1, key: number}
        SpecAugment(**settings)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a SpecAugment setting and its number, as in time_mask_p=0.2, but is {text} ({error})") from error
    return key, number
