"""Where the constants of hardware_specs/runtimes/llama_cpp_metal.yaml come from.

Least squares (soft L1) on log time over the open rows of llama.cpp discussion 4167, with whole
chips and whole generations left out in turn: ``python benchmarks/fit_llama_cpp_metal.py [DATA]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.validate import llamacpp_apple
from perfmodel.validate.case import Case, Question
from perfmodel.validate.files import data_folder

DECODE = ("runtime.efficiency.bandwidth", "runtime.draw_bytes_per_clock_per_unit",
          "runtime.per_layer_clocks")  # fmt: skip
QUANTS = {"F16": "fp16", "Q8_0": "q8_0", "Q4_0": "q4_0"}
PREFILL = tuple(f"runtime.efficiency.gemm.{name}" for name in QUANTS.values())


@dataclass(frozen=True)
class Observation:
    """A measured time of a row."""

    case: Case
    question: Question

    @property
    def chip(self) -> str:
        return self.case.device

    @property
    def generation(self) -> str:
        return self.case.device[:2]

    def error(self, constants: dict[str, float]) -> float:
        """Return the logarithm of predicted over measured time."""
        machine = self.case.machine
        assert isinstance(machine, Machine)
        found = predict(self.question.workload, machine.vary(constants),
                        precision=self.case.precision, runtime=self.case.runtime)  # fmt: skip
        return float(np.log(found.latency_s / self.question.measured))


def fit(rows: Sequence[Observation], paths: Sequence[str], start: Sequence[float]) -> np.ndarray:
    """Return the constants that fit best; they stay positive, being fitted as logarithms."""

    def residuals(x: np.ndarray) -> list[float]:
        constants = dict(zip(paths, np.exp(x).tolist(), strict=True))
        return [row.error(constants) for row in rows]

    found = least_squares(residuals, np.log(start), loss="soft_l1", f_scale=0.1, xtol=1e-6)
    return np.exp(found.x)


def score(rows: Sequence[Observation], paths: Sequence[str], x: np.ndarray) -> list[float]:
    """Return the absolute percentage errors of rows under constants, as fractions."""
    constants = dict(zip(paths, x.tolist(), strict=True))
    return [abs(float(np.expm1(row.error(constants)))) for row in rows]


def left_out(
    rows: Sequence[Observation], paths: Sequence[str], start: Sequence[float],
    key: Callable[[Observation], str],
) -> float:  # fmt: skip
    """Return the mean error where each group is predicted from a fit to the others."""
    off: list[float] = []
    for group in dict.fromkeys(map(key, rows)):
        found = fit([r for r in rows if key(r) != group], paths, start)
        off += score([r for r in rows if key(r) == group], paths, found)
    return float(np.mean(off))


def observations(folder: str, target: str) -> list[Observation]:
    """Return the measured times of a target."""
    cases = llamacpp_apple.load(data_folder(folder)).cases
    return [Observation(c, q) for c in cases for q in c.questions if q.target == target]


def report(folder: str) -> None:
    """Print constants and errors of decode and of prefill."""
    for target, paths, start in (
        ("latency_s", DECODE, (0.95, 13.0, 265e3)),
        ("prefill_latency_s", PREFILL, (0.7, 0.65, 0.65)),
    ):
        rows = observations(folder, target)
        found = fit(rows, paths, start)
        print(f"{target}: {len(rows)} rows")
        for path, value in zip(paths, found, strict=True):
            print(f"  {path} = {value:.4g}")
        print(f"  in sample             {100 * np.mean(score(rows, paths, found)):.1f} %")
        for name, key in (("chip", lambda r: r.chip), ("generation", lambda r: r.generation)):
            print(f"  each {name:<10} left out {100 * left_out(rows, paths, start, key):.1f} %")


if __name__ == "__main__":
    report(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PERFMODEL_DATA",
                                                                "../shared/data"))  # fmt: skip
