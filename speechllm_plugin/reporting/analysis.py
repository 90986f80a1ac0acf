"""What the parts of a report have found, each fact and each part computed once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from speechllm_plugin.reporting.facts import FACTS, Fact, given
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import Content, Part
from speechllm_plugin.reporting.parts import PARTS
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables.table import Table


@dataclass(frozen=True)
class Analysis:
    """All numbers and tables of a report: analysis["scores"] are the numbers of the part `scores`.

    study:    with what the options add to its utterances.
    parts:    name -> Part, in the order of the page.
    contents: name -> Content, of the parts that are not left out of the page.
    values:   name of a fact -> its value; name of a part -> its numbers, None where it is left out.
    """

    study: Study
    parts: Mapping[str, Part]
    contents: Mapping[str, Content]
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def tables(self) -> list[Table]:
        """Those that --tables writes, in the order of the page."""
        shown = [(part, table) for name, part in self.parts.items() if name in self.contents for table in self.contents[name].tables]
        return [table for part, table in shown if table.name in part.written]


def analyse(study: Study, options: Options, parts: Mapping[str, Part] = PARTS, progress: Callable[[list[str]], Iterable[str]] = iter) -> Analysis:
    """The Analysis of a study.

    Args:
        parts: what the report shows.
        progress: is given the names of all facts and parts in the order in which they are computed, and goes through them.

    Raises:
        ValueError: an option does not fit the data: an unknown metric, slice or utterance, a table of speakers that lacks some ...
    """
    values, contents = given(study, options), {}
    for name in progress(_in_order_of_needs(parts, values)):
        entry = _entry(name, parts)
        found = entry.compute(**{needed: values[needed] for needed in entry.needs})
        if name in parts and found is not None:
            contents[name] = found
            found = found.numbers
        values[name] = found
    return Analysis(values["study"], parts, contents, values)


def _in_order_of_needs(parts: Mapping[str, Part], known: Iterable[str]) -> list[str]:
    """The parts and the facts that they need, each after what it needs itself; without those that are known."""
    ordered = dict.fromkeys(known)
    num_known = len(ordered)

    def add(name):
        if name not in ordered:
            for needed in _entry(name, parts).needs:
                add(needed)
            ordered[name] = None

    for name in parts:
        add(name)
    return list(ordered)[num_known:]


def _entry(name: str, parts: Mapping[str, Part]) -> Part | Fact:
    return parts[name] if name in parts else FACTS[name]
