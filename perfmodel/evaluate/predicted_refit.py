"""Constants of a runtime refitted through `predict` itself, with devices left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict

__all__ = ["refit"]

#: (case, constants by name) -> facts of its machine.
Apply = Callable[[ValidationCase, Mapping[str, float]], Mapping[str, Any]]


def known_facts(case: ValidationCase, constants: Mapping[str, float]) -> Mapping[str, Any]:
    """Return the constants that are facts of the case's machine."""
    machine = case.machine
    assert isinstance(machine, Machine)
    return {path: value for path, value in constants.items() if path in machine}


def refit(
    cases: Cases, target: str, constants: Sequence[Constant], *, left_out: str = "device",
    group: Callable[[ValidationCase], str] = lambda case: case.device, apply: Apply = known_facts,
    where: Callable[[ValidationCase], bool] = lambda case: True, name: str = "",
    scale: float = 0.1,
) -> Refit:  # fmt: skip
    """Return how constants were fitted to a target of cases.

    Parameters
    ----------
    constants
        Named by paths of facts, unless `apply` knows them.
    group
        What of a case is left out together.
    apply
        Which facts of a case's machine the constants set.
    where
        Which cases were fitted on.
    name
        What to report the target as.
    scale
        Relative error from which on a row counts less.
    """
    rows: list[tuple[ValidationCase, MeasuredQuantity, Machine]] = []
    for case in cases.cases:
        machine = case.machine
        if machine is None or not where(case):
            continue
        if isinstance(machine, Device):
            machine = machine.machine(case.runtime)
        rows += [(case, q, machine) for q in case.questions if q.target == target]

    def forward(values: Mapping[str, float]) -> Any:
        return np.array([
            getattr(
                predict(q.workload, machine.vary(apply(case, values)), precision=case.precision,
                        runtime=case.runtime, engine=case.engine, warm=case.warm),
                q.metric,
            )
            for case, q, machine in rows
        ])  # fmt: skip

    return Refit(
        name or target, np.array([q.measured for _, q, _ in rows]), [group(c) for c, _, _ in rows],
        constants, forward, left_out, scale,
    )  # fmt: skip
