"""What no machine can do, looked for in every prediction before anybody reads it.

Two kinds of faults. Numbers that are none of a run (not finite, negative, a run in no time) end the
prediction: `perfmodel.prediction.settled` refuses them where the sums over the rows are made.
Numbers beyond what the machine states are shown and said: `breaches` opens those of one point with
the row and the fact. Work faster than the peak, bytes faster than the bandwidth and operations that
are not the graph's (`beyond`) make the prediction one that does not hold, as what does not fit;
power above the sustained one (the device would slow down, see `perfmodel.cost.thermal`) or below
the idle one does not. Where more than the engine has of a resource is taken, its rates are those of
a larger part, and only the resource is at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.cost.capacity import Violation, resources
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.rates import sparse_speedup
from perfmodel.kinds.slots import bits_of
from perfmodel.kinds.unpack import issue_rate, summed_in
from perfmodel.prediction.settled import work_of
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Share of a rate by which sums of many rows may pass it in round-off.
ROUND_OFF = 1e-6

#: Points whose rates are looked at together.
_BLOCK = 32_768

#: Share of a stated power that its two or three figures leave open.
POWER_FIGURES = 0.02


@dataclass(frozen=True, slots=True)
class Breach:
    """A number of a prediction that its machine cannot reach.

    Attributes
    ----------
    metric
        What is at fault: ``utilization``, ``bandwidth of dram``, ``power``, ``work``.
    row
        The kernel that passes the bound by most; empty where the number is of the whole run.
    value, bound
        What was computed, and what the machine states; of ``work`` what the graph does.
    fact
        Path of the fact that states it; ``macs`` where the graph does.
    message
        All of this as a sentence.
    """

    metric: str
    row: str
    value: float
    bound: float
    fact: str
    message: str

    def __str__(self) -> str:
        return self.message


class RateCeiling(NamedTuple):
    """A rate that the machine states: of the sum `key` at most `most` a second."""

    key: str
    fact: str
    most: Value


class AuditLimit(NamedTuple):
    """A bound as arrays: `reached` is at most `bound`, up to a share of it.

    Attributes
    ----------
    rows
        Least seconds that each row's own work or bytes take, ``(rows, points)``; ``None`` where
        the number is of the whole run.
    """

    metric: str
    fact: str
    reached: Value
    bound: Value
    slack: float
    rows: Value = None


def peak_of(setting: Setting, name: str, kind: Kind) -> Value:
    """Return the rate that an engine states for a compute format, as the runtime drives it.

    Its peak, times what it gains from the format of sums and from structured zeros; of a kind whose
    time goes with bits (``by_bits``) in proportion to those of operands that are narrower. Where a
    runtime states a share of the peak above one, or looks products up, that is the rate.
    """
    peak: Value = setting.facts[f"engines.{setting.engine_name}.peaks.{name}"]
    if setting.bare:
        return peak
    peak = peak * summed_in(setting, name) * sparse_speedup(setting, ("weight", "activation"))
    shares = (setting.facts.get(f"runtime.efficiency.{each}", 1.0) for each in ("gemm", "conv"))
    for share in shares:
        peak = (
            peak if type(share) is float and share <= 1.0 else peak * setting.xp.maximum(share, 1.0)
        )
    if "runtime.kernels.gemm.lookup_instructions" in setting.facts:
        counted = issue_rate(setting, "weight", peak)
        peak = peak if counted is None else setting.xp.maximum(peak, counted)
    if not kind.by_bits:
        return peak
    left, _, right = name.partition("x")
    stated = _bits(left) * _bits(right or left)
    bits = bits_of(setting, "weight") * bits_of(setting, "activation")
    return peak * setting.xp.maximum(stated / bits, 1.0)


def _bits(name: str) -> float:
    """Return the bits of a compute format by its name."""
    return {"binary": 1.0, "ternary": 2.0}.get(name) or float(name.lstrip("abfimnptvx_"))


def lacking(setting: Setting, formats: Sequence[str]) -> list[Violation]:
    """Return the compute formats that an engine has in no form, as what does not fit."""
    head = f"engines.{setting.engine_name}.peaks."
    has = ", ".join(p[len(head) :] for p in setting.facts if p.startswith(head))
    return [
        Violation(
            f"{head}{name}",
            0.0,
            0.0,
            0.0,
            (f"one of {has}",),
            f"{setting.engine_name} does not compute {name}, in no wider form either",
        )
        for name in formats
    ]


def beyond(prediction: Prediction) -> Value:
    """Return whether a prediction passes a rate of its machine, or its work is not the graph's.

    Returns
    -------
    passed
        Flat, by point; or one boolean.
    """
    totals, setting = prediction._totals, prediction._setting  # pyright: ignore[reportPrivateUsage]
    rates = _stated(prediction)
    if namespace(totals["latency_s"], *(r.most for r in rates)) is np and _within(totals, rates):
        return False
    off, graph = _off(totals)
    found: Value = ~(off <= ROUND_OFF * graph)
    found = found | (_passed(_rates(totals, rates)) & ~_larger(totals, setting))
    return found


def _within(totals: Mapping[str, Value], rates: Sequence[RateCeiling]) -> bool:
    """Tell whether no point of sums passes a rate, nor is off its graph, by the largest shares.

    That of work by the sum of its formats' largest shares, which is no less than the largest sum.
    Blocks of points and what is worked out from them stay in the caches.
    """
    latency = totals["latency_s"]
    counted, same = _counted(totals), True
    graph, times = ("work", 1.0) if "work" in totals else ("macs", 2.0)
    points = max(v.size if is_array(v) else 1 for v in (latency, *(totals[r.key] for r in rates)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, points, _BLOCK):
            cut = slice(start, start + _BLOCK)
            busy, seconds = 0.0, _cut(latency, cut)
            for key, _, most in rates:
                each = _cut(totals[key], cut) / seconds
                share = _largest(each / _cut(most, cut) if is_array(most) else each)
                share = share if is_array(most) else share / most
                if key.startswith("operations "):
                    busy += share
                elif not share <= 1.0 + ROUND_OFF:
                    return False
            if not busy <= 1.0 + ROUND_OFF:
                return False
            # Twice a number is exact: such sums over the points are equal to the last bit.
            done = sum(_sum(_cut(totals[key], cut)) for key in counted)
            same = same and done == times * _sum(_cut(totals[graph], cut))
    return bool(same or _agrees(totals))


def _sum(value: Value) -> float:
    return float(cast("float", np.sum(value)))


def _cut(value: Value, points: slice) -> Value:
    """Return a block of points of what is flat; what holds for all as it is."""
    return value[points] if type(value) is np.ndarray and value.size > 1 else value


def _largest(value: Value) -> float:
    """Return the largest of a number or an array, NaN where any is; 0 for a tracer."""
    if type(value) is np.ndarray:
        return value.item() if value.size == 1 else np.maximum.reduce(value, axis=None)
    return float(value) if namespace(value) is np else 0.0


def breaches(prediction: Prediction) -> list[Breach]:
    """Return what a prediction (the first such point) passes, with the row that does so by most."""
    passed = beyond(prediction) | _passed(_powers(prediction))
    bad = np.flatnonzero(np.asarray(passed))
    if not bad.size:
        return []
    point = prediction.at(int(bad[0]))
    totals = point._totals  # pyright: ignore[reportPrivateUsage]
    limits = _powers(point)
    if not np.any(_larger(totals, point._setting)):  # pyright: ignore[reportPrivateUsage]
        limits = [*_rates(totals, _stated(point), point._opened[1]), *limits]  # pyright: ignore[reportPrivateUsage]
    opened = [_opened(point, limit) for limit in limits if np.any(_passed([limit]))]
    return _other_work(point) + opened


def _passed(limits: Sequence[AuditLimit]) -> Value:
    """Return whether any of some limits is passed, by point."""
    passed: Value = False
    for limit in limits:
        passed = passed | (limit.reached > limit.bound * (1.0 + limit.slack))
    return passed


def _larger(totals: Mapping[str, Value], setting: Setting) -> Value:
    """Return whether more of the engine is taken than there is."""
    larger: Value = False
    for used, there in resources(totals, setting).values():
        larger = larger | (used > there)
    return np.asarray(larger) if namespace(larger) is np else larger


def _counted(totals: Mapping[str, Value]) -> list[str]:
    """Return the keys of sums that are operations of products, whatever their format."""
    return [k for k in totals if k.startswith("operations ") and k != "operations vector"]


def _off(totals: Mapping[str, Value]) -> tuple[Value, Value]:
    """Return by how much operations of products are not the graph's, and how many it has."""
    graph = totals["work"] if "work" in totals else 2.0 * totals["macs"]
    return abs(sum(totals[key] for key in _counted(totals)) - graph), graph


def _agrees(totals: Mapping[str, Value]) -> bool:
    """Tell whether the operations are the graph's at every point, but for round-off."""
    off, graph = _off(totals)
    return bool(np.all(off <= ROUND_OFF * graph))


def _other_work(point: Prediction) -> list[Breach]:
    """Return the breach of operations that are not the graph's, with the row that is off most."""
    off, graph = (first_number(number) for number in _off(point._totals))  # pyright: ignore[reportPrivateUsage]
    if off <= ROUND_OFF * graph:
        return []
    table, terms = point._opened  # pyright: ignore[reportPrivateUsage]
    done = sum(each for name, each in terms.operations.items() if name != "vector")
    rows = (done - work_of(table, terms, point._setting)) * table.count  # pyright: ignore[reportPrivateUsage]
    row = table.rows[int(np.argmax(np.abs(np.asarray(rows, dtype=float))[:, 0]))].name
    value = sum(first_number(point._totals[key]) for key in _counted(point._totals))  # pyright: ignore[reportPrivateUsage]
    text = f"work of {value:.4g} operations, of {graph:.4g} that the graph has"
    return [Breach("work", row, value, graph, "macs", f"{text}, by most in '{row}' (macs)")]


def _stated(prediction: Prediction) -> list[RateCeiling]:
    """Return the rates that the machine states for what the sums are of."""
    setting, kind = prediction._setting, prediction._job.model.kind  # pyright: ignore[reportPrivateUsage]
    out: list[RateCeiling] = []
    for key in prediction._totals:  # pyright: ignore[reportPrivateUsage]
        what, _, name = key.partition(" ")
        if what == "operations" and name != "vector":
            fact = f"engines.{setting.engine_name}.peaks.{name}"
            out.append(RateCeiling(key, fact, peak_of(setting, name, kind)))
        elif what == "traffic":
            fact = f"memories.{name}.bandwidth"
            rate = setting.facts.get(fact)
            if rate is not None:
                out.append(RateCeiling(key, fact, rate * _ways(setting, name)))
    return out


def _rates(
    totals: Mapping[str, Value], rates: Sequence[RateCeiling], terms: Terms | None = None
) -> list[AuditLimit]:
    """Return the bounds of sums by the rates of their memories and their engine.

    Parameters
    ----------
    terms
        Of one point, to have those of its rows too.
    """
    latency = totals["latency_s"]
    out: list[AuditLimit] = []
    busy, rows, paths = 0.0, 0.0, list[str]()
    for key, fact, most in rates:
        what, _, name = key.partition(" ")
        if what == "operations":
            busy = busy + totals[key] / most
            paths.append(fact)
            rows = rows if terms is None else rows + terms.operations[name] / most
        else:
            each = None if terms is None else terms.traffic[name] / most
            reached = totals[key] / most
            out.append(AuditLimit(f"bandwidth of {name}", fact, reached, latency, ROUND_OFF, each))
    if paths:
        at = ", ".join(paths)
        out.append(AuditLimit("utilization", at, busy, latency, ROUND_OFF, rows))
    return out


def _powers(prediction: Prediction) -> list[AuditLimit]:
    """Return the bounds of a prediction by what the device draws with and without work."""
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    facts, latency = setting.facts, prediction._totals["latency_s"]  # pyright: ignore[reportPrivateUsage]
    out: list[AuditLimit] = []
    joule = prediction._flat_energy.joule  # pyright: ignore[reportPrivateUsage]
    most, idle = facts.get("power.busy"), facts.get("power.idle")
    if joule is not None and most is not None:
        out.append(AuditLimit("power", "power.busy", joule, most * latency, POWER_FIGURES))
    if joule is not None and idle is not None:
        out.append(AuditLimit("idle power", "power.idle", idle * latency, joule, POWER_FIGURES))
    return out


def _ways(setting: Setting, memory: str) -> float:
    """Return how many ways a memory's bandwidth goes: two where the cache before it costs each.

    Such a cache states what lines in and lines out take apart, and the bandwidth behind it is that
    of lines in: of main memory what one core draws.
    """
    at = setting.levels.index(memory) if memory in setting.levels else 0
    if not at:
        return 1.0
    head = f"memories.{setting.levels[at - 1]}.line_out"
    return 2.0 if head in setting.facts or f"{head}_time" in setting.facts else 1.0


def _opened(prediction: Prediction, limit: AuditLimit) -> Breach:
    """Return a limit that one point passes as a sentence, with the row that does so by most."""
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    seconds = first_number(prediction._totals["latency_s"])  # pyright: ignore[reportPrivateUsage]
    reached, bound = first_number(limit.reached), first_number(limit.bound)
    share = reached / bound if bound else float("inf")
    row = ""
    if limit.rows is not None:
        table, terms = prediction._opened  # pyright: ignore[reportPrivateUsage]
        least = np.broadcast_to(np.asarray(limit.rows, dtype=float), (len(table.rows), 1))
        over = (least - np.asarray(terms.row_s, dtype=float)) * np.asarray(table.count)
        row = table.rows[int(np.argmax(over[:, 0]))].name
    where = f", by most in '{row}'" if row else ""
    facts = setting.facts
    if limit.metric == "utilization":
        value, most = share, 1.0
        text = f"utilization {_percent(share)}: {show(reached, 'time')} of work at the stated peak"
        text += f" in {show(seconds, 'time')}"
    elif limit.metric == "power":
        value, most = reached / seconds, bound / seconds
        text = f"power {show(value, 'power')}, above {show(most, 'power')}"
    elif limit.metric == "idle power":
        value, most = bound / seconds, reached / seconds
        text = f"power {show(value, 'power')}, below {show(most, 'power')} with nothing to do"
    else:
        memory = limit.metric.removeprefix("bandwidth of ")
        most = first_number(facts[limit.fact]) * _ways(setting, memory)
        value = most * share
        text = f"{limit.metric} {show(value, 'bandwidth')}, of {show(most, 'bandwidth')}"
    return Breach(limit.metric, row, value, most, limit.fact, f"{text}{where} ({limit.fact})")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
