"""What no machine can do, looked for in every prediction before anybody reads it.

Two kinds of faults. Numbers that are none of a run (not finite, negative, a run in no time) end the
prediction: `settle` refuses them where the sums over the rows are made. Numbers beyond what the
machine states are shown and said: `breaches` opens those of one point with the row and the fact.
Work faster than the peak and bytes faster than the bandwidth (`beyond`) make the prediction one
that does not hold, as what does not fit; power above the sustained one (the device would slow down,
see `perfmodel.cost.thermal`) or below the idle one does not. Where more than the engine has of a
resource is taken, its rates are those of a larger part, and only the resource is at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.cost.capacity import Violation, resources
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.rates import sparse_speedup
from perfmodel.kinds.slots import bits_of
from perfmodel.kinds.unpack import issue_rate, summed_in
from perfmodel.units import show
from perfmodel.workload.lower import OperatorTable

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

__all__ = ["Breach", "beyond", "breaches", "lacking", "peak_of", "settle"]

#: Totals that are sums of rows that others sum too, and the one that is without end if any row is.
_OF_OTHERS = ("bit_operations", "vector_ops", "phase ")
_ENDLESS = "latency_s"

#: Share of a rate by which sums of many rows may pass it in round-off.
ROUND_OFF = 1e-6

#: Share of a stated power that its two or three figures leave open.
POWER_FIGURES = 0.02


@dataclass(frozen=True, slots=True)
class Breach:
    """A number of a prediction that its machine cannot reach.

    Attributes
    ----------
    metric
        What is at fault: ``utilization``, ``bandwidth of dram``, ``power``.
    row
        The kernel that passes the bound by most; empty where the number is of the whole run.
    value, bound
        What was computed, and what the machine states.
    fact
        Path of the fact that states it.
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


class Limit(NamedTuple):
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


def settle(
    totals: Mapping[str, Value], table: OperatorTable, terms: Terms, values: Mapping[str, Value]
) -> None:
    """Refuse sums and rows that are none of a run: not finite, negative, or no time at all.

    Parameters
    ----------
    values
        Free dimensions of the points, to name the one at fault.

    Raises
    ------
    InputError
        Every number at fault, with its row and term, at the first such point of each.
    """
    # Bytes and operations without end take no end of time.
    if _least(terms.row_s) >= 0.0 and all(
        _least(value) >= 0.0 and (key != _ENDLESS or _sound(value))
        for key, value in totals.items() if not key.startswith(_OF_OTHERS)
    ):  # fmt: skip
        return
    if namespace(*totals.values(), terms.row_s) is not np:
        return  # a tracer has no numbers yet
    faults: list[Fault] = []
    for name, seconds in {**terms.compute, **terms.memory, **terms.overhead}.items():
        faults += _faults(f"{name}_s", seconds, table, values)
    for level, moved in terms.traffic.items():
        faults += _faults(f"{level}_bytes", moved, table, values)
    faults += [] if faults else _faults("row_s", terms.row_s, table, values)
    for name, value in () if faults else totals.items():
        faults += _faults(name, np.atleast_2d(value), None, values)
    raise InputError(faults)


def _least(value: Value) -> float:
    """Return the least of a number or an array, NaN where any is; 0 for a tracer."""
    if isinstance(value, float | int):
        return value
    if namespace(value) is not np:
        return 0.0
    return float(value.item() if value.size == 1 else value.min())


def _sound(value: Value) -> bool:
    """Tell whether none of a number or an array is without end."""
    most: Value = np.max(value) if namespace(value) is np else 0.0
    return float(most) < np.inf


def _faults(
    name: str, value: Value, table: OperatorTable | None, values: Mapping[str, Value]
) -> list[Fault]:
    """Return the fault of the first number of ``(rows, points)`` that is none, if any is."""
    array = np.asarray(value, dtype=float)
    bad = np.argwhere(~((array >= 0.0) & (array < np.inf)))
    if not bad.size:
        return []
    row, point = (int(bad[0, 0]), int(bad[0, -1])) if array.ndim == 2 else (0, 0)
    where = "" if table is None else f"row '{table.rows[row].name}' "
    numbers = {n: np.asarray(v, dtype=float).reshape(-1) for n, v in values.items()}
    at = ", ".join(f"{n}={v[point if v.size > 1 else 0]:g}" for n, v in numbers.items())
    found = float(array[tuple(bad[0])])
    at = f" at {at}" if at else ""
    return [Fault(f"{where}comes out as {found:g}{at}", name, expected="a finite number from 0 up")]


def peak_of(setting: Setting, name: str, kind: Kind) -> Value:
    """Return the rate that an engine states for a compute format, as the runtime drives it.

    Its peak, times what it gains from the format of sums and from structured zeros; of a kind whose
    time goes with bits (``by_bits``) in proportion to those of operands that are narrower. Where a
    runtime states a share of the peak above one, or looks products up, that is the rate.
    """
    peak: Value = setting.facts[f"engines.{setting.engine}.peaks.{name}"]
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
    if not getattr(kind, "by_bits", False):
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
    head = f"engines.{setting.engine}.peaks."
    has = ", ".join(p[len(head) :] for p in setting.facts if p.startswith(head))
    return [
        Violation(
            f"{head}{name}", 0.0, 0.0, 0.0, (f"one of {has}",),
            f"{setting.engine} does not compute {name}, in no wider form either",
        )
        for name in formats
    ]  # fmt: skip


def beyond(prediction: Prediction) -> Value:
    """Return whether a prediction passes a rate of its machine; flat, or one boolean."""
    limits = _rates(prediction)
    if not limits:
        return False
    xp, most = prediction._setting.xp, limits[0].reached  # pyright: ignore[reportPrivateUsage]
    for limit in limits[1:]:
        most = xp.maximum(most, limit.reached)
    passed: Value = most > limits[0].bound * (1.0 + limits[0].slack)  # all of the latency
    if namespace(passed) is np and not np.any(passed):
        return False
    found: Value = passed & ~_larger(prediction)
    return found


def breaches(prediction: Prediction) -> list[Breach]:
    """Return what a prediction (the first such point) passes, with the row that does so by most."""
    passed = beyond(prediction) | _passed(_powers(prediction))
    bad = np.flatnonzero(np.asarray(passed))
    if not bad.size:
        return []
    point = prediction.at(int(bad[0]))
    limits = _powers(point) if np.any(_larger(point)) else [*_rates(point), *_powers(point)]
    return [_opened(point, limit) for limit in limits if np.any(_passed([limit]))]


def _passed(limits: Sequence[Limit]) -> Value:
    """Return whether any of some limits is passed, by point."""
    passed: Value = False
    for limit in limits:
        passed = passed | (limit.reached > limit.bound * (1.0 + limit.slack))
    return passed


def _larger(prediction: Prediction) -> Value:
    """Return whether more of the engine is taken than there is."""
    p = prediction
    larger: Value = False
    for used, there in resources(p._totals, p._setting).values():  # pyright: ignore[reportPrivateUsage]
        larger = larger | (used > there)
    return np.asarray(larger) if namespace(larger) is np else larger


def _rates(prediction: Prediction) -> list[Limit]:
    """Return the bounds of a prediction by the rates of its memories and its engine."""
    totals, setting = prediction._totals, prediction._setting  # pyright: ignore[reportPrivateUsage]
    facts, latency = setting.facts, totals["latency_s"]
    terms = None if prediction.shape else prediction._opened[1]  # pyright: ignore[reportPrivateUsage]
    out: list[Limit] = []
    busy, rows, paths = 0.0, 0.0, list[str]()
    for key, done in totals.items():
        what, _, name = key.partition(" ")
        if what == "operations" and name != "vector":
            peak = peak_of(setting, name, prediction._job.static.kind)  # pyright: ignore[reportPrivateUsage]
            busy = busy + done / peak
            paths.append(f"engines.{setting.engine}.peaks.{name}")
            rows = rows if terms is None else rows + terms.operations[name] / peak
        elif what == "traffic" and (rate := facts.get(f"memories.{name}.bandwidth")) is not None:
            rate = rate * _ways(setting, name)
            each = None if terms is None else terms.traffic[name] / rate
            out.append(Limit(f"bandwidth of {name}", f"memories.{name}.bandwidth", done / rate,
                             latency, ROUND_OFF, each))  # fmt: skip
    if paths:
        at = ", ".join(paths)
        out.append(Limit("utilization", at, busy, latency, ROUND_OFF, rows))
    return out


def _powers(prediction: Prediction) -> list[Limit]:
    """Return the bounds of a prediction by what the device draws with and without work."""
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    facts, latency = setting.facts, prediction._totals["latency_s"]  # pyright: ignore[reportPrivateUsage]
    out: list[Limit] = []
    joule = prediction._flat_energy.joule  # pyright: ignore[reportPrivateUsage]
    most, idle = facts.get("power.busy"), facts.get("power.idle")
    if joule is not None and most is not None:
        out.append(Limit("power", "power.busy", joule, most * latency, POWER_FIGURES))
    if joule is not None and idle is not None:
        out.append(Limit("idle power", "power.idle", idle * latency, joule, POWER_FIGURES))
    return out


def _ways(setting: Setting, memory: str) -> float:
    """Return how many ways a memory's bandwidth goes: two to a cache that says what each costs."""
    at = setting.levels.index(memory) if memory in setting.levels[:-1] else 0
    return 2.0 if at and f"memories.{setting.levels[at - 1]}.line_out" in setting.facts else 1.0


def _opened(prediction: Prediction, limit: Limit) -> Breach:
    """Return a limit that one point passes as a sentence, with the row that does so by most."""
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    seconds = _first(prediction._totals["latency_s"])  # pyright: ignore[reportPrivateUsage]
    reached, bound = _first(limit.reached), _first(limit.bound)
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
        most = _first(facts[limit.fact]) * _ways(setting, memory)
        value = most * share
        text = f"{limit.metric} {show(value, 'bandwidth')}, of {show(most, 'bandwidth')}"
    return Breach(limit.metric, row, value, most, limit.fact, f"{text}{where} ({limit.fact})")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _first(value: Value) -> float:
    return float(np.asarray(value, dtype=float).reshape(-1)[0])
