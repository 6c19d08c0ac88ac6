"""One core of a Zen 4 server: networks as operator graphs, run with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import perfmodel as pm
from perfmodel.calibrate.few_shot import trial
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.calibration import scaled_rows
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.measurement_csv import CsvRow, CsvTable, read_rows

from perfmodel_studies.readers.cpu_zen4_nodes import refit_of

NAME = "cpu_zen4"
TITLE = "networks on one core of a Zen 4 server, ONNX Runtime, fp32, batch 1"
#: Where its file lies.
PLACES = ("cpu_zen4/models.csv", "models.csv")
DEVICE = "zen4_core"
RUNTIME = "onnxruntime_cpu"

#: Networks that a calibration on few is made with.
TEN = 10
#: How often they are drawn.
DRAWS = 20

#: Minimum of quiet sessions where there is one: other sessions ran beside busy neighbours.
_MEASURED = ("quiet_ms_min", "latency_ms_min")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of ``models.csv``, each with its graph.

    With a suffix: the rows of the file with that suffix, else those marked ``heldout`` in
    ``models.csv``; without one those not marked. Where no row is of the wanted kind, all are.
    """
    path = folder.need(NAME, *PLACES)
    rows = read_rows(path)
    faults = rows.missing(("model",))
    if not set(_MEASURED) & set(rows.columns):
        faults += rows.missing(_MEASURED[-1:])
    if faults:
        raise InputError(faults)
    notes = folder.note(path)
    selected = list(rows)
    if not folder.has_suffix(path):
        wanted = "1" if folder.suffix else "0"
        marked = rows.select(lambda row: row.get("heldout", "0") == wanted)
        if marked:
            selected = marked
            notes = () if folder.suffix else notes
    cases = [_case(rows, row, folder, path.parent, devices, faults) for row in selected]
    if faults:
        raise InputError(faults)
    return Cases(NAME, cases, notes=notes)


def details(cases: Cases) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return errors of calibrations on few of the networks, judged on the others, and a note.

    `ten_samples`: `perfmodel.calibrate.few_shot.Trial` of ten networks over twenty draws.
    """
    rows = [
        (case, quantity)
        for case, quantity in cases.with_quantities("latency_s")
        if _predicted(case, quantity) is not None
    ]
    if len(rows) <= TEN:
        return {}, ()
    plain = _predicted(*rows[0])
    assert plain is not None
    measured = np.array([quantity.measured for _, quantity in rows])
    result = trial(scaled_rows(rows), measured, plain.scatter(), TEN, draws=DRAWS)
    note = (
        f"multipliers by class fitted on {TEN} of the networks leave {100 * result.mape:.1f} % on "
        f"the others ({100 * result.low:.1f} to {100 * result.high:.1f} in 9 of 10 draws)"
    )
    return {"ten_samples": asdict(result)}, (note,)


def _predicted(case: ValidationCase, quantity: MeasuredQuantity) -> pm.Prediction | None:
    """Return the prediction of a network; ``None`` where there is none."""
    assert case.machine is not None
    try:
        return pm.predict(quantity.workload, case.machine, runtime=case.runtime, warm=True)
    except InputError:
        return None


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants fitted on nodes of other families predict the networks of one."""
    return refit_of(load(folder, devices).cases, folder)


def _case(
    rows: CsvTable,
    row: CsvRow,
    folder: DataFolder,
    beside: Path,
    devices: Sequence[str | Path],
    faults: list[Fault],
) -> ValidationCase:
    model = row.get("model")
    measured = None
    for column in _MEASURED:
        if measured is None and column in rows.columns:
            measured = rows.number(row, column, faults, scale=1e-3)
    if measured is None:
        return ValidationCase(model, DEVICE, reason="no latency was measured")
    graph = next(
        (
            p
            for stem in (f"graphs{folder.suffix}", "graphs")
            if (p := beside / stem / f"{model}.json").exists()
        ),
        None,
    )
    if graph is None:
        return ValidationCase(model, DEVICE, reason="no graph of this network")
    try:
        workload = pm.workload(graph)
        device = pm.hardware(DEVICE, devices)
    except InputError as error:
        return ValidationCase(model, DEVICE, reason=str(error.faults[0]))
    quantity = MeasuredQuantity("latency_s", "latency_s", measured, workload)
    # The minimum over repeated runs: what a cache keeps from one run to the next is there.
    return ValidationCase(
        model, DEVICE, device, (quantity,), None, RUNTIME, family(model), warm=True
    )


def family(model: str) -> str:
    """Return the family of networks: sampled cells and supernets by their prefix, else one."""
    head = model.partition("_")[0]
    return {"nb201": "nas_bench_201", "ofa": "once_for_all"}.get(head, "published networks")
