"""Picture of split computing: latency of each strategy over the rate of the link."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.arrays import Array
from perfmodel.charts import INK, Chart, ChartAxis, Lines, Panel, Picture, ReferenceLine, looks
from perfmodel.errors import input_error
from perfmodel.system.split import Split
from perfmodel.units import show

#: Points of a curve: functions linear in 1 / rate are curved on these axes.
_POINTS = 200


@Picture
def latency(split: Split, *, cuts: int = 6) -> Chart:
    """Draw the latency of each strategy over the rates, and the minimum over all cuts.

    Parameters
    ----------
    cuts
        Number of strategies to draw besides those on one side only: first those that are optimal
        somewhere, then those nearest to the optimum.

    Raises
    ------
    InputError
        No cut fits.
    """
    if not split.feasible:
        raise input_error("no cut fits both sides", "split", expected="a feasible one")
    low, high = float(split.rates_bytes_per_s.min()), float(split.rates_bytes_per_s.max())
    if low == high:
        low, high = low / 10.0, high * 10.0
    rates = np.geomspace(low, high, _POINTS)
    values = split.latency_at(rates)
    fits = split.cuts.fits
    least = np.where(fits[:, None], values, np.inf).min(axis=0)
    nearest = np.where(fits, (values / least).min(axis=1), np.inf)
    first, last = split.local, split.remote
    order = [k for k in np.argsort(nearest, kind="stable").tolist() if k not in (first, last)]
    inner = [k for k in order[:cuts] if nearest[k] < 4.0]
    shown = [k for k in (first, *inner, last) if fits[k]]
    best: dict[str, Any] = {"color": INK, "width": 7, "opacity": 0.25, "meta": {"cut": -1}}
    series = [_curve(split, k, i, rates, values[k]) for i, k in enumerate(shown)]
    series.append(Lines("the best of all cuts", 8.0 * rates, least, **best))
    top = min(float(values[shown].max()), 30.0 * float(least.max()))
    ranges = [r for r in split.ranges if r.to_bytes_per_s > low and r.from_bytes_per_s < high]
    texts = "; ".join(f"{r.name} from {_rate(max(r.from_bytes_per_s, low))}" for r in ranges)
    device, server = split.device.prediction, split.server.prediction
    seconds = [show(float(least[i]), "time") for i in (0, -1)]
    return Chart(
        f"{device.workload.name} cut between {device.device} and {server.device}",
        f"{split.cuts.count} cuts of {split.stages.count} stages, over {split.link}; vertical "
        "lines where the best one changes",
        f"Latency of {device.workload.name} over the rate of the link, from {_rate(low)} to "
        f"{_rate(high)}, for {len(shown)} cuts. Least latency {seconds[0]} at the lowest rate, "
        f"{seconds[1]} at the highest. Best: {texts}.",
        [
            Panel(
                ChartAxis("rate of the link", 8.0 * low, 8.0 * high, "bit rate", log=True),
                ChartAxis(
                    "latency of a run, less is better",
                    0.8 * float(least.min()),
                    1.2 * top,
                    "time",
                    log=True,
                ),
                series,
                limits=[
                    ReferenceLine(8.0 * r.from_bytes_per_s, "x", width=1, dash="dot")
                    for r in ranges[1:]
                ],
            )
        ],
    )


def _curve(split: Split, cut: int, place: int, rates: Array, seconds: Array) -> Lines:
    """Return the latency of one strategy over the rates."""
    color, _, dash = looks(place)
    name = split.name(cut)
    hover = [
        f"{name}<br>{_rate(rate)}: {show(value, 'time')}"
        for rate, value in zip(rates, seconds, strict=True)
    ]
    short = name if len(name) <= 30 else f"{name[:27]}..."
    return Lines(short, 8.0 * rates, seconds, hover, color=color, dash=dash, meta={"cut": cut})


def _rate(rate: float) -> str:
    """Return the rate of a link as text."""
    return show(rate, "bandwidth", unit="Mbit/s", digits=3)
