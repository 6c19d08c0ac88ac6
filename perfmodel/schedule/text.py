"""Text and dictionary forms of a schedule and of a curve over capacities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.table import plain
from perfmodel.table.text import aligned
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


def glance(s: Schedule) -> list[tuple[str, str]]:
    """Return the summary lines, each a label and a text."""
    lines: list[tuple[str, str]] = []
    most = s.working_set_bytes
    there, needed = sizes(most if s.capacity_bytes is None else s.capacity_bytes, most)
    if s.capacity_bytes is not None:
        where = s.where.memory if not s.where.device else f"{s.where.memory} of {s.where.device}"
        lines.append(("capacity", f"{there} ({where})"))
    lines.append(("largest working set", needed))
    if s.outcome.solution is None:
        return lines
    spilled = s.trace.cost_bytes
    lines += [
        (
            "spilled + reloaded",
            f"{binary(s.spill_bytes)} + {binary(s.reload_bytes)}"
            + (f" = {binary(spilled)}" if spilled else ""),
        ),
        ("off chip in all", binary(s.offchip_bytes)),
        ("on chip at most", binary(s.peak_bytes)),
    ]
    if s.tiled is not None:
        traffic = f"{binary(s.tile_bytes)} beyond the compulsory"
        lines.insert(-2, ("moved by tiles", f"{traffic}, {len(s.tiled.tilings)} operators"))
    if s.layout is not None and s.layout.packed:
        lines.append(("addresses", f"packed into {binary(s.layout.height_bytes)}"))
    if s.latency_s is not None:
        lines.append(("latency", show(s.latency_s, "time")))
    if s.timing is not None and s.timing.beside is not None:
        other = s.timing.beside
        traffic = f"{binary(other.noncompulsory_bytes)} spilled and reloaded"
        lines.append(("with fewest bytes", f"{show(other.latency_s, 'time')}, {traffic}"))
    if s.offchip_energy_j is not None:
        lines.append(("energy off chip", show(s.offchip_energy_j, "energy")))
    lines.append(("proof", proof_text(s)))
    return lines


def proof_text(s: Schedule) -> str:
    """Return the gap between the schedule and its lower bound as a text."""
    claim = {
        "bytes": "spill fewer bytes",
        "peak": "need less memory",
        "latency_s": "be faster",
        "offchip_energy_j": "take less energy off chip",
    }[s.objective]
    if s.proved:
        return f"proved: no schedule can {claim}"
    if s.objective == "bytes":
        best, bound = float(s.trace.cost_bytes), s.lower_bound
        shown = f"at least {binary(bound)}" if bound else "no bound above zero"
    elif s.objective == "peak":
        best, bound = float(s.peak_bytes), s.lower_bound
        shown = f"at least {binary(bound)}"
    else:
        best = (s.latency_s if s.objective == "latency_s" else s.offchip_energy_j) or 0.0
        bound = s.lower_bound
        shown = f"at least {show(bound, 'time' if s.objective == 'latency_s' else 'energy')}"
    gap = f", gap {100.0 * (best - bound) / best:.1f} %" if best and bound else ""
    return f"not proved: {shown}{gap}"


def explanation(s: Schedule) -> str:
    """Return why nothing fits, or the gap between value and bound and the binding constraints."""
    parts = [str(s)]
    if s.unproved is not None:
        parts.append(s.unproved.text())
    if s.outcome.work:
        parts.append(f"searched: {', '.join(f'{name} {n}' for name, n in s.outcome.work.items())}")
    sets = s.problem.working_set_bytes
    worst = s.problem.steps[sets.index(max(sets))]
    buffers = [s.problem.buffers[t] for t in dict.fromkeys((*worst.reads, *worst.writes))]
    inner = ", ".join(f"{buffer.name} {binary(buffer.size_bytes)}" for buffer in buffers)
    parts.append(f"{worst.name} needs the most on chip, {binary(max(sets))}: {inner}")
    if s.timing is not None:
        line = s.timing.timeline
        times = [show(t, "time") for t in (line.makespan_s, line.compute_s, line.exposed_s)]
        parts.append(f"latency = arithmetic + waiting = {times[1]} + {times[2]} = {times[0]}")
    return "\n\n".join(parts)


def head_line(s: Schedule) -> str:
    """Return the name of the network, its precision, the method and the objective."""
    steps = sum(not step.load for step in s.problem.steps)
    return f"{s.problem.name}: {steps} steps, {s.scheduled.precision}, {s.method}, {s.objective}"


def curve_rows(curve: Curve) -> list[list[str]]:
    """Return one row per capacity, preceded by the column titles."""
    timed = any(s.latency_s is not None for s in curve.schedules)
    head = ["capacity", "spilled", "reloaded", "at least", "off chip", "on chip"]
    rows = [[*head, *(["latency"] if timed else []), ""]]
    for s in curve.schedules:
        size = binary(s.capacity_bytes or 0)
        if s.outcome.solution is None:
            rows.append([size, *[""] * (len(head) - 1 + timed), "does not fit"])
            continue
        sums = (s.spill_bytes, s.reload_bytes, s.lower_bound_bytes, s.offchip_bytes, s.peak_bytes)
        latency = "" if s.latency_s is None else show(s.latency_s, "time")
        proof = "proved" if s.proved else "not proved"
        proof += "" if s.feasible else ", its addresses do not fit"
        rows.append([size, *map(binary, sums), *([latency] if timed else []), proof])
    return rows


def curve_head(curve: Curve) -> str:
    """Return the head line of the network and the largest working set of a step."""
    last = curve.schedules[-1]
    return f"{head_line(last)}; largest working set {binary(last.working_set_bytes)}"


def curve_text(curve: Curve) -> str:
    """Return the rows of a curve as a text."""
    rows = curve_rows(curve)
    return "\n".join(f"  {line}" for line in aligned(rows, range(len(rows[0]) - 1)))


def to_dict(s: Schedule) -> dict[str, Any]:
    """Return all results of a schedule as a dictionary for JSON."""
    out: dict[str, Any] = {
        "workload": s.problem.name,
        "device": s.where.device,
        "memory": s.where.memory,
        "precision": str(s.scheduled.precision),
        "objective": s.objective,
        "method": s.method,
        "feasible": s.feasible,
        "proved": s.proved,
        "lower_bound": s.lower_bound,
    }
    if s.infeasible is not None:
        out["infeasible"] = s.infeasible.to_dict()
    if s.outcome.solution is None:
        limits = {"capacity_bytes": s.capacity_bytes, "working_set_bytes": s.working_set_bytes}
        if s.objective != "peak":
            # Without a schedule there is no bound.
            limits["lower_bound"] = None
        return out | limits
    out |= {name: getattr(s, name) for name in METRICS}
    out |= {"latency_s": s.latency_s, "offchip_energy_j": s.offchip_energy_j}
    if s.timing is not None:
        out["timing"] = s.timing.to_dict()
    out |= {
        "order": s.order,
        "residency": s.residency.to_records(),
        "addresses": s.addresses,
        "height_bytes": s.layout.height_bytes if s.layout is not None else None,
        "counts": s.outcome.work,
        "notes": s.notes,
    }
    return plain(out)
