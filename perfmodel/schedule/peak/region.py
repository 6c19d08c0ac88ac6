"""Decomposition for the least peak: regions between executed sets that an optimal order passes.

The peak of a problem is the largest of the peaks of its regions, each ordered by itself. Cuts lie
before and after articulation steps, which every order passes (`RegionCutter.forced_regions`), and
at executed sets with the fewest bytes, which some optimal order passes (`RegionCutter.split`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from perfmodel.schedule.masks import bits, closures, mask_of, union
from perfmodel.schedule.problem import Problem


@dataclass(slots=True)
class Region:
    """Steps to be ordered among themselves, numbered from 0 in a topological order.

    Bytes on chip between two steps depend on the executed set only. A buffer made before the region
    is present at the start; one read after it, or never read within it, is never freed.

    Attributes
    ----------
    steps
        Step numbers in the problem.
    first
        Bit mask of the problem's steps executed before the region.
    growth
        Bytes that each step needs in addition to those on chip before it.
    gain
        Bytes of the outputs of each step that stay on chip for later readers.
    before
        Bit mask of the steps that must precede each step.
    after
        Bit mask of the steps that must follow each step.
    reads
        For each step the ``(bytes, mask of readers)`` of the buffers it may free: those with all
        remaining readers in the region.
    buffers
        ``(bytes, maker or -1, mask of readers, True if never freed)`` of each buffer.
    """

    steps: tuple[int, ...]
    first: int
    growth: tuple[int, ...]
    gain: tuple[int, ...]
    before: Sequence[int]
    after: Sequence[int]
    reads: tuple[tuple[tuple[int, int], ...], ...]
    buffers: tuple[tuple[int, int, int, bool], ...]

    @property
    def full(self) -> int:
        """Bit mask of all steps of the region."""
        return (1 << len(self.steps)) - 1

    def bytes_of(self, executed: int) -> int:
        """Return the bytes on chip when exactly the steps of a bit mask have run."""
        return sum(
            size
            for size, maker, readers, permanent in self.buffers
            if (maker < 0 or executed >> maker & 1) and (permanent or readers & ~executed)
        )


class RegionOrder(NamedTuple):
    """Steps of a region in an order, by their numbers in it, and the peak of bytes on chip."""

    order: list[int]
    peak: int


class RegionCutter:
    """Decomposition of a problem into regions between executed sets on some optimal order.

    Attributes
    ----------
    before, after
        Bit masks of the steps before and after each step in some optimal order.
    order
        All steps in an order consistent with `before`.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.before = list(problem.ancestors)
        self.after = list(problem.descendants)
        self.order: list[int] = []
        postponed = self._postpone_loads()
        placed = 0
        for s in range(len(problem.steps)):
            if postponed >> s & 1:
                continue
            for p in (*problem.predecessors[s], s):
                if not placed >> p & 1:
                    placed |= 1 << p
                    self.order.append(p)

    def _postpone_loads(self) -> int:
        """Postpone steps without reads; return the mask of the postponed steps.

        A step without reads (the load of an input) frees nothing, so that no order gets worse when
        it is moved to just before its first reader, unless it needs more than that reader while it
        runs: every step that precedes all of its readers may precede it too.
        """
        problem, growth = self.problem, self.problem.growth_bytes
        postponed = mask_of(s for s, step in enumerate(problem.steps) if not step.reads)
        for s in bits(postponed):
            successors = problem.successors[s]
            output_bytes = sum(
                problem.buffers[t].size_bytes for t in problem.steps[s].writes if problem.readers[t]
            )
            if not successors or growth[s] > output_bytes + min(growth[r] for r in successors):
                postponed ^= 1 << s
        for s in bits(postponed):
            common = ~postponed
            for r in problem.successors[s]:
                common &= problem.ancestors[r]
            mask = self.before[s] = union(problem.ancestors[p] | 1 << p for p in bits(common))
            for p in bits(mask):
                self.after[p] |= 1 << s
        return postponed

    def forced_regions(self) -> list[Region]:
        """Return the regions between sets that every order passes through.

        They end before and after articulation steps, which are ordered relative to every other
        step.
        """
        everything = (1 << len(self.order)) - 1
        cuts = {0, everything}
        for s, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if before | after | 1 << s == everything:
                cuts |= {before, before | 1 << s}
        return [self.region(a, b) for a, b in pairwise(sorted(cuts, key=int.bit_count))]

    def split(self, region: Region, cuts: Sequence[int]) -> list[Region]:
        """Split a region at executed sets of its own steps, given in ascending order."""
        first = region.first
        parts: list[Region] = []
        done = 0
        for cut in (*cuts, region.full):
            if cut & ~done:
                last = first | mask_of(region.steps[k] for k in bits(cut & ~done))
                parts.append(self.region(first, last))
                first, done = last, cut
        return parts

    def region(self, first: int, last: int) -> Region:
        """Return the region between two executed sets, the smaller first."""
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
            inner_readers = [local[r] for r in readers if r in local]
            permanent = len(inner_readers) < len(readers)
            source = local.get(maker, -1)
            if source < 0 and not inner_readers:
                passing += buffer.size_bytes
                continue
            if source >= 0:
                gain[source] += buffer.size_bytes
            mask = mask_of(inner_readers)
            buffers.append((buffer.size_bytes, source, mask, permanent))
            if not permanent:
                for r in inner_readers:
                    reads[r].append((buffer.size_bytes, mask))
        buffers.append((passing, -1, 0, True))
        # A postponed load waits for steps that the problem does not require before it.
        before, after = closures(
            [
                mask_of(local[p] for p in waits if p in local)
                for s in members
                for waits in [problem.predecessors[s] or bits(self.before[s] & inside)]
            ]
        )
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
