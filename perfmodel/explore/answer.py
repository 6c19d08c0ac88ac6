"""From a reader's selection to the contents of the page, independent of the page's library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from perfmodel.caches import forget_large
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
from perfmodel.settings import RESERVED, FaultList, is_fact, plain_value
from perfmodel.solve import solve
from perfmodel.sweep import sweep
from perfmodel.table.views import is_known
from perfmodel.units import UnitError, is_number, parse, show
from perfmodel.workload.library import forget_variants

#: Limit -> metric, dimension.
LIMITS = {
    "latency": ("latency_s", "time"),
    "memory": ("peak_memory_bytes", "bytes"),
    "energy": ("energy_j", "energy"),
}
#: Largest number of compiled structures cached by a long-running page.
MAX_CACHED_STRUCTURES = 64
_BATCHES = tuple(2.0**k for k in range(9))
_FRONT = ("w16a16", "w8a8", "w4a16", "w4a8")


@dataclass(frozen=True)
class ExplorerSelection:
    """Selection sent by the page: unvalidated texts and numbers.

    Attributes
    ----------
    beside
        A second device for comparison; empty for none.
    batch, length
        Values of the sliders; ``None`` if the workload has no such parameter.
    settings
        ``NAME=VALUE``, separated by semicolons or line breaks.
    limits
        Key of `LIMITS` -> text with a unit; empty for none.
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
    """Answer for one device.

    Attributes
    ----------
    verdict, sentence
        Whether it fits, and a summary in words.
    numbers
        Label, number, and the small text below it.
    missing
        Resources that do not fit, and limits that are exceeded.
    notes
        Remarks that qualify the numbers.
    """

    device: str
    verdict: str
    sentence: str
    numbers: list[tuple[str, str, str]]
    missing: list[str]
    notes: list[str]


@dataclass
class ExplorerAnswer:
    """Contents of the page.

    Attributes
    ----------
    faults
        Messages; if there are any all other fields are empty.
    sides
        Answers for the device, and for the second one.
    reasons
        Reasons for the difference between the two.
    figures
        Name -> figure in plotly's JSON form.
    command, python
        Command line and Python call with the same result.
    """

    faults: list[str] = field(default_factory=list[str])
    sides: list[DeviceAnswer] = field(default_factory=list[DeviceAnswer])
    reasons: list[str] = field(default_factory=list[str])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    command: str = ""
    python: str = ""


def answer(selection: ExplorerSelection, choices: Choices) -> ExplorerAnswer:
    """Return the contents of the page, with every input fault as a message; never raises."""
    try:
        if forget_large(MAX_CACHED_STRUCTURES):
            forget_variants()
        return _answer(selection, choices)
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


def _answer(selection: ExplorerSelection, choices: Choices) -> ExplorerAnswer:
    s = selection
    faults = FaultList(choices.faults(s.workload, s.device, s.beside, s.runtime))
    faults.settle()
    limits = _limits(s.limits, faults)
    settings = _settings(s, faults)
    precision = {"precision": s.precision.strip()} if s.precision.strip() else {}
    runtime = {"runtime": s.runtime} if s.runtime else {}
    call = PredictCall(s.workload, s.device, settings, {**precision, **runtime})
    # The runtime was selected for the first device; the second one has its own default.
    calls = [call, *([PredictCall(s.workload, s.beside, settings, precision)] if s.beside else [])]
    predictions = [faults.trying(each.run) for each in calls]
    faults.settle()
    sides = [p for p in predictions if p is not None]
    charts: dict[str, Chart | None] = {
        name: getattr(sides[0].plot, name).chart() for name in ("roofline", "bottlenecks", "memory")
    }
    if len(sides) > 1:
        charts["roofline_beside"] = sides[1].plot.roofline.chart()
    charts["front"] = _front(s, settings, limits, sides[0])
    return ExplorerAnswer(
        sides=[_device_answer(p, limits, call) for p in sides],
        reasons=Comparison(*sides).reasons if len(sides) > 1 else [],
        figures={n: draw(chart).to_plotly_json() for n, chart in charts.items() if chart},
        command=call.command,
        python=call.python,
    )


def _limits(texts: Mapping[str, str], faults: FaultList) -> dict[str, float]:
    """Return metric -> bound."""
    limits: dict[str, float] = {}
    for name, (metric, dimension) in LIMITS.items():
        text = (texts.get(name) or "").strip()
        try:
            value = parse(text, dimension) if text else 0.0
        except UnitError as error:
            faults.append(Fault(str(error), path=f"limit of {name}"))
            continue
        if value > 0:
            limits[metric] = value
        elif text:
            message, expected = f"'{text}' is no limit", "a size above 0"
            faults.append(Fault(message, path=f"limit of {name}", expected=expected))
    return limits


def _settings(s: ExplorerSelection, faults: FaultList) -> dict[str, Any]:
    """Return the slider settings that differ from the defaults, and the typed ones."""
    phases = phases_of(s.workload)
    phase = s.phase if s.phase in phases else ""
    settings: dict[str, Any] = {"phase": phase} if phase and phase != phases[0] else {}
    known = parameters_of(s.workload, phase)
    length = next((n for n in LENGTHS if n in known), "")
    for name, value in (("batch", s.batch), (length, s.length)):
        if name in known and value is not None and float(value) != known[name]:
            settings[name] = int(value) if float(value).is_integer() else float(value)
    for item in filter(str.strip, s.settings.replace("\n", ";").split(";")):
        name, _, text = (part.strip() for part in item.partition("="))
        if not name or not text:
            message, expected = f"'{item.strip()}' sets nothing", "NAME=VALUE, with ; between"
        elif name in RESERVED:
            message, expected = f"'{name}' has a choice of its own", "the choice above"
        else:
            value: Any = plain_value(text)
            fact = float(value) if is_number(value) else text
            settings[name] = fact if is_fact(name) else value
            continue
        faults.append(Fault(message, path="settings", expected=expected))
    return settings


def _device_answer(p: Prediction, limits: Mapping[str, float], call: PredictCall) -> DeviceAnswer:
    missing = [str(v) for v in (*p.violations, *p.breaches)]
    for metric, dimension in LIMITS.values():
        bound, value = limits.get(metric, np.inf), float(getattr(p, metric))
        if metric in limits and np.isnan(value):
            missing.append(f"{metric} is not known: {p.device} states no power")
        elif value > bound:
            texts = [quantity(number, dimension) for number in (value, value - bound, bound)]
            text = f"{metric} is {texts[0]}, {texts[1]} above the limit of {texts[2]}"
            missing.append(
                text + (_sufficient_bandwidth(p, call, bound) if metric == "latency_s" else "")
            )
    verdict = "Does not fit." if not p.feasible else "Above a limit." if missing else "Fits."
    notes = [*remarks(p), *p.notes]
    return DeviceAnswer(p.device, verdict, sentence(p), headline_cards(p), missing, notes)


def _sufficient_bandwidth(p: Prediction, call: PredictCall, bound: float) -> str:
    """Return the main-memory bandwidth that would meet a latency limit, other facts unchanged."""
    options = {n: v for n, v in call.options.items() if n == "precision"}
    variable = "memories.main.bandwidth"
    if variable in call.settings:
        return ""
    try:
        solution = solve(p.workload, p.machine, variable, f"latency_s <= {bound!r}", **options)
    except PerfmodelError:
        return ""
    if solution.value is None or not solution.feasible:
        return "; no bandwidth of main memory alone meets it"
    return f"; a main memory of {show(solution.value, 'bandwidth')} would meet it"


def _front(
    s: ExplorerSelection, settings: Mapping[str, Any], limits: Mapping[str, float], here: Prediction
) -> Chart | None:
    """Return the Pareto front over batches and precisions, on the selected devices."""
    axes: dict[str, Any] = {n: v for n, v in settings.items() if n != "batch"}
    if "batch" in parameters_of(s.workload, str(settings.get("phase", ""))):
        axes["batch"] = list(_BATCHES)
    axes["precision"] = list(dict.fromkeys([*filter(None, [s.precision.strip()]), *_FRONT]))
    devices = list(dict.fromkeys(filter(None, (s.device, s.beside))))
    runtime = s.runtime if len(devices) == 1 else ""
    try:
        table = sweep(s.workload, devices, axes, runtime=runtime or None)
    except InputError:
        return None  # formats of one network or device alone: there is no grid of them
    y = "energy_j" if is_known(table, "energy_j") else "peak_memory_bytes"
    x = next(n for n in ("tokens_per_s", "frames_per_s", "latency_s") if is_known(table, n))
    # As typed: a text with its unit is valid in a condition.
    typed = {LIMITS[name][0]: text.strip() for name, text in s.limits.items()}
    under = " and ".join(f"{metric} <= {typed[metric]}" for metric in limits)
    chart: Chart = table.plot.pareto.chart(x, y, under=under or None)
    place = [float(getattr(here, x))], [float(getattr(here, y))]
    mark = Points("chosen", *place, "chosen", symbol="x-thin", size=14, edge=INK, edge_width=3)
    (panel,) = chart.panels
    return replace(chart, panels=[replace(panel, series=[*panel.series, mark])])
