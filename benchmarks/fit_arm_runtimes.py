"""Where the constants of the runtimes litert, onnxruntime_arm and torch_mobile come from.

Least squares (soft L1) on log time over 41 of 6,461 connected cells a framework, on CIFAR-100 on a
Raspberry Pi 5; scored on the others, and on NinaPro, which no constant has seen. Then the same from
other cells, and what graphs without dead branches, or a single efficiency, would give:
``python benchmarks/fit_arm_runtimes.py [DATA]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from perfmodel_studies.readers import hwnasbench360
from perfmodel_studies.readers.hwnasbench360 import DEVICES, FRAMEWORKS, Bench
from perfmodel_studies.readers.hwnasbench360.costs import device_of
from scipy.optimize import least_squares, nnls

from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.result import errors
from perfmodel.hardware.library import runtime
from perfmodel.measurement_csv import read_rows
from perfmodel.predict import predict
from perfmodel.workload.nas_spaces import space

EACH = "runtime.efficiency."
DISPATCH = "runtime.per_operator"
#: Constants of the device's energy, and the unit each is found in.
ENERGIES = {
    "engines.cpu.energy_per_op.fp32": 1e-12,
    "engines.cpu.vector_energy_per_op": 1e-12,
    "engines.cpu.move_energy": 1e-12,
    "power.idle": 1.0,
}
#: Framework -> constants that its rows determine, and where the fit starts.
CONSTANTS = {
    "litert": {f"{EACH}conv": 0.8, f"{EACH}pool": 0.3, DISPATCH: 3e-6},
    "onnx": {f"{EACH}conv": 0.7, f"{EACH}pool": 0.3, f"{EACH}elementwise": 0.3},
    "torchmobile": {f"{EACH}conv": 0.8, f"{EACH}pool": 0.05, DISPATCH: 1e-5},
}


def fit(bench: Bench, rows: Sequence[int], constants: dict[str, float], zeros: str) -> np.ndarray:
    """Return the constants that fit best, in the order given; as logarithms they stay positive."""
    there: Any = space("nas_bench_201", dataset=bench.task, batch_norm="folded", zeros=zeros)
    works = [there.workload(tuple(bench.choices[i].tolist()), batch=1) for i in rows]
    measured = np.log(bench.latency_s[list(rows)])
    machine = device_of(bench).machine(FRAMEWORKS[bench.framework].runtime)
    step = 1e-4

    def both(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.exp(np.vstack([x, x + step * np.eye(len(x))]))
        varied = machine.vary({name: points[:, j] for j, name in enumerate(constants)})
        found = np.log(
            [
                np.broadcast_to(
                    predict(work, varied, precision="fp32", warm=True).latency_s, len(points)
                )
                for work in works
            ]
        )
        return found[:, 0] - measured, (found[:, 1:] - found[:, :1]) / step

    high = [np.log(1.1 if name.startswith(EACH) else 1e-2) for name in constants]
    found = least_squares(
        lambda x: both(x)[0],
        np.log(list(constants.values())),
        jac=lambda x: both(x)[1],
        loss="soft_l1",
        f_scale=0.05,
        xtol=1e-6,
        max_nfev=60,
        bounds=(-np.inf, high),
    )
    return np.exp(found.x)


def energies(benches: Sequence[Bench]) -> dict[str, float]:
    """Return the constants of `ENERGIES` from the cells of all frameworks.

    Energies are linear in them, beside those of main memory; least squares on relative errors,
    reweighted so that far ones count less.
    """
    rows: list[list[float]] = []
    units = np.vstack([np.zeros(len(ENERGIES)), np.diag(list(ENERGIES.values()))])
    for bench in benches:
        there: Any = space(
            "nas_bench_201",
            dataset=bench.task,
            batch_norm="folded",
            zeros=FRAMEWORKS[bench.framework].zeros,
        )
        machine = device_of(bench).machine(FRAMEWORKS[bench.framework].runtime)
        varied = machine.vary({path: units[:, j] for j, path in enumerate(ENERGIES)})
        for i in np.flatnonzero(bench.fitted):
            work = there.workload(tuple(bench.choices[i].tolist()), batch=1)
            told = predict(work, varied, precision="fp32", warm=True).energy_j
            rows.append([told[0], *(told[1:] - told[0]), bench.energy_j[i]])
    table = np.array(rows)
    base, measured = table[:, 0], table[:, -1]
    matrix, wanted = table[:, 1:-1] / measured[:, None], 1.0 - base / measured
    weights = np.ones(len(measured))
    for _ in range(30):
        found, _ = nnls(matrix * weights[:, None], wanted * weights)
        off = (matrix @ found - wanted) / 0.05
        weights = (1.0 + off**2) ** -0.25
    return {path: float(x) * ENERGIES[path] for path, x in zip(ENERGIES, found, strict=True)}


def with_constants(name: str, constants: Sequence[str], values: Sequence[float]) -> Any:
    """Return a runtime of the library with other constants."""
    told = runtime(name).model_dump(exclude_none=True)
    for path, value in zip(constants, values, strict=True):
        head, _, key = path.removeprefix("runtime.").partition(".")
        text: Any = value if key else f"{value * 1e6:.12g} us"
        if key:
            told[head][key]["value"] = text
        else:
            told[head] = {"value": text, "source": told["source"], "confidence": "estimated"}
    return type(runtime(name)).model_validate(told)


def scored(bench: Bench, found: Any, zeros: str | None = None) -> str:
    """Return errors on the rows of a bench that the fit did not see."""
    kept = bench.select(~bench.fitted)
    told = hwnasbench360.oracle(bench, runtime=found, zeros=zeros).batch(kept.choices)
    off = errors(told["latency_s"].tolist(), kept.latency_s.tolist())
    return (
        f"mape {100 * off['mape']:6.2f} %  bias {100 * off['bias']:+6.2f} %  "
        f"spearman {off['spearman']:.4f}  {len(kept.indices)} rows"
    )


def report(folder: str) -> None:
    """Print the constants, and errors on rows that they were not fitted on."""
    path = data_folder(folder).need(hwnasbench360.NAME, *hwnasbench360.PLACES)
    benches = {b.name: b for b in hwnasbench360.benches(read_rows(path))}
    for framework, constants in CONSTANTS.items():
        bench, other = (benches[f"pi5 {framework} {task}"] for task in ("cifar100", "ninapro"))
        zeros, name = FRAMEWORKS[framework].zeros, FRAMEWORKS[framework].runtime
        rows = np.flatnonzero(bench.fitted).tolist()
        best = fit(bench, rows, constants, zeros)
        print(f"{name} on {DEVICES['pi5']}, {len(rows)} cells")
        for path_, value in zip(constants, best, strict=True):
            print(f"  {path_:<30} {value:.4g}")
        rng = np.random.default_rng(1)
        again = [
            fit(
                bench,
                rng.choice(len(bench.indices), len(rows), replace=False).tolist(),
                constants,
                zeros,
            )
            for _ in range(5)
        ]
        spread = ", ".join(
            f"{a:.3g}-{b:.3g}" for a, b in zip(np.min(again, 0), np.max(again, 0), strict=True)
        )
        print(f"  the same from five other draws {spread}")
        made = with_constants(name, tuple(constants), best)
        print(f"  cifar100                 {scored(bench, made)}")
        print(f"  ninapro (transfer)       {scored(other, made)}")
        print(f"  as shipped, cifar100     {scored(bench, name)}")
        print(f"  as shipped, ninapro      {scored(other, name)}")
        print(f"  nothing fitted, cifar100 {scored(bench, 'generic')}")
        if zeros != "removed":
            lean = with_constants(name, tuple(constants), fit(bench, rows, constants, "removed"))
            print(f"  without dead branches    {scored(bench, lean, 'removed')}")
    told = energies([b for b in benches.values() if b.fitted.any()])
    for path, value in told.items():
        print(f"{path:<36} {value:.3g}")


if __name__ == "__main__":
    report(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PERFMODEL_DATA", "../shared/data"))
