"""Presentation of a prediction: table of its rows, JSON dictionary, headline numbers and remarks.

The functions read a `Prediction` and compute no time or energy themselves. The bottleneck of a row
is the largest of its terms: an arithmetic term, a memory level or an overhead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perfmodel.arrays import Value, first_number, is_array
from perfmodel.columns import dimension_of
from perfmodel.cost.energy import resting_power_w
from perfmodel.hardware.ownership import BODY
from perfmodel.kinds.kernel_effects import uncounted_instructions
from perfmodel.metrics import labelled_metrics, metrics_of
from perfmodel.prediction.basis import misfit_reasons
from perfmodel.prediction.explain_ownership import cost_lines
from perfmodel.prediction.resource_usage import scarcest
from perfmodel.prediction.stages import energy_parts
from perfmodel.table import ShownPicture, plain
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.kinds.protocol import Terms
    from perfmodel.prediction.basis import Interval
    from perfmodel.prediction.interval_results import IntervalResult
    from perfmodel.prediction.prediction import Prediction
    from perfmodel.table import Table
    from perfmodel.workload.operator_rows import OperatorRow


#: Metrics of `to_dict` in order; the keys of the JSON output.
METRICS = metrics_of("predict")


def _column(values: Value, rows: int) -> Any:
    """Return the first point of an array ``(rows or 1, points)`` as a column."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 0:
        return np.full(rows, float(array))
    return np.broadcast_to(array[:, :1], (rows, 1))[:, 0].copy()


def _term_columns(terms: Terms, rows: int) -> tuple[dict[str, Any], Any]:
    """Return the seconds of each term of the rows by its name, and each row's bottleneck.

    The larger arithmetic term if arithmetic dominates, else the slowest level.
    """
    compute, memory, overhead = (
        {name: _column(seconds, rows) for name, seconds in group.items()}
        for group in (terms.compute, terms.memory, terms.overhead)
    )
    arithmetic = np.stack([*compute.values()])
    others = [*memory.values(), *overhead.values()]
    dominant = np.argmax(np.stack([arithmetic.sum(axis=0), *others]), axis=0)
    names = np.array([*compute, *memory, *overhead], dtype=object)
    bound = names[np.where(dominant, dominant + len(compute) - 1, np.argmax(arithmetic, axis=0))]
    return compute | memory | overhead, bound


def row_columns(prediction: Prediction) -> dict[str, Any]:
    """Return the columns of `row_table` as a dictionary of arrays."""
    table, terms = prediction.opened
    exists = prediction.flat_energy.joule is not None
    energies = energy_parts(terms, prediction.setting) if exists else {}
    n = len(table.rows)
    count = _column(table.count, n)
    seconds = _column(terms.row_s, n)
    term_s, bound = _term_columns(terms, n)
    macs = _column(table.macs, n)
    if prediction.setting.causal_skips_masked:
        macs = macs - _column(table.masked_macs, n)
    return {
        "name": np.array([_name(r) for r in table.rows], dtype=object),
        "kind": np.array([r.kind for r in table.rows], dtype=object),
        "phase": np.array([r.phase for r in table.rows], dtype=object),
        "count": count,
        "macs": macs,
        "vector_ops": _column(table.vector_ops, n),
        **{f"{level}_bytes": _column(bytes_, n) for level, bytes_ in terms.traffic.items()},
        **{f"{k}_s": v for k, v in term_s.items()},
        **({} if terms.cold is None else {"cold_weights_s": _column(terms.cold, n)}),
        "row_s": seconds,
        "total_s": count * seconds,
        "bound_by": bound,
        **{f"{name} energy_j": _column(v, n) for name, v in energies.items()},
        **{name: _column(v, n) for name, v in terms.detail.items()},
    }


def _name(row: OperatorRow) -> str:
    """Return the name of a row with its block as a prefix (``prefill/layer.x``)."""
    names = (row.name, row.name.removeprefix(f"{row.phase}/"))
    return row.name if any(n.startswith(row.block) for n in names) else f"{row.block}.{row.name}"


def row_table(prediction: Prediction) -> Table:
    """Return the table of kernels; numbers per execution, ``total_s`` over all executions."""
    from perfmodel.table import Table

    return Table(row_columns(prediction))


def largest(prediction: Prediction, column: str) -> Value:
    """Return the maximum at each point of a column that the kind adds to the table."""
    if prediction.all_rows is None:
        count = int(np.prod(prediction.shape))
        each = [largest(prediction.at(i), column) for i in range(count)]
        return np.reshape(each, prediction.shape)
    terms = prediction.opened[1]
    return prediction.shaped(np.max(terms.detail[column], axis=0))


def seconds_by_bound(prediction: Prediction) -> dict[str, float]:
    """Return a mapping from bottleneck to its seconds of the latency (one point)."""
    table, terms = prediction.opened
    n = len(table.rows)
    _, bound = _term_columns(terms, n)
    seconds_of: dict[str, float] = {}
    total_s = _column(table.count, n) * _column(terms.row_s, n)
    for name, seconds in zip(bound, total_s, strict=True):
        seconds_of[str(name)] = seconds_of.get(str(name), 0.0) + float(seconds)
    return seconds_of


def pictures(prediction: Prediction) -> list[ShownPicture]:
    """Return the plots of a prediction; plots of other kinds of machines are empty."""
    phases = {row.phase for row in prediction.job.lowered.rows}
    by_phase = ShownPicture("bottlenecks", "The same by phase.", {"by": "phase"})
    return [
        ShownPicture(
            "roofline",
            "Each kernel under the roofs of the machine: the area of a point is its share of the "
            "latency; below a slope it waits for that memory, below a flat roof for arithmetic.",
        ),
        ShownPicture("bottlenecks", "Where the time goes, by class of operator."),
        *([by_phase] if len(phases) > 1 else []),
        ShownPicture(
            "memory",
            "Activations step by step, and what each memory must hold against what it has.",
        ),
        ShownPicture("resources", "What the design takes of the part."),
        *_ownership_pictures(prediction),
        *(
            [ShownPicture("energy_stack", "Energy of each kernel by part.")]
            if len(prediction.energy.parts) > 1
            else []
        ),
        *(
            []
            if isinstance(prediction.silicon, str)
            else [ShownPicture("area_stack", "Area of each block that the spec states.")]
        ),
    ]


def _ownership_pictures(prediction: Prediction) -> list[ShownPicture]:
    """Return the plots of heat, of modes and of costs, where a spec or a question has them."""
    shown: list[ShownPicture] = []
    if "power.limit" in prediction.machine.facts and not np.isnan(prediction.energy_j).all():
        shown.append(ShownPicture("temperature", "How warm it gets, and when it slows down."))
    if prediction.machine.device.operating_points and prediction.energy_per_period_j is not None:
        text = "Energy over latency in each mode of the device, and the period."
        shown.append(ShownPicture("operating_points", text))
    if prediction.costs_asked and not prediction.missing_reason("cost_usd"):
        text = "What a run costs, over how much of its life the device runs."
        shown.append(ShownPicture("cost_over_utilization", text))
    return shown


def to_dict(prediction: Prediction) -> dict[str, Any]:
    """Return all metrics as a JSON-compatible dictionary."""
    machine, workload = prediction.machine, prediction.workload
    metrics: dict[str, Any] = {
        "workload": workload.name,
        "parameters_bound": workload.parameters,
        "device": machine.device.name,
        "runtime": machine.runtime.name,
        "precision": prediction.precision,
        "varied": machine.varied,
    }
    if machine.operating_point:
        metrics["operating_point"] = machine.operating_point
    optional = metrics_of("request")
    for name in METRICS:
        value = getattr(prediction, name)
        if value is not None or name not in optional:
            metrics[name] = value
    graph = prediction.job.lowered.graph
    metrics |= {
        **energy_terms(prediction),
        "thermal": _thermal(prediction),
        "cost": prediction.cost._asdict(),
        "traffic_model": prediction.traffic_model,
        "bottleneck": prediction.bottleneck,
        "process_parts": prediction.process_parts,
        "feasible": prediction.feasible,
        "violations": prediction.violations,
        "breaches": prediction.breaches,
        "placement": prediction.placement,
        **_resources(prediction),
        "executed": prediction.executed,
        "not_priced": graph.not_priced,
        "notes": workload.notes,
        "remarks": remarks(prediction),
    }
    return plain(metrics | spread_of(prediction))


def energy_terms(prediction: Prediction) -> dict[str, str]:
    """Return model with what it leaves out, boundary and basis of an energy, for JSON."""
    return {
        "energy_model": prediction.energy_model,
        "energy_boundary": prediction.energy_boundary,
        "energy_basis": prediction.energy_basis,
        "energy_basis_reason": prediction.energy_basis_reason,
    }


def energy_line(p: Prediction) -> tuple[str, str]:
    """Return (label, text) of the energy of one run: value, basis, interval; or why unknown."""
    if np.isnan(p.energy_j):
        return "energy", p.energy_model
    span = p.interval("energy_j").show("energy")
    text = f"{show(p.energy_j, 'energy')} ({p.energy_basis}; 90 % in {span})"
    return f"energy ({p.energy_boundary})", text


def _thermal(prediction: Prediction) -> dict[str, Any] | None:
    """Return the thermal and battery limits; ``None`` if the device states neither."""
    if not _is_heat_stated(prediction) and "power.battery" not in prediction.machine.facts:
        return None
    return prediction.thermal._asdict() | {"burst_reason": prediction.burst_reason}


def _is_heat_stated(prediction: Prediction) -> bool:
    """Return whether the device states the limit of its body, or the question a fact of it."""
    machine = prediction.machine
    return "power.limit" in machine.facts or not machine.varied.keys().isdisjoint(BODY)


def _resources(prediction: Prediction) -> dict[str, Any]:
    """Return the resource usage of a network-specific engine; empty for other engines."""
    used = prediction.resources
    return {"resources": used, "scarce": scarcest(used)} if used else {}


def spread_of(prediction: IntervalResult) -> dict[str, Any]:
    """Return basis and intervals as a JSON-compatible dictionary; open ends are ``None``."""
    return {
        "basis": prediction.basis,
        "basis_reason": prediction.basis_reason,
        "intervals": {
            metric: interval_ends(levels) for metric, levels in prediction.intervals.items()
        },
    }


def interval_ends(levels: Mapping[str, Interval]) -> dict[str, dict[str, Any]]:
    """Return coverage in per cent -> ends of an interval, for JSON."""
    return {share: {"low": each.low, "high": each.high} for share, each in levels.items()}


def headline_numbers(prediction: Prediction) -> list[tuple[str, str]]:
    """Return (label, text) pairs of the headline numbers; ranges if there are many points."""
    p = prediction
    if p.shape:
        return _ranges(p)
    lines = _pipeline_lines(p)
    lines += [("latency", show(p.latency_s, "time")), *spread_lines(p)]
    if p.tokens_per_s is not None:
        lines.append(("tokens/s", rate(p.tokens_per_s)))
    else:
        lines.append((f"{p.workload.unit}/s", rate(p.frames_per_s)))
    if p.ttft_s is not None and p.tpot_s is not None:
        lines += [("TTFT", show(p.ttft_s, "time")), ("TPOT", show(p.tpot_s, "time"))]
    lines.append(energy_line(p))
    if not np.isnan(p.energy_j):
        lines.append(("power", show(p.power_w, "power")))
        lines += [*_period_lines(p), *_thermal_lines(p)]
    lines += _silicon_lines(p)
    main = p.levels[-1]
    lines += [
        (f"{main} traffic", show(p.traffic_bytes[main], "bytes")),
        (f"{main} bandwidth", show(p.bandwidth_bytes_per_s[main], "bandwidth")),
        ("utilization", _percent(p.utilization)),
        ("memory", show(p.peak_memory_bytes, "bytes")),
        *_process_lines(p),
        *_placement_lines(p),
        *cost_lines(p, lambda: p.cost, first_number(p.job.workload.items()), p.interval),
        ("bottleneck", p.bottleneck),
    ]
    usage = p.resources
    for name, columns in usage.items():
        if columns["available"] or columns["used"]:
            text = f"{columns['used']:.0f} of {columns['available']:.0f}"
            text += f" ({_percent(columns['share'])})"
            if "low" in columns and columns["low"] < columns["high"]:
                ends = f"{columns['low']:.0f} to {columns['high']:.0f}"
                text = f"{ends} by the weights, expected {text}"
            text += ", the scarcest" if name == scarcest(usage) else ""
            lines.append((name.upper(), text))
    return lines


def _ranges(p: Prediction) -> list[tuple[str, str]]:
    """Return (label, text) pairs of the number of points and the range of each headline number."""
    fit = int(cast("float", np.sum(p.feasible)))
    lines = [("points", f"{int(np.prod(p.shape))}, of shape {p.shape}; {fit} fit")]
    metrics: list[tuple[str, Any, str]] = []
    if p.interval_s is not None:
        metrics.append(("interval", p.interval_s, "time"))
    metrics.append(("latency", p.latency_s, "time"))
    if p.tokens_per_s is not None:
        metrics.append(("tokens/s", p.tokens_per_s, ""))
    else:
        metrics.append((f"{p.workload.unit}/s", p.frames_per_s, ""))
    metrics += [
        (f"energy ({p.energy_boundary})", p.energy_j, "energy"),
        ("memory", p.peak_memory_bytes, "bytes"),
        *((label, getattr(p, n), dimension_of(n)) for n, label in labelled_metrics().items()),
    ]
    for label, values, dimension in metrics:
        numbers = np.asarray(values, dtype=float)
        if not np.isnan(numbers).any():
            ends = (float(numbers.min()), float(numbers.max()))
            low, high = (show(end, dimension) if dimension else rate(end) for end in ends)
            lines.append((label, f"{low} to {high}"))
    return lines


def spread_lines(p: IntervalResult, metric: str = "latency_s") -> list[tuple[str, str]]:
    """Return (label, text) pairs of the prediction intervals and their basis."""
    texts = {share: each.show(dimension_of(metric)) for share, each in p.levels_of(metric).items()}
    if p.basis == "bound":
        ends = [("  a bound", list(texts.values())[-1])]
    else:
        ends = [(f"  {share} % in", text) for share, text in texts.items()]
    return [*ends, ("  basis", f"{p.basis}: {p.basis_reason}")]


def _percent(share: float) -> str:
    """Return a share as a percentage with three significant digits, without exponent."""
    return f"{100 * share:.0f} %" if share >= 10.0 else f"{100 * share:.3g} %"


def _pipeline_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return the line on the initiation interval, if the design is a pipeline."""
    if p.interval_s is None:
        return []
    pace = f"{show(p.interval_s, 'time')}, {rate(p.samples_per_s)} samples/s"
    return [("interval", pace)]


def _silicon_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return lines on the stated blocks of a design; a chip that exists has its die instead."""
    if p.die_mm2 is not None or not p.machine.device.engines_of_structure:
        return []
    lines: list[tuple[str, str]] = []
    for name, label in labelled_metrics().items():
        value, dimension = getattr(p, name), dimension_of(name)
        if value is None or np.isnan(value) or not value:
            continue
        within = p.interval(name)
        ends = "" if within.low == within.high else f" (90 % in {within.show(dimension)})"
        lines.append((label, show(value, dimension) + ends))
    return lines


def _process_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return the line on the memory of the process and its parts, if it is more than tensors."""
    if p.process_bytes == p.peak_memory_bytes:
        return []
    parts = (f"{name} {show(size, 'bytes')}" for name, size in p.process_parts.items() if size)
    return [("  process", f"{show(p.process_bytes, 'bytes')}: {', '.join(parts)}")]


def _placement_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return lines on the placement, if more than one memory holds tensors."""
    lines = list[tuple[str, str]]()
    for memory, part in p.placement.items():
        need, there = float(part["demand_bytes"]), float(part["capacity_bytes"])
        share = f" ({_percent(need / there)})" if there else ""
        lines.append((f"  in {memory}", f"{show(need, 'bytes')} of {show(there, 'bytes')}{share}"))
    return lines if len(lines) > 1 else []


def _period_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return lines on the energy of a run and of the rest of its period, if one is set."""
    if p.energy_per_period_j is None or p.missing_reason("energy_per_period_j"):
        return []
    resting, power = resting_power_w(p.setting), show(p.average_power_w, "power")
    text = f"{show(p.energy_per_period_j, 'energy')} in {show(p.machine['use.period'], 'time')}"
    state = "asleep" if "power.sleep" in p.setting.facts else "idle"
    origin = p.machine.provenance.get("power.idle")
    if state == "idle" and origin is not None and origin.writer.startswith("table "):
        state += " (assumed, as of its class)"
    span = p.interval("energy_per_period_j").show("energy")
    text += f" (90 % in {span}): {power} on average, {show(resting, 'power')} {state}"
    return [("with idling", text)]


def _thermal_lines(p: Prediction) -> list[tuple[str, str]]:
    """Return lines on thermal and battery limits, if the device states them."""
    facts, lines = p.machine.facts, list[tuple[str, str]]()
    if _is_heat_stated(p):
        warm = p.thermal
        if np.isfinite(warm.burst_s):
            text = f"{100 * warm.sustained_speed:.3g} % of the speed after "
            lines.append(("sustained", text + show(warm.burst_s, "time")))
        else:
            lines.append(("sustained", f"full speed: {p.burst_reason}"))
    if "power.battery" in facts:
        idling = 1.0 if p.energy_per_period_j is None else p.energy_j / p.energy_per_period_j
        lines.append(("a charge", f"{rate(idling * p.thermal.battery_runs)} runs"))
    return lines


def _operating_remarks(prediction: Prediction) -> list[str]:
    """Return remarks on periods that are too short, and on clocks without a voltage."""
    machine, lines = prediction.machine, list[str]()
    if prediction.energy_per_period_j is not None:
        lines += filter(None, [prediction.missing_reason("energy_per_period_j")])
    mode = machine.device.operating_points.get(machine.operating_point)
    if mode is not None and all(machine.dimension(path) != "voltage" for path in mode.facts):
        lines.append(
            f"no voltage is stated at {machine.operating_point}: an operation takes the energy "
            "that it takes at the device's own clock, or that the mode states"
        )
    return lines


def rate(value: float) -> str:
    """Return items per second with four significant digits, without exponent for usual values."""
    return f"{value:.0f}" if 1e3 <= value < 1e9 else f"{value:.4g}"


def headline(prediction: Prediction) -> str:
    """Return the title: workload, device, formats and software."""
    m = prediction.machine
    bound = ", ".join(f"{k}={brief(v)}" for k, v in prediction.workload.parameters.items())
    name = f"{prediction.workload.name} ({bound})" if bound else prediction.workload.name
    device = f"{m.device.name} at {m.operating_point}" if m.operating_point else m.device.name
    return f"{name} on {device}, {prediction.precision}, runtime {m.runtime.name}"


def brief(value: Any) -> str:
    """Return a parameter as text for a title: a number, or the shape of an array."""
    if is_array(value) and np.ndim(value):
        return f"array{np.shape(value)}"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def warnings_of(prediction: Prediction) -> list[str]:
    """Return the warnings about exceeded limits and impossible values."""
    warnings = [f"infeasible: {v}" for v in prediction.violations]
    warnings += [f"impossible: {b}" for b in prediction.breaches]
    return warnings + remarks(prediction)


def remarks(prediction: Prediction) -> list[str]:
    """Return the remarks about a network that fits."""
    lines = [
        f"{wanted} runs as {name}: the engine has no peak of its own for it"
        for wanted, name in prediction.executed.items()
        if wanted != name and wanted not in prediction.unsupported
    ]
    lines += [*_operating_remarks(prediction), *prediction.machine.remarks]
    lines += misfit_reasons(prediction)
    if lacks := uncounted_instructions(prediction.setting):
        lines.append(
            "the time may be too short, as instructions that the runtime counts for these weights "
            f"are left out: the engine states {lacks}"
        )
    weights = prediction.setting.choices.get("weights")
    if weights in ("remainder", "contexts") and not prediction.job.warm:
        lines.append(
            "a first run, that loads weights which may stay for the next: warm=True (--warm)"
        )
    missing = prediction.job.lowered.graph.not_priced
    if missing:
        lines.append(f"{len(missing)} operators not priced: " + "; ".join(missing[:3]))
    return lines
