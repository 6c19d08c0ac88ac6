"""Prediction intervals of money, carbon and battery life, from those of latency and energy.

A cost is affine in both, ``A t + B E``, and grows with both. Its ends are ``A t_low + B E_low`` and
``A t_high + B E_high``, as if latency and energy erred together: what takes longer than predicted
takes more energy than predicted, as far as power is drawn all the time. Ends of independent errors
would lie nearer. Prices, grids, embodied carbon and a charge are taken as they are stated: where
one is estimated, or the default of a class, the interval is ``assumed``. The energy of a period
misses what its run misses, as what it draws between runs is stated; a charge lasts in inverse
proportion to the power, that of the run, or over its period.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.arrays import Value
from perfmodel.evidence import BASES
from perfmodel.prediction.basis import Interval
from perfmodel.prediction.ownership_metrics import COST_FACTS, COST_METRICS

if TYPE_CHECKING:
    from perfmodel.cost.run_cost import RunCost
    from perfmodel.prediction.prediction import Prediction

#: Metrics that have such an interval.
INTERVALS = (
    *sorted(COST_METRICS),
    *("energy_per_period_j", "average_power_w", "battery_hours", "battery_share_in_an_hour"),
)


def cost_interval(
    cost: RunCost, metric: str, value: Value, time: Interval, energy: Interval, stated: str
) -> Interval:
    """Return the interval of a cost or of emissions.

    Parameters
    ----------
    cost
        The cost with its terms, of as much work as `time` and `energy` are of.
    metric, value
        One of `COST_METRICS` and its value, which is in proportion to the cost.
    time, energy
        Intervals of what the terms are in proportion to; a time may be stated as a rate's.
    stated
        Basis of the facts of the cost (`basis_of_costs`).
    """
    if "usd" in metric:
        by_time, by_energy = cost.depreciation_usd + cost.waiting_usd, cost.electricity_usd
    else:
        by_time, by_energy = cost.embodied_share_kg + cost.waiting_kg, cost.operation_kg
    scale = value / (by_time + by_energy)
    low, high = (
        scale * (by_time * seconds / time.value + by_energy * joules / energy.value)
        for seconds, joules in ((time.low, energy.low), (time.high, energy.high))
    )
    weakest = max(stated, time.basis, energy.basis, key=BASES.index)
    return Interval(low, value, high, time.level, weakest)


def basis_of_costs(prediction: Prediction, metric: str) -> str:
    """Return ``assumed`` if a fact of a cost is estimated or a default, else ``measured``."""
    machine, facts = prediction.machine, prediction.setting.facts
    usd = "usd" in metric
    others = {"site.carbon_intensity" if usd else "site.electricity_price"}
    # Where there is a price, no silicon is priced; emissions do not depend on it.
    others |= {"area", "energy.node", "volume"} if usd and "price" in facts else set[str]()
    others |= set[str]() if usd else {"price", "volume"}
    paths = [
        path
        for path in {**machine.device.defaults, **facts}
        if path.startswith(COST_FACTS) and path not in others
    ]
    known = (machine.provenance.get(path) for path in paths)
    stated = all(each is not None and each.confidence != "estimated" for each in known)
    return "measured" if stated else "assumed"


def ownership_interval(prediction: Prediction, metric: str, level: float) -> Interval | None:
    """Return the interval of a cost or of battery life; None for other metrics."""
    value = getattr(prediction, metric) if metric in INTERVALS else None
    if value is None:
        return None
    if metric in COST_METRICS:
        time, energy = (prediction.interval(each, level) for each in ("latency_s", "energy_j"))
        stated = basis_of_costs(prediction, metric)
        if prediction.energy_per_period_j is not None:
            # A run has the period's share of the life however long it takes.
            time = time._replace(low=time.value, high=time.value)
        return cost_interval(prediction.cost, metric, value, time, energy, stated)
    drawn = prediction.energy_per_period_j
    if drawn is None:
        run = prediction.interval("power_w", level)
        ends = [run.low / run.value, run.high / run.value]
    else:
        run = prediction.interval("energy_j", level)
        ends = [1.0 + (end - run.value) / drawn for end in (run.low, run.high)]
    if metric == "battery_hours":
        low, high = (value / end for end in reversed(ends))
    elif drawn is None:
        # A device that throttles draws no more for a run that takes more.
        low, high = (getattr(prediction.thermal_at(end), metric) for end in ends)
    else:
        low, high = (value * end for end in ends)
    return Interval(low, value, high, level, run.basis)
