"""Cuts of a network, and what each costs on both sides and on the link: arrays over cuts.

A cut is the set of stages that the device runs; whatever one of them reads is made by one of them.
Its latency at a rate is a line in ``1 / rate``: seconds of both parts, of conversions and of empty
messages, plus bytes over the rate (Kang et al., "Neurosurgeon", ASPLOS 2017; for graphs Hu et al.,
"Dynamic adaptive DNN surgery", INFOCOM 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.capacity import Violation, demands, fits, violations
from perfmodel.cost.energy import run_energy
from perfmodel.system.split.stages import SplitStageCosts, StageActivation, Stages

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: Vector operations to convert an element: a scale and a rounding, or a scale and a shift.
CONVERSION_OPS = 2.0
#: Keys of totals that memories are compared with.
_HELD = ("weight_bytes", "kv_bytes", "activation_bytes")


@dataclass(frozen=True, slots=True)
class SplitLink:
    """The link as numbers; `down_bytes_per_s` is None where it follows the rate of the other way.

    Attributes
    ----------
    bits
        Of an element on the link; None for the format that the device computes in.
    input_bytes
        Of everything that enters the network, as it is sent (a JPEG, say); None for its elements.
    """

    efficiency: float = 1.0
    latency_s: float = 0.0
    down_bytes_per_s: float | None = None
    power_up_w: float = 0.0
    power_down_w: float = 0.0
    up_j_per_byte: float = 0.0
    down_j_per_byte: float = 0.0
    bits: float | None = None
    input_bytes: float | None = None

    def size(
        self, flow: StageActivation, stages: Stages, device: SplitStageCosts, inputs: float
    ) -> float:
        """Return bytes of a tensor on the link.

        Parameters
        ----------
        inputs
            Bytes of all inputs of the network in the device's formats.
        """
        own = device.bytes_of(stages.graph, flow.tensor, flow.elements)
        if flow.maker < 0 and self.input_bytes is not None:
            return self.input_bytes * own / inputs
        return own if flow.fixed or self.bits is None else flow.elements * self.bits / 8.0

    def converts(self, flow: StageActivation) -> bool:
        """Whether a tensor is converted before it is sent, and back."""
        sent_as_it_is = flow.maker < 0 and self.input_bytes is not None
        return self.bits is not None and not flow.fixed and not sent_as_it_is


@dataclass(frozen=True)
class CutTable:
    """Cuts and what they cost; every array has the shape ``(cuts,)``.

    Attributes
    ----------
    local
        Whether the device runs a stage, ``(cuts, stages)``.
    device_s, server_s
        Seconds of each part, conversions included.
    up_bytes, down_bytes
        Over the link.
    crossing
        Tensors that go up, of each cut.
    device_j, server_j
        Joule of each part while it computes; NaN where unknown.
    device_bytes, server_bytes
        What each side's memories must hold.
    fits
        Whether they do.
    """

    local: Bools
    device_s: Floats
    server_s: Floats
    up_bytes: Floats
    down_bytes: Floats
    crossing: tuple[tuple[str, ...], ...]
    device_j: Floats
    server_j: Floats
    device_bytes: Floats
    server_bytes: Floats
    fits: Bools

    @property
    def count(self) -> int:
        """Number of cuts."""
        return len(self.local)

    @property
    def split(self) -> Bools:
        """Whether the server runs anything."""
        anywhere: Bools = np.logical_not(np.all(self.local, axis=1))
        return anywhere


def prefixes(stages: Stages) -> list[int]:
    """Return the cuts along the order of execution, as sets of bits: none, the first, ... all."""
    return [(1 << k) - 1 for k in range(stages.count + 1)]


def every_cut(stages: Stages, most: int) -> list[int] | None:
    """Return every cut as a set of bits, smallest first; None where there are more than `most`."""
    before = [sum(1 << b for b in earlier_stages) for earlier_stages in stages.before()]
    after: list[list[int]] = [[] for _ in before]
    for stage, earlier_stages in enumerate(stages.before()):
        for earlier in earlier_stages:
            after[earlier].append(stage)
    ready = sum(1 << stage for stage, needs in enumerate(before) if not needs)
    seen = {0}
    layer = [(0, ready)]
    out = [0]
    while layer:
        following: list[tuple[int, int]] = []
        for cut, ready in layer:
            left = ready
            while left:
                bit = left & -left
                left ^= bit
                larger = cut | bit
                if larger in seen:
                    continue
                seen.add(larger)
                if len(seen) > most:
                    return None
                opened = sum(1 << s for s in after[bit.bit_length() - 1] if not before[s] & ~larger)
                following.append((larger, ready ^ bit | opened))
        out += [cut for cut, _ in following]
        layer = following
    return out


def evaluate(
    stages: Stages,
    device: SplitStageCosts,
    server: SplitStageCosts,
    channel: SplitLink,
    bits: Sequence[int],
) -> CutTable:
    """Return what cuts cost, all at once.

    Parameters
    ----------
    bits
        Each a set of bits: the stages that the device runs.
    """
    local: Bools = np.array([[bool(cut >> s & 1) for s in range(stages.count)] for cut in bits])
    ones = local.astype(np.float64)
    up, down, converted, crossing = _crossings(stages, device, channel, local)
    conversions = [CONVERSION_OPS * converted / side.vector_ops_per_s for side in (device, server)]
    device_s = ones @ device.seconds + conversions[0]
    server_s = (1.0 - ones) @ server.seconds + conversions[1]
    device_s = device_s + device.once_s * local.any(axis=1)
    server_s = server_s + server.once_s * ~local.all(axis=1)
    stored = [
        _held(stages, device, local, device=True),
        _held(stages, server, ~local, device=False),
    ]
    good: Bools = np.ones(len(local), dtype=np.bool_)
    sizes: list[Floats] = []
    joules: list[Floats] = []
    for side, part, seconds, totals in zip(
        (device, server), (ones, 1.0 - ones), (device_s, server_s), stored, strict=True
    ):
        idle = part.sum(axis=1) == 0.0
        good = good & (np.asarray(fits(totals, side.setting)) | idle)
        everything: Value = sum(demands(totals, side.setting).values())
        sizes.append(np.where(idle, 0.0, everything))
        joules.append(np.where(idle, 0.0, _joule(side, part, seconds)))
    return CutTable(
        local,
        device_s,
        server_s,
        up,
        down,
        crossing,
        joules[0],
        joules[1],
        sizes[0],
        sizes[1],
        good,
    )


def _crossings(
    stages: Stages, device: SplitStageCosts, channel: SplitLink, local: Bools
) -> tuple[Floats, Floats, Floats, tuple[tuple[str, ...], ...]]:
    """Return bytes up and down, elements converted, and names of what goes up."""
    n = len(local)
    up, down, converted = np.zeros(n), np.zeros(n), np.zeros(n)
    names: list[list[str]] = [[] for _ in range(n)]
    inputs = input_bytes(stages, device)
    for flow in stages.flows:
        here = np.ones(n, dtype=np.bool_) if flow.maker < 0 else local[:, flow.maker]
        size = channel.size(flow, stages, device, inputs)
        elements = flow.elements if channel.converts(flow) else 0.0
        if flow.readers:
            crosses = here & ~local[:, flow.readers].all(axis=1)
            up += size * crosses
            converted += elements * crosses
            for cut in np.flatnonzero(crosses).tolist():
                names[cut].append(flow.tensor)
        if flow.wanted:
            down += size * ~here
            converted += elements * ~here
    return up, down, converted, tuple(map(tuple, names))


def input_bytes(stages: Stages, device: SplitStageCosts) -> float:
    """Return bytes of all inputs of the network in the device's formats."""
    return sum(
        device.bytes_of(stages.graph, f.tensor, f.elements) for f in stages.flows if f.maker < 0
    )


def _joule(side: SplitStageCosts, part: Floats, seconds: Floats) -> Floats:
    """Return the joule of each part, as those of a run (`perfmodel.cost.energy`)."""
    totals: dict[str, Value] = {name: part @ each for name, each in side.totals.items()}
    spent = run_energy({"latency_s": seconds, **totals}, side.setting, side.priced).joule
    unknown: Floats = np.full(len(seconds), np.nan)
    return unknown if spent is None else np.asarray(spent, dtype=np.float64)


def _held(stages: Stages, side: SplitStageCosts, local: Bools, *, device: bool) -> dict[str, Value]:
    """Return the totals that memories are compared with, of the part that a side runs.

    What it received is there from its first stage on, what it sends until its last.
    """
    n = len(local)
    out: dict[str, Value] = {}
    for key, users_of in (("weight_bytes", stages.weights), ("kv_bytes", stages.caches)):
        total = np.zeros(n)
        for name, (touched, elements) in users_of.items():
            total += side.bytes_of(stages.graph, name, elements) * local[:, touched].any(axis=1)
        out[key] = total
    live, peak = np.zeros(n), np.zeros(n)
    written: list[list[tuple[StageActivation, float]]] = [[] for _ in range(stages.count)]
    read: list[list[tuple[StageActivation, float]]] = [[] for _ in range(stages.count)]
    for flow in stages.flows:
        size = side.bytes_of(stages.graph, flow.tensor, flow.elements)
        if flow.maker >= 0:
            written[flow.maker].append((flow, size))
        for reader in flow.readers:
            read[reader].append((flow, size))
        if flow.readers:
            here = local[:, flow.readers].any(axis=1)
            if flow.maker < 0:
                # The device has the input; the server gets it with the rest.
                live += size * (here | device)
            else:
                live += size * (here & ~local[:, flow.maker])
    for stage in range(stages.count):
        runs = local[:, stage]
        for _, size in written[stage]:
            live += size * runs
        peak = np.where(runs, np.maximum(peak, live), peak)
        for flow, size in (*read[stage], *((f, s) for f, s in written[stage] if not f.readers)):
            later = [r for r in flow.readers if r > stage]
            mine = local[:, later].any(axis=1) if later else np.zeros(n, dtype=np.bool_)
            crosses = ~local[:, flow.readers].all(axis=1) if flow.readers else mine
            # The device keeps what it has still to send, each side what the run is to give.
            sends = crosses if device else np.zeros(n, dtype=np.bool_)
            live -= size * (runs & ~mine & ~sends & (not flow.wanted))
    out["activation_bytes"] = peak
    return out


def broken(
    cuts: CutTable, stages: Stages, device: SplitStageCosts, server: SplitStageCosts, at: int
) -> list[Violation]:
    """Return the limits that a cut exceeds, of both sides."""
    local = cuts.local[at : at + 1]
    exceeded: list[Violation] = []
    for side, mine, first in ((device, local, True), (server, ~local, False)):
        if mine.any():
            totals = _held(stages, side, mine, device=first)
            one: Mapping[str, Value] = {key: totals[key] for key in _HELD}
            exceeded += violations(one, side.setting, side.prediction.workload.parameters)
    return exceeded
