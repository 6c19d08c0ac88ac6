"""From what a reader chose to what the page shows; nothing here knows of the page's library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from perfmodel.charts.chart import Chart, Points
from perfmodel.charts.draw import draw
from perfmodel.charts.style import INK, quantity
from perfmodel.compare import Comparison
from perfmodel.errors import Fault, InputError, PerfmodelError
from perfmodel.explore.choices import LENGTHS, Choices, parameters_of, phases_of
from perfmodel.prediction import Prediction
from perfmodel.prediction.rows import remarks
from perfmodel.report.calls import PredictCall
from perfmodel.report.of_prediction import headline_cards, sentence
from perfmodel.report.of_sweep import is_known
from perfmodel.settings import RESERVED, FaultList, is_fact, plain_value
from perfmodel.solve import solve
from perfmodel.sweep import sweep
from perfmodel.units import UnitError, is_number, parse, show
from perfmodel.workload.caches import forget_structures

#: Limit -> metric, dimension.
LIMITS = {"latency": ("latency_s", "time"), "memory": ("peak_memory_bytes", "bytes"),
          "energy": ("energy_j", "energy")}  # fmt: skip
#: Compiled structures that a page which runs for days keeps.
MOST_STRUCTURES = 64
_BATCHES = tuple(2.0**k for k in range(9))
_FRONT = ("w16a16", "w8a8", "w4a16", "w4a8")


@dataclass(frozen=True)
class ExplorerSelection:
    """What a reader chose, as the page sends it: texts and numbers that may be anything.

    Attributes
    ----------
    beside
        A second device; empty for none.
    batch, length
        Of the sliders; ``None`` where the workload has no such parameter.
    settings
        ``NAME=VALUE``, with semicolons or line breaks between.
    limits
        A key of `LIMITS` -> a text with its unit; empty for none.
    """

    workload: str
    device: str
    beside: str = ""
    phase: str = ""
    runtime: str = ""
    precision: str = ""
    batch: float | None = None
    length: float | None = None
    settings: str = ""
    limits: Mapping[str, str] = field(default_factory=dict[str, str])


class DeviceAnswer(NamedTuple):
    """One device's answer.

    Attributes
    ----------
    verdict, sentence
        Whether it fits, and the answer in words.
    numbers
        Label, number, and what stands small below it.
    missing
        What does not fit, and what is above a limit.
    notes
        What a reader must know beside the numbers.
    """

    device: str
    verdict: str
    sentence: str
    numbers: list[tuple[str, str, str]]
    missing: list[str]
    notes: list[str]


@dataclass
class ExplorerAnswer:
    """What the page shows.

    Attributes
    ----------
    faults
        Lines; where there are some there is nothing else.
    sides
        Of the device, and of the one beside it.
    reasons
        Why the two differ.
    figures
        Name -> figure as plotly's JSON has it.
    command, python
        What gives the same numbers.
    """

    faults: list[str] = field(default_factory=list[str])
    sides: list[DeviceAnswer] = field(default_factory=list[DeviceAnswer])
    reasons: list[str] = field(default_factory=list[str])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    command: str = ""
    python: str = ""


def answer(asked: ExplorerSelection, choices: Choices) -> ExplorerAnswer:
    """Return what the page shows; every fault of the input as a line, never an exception."""
    try:
        forget_structures(MOST_STRUCTURES)
        return _answer(asked, choices)
    except InputError as error:
        return ExplorerAnswer(faults=[str(fault) for fault in error.faults])
    except PerfmodelError as error:
        return ExplorerAnswer(faults=[str(error)])
    except Exception as error:
        if os.environ.get("PERFMODEL_DEBUG"):
            raise
        return ExplorerAnswer(
            faults=[f"internal error, which is a bug: {type(error).__name__}: {error}"]
        )


def _answer(asked: ExplorerSelection, choices: Choices) -> ExplorerAnswer:
    faults = FaultList(choices.faults(asked.workload, asked.device, asked.beside, asked.runtime))
    faults.settle()
    limits = _limits(asked.limits, faults)
    settings = _settings(asked, faults)
    options = {n: v for n, v in (("precision", asked.precision.strip()),
                                 ("runtime", asked.runtime)) if v}  # fmt: skip
    call = PredictCall(asked.workload, asked.device, settings, options)
    found = faults.trying(call.run)
    other: Prediction | None = None
    if asked.beside:
        # The runtime was chosen for the first device; the second one takes its own.
        rest = {n: v for n, v in options.items() if n != "runtime"}
        other = faults.trying(PredictCall(asked.workload, asked.beside, settings, rest).run)
    faults.settle()
    assert found is not None
    out = ExplorerAnswer(command=call.command, python=call.python)
    out.sides = [_side(p, limits, call) for p in (found, other) if p is not None]
    if other is not None:
        out.reasons = Comparison(found, other).reasons
    charts: dict[str, Chart | None] = {
        name: getattr(found.plot, name).chart() for name in ("roofline", "bottlenecks", "memory")
    }
    if other is not None:
        charts["roofline_beside"] = other.plot.roofline.chart()
    charts["front"] = _front(asked, settings, limits, found)
    out.figures = {n: draw(chart).to_plotly_json() for n, chart in charts.items() if chart}
    return out


def _limits(given: Mapping[str, str], faults: FaultList) -> dict[str, float]:
    """Return metric -> bound."""
    out: dict[str, float] = {}
    for name, (metric, dimension) in LIMITS.items():
        text = (given.get(name) or "").strip()
        if not text:
            continue
        try:
            value = parse(text, dimension)
        except UnitError as error:
            faults.append(Fault(str(error), path=f"limit of {name}"))
            continue
        if value > 0:
            out[metric] = value
        else:
            faults.append(Fault(f"'{text}' is no limit", path=f"limit of {name}",
                                expected="a size above 0"))  # fmt: skip
    return out


def _settings(asked: ExplorerSelection, faults: FaultList) -> dict[str, Any]:
    """Return the settings of the sliders that differ from the defaults, and those typed."""
    phases = phases_of(asked.workload)
    phase = asked.phase if asked.phase in phases else ""
    out: dict[str, Any] = {"phase": phase} if phase and phase != phases[0] else {}
    known = parameters_of(asked.workload, phase)
    length = next((n for n in LENGTHS if n in known), "")
    for name, value in (("batch", asked.batch), (length, asked.length)):
        if name in known and value is not None and float(value) != known[name]:
            out[name] = int(value) if float(value).is_integer() else float(value)
    for item in asked.settings.replace("\n", ";").split(";"):
        if not item.strip():
            continue
        name, mark, text = (part.strip() for part in item.partition("="))
        if not mark or not name or not text:
            faults.append(Fault(f"'{item.strip()}' sets nothing", path="settings",
                                expected="NAME=VALUE, with ; between"))  # fmt: skip
        elif name in RESERVED:
            faults.append(Fault(f"'{name}' has a choice of its own", path="settings",
                                expected="the choice above"))  # fmt: skip
        else:
            value: Any = plain_value(text)
            number = is_number(value)
            out[name] = (float(value) if number else text) if is_fact(name) else value
    return out


def _side(p: Prediction, limits: Mapping[str, float], call: PredictCall) -> DeviceAnswer:
    numbers = headline_cards(p)
    missing = [str(v) for v in (*p.violations, *p.breaches)]
    for metric, bound in limits.items():
        value = float(getattr(p, metric))
        dimension = next(d for m, d in LIMITS.values() if m == metric)
        if np.isnan(value):
            missing.append(f"{metric} is not known: {p.device} states no power")
        elif value > bound:
            texts = [quantity(number, dimension) for number in (value, value - bound, bound)]
            said = f"{metric} is {texts[0]}, {texts[1]} above the limit of {texts[2]}"
            missing.append(said + (_lever(p, call, bound) if metric == "latency_s" else ""))
    verdict = "Does not fit." if not p.feasible else "Above a limit." if missing else "Fits."
    return DeviceAnswer(p.device, verdict, sentence(p), numbers, missing, [*remarks(p), *p.notes])


def _lever(p: Prediction, call: PredictCall, bound: float) -> str:
    """Return what main memory would meet a limit of latency, all else as it is."""
    options = {n: v for n, v in call.options.items() if n == "precision"}
    variable = "memories.main.bandwidth"
    if variable in call.settings:
        return ""
    try:
        found = solve(p.workload, p.machine, variable, f"latency_s <= {bound!r}", **options)
    except PerfmodelError:
        return ""
    if found.value is None or not found.feasible:
        return "; no bandwidth of main memory alone meets it"
    return f"; a main memory of {show(found.value, 'bandwidth')} would meet it"


def _front(
    asked: ExplorerSelection,
    settings: Mapping[str, Any],
    limits: Mapping[str, float],
    found: Prediction,
) -> Chart | None:
    """Return the front over batches and precisions, with the devices chosen."""
    rest = {n: v for n, v in settings.items() if n != "batch"}
    known = parameters_of(asked.workload, str(settings.get("phase", "")))
    axes: dict[str, Any] = {**rest}
    if "batch" in known:
        axes["batch"] = list(_BATCHES)
    own = asked.precision.strip()
    axes["precision"] = [*([own] if own and own not in _FRONT else []), *_FRONT]
    devices = [asked.device]
    if asked.beside and asked.beside != asked.device:
        devices.append(asked.beside)
    runtime = asked.runtime if len(devices) == 1 else ""
    try:
        table = sweep(asked.workload, devices, axes, runtime=runtime or None)
    except InputError:
        return None  # formats of one network or device alone: there is no grid of them
    second = "energy_j" if is_known(table, "energy_j") else "peak_memory_bytes"
    rates = [n for n in ("tokens_per_s", "frames_per_s") if is_known(table, n)]
    first = rates[0] if rates else "latency_s"
    # As it was typed: a text with its unit is a condition too.
    under = " and ".join(
        f"{LIMITS[name][0]} <= {text.strip()}" for name, text in asked.limits.items()
        if LIMITS[name][0] in limits
    )  # fmt: skip
    chart: Chart = table.plot.pareto.chart(first, second, under=under or None)
    place = [float(getattr(found, first))], [float(getattr(found, second))]
    mark = Points("chosen", *place, "chosen", symbol="x-thin", size=14, edge=INK, edge_width=3)
    (panel,) = chart.panels
    return replace(chart, panels=[replace(panel, series=[*panel.series, mark])])
