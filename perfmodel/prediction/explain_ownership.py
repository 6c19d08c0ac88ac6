"""Explanation of money, carbon and heat: their equations with all numbers inserted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.columns import dimension_of
from perfmodel.hardware.ownership import BODY
from perfmodel.prediction.ownership_metrics import COST_FACTS
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.cost.run_cost import RunCost
    from perfmodel.prediction.basis import Interval
    from perfmodel.prediction.prediction import Prediction

_SITE = ("electricity_price", "carbon_intensity", "power_usage_effectiveness")
#: Metric -> parts of it that may be unknown.
_PARTS = {"cost_usd": ("price", "energy"), "carbon_kg": ("embodied", "energy")}


def ownership_facts(prediction: Prediction) -> list[str]:
    """Return the paths of the facts that cost, carbon and heat depend on."""
    known = {**prediction.machine.device.defaults, **prediction.setting.facts}
    return [path for path in known if path.startswith(COST_FACTS) or path in BODY]


def explain_ownership(prediction: Prediction) -> str:
    """Return the arithmetic behind cost, carbon and heat, for the first point if there are many.

    Every line with two equals signs has the form ``name = expression = number``; the expression is
    plain arithmetic that evaluates to the number.
    """
    from perfmodel.cost.energy import waiting_power_w

    if prediction.shape:
        return explain_ownership(prediction.at(0))
    cost, machine = prediction.cost, prediction.machine
    joules_price, joules_kg, effectiveness = (machine.get(f"site.{name}") for name in _SITE)
    seconds, joules = prediction.latency_s, prediction.energy_j
    facts = machine.facts
    used, period = machine.get("site.utilization"), facts.get("use.period")
    waits = f"{seconds:.12g}*(1-{used:.12g})/{used:.12g}"
    if period is not None:
        waits = f"max({period:.12g}-{seconds:.12g}, 0)"
    waiting_w = waiting_power_w(prediction.setting)
    waiting = "" if waiting_w is None else f" + {waiting_w:.12g}*{waits}"
    terms = "share of the device + electricity of the run"
    left_out = ", without that of waiting, as no idle power is stated"
    terms += left_out if waiting_w is None else " and of waiting"
    lines = [f"money and carbon of a run: {terms}"]
    for name, device, each, value in (
        ("cost_usd", cost.device_usd, joules_price, cost.cost_usd),
        ("carbon_kg", cost.embodied_kg, joules_kg, cost.carbon_kg),
    ):
        reasons = [r for part, r in cost.reasons.items() if part in _PARTS[name]]
        electricity = f"({joules:.12g}{waiting})*{effectiveness:.12g}*{each:.12g}"
        owned = f"{device:.12g}*({seconds:.12g} + {waits})/{machine.get('site.lifetime'):.12g}"
        text = f"{owned} + {electricity}"
        lines.append(
            f"{name}: not known, since {' and '.join(reasons)}"
            if reasons
            else f"{name} = {text} = {value:.9g}"
        )
    lines.append(f"heat: {prediction.burst_reason}")
    if "area" not in machine and not np.isnan(prediction.area_mm2):
        lines.append(f"  area = {1e-6 * prediction.area_mm2:.12g}  (blocks that the spec states)")
    for path in ownership_facts(prediction):
        origin, default = machine.provenance.get(path), machine.device.defaults.get(path)
        if path in prediction.setting.facts and origin is not None:
            value, confidence = first_number(prediction.setting.facts[path]), origin.confidence
            where = origin.writer + (f", {origin.source}" if origin.source else "")
        else:
            assert default is not None
            value, confidence = default.value, "assumed"
            where = f"{default.origin}, {default.source}"
        lines.append(f"  {path} = {float(value):.12g}  ({confidence or 'default'}; {where})")
    return "\n".join(lines)


def cost_lines(
    prediction: Prediction,
    cost_of_items: Callable[[], RunCost],
    items: float,
    interval: Callable[[str], Interval],
) -> list[tuple[str, str]]:
    """Return (label, text) pairs of cost and emissions by item, if a question sets their facts.

    Parameters
    ----------
    prediction
        Prediction of the device.
    cost_of_items, items
        Function that returns the cost of so many items.
    interval
        Function that returns the 90 % interval of a cost by item.
    """
    if not prediction.costs_asked:
        return []
    from perfmodel.cost.energy import waiting_power_w

    cost = cost_of_items()
    tokens = prediction.workload.unit == "tokens"
    count, noun = (1e6, "a million tokens") if tokens else (1.0, "an inference")
    name = "million_tokens" if tokens else "inference"
    scale = count / items
    lines: list[tuple[str, str]] = []
    for metric, parts in cost.parts.items():
        label, dimension = metric.partition("_")[0], dimension_of(metric)
        by_item = f"{metric}_per_{name}".replace("cost_", "")
        lacks = [r for n, r in cost.reasons.items() if n in _PARTS[metric]]
        if lacks:
            lines.append((label, f"not known: {'; '.join(lacks)}"))
            continue
        values = {part: scale * value for part, value in parts.items()}
        if waiting_power_w(prediction.setting) is None:
            del values["waiting"]
        texts = [f"{part} {show(value, dimension)}" for part, value in values.items()]
        total = f"{show(sum(values.values()), dimension)} {noun}: {', '.join(texts)}"
        total += "" if "waiting" in values else "; waiting not counted, of which nothing is stated"
        within = interval(by_item)
        lines += [
            (label, total),
            ("  90 % in", f"{within.show(dimension)} ({within.basis})"),
        ]
    return lines
