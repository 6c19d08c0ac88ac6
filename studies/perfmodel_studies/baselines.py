"""What COSMA is compared with: two orders, two ways to choose what leaves, and a linear arena.

Li, Gupta and Malik 2023 (arXiv:2311.18246, section V-A) schedule by the framework's own order or by
the one of minimum peak memory footprint (MPMF), give out addresses as TensorFlow Lite's arena does,
and, whenever a tensor finds no place, evict by Belady's rule or by the choice that moves the fewest
bytes at that moment. Neither looks at the addresses that later tensors will need: what fits in
bytes may find no gap.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.memory_blocks import MemoryBlock, memory_blocks
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, replay

__all__ = ["ORDERS", "REPLACEMENTS", "Baseline", "Placed", "arena_height", "baseline"]

Order = Literal["natural", "minimum-peak"]
Replacement = Literal["belady", "fewest-bytes"]

#: Stands for the scratch of the running step where a buffer's index would.
_SCRATCH = -1

#: The framework's order, and COSMA's MPMF.
ORDERS: tuple[Order, ...] = ("natural", "minimum-peak")
#: Farthest next use first, and the cheapest gap of the moment (COSMA's ILP-based greedy).
REPLACEMENTS: tuple[Replacement, ...] = ("belady", "fewest-bytes")


@dataclass(frozen=True, slots=True)
class Placed:
    """A stay of a buffer at one address, over positions of the order, both included.

    Attributes
    ----------
    buffer
        Index of the buffer; -1 for the scratch of a step. An output that takes over the place of
        an input begins there at the step that does so.
    """

    buffer: int
    first: int
    last: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline's schedule.

    Attributes
    ----------
    outcome
        Its script and cost; no bound. `work` has the evictions, and the ``moves``: operands that
        had to leave and come back at another address because no gap was left between them.
    places
        Where everything lay; empty where addresses were not asked for.
    """

    outcome: Certified[Script]
    places: tuple[Placed, ...]

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded."""
        return int(self.outcome.value)


def baseline(
    problem: Problem,
    capacity_bytes: int,
    order: Order | Sequence[int] = "natural",
    replacement: Replacement = "belady",
    *,
    addresses: bool = True,
    deadline: Deadline | None = None,
) -> Baseline:
    """Return one of COSMA's baselines.

    Parameters
    ----------
    order
        ``natural``, ``minimum-peak``, or the steps themselves.
    replacement
        ``belady``: the buffer whose next use is farthest away leaves, until there is a gap.
        ``fewest-bytes``: the buffers leave that together make a gap for the fewest bytes stored and
        fetched again, exactly the optimum of the one allocation.
    addresses
        Buffers need a gap between others (best fit, as in TensorFlow Lite's ``SimpleMemoryArena``);
        without, only bytes count, which is kinder than what COSMA is compared with.
    deadline
        For the order of minimum peak.

    Raises
    ------
    ValueError
        A step does not fit by itself.

    Notes
    -----
    COSMA does not say what happens where the operands of a step lie so that no gap is left even
    with everything else gone. Here the cheapest of them leave and come back at another address,
    which is paid for; all of them where nothing less helps.
    """
    if problem.largest_working_set_bytes > capacity_bytes:
        raise ValueError(
            f"a step needs {problem.largest_working_set_bytes} bytes of {capacity_bytes}"
        )
    if order == "natural":
        steps: tuple[int, ...] = tuple(range(len(problem.steps)))
    elif order == "minimum-peak":
        from perfmodel.schedule.peak import minimum_peak

        steps = minimum_peak(problem, deadline).solution or ()
    else:
        steps = tuple(int(s) for s in order)
    run = _EvictionSimulation(problem, capacity_bytes, steps, replacement, addresses)
    for k in range(len(steps)):
        run.step(k)
    script = Script(steps, tuple(tuple(e) for e in run.evictions))
    name = order if isinstance(order, str) else "given"
    outcome = Certified(
        script,
        run.cost,
        0,
        f"{name}, {replacement}",
        {"evictions": sum(map(len, script.evictions)), "moves": run.moves},
    )
    return Baseline(outcome, tuple(run.places) if addresses else ())


def arena_height(problem: Problem, script: Script) -> int:
    """Return the bytes that TensorFlow Lite's arena takes for what a script holds on chip.

    All stays are known beforehand: those over the whole run first, then the largest first (the
    earliest of equal ones), each in the smallest gap that holds it while it lives
    (``ArenaPlanner`` and ``SimpleMemoryArena``; no alignment).
    """
    last = len(script.order) - 1
    layout_blocks = memory_blocks(problem, script, replay(problem, script))
    layout_blocks.sort(key=lambda b: (b.first > 0 or b.last < last, -b.size_bytes, b.first))
    placed: list[tuple[int, int, MemoryBlock]] = []
    height = 0
    for block in layout_blocks:
        line = [(a, b, 0) for a, b, o in placed if o.first <= block.last and block.first <= o.last]
        offset = _best_fit(sorted(line), block.size_bytes)
        placed.append((offset, offset + block.size_bytes, block))
        height = max(height, offset + block.size_bytes)
    return height


def _best_fit(line: Sequence[tuple[int, int, int]], size: int) -> int:
    """Return the offset of the smallest gap that holds `size`; after everything as a last one.

    The gap behind the last buffer is taken only where none between buffers is large enough.

    Parameters
    ----------
    line
        (offset, end, buffer) of what is in the way, by offset.
    """
    best: tuple[int, int] | None = None
    top = 0
    for offset, end, _ in line:
        if size <= offset - top and (best is None or offset - top < best[0]):
            best = (offset - top, top)
        top = max(top, end)
    return top if best is None else best[1]


class _EvictionSimulation:
    """One pass over an order."""

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        order: tuple[int, ...],
        replacement: Replacement,
        addresses: bool,
    ) -> None:
        problem.check_order(order)
        self.problem, self.capacity, self.order = problem, capacity, order
        self.belady, self.addresses = replacement == "belady", addresses
        self.sizes = [b.size_bytes for b in problem.buffers]
        self.copied = {t for t, b in enumerate(problem.buffers) if b.stored}
        self.uses: list[list[int]] = [[] for _ in self.sizes]
        for k in range(len(order) - 1, -1, -1):
            for t in dict.fromkeys(problem.steps[order[k]].reads):
                self.uses[t].append(k)
        #: Resident buffer -> (offset, since); `_SCRATCH` is that of the running step.
        self.at: dict[int, tuple[int, int]] = {}
        #: (offset, end, buffer) of what is resident, by offset.
        self.line: list[tuple[int, int, int]] = []
        self.held = 0
        self.evictions: list[list[int]] = [[] for _ in order]
        self.places: list[Placed] = []
        self.cost = self.moves = 0

    def step(self, k: int) -> None:
        """Bring in what a step reads, make room for what it writes, run it, let go."""
        step = self.problem.steps[self.order[k]]
        reads = list(dict.fromkeys(step.reads))
        written, scratch, over = list(step.writes), step.scratch_bytes, step.takes_over
        grown = 0 if over < 0 else self.sizes[written[0]] - self.sizes[over]
        if over >= 0 and (grown <= 0 or not self.addresses):
            # The output lies where the input does; bytes alone may grow in place.
            written, scratch = written[1:], scratch + max(0, grown)
        need = [(t, self.sizes[t]) for t in reads if t not in self.at]
        need += [(t, self.sizes[t]) for t in written]
        need += [(_SCRATCH, scratch)] if scratch else []
        pinned = {t for t in reads if t in self.at}
        for t, size in need:
            offset = self.gap(size, pinned, k)
            offset = self.shifted(size, pinned, k) if offset is None else offset
            if offset is None:
                written = [t for t in written if over < 0 or t != step.writes[0]]
                self.side_by_side(k, reads, written, scratch)
                break
            self.put(t, offset, k, size)
            pinned.add(t)
        if over >= 0 and step.writes[0] not in self.at:
            offset = self.at[over][0]
            self.drop(over, k - 1)
            self.put(step.writes[0], offset, k, self.sizes[step.writes[0]])
        if _SCRATCH in self.at:
            self.drop(_SCRATCH, k)
        for t in reads:
            self.uses[t].pop()
        for t in (*reads, *step.writes):
            if t in self.at and not self.uses[t]:
                self.drop(t, k)

    def gap(self, size: int, pinned: set[int], k: int) -> int | None:
        """Return where `size` bytes fit, evicting what must leave; None where they never do."""
        while True:
            offset = self.best_fit(size)
            if offset is not None:
                return offset
            if not self.belady:
                return self.cleared(size, pinned, k)
            free = [t for t in self.at if t not in pinned and t != _SCRATCH]
            if not free:
                return None
            self.evict(max(free, key=lambda t: (self.uses[t][-1], self.sizes[t], -t)), k)

    def best_fit(self, size: int, line: Sequence[tuple[int, int, int]] | None = None) -> int | None:
        """Return where `size` bytes fit as things stand, or None."""
        if not self.addresses:
            return 0 if self.held + size <= self.capacity else None
        offset = _best_fit(self.line if line is None else line, size)
        return offset if offset + size <= self.capacity else None

    def cleared(self, size: int, pinned: set[int], k: int) -> int | None:
        """Evict the buffers that make a gap for the fewest bytes; return its offset."""
        choices = self._by_gaps(size, pinned) if self.addresses else self._by_bytes(size, pinned)
        best = min(choices, default=None, key=lambda c: (*self._cost(c[1]), c[0]))
        if best is None:
            return None
        for t in best[1]:
            self.evict(t, k)
        return best[0]

    def _by_gaps(self, size: int, pinned: set[int]) -> Iterator[tuple[int, list[int]]]:
        """Yield the gaps that evictions can make: an offset, and what lies there.

        A gap that lies anywhere may be moved down to 0 or to the end of a buffer, and no more
        buffers lie in it then.
        """
        for start in (0, *(end for _, end, _ in self.line)):
            stop = start + size
            inside = [t for a, b, t in self.line if a < stop and b > start]
            if stop <= self.capacity and not pinned.intersection(inside):
                yield start, inside

    def _by_bytes(self, size: int, pinned: set[int]) -> Iterator[tuple[int, list[int]]]:
        """Yield the cheapest set of buffers that together free enough bytes: a knapsack."""
        free = [t for t in self.at if t not in pinned and t != _SCRATCH]
        free.sort(key=lambda t: -self.uses[t][-1])
        over = self.held + size - self.capacity
        # Bytes freed (at most `over`) -> cheapest set; dominated ones dropped.
        best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
        for t in free:
            for freed, (price, victims) in list(best.items()):
                more = min(over, freed + self.sizes[t])
                offer = (price + self._price(t), (*victims, t))
                if more not in best or offer[0] < best[more][0]:
                    best[more] = offer
        if over in best:
            yield 0, list(best[over][1])

    def shifted(self, size: int, pinned: set[int], k: int) -> int | None:
        """Make a gap by moving operands of the step into other gaps; None where none is found.

        One that was on chip already leaves and comes back; one that comes in for this step, or is
        made by it, is given another place for nothing. The cheapest choice is taken.
        """
        if not self.addresses:
            return None
        best: tuple[int, int, list[int], list[tuple[int, int]]] | None = None
        for start in (0, *(end for _, end, _ in self.line)):
            stop = start + size
            if stop > self.capacity:
                continue
            inside = [t for a, b, t in self.line if a < stop and b > start]
            line = [e for e in self.line if e[2] not in inside]
            insort(line, (start, stop, _SCRATCH - 1))
            new: list[tuple[int, int]] = []
            for t in sorted(inside, key=lambda t: -self._extent(t)):
                if t in pinned:
                    offset = self.best_fit(self._extent(t), line)
                    if offset is None:
                        break
                    insort(line, (offset, offset + self._extent(t), t))
                    new.append((t, offset))
            else:
                cost = sum(self._price(t) for t in inside if self.at[t][1] < k)
                if best is None or cost < best[0]:
                    best = (cost, start, inside, new)
        if best is None:
            return None
        _, start, inside, new = best
        extents = {t: self._extent(t) for t in inside}
        for t in inside:
            self.leave(t, k, pinned)
        for t, offset in new:
            self.put(t, offset, k, extents[t])
        return start

    def leave(self, t: int, k: int, pinned: Container[int]) -> None:
        """Take a buffer out: evicted, unless it came only for this step."""
        if self.at[t][1] < k:
            self.evict(t, k)
            self.moves += t in pinned
        else:
            self.drop(t, k - 1)

    def side_by_side(self, k: int, reads: list[int], written: list[int], scratch: int) -> None:
        """Lay a step's operands, results and scratch next to each other, which always fits.

        Operands that were on chip already leave and come back.
        """
        step = self.problem.steps[self.order[k]]
        for t in [t for t in self.at if t in reads or t in step.writes or t == _SCRATCH]:
            self.leave(t, k, reads)
        sizes = {t: self.sizes[t] for t in (*reads, *written)}
        if scratch:
            sizes[_SCRATCH] = scratch
        room = dict(sizes)
        if step.takes_over >= 0:
            over = step.takes_over
            room[over] = max(room[over], self.sizes[step.writes[0]])
        offset = self.gap(sum(room.values()), set(), k)
        assert offset is not None, "a working set fits alone"
        for t, size in room.items():
            self.put(t, offset, k, sizes[t])
            offset += size if self.addresses else 0

    def put(self, t: int, offset: int, k: int, size: int) -> None:
        self.at[t] = (offset, k)
        insort(self.line, (offset, offset + size, t))
        self.held += size

    def drop(self, t: int, last: int) -> None:
        _, since = self.at.pop(t)
        offset, end, _ = self.line.pop(next(i for i, e in enumerate(self.line) if e[2] == t))
        self.held -= end - offset
        if last >= since:
            self.places.append(Placed(t, since, last, offset, end - offset))

    def evict(self, t: int, k: int) -> None:
        self.cost += self._price(t)
        self.copied.add(t)
        self.evictions[k].append(t)
        self.drop(t, k - 1)

    def _extent(self, t: int) -> int:
        return next(b - a for a, b, other in self.line if other == t)

    def _price(self, t: int) -> int:
        """Bytes that it costs to have a live buffer leave and come back."""
        return self.sizes[t] * (1 if t in self.copied else 2)

    def _cost(self, buffers: Sequence[int]) -> tuple[int, int]:
        """Bytes that a choice costs; among equal ones the soonest next use decides, a late one."""
        soonest = min((self.uses[t][-1] for t in buffers), default=len(self.order))
        return sum(map(self._price, buffers)), -soonest
