"""What no machine can do, looked for in every prediction before anybody reads it.

Two kinds of faults. Numbers that are none of a run (not finite, negative, a run in no time) end the
prediction: `settle` refuses them where the sums over the rows are made. Numbers beyond what the
machine states (work faster than its peak, bytes faster than its bandwidth, power above the
sustained or below the idle one) are shown and said: `limits` has them as arrays, `breaches` opens
those of one point with the row and the fact. Where more than the engine has of a resource is
taken, its rates are those of a larger part, and only the resource is at fault.
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
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import sparse_speedup
from perfmodel.kinds.unpack import summed_in
from perfmodel.units import show
from perfmodel.workload.lower import OperatorTable

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

__all__ = ["Breach", "beyond", "breaches", "lacking", "peak_of", "settle"]

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
    if all(map(_sound, totals.values())) and _sound(terms.row_s):
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


def _sound(value: Value) -> bool:
    """Tell whether all of a number or an array is finite and not negative."""
    if isinstance(value, float | int):
        return 0.0 <= value < np.inf
    if not isinstance(value, np.ndarray):
        return True
    if value.size == 1:
        return 0.0 <= value.item() < np.inf
    # The least is NaN where any is.
    return bool(value.min() >= 0.0) and bool(value.max() < np.inf)


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


def peak_of(setting: Setting, name: str) -> Value:
    """Return the rate that an engine states for a compute format, as the runtime drives it.

    Its peak, times what it gains from the format of sums and from structured zeros.
    """
    peak = setting.facts[f"engines.{setting.engine}.peaks.{name}"]
    if setting.bare:
        return peak
    return peak * summed_in(setting, name) * sparse_speedup(setting, ("weight", "activation"))


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
    """Return whether a prediction passes what its machine states; flat, or one boolean."""
    passed: Value = False
    for limit in _limits(prediction):
        passed = passed | (limit.reached > limit.bound * (1.0 + limit.slack))
    if passed is False or (namespace(passed) is np and not np.any(passed)):
        return False
    found: Value = passed & ~_larger(prediction)
    return found


def breaches(prediction: Prediction) -> list[Breach]:
    """Return what a prediction (the first such point) passes, with the row that does so by most."""
    passed = prediction._beyond  # pyright: ignore[reportPrivateUsage]
    bad = np.flatnonzero(np.asarray(passed))
    if not bad.size:
        return []
    point = prediction.at(int(bad[0]))
    return [
        _opened(point, limit)
        for limit in _limits(point)
        if bool(np.any(limit.reached > limit.bound * (1.0 + limit.slack)))
    ]


def _larger(prediction: Prediction) -> Value:
    """Return whether more of the engine is taken than there is."""
    p = prediction
    larger: Value = False
    for used, there in resources(p._totals, p._setting).values():  # pyright: ignore[reportPrivateUsage]
        larger = larger | (used > there)
    return np.asarray(larger) if namespace(larger) is np else larger


def _limits(prediction: Prediction) -> list[Limit]:
    """Return the bounds of a prediction: rates of its engine and memories, and powers."""
    totals, setting = prediction._totals, prediction._setting  # pyright: ignore[reportPrivateUsage]
    facts, latency = setting.facts, totals["latency_s"]
    terms = None if prediction.shape else prediction._opened[1]  # pyright: ignore[reportPrivateUsage]
    out: list[Limit] = []
    busy, rows, paths = 0.0, 0.0, list[str]()
    for key, done in totals.items():
        what, _, name = key.partition(" ")
        if what == "operations" and name != "vector":
            peak = peak_of(setting, name)
            busy = busy + done / peak
            paths.append(f"engines.{setting.engine}.peaks.{name}")
            rows = rows if terms is None else rows + terms.operations[name] / peak
        elif what == "traffic" and (rate := facts.get(f"memories.{name}.bandwidth")) is not None:
            each = None if terms is None else terms.traffic[name] / rate
            out.append(Limit(f"bandwidth of {name}", f"memories.{name}.bandwidth", done / rate,
                             latency, ROUND_OFF, each))  # fmt: skip
    if paths:
        at = ", ".join(paths)
        out.append(Limit("utilization", at, busy, latency, ROUND_OFF, rows))
    joule = prediction._flat_energy.joule  # pyright: ignore[reportPrivateUsage]
    most, idle = facts.get("power.busy"), facts.get("power.idle")
    if joule is not None and most is not None:
        out.append(Limit("power", "power.busy", joule, most * latency, POWER_FIGURES))
    if joule is not None and idle is not None:
        out.append(Limit("idle power", "power.idle", idle * latency, joule, POWER_FIGURES))
    return out


def _opened(prediction: Prediction, limit: Limit) -> Breach:
    """Return a limit that one point passes as a sentence, with the row that does so by most."""
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
    facts = prediction._setting.facts  # pyright: ignore[reportPrivateUsage]
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
        most = _first(facts[limit.fact])
        value = most * share
        text = f"{limit.metric} {show(value, 'bandwidth')}, of {show(most, 'bandwidth')}"
    return Breach(limit.metric, row, value, most, limit.fact, f"{text}{where} ({limit.fact})")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _first(value: Value) -> float:
    return float(np.asarray(value, dtype=float).reshape(-1)[0])
