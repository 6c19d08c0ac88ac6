"""Explanation of a latency: its equations with all numbers inserted, line by line.

Every line with an equals sign has the form ``name = expression = number``; the expression is plain
arithmetic that evaluates to the number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value, first_number, is_array
from perfmodel.cost.energy import resting_power_w
from perfmodel.cost.totals import per_run_overhead_s
from perfmodel.hardware.technology.blocks import placement
from perfmodel.prediction.explain_ownership import explain_ownership
from perfmodel.prediction.presentation import row_columns
from perfmodel.prediction.resource_usage import design_lines

if TYPE_CHECKING:
    from perfmodel.cost.setting import Setting
    from perfmodel.prediction.prediction import Prediction


def explain(prediction: Prediction, rows: int = 8) -> str:
    """Return the explanation of a prediction, for its first point if it has many.

    Parameters
    ----------
    rows
        Number of the slowest rows to expand.
    """
    if prediction.shape:
        return explain(prediction.at(0), rows)
    job = prediction.job
    setting = prediction.setting
    columns = row_columns(prediction)
    _, terms = prediction.opened
    lines = [str(prediction), "", f"traffic: {prediction.traffic_model}", ""]
    total = columns["total_s"]
    order = [int(i) for i in np.argsort(-total, kind="stable")]
    shown = order[:rows]
    per_run = per_run_overhead_s(setting)
    pieces = [f"{columns['count'][i]:.12g}*{columns['row_s'][i]:.12g}" for i in shown]
    once = float(sum(total[i] for i in order[rows:]))
    if once:
        pieces.append(f"{once:.12g}")
    if not is_array(per_run) and per_run:
        pieces.append(f"{per_run:.12g}")
    lines.append(f"latency_s = {' + '.join(pieces)} = {prediction.latency_s:.9g}")
    if once:
        lines.append(f"  ({len(order) - rows} smaller rows together: {once:.4g} s)")
    equations = job.model.kind.equations
    used = [n for n in (*terms.compute, "memory", *terms.overhead) if n in equations]
    lines += ["", "terms:"]
    lines += [f"  {n}: {equations[n].text}  [{equations[n].citation}]" for n in used]
    lines += [
        "",
        f"a row: {_composition_rule(setting, terms.cold is not None)}",
        "",
    ]
    lines += [_row_line(prediction, columns, i) for i in shown]
    lines += design_lines(prediction, columns)
    lines += _energy_lines(prediction)
    lines += _silicon_lines(prediction)
    lines += ["", "facts used:", *_fact_lines(prediction, used_facts(prediction))]
    if prediction.costs_asked:
        lines += ["", explain_ownership(prediction)]
    return "\n".join(lines)


def _fact_lines(prediction: Prediction, paths: list[str]) -> list[str]:
    """Return a line for each fact: its value, confidence and writer."""
    known = prediction.machine.provenance
    lines: list[str] = []
    for path in paths:
        origin = known.get(path)
        text = f"  {path} = {float(prediction.setting.facts[path]):.12g}"
        if origin is not None:
            where = origin.writer + (f", {origin.source}" if origin.source else "")
            text += f"  ({origin.confidence or 'default'}; {where})"
        lines.append(text)
    return lines


def _energy_lines(prediction: Prediction) -> list[str]:
    """Return the energy as a sum over its parts, its facts, and what its heat does."""
    energy = prediction.energy
    head = ["", f"energy ({prediction.energy_boundary}): {energy.model}"]
    if energy.joule is None or np.isnan(energy.joule):
        return head
    terms = " + ".join(f"{float(joule):.12g}" for joule in energy.parts.values())
    ratio = f"{float(energy.joule):.12g}/{prediction.latency_s:.12g}"
    return [
        *head,
        f"  basis: {prediction.energy_basis}, {prediction.energy_basis_reason}",
        f"  terms: {', '.join(energy.parts)}",
        f"energy_j = {terms} = {float(energy.joule):.9g}",
        *_period_lines(prediction),
        f"power_w = {ratio} = {float(prediction.power_w):.9g}",
        f"  heat: {prediction.burst_reason}",
        *_fact_lines(prediction, energy_facts(prediction)),
    ]


_PLACED = ("logic", "memory", "cache")


def _period_lines(prediction: Prediction) -> list[str]:
    """Return the energy of a period: its run, and what follows it; none without a period."""
    total = prediction.energy_per_period_j
    if total is None:
        return []
    if reason := prediction.missing_reason("energy_per_period_j"):
        return [f"energy_per_period_j: not known, since {reason}"]
    period, between_runs_w = prediction.machine["use.period"], resting_power_w(prediction.setting)
    run = f"{prediction.energy_j:.12g} + {first_number(between_runs_w):.12g}"
    lines = [f"energy_per_period_j = {run}*({period:.12g} - {prediction.latency_s:.12g})"]
    lines.append(f"average_power_w = {total:.12g}/{period:.12g}")
    values = total, prediction.average_power_w
    return [f"{line} = {value:.9g}" for line, value in zip(lines, values, strict=True)]


def _silicon_lines(prediction: Prediction) -> list[str]:
    """Return the area and leakage of the chip as sums over its blocks; none without structure."""
    silicon = prediction.silicon
    if isinstance(silicon, str):
        return []
    areas = prediction.area_parts_mm2
    leakage = {name: first_number(watts) for name, watts in silicon.leakage_w().items()}
    placed = ", ".join(f"{placement(kind).ratio:.3g} for {kind}" for kind in _PLACED)
    lines = ["", f"silicon at {first_number(silicon.node_nm):g} nm: {', '.join(areas)}"]
    lines += [f"  placed blocks over their cells: {placed} [published blocks of chips]"]
    for name, parts in (("area_mm2", areas), ("leakage_w", leakage)):
        terms = " + ".join(f"{float(value):.12g}" for value in parts.values())
        value = float(getattr(prediction, name))
        missing = f"{name}: not known, since {prediction.missing_reason(name)}"
        lines.append(missing if np.isnan(value) else f"{name} = {terms} = {value:.9g}")
    die = prediction.die_mm2
    return lines if die is None else [*lines, f"die_mm2 = {die:.9g}, as the spec states"]


def _norm_exponent(setting: Setting) -> float | None:
    """Return the exponent of the overlap rule of `perfmodel.cost.compose`; ``None`` without one."""
    exponent = None if setting.bare else setting.fact("runtime.overlap_pnorm")
    return None if exponent is None or setting.overlap == "none" else float(exponent)


def _composition_rule(setting: Setting, cold: bool) -> str:
    """Return the rule by which the terms of a row compose, as text."""
    overlap, pnorm = setting.overlap, _norm_exponent(setting)
    if pnorm == 1.0:
        return "arithmetic + each memory level + overheads"
    if pnorm is not None:
        return f"(arithmetic**{pnorm:g} + each memory level**{pnorm:g})**{1 / pnorm:g} + overheads"
    if overlap == "cold_weights_add" and cold:
        return (
            "max(arithmetic + cold weights, each nearer level + cold weights, main memory) "
            "+ overheads"
        )
    if overlap != "none":
        return "max(arithmetic, each memory level) + overheads"
    return "arithmetic + each memory level + overheads"


def _row_line(prediction: Prediction, columns: dict[str, np.ndarray], i: int) -> str:
    """Return the line that explains the time of row i: all terms, composed by the overlap rule."""
    _, terms = prediction.opened
    setting = prediction.setting
    cold = f" + {columns['cold_weights_s'][i]:.12g}" if terms.cold is not None else ""
    operands = [_arithmetic_expression(prediction, columns, i) + cold]
    last = list(terms.memory)[-1] if terms.memory else ""
    for level in terms.memory:
        text = _memory_expression(prediction, columns, i, level)
        if text:
            operands.append(text if level == last else text + cold)
    pnorm = _norm_exponent(setting)
    if i in terms.joined:
        body = terms.joined[i]()
    elif pnorm is not None and len(operands) > 1:
        powers = " + ".join(f"({operand})**{pnorm!r}" for operand in operands)
        body = f"({powers})**(1.0/{pnorm!r})"
    elif setting.overlap != "none":
        body = f"max({', '.join(operands)})" if len(operands) > 1 else operands[0]
    else:
        body = " + ".join(operands)
    overheads = [f"{columns[f'{k}_s'][i]:.12g}" for k in terms.overhead if columns[f"{k}_s"][i]]
    body = " + ".join([body, *overheads])
    return (
        f"{columns['name'][i]} (x{columns['count'][i]:g}, bound by {columns['bound_by'][i]}): "
        f"row_s = {body} = {columns['row_s'][i]:.9g}"
    )


def _arithmetic_expression(prediction: Prediction, columns: dict[str, np.ndarray], i: int) -> str:
    """Return the arithmetic terms of row i as operations over rates; ``0`` without any."""
    _, terms = prediction.opened
    expressions: list[str] = []
    for term in terms.compute:
        seconds = columns[f"{term}_s"][i]
        if not seconds:
            continue
        operations = terms.work.get(term)
        factor = ""
        if operations is not None:
            number = float(np.broadcast_to(operations, (len(columns["row_s"]), 1))[i, 0])
        elif term == "matrix":
            factor, number = "2*", float(columns["macs"][i])
        elif term == "vector":
            number = float(columns["vector_ops"][i])
        else:
            expressions.append(f"{seconds:.12g}")
            continue
        rate = (2.0 if factor else 1.0) * number / seconds
        expressions.append(f"{factor}{number:.12g}/{rate:.12g}")
    return " + ".join(expressions) or "0"


def _memory_expression(
    prediction: Prediction, columns: dict[str, np.ndarray], i: int, level: str
) -> str:
    """Return the time of a memory in row i as bytes over bandwidth; empty if it is not used."""
    _, terms = prediction.opened
    setting = prediction.setting
    stated_by_kind = terms.expressions[level](i) if level in terms.expressions else ""
    bytes_, seconds = columns[f"{level}_bytes"][i], columns[f"{level}_s"][i]
    if stated_by_kind or not (bytes_ and seconds):
        return stated_by_kind
    latency = 0.0 if setting.bare else float(setting.fact(f"memories.{level}.latency", 0.0))
    text = f"{bytes_:.12g}/{bytes_ / (seconds - latency):.12g}"
    return f"{text} + {latency:.12g}" if latency else text


def used_facts(prediction: Prediction) -> list[str]:
    """Return the paths of the facts that the latency depends on."""
    setting = prediction.setting
    facts = setting.facts
    engine = f"engines.{setting.engine_name}"
    paths = [f"{engine}.peaks.{name}" for name in dict.fromkeys(prediction.executed.values())]
    from perfmodel.kinds.rates import vector_peak

    name, _ = vector_peak(setting)
    for group in ("vector_peaks", "peaks"):
        if f"{engine}.{group}.{name}" in facts:
            paths.append(f"{engine}.{group}.{name}")
            break
    for level in prediction.levels:
        head = f"memories.{level}"
        paths += [f"{head}.bandwidth"]
        if not setting.bare:
            paths += [f"{head}.sustained_fraction", f"{head}.latency", f"{head}.capacity"]
    if not setting.bare:
        paths += [f"{engine}.clock", f"{engine}.units", f"{engine}.launch_overhead"]
        paths += _kind_specific_facts(
            setting.facts, engine, *(f"memories.{name}" for name in prediction.levels)
        )
        paths += [p for p in facts if p.startswith("runtime.")]
    return [p for p in dict.fromkeys(paths) if p in facts]


def energy_facts(prediction: Prediction) -> list[str]:
    """Return the paths of the facts that the energy depends on beside the latency."""
    engine = f"engines.{prediction.setting.engine_name}"
    powers = ("busy_power", "running_power", "transport_energy", "vector_energy_per_op")
    paths = [
        *(f"power.{name}" for name in ("idle", "sleep", "busy", "voltage")),
        *(f"{engine}.{name}" for name in powers),
        *(f"{engine}.energy_per_op.{name}" for name in prediction.executed.values()),
        *(
            f"memories.{level}.{name}"
            for level in prediction.levels
            for name in ("energy_per_byte", "background_power")
        ),
    ]
    return [path for path in dict.fromkeys(paths) if path in prediction.setting.facts]


#: Facts that every engine or memory may state.
_COMMON = frozenset(
    {
        "clock",
        "units",
        "launch_overhead",
        "capacity",
        "reserved",
        "bandwidth",
        "sustained_fraction",
        "latency",
        "energy_per_byte",
    }
)


def _kind_specific_facts(facts: Mapping[str, Value], *entries: str) -> list[str]:
    """Return the facts that kinds of engines and memories add to those of their base class."""
    return [
        path
        for path in facts
        if path.rpartition(".")[0] in entries and path.rpartition(".")[2] not in _COMMON
    ]
