"""Fitted constants on trial: refitted with each device left out, and judged on that device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate import Constant, Fit, left_out
from perfmodel.calibrate.fit import Forward
from perfmodel.evaluate.metrics import errors
from perfmodel.evidence import Subject


@dataclass(frozen=True, slots=True)
class Refit:
    """How the constants of a target were fitted, so that it can be done again without some rows.

    A module of a data set offers them as ``refits(folder, devices) -> Sequence[Refit]``.

    Attributes
    ----------
    target
        As the cases of the data set name it.
    measured
        SI, shape ``(rows,)``.
    groups
        What is left out together, of each row: its device, chip or system.
    constants
        That the rows determine; what they start from is in the library's specs.
    forward
        Constants by name -> predictions of all rows.
    left_out
        What a group is: ``device``, ``chip``, ``generation``.
    scale
        Relative error from which on a row counts less.
    weights
        Of the rows in the fit, shape ``(rows,)``; 0 for one that is predicted and not fitted on.
    judged
        Rows whose errors are reported, all where left out: constants of kernels are fitted on
        kernels, and judged on the networks that they make up.
    parts
        Of each row, where errors are wanted by something finer than what is left out: a column of
        one device's batches.
    subjects
        What each row is evidence of, where that is known; ``None`` for a row that is of nothing.
    """

    target: str
    measured: npt.NDArray[np.float64]
    groups: Sequence[str]
    constants: Sequence[Constant]
    forward: Forward
    left_out: str = "device"
    scale: float = 0.1
    weights: npt.NDArray[np.float64] | None = None
    judged: npt.NDArray[np.bool_] | None = None
    parts: Sequence[str] | None = None
    subjects: Sequence[Subject | None] | None = None

    @property
    def transfers(self) -> bool:
        """Whether each device is in one group, so that a fit without it has seen none of it."""
        groups: dict[str, set[str]] = {}
        for subject, group in zip(self.subjects or (), self.groups, strict=False):
            if subject is not None:
                groups.setdefault(subject.device, set()).add(group)
        return all(len(of) == 1 for of in groups.values())


def trial(refit: Refit) -> dict[str, Any]:
    """Refit with each group left out.

    Returns
    -------
    dict
        ``left_out`` (what a group is), ``rows``, `perfmodel.evaluate.metrics.Errors` of all rows,
        ``groups`` (name -> rows and errors), ``parts`` (alike, where the refit has some),
        ``constants`` (name -> least and largest value found)
        ``at_bound`` (constants that some fit left at a bound of theirs), and ``predictions``: of
        each row with a subject whose device was left out whole, the subject and what was measured
        and predicted.
    """
    result = left_out(
        refit.forward, refit.measured, refit.constants, refit.groups, scale=refit.scale,
        weights=refit.weights,
    )  # fmt: skip
    return reported(refit, result.predicted, result.fits)


def reported(
    refit: Refit, predicted: npt.NDArray[np.float64], fits: Mapping[str, Fit]
) -> dict[str, Any]:
    """Return what `trial` returns of predictions of left-out groups.

    Parameters
    ----------
    predicted
        Of each row by a fit that has not seen its group, shape ``(rows,)``.
    fits
        Group -> that fit.
    """
    labels = np.asarray(refit.groups)
    seen = np.ones(len(labels), dtype=np.bool_) if refit.judged is None else refit.judged
    spread = {
        name: [f(fit.constants[name] for fit in fits.values()) for f in (min, max)]
        for name in next(iter(fits.values())).constants
    }

    def each(labels: npt.NDArray[np.str_]) -> dict[str, Any]:
        return {
            name: {"rows": int(at.sum()), **errors(predicted[at], refit.measured[at])}
            for name in dict.fromkeys(labels.tolist())
            if (at := (labels == name) & seen).any()
        }

    return {
        "left_out": refit.left_out,
        "rows": int(seen.sum()),
        **errors(predicted[seen], refit.measured[seen]),
        "groups": each(labels),
        **({} if refit.parts is None else {"parts": each(np.asarray(refit.parts))}),
        "constants": spread,
        "at_bound": sorted({name for fit in fits.values() for name in fit.at_bound}),
        "predictions": [
            {"subject": subject, "measured": float(measured), "predicted": float(value)}
            for subject, measured, value, counts in zip(
                refit.subjects, refit.measured, predicted, seen, strict=True
            )
            if subject is not None and counts
        ]
        if refit.subjects is not None and refit.transfers
        else [],
    }
