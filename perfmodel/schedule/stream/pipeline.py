"""Event model of streaming: one channel loads, one engine computes, with a buffer in between.

Each load occupies its place in the buffer from its start until its computation (and that of all
items that build on it) has ended. With two places this is double buffering. The recurrences are
those of a two-machine flow shop with a buffer (Papadimitriou and Kanellakis, "Flowshop scheduling
with limited temporary storage", JACM 27(3), 1980), here with the place of a job occupied on both
machines. With items in order, S the start and C the end of the computation,

``load_start[i] >= load_end[i - 1]``, and not before the buffer has a free place for i,

``S[i] = max(load_end[i], C[i - 1])``, ``C[i] = S[i] + compute[i]``.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.table import Result, Table, plain
from perfmodel.units import show

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Load:
    """An item that must be loaded before the computation that uses it.

    Attributes
    ----------
    name
        Label of the item.
    io_s, compute_s
        Seconds on the channel and on the engine. An item without time on the channel is resident
        and occupies no place in the buffer.
    size_bytes
        Bytes that it occupies in the buffer.
    after
        Index of an item whose computation determines that this one is needed.
    parent
        Index of an item that it builds on (the lower bits of the same weights): loaded before it,
        and kept until this one is computed.
    requests
        Number of computations that wait for it. An item with none (a wrong guess) occupies the
        channel and its place, but the engine does not wait for it.
    """

    name: str
    io_s: float
    compute_s: float
    size_bytes: float = 0.0
    after: int = -1
    parent: int = -1
    requests: float = 1.0


@dataclass(frozen=True, repr=False)
class StreamTimeline(Result):
    """Times of all loads and computations.

    Attributes
    ----------
    items, order
        The items, and their indices in the order of loading and computing.
    io_start, io_end, compute_start, compute_end : ndarray of shape (items,)
        Seconds from the beginning, by item.
    freed : ndarray of shape (items,)
        Time at which the place of each item in the buffer is released.
    peak_places
        Peak occupancy of the buffer: bytes, or places if slots are counted.
    """

    noun = "pipeline"

    items: tuple[Load, ...]
    order: tuple[int, ...]
    io_start: Floats
    io_end: Floats
    compute_start: Floats
    compute_end: Floats
    freed: Floats
    peak_places: float

    @property
    def makespan_s(self) -> float:
        """Seconds until everything is computed."""
        ends = [self.compute_end[i] for i, item in enumerate(self.items) if item.requests > 0.0]
        return float(max(ends, default=0.0))

    @property
    def compute_s(self) -> float:
        """Busy seconds of the engine."""
        return sum(item.compute_s for item in self.items)

    @property
    def io_s(self) -> float:
        """Busy seconds of the channel."""
        return sum(item.io_s for item in self.items)

    @property
    def bubble_s(self) -> float:
        """Idle seconds of the engine, including the first load."""
        return max(0.0, self.makespan_s - self.compute_s)

    @property
    def hidden_fraction(self) -> float:
        """Share of the loading time hidden by computing; 1 if there is nothing to load."""
        return 1.0 - self.bubble_s / self.io_s if self.io_s else 1.0

    def bubbles(self) -> list[tuple[float, float]]:
        """Return (start, end) of each interval in which the engine is idle."""
        out: list[tuple[float, float]] = []
        at = 0.0
        for i in self.order:
            if self.items[i].requests <= 0.0:
                continue
            start = float(self.compute_start[i])
            if start > at:
                out.append((at, start))
            at = max(at, float(self.compute_end[i]))
        return out

    @property
    def headline(self) -> str:
        """Number of items, makespan, and idle time."""
        times = [show(seconds, "time") for seconds in (self.makespan_s, self.bubble_s)]
        return f"{len(self.items)} items in {times[0]}, {times[1]} of it bubbles"

    @cached_property
    def table(self) -> Table:
        """One row per item, in the order of loading."""
        order = list(self.order)
        return Table(
            {
                "name": np.array([self.items[i].name for i in order], dtype=object),
                "size_bytes": np.array([self.items[i].size_bytes for i in order]),
                "io_start_s": self.io_start[order],
                "io_end_s": self.io_end[order],
                "compute_start_s": self.compute_start[order],
                "compute_end_s": self.compute_end[order],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline as a dictionary for JSON, one entry per item."""
        names = ("makespan_s", "compute_s", "io_s", "bubble_s")
        totals = {name: getattr(self, name) for name in names}
        columns = [name for name in self.table if name != "size_bytes"]
        return plain({**totals, "items": self.table.select(*columns).to_records()})


class PipelineState:
    """State after some items; `add` is one step of the event model."""

    __slots__ = (
        "capacity",
        "channel",
        "dependents",
        "ends",
        "engine",
        "items",
        "places",
        "sizes",
        "used",
    )

    def __init__(self, items: Sequence[Load], sizes: Sequence[float], capacity: float) -> None:
        self.items, self.sizes, self.capacity = items, sizes, capacity
        self.channel = self.engine = 0.0
        #: End of the computation of each item.
        self.ends: dict[int, float] = {}
        #: (release time, size) of the occupied places; sorted.
        self.places: list[tuple[float, float]] = []
        #: Number of unfinished items that build on each item.
        self.dependents: dict[int, int] = {}
        self.used = 0.0

    def copy(self) -> PipelineState:
        """Return an independent copy of the state."""
        clone = object.__new__(PipelineState)
        clone.items, clone.sizes, clone.capacity = self.items, self.sizes, self.capacity
        clone.channel, clone.engine, clone.used = self.channel, self.engine, self.used
        clone.ends, clone.places, clone.dependents = (
            dict(self.ends),
            list(self.places),
            dict(self.dependents),
        )
        return clone

    def add(self, i: int, children: Sequence[int]) -> tuple[float, float, float, float] | None:
        """Load and compute the next item; return its times, or None if it can never fit.

        Parameters
        ----------
        i
            Index of the item.
        children
            Number of items that build on each item.

        Returns
        -------
        tuple of float or None
            ``(io_start, io_end, compute_start, compute_end)``.
        """
        item, size = self.items[i], self.sizes[i]
        start = self.channel
        if item.after >= 0:
            start = max(start, self.ends[item.after])
        if item.io_s > 0.0:
            # Places released by now, then those that must be waited for.
            while self.places and self.places[0][0] <= start:
                self.used -= self.places.pop(0)[1]
            while self.used + size > self.capacity * (1.0 + 1e-12):
                if not self.places:
                    return None
                start = max(start, self.places[0][0])
                self.used -= self.places.pop(0)[1]
            self.channel = start + item.io_s
            end = self.channel
        else:
            end = start if item.after >= 0 else 0.0
            start = end
        begin = max(end, self.engine)
        done = begin + item.compute_s
        self.ends[i] = done
        if item.requests > 0.0:
            self.engine = done
        if item.io_s > 0.0:
            self.used += size
        if children[i]:
            self.dependents[i] = children[i]
        else:
            self._release(i, done)
        return start, end, begin, done

    def _release(self, i: int, when: float) -> None:
        """Release the place of an item, and of its ancestors without further dependents."""
        if self.items[i].io_s > 0.0:
            insort(self.places, (when, self.sizes[i]))
        parent = self.items[i].parent
        if parent >= 0:
            self.dependents[parent] -= 1
            if not self.dependents[parent]:
                del self.dependents[parent]
                self._release(parent, when)


def place_sizes(
    items: Sequence[Load], slots: int | None, buffer_bytes: float | None
) -> tuple[list[float], float]:
    """Return the size of each item in the buffer, and the capacity of the buffer.

    Raises
    ------
    ValueError
        Both limits are given, or less than one slot.
    """
    if slots is not None and buffer_bytes is not None:
        raise ValueError("a buffer has slots or bytes, not both")
    if slots is not None:
        if slots < 1:
            raise ValueError("a buffer needs at least one slot")
        return [1.0] * len(items), float(slots)
    capacity = math.inf if buffer_bytes is None else float(buffer_bytes)
    return [item.size_bytes for item in items], capacity


def descendants(items: Sequence[Load]) -> list[int]:
    """Return the number of items that build directly on each item."""
    counts = [0] * len(items)
    for item in items:
        if item.parent >= 0:
            counts[item.parent] += 1
    return counts


def pipeline(
    items: Sequence[Load],
    order: Sequence[int] | None = None,
    *,
    slots: int | None = None,
    buffer_bytes: float | None = None,
) -> StreamTimeline:
    """Return the earliest times of all loads and computations in a given order.

    Parameters
    ----------
    items
        Items to load and compute.
    order
        Indices in the order of loading and computing; by default that of `items`.
    slots, buffer_bytes
        Capacity of the buffer in places or in bytes; unlimited by default.

    Raises
    ------
    ValueError
        The order is not a permutation or violates a dependence, or an item never fits.
    """
    order = list(range(len(items))) if order is None else list(order)
    if sorted(order) != list(range(len(items))):
        raise ValueError("the order must contain each item exactly once")
    sizes, capacity = place_sizes(items, slots, buffer_bytes)
    children = descendants(items)
    state = PipelineState(items, sizes, capacity)
    times = np.zeros((4, len(items)))
    for i in order:
        item = items[i]
        for other in (item.after, item.parent):
            if other >= 0 and other not in state.ends:
                raise ValueError(f"'{item.name}' comes before '{items[other].name}'")
        done = state.add(i, children)
        if done is None:
            raise ValueError(f"'{item.name}' never finds room in the buffer")
        times[:, i] = done
    freed = times[3].copy()
    for i in reversed(order):
        parent = items[i].parent
        if parent >= 0:
            freed[parent] = max(freed[parent], freed[i])
    peak = _peak(items, sizes, times[0], freed)
    return StreamTimeline(
        tuple(items), tuple(order), times[0], times[1], times[2], times[3], freed, peak
    )


def _peak(items: Sequence[Load], sizes: Sequence[float], start: Floats, freed: Floats) -> float:
    """Return the peak occupancy of the buffer."""
    loaded = [i for i, item in enumerate(items) if item.io_s > 0.0]
    events = sorted(
        [(float(start[i]), 1, sizes[i]) for i in loaded]
        + [(float(freed[i]), 0, -sizes[i]) for i in loaded]
    )
    used = peak = 0.0
    for _, _, change in events:
        used += change
        peak = max(peak, used)
    return peak
