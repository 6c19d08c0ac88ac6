"""Pictures of ownership: cost over the utilization of a device, and temperature over time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts import (
    GREY,
    SERIES,
    Chart,
    ChartAxis,
    Lines,
    Panel,
    Picture,
    ReferenceLine,
    Series,
)
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.cost.thermal import (
    ChipOnBody,
    ThermalNode,
    body_of,
    chip_on_body,
    temperature,
)
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show

#: Least utilization of a curve, unless the device is used less, and points of a curve.
_LEAST = 0.01
_POINTS = 61
#: Points of a curve over time.
_TIMES = 121


@Picture
def cost_over_utilization(prediction: Prediction) -> Chart:
    """Draw the cost of a million tokens, or of an inference, over the utilization of the device.

    Where a period is set, the utilization is the share of the period that the run takes.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.

    Raises
    ------
    InputError
        The price or the energy is not known.
    """
    subject = PredictionPoint(prediction)
    point = subject.prediction
    if reason := point.missing_reason("cost_usd"):
        raise input_error(f"there is no cost to draw: {reason}", expected="a price and an energy")
    tokens = point.workload.unit == "tokens"
    noun, count = ("a million tokens", 1e6) if tokens else ("an inference", 1.0)
    scale = count / first_number(point.job.workload.items())
    seconds, period = float(point.latency_s), point.machine.get("use.period")
    # With a period the device is used for that share of it, and sleeps for what is left.
    used = point.machine.get("site.utilization") if period is None else min(seconds / period, 1.0)
    shares = np.geomspace(min(float(used), _LEAST), 1.0, _POINTS)
    path, at = ("site.utilization", shares) if period is None else ("use.period", seconds / shares)
    machine = point.machine.vary({path: at.tolist()})
    many = replace(point.job, machine=machine).run().cost
    together, device, electricity, waiting = (
        scale * np.broadcast_to(usd, shares.shape)
        for usd in (many.cost_usd, many.depreciation_usd, many.electricity_usd, many.waiting_usd)
    )
    curves = [
        ("together", together, SERIES[0]),
        ("device", device, SERIES[1]),
        ("electricity of runs", electricity, SERIES[2]),
    ]
    if waiting.any():
        # At full utilization a device never waits: a logarithmic axis has no place for that point.
        curves.append(("electricity of waiting", waiting[:-1], SERIES[3]))
    series = [
        _curve(name, shares[: len(values)], values, color, [show(v, "price") for v in values])
        for name, values, color in curves
    ]
    low, high = 0.5 * float(min(electricity[0], device[-1])), float(together[0])
    least = f"{100 * shares[0]:.4g} %"
    ends = f"{show(high, 'price')} at {least} to {show(float(together[-1]), 'price')}"
    return Chart(
        f"Cost of {noun}: {subject.title}",
        f"{subject.subtitle}; {show(scale * point.cost_usd, 'price')} at {100 * used:.4g} %",
        f"Cost of {noun} of {subject.title} over utilization: {ends} at 100 %.",
        [
            Panel(
                ChartAxis("utilization of the device", float(shares[0]), 1.0, "fraction", log=True),
                ChartAxis(f"US dollars for {noun}", low, 1.2 * high, "price", log=True),
                series,
            )
        ],
    )


@Picture
def temperature_over_time(prediction: Prediction) -> Chart:
    """Draw the temperature of a device that repeats the run, from ambient to its limit.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.

    Raises
    ------
    InputError
        Neither the device nor its class states how it sheds heat, or the energy is not known.
    """
    subject = PredictionPoint(prediction)
    point = subject.prediction
    warm = point.thermal
    if not math.isfinite(warm.steady_celsius):
        raise input_error(
            f"there is no temperature to draw: {point.burst_reason}",
            expected="an energy, power.thermal_resistance and power.heat_capacity",
        )
    facts = {
        **{p: d.value for p, d in point.machine.device.defaults.items()},
        **point.setting.facts,
    }
    node = body_of(facts)
    chip = chip_on_body(facts, node)
    last = 1.5 * warm.burst_s if math.isfinite(warm.burst_s) else 5.0 * node.time_constant_s
    seconds = np.linspace(0.0, max(float(last), 1e-9), _TIMES)
    curves = _temperatures(node, chip, point, seconds)
    series: list[Series] = [
        _curve(name, seconds, values, SERIES[i], [f"{v:.1f} degC" for v in values], dash)
        for i, (name, (values, dash)) in enumerate(curves.items())
    ]
    ends = {"": node.limit} if chip is None else {"": node.limit, " of the chip": chip.limit}
    limits = [
        ReferenceLine(limit, text=f"limit{part} {limit:g} degC", color=GREY)
        for part, limit in ends.items()
        if math.isfinite(limit)
    ]
    top = max([*(float(values[-1]) for values, _ in curves.values()), *(one.at for one in limits)])
    return Chart(
        f"Temperature: {subject.title}",
        f"{subject.subtitle}; {show(point.power_w, 'power')}",
        f"Temperature of {subject.title} over {show(float(seconds[-1]), 'time')}, from "
        f"{node.ambient:g} degrees: {point.burst_reason}.",
        [
            Panel(
                ChartAxis("time of running", 0.0, float(seconds[-1]), "time"),
                ChartAxis(
                    "temperature (degC)", node.ambient, node.ambient + 1.08 * (top - node.ambient)
                ),
                series,
                limits=limits,
            )
        ],
    )


def _temperatures(
    node: ThermalNode, chip: ChipOnBody | None, point: Prediction, seconds: np.ndarray
) -> dict[str, tuple[np.ndarray, str]]:
    """Return name -> temperatures and dash of each curve; the limited part is what throttles."""
    warm, power = point.thermal, point.power_w
    dash = "dash" if math.isfinite(warm.burst_s) else "solid"
    limited = temperature(node, power, seconds)
    limit = node.ambient + warm.sustained_power_w * node.resistance
    curves = {"full speed": (limited, dash)}
    if chip is not None:
        hot, limited = chip.temperatures(power, seconds)
        curves = {"body at full speed": (limited, dash), "chip at full speed": (hot, "dot")}
        if np.interp(warm.burst_s, seconds, limited) < limit - 0.1:
            limited, limit = hot, chip.limit
    if math.isfinite(warm.burst_s):
        curves["as it throttles"] = (np.minimum(limited, limit), "solid")
    return curves


def _curve(
    name: str,
    xs: np.ndarray,
    ys: np.ndarray,
    color: str,
    hover: list[str],
    dash: str = "solid",
) -> Lines:
    """Return a line with a hover text of each point."""
    texts = [f"{name}<br>{text}" for text in hover]
    return Lines(name, xs.tolist(), ys.tolist(), texts, color=color, dash=dash)
