"""Linear and mixed-integer programmes, solved by HiGHS: the one door to a solver.

A programme is a `MilpMatrix`, which goes to HiGHS as arrays; `write_lp` writes it as mathematics
that people read. (Huangfu and Hall, Parallelizing the dual revised simplex method, 2018.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from perfmodel.atomic import replacing
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.highs import checked, load, new_handle, run_highs
from perfmodel.schedule.highs.programme import Floats, MilpMatrix, SolverResult, Status


def solve(
    matrix: MilpMatrix,
    deadline: Deadline | None = None,
    *,
    gap: float = 0.0,
    start: ArrayLike | None = None,
    restarts: bool = True,
) -> SolverResult:
    """Solve a programme that is given as arrays.

    Parameters
    ----------
    deadline
        The run ends by then, with what it has.
    gap
        Distance of objective and bound, relative to the objective, at which to stop.
    start : array_like of shape (columns,), optional
        A known solution. It is what comes back where nothing better is found in time.
    restarts
        Whether HiGHS may begin again from its root once columns are fixed there: it pays on large
        trees, not where cuts close the root.

    Raises
    ------
    ValueError
        The start is no solution.
    SolverError
        HiGHS failed.
    """
    known: Floats | None = None
    if start is not None:
        known = np.asarray(start, dtype=np.float64)
        if not matrix.keeps(known):
            raise ValueError("the start breaks a row, a bound or an integer column")
    if not len(matrix.cost):
        fits = bool(np.all(matrix.row_lower <= 0.0) and np.all(matrix.row_upper >= 0.0))
        status = Status.OPTIMAL if fits else Status.INFEASIBLE
        value = 0.0 if fits else math.nan
        return SolverResult(status, value, 0.0 if fits else math.inf, 0.0, "no columns")
    handle = new_handle()
    load(handle, matrix)
    if not restarts:
        handle.setOptionValue("mip_allow_restart", False)
    return run_highs(handle, deadline or Deadline(), gap, known, bool(matrix.integer.any()))


def write_lp(
    matrix: MilpMatrix,
    path: str | Path,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> None:
    """Write a programme as an LP file, whole or not at all.

    Parameters
    ----------
    columns, rows
        Names; by default ``c0``, ``c1`` ..., ``r0`` ... Anything but letters, digits, dots and
        underlines becomes an underline.
    """
    handle = new_handle()
    load(handle, matrix)
    for names, give in ((columns, handle.passColName), (rows, handle.passRowName)):
        for i, name in enumerate(names):
            checked(give(i, re.sub(r"[^A-Za-z0-9_.]", "_", name)), f"naming '{name}'")
    with replacing(_lp_path(path)) as temporary:
        checked(handle.writeModel(str(temporary)), "writing the model")


def _lp_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".lp":
        raise ValueError(f"'{path.name}' should end in .lp")
    return path
