"""Answers that differ from others in what they can write, or in an option or two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from perfmodel.cli.answer import Answer, Shown


@dataclass(kw_only=True)
class TableAnswer(Answer):
    """An answer with a table of one row per question."""

    ROW: ClassVar[str] = "question"


@dataclass(kw_only=True)
class AllocationAnswer(Answer):
    """Addresses of buffers."""

    ROW: ClassVar[str] = "buffer"
    PLOT: ClassVar[str] = "Write the map of the memory to an .html file."


@dataclass(kw_only=True)
class ClaimsAnswer(Answer):
    """Published claims. Claims that are off are a report, not a failure: the exit code is 0."""

    ROW: ClassVar[str] = "claim"


@dataclass(kw_only=True)
class PatchesAnswer(Answer):
    """A plan of patches."""

    ROW: ClassVar[str] = "stretch of layers"
    PLOT: ClassVar[str] = (
        "Write the memory layer by layer, with and without patches, to an .html file."
    )


@dataclass(kw_only=True)
class StreamAnswer(Answer):
    """A pipeline of loads."""

    ROW: ClassVar[str] = "load"
    PLOT: ClassVar[str] = "Write loads and computing over time to an .html file."


@dataclass(kw_only=True)
class FineTuningAnswer(Answer):
    """What can be trained."""

    ROW: ClassVar[str] = "layer"
    EXPLAIN: ClassVar[str] = "Print what the memory holds."


@dataclass(kw_only=True)
class SplitAnswer(Answer):
    """Where to cut."""

    ROW: ClassVar[str] = "rate and cut that is the best somewhere"
    PLOT: ClassVar[str] = "Write latency over rate to an .html file."
    EXPLAIN: ClassVar[str] = (
        "Print the arithmetic of the best cut at the lowest and the highest rate."
    )

    def explained(self, result: Any) -> str:
        """Return the arithmetic of both ends."""
        ends = dict.fromkeys((0, len(result.rates_bytes_per_s) - 1))
        return "\n".join(map(result.explain, ends))


@dataclass(kw_only=True)
class PlacementAnswer(Answer):
    """A placement.

    Parameters
    ----------
    context_limit
        Also find the longest context at which everything has a place.
    """

    ROW: ClassVar[str] = "piece"
    PLOT: ClassVar[str] = "Write what lies in each memory to an .html file."

    context_limit: bool = False

    def shown(self, result: Any) -> Shown:
        """Return the placement with its rows, and the longest context where that is asked for."""
        shown = Shown(f"{result}\n\n{result.table}" if result.feasible else str(result))
        if self.context_limit:
            longest = result.context_limit()
            shown.data = {**result.to_dict(), "context_limit": longest}
            shown.text += f"\n\nlongest context: {longest}"
        return shown
