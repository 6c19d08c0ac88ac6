"""Patches simulated pixel by pixel: what each computed pixel reads, and what is where."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from perfmodel.schedule.tiling.feature_maps import (
    FeatureMap,
    FeatureMapLayer,
    FeatureMapNetwork,
    Window,
)
from perfmodel.schedule.tiling.patch_parameters import Patches

Pixel = tuple[int, ...]


def random_network(rng: np.random.Generator, axes: int, layers: int) -> FeatureMapNetwork:
    """Return a chain of windows with shortcuts added now and then."""
    extents = tuple(int(n) for n in rng.integers(5, 13, axes))
    maps = [FeatureMap("image", extents, int(rng.integers(1, 4)) * 8, external=True)]
    made: list[FeatureMapLayer] = []
    for i in range(layers):
        source = len(maps) - 1
        shape = maps[source].extents
        windows: list[Window] = []
        out: list[int] = []
        for n in shape:
            kernel, dilation = int(rng.integers(1, 4)), int(rng.integers(1, 3))
            stride = int(rng.integers(1, 3))
            reach = dilation * (kernel - 1) + 1
            before = int(rng.integers(0, kernel))
            total = before + int(rng.integers(0, kernel))
            size = (n + total - reach) // stride + 1
            if size < 2:
                windows.append(Window())
                out.append(n)
            else:
                windows.append(Window(kernel, stride, dilation, before))
                out.append(size)
        maps.append(FeatureMap(f"map{i}", tuple(out), int(rng.integers(1, 6)) * 8))
        made.append(_layer(f"conv{i}", (source,), (tuple(windows),), len(maps) - 1, rng))
        if rng.random() < 0.4:  # a block with a shortcut around a 3-wide window
            block = len(maps) - 1
            same = tuple(Window(3, 1, 1, 1) for _ in out)
            maps.append(FeatureMap(f"inner{i}", tuple(out), int(rng.integers(1, 6)) * 8))
            made.append(_layer(f"inner{i}", (block,), (same,), len(maps) - 1, rng))
            plain = tuple(Window() for _ in out)
            maps.append(FeatureMap(f"sum{i}", tuple(out), maps[block].bits))
            reads = (len(maps) - 2, block)
            made.append(_layer(f"add{i}", reads, (plain, plain), len(maps) - 1, rng))
    return FeatureMapNetwork("random", tuple(maps), tuple(made), frozenset({len(maps) - 1}))


def _layer(
    name: str,
    reads: tuple[int, ...],
    windows: tuple[tuple[Window, ...], ...],
    writes: int,
    rng: np.random.Generator,
) -> FeatureMapLayer:
    macs = int(rng.integers(1, 9))
    return FeatureMapLayer(name, "conv", reads, windows, writes, macs, 7, (), False, 1, (name,))


def taps(window: tuple[Window, ...], pixel: Pixel, extents: Pixel) -> set[Pixel]:
    """Return the positions from the first to the last tap of one output pixel."""
    sides: list[list[int]] = []
    for w, at, n in zip(window, pixel, extents, strict=True):
        first = at * w.stride - w.before
        places = range(n) if w.every else range(first, first + w.dilation * (w.kernel - 1) + 1)
        sides.append([x for x in places if 0 <= x < n])
    return set(itertools.product(*sides))


def box(pixels: set[Pixel]) -> set[Pixel]:
    """Return the smallest box of pixels around some."""
    if not pixels:
        return set()
    sides = [range(min(c), max(c) + 1) for c in zip(*pixels, strict=True)]
    return set(itertools.product(*sides))


@dataclass
class Counts:
    """What the simulation counted."""

    computed: dict[int, int] = field(default_factory=dict[int, int])
    loaded: dict[int, int] = field(default_factory=dict[int, int])
    most_kept: dict[int, int] = field(default_factory=dict[int, int])
    most_live_bytes: int = 0
    output: set[Pixel] = field(default_factory=set[Pixel])


def simulate(network: FeatureMapNetwork, patches: Patches) -> Counts:
    """Run the patches in row-major order with sets of pixels.

    Every patch computes, of the box of what is needed, what earlier patches have not left to it.
    Nothing is read that is not there; what no later patch reads is dropped.
    """
    layers, maps, p = network.layers, network.maps, patches
    out = layers[p.end - 1].writes
    inside = {layer.writes for layer in layers[p.start : p.end]}
    counts = Counts()
    edges = [
        [n * g // parts for g in range(parts + 1)]
        for n, parts in zip(maps[out].extents, p.grid, strict=True)
    ]
    kept_axes = p.cached_axes
    fresh_of: list[dict[int, set[Pixel]]] = []
    need_of: list[dict[int, set[Pixel]]] = []
    done: dict[tuple[int, ...], dict[int, set[Pixel]]] = {}
    places = list(itertools.product(*(range(g) for g in p.grid)))
    for place in places:
        # Along an axis without keeping, a patch sees only patches of its own index.
        group = tuple(at for at, kept in zip(place, kept_axes, strict=True) if not kept)
        before = done.setdefault(group, {})
        need: dict[int, set[Pixel]] = {
            out: set(
                itertools.product(
                    *(range(e[i], e[i + 1]) for e, i in zip(edges, place, strict=True))
                )
            )
        }
        fresh: dict[int, set[Pixel]] = {}
        for layer in reversed(layers[p.start : p.end]):
            t = layer.writes
            if t not in need:
                continue
            need[t] = box(need[t])
            fresh[t] = need[t] - before.get(t, set())
            for source, window in zip(layer.reads, layer.windows, strict=True):
                read: set[Pixel] = set()
                for pixel in fresh[t]:
                    read |= taps(window, pixel, maps[source].extents)
                need[source] = need.get(source, set()) | box(read)
        for t in need:
            if t not in inside:
                need[t] = box(need[t])
                fresh[t] = need[t] - before.get(t, set())
        for t, pixels in fresh.items():
            before.setdefault(t, set()).update(pixels)
            counter = counts.computed if t in inside else counts.loaded
            counter[t] = counter.get(t, 0) + len(pixels)
        fresh_of.append(fresh)
        need_of.append(need)
        counts.output |= fresh[out]
    _measure(network, p, fresh_of, need_of, places, kept_axes, counts)
    return counts


def _measure(
    network: FeatureMapNetwork,
    p: Patches,
    fresh_of: list[dict[int, set[Pixel]]],
    need_of: list[dict[int, set[Pixel]]],
    places: list[Pixel],
    kept_axes: tuple[bool, ...],
    counts: Counts,
) -> None:
    """Count what is kept between patches, and what lives inside the largest patch."""
    layers, maps = network.layers, network.maps
    out = layers[p.end - 1].writes
    last = dict(enumerate(network.maker))
    for i in range(p.start, p.end):
        for t in layers[i].reads:
            last[t] = i
    for t in {t for need in need_of for t in need if t != out}:
        for at in range(1, len(places)):
            left: set[Pixel] = set()
            for later in range(at, len(places)):
                same = all(
                    kept or a == b
                    for a, b, kept in zip(places[at - 1], places[later], kept_axes, strict=True)
                )
                if same:
                    left |= need_of[later].get(t, set()) - fresh_of[later].get(t, set())
            made = {
                x
                for k in range(at)
                for x in fresh_of[k].get(t, set())
                if all(
                    kept or a == b
                    for a, b, kept in zip(places[k], places[at - 1], kept_axes, strict=True)
                )
            }
            counts.most_kept[t] = max(counts.most_kept.get(t, 0), len(left & made))
    for fresh in fresh_of:
        for i in range(p.start, p.end):
            live = 0
            for t, pixels in fresh.items():
                source = not p.start <= network.maker[t] < p.end
                if (t == out and p.output_on_chip) or (source and p.input_on_chip):
                    continue
                born = network.first[t] if source else network.maker[t]
                if max(born, p.start) <= i and (t == out or last[t] >= i):
                    live += -(-len(pixels) * maps[t].bits // 8)
            counts.most_live_bytes = max(counts.most_live_bytes, live)


def macs(network: FeatureMapNetwork, counts: Counts) -> int:
    """Return the multiply-accumulates of what was computed."""
    made = {layer.writes: layer.macs for layer in network.layers}
    return sum(made[t] * n for t, n in counts.computed.items())


def whole(network: FeatureMapNetwork) -> int:
    """Return the pixels of the last map."""
    return math.prod(network.maps[-1].extents)
