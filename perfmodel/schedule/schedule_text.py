"""Text and dictionary forms of a schedule and of a curve over capacities.

`Schedule` and `Curve` (`result.py`, `curve.py`) delegate their text and JSON to these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.prediction.presentation import energy_line, energy_terms, interval_ends
from perfmodel.schedule.target import NO_ENERGY
from perfmodel.table import plain
from perfmodel.table.text import align_columns
from perfmodel.units import binary, show, sizes

if TYPE_CHECKING:
    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.result import Schedule


#: Metrics of a schedule: names of attributes, and keys in JSON.
METRICS = (
    "spill_bytes",
    "reload_bytes",
    "compulsory_bytes",
    "tile_bytes",
    "offchip_bytes",
    "lower_bound_bytes",
    "capacity_bytes",
    "peak_bytes",
    "working_set_bytes",
    "weight_bytes",
)


def glance(schedule: Schedule) -> list[tuple[str, str]]:
    """Return the summary lines, each a label and a text."""
    lines: list[tuple[str, str]] = []
    working_set = schedule.working_set_bytes
    capacity, needed = sizes(schedule.capacity_bytes or working_set, working_set)
    if schedule.capacity_bytes is not None:
        memory, device = schedule.where.memory, schedule.where.device
        where = f"{memory} of {device}" if device else memory
        lines.append(("capacity", f"{capacity} ({where})"))
    lines.append(("largest working set", needed))
    if schedule.outcome.solution is None:
        return lines
    spilled = schedule.trace.cost_bytes
    lines += [
        (
            "spilled + reloaded",
            f"{binary(schedule.spill_bytes)} + {binary(schedule.reload_bytes)}"
            + (f" = {binary(spilled)}" if spilled else ""),
        ),
        ("off chip in all", binary(schedule.offchip_bytes)),
        ("on chip at most", binary(schedule.peak_bytes)),
    ]
    if schedule.tiled is not None:
        traffic = f"{binary(schedule.tile_bytes)} beyond the compulsory"
        lines.insert(-2, ("moved by tiles", f"{traffic}, {len(schedule.tiled.tilings)} operators"))
    if schedule.layout is not None and schedule.layout.packed:
        lines.append(("addresses", f"packed into {binary(schedule.layout.height_bytes)}"))
    if schedule.latency_s is not None:
        lines.append(("latency", show(schedule.latency_s, "time")))
    if schedule.timing is not None and schedule.timing.beside is not None:
        other = schedule.timing.beside
        traffic = f"{binary(other.noncompulsory_bytes)} spilled and reloaded"
        lines.append(("with fewest bytes", f"{show(other.latency_s, 'time')}, {traffic}"))
    if schedule.offchip_energy_j is not None:
        lines.append(("energy off chip", show(schedule.offchip_energy_j, "energy")))
    if schedule.prediction is None:
        lines.append(("energy", NO_ENERGY))
    else:
        lines.append(energy_line(schedule.prediction))
    lines.append(("proof", proof_text(schedule)))
    return lines


def proof_text(schedule: Schedule) -> str:
    """Return the gap between the schedule and its lower bound as a text."""
    claim = {
        "bytes": "spill fewer bytes",
        "peak": "need less memory",
        "latency_s": "be faster",
        "offchip_energy_j": "take less energy off chip",
    }[schedule.objective]
    if schedule.proved:
        return f"proved: no schedule can {claim}"
    if schedule.objective == "bytes":
        best, bound = float(schedule.trace.cost_bytes), schedule.lower_bound
        shown = f"at least {binary(bound)}" if bound else "no bound above zero"
    elif schedule.objective == "peak":
        best, bound = float(schedule.peak_bytes), schedule.lower_bound
        shown = f"at least {binary(bound)}"
    else:
        is_latency = schedule.objective == "latency_s"
        best = (schedule.latency_s if is_latency else schedule.offchip_energy_j) or 0.0
        bound = schedule.lower_bound
        shown = f"at least {show(bound, 'time' if is_latency else 'energy')}"
    gap = f", gap {100.0 * (best - bound) / best:.1f} %" if best and bound else ""
    return f"not proved: {shown}{gap}"


def explanation(schedule: Schedule) -> str:
    """Return why nothing fits, or the gap between value and bound and the binding constraints."""
    parts = [str(schedule)]
    if schedule.unproved is not None:
        parts.append(schedule.unproved.text())
    if schedule.outcome.work:
        effort = ", ".join(f"{name} {count}" for name, count in schedule.outcome.work.items())
        parts.append(f"searched: {effort}")
    sets = schedule.problem.working_set_bytes
    worst = schedule.problem.steps[sets.index(max(sets))]
    buffers = [schedule.problem.buffers[t] for t in dict.fromkeys((*worst.reads, *worst.writes))]
    inner = ", ".join(f"{buffer.name} {binary(buffer.size_bytes)}" for buffer in buffers)
    parts.append(f"{worst.name} needs the most on chip, {binary(max(sets))}: {inner}")
    if schedule.timing is not None:
        line = schedule.timing.timeline
        times = [show(t, "time") for t in (line.makespan_s, line.compute_s, line.exposed_s)]
        parts.append(f"latency = arithmetic + waiting = {times[1]} + {times[2]} = {times[0]}")
    if schedule.run_energy_j is not None and schedule.prediction is not None:
        shares = schedule.prediction.energy.parts
        sums = " + ".join(f"{name} {show(joule, 'energy')}" for name, joule in shares.items())
        parts.append(f"energy = {sums} ({schedule.energy_model})")
    return "\n\n".join(parts)


def head_line(schedule: Schedule) -> str:
    """Return the name of the network, its precision, the method and the objective."""
    steps = sum(not step.load for step in schedule.problem.steps)
    settings = f"{schedule.scheduled.precision}, {schedule.method}, {schedule.objective}"
    return f"{schedule.problem.name}: {steps} steps, {settings}"


def curve_rows(curve: Curve) -> list[list[str]]:
    """Return one row per capacity, preceded by the column titles."""
    timed = any(schedule.latency_s is not None for schedule in curve.schedules)
    head = ["capacity", "spilled", "reloaded", "at least", "off chip", "on chip"]
    rows = [[*head, *(["latency"] if timed else []), ""]]
    for schedule in curve.schedules:
        size = binary(schedule.capacity_bytes or 0)
        if schedule.outcome.solution is None:
            rows.append([size, *[""] * (len(head) - 1 + timed), "does not fit"])
            continue
        sums = (
            schedule.spill_bytes,
            schedule.reload_bytes,
            schedule.lower_bound_bytes,
            schedule.offchip_bytes,
            schedule.peak_bytes,
        )
        latency = "" if schedule.latency_s is None else show(schedule.latency_s, "time")
        proof = "proved" if schedule.proved else "not proved"
        proof += "" if schedule.feasible else ", its addresses do not fit"
        rows.append([size, *map(binary, sums), *([latency] if timed else []), proof])
    return rows


def curve_head(curve: Curve) -> str:
    """Return the head line of the network and the largest working set of a step."""
    last = curve.schedules[-1]
    return f"{head_line(last)}; largest working set {binary(last.working_set_bytes)}"


def curve_text(curve: Curve) -> str:
    """Return the rows of a curve as a text."""
    rows = curve_rows(curve)
    return "\n".join(f"  {line}" for line in align_columns(rows, range(len(rows[0]) - 1)))


def to_dict(schedule: Schedule) -> dict[str, Any]:
    """Return all results of a schedule as a dictionary for JSON."""
    out: dict[str, Any] = {
        "workload": schedule.problem.name,
        "device": schedule.where.device,
        "memory": schedule.where.memory,
        "precision": str(schedule.scheduled.precision),
        "objective": schedule.objective,
        "method": schedule.method,
        "feasible": schedule.feasible,
        "proved": schedule.proved,
        "lower_bound": schedule.lower_bound,
    }
    if schedule.infeasible is not None:
        out["infeasible"] = schedule.infeasible.to_dict()
    if schedule.outcome.solution is None:
        limits = {
            "capacity_bytes": schedule.capacity_bytes,
            "working_set_bytes": schedule.working_set_bytes,
        }
        if schedule.objective != "peak":
            # Without a schedule there is no bound.
            limits["lower_bound"] = None
        return out | limits
    out |= {name: getattr(schedule, name) for name in METRICS}
    out |= {"latency_s": schedule.latency_s, "offchip_energy_j": schedule.offchip_energy_j}
    out |= {"run_energy_j": schedule.run_energy_j, "energy_model": schedule.energy_model}
    if schedule.prediction is not None:
        out |= energy_terms(schedule.prediction)
        out["energy_interval"] = interval_ends(schedule.prediction.levels_of("energy_j"))
    if schedule.timing is not None:
        out["timing"] = schedule.timing.to_dict()
    out |= {
        "order": schedule.order,
        "residency": schedule.residency.to_records(),
        "addresses": schedule.addresses,
        "height_bytes": schedule.layout.height_bytes if schedule.layout is not None else None,
        "counts": schedule.outcome.work,
        "notes": schedule.notes,
    }
    return plain(out)
