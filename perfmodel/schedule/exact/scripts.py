"""Conversion between paths through the states of segments and scripts of the problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.search import Visit
from perfmodel.schedule.exact.tokens import TokenType
from perfmodel.schedule.masks import bits, mask_of
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script


@dataclass(frozen=True, slots=True)
class Walk:
    """A schedule of a core: its steps in order, and the mask of buffers evicted before each."""

    cost: int
    steps: tuple[int, ...]
    gone: tuple[int, ...]


@dataclass(slots=True)
class _Copy:
    """A run of one of several interchangeable steps, whose number is assigned at the end."""

    kind: TokenType
    at: int
    taken: list[_Copy]
    evicted: list[int]


def walked(lattice: StateLattice, end: Visit) -> Walk:
    """Return the schedule of a path; interchangeable steps get consistent numbers."""
    tokens, path = lattice.tokens, end.path()
    kind_of = {s: kind for kind in tokens.types for s in kind.steps}
    waiting: dict[tuple[int, str], list[_Copy]] = {}
    steps: list[int] = []
    gone: list[int] = []
    roots: list[tuple[int, list[_Copy]]] = []

    def place(buffer: int, visit: Visit) -> tuple[int, str]:
        if not visit.resident >> buffer & 1:
            return tokens.kind[buffer], "off"
        return tokens.kind[buffer], "clean" if visit.clean >> buffer & 1 else "spoilt"

    for before, visit in pairwise(path):
        at = len(steps)
        gone.append(visit.gone & ~tokens.buffers_mask)
        # Consumed outputs are selected by their location before any buffer moves.
        taken = [waiting[place(t, before)].pop() for t in bits(visit.taken)]
        for t in bits(visit.gone & tokens.buffers_mask):
            copy = waiting[place(t, before)].pop()
            copy.evicted.append(at)
            waiting.setdefault((tokens.kind[t], "off"), []).append(copy)
        steps.append(visit.step)
        kind = kind_of.get(visit.step)
        if kind is None:
            roots.append((visit.step, taken))
        else:
            copy = _Copy(kind, at, taken, [])
            stored = lattice.core.stored >> kind.buffers[0] & 1
            where = tokens.kind[kind.buffers[0]], "clean" if stored else "spoilt"
            waiting.setdefault(where, []).append(copy)
    while roots:
        reader, taken = roots.pop()
        for kind in {id(copy.kind): copy.kind for copy in taken}.values():
            places = [i for i, r in enumerate(kind.readers) if r == reader]
            for i, copy in zip(places, [c for c in taken if c.kind is kind], strict=True):
                steps[copy.at] = kind.steps[i]
                for at in copy.evicted:
                    gone[at] |= 1 << kind.buffers[i]
                roots.append((kind.steps[i], copy.taken))
    return Walk(end.cost, tuple(steps), tuple(gone))


def joined(problem: Problem, walks: Sequence[tuple[BitmaskProblem, Walk]]) -> Script:
    """Return the script that joins the schedules of consecutive segments.

    Inputs are loaded just before the first step that reads them.
    """
    order: list[int] = []
    evictions: list[tuple[int, ...]] = []
    run = 0
    ours = {s for core, _ in walks for names in core.names for s in names}

    def append(s: int, gone: tuple[int, ...]) -> None:
        nonlocal run
        order.append(s)
        evictions.append(gone)
        run |= 1 << s

    for core, walk in walks:
        for s, mask in zip(walk.steps, walk.gone, strict=True):
            gone = tuple(core.buffers[t] for t in bits(mask))
            for name in core.names[s]:
                for load in problem.predecessors[name]:
                    if not run >> load & 1 and load not in ours:
                        append(load, gone)
                        gone = ()
                append(name, gone)
                gone = ()
    for s in range(len(problem.steps)):
        if not run >> s & 1:
            append(s, ())
    return Script(tuple(order), tuple(evictions))


def split(script: Script, cores: Sequence[BitmaskProblem], capacity: int) -> list[Walk | None]:
    """Return the schedules of the segments that correspond to a script, at no higher cost.

    None for a segment in which the script separates steps that are merged in the core.
    """
    first = {core.names[s][0]: (i, s) for i, core in enumerate(cores) for s in range(core.steps)}
    runs = [_Replay(core, capacity) for core in cores]
    waiting: set[int] = set()
    for s, evicted in zip(script.order, script.evictions, strict=True):
        waiting.update(evicted)
        if s in first:
            i, k = first[s]
            runs[i].run(k, waiting)
            waiting.clear()
    return [run.walk() for run in runs]


class _Replay:
    """Replay of a script in a core."""

    def __init__(self, core: BitmaskProblem, capacity: int) -> None:
        self.core, self.capacity = core, capacity
        self.place = {t: k for k, t in enumerate(core.buffers)}
        self.resident, self.clean, self.done = core.resident, core.resident & core.stored, 0
        self.cost, self.fits = 0, True
        self.steps: list[int] = []
        self.gone: list[int] = []

    def run(self, step: int, evicted: set[int]) -> None:
        """Replay one step of the core after the given evictions."""
        core, reads = self.core, self.core.reads[step]
        gone = 0
        for t in evicted:
            while t in core.merged:
                t = core.merged[t]
            gone |= 1 << self.place[t] if t in self.place else 0
        gone &= self.resident & ~reads
        self.cost += core.bytes_of(gone) + core.bytes_of(gone & ~self.clean)
        self.resident &= ~gone
        missing = reads & ~self.resident
        on_chip = core.bytes_of(self.resident | reads) + core.growth[step]
        self.fits &= on_chip <= self.capacity and not core.before[step] & ~self.done
        self.done |= 1 << step
        self.clean |= missing | core.writes[step] & core.stored
        there = self.resident | reads | core.writes[step]
        self.resident = mask_of(t for t in bits(there) if core.readers[t] & ~self.done)
        self.clean &= self.resident
        self.steps.append(step)
        self.gone.append(gone)

    def walk(self) -> Walk | None:
        if not self.fits or self.done != self.core.full:
            return None
        return Walk(self.cost, tuple(self.steps), tuple(self.gone))
