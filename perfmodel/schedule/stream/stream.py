"""Entry point of ``stream``: execution with weights streamed from an outer memory.

Weights that main memory can hold are placed there (`perfmodel.schedule.place`); the others are
loaded layer by layer into a buffer, ahead of the engine. The seconds of a run come from an event
model of one channel, one engine and the buffer (`pipeline.py`), over several runs, with random
misses of experts (`load_sequence.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.cost.capacity import Violation
from perfmodel.errors import Fault, InputError, input_error, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, PredictionArguments, PredictionInputs, WorkloadLike
from perfmodel.schedule.place.items import items_of
from perfmodel.schedule.place.levels import PlacementLevel, levels_of
from perfmodel.schedule.place.place import place, predict_single, read_levels
from perfmodel.schedule.place.popularity import Popularity, popularity_of
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.stream.channel import StreamChannel, channel_of
from perfmodel.schedule.stream.layers import PipelineLayer, layers_of
from perfmodel.schedule.stream.load_sequence import LoadSequence, ResidentWeights, Spread
from perfmodel.schedule.stream.pipeline import pipeline
from perfmodel.schedule.stream.result import StreamResult
from perfmodel.settings import FaultList, gathered
from perfmodel.units import show


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
        Memory that stores all weights, or NAME=CAPACITY,BANDWIDTH of one that the device does not
        have (host=64 GB,25 GB/s). By default the memory with the role weights, unless that is main
        memory.
    memory
        Main memory for weights, KV cache and buffer: bytes, or a size with its unit ("6 GB"). By
        default its capacity less reserved memory and activations.
    depth
        Number of loads that the buffer holds: 1 loads nothing ahead, 2 is double buffering. A load
        is a layer or an expert; anything larger than a layer is loaded in pieces.
    keep
        Keep as many weights in main memory as fit. Otherwise every run loads all of them.
    spread
        Which layers are kept: even (evenly spaced, so that their compute hides loads) or first (the
        first layers).
    cached
        Use spare memory as an LRU cache for experts. By default experts are pinned.
    popularity
        How unevenly routers choose experts: the exponent of a Zipf distribution, geometric:RATE, or
        a weight for each expert (3,1,1,1).
    hit_fraction
        Measured share of expert accesses that main memory serves, if it is known.
    accuracy
        Probability that a prefetch predicts a missing expert correctly when the router of the layer
        before has run. A wrongly predicted expert is loaded all the same.
    grouped
        The engine computes one matrix of all experts at a time, as llama.cpp does, and waits until
        that matrix of every expert is loaded. By default it computes one expert at a time, loaded
        experts first.
    runs
        Number of runs to simulate.
    seed
        Seed of the random choice of missing experts, which differs from run to run.

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
    return StreamArguments(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class StreamArguments(PredictionArguments):
    """Parameters of `stream`."""

    source: str | PlacementLevel | None
    memory: str | float | None
    depth: int
    keep: bool
    spread: Spread
    cached: bool
    popularity: Popularity | None
    hit_fraction: float | None
    accuracy: float
    grouped: bool
    runs: int
    seed: int

    def answer(self) -> StreamResult:
        """Return the result of `stream`, with the same errors."""
        faults = gathered()
        faults += self._option_faults()
        source = self.source
        if isinstance(source, str) and "=" in source:
            (source,) = read_levels(source, faults, "source") or (None,)
        popularity = faults.trying(popularity_of, self.popularity)
        predicted = faults.trying(predict_single, self, "streams")
        if predicted is None:
            raise InputError(faults)
        subject, prediction = predicted
        opened = faults.trying(_channel, prediction, source)
        if popularity is not None:
            faults.trying(items_of, prediction, by="layer", popularity=popularity)
        faults.settle()
        assert opened is not None
        channel, extra = opened
        setting = prediction.setting
        main, home = setting.levels[-1], setting.weights_memory
        # The memory that `predict` reads weights from is excluded from the engine's time, whatever
        # the source.
        layers = layers_of(prediction, channel.name if home == main else home)
        largest = self._largest_load(layers)
        sizes = None if self.memory is None else {main: self.memory}
        (inner,) = levels_of(prediction, [main], sizes)
        capacity, kv = inner.capacity_bytes, float(prediction.kv_bytes)
        everything = float(prediction.weight_bytes) + kv
        # If everything is resident, nothing passes through a buffer.
        buffer = 0.0 if self.keep and everything <= capacity else self.depth * largest
        room = max(capacity - buffer, 0.0)
        placement = self._placement(
            subject, inner, channel, extra, room if self.keep else min(kv, room)
        )
        violations = placement.violations
        if buffer > capacity:
            violations = (self._too_large(main, buffer, capacity, largest), *violations)
        unrun = StreamResult(
            prediction, channel, layers, placement, self.depth, buffer, violations=violations
        )
        return unrun if violations else self._run(unrun, main, largest)

    def _option_faults(self) -> list[Fault]:
        """Return the faults of options that are words or numbers."""
        faults = FaultList()
        if self.depth < 1:
            message = f"a buffer cannot hold {self.depth} loads"
            faults.append(Fault(message, "depth", expected="1 or more"))
        if self.runs < 1:
            faults.append(
                Fault(f"{self.runs} is not a valid number of runs", "runs", expected="1 or more")
            )
        message = f"unknown spread '{self.spread}'"
        faults += not_among(message, self.spread, ("even", "first"), "spread")
        for name in ("hit_fraction", "accuracy"):
            share = getattr(self, name)
            if share is not None and not 0.0 <= share <= 1.0:
                faults.append(Fault(f"{share:g} is not a fraction", name, expected="0 to 1"))
        if self.seed < 0:
            message = f"{self.seed} is not a valid seed"
            faults.append(Fault(message, "seed", expected="an integer from 0"))
        if self.memory is not None:
            size = faults.quantity(self.memory, "bytes", "memory")
            if size is not None and not size >= 0:
                message = f"{size:g} is not a valid capacity"
                faults.append(Fault(message, "memory", expected="bytes from 0"))
        return faults

    def _largest_load(self, layers: Sequence[PipelineLayer]) -> float:
        """Return the bytes of the largest load of the repeated layers, else of any layer."""

        def load_bytes(layer: PipelineLayer) -> float:
            expert = layer.expert_bytes / layer.visited if layer.visited else 0.0
            if self.grouped:
                expert = max((size for _, size in layer.expert_parts), default=0.0)
            return max(sum(layer.tensors.values()), expert)

        repeated = max((load_bytes(layer) for layer in layers if layer.count > 1), default=0.0)
        return repeated or max(map(load_bytes, layers))

    def _placement(
        self,
        subject: PredictionInputs,
        main: PlacementLevel,
        channel: StreamChannel,
        extra: Sequence[PlacementLevel],
        capacity_bytes: float,
    ) -> PlacementResult:
        """Return the placement for a capacity of main memory, with the rest in the channel."""
        # Streamed weights pass through main memory, so that the channel is never the better level.
        most = main.bandwidth_bytes_per_s * (1.0 - 1e-6)
        return place(
            subject.workload,
            subject.device,
            precision=subject.precision,
            runtime=subject.runtime,
            engine=subject.engine,
            levels=[main.name] if extra else [main.name, channel.name],
            extra=[
                replace(v, bandwidth_bytes_per_s=min(v.bandwidth_bytes_per_s, most)) for v in extra
            ],
            by="layer",
            capacities={main.name: capacity_bytes},
            kv_levels=[main.name],
            cached=main.name if self.cached and self.keep else None,
            popularity=self.popularity,
        )

    def _too_large(self, main: str, buffer: float, capacity: float, largest: float) -> Violation:
        """Return the violation of a buffer that exceeds main memory."""
        levers = [f"a {main} of {show(buffer, 'bytes')} beside the rest"]
        if capacity >= largest:
            levers.insert(0, f"a depth of {int(capacity // largest)}")
        return Violation(
            f"memories.{main}.capacity",
            buffer,
            capacity,
            buffer - capacity,
            tuple(levers),
            f"a buffer of {self.depth} loads takes {show(buffer, 'bytes')} and {main} has "
            f"{show(capacity, 'bytes')} for it",
        )

    def _run(self, unrun: StreamResult, main: str, largest: float) -> StreamResult:
        """Return the result with its runs simulated; the first of several warms up."""
        resident = ResidentWeights(unrun.placement, main, self.hit_fraction)
        sequence = LoadSequence(
            unrun.channel,
            resident,
            largest,
            self.depth,
            self.spread,
            self.accuracy,
            self.grouped,
            np.random.default_rng(self.seed),
        )
        for run in range(self.runs):
            sequence.add_run(str(run), unrun.layers)
        timeline = pipeline(sequence.items, slots=self.depth)
        ends = [float(timeline.compute_end[i]) for i in sequence.last]
        warm = self.runs > 1
        count = self.runs - warm
        measured = sequence.items[sequence.last[0] + 1 if warm else 0 :]
        return replace(
            unrun,
            runs=self.runs,
            timeline=timeline,
            run_s=(ends[-1] - (ends[0] if warm else 0.0)) / count,
            io_s=sum(load.io_s for load in measured) / count,
            compute_s=sum(load.compute_s for load in measured) / count,
            streamed_bytes=sum(load.size_bytes for load in measured) / count,
            hit_fraction=resident.overall_hit(unrun.layers),
            wasted_bytes=sum(load.size_bytes for load in measured if not load.requests) / count,
        )


def _channel(
    prediction: Prediction, source: str | PlacementLevel | None
) -> tuple[StreamChannel, tuple[PlacementLevel, ...]]:
    """Return the channel, and its level if it is not part of the device."""
    if isinstance(source, PlacementLevel):
        energy = source.energy_j_per_byte
        channel = StreamChannel(
            source.name,
            source.bandwidth_bytes_per_s,
            energy_j_per_byte=float("nan") if energy is None else energy,
        )
        return channel, (source,)
    setting = prediction.setting
    main, name = setting.levels[-1], setting.weights_memory
    if source is not None:
        name = prediction.machine.resolve(f"memories.{source}.capacity").split(".")[1]
    if name == main:
        raise input_error(
            f"{prediction.device} keeps weights in {main}, its main memory",
            "source",
            expected="another memory, or a level beside the device",
        )
    return channel_of(prediction, name), ()
