"""What caches and pipelines say of experts that a phone streams from its storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.schedule.place import (
    Geometric,
    Popularity,
    cycle_hit_rates,
    visit_probabilities,
)
from perfmodel.schedule.stream import Load, StreamChannel, channel_of, pipeline

_MIB: Final = 2.0**20
#: Qwen3-30B-A3B: layers, experts, and MiB that a token of eight experts reads without a cache.
LAYERS, EXPERTS, WHOLE_MIB = 48, 128, 1050.75
#: Millions of weights of a layer's attention, of an expert and of the head: how seconds are spread.
ATTENTION, EXPERT, HEAD = 18.87, 4.718, 311.0
#: MiB of an expert in the trace of the routing; share of the visits that the six hottest get.
TRACE_EXPERT_MIB, HOTTEST_SIX = 2.72, 0.376
#: Tokens of the trace.
TRACE_TOKENS = 128
#: gpt-oss-120b: layers, width of its square matrices (three an expert), bits of a weight.
OSS_LAYERS, OSS_WIDTH, OSS_BITS = 36, 2880, 4.25

#: Run -> (seconds of computing, MiB read a token, experts a token, lanes, overlapped).
RUNS: Final = {
    "stream": (0.122776, 1050.75, 8, 4, False),
    "c2000_l2": (0.187133, 480.381, 8, 2, False),
    "c4000_l4": (0.160795, 224.646, 8, 4, False),
    "base_ov": (0.109878, 224.573, 8, 4, True),
    "stream_ov": (0.412086, 1050.75, 8, 4, True),
    "k6": (0.089547, 137.554, 6, 4, True),
}
TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class Geometry:
    """A mixture of experts: its layers, bytes of an expert, and how seconds of computing spread.

    `attention`, `expert` and `head` are weights of a layer's attention, of one expert and of the
    head, in any unit.
    """

    layers: int
    expert_bytes: float
    attention: float
    expert: float
    head: float


QWEN: Final = Geometry(LAYERS, WHOLE_MIB * _MIB / (LAYERS * 8), ATTENTION, EXPERT, HEAD)


def wall_s(
    channel: StreamChannel,
    compute: float,
    mib: float,
    experts: int,
    overlapped: bool,
    geometry: Geometry = QWEN,
) -> float:
    """Return seconds of a token: attention, then experts, at once or matrix by matrix."""
    random = np.random.default_rng(0)
    g, expert_bytes = geometry, geometry.expert_bytes
    missing = min(1.0, mib * _MIB / (g.layers * experts * expert_bytes))
    weights = g.layers * (g.attention + g.expert * experts) + g.head
    before, each, head = (compute * part / weights for part in (g.attention, g.expert, g.head))
    items: list[Load] = []
    for _ in range(TOKENS):
        for _ in range(g.layers):
            count = int(random.binomial(experts, missing))
            start = len(items)
            items.append(Load("attention", 0.0, before))
            seconds = channel.seconds(count * expert_bytes, 3.0 * count)
            # One matrix of all experts at a time, as llama.cpp computes them.
            parts = 3 if overlapped else 1
            part = Load("matrix", seconds / parts, each * experts / parts, after=start)
            items += [part] * parts
        items.append(Load("head", 0.0, head))
    return pipeline(items, slots=3).makespan_s / TOKENS


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    device = pm.hardware("ufs_4_phone")
    model = pm.workload("qwen3_30b_a3b", phase="decode")
    channel = channel_of(pm.predict(model, device, precision="w4a16"), "storage")
    out: dict[str, float] = {}
    for name, (compute, mib, experts, lanes, overlapped) in RUNS.items():
        fitting = replace(channel, depth=float(lanes))
        out[f"wall_{name}"] = 1e3 * wall_s(fitting, compute, mib, experts, overlapped)
    out |= _caches()
    expert = 3 * OSS_WIDTH**2 * OSS_BITS / 8.0 / _MIB
    for visits in (2, 4):
        out[f"cycle_{visits}"] = OSS_LAYERS * visits * expert
    even = visit_probabilities(EXPERTS, 4)
    hit = cycle_hit_rates(even, np.full(EXPERTS, expert), np.full(EXPERTS, 36.0), 1500.0)
    out["hit_below_cycle"] = float(hit @ even) / 4
    return out


def _caches() -> dict[str, float]:
    """Return hit rates under independent visits, of laws that have as hot a top six."""
    exponent = _with_hottest(lambda value: value)
    rate = _with_hottest(Geometric)
    zipf, geometric = (visit_probabilities(EXPERTS, 6, law) for law in (exponent, Geometric(rate)))
    out = {
        "hit_qwen_3000_zipf": _hit(zipf, TRACE_EXPERT_MIB, 3000.0),
        "hit_qwen_3000": _hit(geometric, TRACE_EXPERT_MIB, 3000.0),
        "touched_qwen_zipf": float(np.sum(1.0 - (1.0 - zipf) ** TRACE_TOKENS)),
        "touched_qwen": float(np.sum(1.0 - (1.0 - geometric) ** TRACE_TOKENS)),
        "repeated_qwen": float(geometric @ geometric) / 6,
        "hottest_eight_qwen": float(geometric[:8].sum()) / 6,
    }
    each = WHOLE_MIB / (LAYERS * 8)
    for experts, mib in ((8, 2000), (8, 4000), (8, 5000), (6, 4000)):
        chance = visit_probabilities(EXPERTS, experts, Geometric(rate))
        out[f"hit_{experts}_of_{mib}"] = _hit(chance, each, float(mib))
    return out


def _with_hottest(law: Callable[[float], Popularity]) -> float:
    """Return the constant of a law that gives its six hottest the published share."""
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        hot = float(visit_probabilities(EXPERTS, 6, law(middle))[:6].sum()) / 6
        low, high = (middle, high) if hot < HOTTEST_SIX else (low, middle)
    return low


def hit_rate(experts: int, mib: float) -> float:
    """Return the share of the visits of Qwen3-30B-A3B that a cache serves.

    By the geometric law of the trace of one text.

    Parameters
    ----------
    experts
        That a token visits of a layer.
    mib
        Of the cache.
    """
    chance = visit_probabilities(EXPERTS, experts, Geometric(_with_hottest(Geometric)))
    return _hit(chance, QWEN.expert_bytes / _MIB, mib)


def _hit(chance: npt.NDArray[np.float64], expert_mib: float, mib: float) -> float:
    """Return the share of the visits that a cache of all layers serves."""
    sizes, copies = np.full(EXPERTS, expert_mib), np.full(EXPERTS, float(LAYERS))
    return float(cycle_hit_rates(chance, sizes, copies, mib) @ chance) / float(chance.sum())
