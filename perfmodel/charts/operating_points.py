"""Picture of a device's modes: energy over latency, and the period as a line."""

from __future__ import annotations

import math

from perfmodel.charts import GREY, Chart, Label, Lines, Panel, Picture, ReferenceLine, fitted, looks
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.predict import predict
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show

#: Metric -> name of its curve.
_CURVES = {"energy_j": "a run", "energy_per_period_j": "a run and the rest of its period"}


@Picture
def operating_points(prediction: Prediction) -> Chart:
    """Draw energy over latency of a prediction in each mode of its device.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn. With ``use.period`` set, the
        energy of a period is drawn too, and the period as a line.

    Raises
    ------
    InputError
        The device lists no operating points, or the energy of a run is not known.
    """
    subject = PredictionPoint(prediction)
    point = subject.prediction
    job = point.job
    names = [*point.machine.device.operating_points]
    if not names or math.isnan(point.energy_j):
        message = f"{point.machine.device.name} lists no operating points with a known energy"
        raise input_error(message, expected="operating_points in its spec")
    answers = {
        name: predict(
            job.workload,
            point.machine.vary({"operating_point": name}),
            precision=job.precision,
            runtime=job.machine.runtime,
        )
        for name in names
    }
    order = sorted(names, key=lambda name: answers[name].latency_s)
    period = point.machine.get("use.period")
    series: list[Lines] = []
    shown: dict[str, float] = {}
    for i, (metric, curve) in enumerate(_CURVES.items()):
        if metric == "energy_per_period_j" and period is None:
            continue
        color, symbol, dash = looks(i)
        shown = {name: float(getattr(answers[name], metric)) for name in order}
        shown = {name: joules for name, joules in shown.items() if not math.isnan(joules)}
        times = [float(answers[name].latency_s) for name in shown]
        hover = [
            f"{name}<br>{curve}: {show(joules, 'energy')} in {show(seconds, 'time')}"
            for (name, joules), seconds in zip(shown.items(), times, strict=True)
        ]
        ends = [*shown.values()]
        series.append(Lines(curve, times, ends, hover, color=color, dash=dash, symbol=symbol))
    best = min(shown, key=lambda name: shown[name], default="")
    limits = [ReferenceLine(float(period), "x", "period", GREY)] if period is not None else []
    labels = [
        Label(f"<b>{name}</b>" if name == best else name, float(answers[name].latency_s), joules)
        for name, joules in shown.items()
    ]
    least = f"least energy at {best}" if best else "no mode ends in its period"
    spans = [*(float(answers[name].latency_s) for name in order), *(line.at for line in limits)]
    energies = [joules for each in series for joules in each.y]
    return Chart(
        f"Operating points: {subject.title}",
        f"{subject.subtitle}; {least}",
        f"Energy over latency of {subject.title} in {len(names)} modes: {least}.",
        [
            Panel(
                fitted("latency of a run", spans, "time", zero=False),
                fitted(f"energy ({point.energy_boundary})", energies, "energy"),
                series,
                limits=limits,
                labels=labels,
            )
        ],
        legend="below",
    )
