"""The least makespan by a shortest path over what the machine does at each moment.

Written from the words of the model (`perfmodel.schedule.latency.simulate` and `Dma`), not from its
code: no plan, no simulation, no bound of the product has a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from perfmodel.schedule.latency import Dma
from perfmodel.schedule.masks import bits
from perfmodel.schedule.problem import Problem


class Busy(NamedTuple):
    """What the engine runs (``run``) or a channel moves, and for how long yet."""

    what: str
    number: int
    left_s: float


class State(NamedTuple):
    """The machine at a moment; sets are bit masks.

    `there`: buffers on chip that can be read; `copied`: those with a copy off chip; `streamed`:
    steps that have not begun and whose stream is in. With one channel `write` is never busy.
    """

    begun: int
    there: int
    copied: int
    streamed: int
    engine: Busy | None = None
    read: Busy | None = None
    write: Busy | None = None

    @property
    def busy(self) -> list[Busy]:
        """What goes on."""
        return [b for b in (self.engine, self.read, self.write) if b is not None]


class EventSearch:
    """A shortest path from nothing done to everything ended.

    At each moment every step that may begin begins or does not, every transfer too, on chip or off;
    any buffer that has a copy and is not in use may be dropped; or time goes on to the next end.
    Nothing has to begin between two ends: what could begin then could have begun at the first. And
    what is dropped while it is read or stored gives its space back at the end of that, when it may
    as well be dropped. Equal states are visited once; the way to go is never told longer than
    compute or transfers by themselves take, so that the first way to the end is the shortest.
    """

    def __init__(self, problem: Problem, capacity: int, dma: Dma) -> None:
        self.problem, self.capacity, self.dma = problem, capacity, dma
        self.steps, self.sizes = problem.steps, [b.size_bytes for b in problem.buffers]
        self.everything = (1 << len(self.steps)) - 1
        self.reads = [sum(1 << t for t in set(s.reads)) for s in self.steps]
        self.writes = [sum(1 << t for t in s.writes) for s in self.steps]
        stored = sum(1 << t for t, b in enumerate(problem.buffers) if b.stored)
        loaded = sum(w for w, s in zip(self.writes, self.steps, strict=True) if s.load)
        # Outputs have to be stored; of inputs there is a copy from the first.
        self.required_stores, self.given = stored & ~loaded, stored & loaded
        self.size = cache(self._size)
        self.wanted = cache(self._wanted)
        self.to_come = cache(self._to_come)

    def _size(self, buffers: int) -> int:
        """Bytes of some buffers."""
        return sum(self.sizes[t] for t in bits(buffers))

    def _wanted(self, begun: int) -> int:
        """Buffers that steps yet to begin read."""
        mask = 0
        for s in bits(self.everything & ~begun):
            mask |= self.reads[s]
        return mask

    def _to_come(self, begun: int, streamed: int, owed: int) -> tuple[float, float, float]:
        """Seconds of compute, reads and writes that have yet to begin whatever is done."""
        compute = reads = 0.0
        for s in bits(self.everything & ~begun):
            if self.steps[s].load:
                reads += self.seconds("load", s)
            else:
                compute += self.steps[s].seconds
                reads += 0.0 if streamed >> s & 1 else self.seconds("stream", s)
        return compute, reads, sum(self.seconds("store", t) for t in bits(owed))

    def seconds(self, what: str, number: int) -> float:
        """How long an activity takes."""
        if what == "run":
            return self.steps[number].seconds
        if what == "load":
            size = self.size(self.writes[number]) + self.steps[number].stream_bytes
        else:
            size = self.steps[number].stream_bytes if what == "stream" else self.sizes[number]
        speed = self.dma.write_bytes_per_s if what == "store" else self.dma.read_bytes_per_s
        return self.dma.latency_s + size / speed if size else 0.0

    def used(self, state: State) -> int:
        """Bytes on chip."""
        there = state.there
        total = sum(self.steps[s].scratch_bytes for s in bits(state.streamed))
        for what, i, _ in state.busy:
            if what == "reload":
                there |= 1 << i
            elif what != "store":
                total += self.steps[i].scratch_bytes
            if what in ("run", "load"):
                there |= self.writes[i]
                over = self.steps[i].takes_over
                if over >= 0:
                    total -= min(self.sizes[over], self.sizes[self.steps[i].writes[0]])
        return total + self.size(there)

    def tidy(self, state: State) -> State:
        """Forget what is not needed any more: buffers give their space back."""
        needed = self.wanted(state.begun)
        copied = state.copied & (needed | self.required_stores)
        needed |= self.required_stores & ~copied
        for what, i, _ in state.busy:
            if what == "run":
                needed |= self.reads[i]
            elif what == "store":
                needed |= 1 << i
        return state._replace(there=state.there & needed, copied=copied)

    def next_end(self, state: State) -> tuple[float, State]:
        """Seconds to the next end of something, and the state after all that ends then."""
        least = min(b.left_s for b in state.busy)
        there, copied, streamed = state.there, state.copied, state.streamed
        after: list[Busy | None] = []
        for b in (state.engine, state.read, state.write):
            if b is None or b.left_s > least:
                after.append(None if b is None else b._replace(left_s=b.left_s - least))
                continue
            after.append(None)
            if b.what in ("run", "load"):
                there |= self.writes[b.number]
            elif b.what == "reload":
                there |= 1 << b.number
            elif b.what == "stream":
                streamed |= 1 << b.number
            else:
                copied |= 1 << b.number
        return least, self.tidy(State(state.begun, there, copied, streamed, *after))

    def begins(self, state: State) -> Iterator[State]:
        """Every state after one more activity that begins now, or one drop."""
        begun, there, copied, streamed, engine, read, write = state
        wanted, one = self.wanted(begun), self.dma.channels == 1
        writer = read if one else write
        storing = 1 << writer.number if writer is not None and writer.what == "store" else 0
        for s in bits(self.everything & ~begun):
            step = self.steps[s]
            if step.load:
                if read is None:
                    new = Busy("load", s, self.seconds("load", s))
                    yield state._replace(begun=begun | 1 << s, read=new)
            elif step.stream_bytes and not streamed >> s & 1:
                if read is None and (engine is None or self.dma.double_buffered):
                    yield state._replace(read=Busy("stream", s, self.seconds("stream", s)))
            elif engine is None and not self.reads[s] & ~there:
                # What is not stored yet is not written over.
                kept = storing | self.required_stores & ~copied
                if step.takes_over < 0 or not kept >> step.takes_over & 1:
                    new = Busy("run", s, step.seconds)
                    left = streamed & ~(1 << s)
                    yield state._replace(begun=begun | 1 << s, streamed=left, engine=new)
        if read is None:
            for t in bits(copied & wanted & ~there):
                if begun >> self.problem.maker[t] & 1:
                    yield state._replace(read=Busy("reload", t, self.seconds("reload", t)))
        if writer is None:
            for t in bits(there & ~copied & (wanted | self.required_stores)):
                new = Busy("store", t, self.seconds("store", t))
                yield state._replace(read=new) if one else state._replace(write=new)
        in_use = storing if engine is None else storing | self.reads[engine.number]
        for t in bits(there & copied & wanted & ~in_use):
            yield state._replace(there=there & ~(1 << t))

    def left_s(self, state: State) -> float:
        """Seconds that go by yet at least: all compute, or all that has to cross."""
        streamed, owed = state.streamed, self.required_stores & ~state.copied
        for what, i, _ in state.busy:
            if what == "stream":
                streamed |= 1 << i
            elif what == "store":
                owed &= ~(1 << i)
        compute, reads, writes = self.to_come(state.begun, streamed, owed)
        compute += state.engine.left_s if state.engine is not None else 0.0
        reads += state.read.left_s if state.read is not None else 0.0
        writes += state.write.left_s if state.write is not None else 0.0
        return max(compute, reads + writes if self.dma.channels == 1 else max(reads, writes))

    def run(self, most_states: int) -> float | None:
        """Return the least makespan, infinity where there is none; None beyond `most_states`."""
        start = State(0, 0, self.given, 0)
        at = {start: 0.0}
        # Of equal sums the latest first, then the last found.
        heap: list[tuple[float, float, int, State]] = [(0.0, 0.0, 0, start)]
        visited, tickets = 0, count()
        while heap:
            _, minus, _, state = heappop(heap)
            now = -minus
            if at[state] < now:
                continue
            visited += 1
            if visited > most_states:
                return None
            idle = not state.busy
            if idle and state.begun == self.everything and not self.required_stores & ~state.copied:
                return now
            ways = [(now, s) for s in self.begins(state) if self.used(s) <= self.capacity]
            if not idle:
                least, after = self.next_end(state)
                ways.append((now + least, after))
            for then, s in ways:
                if then < at.get(s, math.inf):
                    at[s] = then
                    heappush(heap, (then + self.left_s(s), -then, -next(tickets), s))
        return math.inf
