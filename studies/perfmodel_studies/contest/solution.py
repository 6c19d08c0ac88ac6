"""A schedule in the contest's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.specfile import Marks, read

__all__ = ["ContestSolution", "SolutionSubgraph", "read_solution"]

_KEYS = (
    "subgraphs",
    "granularities",
    "tensors_to_retain",
    "traversal_orders",
    "subgraph_latencies",
)


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


def read_solution(source: str | Path | Mapping[str, Any]) -> ContestSolution:
    """Read a solution from a JSON file, or from what such a file holds.

    Raises
    ------
    InputError
        With every fault of form; whether the schedule is valid is for `check`.
    """
    if isinstance(source, Mapping):
        return _ContestSolutionReader(dict(source), Marks(), "").solution()
    data, marks = read(Path(source), json_text=True)
    return _ContestSolutionReader(data, marks, str(source)).solution()


class _ContestSolutionReader:
    def __init__(self, data: Any, marks: Marks, file: str) -> None:
        if not isinstance(data, dict):
            raise InputError(Fault("a solution is an object", file=file))
        self.data = cast("dict[str, Any]", data)
        self.marks, self.file = marks, file
        self.faults: list[Fault] = []

    def fault(self, path: tuple[str | int, ...], message: str, expected: str) -> None:
        line, column = self.marks.at(path)
        shown = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        self.faults.append(Fault(message, shown, self.file, line, column, expected))

    def solution(self) -> ContestSolution:
        for key in self.data:
            if key not in _KEYS:
                self.fault((key,), f"unknown key '{key}'", nearest(key, _KEYS) or "")
        count = len(self.rows("subgraphs")) if "subgraphs" in self.data else 0
        for key in _KEYS[:3]:
            if key not in self.data:
                self.fault((), f"'{key}' is missing", "")
        lists: dict[str, list[Any]] = {}
        for key in _KEYS:
            rows = self.rows(key) if self.data.get(key) is not None else []
            if rows and len(rows) != count:
                self.fault((key,), f"{len(rows)} entries", f"{count}, one a subgraph")
            lists[key] = rows
        if self.faults:
            raise InputError(self.faults)
        parts: list[SolutionSubgraph] = []
        for i in range(count):
            grain = self.whole("granularities", i, lists, empty=False)
            if len(grain) != 3 or min(grain, default=0) < 1:
                self.fault(("granularities", i), f"{grain}", "[w, h, k], each at least 1")
                grain = [1, 1, 1]
            parts.append(
                SolutionSubgraph(
                    tuple(self.whole("subgraphs", i, lists, empty=False)),
                    (grain[0], grain[1], grain[2]),
                    tuple(self.whole("tensors_to_retain", i, lists)),
                    tuple(self.whole("traversal_orders", i, lists)),
                )
            )
        latencies: list[float] = []
        for i, value in enumerate(lists["subgraph_latencies"]):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.fault(("subgraph_latencies", i), f"{value!r}", "a number")
            else:
                latencies.append(float(value))
        if self.faults:
            raise InputError(self.faults)
        return ContestSolution(tuple(parts), tuple(latencies))

    def rows(self, key: str) -> list[Any]:
        given = self.data[key]
        if not isinstance(given, list):
            self.fault((key,), f"{given!r}", "a list")
            return []
        return cast("list[Any]", given)

    def whole(
        self, key: str, i: int, lists: Mapping[str, list[Any]], *, empty: bool = True
    ) -> list[int]:
        rows = lists[key]
        given: Any = rows[i] if rows else None
        if given is None and empty:
            return []
        entries = cast("list[Any]", given) if isinstance(given, list) else [None]
        good = all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in entries)
        if not good or not (entries or empty):
            self.fault((key, i), f"{given!r}", "a list of whole numbers")
            return []
        return [int(v) for v in entries if v is not None]
