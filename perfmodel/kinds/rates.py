"""Rates that kinds share: peak of a format pair, vector peak, effective bandwidth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from perfmodel.arrays import Value, by_row, is_array
from perfmodel.cost.setting import Setting
from perfmodel.formats import FALLBACKS, Format, compute_format, format_named
from perfmodel.workload.lower import OperatorTable

#: Class of operator -> the wider one whose efficiency holds where a runtime states none for it.
_WIDER: Mapping[str, str] = {"moe": "gemm", "grouped": "conv", "scan": "gemm"}

#: Operators that are products above all: what else their rows compute rides on these. Whether a row
#: of any class has products is `Row.products`: the scan of Mamba-2 has, that of Mamba has none.
MATRIX_KINDS = frozenset({"gemm", "conv", "grouped", "depthwise", "attention", "moe", "recurrent"})

#: Operators that only move data.
MOVES = frozenset({"copy", "gather", "resize"})

#: Vector units are looked up in this order when the activation's own format has no peak.
_VECTOR_ORDER = ("fp32", "fp16", "bf16", "int32", "int16", "int8")


def executed_format(setting: Setting, wanted: str) -> str:
    """Return the format an engine runs a compute format in: its own, a wider one, or ``""``."""
    for name in FALLBACKS.get(wanted, (wanted,)):
        if f"engines.{setting.engine}.peaks.{name}" in setting.facts:
            return name
    return ""


def pair_format(setting: Setting, pair: tuple[str, str]) -> str:
    """Return the compute format of two slots under the precision."""
    left, right = pair
    precision = setting.precision
    return _pair(precision.format_of(left).compute, precision.format_of(right).compute)


@lru_cache(maxsize=4096)
def _pair(left: str, right: str) -> str:
    if left == right:
        return left
    return compute_format(_named(left), _named(right))


def _named(compute: str) -> Format:
    return format_named({"fp8": "fp8_e4m3"}.get(compute, compute))


def efficiency(setting: Setting, kind: str, pair: tuple[str, str]) -> Value:
    """Return the runtime's fraction of peak for a class of operator (1 where it states none).

    A runtime may state it for one weight format: ``gemm.q4_0``. Experts and the products of a scan
    are GEMMs, a convolution in groups is a convolution, unless it says otherwise.
    """
    facts = setting.facts
    name = setting.precision.format_of(pair[0]).name
    for each in (kind, _WIDER[kind]) if kind in _WIDER else (kind,):
        for key in (f"{each}.{name}", each):
            found = facts.get(f"runtime.efficiency.{key}")
            if found is not None:
                return found
    return 1.0


def units_in_step(setting: Setting) -> Value:
    """Return the share of its peak that an engine of several units reaches by Amdahl's law.

    ``1 / (1 + serial_share * (units - 1))``; 1 where the runtime states no serial share.
    Amdahl, "Validity of the single processor approach ...", AFIPS 1967.
    """
    serial = setting.facts.get("runtime.serial_share")
    if serial is None:
        return 1.0
    return 1.0 / (1.0 + serial * (setting.fact(f"engines.{setting.engine}.units", 1.0) - 1.0))


def sparse_speedup(setting: Setting, pair: tuple[str, str]) -> Value:
    """Return what the engine gains from the weights' sparsity: a fact of its own, 1 if not stated.

    Unstructured zeros buy no time on a dense engine.
    """
    sparsity = setting.precision.sparsity_of(pair[0])
    if sparsity is None:
        return 1.0
    return setting.fact(f"engines.{setting.engine}.sparse_speedup.{sparsity.pattern}", 1.0)


def vector_peak(setting: Setting) -> tuple[str, Value]:
    """Return the format and the rate of elementwise work.

    The vector unit's peak for the activations' format, else its best known one, else the engine's
    own peak: a machine without stated vector units does such work on its only ones.
    """
    act = setting.precision.activations.compute
    base = f"engines.{setting.engine}."
    for group in ("vector_peaks.", "peaks."):
        for name in (*FALLBACKS.get(act, (act,)), *_VECTOR_ORDER):
            found = setting.facts.get(f"{base}{group}{name}")
            if found is not None:
                return name, found
    return "", float("inf")


def vector_rates(table: OperatorTable, setting: Setting) -> Value:
    """Return elementwise operations a second of each row: one number, or ``(rows, points)``.

    A runtime's efficiency of a class (``norm``, ``softmax`` ..., else ``vector``) holds for kernels
    of their own; what rides on a matrix operator goes at the vector units' peak.
    """
    _, peak = vector_peak(setting)
    if setting.bare:
        return peak
    facts = setting.facts
    general = facts.get("runtime.efficiency.vector", 1.0)
    shares: list[Value] = [
        1.0 if row.kind in MATRIX_KINDS else facts.get(f"runtime.efficiency.{row.kind}", general)
        for row in table.rows
    ]
    return _by_row(shares, table, setting, peak)


def copy_shares(table: OperatorTable, setting: Setting) -> Value:
    """Return the fraction of each level's bandwidth that rows reach.

    1 but where they only move data, convert a layout, or attend to what a cache holds, and the
    runtime says so.
    """
    if setting.bare:
        return 1.0
    copy, cache, reorder = (
        setting.facts.get(f"runtime.efficiency.{name}") for name in ("copy", "cache", "reorder")
    )
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
    """Tell whether two values are one array, or equal numbers."""
    return left is right or (not is_array(left) and not is_array(right) and left == right)


def executed_macs(table: OperatorTable, setting: Setting) -> Value:
    """Return the multiply-accumulates of each row that run: masked pairs may be skipped."""
    macs = table.macs if table.executed_macs is None else table.executed_macs
    return macs - table.masked_macs if setting.causal_skips_masked else macs


def with_latency(seconds: Value, moved: Value, setting: Setting, level: str) -> Value:
    """Return the time of moving bytes, with the level's latency where any move; bare has none."""
    latency = 0.0 if setting.bare else setting.fact(f"memories.{level}.latency", 0.0)
    if is_array(latency) or latency:
        return seconds + latency * (moved > 0)
    return seconds


def memory_seconds(
    traffic: Mapping[str, Value], setting: Setting, share: Value = 1.0
) -> dict[str, Value]:
    """Return level -> seconds in which its bytes move, latency with them.

    Parameters
    ----------
    traffic
        Level -> bytes across its boundary, ``(rows, points)``.
    share
        Fraction of each level's bandwidth that a row reaches.
    """
    return {
        level: with_latency(moved / bandwidth(setting, level) / share, moved, setting, level)
        for level, moved in traffic.items()
    }


def _by_row(shares: list[Value], table: OperatorTable, setting: Setting, scale: Value) -> Value:
    first = shares[0]
    if all(alike(share, first) for share in shares):
        return scale * first
    return by_row(shares, table.points, setting.xp) * scale


def bandwidth_fact(setting: Setting, level: str) -> Value:
    """Return the bandwidth that a plain streaming kernel reaches, whatever the runtime."""
    facts = setting.facts
    return facts[f"memories.{level}.bandwidth"] * facts.get(
        f"memories.{level}.sustained_fraction", 1.0
    )


def bandwidth(setting: Setting, level: str) -> Value:
    """Return the bandwidth that a kernel draws from a memory, bytes a second.

    Bare: the theoretical figure. Otherwise the runtime's efficiency where it states one, for main
    memory and the memory that stores the weights (a fitted constant replaces the measured fraction,
    the two are never multiplied), else the device's sustained fraction; an engine that cannot draw
    as much as its memory gives says how much. A runtime may also state
    how many bytes a clock each unit can have under way; the ceiling joins by a p-norm (a soft
    minimum). A kind of memory with a law of its own (flash, storage) is asked instead.
    """
    facts = setting.facts
    raw = facts[f"memories.{level}.bandwidth"]
    if setting.bare:
        return raw
    own = setting.read_bandwidths.get(level)
    if own is not None:
        return own(setting, level)
    main = level in (setting.levels[-1], setting.weights_memory)
    share = facts.get("runtime.efficiency.bandwidth") if main else None
    if share is None:
        share = facts.get(f"memories.{level}.sustained_fraction", 1.0)
    rate = raw * share
    draw = facts.get("runtime.draw_bytes_per_clock_per_unit") if main else None
    clock = facts.get(f"engines.{setting.engine}.clock")
    if draw is None or clock is None or (isinstance(draw, float) and draw == 0.0):
        return rate
    ceiling = draw * facts.get(f"engines.{setting.engine}.units", 1.0) * clock
    p = facts.get("runtime.pnorm", 4.0)
    return (rate**-p + ceiling**-p) ** (-1.0 / p)


class TransferExpression:
    """Seconds of a level as plain arithmetic: bytes over the rate that they give."""

    def __init__(self, moved: Value, seconds: Value) -> None:
        self.moved, self.seconds = moved, seconds

    def __call__(self, row: int) -> str:
        """Return the text of a row; empty where nothing takes time."""
        moved, seconds = (float(np.asarray(v)[row, 0]) for v in (self.moved, self.seconds))
        return f"{moved:.12g}/{moved / seconds:.12g}" if seconds else ""
