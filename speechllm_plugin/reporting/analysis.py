"""The numbers of all parts of a report, each fact and each part computed once."""

from collections.abc import Mapping
from typing import Any

from speechllm_plugin.reporting.facts import FACTS, given
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import Content, Part
from speechllm_plugin.reporting.parts import PARTS
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables.table import Table


class Analysis:
    """What the parts of a report have found: analysis["scores"] are the numbers of the part `scores`.

    study:    with what the options add to its utterances.
    contents: name of a part -> its Content; parts that are left out of the page are not there.
    """

    def __init__(self, facts: dict[str, Any], parts: Mapping[str, Part]):
        self.study: Study = facts["study"]
        self.parts = parts
        self.contents: dict[str, Content] = {}
        self._values = dict(facts)
        for name in parts:
            self._compute(name)

    def __getitem__(self, name: str) -> Any:
        """The value of a fact, or the numbers of a part; None for a part that is left out.

        Raises:
            KeyError: there is no fact or part of this name.
        """
        if name not in self._values:
            self._compute(name)
        return self._values[name]

    def _compute(self, name: str) -> None:
        if name in self._values:
            return
        entry = self.parts[name] if name in self.parts else FACTS[name]
        found = entry.compute(**{needed: self[needed] for needed in entry.needs})
        if isinstance(entry, Part):
            if found is not None:
                self.contents[name] = found
            found = None if found is None else found.numbers
        self._values[name] = found

    @property
    def tables(self) -> list[Table]:
        """Those that --tables writes, in the order of the page."""
        shown = [(part, table) for name, part in self.parts.items() if name in self.contents for table in self.contents[name].tables]
        return [table for part, table in shown if table.name in part.written]


def analyse(study: Study, options: Options, parts: Mapping[str, Part] = PARTS) -> Analysis:
    """The Analysis of a study.

    Raises:
        ValueError: an option does not fit the data: an unknown metric, slice or utterance, a table of speakers that lacks some ...
    """
    return Analysis(given(study, options), parts)
