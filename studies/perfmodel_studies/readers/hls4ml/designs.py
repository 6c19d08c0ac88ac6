"""Whole designs: cycles, initiation interval and amounts of each resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.run import error_of, evaluate

from perfmodel_studies.readers.hls4ml.fitting import design_refits
from perfmodel_studies.readers.hls4ml.machines import RUNTIME, machine_of, network, precision_of
from perfmodel_studies.readers.hls4ml.rows import DESIGNS, Hls4mlDesign, read_designs

NAME: Final = "hls4ml_mlp_csynth"
TITLE: Final = "hls4ml MLPs in an FPGA's fabric: HLS estimates (C synthesis), not after routing"
#: Where its file lies.
PLACES: Final = DESIGNS
NOTE: Final = (
    "HLS estimates, before place and route; weights that need a multiplier are counted in the "
    "report of the design with DSP slices at a reuse factor of 1"
)
_GUESSED: Final = "dsp slices, multipliers not given"


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict the designs; DSP slices once with the count of multipliers given, once without."""
    designs = read_designs(folder, NAME)
    notes = (NOTE, *folder.note(folder.need(NAME, *PLACES)))
    result = evaluate(Cases(NAME, [_case(d, devices) for d in designs], notes=notes))
    guessed = evaluate(Cases(NAME, [_guess(d, devices) for d in designs if d.amounts["dsp"]]))
    rows = [dict(row) for row in guessed.predictions if row["target"] == _GUESSED]
    exact = {
        target: sum(abs(r["predicted"] - r["measured"]) < 0.5 for r in found)
        for target, found in _by_target(result.predictions).items() if target != "latency_s"
    }  # fmt: skip
    details = {**result.details, "exact_rows": exact}
    return replace(result, targets={**result.targets, _GUESSED: error_of(rows)}, details=details)


def _by_target(rows: Sequence[Any]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for row in rows:
        out.setdefault(row["target"], []).append(row)
    return out


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of whole designs were fitted, a network left out at a time."""
    del devices
    return design_refits(read_designs(folder, NAME))


def _case(design: Hls4mlDesign, devices: Sequence[str | Path]) -> ValidationCase:
    workload = network(design)
    asked = [
        MeasuredQuantity("latency_s", "latency_s", design.clocks / design.clock, workload),
        MeasuredQuantity("interval", "largest interval", design.interval, workload),
        *(
            MeasuredQuantity(name, f"resource {name}", amount, workload)
            for name, amount in design.amounts.items() if amount
        ),
    ]  # fmt: skip
    machine = machine_of(design, devices)
    return ValidationCase(design.name, design.part, machine, asked, precision_of(design), RUNTIME,
                design.model)  # fmt: skip


def _guess(design: Hls4mlDesign, devices: Sequence[str | Path]) -> ValidationCase:
    question = MeasuredQuantity(_GUESSED, "resource dsp", design.amounts["dsp"], network(design))
    machine = machine_of(design, devices, count_given=False)
    return ValidationCase(
        design.name, design.part, machine, [question], precision_of(design), RUNTIME, design.model
    )
