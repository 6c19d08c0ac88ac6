"""Calibrated times of any kind of hardware: each class of operators multiplied by a factor.

A few measured rows of a device determine how much slower its convolutions, its launches or its main
memory are than in the model (`perfmodel.calibrate.few_shot`); the multipliers are facts
``runtime.scale.CLASS``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row
from perfmodel.cost.compose import compose
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.runtime import SCALE_CLASSES
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.rates import MOVES
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable

#: Class of a row -> class of seconds.
CLASS_OF: Final[Mapping[str, str]] = {
    "conv": "conv",
    "grouped": "conv",
    "depthwise": "depthwise",
    "gemm": "gemm",
    "attention": "gemm",
    "moe": "gemm",
    "recurrent": "gemm",
    **dict.fromkeys(MOVES, "copy"),
}

#: Overheads of a kind that scale with main memory.
_FROM_MEMORY: Final = frozenset({"cold_weights"})


def class_of(kind: str) -> str:
    """Return the class of seconds of a row by its kind."""
    return CLASS_OF.get(kind, "elementwise")


def refuse_classes(kind: Kind, table: OperatorTable) -> None:
    """Raise for rows of classes that a kind does not cost.

    Raises
    ------
    InputError
    """
    classes = kind.classes
    if classes is not None:
        faults = table.once(("classes", kind.name), lambda: _not_costed(table.rows, kind, classes))
        if faults:
            raise InputError(faults)


def calibrated(table: OperatorTable, terms: Terms, setting: Setting) -> Terms:
    """Return terms multiplied by the runtime's stated factors."""
    stated = setting.runtime.scale
    scale = {name: stated[name] for name in SCALE_CLASSES if name in stated}
    if not scale or setting.bare:
        return terms
    return scaled(table, terms, setting, scale)


def _not_costed(rows: Sequence[OperatorRow], kind: Kind, classes: Collection[str]) -> list[Fault]:
    """Return a fault for each class of operators that a kind does not cost."""
    first: dict[str, str] = {}
    for row in rows:
        if row.kind not in classes:
            first.setdefault(row.kind, row.name)
    return [
        Fault(
            f"the kind {kind.name} does not cost operators of class '{name}' ('{example}')",
            path="model",
            expected=f"a model that does, or one of {', '.join(sorted(classes))}",
        )
        for name, example in first.items()
    ]


def scaled(
    table: OperatorTable, terms: Terms, setting: Setting, scale: Mapping[str, Value]
) -> Terms:
    """Return terms with the seconds of each class multiplied and row totals updated.

    Parameters
    ----------
    scale
        Class of seconds -> multiplier; 1 if left out.
    """
    rows = _by_row(table, scale, setting)
    memory_scale, launch_scale = scale.get("memory", 1.0), scale.get("launch", 1.0)
    main = {setting.main_memory, setting.weights_memory}
    compute = {name: seconds * rows for name, seconds in terms.compute.items()}
    memory = {
        level: seconds * (memory_scale if level in main else rows)
        for level, seconds in terms.memory.items()
    }
    overhead = {
        name: seconds * (memory_scale if name in _FROM_MEMORY else launch_scale)
        for name, seconds in terms.overhead.items()
    }
    cold = None if terms.cold is None else terms.cold * memory_scale
    was = compose(terms.compute, terms.memory, terms.overhead, setting.overlap, terms.cold)
    now = compose(compute, memory, overhead, setting.overlap, cold)
    # Terms that a kind adds outside the composition are unchanged.
    return replace(
        terms,
        compute=compute,
        memory=memory,
        overhead=overhead,
        cold=cold,
        row_s=terms.row_s + (now - was),
        expressions={},
    )


def _by_row(table: OperatorTable, scale: Mapping[str, Value], setting: Setting) -> Value:
    """Return the multiplier of each row, shape ``(rows, points)`` or ``(rows, 1)``."""
    names, index = table.once("classes of seconds", lambda: _classes(table.rows))
    return by_row([scale.get(name, 1.0) for name in names], table.points, setting.xp)[index]


def _classes(rows: Sequence[OperatorRow]) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Return the classes of seconds that rows have, and the index of each row's class."""
    classes = [class_of(row.kind) for row in rows]
    names = list(dict.fromkeys(classes))
    return names, np.array([names.index(name) for name in classes], dtype=np.intp)
