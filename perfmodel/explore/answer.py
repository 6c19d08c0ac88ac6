"""Contents of the explorer's page for a reader's selection.

`answer` predicts the selected workload on one or two devices and returns texts and figures; faults
of the input become messages. It does not depend on the library that draws the page:
`perfmodel.explore.page` calls it for every change of the form and writes its result as HTML.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from perfmodel.caches import clear_large_caches
from perfmodel.charts.chart import Chart
from perfmodel.charts.draw import draw
from perfmodel.compare import Comparison
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.explore.choices import Choices
from perfmodel.explore.device_answer import DeviceAnswer, device_answer
from perfmodel.explore.front_chart import front_chart
from perfmodel.explore.selection import ExplorerSelection, read_limits, read_settings
from perfmodel.report.reconstructed_call import PredictCall
from perfmodel.settings import FaultList
from perfmodel.workload.library import forget_variants

#: Largest number of compiled structures cached by a long-running page.
MAX_CACHED_STRUCTURES = 64


@dataclass
class ExplorerAnswer:
    """Contents of the page.

    Attributes
    ----------
    faults
        Messages; if there are any, all other fields are empty.
    devices
        Answers for the device, and for the second one.
    reasons
        Reasons for the difference between the two.
    figures
        Name -> figure in plotly's JSON form.
    command, python
        Command line and Python call with the same result.
    """

    faults: list[str] = field(default_factory=list[str])
    devices: list[DeviceAnswer] = field(default_factory=list[DeviceAnswer])
    reasons: list[str] = field(default_factory=list[str])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    command: str = ""
    python: str = ""


def answer(selection: ExplorerSelection, choices: Choices) -> ExplorerAnswer:
    """Return the contents of the page, with every fault of the input as a message.

    Parameters
    ----------
    selection
        Unvalidated inputs of the page.
    choices
        Names that the selection may contain.

    Returns
    -------
    ExplorerAnswer
        An unexpected exception also becomes a message, so that the page stays usable. With the
        environment variable ``PERFMODEL_DEBUG`` it is raised instead.
    """
    try:
        if clear_large_caches(MAX_CACHED_STRUCTURES):
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
    """Return the contents of the page; faults of the input are raised together."""
    workload, device, second = selection.workload, selection.device, selection.second_device
    faults = FaultList(choices.faults(workload, device, second, selection.runtime))
    faults.settle()
    limits = read_limits(selection, faults)
    settings = read_settings(selection, faults)
    precision_text = selection.precision.strip()
    precision = {"precision": precision_text} if precision_text else {}
    runtime = {"runtime": selection.runtime} if selection.runtime else {}
    call = PredictCall(workload, device, settings, {**precision, **runtime})
    # The runtime was selected for the first device; the second one has its own default.
    calls = [call, *([PredictCall(workload, second, settings, precision)] if second else [])]
    results = [faults.trying(each.run) for each in calls]
    faults.settle()
    predictions = [prediction for prediction in results if prediction is not None]
    plots = predictions[0].plot
    charts: dict[str, Chart | None] = {
        name: getattr(plots, name).chart() for name in ("roofline", "bottlenecks", "memory")
    }
    if second:
        charts["roofline_beside"] = predictions[1].plot.roofline.chart()
    charts["front"] = front_chart(selection, settings, limits, predictions[0])
    return ExplorerAnswer(
        devices=[device_answer(prediction, limits, call) for prediction in predictions],
        reasons=Comparison(*predictions).reasons if second else [],
        figures={name: draw(chart).to_plotly_json() for name, chart in charts.items() if chart},
        command=call.command,
        python=call.python,
    )
