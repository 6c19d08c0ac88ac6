"""A device spec from the facts of a host."""

from __future__ import annotations

from typing import Any

from perfmodel.calibrate.probe.facts import HostFacts, LevelFacts
from perfmodel.calibrate.probe.measure import Figure
from perfmodel.hardware.device import Device
from perfmodel.hardware.runtime import Runtime
from perfmodel.units import show

NAME = "host"
"""Default name of the device."""
_SOURCE = "probe"
_REPORTED = "as the system reports it"
#: Relative distance within which a rate per clock is rounded to a multiple of one half.
_NEAR = 0.12
_KERNELS = {
    "dot_512": "dot products of 512 bit",
    "dot_256": "dot products of 256 bit",
    "avxvnni_256": "dot products of 256 bit",
    "dot_128": "dot products of 128 bit",
    "widen_256": "no dot products: multiplied into 16 bit, added, widened",
}


def device_of(facts: HostFacts, name: str = NAME, year: int | None = None) -> Device:
    """Return the device spec of a host: kind `simd` if clock and widths are known, or `roofline`.

    Parameters
    ----------
    facts : HostFacts
    name : str
        In snake case.
    year : int, optional
        Year of the measurement.

    Raises
    ------
    InputError
        The facts are no valid spec.
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
        "sources": _sources(year, f": {title}"),
        "source": _SOURCE,
        "confidence": "measured",
        "engines": [_engine(facts)],
        "memories": levels,
    }
    return Device.model_validate(plain)


def _sources(year: int | None, of: str = "") -> dict[str, Any]:
    """Return the measurement as a source document."""
    title = f"This host, measured by perfmodel doctor --probe{of}"
    when = {"year": year} if year else {}
    return {_SOURCE: {"title": title, "publisher": "perfmodel", **when}}


def runtime_of(facts: HostFacts, name: str, base: Runtime, year: int | None = None) -> Runtime:
    """Return the host's runtime with its measured dispatch times.

    Parameters
    ----------
    facts : HostFacts
        Facts that include a dispatch.
    name : str
    base : Runtime
        Source of all other constants.
    """
    dispatch = facts.dispatch
    assert dispatch is not None
    at = f"onnxruntime {dispatch.version}, one thread, called from Python"
    plain = base.model_dump(mode="python", exclude={"base", "aliases"}, exclude_unset=True)

    def timed(seconds: float) -> dict[str, Any]:
        how = {"source": _SOURCE, "confidence": "measured", "measured_at": at}
        return {"value": _short(seconds), **how}

    plain |= {
        "name": name,
        "title": f"{base.title or base.name}; dispatch measured on this host",
        "sources": (plain.get("sources") or {}) | _sources(year),
        "per_run": timed(dispatch.per_run_s),
        "per_operator": timed(dispatch.per_node_s),
    }
    if dispatch.per_view_s is not None:
        plain["per_operator"]["note"] = f"a view takes {show(dispatch.per_view_s, 'time')}"
    if dispatch.per_subgraph_s is not None:
        plain["per_subgraph"] = timed(dispatch.per_subgraph_s)
    return Runtime.model_validate(plain)


def _overlap(facts: HostFacts) -> str:
    """Return the overlap rule: Zen overlaps its levels, but not cold weights from main memory."""
    who = facts.identity
    zen = who.vendor in ("AuthenticAMD", "HygonGenuine") and (who.family or 0) >= 0x17
    return "cold_weights_add" if zen else "full"


def _notes(facts: HostFacts) -> list[str]:
    who = facts.identity
    rounds = f"{facts.rounds} rounds of trials of {show(facts.trial_s, 'time')}"
    lines = [f"Best of {rounds}, by {facts.how}, on {who.system} {who.machine}."]
    if facts.width:
        lines.append("One thread is timed by its CPU time, several by the wall.")
    if who.flags:
        lines.append(f"Extensions: {' '.join(who.flags)}.")
    if who.cores:
        lines.append(f"The host has {who.cores} cores and {who.threads} threads.")
    if facts.every_core is not None and facts.one_core is not None:
        one, every = (show(each.best, "bandwidth") for each in (facts.one_core, facts.every_core))
        lines.append(f"From main memory one core reads {one}, all {every}.")
    if _overlap(facts) == "full":
        lines.append("How the times of levels compose is not measured: full overlap is assumed.")
    if (dispatch := facts.dispatch) is not None:
        node, run = (show(each, "time") for each in (dispatch.per_node_s, dispatch.per_run_s))
        lines.append(
            f"onnxruntime {dispatch.version} dispatches a node in {node} and a run in {run}."
        )
    return lines + [f"{note[:1].upper()}{note[1:]}." for note in (*who.notes, *facts.notes)]


def _engine(facts: HostFacts) -> dict[str, Any]:
    if facts.clock is None or not facts.best_width or facts.fma_latency_clocks is None:
        return _roofline(facts)
    size = facts.best_width // 8
    peak = facts.at_width(facts.best_width)
    assert peak is not None
    engine = _cpu(facts, "simd", peak, _by_width(facts)) | {
        "vector": _noted(size, "widest registers that multiply at the full rate"),
        "fma_per_clock": _per_clock(facts, 2.0 * peak.best / size),
        "fma_latency": _noted(
            round(facts.fma_latency_clocks, 2), "chain of dependent multiply-accumulates"
        ),
        "loads_per_clock": _port(facts, "read", size),
        "stores_per_clock": _port(facts, "write", size),
    }
    return _roofline(facts) if None in engine.values() else engine


def _cpu(facts: HostFacts, kind: str, peak: Figure, note: str) -> dict[str, Any]:
    """Return the fields of an engine that depend only on its peak and optional facts."""
    peaks = {"fp32": _of(peak.best, peak, note) | {"accumulator": "fp32", "sparsity": "dense"}}
    engine: dict[str, Any] = {
        "name": "cpu",
        "kind": kind,
        "tags": ["cpu"],
        "units": facts.cores,
        "peaks": peaks,
    }
    if facts.clock is not None:
        engine["clock"] = _of(facts.clock.best, facts.clock, "chain of dependent additions")
    if facts.int8 is not None:
        kernel, figure = facts.int8
        dense = {"accumulator": "int32", "sparsity": "dense"}
        peaks["int8"] = _of(figure.best, figure, _KERNELS[kernel]) | dense
    adds = facts.peaks.get(f"add_{facts.width}")
    if adds is not None:
        engine["vector_peaks"] = {"fp32": _of(adds.best, adds, "additions")}
    return engine


def _noted(value: Any, note: str, **more: Any) -> dict[str, Any]:
    return {"value": value, **more, "note": note}


def _roofline(facts: HostFacts) -> dict[str, Any]:
    """Return an engine of which only a peak is known."""
    peak = facts.peaks.get("product") or facts.at_width(facts.best_width)
    if peak is None:
        from perfmodel.errors import InputError

        raise InputError("no peak could be measured: " + "; ".join(facts.notes))
    note = "product of matrices by numpy's BLAS: a floor of the peak"
    return _cpu(facts, "roofline", peak, note if "product" in facts.peaks else "")


def _by_width(facts: HostFacts) -> str:
    rates = {width: facts.at_width(width) for width in (128, 256, 512)}
    texts = [
        f"{width} bit {show(figure.best, 'compute', unit='GFLOP/s')}"
        for width, figure in rates.items()
        if figure is not None
    ]
    return f"by width of the vectors: {', '.join(texts)}"


def _short(value: float) -> float:
    """Return four significant digits, beyond the repeatability of any measurement."""
    return float(f"{value:.4g}")


def _of(value: float, figure: Figure, note: str = "") -> dict[str, Any]:
    """Return a number with its measuring conditions."""
    at = f"best of {figure.trials} trials, the median {figure.spread:.1%} below"
    return {"value": _short(value), "measured_at": at, **({"note": note} if note else {})}


def _per_clock(facts: HostFacts, rate: float) -> dict[str, Any]:
    """Return vectors per clock and core, rounded to halves as ports and pipelines determine."""
    raw = facts.per_clock(rate)
    halves = max(1.0, round(2.0 * raw)) / 2.0
    near = abs(raw / halves - 1.0) <= _NEAR
    return _noted(halves if near else round(raw, 3), f"measured {raw:.3f}")


def _port(facts: HostFacts, operation: str, size: int) -> dict[str, Any] | None:
    nearest = facts.levels[0].bandwidths.get(operation) if facts.levels else None
    if nearest is None or facts.levels[0].cache is None:
        return None
    return _per_clock(facts, nearest.best / size)


def _level(facts: HostFacts, level: LevelFacts) -> dict[str, Any]:
    cache, figure = level.cache, level.bandwidth
    assert figure is not None
    rates = [f"{name} {show(rate.best, 'bandwidth')}" for name, rate in level.bandwidths.items()]
    note = f"{', '.join(rates)} at {show(level.size_bytes, 'bytes')} a thread"
    memory: dict[str, Any] = {
        "name": level.name,
        "kind": "cache" if cache else "dram",
        "roles": [] if cache else ["main"],
        "capacity": _capacity(facts, level),
        "bandwidth": _of(figure.best, figure, note),
    }
    if cache is not None and cache.ways:
        note = f"{cache.ways} ways, {_REPORTED}"
        memory["way"] = _noted(cache.size_bytes / cache.ways, note, confidence="datasheet")
    if cache is None:
        memory["sustained_bandwidth"] = {"value": _short(figure.best)}
        if facts.cores > 1 and facts.one_core is not None:
            one = min(_short(facts.one_core.best), _short(figure.best))
            memory["unit_bandwidth"] = _of(one, facts.one_core)
    elif facts.ramp is not None and level == [each for each in facts.levels if each.cache][-1]:
        curve = ", ".join(f"{show(size, 'bytes')} {rate / 1e9:.0f}" for size, rate in facts.edge)
        start, end = (round(size / 1024) * 1024 for size in facts.ramp)
        memory["ramp_start"] = _noted(start, f"reads of working sets, GB/s: {curve}")
        memory["ramp_end"] = end
    if level.latency_s is not None:
        note = "links of a random circle"
        if level.misses_in_flight is not None:
            note += f"; twelve at once are {level.misses_in_flight:.1f} times as fast"
        memory["latency"] = _noted(f"{level.latency_s * 1e9:.4g} ns", note)
    return memory


def _capacity(facts: HostFacts, level: LevelFacts) -> dict[str, Any]:
    cache, who = level.cache, facts.identity
    if cache is None and who.memory_bytes is None:
        note = "the size of memory is not known: the working set that was measured"
        return _noted(float(level.size_bytes), note, confidence="estimated")
    size, note = who.memory_bytes or 0, _REPORTED
    if cache is not None:
        threads_of_core = max(1, round((who.threads or 1) / (who.cores or 1)))
        private = cache.shared_by is None or cache.shared_by <= threads_of_core
        count = facts.cores if private else 1
        size = cache.size_bytes * count
        note = f"{count} private caches, {_REPORTED}" if count > 1 else _REPORTED
        note += f", lines of {cache.line_bytes} B" if cache.line_bytes else ""
    return _noted(float(size), note, confidence="datasheet")
