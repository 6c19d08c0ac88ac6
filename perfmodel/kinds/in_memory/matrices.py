"""Every matrix of a workload on in-memory arrays.

Its layout, its input steps, and the time to multiply one vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.kinds.array import NestRun
from perfmodel.kinds.in_memory.counts import (
    MatrixLayout,
    Steps,
    layout,
    steps_of,
    vector_seconds,
)
from perfmodel.kinds.in_memory.spec import InMemoryArrays


class ArrayProducts(NamedTuple):
    """Matrices in arrays, and the cost of a vector in each; ``(nests, points or 1)``.

    Attributes
    ----------
    is_weight
        1 for weight matrices, 0 for products of two activations.
    inputs
        Inputs of a matrix, including those that do not fire.
    layout, steps
        Layout of the matrix, and steps of an input.
    seconds
        Seconds of a vector.
    cells
        Cells that one copy of the matrix fills.
    input_density, weight_density
        Shares of 1-bits.
    """

    is_weight: Value
    inputs: Value
    layout: MatrixLayout
    steps: Steps
    seconds: Value
    cells: Value
    input_density: Value
    weight_density: Value


def array_products(run: NestRun, engine: InMemoryArrays) -> ArrayProducts:
    """Return the cost of a vector in every matrix.

    Notes
    -----
    ``cells = groups * inputs * out_channels * slices * cells_per_weight``

    ``input_density`` is the share of inputs that fire, where inputs are spikes; else the engine's
    share of 1-bits times the density that the precision states.
    """
    nests, xp, relaxed = run.nests, run.xp, run.setting.relaxed
    is_weight = np.array([slot.startswith("weight") for slot in run.slots(1)], dtype=float)[:, None]
    spiking, firing = _spiking_inputs(run)
    inputs = xp.where(spiking > 0, spiking, nests.summed)
    matrix_layout = layout(
        nests.groups, inputs, nests.out_channels, run.bits(1), engine, relaxed=relaxed
    )
    steps = steps_of(run.bits(0), engine, relaxed=relaxed)
    seconds = vector_seconds(matrix_layout, steps, engine, relaxed=relaxed)
    weights = nests.groups * inputs * nests.out_channels
    cells = weights * matrix_layout.slices * engine.cells_per_weight
    input_density = xp.where(spiking > 0, firing, _density(run, 0, engine.input_density))
    return ArrayProducts(
        is_weight=is_weight,
        inputs=inputs,
        layout=matrix_layout,
        steps=steps,
        seconds=seconds,
        cells=cells,
        input_density=input_density,
        weight_density=_density(run, 1, engine.weight_density),
    )


def _density(run: NestRun, operand: int, share: Value) -> Value:
    """Return a share of 1-bits, reduced by the zeros that the precision states."""
    sparsities = [run.setting.precision.sparsity_of(slot) for slot in run.slots(operand)]
    return share * np.array([1.0 if s is None else s.density for s in sparsities])[:, None]


def _spiking_inputs(run: NestRun) -> tuple[Value, Value]:
    """Return inputs of nests that sum over firing inputs (0 for others), and the firing share.

    An array holds the rows of all inputs, firing or not.
    """
    inputs, active = run.table.extents.get("inputs"), run.table.extents.get("active")
    if inputs is None or active is None:
        return 0.0 * run.nests.in_channels, 0.0
    all_inputs = inputs[run.nests.row]
    return all_inputs + 0.0 * run.nests.in_channels, active[run.nests.row] / (
        all_inputs + (all_inputs <= 0)
    )
