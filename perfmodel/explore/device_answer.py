"""Answer of the explorer's page for one device: whether the workload fits and meets the limits.

For a latency limit that is exceeded, `perfmodel.solve` inverts the model: it searches the smallest
bandwidth of main memory at which the predicted latency meets the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.charts.style import quantity
from perfmodel.errors import PerfmodelError
from perfmodel.explore.selection import LIMITS
from perfmodel.prediction import Prediction
from perfmodel.prediction.presentation import remarks
from perfmodel.report.of_prediction import headline_cards, sentence
from perfmodel.report.reconstructed_call import PredictCall
from perfmodel.solve import solve
from perfmodel.units import show


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


def device_answer(
    prediction: Prediction, limits: Mapping[str, float], call: PredictCall
) -> DeviceAnswer:
    """Return the verdict, the headline numbers and the notes for one device.

    Parameters
    ----------
    prediction
        Prediction of the selected workload on the device.
    limits
        Metric -> upper bound in SI units.
    call
        The call that made the prediction.
    """
    missing = [str(fault) for fault in (*prediction.violations, *prediction.breaches)]
    for metric, dimension in LIMITS.values():
        bound, value = limits.get(metric, np.inf), float(getattr(prediction, metric))
        if metric in limits and np.isnan(value):
            missing.append(f"{metric} is not known: {prediction.device} states no power")
        elif value > bound:
            shown = [quantity(number, dimension) for number in (value, value - bound, bound)]
            text = f"{metric} is {shown[0]}, {shown[1]} above the limit of {shown[2]}"
            remedy = _sufficient_bandwidth(prediction, call, bound) if metric == "latency_s" else ""
            missing.append(text + remedy)
    if not prediction.feasible:
        verdict = "Does not fit."
    else:
        verdict = "Above a limit." if missing else "Fits."
    return DeviceAnswer(
        prediction.device,
        verdict,
        sentence(prediction),
        headline_cards(prediction),
        missing,
        [*remarks(prediction), *prediction.notes],
    )


def _sufficient_bandwidth(prediction: Prediction, call: PredictCall, bound: float) -> str:
    """Return as text the bandwidth b of main memory at which the latency T(b) meets its limit.

    The smallest b with ``T(b) <= bound`` is searched, in B/s with T in s; all other facts of the
    machine are unchanged. The text is empty if the reader has set b or the search fails.
    """
    variable = "memories.main.bandwidth"
    if variable in call.settings:
        return ""
    options = {name: value for name, value in call.options.items() if name == "precision"}
    until = f"latency_s <= {bound!r}"
    try:
        solution = solve(prediction.workload, prediction.machine, variable, until, **options)
    except PerfmodelError:
        return ""
    if solution.value is None or not solution.feasible:
        return "; no bandwidth of main memory alone meets it"
    return f"; a main memory of {show(solution.value, 'bandwidth')} would meet it"
