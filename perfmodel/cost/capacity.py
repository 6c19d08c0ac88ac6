"""Does it fit: demand against capacity, as data with levers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.cost.setting import Setting
from perfmodel.units import show


@dataclass(frozen=True, slots=True)
class Violation:
    """A limit that is exceeded.

    Attributes
    ----------
    limit
        Which: ``memories.main.capacity`` or ``engines.x.peaks``.
    demand, bound, gap
        Bytes needed, bytes there, and the difference (0 for a format that is missing).
    levers
        What would mend it, as sentences with numbers.
    """

    limit: str
    demand: float
    bound: float
    gap: float
    levers: tuple[str, ...]
    message: str = ""

    def __str__(self) -> str:
        return self.message + ("; " + "; or ".join(self.levers) if self.levers else "")


def demands(totals: Mapping[str, Value], setting: Setting) -> dict[str, Value]:
    """Return memory -> bytes it must hold.

    Weights and caches that a plan places (``placed weight MEMORY`` and ``placed kv MEMORY`` of the
    totals) lie there, the others where they are by default. A schedule's memory (``planned
    MEMORY``) holds at least what the schedule has in it at once. A library's code (``code`` of the
    runtime, where it says) lies beside the weights.
    """
    main = setting.levels[-1]
    held = {main: totals["activation_bytes"]}
    for role, home in (("kv", main), ("weight", setting.weights_memory)):
        rest = totals[f"{role}_bytes"]
        placed = _by_memory(totals, f"placed {role} ")
        for memory, size in placed.items():
            held[memory] = held.get(memory, 0.0) + size
            rest = rest - size
        # A part in 10**16 may be left of what is placed whole.
        rest = setting.xp.maximum(rest, 0.0) if placed else rest
        held[home] = held.get(home, 0.0) + rest
    if "runtime.code" in setting.facts:
        # Beside the weights, as a library and a network are linked into one image.
        home = setting.weights_memory
        held[home] = held[home] + setting.facts["runtime.code"]
    for memory, size in _by_memory(totals, "planned ").items():
        if f"memories.{memory}.capacity" in setting.facts:
            held[memory] = setting.xp.maximum(held.get(memory, 0.0), size)
    return held


def _by_memory(totals: Mapping[str, Value], head: str) -> dict[str, Value]:
    """Return memory -> bytes of the totals whose key begins so."""
    return {key[len(head) :]: size for key, size in totals.items() if key.startswith(head)}


def usable(setting: Setting, memory: str) -> Value:
    """Return capacity less what is reserved, bytes, of all devices that layers are split over."""
    room = setting.facts[f"memories.{memory}.capacity"] - setting.fact(
        f"memories.{memory}.reserved", 0.0
    )
    return room * setting.fact("runtime.split", 1.0)


def resources(totals: Mapping[str, Value], setting: Setting) -> dict[str, tuple[Value, Value]]:
    """Return resource of the engine -> (how much the network takes, how much there is)."""
    head = f"engines.{setting.engine_name}."
    return {
        name: (used, setting.facts[head + name])
        for name, used in _by_memory(totals, "resource ").items()
        if head + name in setting.facts
    }


def fits(totals: Mapping[str, Value], setting: Setting) -> Value:
    """Return whether every memory holds its demand and the engine has what it takes.

    ``(points,)`` or one boolean.
    """
    good: Value = True
    for memory, demand in demands(totals, setting).items():
        good = good & (demand <= usable(setting, memory))
    for used, there in resources(totals, setting).values():
        good = good & (used <= there)
    return good


def violations(
    totals: Mapping[str, Value], setting: Setting, parameters: Mapping[str, Value]
) -> list[Violation]:
    """Return the exceeded limits of one point."""
    out: list[Violation] = []
    for memory, demand in demands(totals, setting).items():
        need = first_number(demand)
        bound = first_number(usable(setting, memory))
        if need <= bound:
            continue
        gap = need - bound
        levers = _levers(totals, setting, memory, need, bound, parameters)
        asked, there = show(need, "bytes"), show(bound, "bytes")
        if asked == there:
            asked, there = (show(size, "bytes", digits=None) for size in (need, bound))
        message = f"{memory} must hold {asked} and has {there}: {show(gap, 'bytes')} too much"
        out.append(Violation(f"memories.{memory}.capacity", need, bound, gap, levers, message))
    return out + _scarce(totals, setting)


def _scarce(totals: Mapping[str, Value], setting: Setting) -> list[Violation]:
    """Return the resources of the engine that are exceeded, the scarcest first."""
    out: list[Violation] = []
    for name, (used, there) in resources(totals, setting).items():
        need, bound = (first_number(v) for v in (used, there))
        if need <= bound:
            continue
        ratio = (
            f"{need / bound:{'.3g' if need < 1e3 * bound else '.0f'}} times" if bound else "none of"
        )
        message = f"the design takes {need:.0f} {name.upper()}, {ratio} the part's {bound:.0f}"
        levers = (
            *_folded(setting, name, need / max(bound, 1.0)),
            f"a part with {need:.0f} {name.upper()}",
        )
        out.append(
            Violation(
                f"engines.{setting.engine_name}.{name}", need, bound, need - bound, levers, message
            )
        )
    return sorted(out, key=lambda v: v.demand / max(v.bound, 1e-9), reverse=True)


def _folded(setting: Setting, name: str, excess: float) -> tuple[str, ...]:
    """Return levers of a design of layers side by side: more turns, weights in memory blocks."""
    path = f"engines.{setting.engine_name}.design.reuse_factor"
    if path not in setting.facts:
        return ()
    if name == "dsp":
        now = first_number(setting.facts[path])
        return (f"{path} of {now * math.ceil(excess):g} or more",)
    if name in ("lut", "ff") and setting.choices.get("design.strategy") == "latency":
        return ("weights in memory blocks (design.strategy: resource)",)
    return ()


def _levers(
    totals: Mapping[str, Value],
    setting: Setting,
    memory: str,
    need: float,
    bound: float,
    parameters: Mapping[str, Value],
) -> tuple[str, ...]:
    def number(key: str) -> float:
        return first_number(totals[key])

    weights, kv, acts = number("weight_bytes"), number("kv_bytes"), number("activation_bytes")
    out: list[str] = []
    holds_weights = setting.weights_memory == memory
    rest = need - weights if holds_weights else need
    if holds_weights and rest < bound and weights > 0:
        bits = first_number(setting.precision.weights.bits)
        out.append(f"weights of at most {bits * (bound - rest) / weights:.3g} bits")
    fixed = need - kv
    if kv > 0 and fixed < bound:
        share = (bound - fixed) / kv
        for name in ("context", "prompt", "batch"):
            value = parameters.get(name)
            if value is not None and np.ndim(value) == 0 and float(value) * share >= 1:
                out.append(f"{name} of at most {int(float(value) * share)}")
                break
    elif acts > 0 and need - acts < bound and not kv:
        out.append(f"activations of at most {show(bound - (need - acts), 'bytes')}")
    article = "an" if memory[0] in "aeio" else "a"
    out.append(f"{article} {memory} of {show(need, 'bytes')}")
    return tuple(out)


def holds(memory: str, setting: Setting, totals: Mapping[str, Value]) -> list[str]:
    """Return what lives in a memory: weights, KV cache, activations."""
    main = setting.levels[-1]
    placed = {key for key in totals if key.startswith("placed ")}
    weights = f"placed weight {memory}" in placed or memory == setting.weights_memory
    cache = f"placed kv {memory}" in placed or memory == main
    held = {"weights": weights, "kv cache": cache, "activations": memory == main}
    return [what for what, there in held.items() if there]
