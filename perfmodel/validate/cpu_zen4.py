"""One core of a Zen 4 server: networks as operator graphs, run with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.library import hardware
from perfmodel.measurements import Row, Rows, read_rows
from perfmodel.validate.case import Case, Cases, Question
from perfmodel.validate.files import DataFolder
from perfmodel.workload.importers.operator_graph import load_operator_graph

NAME = "cpu_zen4"
TITLE = "networks on one core of a Zen 4 server, ONNX Runtime, fp32, batch 1"
#: Where its file lies.
PLACES = ("cpu_zen4/models.csv", "models.csv")
DEVICE = "zen4_core"
RUNTIME = "onnxruntime_cpu"

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
    chosen = list(rows)
    if not folder.has_suffix(path):
        wanted = "1" if folder.suffix else "0"
        marked = rows.select(lambda row: row.get("heldout", "0") == wanted)
        if marked:
            chosen = marked
            notes = () if folder.suffix else notes
    cases = [_case(rows, row, folder, path.parent, devices, faults) for row in chosen]
    if faults:
        raise InputError(faults)
    return Cases(NAME, cases, notes=notes)


def _case(
    rows: Rows, row: Row, folder: DataFolder, beside: Path, devices: Sequence[str | Path],
    faults: list[Fault],
) -> Case:  # fmt: skip
    model = row.get("model")
    measured = None
    for column in _MEASURED:
        if measured is None and column in rows.columns:
            measured = rows.number(row, column, faults, scale=1e-3)
    if measured is None:
        return Case(model, DEVICE, reason="no latency was measured")
    graph = next(
        (p for stem in (f"graphs{folder.suffix}", "graphs")
         if (p := beside / stem / f"{model}.json").exists()), None
    )  # fmt: skip
    if graph is None:
        return Case(model, DEVICE, reason="no graph of this network")
    try:
        workload = load_operator_graph(graph)
        device = hardware(DEVICE, devices)
    except InputError as error:
        return Case(model, DEVICE, reason=str(error.faults[0]))
    question = Question("latency_s", "latency_s", measured, workload)
    # The minimum over repeated runs: what a cache keeps from one run to the next is there.
    return Case(model, DEVICE, device, (question,), None, RUNTIME, family(model), warm=True)


def family(model: str) -> str:
    """Return the family of networks: sampled cells and supernets by their prefix, else one."""
    head = model.partition("_")[0]
    return {"nb201": "nas_bench_201", "ofa": "once_for_all"}.get(head, "published networks")
