"""Slices of a test set: the rows whose speaker, length, words ... have a property in common. The properties are in `dimensions`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechllm_plugin.scoring.dimension import EMPTY, UNKNOWN, Context, Dimension, FactsMissing, Values, column
from speechllm_plugin.scoring.dimensions import DIMENSIONS
from speechllm_plugin.scoring.speakers import join_speakers, read_native

__all__ = ["DIMENSIONS", "Context", "Dimension", "FactsMissing", "Slice", "Values", "join_speakers", "left_out", "read_native", "slices_of"]

# A table of more values is hard to read, and its correction for many tests lets no difference stand.
MAX_VALUES_BY_DEFAULT = 30

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Slice:
    """The rows of one value of a dimension."""

    dimension: str  # its name
    value: str
    rows: np.ndarray  # (N,) bool; may have no True


def slices_of(context: Context, names: Sequence[str] | None = None) -> list[Slice]:
    """The slices of the named dimensions, in their order; each dimension's slices divide the rows: every row is in exactly one.

    Values stand as bins do, else numbers by size, other texts by the alphabet; rows without a value are the slice `(empty)`.

    Args:
        names: of DIMENSIONS, or else columns of the manifest; None: all of DIMENSIONS but those that are `left_out`.

    Raises:
        ValueError: a name is neither; FactsMissing, which is one: a dimension needs facts that are not there.
    """
    if names is None:
        reasons = left_out(context)
        names = [name for name in DIMENSIONS if name not in reasons]
    slices = []
    for name in dict.fromkeys(names):
        values = _values(context, name)
        of_rows = np.array(values.of_rows, dtype=object)
        slices += [Slice(name, value, np.asarray(of_rows == value, dtype=bool)) for value in _ordered(values)]
    return slices


def left_out(context: Context) -> dict[str, str]:
    """Name -> reason of every one of DIMENSIONS that `slices_of` leaves out unless it is named."""
    reasons = {}
    for name in DIMENSIONS:
        try:
            values = _values(context, name)
        except FactsMissing as missing:
            reasons[name] = str(missing)
            continue
        ordered = _ordered(values)
        if set(values.of_rows) <= {EMPTY}:
            reasons[name] = f"no row has a value of {name}"
        elif len(set(values.of_rows)) == 1:
            reasons[name] = f"all rows have the same value, {values.of_rows[0]}"
        elif len(ordered) > MAX_VALUES_BY_DEFAULT:
            reasons[name] = f"it has {len(ordered)} values, more than {MAX_VALUES_BY_DEFAULT}; name it to see them all"
    return reasons


def _values(context: Context, name: str) -> Values:
    if name in DIMENSIONS:
        return DIMENSIONS[name].values(context)
    if name not in context.columns:
        raise ValueError(
            f"a slice must be one of {' '.join(DIMENSIONS)} or a column of the manifest ({' '.join(context.columns)}), but is {name!r}; correct it"
        )
    return column(name)(context)


def _ordered(values: Values) -> list[str]:
    """All values: bins, numbers by size or other texts by the alphabet, and what stands for no value."""
    found = set(values.of_rows) - {*values.bins, EMPTY, UNKNOWN}
    if all(NUMBER.fullmatch(value) for value in found):
        others = sorted(found, key=lambda value: (float(value), value))
    else:
        others = sorted(found, key=lambda value: (value.casefold(), value))
    return [*values.bins, *others, *(value for value in (UNKNOWN, EMPTY) if value in values.of_rows)]
