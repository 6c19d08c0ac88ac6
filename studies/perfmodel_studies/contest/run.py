"""One call for the contest: read, search until the time is up, check, report."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.atomic import write_text
from perfmodel.errors import InputError
from perfmodel.optimise.deadline import Deadline

from perfmodel_studies.contest.bound import cover_prices, physical_bound
from perfmodel_studies.contest.cost import RASTER, tile_order
from perfmodel_studies.contest.evaluate import Evaluation, evaluate
from perfmodel_studies.contest.groups import Groups
from perfmodel_studies.contest.instance import Instance, read_instance
from perfmodel_studies.contest.naive import naive
from perfmodel_studies.contest.search import ContestSearchResult, PlacedSubgraph, SubgraphSearch
from perfmodel_studies.contest.solution import ContestSolution, SolutionSubgraph

__all__ = ["ContestSchedule", "contest", "contest_time_s"]

#: Operations up to which the contest allows that many seconds (README of yarongmu-google/MLSys).
_TIMES = ((5, 2.0), (20, 5.0), (32, 15.0), (63, 30.0), (103, 60.0))
_WIDTHS = (1, 8, 64, 512, 4096)
_SHUFFLES = 8
_SAME = 1e-9
#: Subgraphs to find before the search runs again.
_STAGES = (300, 1500, 6000, None)


def contest_time_s(instance: Instance) -> float:
    """Return the time limit that the contest gives an instance of this size."""
    count = len(instance.operations)
    return next((seconds for most, seconds in _TIMES if count <= most), 120.0)


@dataclass(frozen=True)
class ContestSchedule:
    """A schedule, what it costs, and how far from the best it can be.

    Attributes
    ----------
    solution, evaluation
        The schedule and its cost, which the checker has passed.
    naive_latency
        Every operation alone, raster order, nothing retained; None where that does not fit.
    bound
        No schedule under these rules is faster.
    exhausted
        Every subgraph that the rules allow was costed and every sequence of them ruled out or
        tried: the best with the granularities and orders of tiles that were compared (see
        `granularities`), with at most two tensors retained at once. Never claimed for more than
        eight operations where a tensor could be retained.
    counts
        ``subgraphs`` found, ``costed`` ones that differ, ``passes`` of the search.
    """

    instance: Instance
    solution: ContestSolution
    evaluation: Evaluation
    naive_latency: float | None
    bound: float
    exhausted: bool
    counts: Mapping[str, int]

    @property
    def latency(self) -> float:
        """Sum of the subgraphs' latencies, in the contest's units."""
        return self.evaluation.latency

    @property
    def ratio(self) -> float:
        """Naive latency over latency; infinite where the naive schedule does not fit."""
        return float("inf") if self.naive_latency is None else self.naive_latency / self.latency

    @property
    def proved(self) -> bool:
        """The latency is the bound: no schedule is faster, at whatever granularity."""
        return self.latency <= self.bound * (1 + _SAME)

    @property
    def gap(self) -> float:
        """How far the latency is above the bound, as a fraction of the latency."""
        return max(0.0, 1.0 - self.bound / self.latency) if self.latency else 0.0

    def save(self, path: str | Path) -> None:
        """Write the schedule in the contest's format."""
        write_text(path, json.dumps(self.solution.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "name": self.instance.name,
            "latency": self.latency,
            "naive_latency": self.naive_latency,
            "bound": self.bound,
            "gap": self.gap,
            "proved": self.proved,
            "exhausted": self.exhausted,
            "counts": dict(self.counts),
            "working_sets": list(self.evaluation.working_sets),
            "solution": self.solution.to_dict(),
        }

    def __str__(self) -> str:
        naive_text = "does not fit" if self.naive_latency is None else f"{self.naive_latency:,.1f}"
        gap = f"gap {self.gap:.1%}"
        state = "stopped at the bound" if self.proved else "stopped"
        state = "exhausted" if self.exhausted else state
        counts = ", ".join(f"{v} {k}" for k, v in self.counts.items())
        operations, parts = len(self.instance.operations), len(self.solution.parts)
        lines = [
            f"{self.instance.name}: {operations} operations in {parts} subgraphs",
            f"  latency    {self.latency:,.1f}",
            f"  naive      {naive_text}, {self.ratio:.3f} times as long",
            f"  bound      {self.bound:,.1f}, " + ("proved" if self.proved else gap),
            f"  search     {state}; {counts}",
        ]
        if self.instance.swapped:
            count = len(self.instance.swapped)
            lines.append(f"  operands   of {count} products taken right before left, as they fit")
        return "\n".join(lines)


def contest(
    source: str | Path | Mapping[str, Any] | Instance,
    time_limit_s: float | None = None,
    seed: int = 0,
) -> ContestSchedule:
    """Schedule an instance of the MLSys 2026 contest.

    Parameters
    ----------
    source
        A JSON file, what it holds, or an instance.
    time_limit_s
        By the clock on the wall; the contest's limit for this size by default.
    seed
        Of the passes that shuffle; only an instance too large to be searched through needs them.

    Raises
    ------
    InputError
        With every fault of the input, or naming the operations that fit at no granularity.
    """
    instance = source if isinstance(source, Instance) else read_instance(source)
    limit = contest_time_s(instance) if time_limit_s is None else time_limit_s
    deadline = Deadline(0.94 * limit)
    start = naive(instance)
    naive_latency = None if start is None else evaluate(instance, start).latency
    groups = Groups(instance)
    bound = physical_bound(instance)
    hunt = _Hunt(groups, start, naive_latency, bound, deadline, random.Random(seed))
    for few in _STAGES:
        hunt.further(few)
    while hunt.further(None, hopeful=False):
        pass
    best, exhausted, passes = hunt.best, hunt.exhausted, hunt.passes
    if best is None:
        infeasible = [i for i in range(len(instance.operations)) if 1 << i not in groups.found]
        raise InputError(f"operations {infeasible} fit at no granularity, nor in a subgraph found")
    bare = ContestSolution(best.parts)
    solution = ContestSolution(best.parts, evaluate(instance, bare).latencies)
    if groups.complete:
        masks = [g.mask for g in groups.found.values()]
        floors = [g.floor for g in groups.found.values()]
        bound = max(bound, float(cover_prices(len(instance.operations), masks, floors).sum()))
    counts = {"subgraphs": len(groups.found), "costed": groups.costed, "passes": passes}
    return ContestSchedule(
        instance,
        solution,
        evaluate(instance, solution),
        naive_latency,
        bound,
        exhausted and groups.complete,
        counts,
    )


class _Hunt:
    """Passes of the search, wider and wider, over the groups found so far."""

    def __init__(
        self,
        groups: Groups,
        best: ContestSolution | None,
        latency: float | None,
        bound: float,
        deadline: Deadline,
        noise: random.Random,
    ) -> None:
        self.groups, self.best, self.bound = groups, best, bound
        self.deadline, self.noise, self.whole_time = deadline, noise, deadline.left()
        self.most = float("inf") if latency is None else latency
        self.exhausted = False
        self.passes = 0

    def further(self, most: int | None, *, hopeful: bool = True) -> bool:
        """Find more subgraphs and search again; tell whether that can be worth repeating."""
        left = self.deadline.left()
        if self.groups.complete or left < 0.1 * self.whole_time or self.settled:
            return False
        before = len(self.groups.found)
        part = self.deadline.within(left / 4 if hopeful else left / 2)
        self.groups.grow(part, hopeful=hopeful, most=most)
        if len(self.groups.found) > before or self.groups.complete:
            left = self.deadline.left()
            self.run(self.deadline.within(0.6 * left) if hopeful else self.deadline)
            return True
        return False

    @property
    def settled(self) -> bool:
        """The bound is reached."""
        return self.most <= self.bound * (1 + _SAME)

    def run(self, deadline: Deadline) -> None:
        """Search wider and wider, without and with tensors retained, until nothing is left out."""
        search = SubgraphSearch(self.groups)
        self.exhausted = False
        ways = [False, True] if self.groups.retainable else [False]
        for width in _WIDTHS:
            for retain in list(ways):
                if retain and search.few:
                    self.exhausted = self.take(search.best_first(deadline, self.most * (1 - 1e-12)))
                    return
                if self.one(search, width, retain, None, deadline):
                    ways.remove(retain)  # nothing was left out: wider is the same
                    self.exhausted = not (retain or self.groups.retainable)
                if self.settled or deadline.passed():
                    return
            if not ways:
                return
        for _ in range(_SHUFFLES):
            self.one(search, 64, ways[-1], self.noise, deadline)

    def one(
        self,
        search: SubgraphSearch,
        width: int,
        retain: bool,
        noise: random.Random | None,
        deadline: Deadline,
    ) -> bool:
        """Search once; tell whether no state was left out."""
        most = self.most * (1 - 1e-12)
        result = search.beam(width, deadline, most, retain=retain, noise=noise)
        return self.take(result) and noise is None

    def take(self, result: ContestSearchResult) -> bool:
        self.passes += 1
        if result.stages:
            self.best, self.most = _solution(result.stages), result.latency
        return result.exhausted


def _solution(stages: tuple[PlacedSubgraph, ...]) -> ContestSolution:
    parts: list[SolutionSubgraph] = []
    for stage in stages:
        s, (w, h, _) = stage.group.structure, stage.choice.granularity
        rows, columns = -(-s.height // h), -(-s.width // w)
        tiles: tuple[int, ...] = ()
        if stage.choice.order != RASTER and rows > 1 and columns > 1:
            tiles = tuple(tile_order(rows, columns, stage.choice.order))
        retained = tuple(sorted(stage.retained))
        parts.append(SolutionSubgraph(s.operations, stage.choice.granularity, retained, tiles))
    return ContestSolution(tuple(parts))
