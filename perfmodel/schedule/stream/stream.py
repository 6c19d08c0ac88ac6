"""Stream a workload's weights from an outer memory while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from perfmodel import units
from perfmodel.cost.capacity import Violation
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.schedule.place.items import items_of
from perfmodel.schedule.place.levels import PlacementLevel, levels_of
from perfmodel.schedule.place.place import place, predicted_one, read_levels
from perfmodel.schedule.place.popularity import Popularity, popularity_of
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.stream.channel import StreamChannel, channel_of
from perfmodel.schedule.stream.layers import PipelineLayer, layers_of
from perfmodel.schedule.stream.pipeline import Load, pipeline
from perfmodel.schedule.stream.result import StreamResult
from perfmodel.settings import gathered
from perfmodel.units import show

#: Which layers stay: evenly between those that are streamed, or the first ones.
Spread: TypeAlias = Literal["even", "first"]


def stream(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    source: str | PlacementLevel | None = None,
    memory: str | float | None = None,
    depth: int = 2,
    keep: bool = True,
    spread: Spread = "even",
    cached: bool = False,
    popularity: Popularity | None = None,
    hit_fraction: float | None = None,
    accuracy: float = 0.0,
    grouped: bool = False,
    runs: int = 16,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    seed: int = 0,
) -> StreamResult:
    """Stream weights that do not stay in main memory, and say what it costs.

    What main memory can hold beside the buffer stays (`perfmodel.schedule.place.place.place`);
    the rest of each layer is loaded while earlier layers run, as far ahead as the buffer allows.
    Which experts a layer needs is known only after its router has run, unless it was guessed.

    Parameters
    ----------
    workload, device, set, precision, runtime, engine
        As for `predict`.
    source
        Memory that the weights come from, or NAME=CAPACITY,BANDWIDTH of one beside the device's
        (host=64 GB,25 GB/s). By default the memory with the role weights, where that is not main
        memory.
    memory
        Main memory for weights, KV cache and buffer: bytes, or a size with its unit ("6 GB"). By
        default what it has beside what is reserved and activations.
    depth
        Loads (of a layer, or of an expert; what is larger than a layer comes in pieces) that the
        buffer holds: 1 loads nothing ahead, 2 is double buffering.
    keep
        Weights stay in main memory where it has room; else every run brings all of them.
    spread
        Which layers stay: even, so that loads are hidden behind them, or first.
    cached
        Spare memory is an LRU cache of the experts. By default experts are pinned.
    popularity
        How unevenly routers choose: exponent of a Zipf law, geometric:RATE, or a weight for each
        expert (3,1,1,1).
    hit_fraction
        Share of the visits of experts that main memory serves, where it is known.
    accuracy
        Probability that a guess, made when the layer before has its router's answer, names a
        missing expert. A wrong guess is loaded all the same.
    grouped
        The engine computes one matrix of all experts at a time, as llama.cpp does, and waits for
        that matrix of each. By default one expert at a time, those that are there first.
    runs
        Runs to simulate.
    seed
        Seed of the draw of experts that are missing, which is another in each run.

    Returns
    -------
    StreamResult

    Raises
    ------
    InputError
        Every fault at once: unknown names, nothing to stream from, numbers out of range.

    Examples
    --------
    >>> import perfmodel as pm
    >>> s = pm.stream("llama_3_8b", "ufs_4_phone", precision="w4a16", memory="3 GB")
    >>> s.feasible
    True
    """
    faults = gathered()
    faults.extend(_option_faults(depth, spread, hit_fraction, accuracy, runs, seed, memory))
    if isinstance(source, str) and "=" in source:
        (source,) = read_levels(source, faults, "source") or (None,)
    if isinstance(popularity, str):
        popularity = faults.trying(popularity_of, popularity)
    subject = faults.trying(resolve, workload, device, precision, runtime, set, engine)
    found = None if subject is None else faults.trying(predicted_one, subject, "streams")
    if found is None or subject is None:
        raise InputError(faults)
    ways = faults.trying(_channel, found, source)
    if popularity is not None:
        faults.trying(items_of, found, by="layer", popularity=popularity)
    faults.settle()
    assert ways is not None
    channel, extra = ways
    main = found._setting.levels[-1]  # pyright: ignore[reportPrivateUsage]
    # What `predict` reads the weights from is left out of the engine's time, whatever the source.
    home = found._setting.weights_memory  # pyright: ignore[reportPrivateUsage]
    layers = layers_of(found, channel.name if home == main else home)
    repeated = [_load_bytes(layer, grouped) for layer in layers if layer.count > 1]
    largest = (
        max(repeated) if any(repeated) else max(_load_bytes(layer, grouped) for layer in layers)
    )
    held = depth * largest
    (inner,) = levels_of(found, [main], None if memory is None else {main: memory})
    room = inner.capacity_bytes
    kv = float(found.kv_bytes)
    if keep and float(found.weight_bytes) + kv <= room:
        held = 0.0  # everything stays: nothing passes through a buffer
    # What is streamed passes through main memory: it is never better off outside.
    most = inner.bandwidth_bytes_per_s * (1.0 - 1e-6)
    outside = [replace(v, bandwidth_bytes_per_s=min(v.bandwidth_bytes_per_s, most)) for v in extra]
    placement = place(
        subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine, levels=[main] if extra else [main, channel.name], extra=outside,
        by="layer",
        capacities={main: max(room - held, 0.0) if keep else min(kv, max(room - held, 0.0))},
        kv_levels=[main], cached=main if cached and keep else None, popularity=popularity,
    )  # fmt: skip
    violations = placement.violations
    if held > room:
        violations = (_too_large(main, held, room, depth, largest), *violations)
    if violations:
        return StreamResult(
            found, channel, layers, placement, depth, held, 0, None, float("inf"), 0.0, 0.0, 0.0,
            0.0, violations=violations,
        )  # fmt: skip
    state = _Resident(placement, main, hit_fraction)
    rules = _Rules(largest, depth, spread, accuracy, grouped)
    made = _items(layers, channel, state, rules, runs, seed)
    line = pipeline(made.items, slots=depth)
    ends = [float(line.compute_end[i]) for i in made.last]
    warm = 1 if runs > 1 else 0
    start = ends[warm - 1] if warm else 0.0
    steady = (ends[-1] - start) / (runs - warm)
    first = made.last[warm - 1] + 1 if warm else 0
    measured = made.items[first:]
    count = runs - warm
    return StreamResult(
        found, channel, layers, placement, depth, held, runs, line, steady,
        sum(i.io_s for i in measured) / count, sum(i.compute_s for i in measured) / count,
        sum(i.size_bytes for i in measured) / count, state.overall(layers),
        sum(i.size_bytes for i in measured if not i.requests) / count,
    )  # fmt: skip


def _option_faults(
    depth: int, spread: str, hit_fraction: float | None, accuracy: float, runs: int, seed: int,
    memory: str | float | None,
) -> list[Fault]:  # fmt: skip
    faults: list[Fault] = []
    if depth < 1:
        faults.append(Fault(f"a buffer of {depth} loads holds none", "depth", expected="1 or more"))
    if runs < 1:
        faults.append(Fault(f"{runs} runs are none", "runs", expected="1 or more"))
    if spread not in ("even", "first"):
        faults.append(Fault(f"there is no '{spread}'", "spread", expected="even or first",
                            suggestion=nearest(spread, ("even", "first"))))  # fmt: skip
    for name, value in (("hit_fraction", hit_fraction), ("accuracy", accuracy)):
        if value is not None and not 0.0 <= value <= 1.0:
            faults.append(Fault(f"{value:g} is no share", name, expected="0 to 1"))
    if seed < 0:
        faults.append(Fault(f"{seed} is no seed", "seed", expected="a whole number from 0"))
    if memory is not None:
        try:
            size = units.parse(memory, "bytes") if isinstance(memory, str) else float(memory)
        except units.UnitError as error:
            faults.append(Fault(error.message, "memory", expected=error.expected,
                                suggestion=error.suggestion))  # fmt: skip
        else:
            if not size >= 0:
                faults.append(Fault(f"{size:g} is no capacity", "memory", expected="bytes from 0"))
    return faults


def _channel(
    found: Prediction, source: str | PlacementLevel | None
) -> tuple[StreamChannel, tuple[PlacementLevel, ...]]:
    """Return the channel, and the level that the device does not have."""
    if isinstance(source, PlacementLevel):
        energy = source.energy_j_per_byte
        made = StreamChannel(source.name, source.bandwidth_bytes_per_s,
                       energy_j_per_byte=float("nan") if energy is None else energy)  # fmt: skip
        return made, (source,)
    setting = found._setting  # pyright: ignore[reportPrivateUsage]
    main = setting.levels[-1]
    name = setting.weights_memory if source is None else found.machine.resolve(
        f"memories.{source}.capacity"
    ).split(".")[1]  # fmt: skip
    if name == main:
        raise input_error(
            f"{found.device} keeps weights in {main}, its main memory",
            "source",
            expected="another memory, or a level beside the device",
        )
    return channel_of(found, name), ()


def _load_bytes(layer: PipelineLayer, grouped: bool) -> float:
    """Return the bytes of the largest load of a layer."""
    each = layer.expert_bytes / layer.visited if layer.visited else 0.0
    if grouped:
        each = max((bytes_ for _, bytes_ in layer.expert_parts), default=0.0)
    return max(sum(layer.tensors.values()), each)


def _too_large(main: str, held: float, room: float, depth: int, largest: float) -> Violation:
    levers = [f"a {main} of {show(held, 'bytes')} beside the rest"]
    if room >= largest:
        levers.insert(0, f"a depth of {int(room // largest)}")
    return Violation(
        f"memories.{main}.capacity", held, room, held - room, tuple(levers),
        f"a buffer of {depth} loads takes {show(held, 'bytes')} and {main} has "
        f"{show(room, 'bytes')} for it",
    )  # fmt: skip


class _Resident:
    """What stays in main memory, by tensor."""

    def __init__(self, placement: PlacementResult, main: str, known: float | None) -> None:
        self.known = known
        self.copies: dict[str, tuple[int, int]] = {}
        self.hits: dict[str, float] = {}
        read: dict[str, float] = {}
        near: dict[str, float] = {}
        at = [level.name for level in placement.levels].index(main)
        for item, counts in zip(placement.items, placement.counts, strict=True):
            for part in item.parts:
                if part.expert < 0:
                    self.copies[part.tensor] = (counts[at], item.copies)
                    continue
                moved = item.copies * part.size_bytes * item.touched
                read[part.tensor] = read.get(part.tensor, 0.0) + moved
                share = counts[at] / item.copies
                share += self._cached(placement, item.name)
                near[part.tensor] = near.get(part.tensor, 0.0) + moved * share
        for tensor, moved in read.items():
            self.hits[tensor] = near[tensor] / moved if moved else 1.0

    @staticmethod
    def _cached(placement: PlacementResult, name: str) -> float:
        """Share of the visits that the cache serves, of all copies of an item."""
        rows = [row for row in placement.rows if row.name == name]
        total = sum(row.copies for row in rows)
        return sum(row.copies * row.hit_fraction for row in rows if row.cached_in) / total

    def stays(self, tensor: str, copy: int, spread: str) -> bool:
        """Whether a layer's own copy of a tensor is in main memory."""
        held, copies = self.copies[tensor]
        if copies == 1 or held in (0, copies):
            return held > 0
        i = copy % copies
        if spread == "first":
            return i < held
        # Evenly: as often as a line of that slope passes a whole number.
        return (i + 1) * held // copies > i * held // copies

    def hit(self, layer: PipelineLayer) -> float:
        """Share of the visits of a layer's experts that main memory serves."""
        if not layer.experts:
            return 1.0
        if self.known is not None:
            return self.known
        return float(np.mean([self.hits[name] for name in layer.expert_tensors]))

    def overall(self, layers: Sequence[PipelineLayer]) -> float:
        """The same over all layers, each as often as it is visited."""
        weight = sum(layer.count * layer.visited for layer in layers)
        hits = sum(layer.count * layer.visited * self.hit(layer) for layer in layers)
        return hits / weight if weight else 1.0


@dataclass(slots=True)
class _LoadSequence:
    """Items of all runs, and the last item of each."""

    items: list[Load]
    last: list[int]


@dataclass(frozen=True, slots=True)
class _Rules:
    """How loads are cut and ordered; as `stream` takes them."""

    largest: float
    depth: int
    spread: Spread
    accuracy: float
    grouped: bool


def _items(
    layers: Sequence[PipelineLayer],
    channel: StreamChannel,
    state: _Resident,
    rules: _Rules,
    runs: int,
    seed: int,
) -> _LoadSequence:
    random = np.random.default_rng(seed)
    made = _LoadSequence([], [])
    router = -1
    for run in range(runs):
        for layer in layers:
            for copy in range(layer.count):
                name = f"{run}/{layer.name}" + (f"@{copy}" if layer.count > 1 else "")
                size = sum(
                    read for tensor, read in layer.tensors.items()
                    if not state.stays(tensor, copy, rules.spread)
                )  # fmt: skip
                if not layer.visited:
                    # What is larger than a layer (a classifier) comes in pieces of that size.
                    cuts = max(1, math.ceil(size / rules.largest - 1e-9))
                    each = Load(name, channel.seconds(size / cuts), layer.engine_s / cuts,
                                size / cuts)  # fmt: skip
                    made.items += [each] * cuts
                    continue
                before = len(made.items)
                made.items.append(Load(name, channel.seconds(size), layer.before_s, size))
                draw = _draw(layer, state.hit(layer), rules.accuracy, random)
                add = _grouped if rules.grouped else _one_by_one
                add(made.items, name, layer, draw, (router, before), channel, rules.depth, random)
                if layer.after_s:
                    made.items.append(Load(f"{name} end", 0.0, layer.after_s))
                router = before
        made.last.append(len(made.items) - 1)
    return made


def _one_by_one(
    items: list[Load], name: str, layer: PipelineLayer, draw: tuple[int, int, int],
    routers: tuple[int, int], channel: StreamChannel, depth: int, random: np.random.Generator,
) -> None:  # fmt: skip
    """Add experts that are computed one at a time: guesses, those that are there, the others."""
    missing, guessed, wrong = draw
    each, work = layer.expert_bytes / layer.visited, layer.expert_s / layer.visited
    # A guess is loaded ahead, and computed on when its layer has come so far.
    right: list[bool] = [True] * guessed + [False] * wrong
    random.shuffle(right)
    _experts(items, f"{name} guess", right, each, work, routers[0], channel, depth)
    hits = max(0.0, layer.visited - missing) * work
    items.append(Load(f"{name} hits", 0.0, hits, after=routers[1]))
    _experts(items, f"{name} expert", [True] * (missing - guessed), each, work, routers[1], channel,
             depth)  # fmt: skip


def _grouped(
    items: list[Load], name: str, layer: PipelineLayer, draw: tuple[int, int, int],
    routers: tuple[int, int], channel: StreamChannel, depth: int, random: np.random.Generator,
) -> None:  # fmt: skip
    """Add experts that are computed matrix by matrix, each when all have theirs."""
    missing, guessed, wrong = draw
    for kind, count, after in (("guess", guessed, routers[0]), ("wrong", wrong, routers[0])):
        for k, (_, bytes_) in enumerate(layer.expert_parts if count else ()):
            size = count * bytes_ / layer.visited
            items.append(Load(f"{name} {kind} {k}", channel.seconds(size), 0.0, size, after,
                              requests=float(kind == "guess")))  # fmt: skip
    for k, (work, bytes_) in enumerate(layer.expert_parts):
        size = (missing - guessed) * bytes_ / layer.visited
        items.append(Load(f"{name} matrix {k}", channel.seconds(size), work, size, routers[1]))


def _draw(
    layer: PipelineLayer, hit: float, accuracy: float, random: np.random.Generator
) -> tuple[int, int, int]:
    """Return experts that are missing, those of them that were guessed, and wrong guesses."""
    whole = int(layer.visited)
    visits = whole + int(random.random() < layer.visited - whole)
    missing = int(random.binomial(visits, 1.0 - hit))
    guessed = int(random.binomial(missing, accuracy)) if accuracy else 0
    return missing, guessed, missing - guessed if accuracy else 0


def _experts(
    items: list[Load], name: str, needed: Sequence[bool], each: float, work: float, after: int,
    channel: StreamChannel, depth: int,
) -> None:  # fmt: skip
    """Add the loads of experts that are asked for together, as many as the buffer holds at once."""
    if not needed:
        return
    together = min(len(needed), depth)
    seconds = channel.seconds(together * each) / together
    for k, wanted in enumerate(needed):
        items.append(
            Load(f"{name} {k}", seconds, work if wanted else 0.0, each, after,
                 requests=1.0 if wanted else 0.0)
        )  # fmt: skip
