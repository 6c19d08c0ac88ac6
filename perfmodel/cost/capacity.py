"""Capacity check: demand on memories and engine resources, violations, and remedies.

The bytes that must be stored in main memory are the peak of the activations, the KV cache and the
weights, unless a separate memory or a plan stores them; a network fits if no demand exceeds the
usable capacity ``(capacity - reserved) devices``. For a network that does not fit, each violation
names levers: the context, width of weights or capacity with which it would fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.cost.residency import usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.units import show


@dataclass(frozen=True, slots=True)
class Violation:
    """Exceeded limit of a device.

    Attributes
    ----------
    limit
        Path of the limit, such as ``memories.main.capacity`` or ``engines.x.peaks``.
    demand, bound, gap
        Bytes required, bytes available, and their difference (0 for a missing format).
    levers
        Possible remedies, as sentences with numbers.
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
    """Return a mapping from memory to the bytes that it must hold.

    Weights and caches placed by a plan (totals ``placed weight MEMORY`` and ``placed kv MEMORY``)
    count in that memory, all others in their default memory. The memory of a schedule (``planned
    MEMORY``) must hold at least the schedule's peak. The runtime's code size (``code``, if stated)
    is added to the memory that stores the weights.
    """
    main = setting.levels[-1]
    required = {main: totals["activation_bytes"]}
    for role, home in (("kv", main), ("weight", setting.weights_memory)):
        unplaced = totals[f"{role}_bytes"]
        placed = _by_memory(totals, f"placed {role} ")
        for memory, size in placed.items():
            required[memory] = required.get(memory, 0.0) + size
            unplaced = unplaced - size
        # Rounding may leave a relative 1e-16 of a tensor that is placed completely.
        unplaced = setting.xp.maximum(unplaced, 0.0) if placed else unplaced
        required[home] = required.get(home, 0.0) + unplaced
    if "runtime.code" in setting.facts:
        # Beside the weights, as a library and a network are linked into one image.
        home = setting.weights_memory
        required[home] = required[home] + setting.facts["runtime.code"]
    for memory, size in _by_memory(totals, "planned ").items():
        if f"memories.{memory}.capacity" in setting.facts:
            required[memory] = setting.xp.maximum(required.get(memory, 0.0), size)
    return required


def _by_memory(totals: Mapping[str, Value], head: str) -> dict[str, Value]:
    """Return a mapping from memory to bytes from the totals whose keys begin with a prefix."""
    return {key[len(head) :]: size for key, size in totals.items() if key.startswith(head)}


def usable(setting: Setting, memory: str) -> Value:
    """Return the usable capacity in bytes, without reserved parts, of all devices of a split."""
    return usable_capacity(setting, memory) * setting.fact("runtime.split", 1.0)


def resources(totals: Mapping[str, Value], setting: Setting) -> dict[str, tuple[Value, Value]]:
    """Return a mapping from engine resource to the amounts (required, available)."""
    head = f"engines.{setting.engine_name}."
    return {
        name: (used, setting.facts[head + name])
        for name, used in _by_memory(totals, "resource ").items()
        if head + name in setting.facts
    }


def fits(totals: Mapping[str, Value], setting: Setting) -> Value:
    """Return whether all demands on memories and engine resources are met.

    Returns
    -------
    bool or array
        One boolean, or shape ``(points,)``.
    """
    all_met: Value = True
    for memory, demand in demands(totals, setting).items():
        all_met = all_met & (demand <= usable(setting, memory))
    for used, available in resources(totals, setting).values():
        all_met = all_met & (used <= available)
    return all_met


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
        need_text, bound_text = show(need, "bytes"), show(bound, "bytes")
        if need_text == bound_text:
            need_text, bound_text = (show(size, "bytes", digits=None) for size in (need, bound))
        message = (
            f"{memory} must hold {need_text} and has {bound_text}: {show(gap, 'bytes')} too much"
        )
        out.append(Violation(f"memories.{memory}.capacity", need, bound, gap, levers, message))
    return out + _resource_violations(totals, setting)


def _resource_violations(totals: Mapping[str, Value], setting: Setting) -> list[Violation]:
    """Return the exceeded resources of the engine, the scarcest first."""
    out: list[Violation] = []
    for name, amounts in resources(totals, setting).items():
        need, bound = map(first_number, amounts)
        if need <= bound:
            continue
        ratio = (
            f"{need / bound:{'.3g' if need < 1e3 * bound else '.0f'}} times" if bound else "none of"
        )
        message = f"the design takes {need:.0f} {name.upper()}, {ratio} the part's {bound:.0f}"
        levers = (
            *_design_levers(setting, name, need / max(bound, 1.0)),
            f"a part with {need:.0f} {name.upper()}",
        )
        out.append(
            Violation(
                f"engines.{setting.engine_name}.{name}", need, bound, need - bound, levers, message
            )
        )
    return sorted(out, key=lambda v: v.demand / max(v.bound, 1e-9), reverse=True)


def _design_levers(setting: Setting, name: str, excess: float) -> tuple[str, ...]:
    """Return remedies for a layer-parallel design: more folding, weights in block memory."""
    path = f"engines.{setting.engine_name}.design.reuse_factor"
    if path not in setting.facts:
        return ()
    if name == "dsp":
        factor = first_number(setting.facts[path])
        return (f"{path} of {factor * math.ceil(excess):g} or more",)
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
    """Return remedies for a memory that is too small, each with the number that would fit."""
    weights, kv, activations = (
        first_number(totals[f"{role}_bytes"]) for role in ("weight", "kv", "activation")
    )
    out: list[str] = []
    holds_weights = setting.weights_memory == memory
    others = need - weights if holds_weights else need
    if holds_weights and others < bound and weights > 0:
        bits = first_number(setting.precision.weights.bits)
        out.append(f"weights of at most {bits * (bound - others) / weights:.3g} bits")
    fixed = need - kv
    if kv > 0 and fixed < bound:
        share = (bound - fixed) / kv
        for name in ("context", "prompt", "batch"):
            value = parameters.get(name)
            if value is not None and np.ndim(value) == 0 and float(value) * share >= 1:
                out.append(f"{name} of at most {int(float(value) * share)}")
                break
    elif activations > 0 and need - activations < bound and not kv:
        out.append(f"activations of at most {show(bound - (need - activations), 'bytes')}")
    article = "an" if memory[0] in "aeio" else "a"
    out.append(f"{article} {memory} of {show(need, 'bytes')}")
    return tuple(out)


def holds(memory: str, setting: Setting, totals: Mapping[str, Value]) -> list[str]:
    """Return the contents of a memory as text: weights, KV cache, activations."""
    main = setting.levels[-1]
    placed = {key for key in totals if key.startswith("placed ")}
    weights = f"placed weight {memory}" in placed or memory == setting.weights_memory
    cache = f"placed kv {memory}" in placed or memory == main
    contents = {"weights": weights, "kv cache": cache, "activations": memory == main}
    return [kind for kind, is_stored in contents.items() if is_stored]
