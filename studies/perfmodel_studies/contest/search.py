"""The best sequence of subgraphs, found from the end of the schedule backwards.

A state is the set of tensors that the subgraphs placed so far, which run later, read from slow
memory, and the set that the earliest of them expects whole in fast memory. The next subgraph to
place is one that stores the needed tensor that stands last in the graph (any valid schedule can be
reordered so, but for what is retained), or, where something is expected in fast memory, one that
makes all of it: what is retained lasts from one subgraph to the next only. Operations may run in
several subgraphs. States with as many operations left are a layer; a layer keeps its best states
(beam), or all of them.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from perfmodel.optimise.deadline import Deadline

from perfmodel_studies.contest.bound import cover_prices
from perfmodel_studies.contest.groups import CandidateSubgraph, Groups, SubgraphTiling

__all__ = ["ContestSearchResult", "PlacedSubgraph", "SubgraphSearch"]

#: Retained tensors of one step are at most this many.
_MOST_RETAINED = 2
#: Up to this many operations everything that retention allows is tried.
_FEW = 8


@dataclass(frozen=True, slots=True)
class PlacedSubgraph:
    """A subgraph as it was placed."""

    group: CandidateSubgraph
    choice: SubgraphTiling
    resident: frozenset[int]
    retained: frozenset[int]


@dataclass(frozen=True, slots=True)
class ContestSearchResult:
    """A schedule, and whether nothing was left out on the way to it."""

    latency: float
    stages: tuple[PlacedSubgraph, ...]
    exhausted: bool


@dataclass(frozen=True, slots=True)
class _Record:
    latency: float
    before: _Record | None
    stage: PlacedSubgraph | None


@dataclass(frozen=True, slots=True)
class _Entry:
    group: CandidateSubgraph
    reads: int
    stores: int
    makes: int
    owners: tuple[int, ...]  # for each operation that stores something, its stored tensors


class SubgraphSearch:
    """Places groups; made once for a set of groups."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        x = self.instance = groups.instance
        tensors = [t for i in x.order for t in x.operations[i].outputs]
        self.tensors = tensors
        self.bit = {t: 1 << n for n, t in enumerate(tensors)}
        entries = [self._entry(g) for g in groups.found.values()]
        self.storing: list[list[_Entry]] = [[] for _ in tensors]
        self.making: list[list[_Entry]] = [[] for _ in tensors]
        for entry in sorted(entries, key=lambda e: e.group.choice.latency):
            for n in range(len(tensors)):
                if entry.stores >> n & 1:
                    self.storing[n].append(entry)
                if entry.makes >> n & 1:
                    self.making[n].append(entry)
        self.entries = entries
        self.retain = True
        self.few = len(x.operations) <= _FEW
        least = [
            g.floor
            if groups.retainable
            & {*g.structure.inputs, *g.structure.outputs, *g.structure.interior}
            else g.choice.latency
            for g in groups.found.values()
        ]
        price = cover_prices(len(x.operations), [e.group.mask for e in entries], least)
        self.price = [float(p) for p in price]
        self._closures: dict[int, int] = {0: 0}
        self._kept: dict[int, tuple[tuple[int, frozenset[int]], ...]] = {}
        self._rest: dict[int, float] = {0: 0.0}

    def _entry(self, group: CandidateSubgraph) -> _Entry:
        s, x = group.structure, self.instance
        reads = [t for t in s.inputs if x.producer[t] >= 0]
        owners: dict[int, int] = {}
        for t in s.outputs:
            owners[x.producer[t]] = owners.get(x.producer[t], 0) | self.bit[t]
        return _Entry(
            group,
            self._bits(reads),
            self._bits(s.outputs),
            self._bits((*s.outputs, *s.interior)),
            tuple(owners.values()),
        )

    def _keeps(self, entry: _Entry) -> tuple[tuple[int, frozenset[int]], ...]:
        """Sets of inputs of a group that one group before it could leave in fast memory."""
        mask = entry.group.mask
        if mask not in self._kept:
            s, x = entry.group.structure, self.instance
            retained = [t for t in s.inputs if t in self.groups.retainable]
            sizes = range(1, (_MOST_RETAINED if len(retained) <= _FEW else 1) + 1)
            sets = [frozenset(c) for n in sizes for c in itertools.combinations(retained, n)]
            fit = [c for c in sets if sum(x.elements(t) for t in c) < x.capacity]
            self._kept[mask] = tuple(
                (bits, c) for c in fit if self._made_together(bits := self._bits(c))
            )
        return self._kept[mask]

    def _made_together(self, bits: int) -> bool:
        return any(e.makes & bits == bits for e in self.making[bits.bit_length() - 1])

    def _bits(self, tensors: tuple[int, ...] | list[int] | frozenset[int]) -> int:
        out = 0
        for t in tensors:
            out |= self.bit[t]
        return out

    def closure(self, needed: int) -> int:
        """Bit mask of the operations that must still run to make these tensors."""
        operations = self._closures.get(needed)
        if operations is None:
            top = needed.bit_length() - 1
            mine = self.instance.needed_operations[self.tensors[top]]
            operations = mine | self.closure(needed ^ (1 << top))
            self._closures[needed] = operations
        return operations

    def rest(self, operations: int) -> float:
        """Return what the operations still cost at least."""
        bound = self._rest.get(operations)
        if bound is None:
            bound = sum(p for i, p in enumerate(self.price) if operations >> i & 1)
            self._rest[operations] = bound
        return bound

    def beam(
        self,
        width: int | None,
        deadline: Deadline,
        most: float,
        *,
        retain: bool = True,
        noise: random.Random | None = None,
    ) -> ContestSearchResult:
        """Search layer by layer.

        Parameters
        ----------
        width
            States kept in a layer; None for all.
        most
            Only schedules below this latency are of interest.
        retain
            Leave tensors in fast memory from one subgraph to the next.
        noise
            Shuffles, by a tenth of what is left to pay, which states a full layer keeps.
        """
        self.retain = retain and bool(self.groups.retainable)
        start = (self._bits(self.instance.graph_outputs), 0)
        layers: dict[int, dict[tuple[int, int], _Record]] = {}
        order: list[int] = []
        best: _Record | None = None
        complete = True
        self._put(layers, order, start, _Record(0.0, None, None))
        while order:
            layer = layers.pop(-heapq.heappop(order))
            states = [
                (r.latency + self.rest(self.closure(s[0] | s[1])), s, r) for s, r in layer.items()
            ]
            if width is not None and len(states) > width:
                if noise is not None:
                    left = max(states[0][0] - states[0][2].latency, 1.0)
                    states = [(v + noise.gauss(0, 0.1) * left, s, r) for v, s, r in states]
                states = heapq.nsmallest(width, states, key=lambda e: e[:2])
                complete = False
            for value, state, record in states:
                if deadline.passed():
                    return self._found(best, most, False)
                if noise is None and value >= most:
                    continue
                key = self._key(state)
                for after, stage in self._after(state, most - record.latency):
                    if deadline.passed():
                        return self._found(best, most, False)
                    latency = record.latency + stage.choice.latency
                    if latency >= most:
                        continue
                    new = _Record(latency, record, stage)
                    if after == (0, 0):
                        best, most = new, latency
                        continue
                    if self._key(after) >= key:
                        continue
                    left_over = self.rest(self.closure(after[0] | after[1]))
                    if latency + left_over < most:
                        self._put(layers, order, after, new)
        return self._found(best, most, complete)

    def best_first(self, deadline: Deadline, most: float) -> ContestSearchResult:
        """Search state by state, the most promising first, with no layers (see `beam`).

        For instances of few operations: layers leave out schedules that retain a tensor and run the
        operation that makes it again as well.
        """
        self.retain = True
        start = (self._bits(self.instance.graph_outputs), 0)
        known: dict[tuple[int, int], float] = {start: 0.0}
        ties = itertools.count()
        heap: list[tuple[float, int, tuple[int, int], _Record]] = []
        heapq.heappush(heap, (0.0, next(ties), start, _Record(0.0, None, None)))
        while heap and not deadline.passed():
            value, _, state, record = heapq.heappop(heap)
            if value >= most:
                return self._found(None, most, True)
            if state == (0, 0):
                return self._found(record, most, True)
            if record.latency > known[state]:
                continue
            for after, stage in self._after(state, most - record.latency):
                new = _Record(record.latency + stage.choice.latency, record, stage)
                if new.latency < known.get(after, most):
                    known[after] = new.latency
                    left = self.rest(self.closure(after[0] | after[1]))
                    heapq.heappush(heap, (new.latency + left, next(ties), after, new))
        return self._found(None, most, not heap)

    def _found(self, best: _Record | None, most: float, complete: bool) -> ContestSearchResult:
        stages: list[PlacedSubgraph] = []
        record = best
        while record is not None and record.stage is not None:
            stages.append(record.stage)
            record = record.before
        return ContestSearchResult(most if best is None else best.latency, tuple(stages), complete)

    def _key(self, state: tuple[int, int]) -> int:
        return 2 * self.closure(state[0] | state[1]).bit_count() + (state[1] > 0)

    def _put(
        self,
        layers: dict[int, dict[tuple[int, int], _Record]],
        order: list[int],
        state: tuple[int, int],
        record: _Record,
    ) -> None:
        key = self._key(state)
        layer = layers.get(key)
        if layer is None:
            layer = layers[key] = {}
            heapq.heappush(order, -key)
        old = layer.get(state)
        if old is None or record.latency < old.latency:
            layer[state] = record

    def _after(
        self, state: tuple[int, int], room: float
    ) -> Iterator[tuple[tuple[int, int], PlacedSubgraph]]:
        needed, expected = state
        if expected:
            retained = frozenset(t for t in self.tensors if self.bit[t] & expected)
            for entry in self.making[expected.bit_length() - 1]:
                if entry.makes & expected == expected:
                    yield from self._place(state, entry, retained, True, room)
            return
        top = needed.bit_length() - 1
        for entry in self.storing[top]:
            yield from self._place(state, entry, frozenset(), True, room)
        if self.retain and self.few:
            for entry in self.entries:
                if entry.stores & needed and not entry.stores >> top & 1:
                    yield from self._place(state, entry, frozenset(), False, room)

    def _place(
        self,
        state: tuple[int, int],
        entry: _Entry,
        retained: frozenset[int],
        single: bool,
        room: float,
    ) -> Iterator[tuple[tuple[int, int], PlacedSubgraph]]:
        needed, expected = state
        if any(not mine & (needed | expected) for mine in entry.owners):
            return  # stores what nothing needs
        left = needed & ~(entry.stores & ~expected)
        group = entry.group
        for bits, resident in self._residents(entry, single):
            after = (left | (entry.reads & ~bits), bits)
            special = bool(resident or retained)
            least = group.floor if special else group.choice.latency
            if least + self.rest(self.closure(after[0] | bits)) >= room:
                continue
            choice: SubgraphTiling | None = group.choice
            if special:
                choice = self.groups.variant(group.structure, resident, retained)
            if choice is not None:
                yield after, PlacedSubgraph(group, choice, resident, retained)

    def _residents(self, entry: _Entry, single: bool) -> Iterator[tuple[int, frozenset[int]]]:
        if single:
            yield 0, frozenset()
        if self.retain:
            yield from self._keeps(entry)
