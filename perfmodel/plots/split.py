"""Split computing: the latency of each strategy against the rate of the link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import input_error
from perfmodel.plots.style import INK, SERIES, axis, decades, figure
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.system.split import Split

_DASHES = ("solid", "dash", "dot", "dashdot")
#: Points of a curve: lines in 1 / rate are curved on these axes.
_POINTS = 200


class SplitPlots:
    """Plots of a split; each returns a plotly figure."""

    def __init__(self, found: Split) -> None:
        self._found = found

    def latency(self, *, cuts: int = 6) -> Figure:
        """Latency of each strategy over the rate; see `perfmodel.plots.split.latency`."""
        return latency(self._found, cuts=cuts)

    def __repr__(self) -> str:
        return "plots: latency"


def split_plots(found: Split) -> SplitPlots:
    """Return the plots of a split."""
    return SplitPlots(found)


def latency(found: Split, *, cuts: int = 6) -> Figure:
    """Draw what each strategy takes over the rates that were asked for, and the best of all cuts.

    Parameters
    ----------
    cuts
        Strategies to draw beside all on one side: those that are the best somewhere first, then
        those that come nearest to the best.

    Raises
    ------
    InputError
        No cut fits.
    """
    if not found.feasible:
        raise input_error("no cut fits both sides", "split", expected="a feasible one")
    asked = found.rates_bytes_per_s
    low, high = float(asked.min()), float(asked.max())
    if low == high:
        low, high = low / 10.0, high * 10.0
    level, slope, _, _ = found._lines()  # pyright: ignore[reportPrivateUsage]
    rates = np.geomspace(low, high, _POINTS)
    values = level[:, None] + slope[:, None] / rates
    fits = found.cuts.fits
    least = np.where(fits[:, None], values, np.inf).min(axis=0)
    nearest = np.where(fits, (values / least).min(axis=1), np.inf)
    ends = [found.local, found.remote]
    order = [int(k) for k in np.argsort(nearest, kind="stable") if int(k) not in ends]
    inner = [k for k in order[:cuts] if np.isfinite(nearest[k]) and nearest[k] < 4.0]
    shown = [k for k in (ends[0], *inner, ends[1]) if fits[k]]
    traces: list[dict[str, Any]] = []
    for i, k in enumerate(shown):
        traces.append({
            "type": "scatter", "mode": "lines", "name": _short(found.name(k)),
            "x": (8.0 * rates).tolist(), "y": values[k].tolist(), "hoverinfo": "text",
            "hovertext": [f"{found.name(k)}<br>{show(r, 'bandwidth', unit='Mbit/s')}: "
                          f"{show(v, 'time')}" for r, v in zip(rates, values[k], strict=True)],
            "line": {"color": SERIES[i % len(SERIES)], "width": 2,
                     "dash": _DASHES[i // len(SERIES) % len(_DASHES)]},
            "meta": {"cut": k},
        })  # fmt: skip
    traces.append({
        "type": "scatter", "mode": "lines", "name": "the best of all cuts",
        "x": (8.0 * rates).tolist(), "y": least.tolist(), "hoverinfo": "skip",
        "line": {"color": INK, "width": 7}, "opacity": 0.25, "meta": {"cut": -1},
    })  # fmt: skip
    floor, top = float(least.min()), float(np.max([values[k].max() for k in shown]))
    top = min(top, 30.0 * float(least.max()))
    span = [np.log10(0.8 * floor), np.log10(1.2 * top)]
    ranges = [r for r in found.ranges if r.to_bytes_per_s > low and r.from_bytes_per_s < high]
    said = "; ".join(f"{r.name} from {_rate(max(r.from_bytes_per_s, low))}" for r in ranges)
    d, s = found.device.prediction, found.server.prediction
    alt = (f"Latency of {d.workload.name} over the rate of the link, from "
           f"{_rate(low)} to {_rate(high)}, for {len(shown)} cuts. Least latency "
           f"{show(float(least[0]), 'time')} at the lowest rate, {show(float(least[-1]), 'time')} "
           f"at the highest. Best: {said}.")  # fmt: skip
    drawn = figure(
        traces, f"{d.workload.name} cut between {d.device} and {s.device}",
        f"{found.cuts.count} cuts of {found.stages.count} stages, over {found.link}; "
        "vertical lines where the best one changes", alt,
        xaxis=axis("rate of the link", type="log", range=[np.log10(8 * low), np.log10(8 * high)],
                   **_bits(8 * low, 8 * high)),
        yaxis=axis("latency of a run, less is better", type="log", range=span,
                   **decades(float(span[0]), float(span[1]), "time")),
        legend={"x": 1.02, "y": 1.0, "font": {"size": 12}},
        margin={"l": 85, "r": 250, "t": 84, "b": 64},
    )  # fmt: skip
    lines: Any = drawn
    for change in ranges[1:]:
        line = {"color": INK, "width": 1, "dash": "dot"}
        lines.add_vline(x=8.0 * change.from_bytes_per_s, line=line)
    return drawn


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:27]}..."


def _rate(rate: float) -> str:
    return show(rate, "bandwidth", unit="Mbit/s", digits=3)


def _bits(low: float, high: float) -> dict[str, Any]:
    ticks = decades(float(np.log10(low)), float(np.log10(high)))
    texts = [f"{v / 1e6:g} Mbit/s" for v in ticks["tickvals"]]
    return {**ticks, "ticktext": texts}
