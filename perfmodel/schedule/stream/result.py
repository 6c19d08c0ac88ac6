"""Result of `stream`: rate, times, memory and energy of a workload with streamed weights.

The seconds are those of the steady state of the event model (`pipeline.py`), without the first run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.cost.capacity import Violation
from perfmodel.cost.energy import static_power_w
from perfmodel.optimise.certified import Certified
from perfmodel.prediction import Prediction
from perfmodel.prediction.stages import row_energies
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.stream.channel import StreamChannel
from perfmodel.schedule.stream.layers import PipelineLayer
from perfmodel.schedule.stream.pipeline import StreamTimeline
from perfmodel.table import Result, Table, plain
from perfmodel.units import show


@dataclass(frozen=True, repr=False)
class StreamResult(Result):
    """A workload whose weights are streamed from an outer memory while it runs.

    Attributes
    ----------
    prediction
        Prediction that provides bytes and seconds on the engine.
    channel
        Channel that weights come from.
    layers
        Layers of a run.
    placement
        Weights resident in main memory in addition to the buffer, and streamed ones.
    depth, buffer_bytes
        Capacity of the buffer in loads and in bytes.
    runs
        Number of simulated runs; the first one warms up.
    timeline
        All loads and computations of these runs.
    run_s
        Seconds per run in the steady state.
    io_s, compute_s
        Seconds per run on the channel and on the engine.
    streamed_bytes
        Bytes per run over the channel.
    hit_fraction
        Share of the expert visits served by main memory; 1 without experts.
    wasted_bytes
        Bytes per run loaded for wrong guesses.
    violations
        Reasons for infeasibility: demand, bound, gap and levers.

    Its plot: ``timeline()``.
    """

    noun = "stream"

    prediction: Prediction
    channel: StreamChannel
    layers: tuple[PipelineLayer, ...]
    placement: PlacementResult
    depth: int
    buffer_bytes: float
    runs: int = 0
    timeline: StreamTimeline | None = None
    run_s: float = math.inf
    io_s: float = 0.0
    compute_s: float = 0.0
    streamed_bytes: float = 0.0
    hit_fraction: float = 0.0
    wasted_bytes: float = 0.0
    violations: tuple[Violation, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether buffer, caches and weights that must be resident fit."""
        return not self.violations

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a placement fits, or it is proved that none fits."""
        return self.feasible or self.placement.feasible or self.placement.proved

    @property
    def bubble_s(self) -> float:
        """Seconds per run in which the engine waits for weights."""
        return max(0.0, self.run_s - self.compute_s)

    @property
    def serial_s(self) -> float:
        """Seconds per run without any overlap."""
        return self.io_s + self.compute_s

    @property
    def bound_s(self) -> float:
        """Lower bound on the seconds per run: those of the busier of channel and engine."""
        return max(self.io_s, self.compute_s)

    @property
    def answer(self) -> Certified[StreamTimeline]:
        """Seconds per run with their lower bound, as `Certified`.

        Runs count from the end of the first, so that loads ahead of that time may bring them
        slightly below `bound_s`.
        """
        return Certified(self.timeline, self.run_s, min(self.bound_s, self.run_s), "pipeline")

    @property
    def hidden_fraction(self) -> float:
        """Share of the channel's seconds that computing hides."""
        return 1.0 - self.bubble_s / self.io_s if self.io_s else 1.0

    @property
    def resident_bytes(self) -> float:
        """Bytes of weights and caches resident in main memory, including caches of experts."""
        used, name = self.placement.used_bytes, self.channel.name
        cached = sum(self.placement.cache_bytes.values())
        return sum(v for level, v in used.items() if level != name) + cached

    @property
    def working_set_bytes(self) -> float:
        """Bytes required in main memory: resident weights and caches, buffer, and activations."""
        return self.resident_bytes + self.buffer_bytes + float(self.prediction.activation_bytes)

    @property
    def items_per_s(self) -> float:
        """Items (tokens, frames, runs) per second."""
        return float(self.prediction.workload.items()) / self.run_s

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens per second; ``None`` for a workload that produces none."""
        return self.items_per_s if self.prediction.workload.unit == "tokens" else None

    @property
    def energy_j(self) -> float:
        """Joules per run on the channel; NaN if the device states no energy."""
        return self.streamed_bytes * self.channel.energy_j_per_byte

    @property
    def device_energy_j(self) -> float:
        """Joules per run within the device's boundary, including reads from the channel.

        ``power_w * compute_s + idle_w * max(run_s - compute_s, 0) + energy_j``

        Mean power while the device computes, without the channel's bytes, idle power while it waits
        for loads. NaN if nothing of its power at rest is known, as it mostly waits.
        """
        p = self.prediction
        idle = static_power_w(p.setting)
        if idle is None:
            return float("nan")
        waits = max(self.run_s - self.compute_s, 0.0)
        computing_j, channel_j = float(p.energy_j), 0.0
        if math.isfinite(self.energy_j):
            parts = row_energies(*p.opened, p.setting)
            own = np.asarray(parts.get(f"memory {self.channel.name}", 0.0), dtype=float)
            computing_j -= float(own.sum())
            channel_j = self.energy_j
        busy = computing_j / float(p.latency_s) * self.compute_s + float(idle) * waits
        return busy + channel_j

    @property
    def energy_model(self) -> str:
        """Model of the energy of a run on the engine, and what is added to it or left out."""
        channel = "bytes of the channel" if math.isfinite(self.energy_j) else ""
        added = ", ".join(filter(None, ("idle power while it waits", channel)))
        lacking = "" if channel else f"; bytes of {self.channel.name} not counted"
        return f"{self.prediction.energy_model}; with {added}{lacking}"

    @cached_property
    def table(self) -> Table:
        """One row per item of the timeline, in the order of loading."""
        none = np.zeros(0)
        timeline = self.timeline or StreamTimeline((), (), none, none, none, none, none, 0.0)
        return timeline.table

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON."""
        p = self.prediction
        out: dict[str, Any] = {
            "workload": p.workload.name,
            "device": p.machine.device.name,
            "runtime": p.machine.runtime.name,
            "precision": p.precision,
            "source": self.channel.name,
            "feasible": self.feasible,
            "depth": self.depth,
        }
        for name in (
            "tokens_per_s",
            "run_s",
            "compute_s",
            "io_s",
            "bubble_s",
            "serial_s",
            "bound_s",
            "hidden_fraction",
            "streamed_bytes",
            "wasted_bytes",
            "resident_bytes",
            "buffer_bytes",
            "working_set_bytes",
            "hit_fraction",
            "energy_j",
            "device_energy_j",
        ):
            out[name] = getattr(self, name)
        out |= {"energy_model": self.energy_model, "energy_boundary": p.energy_boundary}
        out["predicted_latency_s"] = float(p.latency_s)
        out["layers"] = [
            {
                "name": layer.name,
                "count": layer.count,
                "engine_s": layer.engine_s,
                "weight_bytes": sum(layer.tensors.values()) + layer.expert_bytes,
            }
            for layer in self.layers
        ]
        out["violations"] = self.violations
        return plain(out)

    @property
    def headline(self) -> str:
        """Workload, device, precision, and source of the weights."""
        p = self.prediction
        head = f"{p.workload.name} on {p.device}, {p.precision}, from {self.channel.name}"
        return head if self.feasible else f"{head}: does not fit"

    def cautions(self) -> list[str]:
        """Return the reasons for infeasibility."""
        return [str(violation) for violation in self.violations]

    def glance(self) -> list[tuple[str, str]]:
        """Return rate, seconds on engine and channel, hidden share, memory and energy."""
        if not self.feasible:
            return []
        share = 100 * self.bubble_s / self.run_s
        streamed, memory = show(self.streamed_bytes, "bytes"), show(self.working_set_bytes, "bytes")
        buffer, serial = show(self.buffer_bytes, "bytes"), show(self.serial_s, "time")
        rows = [
            ("run", show(self.run_s, "time")),
            ("engine", show(self.compute_s, "time")),
            ("channel", f"{show(self.io_s, 'time')} for {streamed}"),
            ("bubbles", f"{show(self.bubble_s, 'time')} ({share:.3g} %)"),
            ("hidden", f"{100 * self.hidden_fraction:.3g} % of the channel's time"),
            ("bound", f"{show(self.bound_s, 'time')} (without overlap {serial})"),
            ("memory", f"{memory}, of it a buffer of {buffer} for {self.depth} loads"),
        ]
        if self.tokens_per_s is not None:
            rows.insert(0, ("tokens/s", f"{self.tokens_per_s:.4g}"))
        if math.isfinite(self.device_energy_j):
            joule, boundary = show(self.device_energy_j, "energy"), self.prediction.energy_boundary
            rows.append(("energy", f"{joule} ({boundary})"))
        elif math.isfinite(self.energy_j):
            rows.append(("energy", f"{show(self.energy_j, 'energy')} for reading alone"))
        if any(layer.experts for layer in self.layers):
            rows.append(("expert hits", f"{100 * self.hit_fraction:.3g} %"))
        return rows
