"""The result of a validation: errors by target, device and group, beside those of baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from perfmodel.evaluate.metrics import Errors
from perfmodel.table import Result, Table, plain

#: Rows of a group from which on their order says something.
_RANKED: Final = 5
#: Errors of a target, columns of the table.
_ERRORS: Final = ("mape", "median_ape", "bias", "within_10", "spearman", "kendall")

#: Baseline -> what it is.
BASELINES: Final[Mapping[str, str]] = {
    "roofline": "bare roofline: theoretical compute peak and main memory bandwidth, nothing else",
    "roofline_scaled": "bare roofline times one factor for all rows, fitted on these very rows",
    "compute": "operations over peak",
    "one_factor": "the mean over other devices times one factor, from the same calibration rows",
    "kerncraft_ecm": "kerncraft's Execution-Cache-Memory model, on the rows that it has",
}


@dataclass(frozen=True, repr=False)
class ValidationResult(Result):
    """Errors of predictions on a data set; fractions, not per cent.

    Attributes
    ----------
    name : str
        Data set.
    rows : int
        Measured rows, predicted or not.
    coverage : float
        Share of rows that were predicted.
    targets : dict
        Target -> mape, median_ape, bias, within_10, spearman, kendall.
    primary : str
        Target that `mape` and `by_device` are of.
    by_device, by_group : dict
        Name -> rows, mape, bias, kendall of the primary target.
    baselines : dict
        Baseline (see `BASELINES`) -> errors on the primary target's rows.
    unpredicted : list
        Reason, how many rows, and the first of them.
    worst : list
        Rows that are farthest off: name, device, measured, predicted, error.
    predictions : list
        Every predicted row, as `worst`, with its baselines and its ``origin``
        (`perfmodel.evaluate.subjects.RowOrigin`) where evidence may be taken of it.
    notes : tuple of str
    details : dict
        What only this data set has.
    left_out : dict
        Target -> errors of each device (or chip, system) by constants refitted without it: see
        `perfmodel.evaluate.refit.trial`; empty where it was not asked for. ``nested`` of it, where
        that was: see `perfmodel.evaluate.nested_refit.nested_trial`.
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
        found = self.targets.get(self.primary)
        return found["mape"] if found else None

    def to_dict(self) -> dict[str, Any]:
        """Return the result ready for JSON."""
        out = super().to_dict()
        if self.details:
            out["details"] = self.details
        if self.left_out:
            out["left_out"] = {target: _told(of) for target, of in self.left_out.items()}
        return plain(out)

    @cached_property
    def table(self) -> Table:
        """One row for each target, with its errors."""
        columns: dict[str, Any] = {"target": list(self.targets)}
        for name in _ERRORS:
            each = [errors.get(name) for errors in self.targets.values()]
            columns[name] = np.array(each, dtype=float)
        return Table(columns)

    @property
    def headline(self) -> str:
        """Which data set, and how much of it was predicted."""
        return f"{self.name}: {self.rows} rows, {percent(self.coverage)} predicted"

    def sections(self) -> list[str]:
        """Return errors by target, device and group, and the rows that are farthest off."""
        return ["\n".join(self.lines())]

    def lines(self) -> list[str]:
        """Return what stands below the headline, line by line."""
        out: list[str] = []
        for target, found in self.targets.items():
            mark = " " if len(self.targets) == 1 else "*" if target == self.primary else " "
            out.append(f" {mark}{target:<18} {_errors(found)}")
        for name, found in self.baselines.items():
            out.append(f"  {name:<18} {_errors(found)}   ({BASELINES.get(name, '')})")
        for target, found in self.left_out.items():
            said = (
                f"constants refitted with each {found['left_out']} left out, {found['rows']} rows"
            )
            out.append(f"  {target:<18} {_errors(found)}   ({said})")
            out += [
                f"    {name:<24} {g['rows']:>4} rows  mape {percent(g['mape'])}  "
                f"bias {percent(g['bias'], sign=True)}"
                for name, g in found["groups"].items()
            ]
            if "nested" in found:
                out.append(f"  {target:<18} {_errors(found['nested'])}   (the same, nested)")
        for title, groups in (("device", self.by_device), ("group", self.by_group)):
            if len(groups) > 1:
                out.append(f"  by {title}:")
                out += [
                    f"    {name:<24} {g['rows']:>4} rows  mape {percent(g['mape'])}  "
                    f"bias {percent(g['bias'], sign=True)}" + _tau(g)
                    for name, g in groups.items()
                ]
        if self.worst:
            out.append("  farthest off:")
            out += [
                f"    {w['name']:<32} {w['device']:<18} measured {w['measured']:.4g}  predicted "
                f"{w['predicted']:.4g}  {percent(w['error'], sign=True)}"
                for w in self.worst
            ]
        out += [f"  not predicted: {u['rows']} rows: {u['reason']}" for u in self.unpredicted]
        out += [f"  note: {note}" for note in self.notes]
        return out


class Validations(Result, list[ValidationResult]):
    """Results of several data sets, each an item of the list."""

    noun = "validations"

    @property
    def headline(self) -> str:
        """How many data sets were predicted."""
        return f"{len(self)} data set{'s' * (len(self) != 1)}"

    def sections(self) -> list[str]:
        """Return each result as text."""
        return list(map(str, self))

    @cached_property
    def table(self) -> Table:
        """One row for each data set and target, with its errors."""
        return Table.concat(
            Table({"name": each.name, **each.table}, each.table.dimensions) for each in self
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """Return each result, ready for JSON."""
        return [each.to_dict() for each in self]


def _told(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial, and a nested one within, without its single predictions."""
    return {
        key: _told(value) if key == "nested" else value
        for key, value in trial.items() if key != "predictions"
    }  # fmt: skip


def percent(value: float | None, *, sign: bool = False) -> str:
    """Return a fraction as a text in per cent."""
    if value is None:
        return "-"
    return f"{100 * value:{'+' if sign else ''}.1f} %"


def _errors(found: Mapping[str, Any]) -> str:
    rank = found["spearman"]
    return (
        f"mape {percent(found['mape'])}  median {percent(found['median_ape'])}  "
        f"bias {percent(found['bias'], sign=True)}  within 10 %: {percent(found['within_10'])}  "
        f"spearman {'-' if rank is None else f'{rank:.3f}'}"
    )


def _tau(found: Mapping[str, Any]) -> str:
    tau = found.get("kendall")
    return "" if tau is None or found["rows"] < _RANKED else f"  kendall {tau:.3f}"
