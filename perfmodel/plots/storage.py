"""Bandwidth of storage against the size of a request, for several depths, beside measured reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error, nearest
from perfmodel.kinds.storage import Storage
from perfmodel.plots.style import GREY, INK, SERIES, SYMBOLS, axis, binary, figure
from perfmodel.plots.subject import PredictionPoint
from perfmodel.units import UnitError, parse, show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

_DEPTHS = (1, 2, 4, 8, 32)
_BLOCKS = ("4 KiB", "16 MiB")
#: Points of a curve for each doubling of the block.
_FINE = 8

Column = npt.NDArray[np.float64]


def storage(
    prediction: Prediction, *, memory: str | None = None, depths: Sequence[float] = (),
    blocks: tuple[float | str, float | str] = _BLOCKS,
    measured: Iterable[tuple[float | str, float, float]] = (),
) -> Figure:  # fmt: skip
    """Draw what a storage gives against the size of a request.

    The dashed line is the bandwidth of large requests in deep queues, the star how the prediction
    reads.

    Parameters
    ----------
    prediction
        On a device with a memory of kind ``ufs``, ``nvme``, ``emmc`` or ``sd``; of an array-valued
        one, the first point is drawn.
    memory
        Its name, where the device has several.
    depths
        Requests in flight, one curve each; by default those of `measured`, else 1, 2, 4, 8 and 32.
    blocks
        Smallest and largest request, bytes or text.
    measured
        (bytes a request or text, requests in flight, bytes a second), drawn as markers.

    Raises
    ------
    InputError
        No such storage, or a size that is none.
    """
    subject = PredictionPoint(prediction)
    measured = [(_bytes(block), float(depth), float(rate)) for block, depth, rate in measured]
    if any(not (depth >= 1 and rate > 0) for _, depth, rate in measured):
        raise input_error(
            "a measured point has less than one request in flight, or no bandwidth",
            "measured",
            expected="(bytes, requests in flight, bytes a second)",
        )
    drawing = _StoragePlot(subject, _name(subject, memory))
    known = sorted({depth for _, depth, _ in measured}) or list(_DEPTHS)
    low, high = (_bytes(block) for block in blocks)
    if not high > low:
        raise input_error("the largest request is no larger", "blocks", expected="two sizes")
    return drawing.figure(list(depths) or known, low, high, measured)


def _bytes(given: float | str) -> float:
    try:
        value = parse(given, "bytes") if isinstance(given, str) else float(given)
    except UnitError as error:
        raise input_error(
            error.message, "blocks", expected=error.expected, suggestion=error.suggestion
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise input_error(f"{given} is no size", "blocks", expected="bytes above 0")
    return value


def _name(subject: PredictionPoint, asked: str | None) -> str:
    device = subject.prediction.machine.device
    known = [memory.name for memory in device.memories if isinstance(memory, Storage)]
    if asked is None and known:
        return known[0]
    if asked in known:
        return str(asked)
    message = f"{device.name} has no storage" if asked is None else f"no storage is named '{asked}'"
    raise input_error(
        message,
        "prediction" if asked is None else "memory",
        expected=f"one of {', '.join(known)}"
        if known
        else "a memory of kind ufs, nvme, emmc or sd",
        suggestion=nearest(asked, known) if asked else "",
    )


class _StoragePlot:
    def __init__(self, subject: PredictionPoint, memory: str) -> None:
        self.subject, self.memory = subject, memory
        self.head = f"memories.{memory}."
        self.facts = subject.setting.facts

    def bandwidth(self, blocks: Column, depth: float) -> Column:
        """Bytes a second by the law of the memory, at the prediction's other facts."""
        setting = self.subject.setting
        facts = {**setting.facts, f"{self.head}block": blocks, f"{self.head}depth": depth}
        law = setting.read_bandwidths[self.memory]
        return np.asarray(law(replace(setting, facts=facts), self.memory), dtype=float)

    def figure(
        self, depths: Sequence[float], low: float, high: float,
        measured: Sequence[tuple[float, float, float]],
    ) -> Figure:  # fmt: skip
        steps = math.ceil(_FINE * math.log2(high / low)) + 1
        blocks = np.geomspace(low, high, steps)
        traces: list[dict[str, Any]] = []
        for i, depth in enumerate(depths):
            color, symbol = SERIES[i % len(SERIES)], SYMBOLS[i % len(SYMBOLS)]
            rate = self.bandwidth(blocks, depth)
            traces.append(
                {"type": "scatter", "mode": "lines", "name": f"{depth:g} in flight",
                 "legendgroup": f"{depth:g}", "x": blocks.tolist(), "y": (rate / 1e9).tolist(),
                 "line": {"color": color, "width": 2}, "meta": {"depth": depth},
                 "hoverinfo": "text",
                 "hovertext": [_hover(depth, b, r) for b, r in zip(blocks, rate, strict=True)]}
            )  # fmt: skip
            mine = [(block, found) for block, deep, found in measured if deep == depth]
            if mine:
                traces.append(
                    {"type": "scatter", "mode": "markers", "name": f"{depth:g} measured",
                     "legendgroup": f"{depth:g}", "x": [b for b, _ in mine],
                     "y": [found / 1e9 for _, found in mine], "meta": {"measured": depth},
                     "marker": {"color": color, "symbol": symbol, "size": 9,
                                "line": {"color": "white", "width": 1}},
                     "hoverinfo": "text",
                     "hovertext": [_hover(depth, b, found, " measured") for b, found in mine]}
                )  # fmt: skip
        others = [point for point in measured if point[1] not in depths]
        if others:
            traces.append(
                {"type": "scatter", "mode": "markers", "name": "other, measured",
                 "x": [b for b, _, _ in others], "y": [found / 1e9 for _, _, found in others],
                 "marker": {"color": GREY, "symbol": "x-thin-open", "size": 8},
                 "meta": {"measured": 0}, "hoverinfo": "text",
                 "hovertext": [_hover(d, b, found, " measured") for b, d, found in others]}
            )  # fmt: skip
        most = float(self.facts[f"{self.head}bandwidth"]) * float(
            self.facts.get(f"{self.head}sustained_fraction", 1.0)
        )
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "large and deep", "x": [low, high],
             "y": [most / 1e9] * 2, "line": {"color": GREY, "width": 1.2, "dash": "dash"},
             "hoverinfo": "text", "hovertext": [show(most, "bandwidth")] * 2,
             "meta": {"ceiling": most}}
        )  # fmt: skip
        block, depth = (float(self.facts[self.head + name]) for name in ("block", "depth"))
        here = float(self.bandwidth(np.asarray([block]), depth)[0])
        traces.append(
            {"type": "scatter", "mode": "markers", "name": "as predicted", "x": [block],
             "y": [here / 1e9], "meta": {"here": here}, "hoverinfo": "text",
             "hovertext": [_hover(depth, block, here)],
             "marker": {"color": INK, "symbol": "star", "size": 14,
                        "line": {"color": "white", "width": 1}}}
        )  # fmt: skip
        device = self.subject.prediction.machine.device
        kind = (
            device.memory(self.memory).kind.upper().replace("NVME", "NVMe").replace("EMMC", "eMMC")
        )
        errors = [
            abs(float(self.bandwidth(np.asarray([b]), deep)[0]) / found - 1)
            for b, deep, found in measured
        ]
        said = f"star: {binary(block)} by {depth:g} as predicted, {show(here, 'bandwidth')}"
        if errors:
            said += (f"; {len(errors)} measured, mean error {100 * float(np.mean(errors)):.1f} %, "
                     f"largest {100 * max(errors):.1f} %")  # fmt: skip
        ticks = [2.0**p for p in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
        ticks = ticks[:: max(1, math.ceil(len(ticks) / 9))]
        tops = [most, here, *(found for _, _, found in measured)]
        return figure(
            traces, f"Bandwidth of {kind} by block and depth: {device.name}", said,
            self._alt(depths, low, high, most, here, len(errors)),
            xaxis=axis("bytes a request", type="log", range=[math.log10(low), math.log10(high)],
                       tickmode="array", tickvals=ticks, ticktext=[binary(t) for t in ticks]),
            yaxis=axis("bandwidth (GB/s)", range=[0, 1.08 * max(tops) / 1e9]),
            legend={"x": 1.02, "y": 1.0, "xanchor": "left", "yanchor": "top", "tracegroupgap": 4},
            margin={"l": 80, "r": 150, "t": 80, "b": 70},
        )  # fmt: skip

    def _alt(
        self, depths: Sequence[float], low: float, high: float, most: float, here: float, n: int
    ) -> str:
        name = self.subject.prediction.machine.device.name
        span = f"from {binary(low)} to {binary(high)}"
        parts = [f"Bandwidth of {self.memory} of {name} against the size of a request {span}."]
        for depth in depths:
            first, last = self.bandwidth(np.asarray([low, high]), depth)
            parts.append(
                f"{depth:g} in flight: {show(float(first), 'bandwidth')} to "
                f"{show(float(last), 'bandwidth')}."
            )
        parts.append(
            f"Large requests in deep queues reach {show(most, 'bandwidth')}; the prediction reads "
            f"with {show(here, 'bandwidth')}."
        )
        if n:
            parts.append(f"{n} measured points.")
        return " ".join(parts)


def _hover(depth: float, block: float, rate: float, more: str = "") -> str:
    return f"{binary(block)}, {depth:g} in flight{more}<br>{show(rate, 'bandwidth')}"
