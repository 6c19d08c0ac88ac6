"""Sequence of the loads of several runs, in the order of the channel.

Each layer contributes a load of its weights that are not resident, and its experts that are
missing: their number is binomial with the hit rate of the cache, and some of them may be guessed
ahead. The event model `pipeline.py` gives the sequence its times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.stream.channel import StreamChannel
from perfmodel.schedule.stream.layers import PipelineLayer
from perfmodel.schedule.stream.pipeline import Load

#: Distribution of resident layers: evenly among the streamed ones, or the first ones.
Spread: TypeAlias = Literal["even", "first"]


class ResidentWeights:
    """Weights resident in main memory, by tensor.

    Parameters
    ----------
    placement
        Placement of every layer, and contents of the cache.
    main
        Name of main memory.
    hit_fraction
        Share of the expert visits served by main memory, if known.
    """

    def __init__(self, placement: PlacementResult, main: str, hit_fraction: float | None) -> None:
        self.hit_fraction = hit_fraction
        self.copies: dict[str, tuple[int, int]] = {}
        read: dict[str, float] = {}
        resident: dict[str, float] = {}
        level = [level.name for level in placement.levels].index(main)
        for item, counts in zip(placement.items, placement.counts, strict=True):
            for part in item.parts:
                if part.expert < 0:
                    self.copies[part.tensor] = (counts[level], item.copies)
                    continue
                read_bytes = item.copies * part.size_bytes * item.touched
                read[part.tensor] = read.get(part.tensor, 0.0) + read_bytes
                share = counts[level] / item.copies + _cached_share(placement, item.name)
                resident[part.tensor] = resident.get(part.tensor, 0.0) + read_bytes * share
        self.hits = {
            tensor: resident[tensor] / read_bytes if read_bytes else 1.0
            for tensor, read_bytes in read.items()
        }

    def is_resident(self, tensor: str, copy: int, spread: str) -> bool:
        """Return whether a layer's copy of a tensor is in main memory."""
        resident, copies = self.copies[tensor]
        if copies == 1 or resident in (0, copies):
            return resident > 0
        i = copy % copies
        if spread == "first":
            return i < resident
        # Evenly spread: copies at which a line of slope resident / copies passes an integer.
        return (i + 1) * resident // copies > i * resident // copies

    def hit_rate(self, layer: PipelineLayer) -> float:
        """Return the share of the visits to a layer's experts served by main memory."""
        if not layer.experts:
            return 1.0
        if self.hit_fraction is not None:
            return self.hit_fraction
        return float(np.mean([self.hits[name] for name in layer.expert_tensors]))

    def overall_hit(self, layers: Sequence[PipelineLayer]) -> float:
        """Return the hit fraction over all layers, weighted by their visits."""
        weight = sum(layer.count * layer.visited for layer in layers)
        hits = sum(layer.count * layer.visited * self.hit_rate(layer) for layer in layers)
        return hits / weight if weight else 1.0


def _cached_share(placement: PlacementResult, name: str) -> float:
    """Return the share of the visits that the cache serves, over all copies of an item."""
    rows = [row for row in placement.rows if row.name == name]
    total = sum(row.copies for row in rows)
    return sum(row.copies * row.hit_fraction for row in rows if row.cached_in) / total


@dataclass(slots=True)
class LoadSequence:
    """Loads of all runs in sequence.

    Attributes
    ----------
    channel, resident
        Channel that loads come from, and weights that need no load.
    largest_bytes
        Maximum bytes of one load outside repeated layers; larger ones are split.
    depth, spread, accuracy, grouped
        Parameters of `stream`.
    random
        Random generator that draws the missing experts.
    items, last
        The loads, and the index of the last load of each run.
    router
        Index of the last router; -1 before the first one.
    """

    channel: StreamChannel
    resident: ResidentWeights
    largest_bytes: float
    depth: int
    spread: Spread
    accuracy: float
    grouped: bool
    random: np.random.Generator
    items: list[Load] = field(default_factory=list[Load])
    last: list[int] = field(default_factory=list[int])
    router: int = -1

    def add_run(self, name: str, layers: Sequence[PipelineLayer]) -> None:
        """Append the loads of all layers."""
        for layer in layers:
            for copy in range(layer.count):
                label = f"{name}/{layer.name}" + (f"@{copy}" if layer.count > 1 else "")
                size = sum(
                    read_bytes
                    for tensor, read_bytes in layer.tensors.items()
                    if not self.resident.is_resident(tensor, copy, self.spread)
                )
                if layer.visited:
                    self._add_routed(label, layer, size)
                else:
                    # A load larger than a layer (a classifier) is split into pieces of that size.
                    cuts = max(1, math.ceil(size / self.largest_bytes - 1e-9))
                    self.items += [self._load(label, layer.engine_s / cuts, size / cuts)] * cuts
        self.last.append(len(self.items) - 1)

    def _load(
        self, name: str, compute_s: float, size: float, after: int = -1, requests: float = 1.0
    ) -> Load:
        """Return a load, with its seconds on the channel."""
        return Load(name, self.channel.seconds(size), compute_s, size, after, requests=requests)

    def _add_routed(self, name: str, layer: PipelineLayer, size: float) -> None:
        """Append a layer with experts: its own weights, then the experts selected by its router."""
        router = len(self.items)
        self.items.append(self._load(name, layer.before_s, size))
        least = int(layer.visited)
        visits = least + int(self.random.random() < layer.visited - least)
        missing = int(self.random.binomial(visits, 1.0 - self.resident.hit_rate(layer)))
        guessed = int(self.random.binomial(missing, self.accuracy)) if self.accuracy else 0
        wrong = missing - guessed if self.accuracy else 0
        add = self._add_matrices if self.grouped else self._add_experts
        add(name, layer, router, missing, guessed, wrong)
        if layer.after_s:
            self.items.append(Load(f"{name} end", 0.0, layer.after_s))
        self.router = router

    def _add_experts(
        self, name: str, layer: PipelineLayer, router: int, missing: int, guessed: int, wrong: int
    ) -> None:
        """Append experts that run one at a time: guessed ones, resident ones, then the others.

        A guess is loaded ahead, and used when its layer is reached.
        """
        right: list[bool] = [True] * guessed + [False] * wrong
        self.random.shuffle(right)
        work = layer.expert_s / layer.visited
        self._add_requested_together(f"{name} guess", layer, right, self.router)
        hits = max(0.0, layer.visited - missing) * work
        self.items.append(Load(f"{name} hits", 0.0, hits, after=router))
        self._add_requested_together(f"{name} expert", layer, [True] * (missing - guessed), router)

    def _add_requested_together(
        self, name: str, layer: PipelineLayer, needed: Sequence[bool], after: int
    ) -> None:
        """Append experts that are requested together, as many as the buffer holds at once."""
        if not needed:
            return
        size, work = layer.expert_bytes / layer.visited, layer.expert_s / layer.visited
        together = min(len(needed), self.depth)
        seconds = self.channel.seconds(together * size) / together
        self.items += [
            Load(f"{name} {k}", seconds, work * right, size, after, requests=float(right))
            for k, right in enumerate(needed)
        ]

    def _add_matrices(
        self, name: str, layer: PipelineLayer, router: int, missing: int, guessed: int, wrong: int
    ) -> None:
        """Append experts computed matrix by matrix, each matrix when all experts have theirs."""
        for kind, count in (("guess", guessed), ("wrong", wrong)):
            for k, (_, size) in enumerate(layer.expert_parts if count else ()):
                size_bytes = count * size / layer.visited
                requests = float(kind == "guess")
                self.items.append(
                    self._load(f"{name} {kind} {k}", 0.0, size_bytes, self.router, requests)
                )
        for k, (work, size) in enumerate(layer.expert_parts):
            size_bytes = (missing - guessed) * size / layer.visited
            self.items.append(self._load(f"{name} matrix {k}", work, size_bytes, router))
