"""GenZ's reference predictions, row by row: what ours are, and every difference by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import perfmodel as pm
from perfmodel.errors import Fault
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import comparison_row, summarise
from perfmodel.hardware import Fusion, Semantics
from perfmodel.measurement_csv import CsvRow, CsvTable

from perfmodel_studies.readers.genz_products import (
    CORRECTIONS,
    GIB,
    HARDWARE,
    MODELS,
    TYPES,
    GenzQuery,
    footprint,
    products,
    seconds,
)

NAME: Final = "genz"
TITLE: Final = "predictions of GenZ 0.0.16 (another model, not silicon), every difference by name"
#: Where its file lies.
PLACES: Final = ("reference/genz_reference_predictions.csv", "genz_reference_predictions.csv")

#: A row is matched where it is off by at most this fraction.
TOLERANCE: Final = 0.01

#: A correction counts for a row where it moves the number by more than this fraction.
_MOVES: Final = 1e-4

_COLUMNS: Final = (
    "model",
    "hardware",
    "dtype",
    "batch",
    "input_tokens",
    "output_tokens",
    "phase",
    "pred_latency_ms",
)


@lru_cache
def runtime() -> pm.Runtime:
    """Return what GenZ takes as executed: the whole square of scores, every token's logits."""
    return pm.Runtime(
        name="genz",
        fusion=Fusion(elementwise=True, attention="flash"),
        semantics=Semantics(causal_skips_masked=False, head_on_every_token=True),
    )


@lru_cache
def device(name: str) -> pm.Device:
    """Return GenZ's hardware as a device: its peaks, its GB/s read as SI, its GB as it has them."""
    tflops, gigabytes, bandwidth = HARDWARE[name]
    peaks = {ours: tflops * 1e12 * factor for ours, _, factor in TYPES.values()}
    return pm.Device.model_validate(
        {
            "name": name.lower(),
            "sources": {"genz": "GenZ 0.0.16, Systems/system_configs.py"},
            "source": "genz",
            "confidence": "datasheet",
            "engines": [{"name": "gpu", "kind": "roofline", "peaks": peaks}],
            "memories": [
                {
                    "name": "hbm",
                    "kind": "dram",
                    "roles": ["main"],
                    "feeds": ["gpu"],
                    "capacity": gigabytes * GIB,
                    "bandwidth": bandwidth * 1e9,
                }
            ],
        }
    )


def ours(question: GenzQuery) -> pm.Prediction:
    """Return our bare roofline: GenZ's hardware numbers, and nothing else of it."""
    precision = TYPES[question.dtype][0]
    machine = device(question.hardware).machine(runtime())
    return pm.predict(question.workload, machine, precision=precision, model="roofline")


def steps(question: GenzQuery, prediction: pm.Prediction) -> dict[str, float]:
    """Return seconds after each correction, by its name, in the order of application.

    ``bandwidth_in_gib``: GenZ's "GB/s" are GiB/s. ``matrix_products_only``: no normalisations,
    rotations, activations, residual sums or embedding look-up; a product moves its operands alone.
    Then those of `perfmodel_studies.readers.genz_products.CORRECTIONS`.
    """
    nominal = HARDWARE[question.hardware][2]
    faster = device(question.hardware).machine(runtime())
    faster = faster.vary({"memories.main.bandwidth": nominal * GIB})
    again = pm.predict(
        prediction.workload, faster, precision=prediction.precision, model="roofline"
    )
    out = {"bandwidth_in_gib": float(again.latency_s)}
    gemms = products(question)
    out["matrix_products_only"] = seconds(gemms, question, nominal * GIB)
    for correction in CORRECTIONS:
        gemms = correction(gemms, question)
        out[correction.__name__] = seconds(gemms, question, nominal * GIB)
    return out


def fits(question: GenzQuery) -> bool:
    """Return whether GenZ finds room: weights of all products, keys and values; no activations."""
    gemms = products(question)
    for correction in CORRECTIONS:
        gemms = correction(gemms, question)
    return footprint(gemms, question) <= HARDWARE[question.hardware][1] * GIB


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Compare every reference row.

    Returns
    -------
    ValidationResult
        Errors of our bare roofline against GenZ's numbers. `details`: rows that match as they are,
        rows that match once corrected, what each correction changes, and what stays unexplained.
    """
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        questions = [(row, _question(rows, row, faults)) for row in rows]
        golden = [rows.number(row, "pred_latency_ms", faults, scale=1e-3) for row, _ in questions]
    return _compared(questions, golden, note)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A reference row beside ours.

    Attributes
    ----------
    reference
        GenZ's seconds; ``None`` where it finds no room in memory.
    ours, after
        Our seconds, and what is left of them after each correction.
    fits, fits_by_genz
        Whether there is room by our count of bytes, and by GenZ's.
    """

    name: str
    question: GenzQuery
    reference: float | None
    ours: float
    after: dict[str, float]
    fits: bool
    fits_by_genz: bool

    @property
    def corrected(self) -> float:
        """Seconds after the last correction."""
        return list(self.after.values())[-1]

    @property
    def changes(self) -> dict[str, float]:
        """Relative change that each correction makes."""
        before = [self.ours, *self.after.values()]
        return {
            step: after / was - 1.0
            for was, (step, after) in zip(before, self.after.items(), strict=False)
        }

    def row(self) -> dict[str, Any]:
        """Return the row as results list it."""
        assert self.reference is not None
        return comparison_row(
            self.name,
            self.question.hardware,
            self.question.phase,
            "latency_s",
            self.reference,
            self.ours,
            corrected=self.corrected,
            explained_by=[k for k, change in self.changes.items() if abs(change) > _MOVES],
        )


def _answer(row: CsvRow, question: GenzQuery, reference: float | None) -> _Answer:
    answer = ours(question)
    name = " ".join(row.get(c) for c in _COLUMNS[:5])
    return _Answer(
        f"{name} {question.phase}",
        question,
        reference,
        float(answer.latency_s),
        steps(question, answer) if reference is not None else {},
        bool(answer.feasible),
        fits(question),
    )


def _details(answers: Sequence[_Answer]) -> dict[str, Any]:
    compared = [a for a in answers if a.reference is not None]
    uncorrected = {a.name: abs(a.corrected / a.reference - 1.0) for a in compared if a.reference}
    as_they_are = [a for a in compared if abs(a.row()["error"]) <= TOLERANCE]
    changes: dict[str, list[float]] = {}
    for a in compared:
        for step, change in a.changes.items():
            changes.setdefault(step, []).append(change)
    return {
        "tolerance": TOLERANCE,
        "with_a_number": len(compared),
        "match_as_they_are": len(as_they_are),
        "match_once_corrected": sum(r <= TOLERANCE for r in uncorrected.values()),
        "largest_rest": max(uncorrected.values(), default=0.0),
        "unexplained": [name for name, r in uncorrected.items() if r > TOLERANCE],
        "corrections": {
            step: {
                "rows": sum(abs(c) > _MOVES for c in changed),
                "mean_change": sum(changed) / len(changed),
                "largest_change": max(changed, key=abs),
            }
            for step, changed in changes.items()
        },
        "memory": {
            "both_fit": sum(a.fits and a.reference is not None for a in answers),
            "neither_fits": sum(not a.fits and a.reference is None for a in answers),
            "fits_by_ours_alone": sum(a.fits and a.reference is None for a in answers),
            "fits_by_genz_alone": sum(not a.fits and a.reference is not None for a in answers),
            "explained": sum(a.fits_by_genz == (a.reference is not None) for a in answers),
        },
    }


def _summary(details: dict[str, Any], rows: int) -> tuple[str, ...]:
    memory = details["memory"]
    alike = memory["both_fit"] + memory["neither_fits"]
    matched = (
        f"{details['match_as_they_are']} of {details['with_a_number']} numbers match within "
        f"{TOLERANCE:.0%} as they are, {details['match_once_corrected']} once every named "
        "difference is taken out"
    )
    effects = [
        f"{step}: moves {e['rows']} rows, {e['mean_change']:+.1%} on average"
        for step, e in details["corrections"].items()
    ]
    room = (
        f"room in memory: {alike} of {rows} rows alike, {memory['explained']} by GenZ's own count "
        "of bytes"
    )
    return (matched, *effects, room)


def _compared(
    questions: Sequence[tuple[CsvRow, GenzQuery | str]],
    golden: Sequence[float | None],
    notes: tuple[str, ...],
) -> ValidationResult:
    answers: list[_Answer] = []
    unpredicted: dict[str, list[str]] = {}
    for (row, question), reference in zip(questions, golden, strict=True):
        if isinstance(question, str):
            unpredicted.setdefault(question, []).append(f"line {row.line}")
        else:
            answers.append(_answer(row, question, reference))
    rows = [a.row() for a in answers if a.reference is not None]
    details = _details(answers)
    return summarise(
        NAME,
        rows,
        len(questions),
        unpredicted,
        references={},
        notes=(*notes, *_summary(details, len(answers))),
        details=details,
    )


def _question(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> GenzQuery | str:
    """Return what a row asks, or why it cannot be answered."""
    for column, known in (("model", MODELS), ("hardware", HARDWARE), ("dtype", TYPES)):
        if row.get(column) not in known:
            return f"unknown {column} '{row.get(column)}'"
    if row.get("phase") not in ("prefill", "decode"):
        return f"unknown phase '{row.get('phase')}'"
    numbers = [
        rows.number(row, column, faults, above_zero=column != "output_tokens") or 0.0
        for column in ("batch", "input_tokens", "output_tokens")
    ]
    batch, tokens, generated = (int(n) for n in numbers)
    return GenzQuery(
        row.get("model"),
        row.get("hardware"),
        row.get("dtype"),
        row.get("phase"),
        batch,
        tokens,
        generated,
    )
