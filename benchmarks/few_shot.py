"""Judge calibrations on a few rows by the other rows of the device: errors, and what they promised.

    python benchmarks/few_shot.py [DATA_SET...] [--draws 6] [--rows 30] [--device NAME] [--data DIR]

For each device and runtime of the data sets with enough rows a seeded sample is predicted under the
data set's runtime, as if its constants came from other devices (`transferred`), and under the
runtime that stands for unknown software (`assumed`); the device itself is left out of the evidence
that multipliers are pulled by. Each line: the error of all rows without a calibration; then, for
so many rows at random and for as many that `narrowing` chooses, the mean error of the others, and
the share of them in their 90 % intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from perfmodel.ask import Machine, predict
from perfmodel.calibrate.few_shot import NAMES, few_shot, prior
from perfmodel.calibrate.next_rows import narrowing
from perfmodel.errors import InputError
from perfmodel.evaluate.calibration import scaled_rows
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase, subject_of
from perfmodel.evidence import Scatter, Subject, library_evidence, scatter

DATA_SETS = ("ncnn_bench", "rknn_model_zoo", "hailo_model_zoo", "nvidia_dle", "timm_infer")
#: Rows to calibrate on.
COUNTS = (1, 3, 5, 10)
#: Runtime that stands for unknown software.
GENERIC = "generic"

Row = tuple[ValidationCase, MeasuredQuantity]


def groups(
    folder: DataFolder, name: str, most: int, device: str
) -> Iterator[tuple[Subject, list[Row]]]:
    """Yield what was measured, and a seeded sample of its rows."""
    rows: dict[Subject, list[Row]] = {}
    for case, quantity in dataset(name).load(folder).with_quantities():
        if quantity.metric == "latency_s" and quantity.load is None:
            rows.setdefault(subject_of(case, quantity), []).append((case, quantity))
    for subject, some in rows.items():
        if len(some) >= 2 * COUNTS[-1] and device in ("", subject.device):
            order = np.random.default_rng(17).permutation(len(some))[:most]
            yield subject, [some[i] for i in sorted(order)]


def resolved(rows: Sequence[Row], runtime: str | None) -> Iterator[Row]:
    """Yield rows with the machine that they are predicted on, those that can be."""
    for case, quantity in rows:
        machine = case.machine
        assert machine is not None
        if runtime is not None and isinstance(machine, Machine):
            machine = machine.device.machine(runtime)
        try:
            plain = predict(
                quantity.workload,
                machine,
                precision=case.precision,
                runtime=runtime or case.runtime,
                engine=case.engine,
                warm=case.warm,
            )
        except InputError:
            continue
        yield replace(case, machine=plain.machine, runtime=None, engine=None), quantity


def judged(rows: Sequence[Row], pool: Scatter, draws: int) -> Iterator[str]:
    """Yield the error before, and for each count the errors and shares inside."""
    measured = np.array([quantity.measured for _, quantity in rows])
    forward = scaled_rows(rows)
    slopes = few_shot(forward, measured, pool, [[0]])[0].slopes
    order = [one.place for one in narrowing(prior(pool), pool.noise, slopes, slopes, COUNTS[-1])]
    rng = np.random.default_rng(17)
    seen = [rng.permutation(measured.size)[:k] for k in COUNTS for _ in range(draws)]
    seen += [np.array(order[:k]) for k in COUNTS]
    fits = few_shot(forward, measured, pool, list(seen))
    plain = forward(dict.fromkeys(NAMES, 1.0))
    yield f"{np.abs(plain / measured - 1.0).mean():7.1%}"
    scores: list[tuple[float, float]] = []
    for one, fitted in zip(fits, seen, strict=True):
        others = np.setdiff1d(np.arange(measured.size), fitted)
        factor = one.posterior([]).factor(one.slopes, 0.9)
        inside = np.abs(np.log(measured / one.predicted)) <= np.log(factor)
        errors = np.abs(one.predicted / measured - 1.0)
        scores.append((float(errors[others].mean()), float(inside[others].mean())))
    for i, k in enumerate(COUNTS):
        error, share = np.mean(scores[i * draws : (i + 1) * draws], axis=0)
        chosen_error, chosen_share = scores[len(COUNTS) * draws + i]
        yield f"{k}: {error:6.1%} ({share:4.0%}), next {chosen_error:6.1%} ({chosen_share:4.0%})"


def main() -> None:
    """Print a line for each device, runtime and basis."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=DATA_SETS)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--device", default="")
    parser.add_argument("--data", default=None)
    options = parser.parse_args()
    evidence = library_evidence()
    for name in options.names:
        for subject, rows in groups(data_folder(options.data), name, options.rows, options.device):
            for basis, runtime in (("transferred", None), ("assumed", GENERIC)):
                some = list(resolved(rows, runtime))
                if len(some) < 2 * COUNTS[-1]:
                    continue
                machine = some[0][0].machine
                lineage = machine.runtime.lineage if isinstance(machine, Machine) else ()
                pool = scatter(evidence, subject, basis, lineage, without=subject.device)
                head = f"{name} {subject.device} {subject.runtime} {basis} {len(some)}"
                print(head, *judged(some, pool, options.draws), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
