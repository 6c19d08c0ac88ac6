"""Print what a runtime's constants are when they are pulled towards their family's values.

    python benchmarks/pool_constants.py rknn_model_zoo "latency_s, rknn, chip left out"

A constant that one or two devices determine is worth less on a third than a mean with its family's
value (partial pooling). For each refit of a data set this prints its constants without a pull and
under the pull that leaving out each group decides, with the errors of both: in sample, and left out
by one Newton step. Specs state the pooled values where the trust page shows that a device nobody
measured is predicted better by them, and say so in `fitted_on`.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from perfmodel.calibrate import Constant, fit, left_out, pooled_fit
from perfmodel.evaluate import data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.nested_refit import nested_refit
from perfmodel.evaluate.refit import Refit


def show(name: str, refit: Refit) -> None:
    """Print the constants of one refit."""
    nested = nested_refit(refit, name)
    rows = {"scale": refit.scale, "weights": refit.weights}
    pooled, choice = pooled_fit(
        nested.forward, refit.measured, nested.constants, refit.groups, **rows
    )
    listed = nested.constants.constants[: len(refit.constants)]
    free = [replace(constant, prior=0.0) for constant in listed]
    plain = fit(refit.forward, refit.measured, free, **rows)
    trial = left_out(refit.forward, refit.measured, free, refit.groups, **rows)
    print(f"{name}: {refit.target}, {len(refit.measured)} rows, {len(set(refit.groups))} groups")
    print(
        f"  without a pull: {_error(plain.predicted, refit):.1%} in sample,"
        f" {_error(trial.predicted, refit):.1%} left out"
    )
    left = "nothing to choose by" if choice.error is None else f"{choice.error:.1%} left out"
    print(f"  pull {choice.pull:g}: {_error(pooled.predicted, refit):.1%} in sample, {left}")
    for constant in nested.constants.constants:
        print(f"    {_line(constant, plain.constants, pooled.constants[constant.name])}")


def _error(predicted: np.ndarray, refit: Refit) -> float:
    return float(np.mean(np.abs(predicted / refit.measured - 1)))


def _line(constant: Constant, plain: dict[str, float], pooled: float) -> str:
    free = f"{plain[constant.name]:.4g}" if constant.name in plain else "not listed"
    family = constant.start if constant.towards is None else constant.towards
    return f"{constant.name}: {free} -> {pooled:.4g} (family {family:.4g})"


def main(name: str, *targets: str) -> None:
    """Print the constants of a data set's refits, or of those named."""
    for refit in dataset(name).refits(data_folder(None, ""), []):
        if not targets or refit.target in targets:
            show(name, refit)


if __name__ == "__main__":
    main(*sys.argv[1:])
