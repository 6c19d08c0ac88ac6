"""Subgraphs worth considering, each with its best granularity and order of tiles."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.masks import bits

from perfmodel_studies.contest.bound import group_floor
from perfmodel_studies.contest.cost import ORDERS, SubgraphCosts, Whole
from perfmodel_studies.contest.instance import Instance
from perfmodel_studies.contest.structure import Structure, analyse

__all__ = ["CandidateSubgraph", "Groups", "SubgraphTiling", "granularities"]

#: A native extent up to this is searched number by number, without leaving anything out.
_SMALL = 16


@dataclass(frozen=True, slots=True)
class SubgraphTiling:
    """How a subgraph runs: its latency, granularity ``(w, h, k)`` and order of tiles."""

    latency: float
    granularity: tuple[int, int, int]
    order: str


@dataclass(frozen=True, slots=True)
class CandidateSubgraph:
    """A subgraph that fits somehow; ``choice`` is the best way with nothing retained.

    Attributes
    ----------
    mask
        Bits of its operations.
    floor
        No way to run it is faster: any capacity, everything retained that could be.
    """

    mask: int
    structure: Structure
    choice: SubgraphTiling
    floor: float


class Groups:
    """Finds subgraphs and costs them; alike ones are costed once.

    Attributes
    ----------
    found
        Groups by mask.
    complete
        Every subgraph that the rules allow has been looked at.
    costed
        How often a subgraph's granularities were gone through.
    """

    def __init__(self, instance: Instance, most: int = 100_000) -> None:
        self.instance, self.most = instance, most
        self.found: dict[int, CandidateSubgraph] = {}
        self.complete = False
        self.costed = 0
        self.small = max(instance.native_width, instance.native_height) <= _SMALL
        self._choices: dict[Hashable, SubgraphTiling | None] = {}
        self._alone: list[float] = []
        self._heap: list[tuple[float, int, int]] = []
        self._seen: set[int] = set()
        self._near = self._neighbours()
        self.retainable = frozenset(
            t
            for t, producer in enumerate(instance.producer)
            if producer >= 0 and instance.consumers[t] and instance.elements(t) < instance.capacity
        )

    def grow(self, deadline: Deadline, *, hopeful: bool = False, most: int | None = None) -> None:
        """Look at subgraphs, from single operations on, around those first that gain most.

        May be called again and goes on where it stopped.

        Parameters
        ----------
        hopeful
            Stop once what is left to grow from gains nothing over its operations run alone.
        most
            Stop at this many subgraphs found.
        """
        if not self._alone:
            self._begin()
        while self._heap:
            if deadline.passed() or len(self._seen) > self.most:
                return
            if most is not None and len(self.found) >= most:
                return
            if hopeful and self._heap[0][0] > 0:
                return
            _, size, mask = heapq.heappop(self._heap)
            around = 0
            for op in bits(mask):
                around |= self._near[op]
            for op in bits(around & ~mask):
                wider = mask | 1 << op
                if wider in self._seen:
                    continue
                self._seen.add(wider)
                group = self.look(wider)
                if group == "never":
                    continue
                gain = -math.inf
                if not isinstance(group, str):
                    apart = sum(self._alone[i] for i in bits(wider))
                    gain = apart - group.choice.latency
                heapq.heappush(self._heap, (-gain, size + 1, wider))
        self.complete = True

    def _begin(self) -> None:
        for op in range(len(self.instance.operations)):
            group = self.look(1 << op)
            latency = math.inf if isinstance(group, str) else group.choice.latency
            self._alone.append(latency)
            heapq.heappush(self._heap, (-math.inf, 1, 1 << op))
            self._seen.add(1 << op)

    def look(self, mask: int) -> CandidateSubgraph | str:
        """Cost a subgraph; ``"never"`` where more operations cannot make it valid."""
        structure = analyse(self.instance, frozenset(bits(mask)))
        if isinstance(structure, str):
            return "never" if structure.startswith("what is pointwise") else "invalid"
        choice = self.variant(structure, frozenset(), frozenset())
        if choice is None:
            return "too large"
        group = CandidateSubgraph(
            mask, structure, choice, group_floor(self.instance, structure, self.retainable)
        )
        self.found[mask] = group
        return group

    def variant(
        self, structure: Structure, resident: frozenset[int], retained: frozenset[int]
    ) -> SubgraphTiling | None:
        """Return the best way to run a subgraph, None where no granularity fits."""
        key = self._key(structure, resident, retained)
        if key not in self._choices:
            self.costed += 1
            self._choices[key] = self._best(structure, resident, retained)
        return self._choices[key]

    def _best(
        self, structure: Structure, resident: frozenset[int], retained: frozenset[int]
    ) -> SubgraphTiling | None:
        w, h, k = granularities(self.instance, structure, resident, retained, self.small)
        if not len(w):
            return None
        best: tuple[float, float, int, int] | None = None
        grid = SubgraphCosts(self.instance, structure, w, h, k, resident, retained)
        compared = grid.ordered(*ORDERS)
        for number, candidate in enumerate(compared):
            transferred = candidate.read + candidate.written
            at = int(np.lexsort((transferred, np.round(candidate.latency, 6)))[0])
            new = (round(float(candidate.latency[at]), 6), float(transferred[at]), number, at)
            best = new if best is None or new < best else best
        assert best is not None
        number, at = best[2:]
        granularity = (int(w[at]), int(h[at]), int(k[at]))
        return SubgraphTiling(float(compared[number].latency[at]), granularity, ORDERS[number])

    def _neighbours(self) -> list[int]:
        near = [0] * len(self.instance.operations)
        for tensor, producer in enumerate(self.instance.producer):
            for reader in self.instance.consumers[tensor] if producer >= 0 else ():
                near[producer] |= 1 << reader
                near[reader] |= 1 << producer
        return near

    def _key(self, s: Structure, resident: frozenset[int], retained: frozenset[int]) -> Hashable:
        """Everything that the cost depends on, whatever the tensors are called."""
        x = self.instance
        regions: dict[int, list[tuple[str, str, int, int]]] = {}
        for c in s.slices:
            if c.tensor not in resident:
                d = c.demand
                region = (d.rows, d.columns, d.depth, d.during)
                regions.setdefault(c.tensor, []).append(region)
        slices = sorted((*x.shape(t), *sorted(r)) for t, r in regions.items())
        runs: list[tuple[float | int | str, ...]] = []
        for e in s.executions:
            op, d = x.operations[e.operation], e.demand
            out = op.outputs[0]
            runs.append(
                (op.base_cost, *x.shape(out), d.rows, d.columns, d.depth, d.during, e.spread)
            )
        resident_elements = sum(x.elements(t) for t in resident | retained)
        stored = len([t for t in s.outputs if t not in retained])
        least = (s.least_width, s.least_height, s.most_depth)
        return (
            tuple(slices),
            tuple(sorted(runs)),
            resident_elements,
            stored,
            s.width,
            s.height,
            s.depths,
            least,
        )


def granularities(
    instance: Instance,
    structure: Structure,
    resident: frozenset[int],
    retained: frozenset[int],
    everything: bool,
) -> tuple[Whole, Whole, Whole]:
    """Return the granularities ``w``, ``h``, ``k`` to compare, all of which fit.

    Sides are halves of the native one and the output cut evenly; depths are halves. Of those that
    fit, each is kept with its two largest partners only: a larger side or depth is not slower.
    With `everything` each whole number is tried and all are kept.
    """
    s = structure
    w = _sides(instance.native_width, s.width, s.least_width, everything)
    h = _sides(instance.native_height, s.height, s.least_height, everything)
    k = _sides(s.most_depth, s.most_depth, 1, everything) if s.depths else np.array([1])
    grid = [g.reshape(-1) for g in np.meshgrid(w, h, k, indexing="ij")]
    fits: NDArray[np.bool_] = (
        SubgraphCosts(instance, s, *grid, resident=resident, retained=retained).working_set
        <= instance.capacity
    ).reshape(len(w), len(h), len(k))
    if not everything:
        for axis in (2, 0, 1):  # largest first along each axis
            fits = fits & (np.cumsum(fits, axis=axis) <= 2)
    fitting: Whole = np.flatnonzero(fits.reshape(-1))
    return grid[0][fitting], grid[1][fitting], grid[2][fitting]


def _sides(native: int, extent: int, least: int, everything: bool) -> Whole:
    """Sizes to try, the largest first."""
    sizes: set[int] = {native}
    if everything:
        sizes.update(range(1, native + 1))
    half = native
    while half > 1:
        half //= 2
        sizes.add(half)
    pieces = -(-extent // native)
    sizes.update(-(-extent // n) for n in range(pieces, pieces + 12))
    return np.array(sorted((g for g in sizes if least <= g <= native), reverse=True))
