"""Cuts of a network, with their costs on both sides and on the link as arrays over cuts.

A cut is a set of stages that the device runs, closed under predecessors: every input of a stage in
the set is computed in it. Its latency is linear in ``1 / rate``: seconds of both parts, of
conversions and of empty messages, plus bytes over the rate (Kang et al., "Neurosurgeon", ASPLOS
2017; for graphs Hu et al., "Dynamic adaptive DNN surgery", INFOCOM 2019).
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
#: Keys of totals that are compared with memory capacities.
_TOTALS = ("weight_bytes", "kv_bytes", "activation_bytes")


@dataclass(frozen=True, slots=True)
class SplitLink:
    """Parameters of the link; `down_bytes_per_s` is None if it equals the rate upwards.

    Attributes
    ----------
    has_radio
        Whether anything is known of what sending and receiving draw.
    radio_class
        Class of links that gives it, where the link states nothing itself.
    bits
        Bits per element on the link; None for the format in which the device computes.
    input_bytes
        Bytes of all network inputs as they are sent (e.g. as JPEG); None for their elements.
    """

    efficiency: float = 1.0
    latency_s: float = 0.0
    down_bytes_per_s: float | None = None
    power_up_w: float = 0.0
    power_down_w: float = 0.0
    up_j_per_byte: float = 0.0
    down_j_per_byte: float = 0.0
    tail_w: float = 0.0
    tail_s: float = 0.0
    wake_w: float = 0.0
    wake_s: float = 0.0
    sleep_w: float = 0.0
    network_j_per_byte: float = 0.0
    has_radio: bool = False
    radio_class: str = ""
    bits: float | None = None
    input_bytes: float | None = None

    def size(
        self, flow: StageActivation, stages: Stages, device: SplitStageCosts, inputs: float
    ) -> float:
        """Return the bytes of a tensor on the link.

        Parameters
        ----------
        inputs
            Bytes of all network inputs in the device's formats.
        """
        own = device.bytes_of(stages.graph, flow.tensor, flow.elements)
        if flow.maker < 0 and self.input_bytes is not None:
            return self.input_bytes * own / inputs
        return own if flow.fixed or self.bits is None else flow.elements * self.bits / 8.0

    def converts(self, flow: StageActivation) -> bool:
        """Return whether a tensor is converted before it is sent, and back."""
        sent_as_it_is = flow.maker < 0 and self.input_bytes is not None
        return self.bits is not None and not flow.fixed and not sent_as_it_is


@dataclass(frozen=True)
class CutTable:
    """Cuts with their costs; every array has the shape ``(cuts,)``.

    Attributes
    ----------
    local
        Whether the device runs each stage, ``(cuts, stages)``.
    device_s, server_s
        Seconds of each part, including conversions.
    up_bytes, down_bytes
        Bytes over the link in each direction.
    crossing
        Names of the tensors sent upwards, for each cut.
    device_j, server_j
        Joules of each part while it computes; NaN if unknown.
    device_bytes, server_bytes
        Bytes required in the memories of each side.
    fits
        Whether these bytes fit on both sides.
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
        """Whether the server runs any stage."""
        anywhere: Bools = np.logical_not(np.all(self.local, axis=1))
        return anywhere


def prefixes(stages: Stages) -> list[int]:
    """Return the cuts along the execution order as bit sets: none, the first stage, ..., all."""
    return [(1 << k) - 1 for k in range(stages.count + 1)]


def every_cut(stages: Stages, most: int) -> list[int] | None:
    """Return every cut as a bit set, smallest first; None if there are more than `most`."""
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
    """Return the costs of all given cuts.

    Parameters
    ----------
    bits
        Cuts, each as the bit set of the stages that the device runs.
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
        _totals(stages, device, local, device=True),
        _totals(stages, server, ~local, device=False),
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


def latency_lines(cuts: CutTable, channel: SplitLink) -> tuple[Floats, Floats]:
    """Return seconds of each cut at infinite rate, and bytes, as coefficients of its latency.

    ``latency_s = level + slope / rate``
    """
    up, fixed, follows, messages = on_link(cuts, channel)
    return cuts.device_s + cuts.server_s + messages + fixed, up + follows


def on_link(cuts: CutTable, channel: SplitLink) -> tuple[Floats, Floats, Floats, Floats]:
    """Return bytes up, seconds down at a fixed rate, bytes down otherwise, empty messages."""
    up, down = cuts.up_bytes / channel.efficiency, cuts.down_bytes / channel.efficiency
    messages = channel.latency_s * ((up > 0).astype(float) + (down > 0))
    if channel.down_bytes_per_s is None:
        return up, np.zeros(cuts.count), down, messages
    return up, down / channel.down_bytes_per_s, np.zeros(cuts.count), messages


def _crossings(
    stages: Stages, device: SplitStageCosts, channel: SplitLink, local: Bools
) -> tuple[Floats, Floats, Floats, tuple[tuple[str, ...], ...]]:
    """Return bytes up and down, converted elements, and names of the tensors sent upwards."""
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
    """Return the bytes of all network inputs in the device's formats."""
    return sum(
        device.bytes_of(stages.graph, f.tensor, f.elements) for f in stages.flows if f.maker < 0
    )


def _joule(side: SplitStageCosts, part: Floats, seconds: Floats) -> Floats:
    """Return the joules of each part, by the energy model of a run (`perfmodel.cost.energy`)."""
    totals: dict[str, Value] = {name: part @ each for name, each in side.totals.items()}
    spent = run_energy({"latency_s": seconds, **totals}, side.setting, side.priced).joule
    unknown: Floats = np.full(len(seconds), np.nan)
    return unknown if spent is None else np.asarray(spent, dtype=np.float64)


def _totals(
    stages: Stages, side: SplitStageCosts, local: Bools, *, device: bool
) -> dict[str, Value]:
    """Return the totals of one side's part that are compared with memory capacities.

    Received tensors are live from the first stage of the part, sent ones until its last stage.
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
                # The device has the input from the start; the server receives it with the other
                # tensors.
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
            needed = local[:, later].any(axis=1) if later else np.zeros(n, dtype=np.bool_)
            crosses = ~local[:, flow.readers].all(axis=1) if flow.readers else needed
            # The device keeps tensors until they are sent, each side the outputs of the run.
            sends = crosses if device else np.zeros(n, dtype=np.bool_)
            live -= size * (runs & ~needed & ~sends & (not flow.wanted))
    out["activation_bytes"] = peak
    return out


def broken(
    cuts: CutTable, stages: Stages, device: SplitStageCosts, server: SplitStageCosts, at: int
) -> list[Violation]:
    """Return the memory limits that a cut exceeds, on both sides."""
    local = cuts.local[at : at + 1]
    exceeded: list[Violation] = []
    for side, part, first in ((device, local, True), (server, ~local, False)):
        if part.any():
            totals = _totals(stages, side, part, device=first)
            one: Mapping[str, Value] = {key: totals[key] for key in _TOTALS}
            exceeded += violations(one, side.setting, side.prediction.workload.parameters)
    return exceeded
