"""Family ``elementwise``: functions that stream over a matrix, with softmax and normalisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.kernels.products import one_run
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import symbol

#: Functions of two tensors; the others have one.
_BINARY: Final = frozenset({"add", "sub", "mul", "div"})


class ElementwiseStructure(FrozenModel):
    """Which function; each writes one matrix.

    Attributes
    ----------
    function
        ``scale`` multiplies by a number. ``softmax``, ``layer_norm`` and ``rms_norm`` go along the
        width.
    """

    function: Literal[
        "add", "sub", "mul", "div", "scale", "pow", "exp", "sqrt", "relu", "tanh", "sigmoid",
        "silu", "gelu", "softmax", "layer_norm", "rms_norm",
    ]  # fmt: skip


def _extents(structure: ElementwiseStructure) -> Mapping[str, float]:
    del structure
    return {"rows": 4096, "width": 4096}


def _build(structure: ElementwiseStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    function = structure.function
    g = SequenceBuilder(function)
    inputs = [
        g.input(f"x{i}", (symbol("rows"), symbol("width")))
        for i in range(2 if function in _BINARY else 1)
    ]
    g.output(_result(g, function, inputs))
    return g.build(_extents(structure))


def _result(g: SequenceBuilder, function: str, inputs: list[Tensor]) -> Tensor:
    if function == "softmax":
        return g.softmax(inputs[0])
    if function.endswith("_norm"):
        return g.norm(inputs[0], function, affine=2 if function == "layer_norm" else 1)
    return g.elementwise(function, *inputs, ops=1.0 if function == "scale" else None)


FAMILY_ELEMENTWISE: Final = Family("elementwise", ElementwiseStructure, _extents, _build, one_run)
