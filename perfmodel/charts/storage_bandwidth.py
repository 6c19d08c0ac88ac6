"""Picture of a storage: bandwidth over request size at several queue depths, and measured reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.charts import (
    GREY,
    INK,
    Chart,
    ChartAxis,
    Lines,
    Panel,
    Picture,
    Points,
    Series,
    binary,
    looks,
)
from perfmodel.charts.prediction_point import PredictionPoint, size_of
from perfmodel.errors import InputError, input_error, no_such
from perfmodel.kinds.storage import Storage
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show

_DEPTHS = (1, 2, 4, 8, 32)
_BLOCKS = ("4 KiB", "16 MiB")
#: Points of a curve per doubling of the block size.
_FINE = 8

#: Bytes per request, requests in flight, bytes per second.
Read = tuple[float, float, float]


@Picture
def storage(
    prediction: Prediction,
    *,
    memory: str | None = None,
    depths: Sequence[float] = (),
    blocks: tuple[float | str, float | str] = _BLOCKS,
    measured: Iterable[tuple[float | str, float, float]] = (),
) -> Chart:
    """Draw the bandwidth of a storage against request size.

    The dashed line is the bandwidth of large requests in deep queues, the star the prediction's own
    request size and depth.

    Parameters
    ----------
    prediction
        Device with a memory of kind ``ufs``, ``nvme``, ``emmc`` or ``sd``; of an array-valued one,
        the first point is drawn.
    memory
        Name of the storage, if the device has several.
    depths
        Requests in flight, one curve each; by default those of `measured`, else 1, 2, 4, 8 and 32.
    blocks
        Smallest and largest request, bytes or text.
    measured
        (bytes per request or text, requests in flight, bytes per second), drawn as markers.

    Raises
    ------
    InputError
        No such storage, or an invalid size.
    """
    subject = PredictionPoint(prediction)
    reads = [
        (size_of(block, "blocks", "size"), float(depth), float(rate))
        for block, depth, rate in measured
    ]
    if any(not (depth >= 1 and rate > 0) for _, depth, rate in reads):
        message = "a measured point has less than one request in flight, or no bandwidth"
        expected = "(bytes, requests in flight, bytes per second)"
        raise input_error(message, "measured", expected=expected)
    law = _BandwidthLaw(subject, _name(subject, memory))
    low, high = (size_of(block, "blocks", "size") for block in blocks)
    if not high > low:
        raise input_error("the largest request is no larger", "blocks", expected="two sizes")
    known = sorted({depth for _, depth, _ in reads}) or list(_DEPTHS)
    return _bandwidth_chart(law, list(depths) or known, (low, high), reads)


def _name(subject: PredictionPoint, name: str | None) -> str:
    """Return the name of the storage to draw."""
    device = subject.prediction.machine.device
    known = [memory.name for memory in device.memories if isinstance(memory, Storage)]
    if known and name in (None, *known):
        return name or known[0]
    expected = "a memory of kind ufs, nvme, emmc or sd"
    if name is None:
        raise input_error(f"{device.name} has no storage", "prediction", expected=expected)
    message = f"no storage is named '{name}'"
    raise InputError(no_such(message, name, known, "memory", expected="" if known else expected))


class _BandwidthLaw:
    """Bandwidth of a memory as a function of block and depth, other facts fixed."""

    def __init__(self, subject: PredictionPoint, memory: str) -> None:
        self.memory, self.setting = memory, subject.setting
        self.device = subject.prediction.machine.device

    def fact(self, name: str, default: float = math.nan) -> float:
        """Return a fact of the storage."""
        return float(self.setting.facts.get(f"memories.{self.memory}.{name}", default))

    def rates(self, blocks: Sequence[float], depth: float) -> list[float]:
        """Return bytes per second at each block size."""
        head = f"memories.{self.memory}."
        values = {f"{head}block": np.asarray(blocks), f"{head}depth": depth}
        facts: dict[str, Any] = {**self.setting.facts, **values}
        law = self.setting.read_bandwidths[self.memory]
        return law(replace(self.setting, facts=facts), self.memory).tolist()

    def reads(self, blocks: Sequence[float], depth: float) -> list[Read]:
        """Return a read at each block size."""
        rates = self.rates(blocks, depth)
        return [(block, depth, rate) for block, rate in zip(blocks, rates, strict=True)]


def _bandwidth_chart(
    law: _BandwidthLaw, depths: Sequence[float], ends: tuple[float, float], reads: Sequence[Read]
) -> Chart:
    """Return the chart of bandwidth over request size, a curve for each queue depth."""
    low, high = ends
    most = law.fact("bandwidth") * law.fact("sustained_fraction", 1.0)
    (own_read,) = law.reads([law.fact("block")], law.fact("depth"))
    count = math.ceil(_FINE * math.log2(high / low)) + 1
    blocks = np.geomspace(low, high, count).tolist()
    series: list[Series] = []
    lines = [f"Bandwidth of {law.memory} of {law.device.name} over the size of a request."]
    for i, depth in enumerate(depths):
        color, symbol, _ = looks(i)
        curve, name = law.reads(blocks, depth), f"{depth:g}"
        look: dict[str, Any] = {"group": name, "color": color}
        series += _read_points(Lines, f"{name} in flight", curve, meta={"depth": depth}, **look)
        look |= {"symbol": symbol, "size": 9, "meta": {"measured": depth}}
        own = [read for read in reads if read[1] == depth]
        series += _read_points(Points, f"{name} measured", own, **look)
        rates = [f"{show(rate, 'bandwidth')} at {binary(b)}" for b, _, rate in curve[:: count - 1]]
        lines.append(f"{name} in flight: {' to '.join(rates)}.")
    others = [read for read in reads if read[1] not in depths]
    look = {"color": GREY, "symbol": "x-thin-open", "size": 9, "meta": {"measured": 0}}
    series += _read_points(Points, "other, measured", others, **look)
    top = show(most, "bandwidth")
    look = {"color": GREY, "width": 1.2, "dash": "dash", "meta": {"ceiling": most}}
    series.append(Lines("large and deep", ends, [most / 1e9] * 2, top, **look))
    look = {"color": INK, "symbol": "star", "size": 14, "meta": {"here": own_read[2]}}
    series += _read_points(Points, "as predicted", [own_read], **look)
    kind = law.device.memory(law.memory).kind.upper()
    kind = kind.replace("NVME", "NVMe").replace("EMMC", "eMMC")
    rate = show(own_read[2], "bandwidth")
    text = f"star: {binary(own_read[0])} by {own_read[1]:g} as predicted, {rate}"
    lines.append(f"Large requests in deep queues reach {top}; the prediction reads with {rate}.")
    if reads:
        errors = [abs(law.rates([b], queue)[0] / rate - 1) for b, queue, rate in reads]
        text += f"; {len(errors)} measured, mean error {100 * float(np.mean(errors)):.1f} %, "
        text += f"largest {100 * max(errors):.1f} %"
        lines.append(f"{len(errors)} measured points.")
    highest = 1.08 * max(most, *(rate for *_, rate in (own_read, *reads))) / 1e9
    across = ChartAxis("bytes per request", low, high, "bytes", log=True)
    panel = Panel(across, ChartAxis("bandwidth (GB/s)", 0.0, highest), series)
    title = f"Bandwidth of {kind} by block and depth: {law.device.name}"
    return Chart(title, text, " ".join(lines), [panel])


def _read_points(form: type[Points], name: str, reads: Sequence[Read], **look: Any) -> list[Points]:
    """Return reads as a series; empty if there are none."""
    measured = " measured" if "measured" in name else ""
    hover = [
        f"{binary(block)}, {depth:g} in flight{measured}<br>{show(rate, 'bandwidth')}"
        for block, depth, rate in reads
    ]
    blocks, rates = [block for block, *_ in reads], [rate / 1e9 for *_, rate in reads]
    return [form(name, blocks, rates, hover, **look)] if reads else []
