"""A schedule in the contest's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import read, validate
from pydantic import ConfigDict, Field, StrictFloat, StrictInt

__all__ = ["ContestSolution", "SolutionSubgraph", "read_solution"]

Index: TypeAlias = Annotated[StrictInt, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class SolutionSubgraph:
    """A subgraph in its place in the schedule.

    Attributes
    ----------
    granularity
        ``(w, h, k)``.
    retained
        Tensors left whole in fast memory for the next subgraph.
    tiles
        The order of the output tiles; empty for raster order.
    """

    operations: tuple[int, ...]
    granularity: tuple[int, int, int]
    retained: tuple[int, ...] = ()
    tiles: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContestSolution:
    """Subgraphs in the order in which they run, and the latencies that were stated, if any."""

    parts: tuple[SolutionSubgraph, ...]
    latencies: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what the contest's output file holds."""
        return {
            "subgraphs": [list(p.operations) for p in self.parts],
            "granularities": [list(p.granularity) for p in self.parts],
            "tensors_to_retain": [list(p.retained) for p in self.parts],
            "traversal_orders": [list(p.tiles) or None for p in self.parts],
            "subgraph_latencies": list(self.latencies),
        }


class SolutionForm(FrozenModel):
    """What a file of a schedule states, by the contest's own names: an entry per subgraph."""

    model_config = ConfigDict(allow_inf_nan=False)
    subgraphs: list[Annotated[list[Index], Field(min_length=1)]]
    granularities: list[
        Annotated[list[Annotated[StrictInt, Field(gt=0)]], Field(min_length=3, max_length=3)]
    ]
    tensors_to_retain: list[list[Index] | None]
    traversal_orders: list[list[Index] | None] | None = None
    subgraph_latencies: list[StrictFloat] | None = None

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield lists of another length than that of the subgraphs."""
        lists: dict[str, list[Any]] = {k: v for k, v in data.items() if isinstance(v, list)}
        count = len(lists.get("subgraphs", ()))
        for key, entries in lists.items():
            if len(entries) != count and (entries or key == "granularities"):
                yield Flaw((key,), f"{len(entries)} entries", f"{count}, one per subgraph")


def read_solution(source: str | Path | Mapping[str, Any]) -> ContestSolution:
    """Read a solution from a JSON file, or from what such a file holds.

    Raises
    ------
    InputError
        With every fault of form; whether the schedule is valid is for `check`.
    """
    if isinstance(source, Mapping):
        form = validate(SolutionForm, dict(source))
    else:
        form = validate(SolutionForm, *read(Path(source), json_text=True), str(source))
    nothing = [None] * len(form.subgraphs)
    parts = zip(
        form.subgraphs,
        form.granularities,
        form.tensors_to_retain or nothing,
        form.traversal_orders or nothing,
        strict=True,
    )
    return ContestSolution(
        tuple(
            SolutionSubgraph(
                tuple(operations), (w, h, k), tuple(retained or ()), tuple(tiles or ())
            )
            for operations, (w, h, k), retained, tiles in parts
        ),
        tuple(form.subgraph_latencies or ()),
    )
