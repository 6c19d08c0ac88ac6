"""Part of a problem between two sets of executed steps, with its own short bit masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from perfmodel.schedule.masks import bits
from perfmodel.schedule.problem import Problem


@dataclass(slots=True)
class Region:
    """Steps that may be ordered among themselves, numbered from 0 in a topological order.

    Bytes on chip between two steps depend on the executed set alone. A buffer made before the
    region is there at the start; one read after it, or never read within, never leaves.

    Attributes
    ----------
    steps
        Number of each step in the problem.
    first
        Bit mask of the problem's steps that have run before.
    growth
        Bytes that a step needs beside what is on chip before it.
    gain
        Bytes that a step leaves on chip.
    before
        Bit mask of the steps that must precede each.
    after
        Bit mask of the steps that must follow each.
    reads
        For each step the ``(bytes, mask of readers)`` of what it may free: buffers all of whose
        remaining readers are in the region.
    buffers
        ``(bytes, maker or -1, mask of readers, whether it never leaves)``.
    """

    steps: tuple[int, ...]
    first: int
    growth: tuple[int, ...]
    gain: tuple[int, ...]
    before: list[int]
    after: list[int]
    reads: tuple[tuple[tuple[int, int], ...], ...]
    buffers: tuple[tuple[int, int, int, bool], ...]

    @property
    def full(self) -> int:
        """Bit mask of all steps."""
        return (1 << len(self.steps)) - 1

    def bytes_of(self, executed: int) -> int:
        """Bytes on chip when just the steps of a bit mask have run."""
        held = 0
        for size, maker, readers, kept in self.buffers:
            if (maker < 0 or executed >> maker & 1) and (kept or readers & ~executed):
                held += size
        return held


class Cutter:
    """Cuts a problem into regions between executed sets that some best order goes through.

    Attributes
    ----------
    before, after
        Bit masks of the steps that come before and after each in some best order.
    order
        All steps, each after what comes before it.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.before = list(problem.ancestors)
        self.after = list(problem.descendants)
        self.order: list[int] = []
        late = self._delay_loads()
        placed = 0
        for s in range(len(problem.steps)):
            if late >> s & 1:
                continue
            for p in (*problem.predecessors[s], s):
                if not placed >> p & 1:
                    placed |= 1 << p
                    self.order.append(p)

    def _delay_loads(self) -> int:
        """Let what reads nothing come late; return the mask of the steps that do.

        A step without reads (the load of an input) frees nothing, so that no order gets worse when
        it is moved to just before its first reader, unless it needs more than that reader while it
        runs: all that precedes every one of its readers may precede it.
        """
        problem, growth = self.problem, self.problem.growth_bytes
        late = sum(1 << s for s, step in enumerate(problem.steps) if not step.reads)
        for s in bits(late):
            heirs = problem.successors[s]
            kept = sum(
                problem.buffers[t].size_bytes for t in problem.steps[s].writes if problem.readers[t]
            )
            if not heirs or growth[s] > kept + min(growth[r] for r in heirs):
                late ^= 1 << s
        for s in bits(late):
            common = ~late
            for r in problem.successors[s]:
                common &= problem.ancestors[r]
            mask = 0
            for p in bits(common):
                mask |= problem.ancestors[p] | 1 << p
            self.before[s] = mask
            for p in bits(mask):
                self.after[p] |= 1 << s
        return late

    def forced(self) -> list[Region]:
        """Return the regions between sets that every order goes through.

        They lie before and after articulation steps, which come before or after every other step.
        """
        everything = (1 << len(self.order)) - 1
        cuts = {0, everything}
        for s, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if before | after | 1 << s == everything:
                cuts |= {before, before | 1 << s}
        return [self.region(a, b) for a, b in pairwise(sorted(cuts, key=int.bit_count))]

    def split(self, region: Region, cuts: Sequence[int]) -> list[Region]:
        """Return the parts of a region between executed sets of its own steps, ascending."""
        first = region.first
        parts: list[Region] = []
        done = 0
        for cut in (*cuts, region.full):
            if cut & ~done:
                last = first | sum(1 << region.steps[k] for k in bits(cut & ~done))
                parts.append(self.region(first, last))
                first, done = last, cut
        return parts

    def region(self, first: int, last: int) -> Region:
        """Return the steps between two executed sets, the smaller first."""
        problem = self.problem
        inside = last & ~first
        members = [s for s in self.order if inside >> s & 1]
        local = {s: k for k, s in enumerate(members)}
        gain = [0] * len(members)
        reads: list[list[tuple[int, int]]] = [[] for _ in members]
        buffers: list[tuple[int, int, int, bool]] = []
        passing = 0
        for t, buffer in enumerate(problem.buffers):
            maker = problem.maker[t]
            if maker < 0 or not last >> maker & 1 or not buffer.size_bytes:
                continue
            readers = [r for r in problem.readers[t] if not first >> r & 1]
            if not readers:
                continue
            own = [local[r] for r in readers if r in local]
            kept = len(own) < len(readers)
            source = local.get(maker, -1)
            if source < 0 and not own:
                passing += buffer.size_bytes
                continue
            if source >= 0:
                gain[source] += buffer.size_bytes
            mask = sum(1 << r for r in own)
            buffers.append((buffer.size_bytes, source, mask, kept))
            if not kept:
                for r in own:
                    reads[r].append((buffer.size_bytes, mask))
        buffers.append((passing, -1, 0, True))
        before, after = [0] * len(members), [0] * len(members)
        for k, s in enumerate(members):
            # A load may wait for more than the problem says; it has no predecessors.
            for p in problem.predecessors[s] or bits(self.before[s] & inside):
                if p in local:
                    before[k] |= before[local[p]] | 1 << local[p]
        for k, s in reversed(list(enumerate(members))):
            for p in problem.predecessors[s] or bits(self.before[s] & inside):
                if p in local:
                    after[local[p]] |= after[k] | 1 << k
        return Region(
            steps=tuple(members),
            first=first,
            growth=tuple(problem.growth_bytes[s] for s in members),
            gain=tuple(gain),
            before=before,
            after=after,
            reads=tuple(map(tuple, reads)),
            buffers=tuple(buffers),
        )
