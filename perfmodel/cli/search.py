"""Options and output of ``perfmodel search``: choices as typed, front and relief of limits.

`read_choices` turns ``--choice NAME:LAYERS=OPTIONS`` into the argument `choices` of the public
function; `SearchAnswer` prints the configuration that it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from perfmodel.cli.answer import Answer, DisplayOverrides
from perfmodel.cli.typed_values import fact_value
from perfmodel.errors import Fault
from perfmodel.search.search_result import SearchResult
from perfmodel.search.search_text import front_text, relief_lines
from perfmodel.settings import FaultList, is_fact, plain_value


@dataclass(kw_only=True)
class SearchAnswer(Answer):
    """Output of ``search``: the best configuration, on request with front and relief of limits.

    Parameters
    ----------
    front
        Also find the Pareto front of the objective and the metric of the first constraint.
    relief
        Also show the effect of relaxing each limit by 10 %.
    """

    front: bool = False
    relief: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: a front requires a constraint."""
        faults = super().faults(values)
        if self.front and "device" in values and "constraints" not in values:
            message = "a front needs a metric to sweep, and there is no constraint"
            faults.append(Fault(message, file="--front", expected="a --constraint"))
        return faults

    def overrides(self, result: SearchResult) -> DisplayOverrides:
        """Return the configuration with the requested additions."""
        overrides = DisplayOverrides(
            result.explain() if self.explain else str(result), result.to_dict()
        )
        if self.relief:
            prices = result.relief()
            finite = {name: price if isfinite(price) else None for name, price in prices.items()}
            overrides.data["relief"] = finite
            overrides.text += "\n" + "\n".join(relief_lines(result, finite))
        if self.front and result.feasible:
            overrides.table = result.front
            overrides.data["front"] = overrides.table.to_records()
            overrides.text += "\n\n" + front_text(result, overrides.table)
        return overrides


def read_choices(items: Iterable[str], name: str, faults: FaultList) -> dict[str, Any]:
    """Read ``NAME=OPTIONS`` and ``NAME:PATTERN=OPTIONS`` with comma-separated options."""
    del name  # always `choices`
    read: dict[str, dict[str, list[Any]]] = {}
    for item in items:
        head, _, text = (part.strip() for part in item.partition("="))
        word, part, pattern = (piece.strip() for piece in head.partition(":"))
        options = [option.strip() for option in text.split(",")]
        own = read.setdefault(word, {})
        message, place = "", ""
        if not word or not text or (part and not pattern):
            message = f"'{item}' decides nothing"
            expected = "NAME=OPTIONS or NAME:LAYERS=OPTIONS, such as weight_bits=2,4,8"
        elif not all(options):
            message, place = f"'{text}' has an empty option", head
            expected = "options with commas between"
        elif pattern in own:
            message, expected = f"'{head}' is given twice", "all options at once"
        else:
            read_one = fact_value if is_fact(word) else plain_value
            own[pattern] = [read_one(option) for option in options]
            continue
        faults.append(Fault(message, place, "--choice", expected=expected))
    return {word: _merged(own) for word, own in read.items() if own}


def _merged(own: Mapping[str, list[Any]]) -> Any:
    """Return options, or patterns -> options: that of all layers first, as the last match wins."""
    if list(own) == [""]:
        return own[""]
    every = {"*": own[""]} if "" in own else {}
    return every | {pattern: options for pattern, options in own.items() if pattern}
