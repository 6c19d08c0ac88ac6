"""Bandwidth of storage against the size of a request, for several depths, beside measured reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error, nearest
from perfmodel.kinds.storage import Storage
from perfmodel.units import UnitError, parse, show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

_DEPTHS = (1, 2, 4, 8, 32)
_BLOCKS = ("4 KiB", "16 MiB")
#: Points of a curve for each doubling of the block.
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
        (bytes per request or text, requests in flight, bytes per second), drawn as markers.

    Raises
    ------
    InputError
        No such storage, or a size that is none.
    """
    subject = PredictionPoint(prediction)
    reads = [(_bytes(block), float(depth), float(rate)) for block, depth, rate in measured]
    if any(not (depth >= 1 and rate > 0) for _, depth, rate in reads):
        raise input_error(
            "a measured point has less than one request in flight, or no bandwidth",
            "measured",
            expected="(bytes, requests in flight, bytes a second)",
        )
    law = _Law(subject, _name(subject, memory))
    low, high = (_bytes(block) for block in blocks)
    if not high > low:
        raise input_error("the largest request is no larger", "blocks", expected="two sizes")
    known = sorted({depth for _, depth, _ in reads}) or list(_DEPTHS)
    return _chart(law, list(depths) or known, (low, high), reads)


def _bytes(size: float | str) -> float:
    try:
        value = parse(size, "bytes") if isinstance(size, str) else float(size)
    except UnitError as error:
        raise input_error(
            error.message, "blocks", expected=error.expected, suggestion=error.suggestion
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise input_error(f"{size} is no size", "blocks", expected="bytes above 0")
    return value


def _name(subject: PredictionPoint, name: str | None) -> str:
    device = subject.prediction.machine.device
    known = [memory.name for memory in device.memories if isinstance(memory, Storage)]
    if known and name in (None, *known):
        return name or known[0]
    raise input_error(
        f"{device.name} has no storage" if name is None else f"no storage is named '{name}'",
        "prediction" if name is None else "memory",
        expected=f"one of {', '.join(known)}"
        if known
        else "a memory of kind ufs, nvme, emmc or sd",
        suggestion=nearest(name, known) if name else "",
    )


class _Law:
    """Bandwidth of a memory at the prediction's other facts."""

    def __init__(self, subject: PredictionPoint, memory: str) -> None:
        self.memory, self.setting = memory, subject.setting
        self.device = subject.prediction.machine.device

    def fact(self, name: str, default: float = math.nan) -> float:
        return float(self.setting.facts.get(f"memories.{self.memory}.{name}", default))

    def rates(self, blocks: Sequence[float], depth: float) -> npt.NDArray[np.float64]:
        """Return bytes per second at each block."""
        head = f"memories.{self.memory}."
        values = {f"{head}block": np.asarray(blocks), f"{head}depth": depth}
        facts: dict[str, Any] = {**self.setting.facts, **values}
        law = self.setting.read_bandwidths[self.memory]
        return np.asarray(law(replace(self.setting, facts=facts), self.memory), dtype=float)

    def rate(self, block: float, depth: float) -> float:
        return float(self.rates([block], depth)[0])


def _chart(
    law: _Law, depths: Sequence[float], ends: tuple[float, float], reads: Sequence[Read]
) -> Chart:
    low, high = ends
    most = law.fact("bandwidth") * law.fact("sustained_fraction", 1.0)
    block, depth = law.fact("block"), law.fact("depth")
    here = law.rate(block, depth)
    blocks = np.geomspace(low, high, math.ceil(_FINE * math.log2(high / low)) + 1).tolist()
    curves = [part for i, deep in enumerate(depths) for part in _curve(law, i, deep, blocks, reads)]
    strangers = [r for r in reads if r[1] not in depths]
    top = [most / 1e9] * 2
    large: dict[str, Any] = {"color": GREY, "width": 1.2, "dash": "dash", "meta": {"ceiling": most}}
    star: dict[str, Any] = {"color": INK, "symbol": "star", "size": 14, "meta": {"here": here}}
    series: list[Series] = [
        *curves,
        *_markers(strangers, "other", GREY, "x-thin-open", 0),
        Lines("large and deep", [low, high], top, show(most, "bandwidth"), **large),
        Points("as predicted", [block], [here / 1e9], [_words(block, depth, here)], **star),
    ]
    kind = law.device.memory(law.memory).kind.upper()
    kind = kind.replace("NVME", "NVMe").replace("EMMC", "eMMC")
    errors = [abs(law.rate(b, deep) / rate - 1) for b, deep, rate in reads]
    text = f"star: {binary(block)} by {depth:g} as predicted, {show(here, 'bandwidth')}"
    if errors:
        text += f"; {len(errors)} measured, mean error {100 * float(np.mean(errors)):.1f} %, "
        text += f"largest {100 * max(errors):.1f} %"
    highest = 1.08 * max(most, here, *(rate for *_, rate in reads)) / 1e9
    return Chart(
        f"Bandwidth of {kind} by block and depth: {law.device.name}",
        text,
        _alt(law, depths, ends, (most, here), len(errors)),
        [
            Panel(
                ChartAxis("bytes per request", low, high, "bytes", log=True),
                ChartAxis("bandwidth (GB/s)", 0.0, highest),
                series,
            )
        ],
    )


def _curve(
    law: _Law, place: int, depth: float, blocks: Sequence[float], reads: Sequence[Read]
) -> list[Points]:
    """Return the curve of one depth, and what was measured at it."""
    color, symbol, _ = looks(place)
    rates, name = law.rates(blocks, depth), f"{depth:g}"
    hover = [_words(block, depth, rate) for block, rate in zip(blocks, rates, strict=True)]
    look: dict[str, Any] = {"group": name, "color": color, "meta": {"depth": depth}}
    line = Lines(f"{name} in flight", blocks, rates / 1e9, hover, **look)
    own = [read for read in reads if read[1] == depth]
    return [line, *_markers(own, name, color, symbol, depth)]


def _markers(
    reads: Sequence[Read], name: str, color: str, symbol: str, depth: float
) -> list[Points]:
    """Return measured reads of one depth, in the legend beside its curve."""
    if not reads:
        return []
    return [
        Points(
            f"{name}{'' if depth else ','} measured",
            [block for block, *_ in reads],
            [rate / 1e9 for *_, rate in reads],
            [_words(*read, " measured") for read in reads],
            group=name,
            color=color,
            symbol=symbol,
            size=9,
            edge_width=1,
            meta={"measured": depth},
        )
    ]


def _words(block: float, depth: float, rate: float, more: str = "") -> str:
    return f"{binary(block)}, {depth:g} in flight{more}<br>{show(rate, 'bandwidth')}"


def _alt(
    law: _Law,
    depths: Sequence[float],
    ends: tuple[float, float],
    rates: tuple[float, float],
    count: int,
) -> str:
    span = " to ".join(binary(end) for end in ends)
    where = f"{law.memory} of {law.device.name}"
    parts = [f"Bandwidth of {where} against the size of a request from {span}."]
    for depth in depths:
        first, last = (show(law.rate(end, depth), "bandwidth") for end in ends)
        parts.append(f"{depth:g} in flight: {first} to {last}.")
    most, here = (show(rate, "bandwidth") for rate in rates)
    parts.append(f"Large requests in deep queues reach {most}; the prediction reads with {here}.")
    return " ".join([*parts, *([f"{count} measured points."] if count else [])])
