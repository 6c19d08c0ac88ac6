"""Engine of a measured device spec: peaks, vector width and rates per clock of a processor's cores.

The engine is of kind `simd` if the clock and the vector widths are known, else of kind `roofline`
with only its peak. Rates per clock follow from measured rates; in fp32 lanes of four bytes,

``peak [FLOP/s] = cores * clock [Hz] * fma_per_clock * 2 FLOP * vector [B] / 4 B``,
``cache bandwidth [B/s] = cores * clock [Hz] * accesses_per_clock * vector [B]``.
"""

from __future__ import annotations

from perfmodel.calibrate.probe.facts import HostFacts
from perfmodel.calibrate.probe.measure import Figure
from perfmodel.calibrate.probe.spec_values import SpecFields, measured, with_note
from perfmodel.errors import InputError
from perfmodel.units import show

#: Relative distance within which a rate per clock is rounded to a multiple of one half: ports come
#: in whole numbers, and an instruction may occupy one for two clocks.
_ROUNDING_DISTANCE = 0.12
#: Kernel of int8 products -> its description.
_INT8_KERNELS = {
    "dot_512": "dot products of 512 bit",
    "dot_256": "dot products of 256 bit",
    "avxvnni_256": "dot products of 256 bit",
    "dot_128": "dot products of 128 bit",
    "widen_256": "no dot products: multiplied into 16 bit, added, widened",
}


def engine_spec(facts: HostFacts) -> SpecFields:
    """Return the engine: of kind `simd` if clock and widths are known, else a roofline.

    Raises
    ------
    InputError
        No peak was measured.
    """
    if facts.clock is None or not facts.best_width or facts.fma_latency_clocks is None:
        return _roofline_engine(facts)
    vector_bytes = facts.best_width // 8
    peak = facts.at_width(facts.best_width)
    assert peak is not None
    latency = round(facts.fma_latency_clocks, 2)
    engine = _common_fields(facts, "simd", peak, _rates_by_width(facts)) | {
        "vector": with_note(vector_bytes, "widest registers that multiply at the full rate"),
        # Two operations in each of vector_bytes / 4 lanes: peak / (vector_bytes / 2).
        "fma_per_clock": _per_clock(facts, 2.0 * peak.best / vector_bytes),
        "fma_latency": with_note(latency, "chain of dependent multiply-accumulates"),
        "loads_per_clock": _accesses_per_clock(facts, "read", vector_bytes),
        "stores_per_clock": _accesses_per_clock(facts, "write", vector_bytes),
    }
    return _roofline_engine(facts) if None in engine.values() else engine


def _roofline_engine(facts: HostFacts) -> SpecFields:
    """Return an engine of which only a peak is known."""
    peak = facts.peaks.get("product") or facts.at_width(facts.best_width)
    if peak is None:
        raise InputError("no peak could be measured: " + "; ".join(facts.notes))
    note = "product of matrices by numpy's BLAS: a floor of the peak"
    return _common_fields(facts, "roofline", peak, note if "product" in facts.peaks else "")


def _common_fields(facts: HostFacts, kind: str, peak: Figure, note: str) -> SpecFields:
    """Return the fields of an engine that depend only on its peak and optional facts."""
    peaks = {"fp32": measured(peak, note) | {"accumulator": "fp32", "sparsity": "dense"}}
    engine: SpecFields = {
        "name": "cpu",
        "kind": kind,
        "tags": ["cpu"],
        "units": facts.cores,
        "peaks": peaks,
    }
    if facts.clock is not None:
        engine["clock"] = measured(facts.clock, "chain of dependent additions")
    if facts.int8 is not None:
        kernel, figure = facts.int8
        dense = {"accumulator": "int32", "sparsity": "dense"}
        peaks["int8"] = measured(figure, _INT8_KERNELS[kernel]) | dense
    additions = facts.peaks.get(f"add_{facts.width}")
    if additions is not None:
        engine["vector_peaks"] = {"fp32": measured(additions, "additions")}
    return engine


def _rates_by_width(facts: HostFacts) -> str:
    """Return the rates of all vector widths as text."""
    rates = {width: facts.at_width(width) for width in (128, 256, 512)}
    texts = [
        f"{width} bit {show(figure.best, 'compute', unit='GFLOP/s')}"
        for width, figure in rates.items()
        if figure is not None
    ]
    return f"by width of the vectors: {', '.join(texts)}"


def _per_clock(facts: HostFacts, vectors_per_s: float) -> SpecFields:
    """Return vectors per clock and core, ``vectors_per_s / (clock * cores)``, rounded to halves."""
    exact = facts.per_clock(vectors_per_s)
    halves = max(1.0, round(2.0 * exact)) / 2.0
    is_near = abs(exact / halves - 1.0) <= _ROUNDING_DISTANCE
    return with_note(halves if is_near else round(exact, 3), f"measured {exact:.3f}")


def _accesses_per_clock(facts: HostFacts, operation: str, vector_bytes: int) -> SpecFields | None:
    """Return loads or stores per clock, from the rate of the nearest cache; None if unknown."""
    nearest = facts.levels[0].bandwidths.get(operation) if facts.levels else None
    if nearest is None or facts.levels[0].cache is None:
        return None
    return _per_clock(facts, nearest.best / vector_bytes)
