"""Operators that a template of a network states in full: ``op: operator``.

Most layers of a template call an operator of the library, whose work follows from its shapes. For
a kernel that the library does not describe, the template states the work itself::

    - name: product
      op: operator
      kind: gemm                        # class of operator, which selects the cost model
      inputs: [x, w]                    # tensors that it reads
      shape: [rows, 8]                  # shape of its result, and/or
      writes: [y]                       # declared tensors that it writes
      elements: "[rows * 4]"            # elements accessed in inputs, then outputs; default: all
      vector_ops: 8 * rows              # operations besides the loop nests
      pair: [attn_q, activation]        # slots whose formats are those of the two factors
      inplace: x                        # input whose memory the result takes over
      function: scale                   # function of an elementwise operator
      attributes: "[['cell', 'lmu']]"   # further attributes of the operator
      nests:
        - loops: {m: rows, n: 8, k: width}
          operands: [[x, mk], [w, kn, weight], [y, mn]]

An operand has a tensor, an axis of it per letter of a loop, and optionally its role; by default the
last operand is the output and the others are inputs. ``t+r`` is one axis that two loops index by
their sum (a window). `layer_operators` calls `explicit_operator` with the fields evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from re import findall
from typing import Any, Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_declarations import Fields, LayerBuilder
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim

#: Layers that state their shape, which is checked on reading.
WITH_STATED_SHAPE: Final = frozenset({"input", "tensor", "operator"})


def explicit_operator(
    builder: LayerBuilder, name: str, inputs: Sequence[Tensor], fields: Fields
) -> Tensor:
    """Add an operator with stated accesses and nests; return the first tensor that it writes.

    Raises
    ------
    ValueError
        The operator writes nothing.
    """
    writes: Sequence[Tensor] = fields["writes"]
    if fields["shape"] is not None:
        writes = (builder.tensor(f"{name}.out", fields["shape"]), *writes)
    if not writes:
        raise ValueError(f"operator '{name}' has neither 'shape' nor tensors under 'writes'")
    tensors = (*inputs, *writes)
    accessed = zip_longest(tensors, fields["elements"][: len(tensors)])
    accesses = [tensor if count is None else (tensor, count) for tensor, count in accessed]
    builder.operator(
        name,
        fields["kind"],
        accesses[: len(inputs)],
        accesses[len(inputs) :],
        nests=[_loop_nest(loops, operands) for loops, operands in fields["nests"]],
        vector_ops=fields["vector_ops"],
        pair=fields["pair"],
        inplace=fields["inplace"],
        attributes=dict(fields["attributes"])
        | ({"function": fields["function"]} if fields["function"] else {}),
    )
    return writes[0]


def _loop_nest(
    loops: tuple[tuple[str, Dim], ...], stated_operands: Sequence[tuple[Any, ...]]
) -> LoopNest:
    """Return a loop nest with operands ``(tensor, axes)`` or ``(tensor, axes, role)``.

    The axes ``b t+r k`` (spaces are optional) have one entry for each axis of the tensor: a loop,
    or a sum of loops. A sum may run beyond the tensor and is clipped to its extent.
    """
    operands: list[Operand] = []
    for i, (tensor, stated_axes, *role) in enumerate(stated_operands):
        axes = [tuple(axis.split("+")) for axis in findall(r"\w(?:\+\w)*", stated_axes)]
        limits = (
            size if len(axis) > 1 else None for axis, size in zip(axes, tensor.shape, strict=False)
        )
        operands.append(
            Operand(
                tensor.name,
                role[0] if role else "input" if i < len(stated_operands) - 1 else "output",
                tuple(tuple((loop, 1) for loop in axis) for axis in axes),
                tuple(limits) if any(len(axis) > 1 for axis in axes) else (),
            )
        )
    return LoopNest(loops, tuple(operands))
