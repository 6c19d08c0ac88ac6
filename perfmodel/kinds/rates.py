"""Rates shared by kinds: peak of a pair of formats, vector peak, effective bandwidth.

``peak = operations per second of the executed format * efficiency of the class of operators *
speed-up by sparsity``; ``bandwidth = stated bandwidth * efficiency`` of a memory, which a transfer
of s bytes reaches as ``latency + s / bandwidth`` (Hockney and Jesshope, Parallel Computers). Every
kind reads its rates through these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row, first_number, is_array, namespace
from perfmodel.caches import cached
from perfmodel.cost.setting import Setting
from perfmodel.formats import FALLBACKS, Format, compute_format, format_named
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.distinct_columns import Places
from perfmodel.tracing.expression import Node
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable

#: Class of operator -> broader class whose efficiency applies if a runtime states none for it.
_WIDER: Mapping[str, str] = {"moe": "gemm", "grouped": "conv", "scan": "gemm"}

#: Classes of product operators: other functions in their rows are fused into them. Whether a row of
#: any class has products is `Row.products`: the scan of Mamba-2 has, that of Mamba has not.
MATRIX_KINDS = frozenset({"gemm", "conv", "grouped", "depthwise", "attention", "moe", "recurrent"})

#: Operators that only move data.
MOVES = frozenset({"copy", "gather", "resize"})

#: Order in which vector peaks are looked up when the activation's own format has none.
_VECTOR_ORDER = ("fp32", "fp16", "bf16", "int32", "int16", "int8")


def executed_format(setting: Setting, wanted: str) -> str:
    """Return the format that runs a compute format: its own, a wider one, or ``""`` if none."""
    peaks = setting.engine.peaks
    return next((name for name in FALLBACKS.get(wanted, (wanted,)) if name in peaks), "")


def best_format(setting: Setting) -> str:
    """Return the engine's fastest format; a traced peak ranks last."""
    peaks = setting.engine.peaks
    return max(peaks, key=lambda name: _largest(peaks[name]), default="")


def _largest(value: Value) -> float:
    if namespace(value) is np:
        return float(np.max(value))
    # A traced number raises an error, since a choice by it would be part of its program.
    return float(value) if isinstance(value, Node) else 0.0


def product_format(setting: Setting, pair: tuple[str, str]) -> str:
    """Return the format in which products of two slots run."""
    return executed_format(setting, pair_format(setting, pair)) or best_format(setting)


def by_pair(
    table: OperatorTable,
    rows: Sequence[Any] | npt.NDArray[np.intp],
    setting: Setting,
    value: Callable[[str, tuple[str, str]], Value],
) -> Value:
    """Return a value per product that depends on the executed format and the pair of slots.

    Parameters
    ----------
    rows
        Row of each product.
    value
        Executed format and pair -> number, or array over points.

    Returns
    -------
    number, or array ``(products, points or 1)`` where they differ
    """
    pairs = [table.rows[int(i)].pair for i in rows]
    known = {pair: value(product_format(setting, pair), pair) for pair in dict.fromkeys(pairs)}
    first = next(iter(known.values()))
    if all(alike(each, first) for each in known.values()):
        return first
    return by_row([known[pair] for pair in pairs], table.points, setting.xp)


def row_classes(
    table: OperatorTable, name: str, key: Callable[[OperatorRow], Hashable]
) -> tuple[list[OperatorRow], Places]:
    """Return one row per class, and the class of each row; cached per table structure.

    Parameters
    ----------
    name
        Name of the classification, part of the cache key.
    key
        Key that rows of one class share.
    """

    def classes() -> tuple[list[OperatorRow], Places]:
        first: dict[Hashable, OperatorRow] = {}
        for row in table.rows:
            first.setdefault(key(row), row)
        place = {each: i for i, each in enumerate(first)}
        return list(first.values()), np.array([place[key(row)] for row in table.rows], np.intp)

    return table.once(("classes", name), classes)


def pair_format(setting: Setting, pair: tuple[str, str]) -> str:
    """Return the compute format of two slots under the precision."""
    left, right = pair
    precision = setting.precision
    return _pair(precision.format_of(left).compute, precision.format_of(right).compute)


@cached(200)
def _pair(left: str, right: str) -> str:
    if left == right:
        return left
    return compute_format(_named(left), _named(right))


def _named(compute: str) -> Format:
    return format_named({"fp8": "fp8_e4m3"}.get(compute, compute))


def efficiency(setting: Setting, kind: str, pair: tuple[str, str]) -> Value:
    """Return the runtime's fraction of peak for a class of operator (1 if it states none).

    A runtime may state it for one weight format: ``gemm.q4_0``. Experts and the products of a scan
    count as GEMMs, a grouped convolution as a convolution, unless it states otherwise.
    """
    stated = setting.runtime.efficiency
    name = setting.precision.format_of(pair[0]).name
    for each in (kind, _WIDER[kind]) if kind in _WIDER else (kind,):
        for key in (f"{each}.{name}", each):
            share = stated.get(key)
            if share is not None:
                return share
    return 1.0


def units_in_step(setting: Setting) -> Value:
    """Return the share of its peak that an engine of several units reaches by Amdahl's law.

    ``1 / (1 + serial_share * (units - 1))``; 1 where the runtime states no serial share.
    Amdahl, "Validity of the single processor approach ...", AFIPS 1967.
    """
    serial = setting.runtime.serial_share
    return 1.0 if serial is None else 1.0 / (1.0 + serial * (setting.engine.units - 1.0))


def sparse_speedup(setting: Setting, pair: tuple[str, str]) -> Value:
    """Return the engine's speed-up from the weights' sparsity: a stated fact, 1 if not stated.

    Unstructured zeros save no time on a dense engine.
    """
    sparsity = setting.precision.sparsity_of(pair[0])
    if sparsity is None:
        return 1.0
    return setting.engine.sparse_speedup.get(sparsity.pattern, 1.0)


def vector_peak(setting: Setting) -> tuple[str, Value]:
    """Return the format and the rate of elementwise work.

    The vector unit's peak for the activations' format, else its best known one, else the engine's
    own peak: a machine without stated vector units runs such work on its only ones.
    """
    act = setting.precision.activations.compute
    for peaks in (setting.engine.vector_peaks, setting.engine.peaks):
        for name in (*FALLBACKS.get(act, (act,)), *_VECTOR_ORDER):
            peak = peaks.get(name)
            if peak is not None:
                return name, peak
    return "", float("inf")


def vector_rates(table: OperatorTable, setting: Setting) -> Value:
    """Return elementwise operations per second of each row: one number, or ``(rows, points)``.

    A runtime's efficiency of a class (``norm``, ``softmax`` ..., else ``vector``) applies to
    separate kernels, that of one of its functions in the format of the activations first;
    functions fused into a matrix operator run at the vector units' peak.
    """
    _, peak = vector_peak(setting)
    if setting.bare:
        return peak
    stated = setting.runtime.efficiency
    form = setting.precision.activations.compute

    def share(kind: str, functions: tuple[str, ...]) -> Value:
        if kind in MATRIX_KINDS:
            return 1.0
        classes = (*(f"{kind}.{name}" for name in functions), kind)
        keys = (key for each in classes for key in (f"{each}.{form}", each))
        return next((stated[key] for key in keys if key in stated), stated.get("vector", 1.0))

    kinds = table.once(
        "vector_rates", lambda: tuple((row.kind, row.functions) for row in table.rows)
    )
    known = {each: share(*each) for each in dict.fromkeys(kinds)}
    shares = [known[each] for each in kinds]
    return _by_row(shares, table, setting, peak)


def copy_shares(table: OperatorTable, setting: Setting) -> Value:
    """Return the fraction of each level's bandwidth that rows reach.

    1 except for rows that only move data, convert a layout, or attend to a cache, where the runtime
    states a fraction.
    """
    if setting.bare:
        return 1.0
    stated = setting.runtime.efficiency
    copy, cache, reorder = (stated.get(name) for name in ("copy", "cache", "reorder"))
    if copy is None and cache is None and reorder is None:
        return 1.0
    reorder = copy if reorder is None else reorder
    shares: list[Value] = []
    for row in table.rows:
        share = cache if row.kind == "attention" else None
        if row.kind in MOVES:
            share = reorder if row.functions == ("reorder",) else copy
        shares.append(1.0 if share is None else share)
    return _by_row(shares, table, setting, 1.0)


def alike(left: Value, right: Value) -> bool:
    """Return whether two values are the same array, or equal numbers."""
    return left is right or (not is_array(left) and not is_array(right) and left == right)


def executed_macs(table: OperatorTable, setting: Setting) -> Value:
    """Return the executed multiply-accumulates of each row: masked pairs may be skipped."""
    macs = table.macs if table.executed_macs is None else table.executed_macs
    return macs - table.masked_macs if setting.causal_skips_masked else macs


def with_latency(seconds: Value, size: Value, setting: Setting, level: str) -> Value:
    """Return ``latency + seconds`` where any bytes move; a bare roofline has no latency."""
    latency: Value = 0.0 if setting.bare else or_else(setting.memory(level).latency, 0.0)
    if is_array(latency) or latency:
        return seconds + latency * (size > 0)
    return seconds


def memory_seconds(
    traffic: Mapping[str, Value], setting: Setting, share: Value = 1.0
) -> dict[str, Value]:
    """Return level -> seconds to move its bytes, latency included.

    Parameters
    ----------
    traffic
        Level -> bytes across its boundary, ``(rows, points)``.
    share
        Fraction of each level's bandwidth that a row reaches.
    """
    return {
        level: with_latency(size / bandwidth(setting, level) / share, size, setting, level)
        for level, size in traffic.items()
    }


def _by_row(shares: list[Value], table: OperatorTable, setting: Setting, scale: Value) -> Value:
    first = shares[0]
    if all(alike(share, first) for share in shares):
        return scale * first
    return by_row(shares, table.points, setting.xp) * scale


def bandwidth_fact(setting: Setting, level: str) -> Value:
    """Return the bandwidth that a plain streaming kernel reaches, independent of the runtime."""
    memory = setting.memory(level)
    return memory.bandwidth * memory.sustained_fraction


def bandwidth(setting: Setting, level: str) -> Value:
    """Return the bandwidth that a kernel draws from a memory, bytes per second.

    Bare: the theoretical figure. Otherwise the runtime's efficiency if it states one, for main
    memory and the memory that stores the weights (a fitted constant replaces the measured fraction,
    the two are never multiplied), else the device's sustained fraction; an engine that cannot draw
    the full bandwidth of its memory states its own. A runtime may also state the bytes per clock
    that each unit can have in flight; that ceiling is combined by a p-norm (a soft minimum):
    ``(rate**-p + ceiling**-p)**(-1/p)``. A kind of memory with its own law (flash, storage)
    overrides all of this.
    """
    memory = setting.memory(level)
    raw: Value = memory.bandwidth
    if setting.bare:
        return raw
    own = setting.read_bandwidths.get(level)
    if own is not None:
        return own(setting, level)
    runtime = setting.runtime
    main = level in (setting.main_memory, setting.weights_memory)
    share = runtime.efficiency.get("bandwidth") if main else None
    rate = raw * or_else(share, memory.sustained_fraction)
    draw: Value = runtime.draw_bytes_per_clock_per_unit if main else None
    clock = setting.engine.clock
    if draw is None or clock is None or (isinstance(draw, float) and draw == 0.0):
        return rate
    ceiling = draw * setting.engine.units * clock
    p = runtime.pnorm
    return (rate**-p + ceiling**-p) ** (-1.0 / p)


class SecondsExpression:
    """Seconds of a level as plain arithmetic: the number, or bytes over the resulting rate.

    Parameters
    ----------
    traffic
        Bytes; if left out the text is the number of seconds.
    rows
        Rows with a text; all if left out.
    """

    def __init__(
        self, seconds: Value, traffic: Value = None, rows: Collection[int] | None = None
    ) -> None:
        self.seconds, self.traffic, self.rows = seconds, traffic, rows

    def __call__(self, row: int) -> str:
        """Return the text of a row; empty for a transfer that takes no time."""
        if self.traffic is None:
            return f"{first_number(self.seconds[row]):.12g}"
        seconds, size = (
            float(np.asarray(each)[row, 0])
            for each in np.broadcast_arrays(self.seconds, self.traffic)
        )
        if not seconds or not (self.rows is None or row in self.rows):
            return ""
        return f"{size:.12g}/{size / seconds:.12g}" if size else f"{seconds:.12g}"
