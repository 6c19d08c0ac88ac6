"""What `stream` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.cost.capacity import Violation
from perfmodel.prediction import Prediction
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
        The prediction that bytes and seconds on the engine are from.
    channel
        Where weights come from.
    layers
        What a run goes through.
    placement
        What stays in main memory beside the buffer, and what is streamed.
    depth, buffer_bytes
        Loads that the buffer holds, and its bytes.
    runs
        Runs that were simulated; the first of them warms up.
    timeline
        All loads and computations of these runs.
    run_s
        Seconds of a run in the steady state.
    io_s, compute_s
        Seconds of a run on the channel and on the engine.
    streamed_bytes
        That a run brings over the channel.
    hit_fraction
        Share of the visits of experts that main memory serves; 1 without experts.
    wasted_bytes
        That a run brings on wrong guesses.
    violations
        Why it cannot run so: demand, bound, gap and levers.

    Its plot: ``timeline()``.
    """

    noun = "stream"

    prediction: Prediction
    channel: StreamChannel
    layers: tuple[PipelineLayer, ...]
    placement: PlacementResult
    depth: int
    buffer_bytes: float
    runs: int
    timeline: StreamTimeline | None
    run_s: float
    io_s: float
    compute_s: float
    streamed_bytes: float
    hit_fraction: float
    wasted_bytes: float = 0.0
    violations: tuple[Violation, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether buffer, caches and what must stay have room."""
        return not self.violations

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return self.feasible or self.placement.feasible or self.placement.proved

    @property
    def bubble_s(self) -> float:
        """Seconds of a run in which the engine waits for weights."""
        return max(0.0, self.run_s - self.compute_s)

    @property
    def serial_s(self) -> float:
        """Seconds of a run without any overlap."""
        return self.io_s + self.compute_s

    @property
    def bound_s(self) -> float:
        """Seconds that no order and no buffer undercut: the busier of channel and engine."""
        return max(self.io_s, self.compute_s)

    @property
    def hidden_fraction(self) -> float:
        """Share of the channel's seconds that computing hides."""
        return 1.0 - self.bubble_s / self.io_s if self.io_s else 1.0

    @property
    def resident_bytes(self) -> float:
        """Weights and caches that stay in main memory, caches of experts included."""
        used, name = self.placement.used_bytes, self.channel.name
        cached = sum(self.placement.cache_bytes.values())
        return sum(v for level, v in used.items() if level != name) + cached

    @property
    def working_set_bytes(self) -> float:
        """What main memory must hold: what stays, the buffer, and activations."""
        return self.resident_bytes + self.buffer_bytes + float(self.prediction.activation_bytes)

    @property
    def items_per_s(self) -> float:
        """Tokens (frames, runs) a second."""
        return float(self.prediction.workload.items()) / self.run_s

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second; ``None`` for a workload that yields none."""
        return self.items_per_s if self.prediction.workload.unit == "tokens" else None

    @property
    def energy_j(self) -> float:
        """Joule of a run on the channel; NaN where the device does not say."""
        return self.streamed_bytes * self.channel.energy_j_per_byte

    @property
    def device_energy_j(self) -> float:
        """Joule of a run within the device's boundary, what is read from the channel included.

        Its mean power while it computes, its idle power while it waits for loads. NaN where the
        device states no power at idle: a device that streams mostly waits.
        """
        p = self.prediction
        idle = p.machine.facts.get("power.idle")
        if idle is None:
            return float("nan")
        waits = max(self.run_s - self.compute_s, 0.0)
        busy = float(np.asarray(p.power_w)) * self.compute_s + float(idle) * waits
        return busy + (self.energy_j if math.isfinite(self.energy_j) else 0.0)

    @cached_property
    def table(self) -> Table:
        """One row for each item of the timeline, in the order of loading."""
        none = np.zeros(0)
        line = self.timeline or StreamTimeline((), (), none, none, none, none, none, 0.0)
        return line.table

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
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
        """What runs where, and where its weights come from."""
        p = self.prediction
        head = f"{p.workload.name} on {p.device}, {p.precision}, from {self.channel.name}"
        return head if self.feasible else f"{head}: does not fit"

    def cautions(self) -> list[str]:
        """Return why it cannot run so."""
        return [str(violation) for violation in self.violations]

    def glance(self) -> list[tuple[str, str]]:
        """Return rate, seconds on engine and channel, what is hidden, memory and energy."""
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
            rows.append(("energy", show(self.device_energy_j, "energy")))
        elif math.isfinite(self.energy_j):
            rows.append(("energy", f"{show(self.energy_j, 'energy')} for reading alone"))
        if any(layer.experts for layer in self.layers):
            rows.append(("expert hits", f"{100 * self.hit_fraction:.3g} %"))
        return rows
