"""HAWQ-V3's choice of 4 or 8 bits per layer as a problem of choices.

Yao et al., HAWQ-V3: Dyadic Neural Network Quantization, ICML 2021, section 3.3, and the notebook
``ILP.ipynb`` of github.com/Zhen-Dong/HAWQ. What a layer's weights lose at b bits is taken to be the
mean Hessian trace times the squared perturbation of the weights; size, bit operations and latency
each stay within the middle of all layers at 4 bits and all at 8.

The notebook counts from all layers at 4 bits, so its objective is the sum over the layers at 8 bits
of ``trace * (perturbation at 8 - perturbation at 4)``: 0 at 4 bits, negative where a layer gets 8.
The first convolution of a block and the one on its shortcut read the same tensor, so they have the
same bits.

A layer's weights take ``bits / 8`` of its parameters in bytes and ``bits ** 2`` bit operations a
multiply-accumulate (at the middle of the two, any factor that is the same for all layers says the
same).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term

__all__ = ["BITS", "SHARED", "hawq_example", "hawq_problem"]

Floats = npt.NDArray[np.float64]

#: Bits of each option.
BITS = (4, 8)
#: Layers of the notebook's networks that read the same tensor.
SHARED = {
    "ResNet18": ((4, 6), (9, 11), (14, 16)),
    "ResNet50": ((0, 3), (10, 13), (23, 26), (42, 45)),
}

Budget = Literal["size", "bops", "latency"]
FIELDS = (
    "Hutchinson_trace",
    "delta_weights_4bit_square",
    "delta_weights_8bit_square",
    "parameters",
    "bops",
    "latency_int4",
    "latency_int8",
)


def hawq_problem(
    layers: Mapping[str, Sequence[float]],
    budgets: Sequence[Budget] = ("size", "bops", "latency"),
    *,
    shared: Sequence[tuple[int, int]] = (),
    share: float = 0.5,
) -> ChoiceProblem:
    """Return the problem of one network.

    Parameters
    ----------
    layers
        A column a field, a number a layer, named as in the notebook: ``Hutchinson_trace``,
        ``delta_weights_4bit_square``, ``delta_weights_8bit_square``, ``parameters`` (a number in
        any unit; the limit ``size`` is in bytes of that unit), ``bops`` (multiply-accumulates, any
        unit), ``latency_int4``, ``latency_int8`` (any unit).
    budgets
        Limits to keep.
    shared
        Pairs of layers, in ascending order, that must have the same bits.
    share
        Where the bound lies between all layers at 4 bits, 0, and all at 8, 1.

    Raises
    ------
    InputError
        A column that is missing or has another length; an unknown budget.
    """
    faults = [Fault("no such column", name) for name in FIELDS if name not in layers]
    lengths = {len(layers[name]) for name in FIELDS if name in layers}
    if len(lengths) > 1:
        faults.append(Fault(f"columns of {sorted(lengths)} layers", expected="one length"))
    known = ("size", "bops", "latency")
    faults += [
        Fault(f"no budget is called '{b}'", "budgets", expected=", ".join(known))
        for b in budgets
        if b not in known
    ]
    if faults:
        raise InputError(faults)
    column = {name: np.asarray(layers[name], dtype=np.float64) for name in FIELDS}
    zero = np.zeros_like(column["bops"])
    loss = column["delta_weights_8bit_square"] - column["delta_weights_4bit_square"]
    objective = _pairs(zero, column["Hutchinson_trace"] * loss)
    at: dict[str, Floats] = {
        "size": _pairs(column["parameters"] / 2, column["parameters"]),
        "bops": _pairs(16 * column["bops"], 64 * column["bops"]),
        "latency": _pairs(column["latency_int4"], column["latency_int8"]),
    }
    limits: list[Limit] = []
    for name in budgets:
        low, high = at[name].sum(axis=0).tolist()
        limits.append(Limit(name, (Sum.of(list(at[name])),), low + share * (high - low)))
    same: Floats = np.where(np.eye(2) > 0, 0.0, np.inf)
    total = Sum.of(list(objective))
    total = Sum(0.0, total.terms + tuple(Term(pair, same) for pair in shared))
    return ChoiceProblem((2,) * len(zero), total, tuple(limits))


def hawq_example() -> ChoiceProblem:
    """Return a small problem of the same form: six layers, made-up numbers, all three limits."""
    return hawq_problem(
        {
            "Hutchinson_trace": [0.07, 0.03, 0.02, 0.006, 0.004, 0.001],
            "delta_weights_4bit_square": [6.7, 4.0, 2.7, 9.1, 10.8, 21.8],
            "delta_weights_8bit_square": [0.024, 0.013, 0.008, 0.029, 0.033, 0.068],
            "parameters": [0.04, 0.04, 0.07, 0.14, 0.28, 0.56],
            "bops": [116.0, 116.0, 58.0, 116.0, 58.0, 116.0],
            "latency_int4": [0.21, 0.21, 0.14, 0.19, 0.11, 0.21],
            "latency_int8": [0.36, 0.31, 0.19, 0.39, 0.19, 0.34],
        },
        shared=((2, 4),),
    )


def _pairs(low: Floats, high: Floats) -> Floats:
    """Return tables of shape (layers, 2)."""
    return np.stack((low, high), axis=1)
