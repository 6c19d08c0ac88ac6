"""Result of a validation: errors of predictions by target, device and group, and of baselines.

Errors are the mean absolute percentage error, the bias, quantiles, and rank correlations
(Spearman's rho, Kendall's tau-b) of predicted and measured values (`errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Final, TypedDict

import numpy as np
import numpy.typing as npt

from perfmodel.columns import RATE, dimension_of
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import align_columns
from perfmodel.units import DIMENSIONS, show

#: Minimum number of rows of a group for a rank correlation.
_RANKED: Final = 5
#: Errors of a target: columns of the table.
_ERRORS: Final = ("mape", "median_ape", "bias", "within_10", "spearman", "kendall")

#: Baseline -> its description.
BASELINES: Final[Mapping[str, str]] = {
    "roofline": "bare roofline: theoretical compute peak and main memory bandwidth, nothing else",
    "roofline_scaled": "bare roofline times one factor for all rows, fitted on these very rows",
    "compute": "operations over peak",
    "one_factor": "the mean over other devices times one factor, from the same calibration rows",
    "kerncraft_ecm": "kerncraft's Execution-Cache-Memory model, on the rows that it has",
}


@dataclass(frozen=True, repr=False)
class ValidationResult(Result):
    """Errors of predictions on a data set, as fractions.

    Attributes
    ----------
    name : str
        Name of the data set.
    rows : int
        Number of measured rows, predicted or not.
    coverage : float
        Share of rows that were predicted.
    targets : dict
        Target -> mape, median_ape, bias, within_10, spearman, kendall.
    primary : str
        Target of `mape` and `by_device`.
    by_device, by_group : dict
        Name -> rows, mape, bias, kendall of the primary target.
    baselines : dict
        Baseline (see `BASELINES`) -> errors on the rows of the primary target.
    unpredicted : list
        Reason, number of rows, and name of the first.
    worst : list
        Rows with the largest errors: name, device, measured, predicted, error.
    predictions : list
        Every predicted row, as in `worst`, with its baselines and, if it may serve as evidence, its
        ``origin`` (`perfmodel.evaluate.validation_case.RowOrigin`).
    notes : tuple of str
        Remarks for the reader.
    details : dict
        Additional results specific to the data set.
    left_out : dict
        Target -> errors of each device (or chip, system) by constants refitted without it, see
        `perfmodel.evaluate.refit.trial`; empty unless requested. Its entry ``nested``, if
        requested, is the result of `perfmodel.evaluate.nested_refit.nested_trial`.
    """

    noun = "validation"
    attributes = (
        "name",
        "rows",
        "coverage",
        "targets",
        "primary",
        "mape",
        "by_device",
        "by_group",
        "baselines",
        "unpredicted",
        "worst",
        "notes",
    )

    name: str
    rows: int
    coverage: float
    targets: Mapping[str, Errors]
    primary: str
    by_device: Mapping[str, Mapping[str, Any]]
    by_group: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Errors]
    unpredicted: tuple[Mapping[str, Any], ...] = ()
    worst: tuple[Mapping[str, Any], ...] = ()
    predictions: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    left_out: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    @property
    def mape(self) -> float | None:
        """Mean absolute percentage error of the primary target, as a fraction."""
        primary = self.targets.get(self.primary)
        return primary["mape"] if primary else None

    def to_dict(self) -> dict[str, Any]:
        """Return the result ready for JSON."""
        out = super().to_dict()
        if self.details:
            out["details"] = self.details
        if self.left_out:
            out["left_out"] = {t: _without_rows(trial) for t, trial in self.left_out.items()}
        return plain(out)

    @cached_property
    def table(self) -> Table:
        """Table with one row per target, with its errors."""
        every = self.targets.values()
        return Table(
            {"target": list(self.targets)}
            | {name: np.array([e.get(name) for e in every], dtype=float) for name in _ERRORS}
        )

    @property
    def headline(self) -> str:
        """Name of the data set, its number of rows and the predicted share."""
        return f"{self.name}: {self.rows} rows, {percent(self.coverage)} predicted"

    def sections(self) -> list[str]:
        """Return errors by target, device and group, and the rows with the largest errors."""
        return ["\n".join(self.lines())]

    def lines(self) -> list[str]:
        """Return the lines below the headline."""
        out: list[str] = []
        for target, errors in self.targets.items():
            mark = "*" if target == self.primary and len(self.targets) > 1 else " "
            out.append(f" {mark}{target:<18} {_errors(errors)}")
        for name, errors in self.baselines.items():
            out.append(f"  {name:<18} {_errors(errors)}   ({BASELINES.get(name, '')})")
        for target, trial in self.left_out.items():
            how = f"constants refitted with each {trial['left_out']} left out, {trial['rows']} rows"
            out.append(f"  {target:<18} {_errors(trial)}   ({how})")
            out += _group_lines(trial["groups"])
            if "nested" in trial:
                out.append(f"  {target:<18} {_errors(trial['nested'])}   (the same, nested)")
        for title, groups in (("device", self.by_device), ("group", self.by_group)):
            if len(groups) > 1:
                out += [f"  by {title}:", *_group_lines(groups, ranked=True)]
        if self.worst:
            out.append("  farthest off:")
            cells = [("", "", "measured", "predicted", "error")]
            cells += [
                (
                    str(row["name"]),
                    str(row["device"]),
                    *(_quantity(row[key], self.primary) for key in ("measured", "predicted")),
                    percent(row["error"], sign=True),
                )
                for row in self.worst
            ]
            out += [f"    {line}" for line in align_columns(cells, right=(2, 3, 4))]
        out += [f"  not predicted: {u['rows']} rows: {u['reason']}" for u in self.unpredicted]
        out += [f"  note: {note}" for note in self.notes]
        return out


class Validations(Result, list[ValidationResult]):
    """List of the results of several data sets."""

    noun = "validations"

    @property
    def headline(self) -> str:
        """Number of data sets."""
        return f"{len(self)} data set{'s' * (len(self) != 1)}"

    def sections(self) -> list[str]:
        """Return each result as text."""
        return list(map(str, self))

    @cached_property
    def table(self) -> Table:
        """Table with one row per data set and target, with its errors."""
        return Table.concat(
            Table({"name": each.name, **each.table}, each.table.dimensions) for each in self
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """Return each result, ready for JSON."""
        return [each.to_dict() for each in self]


def _without_rows(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial, and its nested one, without the predictions of single rows."""
    return {
        key: _without_rows(value) if key == "nested" else value
        for key, value in trial.items()
        if key != "predictions"
    }


def _group_lines(groups: Mapping[str, Mapping[str, Any]], *, ranked: bool = False) -> list[str]:
    """Return one line per group with its errors and, if `ranked`, its rank correlation."""
    return [
        f"    {name:<24} {g['rows']:>4} rows  mape {percent(g['mape'])}  "
        f"bias {percent(g['bias'], sign=True)}" + (_tau(g) if ranked else "")
        for name, g in groups.items()
    ]


def _quantity(value: float, target: str) -> str:
    """Return a value with the unit implied by the target's name."""
    dimension = dimension_of(target)
    if dimension in DIMENSIONS:
        return show(value, dimension)
    return f"{value:.4g}" + ("/s" if dimension == RATE else "")


def percent(value: float | None, *, sign: bool = False) -> str:
    """Return a fraction as a text in per cent."""
    if value is None:
        return "-"
    return f"{100 * value:{'+' if sign else ''}.1f} %"


def _errors(errors: Mapping[str, Any]) -> str:
    """Return errors as text."""
    rank = errors["spearman"]
    return (
        f"mape {percent(errors['mape'])}  median {percent(errors['median_ape'])}  "
        f"bias {percent(errors['bias'], sign=True)}  within 10 %: {percent(errors['within_10'])}  "
        f"spearman {'-' if rank is None else f'{rank:.3f}'}"
    )


def _tau(errors: Mapping[str, Any]) -> str:
    """Return Kendall's tau as text, if there are enough rows."""
    tau = errors.get("kendall")
    return "" if tau is None or errors["rows"] < _RANKED else f"  kendall {tau:.3f}"


Vector = npt.NDArray[np.float64]


class Errors(TypedDict):
    """Errors as fractions (0.06 is 6 %); ``None`` if there are too few rows.

    mape: mean of ``|predicted / measured - 1|``; median_ape: its median; bias: mean of
    ``predicted / measured - 1``, positive if predictions are too high; within_10: share of rows
    with an error of at most 10 %; spearman and kendall (tau-b): rank correlations, for at least two
    rows.
    """

    mape: float | None
    median_ape: float | None
    bias: float | None
    within_10: float | None
    spearman: float | None
    kendall: float | None


def errors(predicted: Sequence[float] | Vector, measured: Sequence[float] | Vector) -> Errors:
    """Return the errors of predictions; see `Errors` for the definitions.

    Parameters
    ----------
    predicted, measured
        Values of equal length; measured ones above zero.
    """
    p, m = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    if not p.size:
        return Errors(
            mape=None, median_ape=None, bias=None, within_10=None, spearman=None, kendall=None
        )
    off = p / m - 1.0
    size = np.abs(off)
    return Errors(
        mape=float(size.mean()),
        median_ape=float(np.median(size)),
        bias=float(off.mean()),
        within_10=float((size <= 0.1).mean()),
        spearman=spearman(p, m),
        kendall=kendall(p, m),
    )


def spearman(a: Sequence[float] | Vector, b: Sequence[float] | Vector) -> float | None:
    """Return Spearman's rank correlation; ``None`` for fewer than two rows or all ranks tied."""
    return _rank_correlation("spearmanr", a, b)


def kendall(a: Sequence[float] | Vector, b: Sequence[float] | Vector) -> float | None:
    """Return Kendall's tau-b: ``(C - D) / sqrt((n - T_a) (n - T_b))`` over the n pairs.

    C and D count concordant and discordant pairs, T_a and T_b the pairs tied in each argument.
    ``None`` for fewer than two rows or if all ranks are tied.
    """
    return _rank_correlation("kendalltau", a, b)


def _rank_correlation(
    name: str, a: Sequence[float] | Vector, b: Sequence[float] | Vector
) -> float | None:
    """Return a rank correlation of scipy; ``None`` if all ranks are tied."""
    if min(np.unique(a).size, np.unique(b).size) < 2:
        return None
    stats: Any = import_module("scipy.stats")
    return float(getattr(stats, name)(a, b).statistic)
