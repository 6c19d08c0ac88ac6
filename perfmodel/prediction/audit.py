"""Audit of every prediction against physical limits and the stated limits of the machine.

There are two kinds of faults. A physically impossible sum (not finite, negative, or zero latency)
aborts the prediction: `perfmodel.prediction.validity_checks` raises an error when rows are summed.
A sum that exceeds a stated limit of the machine is reported: `breaches` names the row and the fact,
for the first point at fault. With T the latency in seconds,

    utilization   sum over formats of operations / peak  <= T
    bandwidth     bytes of a memory / its bandwidth      <= T
    work          operations of all formats               = those of the graph
    power         idle T <= joules <= busy T

A prediction that violates one of the first three is invalid (`exceeds_limits`) and counts as
infeasible. One that violates the last remains valid: above its sustained power a device throttles
(`perfmodel.cost.thermal`). If a design requires more of a resource than the engine has, its rates
are those of a larger device, and only the resource is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.cost.capacity import Violation, resources
from perfmodel.cost.setting import Setting
from perfmodel.kinds.kernel_effects import accumulator_factor, issue_rate
from perfmodel.kinds.operand_bits import bits_of
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.rates import sparse_speedup
from perfmodel.prediction.validity_checks import reference_work
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Relative tolerance of a rate for rounding in sums over many rows.
ROUND_OFF = 1e-6

#: Number of points whose rates are checked at once.
_BLOCK = 32_768

#: Relative uncertainty of a stated power with two or three significant digits.
POWER_FIGURES = 0.02


@dataclass(frozen=True, slots=True)
class Breach:
    """Predicted value that exceeds a limit of the machine.

    Attributes
    ----------
    metric
        Metric at fault: ``utilization``, ``bandwidth of dram``, ``power``, ``work``.
    row
        Kernel that exceeds the bound by most; empty for a metric of the whole run.
    value, bound
        Predicted value, and the limit stated by the machine; for ``work`` that of the graph.
    fact
        Path of the fact that states the limit; ``macs`` for ``work``.
    message
        Complete sentence with all of the above.
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
    """Rate stated by the machine: the total `key` grows by at most `rate` per second."""

    key: str
    fact: str
    rate: Value


class AuditLimit(NamedTuple):
    """Bound over arrays: `reached` is at most `bound`, within a relative tolerance.

    Attributes
    ----------
    rows
        Least seconds for the work or bytes of each row, ``(rows, points)``; ``None`` for a limit of
        the whole run.
    """

    metric: str
    fact: str
    reached: Value
    bound: Value
    slack: float
    rows: Value = None


def peak_of(setting: Setting, name: str, kind: Kind) -> Value:
    """Return the maximum rate of an engine for a compute format under the runtime.

    The rate is the stated peak, times the speedups by the accumulator format and by structured
    sparsity; for a bit-serial kind (``by_bits``) it is scaled by the bits of narrower operands. If
    a runtime states a share of the peak above one, or uses table lookup for products, that rate is
    used.
    """
    peak: Value = setting.facts[f"engines.{setting.engine_name}.peaks.{name}"]
    if setting.bare:
        return peak
    peak = (
        peak * accumulator_factor(setting, name) * sparse_speedup(setting, ("weight", "activation"))
    )
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
    """Return the number of bits of a compute format by its name."""
    return {"binary": 1.0, "ternary": 2.0}.get(name) or float(name.lstrip("abfimnptvx_"))


def unsupported_formats(setting: Setting, formats: Sequence[str]) -> list[Violation]:
    """Return the compute formats that an engine cannot execute, as violations."""
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


def exceeds_limits(prediction: Prediction) -> Value:
    """Return whether a prediction exceeds a rate limit, or its work differs from the graph's.

    Returns
    -------
    array or bool
        Flat over points, or one boolean.
    """
    totals, setting = prediction.totals, prediction.setting
    rates = _rate_ceilings(prediction)
    if namespace(totals["latency_s"], *(ceiling.rate for ceiling in rates)) is np and _all_within(
        totals, rates
    ):
        return False
    difference, graph = _work_difference(totals)
    exceeded: Value = ~(difference <= ROUND_OFF * graph)
    exceeded = exceeded | (
        _any_exceeded(_rate_limits(totals, rates)) & ~_exceeds_resources(totals, setting)
    )
    return exceeded


def _all_within(totals: Mapping[str, Value], rates: Sequence[RateCeiling]) -> bool:
    """Return whether all points satisfy the limits, by a sufficient test on the largest shares.

    The share of work is bounded by the sum of the largest shares of its formats. Points are
    processed in blocks that fit the CPU caches.
    """
    latency = totals["latency_s"]
    work_keys, is_equal = _work_keys(totals), True
    graph, times = ("work", 1.0) if "work" in totals else ("macs", 2.0)
    columns = (latency, *(totals[ceiling.key] for ceiling in rates))
    count = max(column.size if is_array(column) else 1 for column in columns)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, count, _BLOCK):
            points = slice(start, start + _BLOCK)
            work_share, seconds = 0.0, _block(latency, points)
            for key, _, rate in rates:
                reached = _block(totals[key], points) / seconds
                share = _maximum(reached / _block(rate, points) if is_array(rate) else reached)
                share = share if is_array(rate) else share / rate
                if key.startswith("operations "):
                    work_share += share
                elif not share <= 1.0 + ROUND_OFF:
                    return False
            if not work_share <= 1.0 + ROUND_OFF:
                return False
            # Doubling is exact, so that these sums are equal to the last bit.
            operations = sum(_sum(_block(totals[key], points)) for key in work_keys)
            is_equal = is_equal and operations == times * _sum(_block(totals[graph], points))
    return bool(is_equal or _work_agrees(totals))


def _sum(value: Value) -> float:
    return float(cast("float", np.sum(value)))


def _block(value: Value, points: slice) -> Value:
    """Return a block of points of a flat array; a scalar applies to all points."""
    return value[points] if type(value) is np.ndarray and value.size > 1 else value


def _maximum(value: Value) -> float:
    """Return the maximum of a number or an array, propagating NaN; 0 for a tracer."""
    if type(value) is np.ndarray:
        return value.item() if value.size == 1 else np.maximum.reduce(value, axis=None)
    return float(value) if namespace(value) is np else 0.0


def breaches(prediction: Prediction) -> list[Breach]:
    """Return the exceeded limits of the first point at fault, each with its worst row."""
    exceeded = exceeds_limits(prediction) | _any_exceeded(_power_limits(prediction))
    bad = np.flatnonzero(np.asarray(exceeded))
    if not bad.size:
        return []
    point = prediction.at(int(bad[0]))
    totals = point.totals
    limits = _power_limits(point)
    if not np.any(_exceeds_resources(totals, point.setting)):
        limits = [*_rate_limits(totals, _rate_ceilings(point), point.opened[1]), *limits]
    opened = [_breach_of(point, limit) for limit in limits if np.any(_any_exceeded([limit]))]
    return _work_breaches(point) + opened


def _any_exceeded(limits: Sequence[AuditLimit]) -> Value:
    """Return whether any limit is exceeded, by point."""
    exceeded: Value = False
    for limit in limits:
        exceeded = exceeded | (limit.reached > limit.bound * (1.0 + limit.slack))
    return exceeded


def _exceeds_resources(totals: Mapping[str, Value], setting: Setting) -> Value:
    """Return whether the demand on any engine resource exceeds its supply."""
    larger: Value = False
    for used, there in resources(totals, setting).values():
        larger = larger | (used > there)
    return np.asarray(larger) if namespace(larger) is np else larger


def _work_keys(totals: Mapping[str, Value]) -> list[str]:
    """Return the keys of the totals that are multiply-accumulate operations of any format."""
    return [k for k in totals if k.startswith("operations ") and k != "operations vector"]


def _work_difference(totals: Mapping[str, Value]) -> tuple[Value, Value]:
    """Return the difference of operations from those of the graph, and the number of the graph."""
    graph = totals["work"] if "work" in totals else 2.0 * totals["macs"]
    return abs(sum(totals[key] for key in _work_keys(totals)) - graph), graph


def _work_agrees(totals: Mapping[str, Value]) -> bool:
    """Return whether the operations equal those of the graph at all points, within rounding."""
    difference, graph = _work_difference(totals)
    return bool(np.all(difference <= ROUND_OFF * graph))


def _work_breaches(point: Prediction) -> list[Breach]:
    """Return the breach for operations that differ from the graph's, with the worst row."""
    difference, graph = (first_number(number) for number in _work_difference(point.totals))
    if difference <= ROUND_OFF * graph:
        return []
    table, terms = point.opened
    done = sum(each for name, each in terms.operations.items() if name != "vector")
    rows = (done - reference_work(table, terms, point.setting)) * table.count
    row = table.rows[int(np.argmax(np.abs(np.asarray(rows, dtype=float))[:, 0]))].name
    value = sum(first_number(point.totals[key]) for key in _work_keys(point.totals))
    text = f"work of {value:.4g} operations, of {graph:.4g} that the graph has"
    return [Breach("work", row, value, graph, "macs", f"{text}, by most in '{row}' (macs)")]


def _rate_ceilings(prediction: Prediction) -> list[RateCeiling]:
    """Return the rate limits that the machine states for the totals."""
    setting, kind = prediction.setting, prediction.job.model.kind
    out: list[RateCeiling] = []
    for key in prediction.totals:
        quantity, _, name = key.partition(" ")
        if quantity == "operations" and name != "vector":
            fact = f"engines.{setting.engine_name}.peaks.{name}"
            out.append(RateCeiling(key, fact, peak_of(setting, name, kind)))
        elif quantity == "traffic":
            fact = f"memories.{name}.bandwidth"
            rate = setting.facts.get(fact)
            if rate is not None:
                out.append(RateCeiling(key, fact, rate * _counted_directions(setting, name)))
    return out


def _rate_limits(
    totals: Mapping[str, Value], rates: Sequence[RateCeiling], terms: Terms | None = None
) -> list[AuditLimit]:
    """Return the limits of the totals by the rates of memories and engine.

    Parameters
    ----------
    terms
        Terms of one point, to include the limits of its rows.
    """
    latency = totals["latency_s"]
    limits: list[AuditLimit] = []
    busy_s, row_busy_s, facts = 0.0, 0.0, list[str]()
    for key, fact, rate in rates:
        quantity, _, name = key.partition(" ")
        if quantity == "operations":
            busy_s = busy_s + totals[key] / rate
            facts.append(fact)
            row_busy_s = row_busy_s if terms is None else row_busy_s + terms.operations[name] / rate
        else:
            row_s = None if terms is None else terms.traffic[name] / rate
            metric, least_s = f"bandwidth of {name}", totals[key] / rate
            limits.append(AuditLimit(metric, fact, least_s, latency, ROUND_OFF, row_s))
    if facts:
        paths = ", ".join(facts)
        limits.append(AuditLimit("utilization", paths, busy_s, latency, ROUND_OFF, row_busy_s))
    return limits


def _power_limits(prediction: Prediction) -> list[AuditLimit]:
    """Return the limits of a prediction by the idle and busy power of the device."""
    setting = prediction.setting
    facts, latency = setting.facts, prediction.totals["latency_s"]
    out: list[AuditLimit] = []
    joule = prediction.flat_energy.joule
    most, idle = facts.get("power.busy"), facts.get("power.idle")
    if joule is not None and most is not None:
        out.append(AuditLimit("power", "power.busy", joule, most * latency, POWER_FIGURES))
    if joule is not None and idle is not None:
        out.append(AuditLimit("idle power", "power.idle", idle * latency, joule, POWER_FIGURES))
    return out


def _counted_directions(setting: Setting, memory: str) -> float:
    """Return the number of directions that a memory bandwidth counts for: 2 for some, else 1.

    It is 2 if the cache before the memory states separate costs of lines in and out: the bandwidth
    is then that of lines in, for main memory the bandwidth of one core.
    """
    at = setting.levels.index(memory) if memory in setting.levels else 0
    if not at:
        return 1.0
    head = f"memories.{setting.levels[at - 1]}.line_out"
    return 2.0 if head in setting.facts or f"{head}_time" in setting.facts else 1.0


def _breach_of(prediction: Prediction, limit: AuditLimit) -> Breach:
    """Return the breach of a limit that one point exceeds, with the worst row."""
    setting = prediction.setting
    seconds = first_number(prediction.totals["latency_s"])
    reached, bound = first_number(limit.reached), first_number(limit.bound)
    share = reached / bound if bound else float("inf")
    row = ""
    if limit.rows is not None:
        table, terms = prediction.opened
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
        most = first_number(facts[limit.fact]) * _counted_directions(setting, memory)
        value = most * share
        text = f"{limit.metric} {show(value, 'bandwidth')}, of {show(most, 'bandwidth')}"
    return Breach(limit.metric, row, value, most, limit.fact, f"{text}{where} ({limit.fact})")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
