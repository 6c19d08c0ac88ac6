"""Fit the constants of ncnn's runtimes to its benchmark page and print them.

``python benchmarks/fit_ncnn.py`` with PERFMODEL_DATA set; what it prints stands in
``hardware_specs/runtimes/ncnn*.yaml``. ``perfmodel validate ncnn_bench --left-out`` judges them.
"""

from __future__ import annotations

import numpy as np
from perfmodel_studies.readers.ncnn_bench import refits

from perfmodel.calibrate import fit
from perfmodel.evaluate.data_files import data_folder


def main() -> None:
    """Print every runtime's constants and the error on the rows that they were fitted to."""
    for each in refits(data_folder(None)):
        found = fit(each.forward, each.measured, each.constants, scale=each.scale)
        error = np.abs(found.predicted / each.measured - 1.0).mean()
        devices = len(set(each.groups))
        print(f"{each.target}: {each.measured.size} rows of {devices} devices, {error:.1%}")
        for name, value in found.constants.items():
            print(f"  {name}: {value:.3g}{'  (at a bound)' if name in found.at_bound else ''}")


if __name__ == "__main__":
    main()
