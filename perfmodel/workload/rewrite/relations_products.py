"""Axis relations of convolutions, matrix products and mixtures of experts.

Each function relates the axes of an operator's tensors (source, weights or other factor, and
output) with each other and with the dimensions of its loop nest. Below, a letter stands for the
extent of the nest's dimension of that name, and tensors are written with the extents of their axes.

===========================  ====================  ========================  ====================
Operator                     Source                Weights or second factor  Output
===========================  ====================  ========================  ====================
convolution                  ``(b, g c, pixels)``  ``(g n, c, taps)``        ``(b, g n, pixels)``
transposed convolution       ``(b, g c, pixels)``  ``(g c, n, taps)``        ``(b, g n, pixels)``
product with weights         ``(b m, k)``          ``(k, n)`` or ``(n, k)``  ``(b m, n)``
product of two activations   ``(b, m, k)``         ``(b, k, n)``             ``(b, m, n)``
experts                      ``(rows, k)``         ``(experts, k, n)``       ``(b m, n)``
===========================  ====================  ========================  ====================

In a convolution ``b`` is the batch, ``g`` the groups, and ``c`` and ``n`` are the input and output
channels of one group. In a product ``b`` is the batch, ``m`` are the rows, ``n`` the columns, and
``k`` is contracted. Weights of convolutions are laid out as in ONNX. Axes of a layout that is not
covered are frozen with the reason, so that their extents cannot change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axis_unification import Key
from perfmodel.workload.rewrite.compressible_layers import factors_of
from perfmodel.workload.rewrite.relations import Relations, nest_name, relation_of
from perfmodel.workload.rewrite.relations_moves import relate_by_nests


def convolution(relations: Relations, operator: Operator) -> None:
    """Relate a convolution: its input has ``g c`` channels, and its output ``g n``.

    Batch, pixels and taps are frozen, and so are the groups; of a depthwise convolution, in which
    ``g`` are the channels, ``n`` is frozen instead.
    """
    source, weights = factors_of(operator)
    output = operator.nests[0].output.tensor
    tensors = relations.graph.tensors
    if (
        any(
            name not in tensors or len(tensors[name].shape) < 3
            for name in (source, weights, output)
        )
        or operator.attribute("groups") is None
    ):
        relate_by_nests(relations, operator)
        return
    axes = relations.axes
    loops = nest_name(operator, 0)
    is_transposed = bool(operator.attribute("transposed"))
    axes.unify(axes.structures[source, 1], axes.product([(loops, "g"), (loops, "c")]))
    axes.unify(axes.structures[output, 1], axes.product([(loops, "g"), (loops, "n")]))
    if operator.kind == "depthwise":
        axes.freeze_axes([(loops, "n")], "depthwise multiplier")
    else:
        axes.freeze_axes([(loops, "g")], "groups of a convolution")
    # Weights are (g n, c, ...), those of a transposed convolution (g c, n, ...).
    first, second = ((source, 1), (loops, "n")) if is_transposed else ((output, 1), (loops, "c"))
    axes.unify_axes((weights, 0), first)
    axes.unify_axes((weights, 1), second)
    axes.unify_axes((loops, "b"), (source, 0), (output, 0))
    axes.freeze_axes([(loops, "b")])
    windowed = source if is_transposed else output
    pixel_dims = [dim for dim, _ in operator.nests[0].dims if dim.startswith("o")]
    for i, dim in enumerate(pixel_dims):
        axes.unify_axes((loops, dim), (windowed, 2 + i))
    for name in (source, weights, output):
        axes.freeze_axes(relations.keys(name)[2:])
    relations.unify_vectors(operator, output, 1)
    for name in relations.activations(operator.reads):
        if name != source and relations.sizes(name) == relations.sizes(output):
            relations.unify_tensors(name, output)
        elif name not in (source, weights):
            relations.freeze((name,), "layout of a convolution")
    relations.mark_widths(operator, (output, 1), (source, 1), (weights, 0), (weights, 1))


class _ProductAxes(NamedTuple):
    """Tensors of a matrix product, and which of their axes are its columns and contracted.

    An axis of the factor is ``None`` if the factor is a vector that lacks it.
    """

    source: str
    source_contracted: int
    factor: str
    factor_contracted: int | None
    factor_column: int | None
    output: str
    output_column: int


def matrices(relations: Relations, operator: Operator) -> None:
    """Relate a product ``(..., m, k) x (..., k, n)`` of an activation with weights or another.

    With weights, the columns ``n`` and the contracted ``k`` are widths that may change. Between two
    activations ``k``, such as the size of a head in attention, is frozen.
    """
    nest = operator.nests[0] if operator.nests else None
    if nest is None or [d for d, _ in nest.dims] != ["b", "m", "n", "k"] or len(operator.nests) > 1:
        relate_by_nests(relations, operator)
        return
    has_weights = relations.tensor(factors_of(operator)[1]).role == "weight"
    product = _product_axes(relations, operator, has_weights=has_weights)
    if product is None:
        relations.freeze_operator(operator, "layout of a product")
        return
    axes, loops = relations.axes, nest_name(operator, 0)
    source = (product.source, product.source_contracted)
    output = (product.output, product.output_column)
    axes.unify_axes((loops, "k"), source)
    axes.unify_axes((loops, "n"), output)
    if product.factor_column is not None:
        axes.unify_axes((loops, "n"), (product.factor, product.factor_column))
    if product.factor_contracted is not None:
        axes.unify_axes((loops, "k"), (product.factor, product.factor_contracted))
    if has_weights:
        _relate_rows(relations, operator, product)
        factor_axes = (product.factor_column, product.factor_contracted)
        read = [(product.factor, axis) for axis in factor_axes if axis is not None]
        relations.mark_widths(operator, output, source, *read)
    else:
        axes.freeze_axes([(loops, "k")], "contracted between two activations")
        _relate_batch(relations, operator, product)
    relations.unify_vectors(operator, product.output, product.output_column)


def _product_axes(
    relations: Relations, operator: Operator, *, has_weights: bool
) -> _ProductAxes | None:
    """Return the axes of a product by their extents; ``None`` if the layout is not covered.

    A factor that is a vector has one of the two axes. Stored weights may be transposed, as
    ``(n, k)``.
    """
    source, factor = factors_of(operator)
    output = operator.nests[0].output.tensor
    loops = nest_name(operator, 0)
    columns, contracted = relations.size((loops, "n")), relations.size((loops, "k"))
    source_contracted = _axis_of_extent(relations, source, contracted)
    output_column = _axis_of_extent(relations, output, columns)
    if source_contracted is None or output_column is None:
        return None

    def with_factor(row: int | None, column: int | None) -> _ProductAxes:
        return _ProductAxes(source, source_contracted, factor, row, column, output, output_column)

    sizes = relations.sizes(factor)
    if len(sizes) == 1:
        if sizes[0] == columns and columns != 1:
            return with_factor(None, 0)
        return with_factor(0, None) if sizes[0] in (columns, contracted) else None
    last = len(sizes) - 1
    orders = [(last - 1, last), (last, last - 1)]
    if has_weights and relation_of(operator) != "untransposed":
        orders.reverse()
    for row, column in orders if sizes else ():
        if sizes[row] == contracted and sizes[column] == columns:
            return with_factor(row, column)
    return None


def _axis_of_extent(relations: Relations, name: str, size: float) -> int | None:
    """Return which of the last two axes of a product's operand has an extent."""
    sizes = relations.sizes(name)
    return next((axis for axis in reversed(range(len(sizes))[-2:]) if sizes[axis] == size), None)


def _relate_rows(relations: Relations, operator: Operator, product: _ProductAxes) -> None:
    """Relate the rows of a product with weights, which are all other axes: ``b m = rows``."""
    axes, loops = relations.axes, nest_name(operator, 0)
    source_rows = _without(relations.keys(product.source), product.source_contracted)
    output_rows = _without(relations.keys(product.output), product.output_column)
    if list(map(relations.size, source_rows)) == list(map(relations.size, output_rows)):
        for source_row, output_row in zip(source_rows, output_rows, strict=True):
            axes.unify_axes(source_row, output_row)
    else:
        axes.unify(axes.product(source_rows), axes.product(output_rows), "rows of a product")
    rows = axes.product([(loops, "b"), (loops, "m")])
    axes.unify(rows, axes.product(output_rows), "rows of a product")


def _relate_batch(relations: Relations, operator: Operator, product: _ProductAxes) -> None:
    """Relate the rows ``m`` and the batch ``b`` of a product of two activations.

    If the last row axis of the output is not ``m``, only the product ``b m`` is related.
    """
    axes, loops = relations.axes, nest_name(operator, 0)
    rows = _without(relations.keys(product.output), product.output_column)
    batch: list[Key] = []
    if rows and relations.size(rows[-1]) == relations.size((loops, "m")):
        axes.unify_axes(rows[-1], (loops, "m"))
        batch = rows[:-1]
        axes.unify(axes.product([(loops, "b")]), axes.product(batch), "batch of a product")
    else:
        axes.unify(
            axes.product([(loops, "b"), (loops, "m")]), axes.product(rows), "rows of a product"
        )
    source_rows = _without(relations.keys(product.source), product.source_contracted)
    relations.unify_batches(source_rows, rows)
    factor_batch = _without(
        relations.keys(product.factor), product.factor_contracted, product.factor_column
    )
    relations.unify_batches(factor_batch, batch)
    relations.heads += batch[1:]


def _without(keys: Sequence[Key], *axes: int | None) -> list[Key]:
    """Return the axes of a tensor except for some."""
    return [(name, axis) for name, axis in keys if axis not in axes]


def experts(relations: Relations, operator: Operator) -> None:
    """Relate the grouped product of a mixture of experts: ``(rows, k)`` to ``(rows, n)``.

    The number of experts is frozen. An output with one row per expert and token has ``b m`` rows.
    """
    source, weights = factors_of(operator)
    output = operator.nests[0].output.tensor
    if len(operator.nests) > 1 or len(relations.keys(weights)) != 3:
        relations.freeze_operator(operator, "layout of experts")
        return
    axes, loops = relations.axes, nest_name(operator, 0)
    source_width, output_width = len(relations.keys(source)) - 1, len(relations.keys(output)) - 1
    axes.unify_axes((loops, "k"), (source, source_width), (weights, 1))
    axes.unify_axes((loops, "n"), (weights, 2), (output, output_width))
    axes.freeze_axes([(weights, 0)], "experts")
    axes.unify(
        axes.product([(loops, "b"), (loops, "m")]), axes.product(relations.keys(output)[:-1])
    )
    axes.freeze_axes([(loops, "m"), (loops, "b")])
    if relations.size((source, 0)) == relations.size((output, 0)):
        axes.unify_axes((source, 0), (output, 0))
    relations.mark_widths(
        operator, (output, output_width), (source, source_width), (weights, 1), (weights, 2)
    )
