"""Costs of whole spaces beside a file's columns: zero-shot, after one sample and after ten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate.few_shot import trial
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.calibration import scaled_rows
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.result import ValidationResult, errors
from perfmodel.evaluate.validate import baselines, comparison_row, worst_of
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase
from perfmodel.evidence import Subject
from perfmodel.measurement_csv import CsvTable, read_rows
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choices

from perfmodel_studies.readers.help_latency.columns import Column, Skipped, columns_of
from perfmodel_studies.readers.help_latency.spaces import SPACES, Space, choices_of, connected

__all__ = ["PRECISION", "SAMPLES", "Latencies", "evaluate_space", "latencies_of"]

Vector = npt.NDArray[np.float64]

PRECISION: Final = "fp32"
#: Networks by a column, evenly spaced, that baselines, lists of rows and calibrations are over.
SAMPLES: Final = 125
#: Networks that a calibration sees, how often they are drawn, and of how many of the sample one
#: is among those that they are drawn from: each is predicted anew at every step of a fit.
TEN: Final = 10
DRAWS: Final = 10
THINNED: Final = 3


@dataclass(frozen=True, slots=True)
class Latencies:
    """A column's networks.

    Attributes
    ----------
    column
        What it is.
    device
        What it was measured on.
    choices
        ``(networks, decisions)``.
    seconds
        Measured, ``(networks,)``.
    """

    column: Column
    device: pm.Device
    choices: Choices
    seconds: Vector

    @property
    def subject(self) -> Subject:
        """What its networks are evidence of."""
        return Subject(self.column.place.runtime, self.device.name, "frames")

    @property
    def sample(self) -> npt.NDArray[np.intp]:
        """Places of `SAMPLES` networks, evenly spaced."""
        count = len(self.seconds)
        return np.arange(0, count, max(1, count // SAMPLES), dtype=np.intp)[:SAMPLES]


def latencies_of(
    folder: DataFolder,
    name: str,
    places: Sequence[str],
    kind: Space,
    devices: Sequence[str | Path] = (),
) -> tuple[list[Latencies], list[Skipped], int, tuple[str, ...]]:
    """Return the columns that can be predicted, the others, networks a column, and notes.

    Raises
    ------
    InputError
        Every cell that is no latency, every row that names no architecture.
    """
    path = folder.need(name, *places)
    rows = read_rows(path)
    faults: list[Fault] = []
    choices = choices_of(rows, kind, faults)
    others = {kind.column, "arch_idx"}
    columns, skipped = columns_of(kind.name, [c for c in rows.columns if c not in others])
    measured = _seconds(rows, [column.name for column in columns], faults)
    if faults:
        raise InputError(faults)
    reads_input = connected(kind.build("eager"), choices)
    out: list[Latencies] = []
    for column in columns:
        seconds = measured[column.name]
        # A converter leaves nothing of a network that does not read its input.
        usable = reads_input if column.place.form == "compiled" else np.ones(len(seconds), np.bool_)
        device = pm.hardware(column.place.device, devices)
        out.append(Latencies(column, device, choices[usable], seconds[usable]))
    return out, skipped, len(choices), folder.note(path)


def _seconds(rows: CsvTable, names: Sequence[str], faults: list[Fault]) -> dict[str, Vector]:
    return {
        name: np.array([rows.number(row, name, faults, scale=1e-3) or np.nan for row in rows])
        for name in names
    }


def evaluate_space(
    folder: DataFolder,
    name: str,
    places: Sequence[str],
    kind: Space,
    devices: Sequence[str | Path] = (),
) -> ValidationResult:
    """Predict every network of every measured column.

    Returns
    -------
    ValidationResult
        Errors are over all networks; `predictions` and baselines over `SAMPLES` of each column;
        `details` has, by column, rank correlations of the whole space, of operations, and errors
        after one and after ten measured networks.
    """
    latencies, skipped, count, notes = latencies_of(folder, name, places, kind, devices)
    rows: list[dict[str, Any]] = []
    columns: dict[str, Any] = {}
    predicted: dict[str, Vector] = {}
    for item in latencies:
        seconds, macs = _costs(item, kind)
        predicted[item.column.name] = seconds
        # Before the roofline of the same networks, which finds them compiled.
        calibrated = _calibrated(item, kind, seconds)
        rows += _sampled(item, kind, seconds)
        columns[item.column.name] = {
            "rows": len(seconds),
            "device": item.device.name,
            "group": item.column.place.group,
            **errors(seconds, item.seconds),
            "macs_spearman": errors(macs, item.seconds)["spearman"],
            **calibrated,
        }
    shares = [
        (len(i.seconds), np.abs(predicted[i.column.name] / i.seconds - 1.0)) for i in latencies
    ]
    total = count * (len(latencies) + len(skipped))
    left = [{"reason": s.reason, "rows": count, "first": s.name} for s in skipped] + [
        {"reason": "the network does not read its input", "rows": count - n, "first": i.column.name}
        for i, (n, _) in zip(latencies, shares, strict=True)
        if n < count
    ]
    everything = np.concatenate([predicted[i.column.name] for i in latencies] or [np.zeros(0)])
    measured = np.concatenate([i.seconds for i in latencies] or [np.zeros(0)])
    return ValidationResult(
        name,
        total,
        sum(n for n, _ in shares) / total if total else 0.0,
        {"latency_s": errors(everything, measured)},
        "latency_s",
        {key: _short(value) for key, value in columns.items()},
        dict(_by_group(latencies, predicted)),
        baselines(rows),
        tuple(left),
        worst_of(rows),
        tuple(rows),
        (
            f"baselines and lists of rows are over {SAMPLES} networks a column, errors over all",
            *notes,
        ),
        {"columns": columns},
    )


@lru_cache(maxsize=4096)
def _workload(name: str, form: str, choice: tuple[int, ...], batch: float) -> pm.Workload:
    """Return a network of a space, built once for all columns that have it."""
    return _space(name, form).workload([int(i) for i in choice], batch=float(batch))


@lru_cache(maxsize=16)
def _space(name: str, form: str) -> ArchitectureSpace:
    return SPACES[name].build(form)


def _costs(item: Latencies, kind: Space) -> tuple[Vector, Vector]:
    place = item.column.place
    oracle = pm.Oracle(
        item.device,
        kind.build(place.form),
        ("latency_s", "macs"),
        precision=PRECISION,
        runtime=place.runtime,
        warm=True,
        settings={"batch": float(item.column.batch)},
    )
    costs = oracle.batch(item.choices)
    return np.asarray(costs["latency_s"]), np.asarray(costs["macs"])


def _sampled(item: Latencies, kind: Space, seconds: Vector) -> list[dict[str, Any]]:
    place, there = item.column.place, _space(kind.name, item.column.place.form)
    out: list[dict[str, Any]] = []
    for i in item.sample.tolist():
        work = _workload(kind.name, place.form, tuple(item.choices[i]), item.column.batch)
        bare = pm.predict(
            work, item.device, precision=PRECISION, runtime=place.runtime, model="roofline"
        )
        measured_s, predicted_s = float(item.seconds[i]), float(seconds[i])
        floor = float(bare.latency_s)
        out.append(
            comparison_row(
                there.decode(item.choices[i].tolist()),
                item.column.name,
                place.group,
                "latency_s",
                measured_s,
                predicted_s,
                subject=item.subject,
                roofline=floor,
                compute=float(bare.utilization) * floor,
            )
        )
    return out


def _calibrated(item: Latencies, kind: Space, seconds: Vector) -> dict[str, Any]:
    """Return errors after one measured network (a factor) and after ten (factors of classes)."""
    at = item.sample
    measured = item.seconds[at]
    if len(at[::THINNED]) <= TEN:
        return {}
    ratio = measured / seconds[at]
    # Each of the sampled networks in turn, judged on all others.
    scaled = np.abs(np.outer(ratio, seconds[at]) / measured - 1.0)
    one = float(scaled[~np.eye(len(at), dtype=np.bool_)].mean())
    place = item.column.place
    machine = item.device.machine(place.runtime)
    few = at[::THINNED]
    rows: list[tuple[ValidationCase, MeasuredQuantity]] = []
    for i in few.tolist():
        work = _workload(kind.name, place.form, tuple(item.choices[i]), item.column.batch)
        quantity = MeasuredQuantity("latency_s", "latency_s", float(item.seconds[i]), work)
        case = ValidationCase(str(i), item.device.name, machine, (quantity,), PRECISION, warm=True)
        rows.append((case, quantity))
    plain = pm.predict(rows[0][1].workload, machine, precision=PRECISION, warm=True)
    ten = trial(scaled_rows(rows), item.seconds[few], plain.scatter(), TEN, draws=DRAWS)
    return {"one_sample_mape": one, "ten_samples": asdict(ten)}


def _short(column: dict[str, Any]) -> dict[str, Any]:
    return {key: column[key] for key in ("rows", "mape", "bias", "kendall")}


def _by_group(
    latencies: Sequence[Latencies], predicted: dict[str, Vector]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield classes of machines and their errors; ranks are of single columns, not across them."""
    groups = dict.fromkeys(item.column.place.group for item in latencies)
    for group in groups:
        some = [item for item in latencies if item.column.place.group == group]
        at = np.concatenate([predicted[item.column.name] for item in some])
        group_errors = errors(at, np.concatenate([item.seconds for item in some]))
        yield (
            group,
            {
                "rows": len(at),
                "mape": group_errors["mape"],
                "bias": group_errors["bias"],
                "kendall": None,
            },
        )
