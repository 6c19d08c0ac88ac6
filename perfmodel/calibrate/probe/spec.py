"""A device spec from the facts of a host."""

from __future__ import annotations

from typing import Any

from perfmodel.calibrate.probe.facts import HostFacts, LevelFacts
from perfmodel.calibrate.probe.measure import Figure
from perfmodel.hardware.device import Device
from perfmodel.hardware.runtime import Runtime
from perfmodel.units import show

NAME = "host"
"""Name of the device where the user gives none."""
_SOURCE = "probe"
#: How far a rate a clock may lie from a half or whole number to be taken for it.
_NEAR = 0.12
_KERNELS = {
    "dot_512": "dot products of 512 bit",
    "dot_256": "dot products of 256 bit",
    "avxvnni_256": "dot products of 256 bit",
    "dot_128": "dot products of 128 bit",
    "widen_256": "no dot products: multiplied into 16 bit, added, widened",
}


def device_of(facts: HostFacts, name: str = NAME, year: int | None = None) -> Device:
    """Device spec of a host: kind `simd` where its clock and widths are known, else `roofline`.

    Parameters
    ----------
    facts : HostFacts
    name : str
        In snake case.
    year : int, optional
        Of the measurement.

    Raises
    ------
    InputError
        Where the facts make no valid spec.
    """
    who, levels = facts.identity, [_level(facts, level) for level in facts.levels]
    for level, below in zip(levels, ["cpu", *(level["name"] for level in levels)], strict=False):
        level["feeds"] = [below]
    title = who.model or f"{who.system} {who.machine}"
    arm = who.machine in ("aarch64", "arm64")
    cores = f"{facts.cores} cores" if facts.cores > 1 else "one core"
    plain: dict[str, Any] = {
        "schema_version": 1,
        "name": name,
        "title": f"{title}, {cores}, probed",
        "tags": ["cpu", "host", *(["arm"] if arm else [])],
        "note": " ".join(_notes(facts)),
        "default_runtime": "onnxruntime_arm" if arm else "onnxruntime_cpu_blocks",
        "default_engine": "cpu",
        "overlap": _overlap(facts),
        "sources": {_SOURCE: {"title": f"This host, measured by perfmodel doctor --probe: {title}",
                              "publisher": "perfmodel", **({"year": year} if year else {})}},
        "source": _SOURCE,
        "confidence": "measured",
        "engines": [_engine(facts)],
        "memories": levels,
    }  # fmt: skip
    return Device.model_validate(plain)


def runtime_of(facts: HostFacts, name: str, base: Runtime, year: int | None = None) -> Runtime:
    """The runtime that a host runs, with its times of dispatch measured there.

    Parameters
    ----------
    facts : HostFacts
        With a dispatch.
    name : str
    base : Runtime
        Whose other constants are kept.
    """
    dispatch = facts.dispatch
    assert dispatch is not None
    at = f"onnxruntime {dispatch.version}, one thread, called from Python"
    plain = base.model_dump(mode="python", exclude={"base", "aliases"}, exclude_unset=True)
    sources = dict(plain.get("sources") or {})
    sources[_SOURCE] = {"title": "This host, measured by perfmodel doctor --probe",
                        "publisher": "perfmodel", **({"year": year} if year else {})}  # fmt: skip
    given = {"source": _SOURCE, "confidence": "measured", "measured_at": at}
    plain |= {
        "name": name,
        "title": f"{base.title or base.name}; dispatch measured on this host",
        "sources": sources,
        "per_run": {"value": _short(dispatch.per_run_s), **given},
        "per_operator": {"value": _short(dispatch.per_node_s), **given},
    }
    if dispatch.per_view_s is not None:
        plain["per_operator"]["note"] = f"a view takes {show(dispatch.per_view_s, 'time')}"
    if dispatch.per_subgraph_s is not None:
        plain["per_subgraph"] = {"value": _short(dispatch.per_subgraph_s), **given}
    return Runtime.model_validate(plain)


def _overlap(facts: HostFacts) -> str:
    """Zen hides its levels behind each other but not weights that come from main memory."""
    who = facts.identity
    zen = who.vendor in ("AuthenticAMD", "HygonGenuine") and (who.family or 0) >= 0x17
    return "cold_weights_add" if zen else "full"


def _notes(facts: HostFacts) -> list[str]:
    who = facts.identity
    rounds = f"{facts.rounds} rounds of trials of {show(facts.trial_s, 'time')}"
    said = [f"Best of {rounds}, by {facts.how}, on {who.system} {who.machine}."]
    if facts.width:
        said.append("One thread is timed by its CPU time, several by the wall.")
    if who.flags:
        said.append("Extensions: " + " ".join(who.flags) + ".")
    if who.cores:
        said.append(f"The host has {who.cores} cores and {who.threads} threads.")
    if facts.every_core is not None and facts.one_core is not None:
        said.append(
            f"From main memory one core reads {show(facts.one_core.best, 'bandwidth')}, all "
            f"{show(facts.every_core.best, 'bandwidth')}."
        )
    if _overlap(facts) == "full":
        said.append("How the times of levels compose is not measured: full overlap is assumed.")
    if facts.dispatch is not None:
        dispatch = facts.dispatch
        said.append(
            f"onnxruntime {dispatch.version} dispatches a node in "
            f"{show(dispatch.per_node_s, 'time')} and a run in {show(dispatch.per_run_s, 'time')}."
        )
    return said + [f"{note[:1].upper()}{note[1:]}." for note in (*who.notes, *facts.notes)]


def _engine(facts: HostFacts) -> dict[str, Any]:
    if facts.clock is None or not facts.best_width or facts.fma_latency_clocks is None:
        return _roofline(facts)
    clock, bits = facts.clock, facts.best_width
    peak = facts.at_width(bits)
    assert peak is not None
    lanes, size = bits // 32, bits // 8
    engine: dict[str, Any] = {
        "name": "cpu",
        "kind": "simd",
        "tags": ["cpu"],
        "units": facts.cores,
        "clock": _of(clock.best, clock, "chain of dependent additions"),
        "vector": {"value": size, "note": "widest registers that multiply at the full rate"},
        "fma_per_clock": _per_clock(facts, peak.best / (2.0 * lanes)),
        "fma_latency": {"value": round(facts.fma_latency_clocks, 2),
                        "note": "chain of dependent multiply-accumulates"},
        "loads_per_clock": _port(facts, "read", size),
        "stores_per_clock": _port(facts, "write", size),
        "peaks": {"fp32": _of(peak.best, peak, _by_width(facts)) | _DENSE_FP32},
    }  # fmt: skip
    if engine["loads_per_clock"] is None or engine["stores_per_clock"] is None:
        return _roofline(facts)
    _more_peaks(facts, engine)
    return engine


_DENSE_FP32 = {"accumulator": "fp32", "sparsity": "dense"}


def _roofline(facts: HostFacts) -> dict[str, Any]:
    """An engine of which only a peak is known."""
    peak = facts.peaks.get("product") or facts.at_width(facts.best_width)
    if peak is None:
        from perfmodel.errors import InputError

        raise InputError("no peak could be measured: " + "; ".join(facts.notes))
    note = "product of matrices by numpy's BLAS: a floor of the peak"
    engine: dict[str, Any] = {
        "name": "cpu", "kind": "roofline", "tags": ["cpu"], "units": facts.cores,
        "peaks": {
            "fp32": _of(peak.best, peak, note if "product" in facts.peaks else "") | _DENSE_FP32
        },
    }  # fmt: skip
    if facts.clock is not None:
        engine["clock"] = _of(facts.clock.best, facts.clock, "chain of dependent additions")
    _more_peaks(facts, engine)
    return engine


def _more_peaks(facts: HostFacts, engine: dict[str, Any]) -> None:
    if facts.int8 is not None:
        kernel, figure = facts.int8
        engine["peaks"]["int8"] = _of(figure.best, figure, _KERNELS[kernel]) | {
            "accumulator": "int32", "sparsity": "dense",
        }  # fmt: skip
    adds = facts.peaks.get(f"add_{facts.width}")
    if adds is not None:
        engine["vector_peaks"] = {"fp32": _of(adds.best, adds, "additions")}


def _by_width(facts: HostFacts) -> str:
    rates = ((width, facts.at_width(width)) for width in (128, 256, 512))
    return "by width of the vectors: " + ", ".join(
        f"{width} bit {show(figure.best, 'compute', unit='GFLOP/s')}"
        for width, figure in rates if figure is not None
    )  # fmt: skip


def _short(value: float) -> float:
    """Four digits: more than any measurement repeats."""
    return float(f"{value:.4g}")


def _of(value: float, figure: Figure, note: str = "") -> dict[str, Any]:
    """A number with the conditions that it was measured at."""
    at = f"best of {figure.trials} trials, the median {figure.spread:.1%} below"
    return {"value": _short(value), "measured_at": at, **({"note": note} if note else {})}


def _per_clock(facts: HostFacts, rate: float) -> dict[str, Any]:
    """Vectors a clock and core: what ports and pipelines make is a half or whole number."""
    raw = facts.per_clock(rate)
    halves = max(1.0, round(2.0 * raw)) / 2.0
    near = abs(raw / halves - 1.0) <= _NEAR
    return {"value": halves if near else round(raw, 3), "note": f"measured {raw:.3f}"}


def _port(facts: HostFacts, operation: str, size: int) -> dict[str, Any] | None:
    nearest = facts.levels[0].bandwidths.get(operation) if facts.levels else None
    if nearest is None or facts.levels[0].cache is None:
        return None
    return _per_clock(facts, nearest.best / size)


def _level(facts: HostFacts, level: LevelFacts) -> dict[str, Any]:
    cache, figure = level.cache, level.bandwidth
    assert figure is not None
    others = [
        f"{operation} {show(rate.best, 'bandwidth')}"
        for operation, rate in level.bandwidths.items()
    ]
    said = [", ".join(others) + f" at {show(level.size_bytes, 'bytes')} a thread"]
    found: dict[str, Any] = {
        "name": level.name,
        "kind": "cache" if cache else "dram",
        "roles": [] if cache else ["main"],
        "capacity": _capacity(facts, level),
        "bandwidth": _of(figure.best, figure, "; ".join(said)),
    }
    if cache is not None and cache.ways:
        note = f"{cache.ways} ways, as the system reports it"
        found["way"] = {"value": cache.size_bytes / cache.ways, "confidence": "datasheet",
                        "note": note}  # fmt: skip
    if cache is None:
        found["sustained_bandwidth"] = {"value": _short(figure.best)}
        if facts.cores > 1 and facts.one_core is not None:
            alone = min(_short(facts.one_core.best), _short(figure.best))
            found["unit_bandwidth"] = _of(alone, facts.one_core)
    elif facts.ramp is not None and level.name == _last_cache(facts):
        curve = ", ".join(f"{show(size, 'bytes')} {rate / 1e9:.0f}" for size, rate in facts.edge)
        start, end = facts.ramp
        found["ramp_start"] = {
            "value": _kib(start),
            "note": f"reads of working sets, GB/s: {curve}",
        }
        found["ramp_end"] = _kib(end)
    if level.latency_s is not None:
        more = ""
        if level.misses_in_flight is not None:
            more = f"; twelve at once are {level.misses_in_flight:.1f} times as fast"
        found["latency"] = {
            "value": f"{level.latency_s * 1e9:.4g} ns",
            "note": f"links of a random circle{more}",
        }
    return found


def _kib(size: int) -> int:
    return round(size / 1024) * 1024


def _last_cache(facts: HostFacts) -> str:
    return [level.name for level in facts.levels if level.cache is not None][-1]


def _capacity(facts: HostFacts, level: LevelFacts) -> dict[str, Any]:
    cache, source = level.cache, {"confidence": "datasheet", "note": "as the system reports it"}
    if cache is None:
        known = facts.identity.memory_bytes
        if known is None:
            note = "the size of memory is not known: the working set that was measured"
            return {"value": float(level.size_bytes), "confidence": "estimated", "note": note}
        return {"value": float(known), **source}
    private = cache.shared_by is None or cache.shared_by <= _threads_a_core(facts)
    line = f", lines of {cache.line_bytes} B" if cache.line_bytes else ""
    count = facts.cores if private else 1
    many = f"{count} private caches, " if count > 1 else ""
    source["note"] = f"{many}as the system reports it{line}"
    return {"value": float(cache.size_bytes * count), **source}


def _threads_a_core(facts: HostFacts) -> int:
    who = facts.identity
    return max(1, round((who.threads or 1) / (who.cores or 1)))
