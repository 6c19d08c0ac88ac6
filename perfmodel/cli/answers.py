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
class LoadAnswer(Answer):
    """A server under a load, or under several."""

    ROW: ClassVar[str] = "load"


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
    PICTURES: ClassVar[tuple[str, ...]] = ("timeline",)

    def shown(self, result: Any) -> Shown:
        """Return the picture, where there is a pipeline."""
        return super().shown(result) if result.feasible else Shown()


@dataclass(kw_only=True)
class FineTuningAnswer(Answer):
    """What can be trained.

    Parameters
    ----------
    explain
        Print what the memory holds.
    """

    ROW: ClassVar[str] = "layer"

    explain: bool = False

    def shown(self, result: Any) -> Shown:
        """Return what the memory holds, where that is asked for."""
        return Shown(result.explain() if self.explain else "")


@dataclass(kw_only=True)
class SplitAnswer(Answer):
    """Where to cut.

    Parameters
    ----------
    explain
        Print the arithmetic of the best cut at the lowest and the highest rate.
    """

    ROW: ClassVar[str] = "rate and cut that is the best somewhere"
    PLOT: ClassVar[str] = "Write latency over rate to an .html file."

    explain: bool = False

    def shown(self, result: Any) -> Shown:
        """Return the arithmetic of both ends, where that is asked for, and the picture."""
        shown = super().shown(result) if result.feasible else Shown()
        if self.explain:
            ends = dict.fromkeys((0, len(result.rates_bytes_per_s) - 1))
            shown.text = "\n".join(result.explain(at) for at in ends)
        return shown


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
    PICTURES: ClassVar[tuple[str, ...]] = ("levels",)

    context_limit: bool = False

    def shown(self, result: Any) -> Shown:
        """Return the placement with its rows, and the longest context where that is asked for."""
        shown = super().shown(result) if result.feasible else Shown()
        shown.text = f"{result}\n\n{result.table}" if result.feasible else str(result)
        if self.context_limit:
            longest = result.context_limit()
            shown.data = {**result.to_dict(), "context_limit": longest}
            shown.text += f"\n\nlongest context: {longest}"
        return shown
