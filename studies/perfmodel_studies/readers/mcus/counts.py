"""What a network gives the kernels of a microcontroller's library to do, for quick refits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.kinds.mcu.kernels import edge_taps, is_narrow, kernels_of
from perfmodel.kinds.rates import MATRIX_KINDS
from perfmodel.workload import FusionRules
from perfmodel.workload.lower import Lowered

__all__ = ["TERMS", "clocks", "counts"]

#: Constants of a library that a refit moves: class of kernels and field.
TERMS: Final = (
    ("conv", "mac_clocks"),
    ("depthwise", "mac_clocks"),
    ("depthwise", "edge_tap_clocks"),
    ("gemm", "mac_clocks"),
    ("conv", "narrow_mac_clocks"),
)

Vector = npt.NDArray[np.float64]


def counts(workload: pm.Workload) -> tuple[Vector, float]:
    """Return what there is by `TERMS` (MACs, taps), and operations beside products."""
    lowered = Lowered(workload.graph(), FusionRules(), tagged=False)
    values = {name: float(value) for name, value in workload.parameters.items()}
    table = lowered.bind(values, 1, nests=True)
    nests = table.nests
    assert nests is not None
    runs = np.ravel(table.count * np.ones((len(table.rows), 1)))
    macs = np.ravel(nests.macs) * runs[nests.row]
    channels = nests.times * nests.groups * nests.batch * nests.out_channels
    taps = np.ravel(channels * edge_taps(nests)) * runs[nests.row]
    narrow = macs * np.ravel(is_narrow(nests))
    of = {"mac_clocks": macs - narrow, "edge_tap_clocks": taps, "narrow_mac_clocks": narrow}
    names = np.array(kernels_of(nests))
    done = np.array([float(np.sum(of[field][names == kernel])) for kernel, field in TERMS])
    beside = [row.kind not in MATRIX_KINDS for row in table.rows]
    operations = np.ravel(table.vector_ops * np.ones((len(table.rows), 1))) * runs
    return done, float(np.sum(operations[np.array(beside)]))


def clocks(
    done: npt.NDArray[np.float64],
    beside: Vector,
    libraries: Sequence[str],
    cores: Sequence[str],
    constants: Mapping[str, float],
) -> Vector:
    """Return clocks of rows from constants of libraries and cores.

    Parameters
    ----------
    done
        `counts` of each row, ``(rows, terms)``; `beside` likewise, one clock an operation.
    libraries, cores
        Of each row; a core without constants is the reference.
    constants
        ``LIBRARY.KERNEL.FIELD`` and ``CORE.relative_KERNEL`` -> number.
    """
    own = {
        name: [constants[f"{name}.{kernel}.{field}"] for kernel, field in TERMS]
        for name in dict.fromkeys(libraries)
    }
    slower = {
        name: [constants.get(f"{name}.relative_{kernel}", 1.0) for kernel, _ in TERMS]
        for name in dict.fromkeys(cores)
    }
    each = np.array([own[name] for name in libraries])
    factor = np.array([slower[name] for name in cores])
    return np.einsum("ij,ij,ij->i", done, each, factor) + beside
