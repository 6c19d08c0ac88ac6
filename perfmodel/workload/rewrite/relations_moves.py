"""Axis relations of operators without products, and of loop nests in an arbitrary layout.

Each function relates the axes of the tensors that an operator of one kind reads with those that it
writes: elementwise functions and norms (equal axes, with broadcasting), pools and changes of
resolution (equal channels), lookups in tables (the width of a row), copies and views (reshapes,
concatenations, transpositions), and selective scans (channels). Axes that a function cannot relate
are frozen with the reason, so that their extents cannot change.
"""

from __future__ import annotations

import math

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axis_unification import POSITION, Structure
from perfmodel.workload.rewrite.compressible_layers import factors_of
from perfmodel.workload.rewrite.relations import (
    Relations,
    joined_along,
    nest_name,
    relation_of,
)


def relate_by_nests(relations: Relations, operator: Operator) -> None:
    """Relate axes by the nests only: an axis indexed by one dimension is that dimension."""
    axes = relations.axes
    seen: set[str] = set()
    for index, nest in enumerate(operator.nests):
        for operand in nest.operands:
            name = operand.tensor
            if name not in relations.graph.tensors:
                continue
            seen.add(name)
            keys = relations.keys(name)
            if len(keys) != len(operand.axes):
                relations.freeze((name,), f"layout of '{operator.kind}'")
                dims = [
                    (nest_name(operator, index), dim) for axis in operand.axes for dim, _ in axis
                ]
                axes.freeze_axes(dims, f"layout of '{operator.kind}'")
                continue
            for key, axis in zip(keys, operand.axes, strict=True):
                dims = [(nest_name(operator, index), dim) for dim, _ in axis]
                if (
                    len(dims) == 1
                    and axis[0][1] == 1
                    and relations.size(key) == relations.size(dims[0])
                ):
                    axes.unify_axes(key, dims[0])
                    if relations.tensor(name).role == "weight":
                        relations.mark_channel(key)
                else:
                    axes.freeze_axes([key, *dims])
    for name in relations.activations(operator.writes)[:1]:
        for vector in operator.reads:
            if vector not in seen and relations.tensor(vector).role == "weight":
                relations.unify_broadcast(vector, name)
    others = [a.tensor for a in operator.accesses if a.tensor not in seen]
    for name in others:
        if relations.tensor(name).role == "state":
            source, _ = factors_of(operator)
            _unify_by_extent(relations, name, source)
        elif relations.tensor(name).role != "weight":
            relations.freeze((name,), f"layout of '{operator.kind}'")


def _unify_by_extent(relations: Relations, name: str, other: str) -> None:
    """Identify axes whose extent occurs once in each tensor; freeze the others."""
    sizes, other_sizes = relations.sizes(name), relations.sizes(other)
    for i, size in enumerate(sizes):
        if size == 1:
            continue
        if sizes.count(size) == 1 and other_sizes.count(size) == 1:
            relations.axes.unify_axes((name, i), (other, other_sizes.index(size)))
        else:
            relations.axes.freeze_axes([(name, i)], "layout of a copy")


def elementwise(relations: Relations, operator: Operator) -> None:
    """Relate inputs to the output to which they broadcast, and vectors to its channels."""
    written = relations.activations(operator.writes)
    if not written:
        return
    output = written[0]
    for name in written[1:]:
        if relations.sizes(name) == relations.sizes(output):
            relations.unify_tensors(name, output)
    by_channel = relation_of(operator) == "by_channel"
    channel_axis = 1 if by_channel and len(relations.keys(output)) > 1 else -1
    reads = [n for n in dict.fromkeys(operator.reads) if n not in operator.writes]
    sources = relations.activations(reads)
    for name in reads:
        vector = relations.tensor(name).role == "weight" and relations.tensor(name).tag == "vector"
        if vector and (operator.kind == "norm" or by_channel) and relations.keys(name):
            *others, last = relations.keys(name)
            target = relations.keys(output)[channel_axis]
            if relations.size(last) == relations.size(target):
                relations.axes.unify_axes(last, target)
            else:
                others.append(last)
            relations.axes.freeze_axes(others, "scales of a vector")
        elif len(sources) == 1 and name in sources and _relate_gated(relations, name, output):
            continue
        else:
            relations.unify_broadcast(name, output)


def _relate_gated(relations: Relations, source: str, output: str) -> bool:
    """Relate an input whose last axis is 2 to 4 times the output's: gate and value in one."""
    axes = relations.axes
    source_sizes, output_sizes = relations.sizes(source), relations.sizes(output)
    if (
        not source_sizes
        or len(source_sizes) != len(output_sizes)
        or source_sizes[:-1] != output_sizes[:-1]
        or not output_sizes[-1]
    ):
        return False
    times = source_sizes[-1] / output_sizes[-1]
    if times not in (2, 3, 4):
        return False
    last = len(source_sizes) - 1
    for i in range(last):
        axes.unify_axes((source, i), (output, i))
    axes.unify(
        axes.structures[source, last],
        axes.structures[output, last] * int(times),
    )
    return True


def pool(relations: Relations, operator: Operator) -> None:
    """Relate a window or a reduction: every axis whose extent is preserved."""
    sources, written = relations.activations(operator.reads), relations.activations(operator.writes)
    if len(sources) != 1 or not written:
        relations.freeze_operator(operator, "layout of a selection")
        return
    source = sources[0]
    for output in written:
        source_sizes, output_sizes = relations.sizes(source), relations.sizes(output)
        if len(source_sizes) == len(output_sizes):
            for i in relations.unify_equal_extents(source, output):
                relations.axes.freeze_axes(
                    [(output, i), (source, i)] if output_sizes[i] != 1 else [(output, i)]
                )
        elif len(output_sizes) == 2 and len(source_sizes) > 3 and source_sizes[:2] == output_sizes:
            relations.axes.unify_axes((source, 0), (output, 0))
            relations.axes.unify_axes((source, 1), (output, 1))
        else:
            _unify_by_extent(relations, output, source)


def resize(relations: Relations, operator: Operator) -> None:
    """Relate a change of resolution: every axis whose extent is preserved."""
    written = relations.activations(operator.writes)
    sources = relations.activations(operator.reads)
    if not written or not sources:
        return
    output, (source, *others) = written[0], sources
    for i in relations.unify_equal_extents(source, output):
        relations.axes.freeze_axes([(source, i), (output, i)])
    relations.freeze(others, POSITION)


def gather(relations: Relations, operator: Operator) -> None:
    """Relate rows of tables, or parts of an activation, to the result of the lookup."""
    written = relations.activations(operator.writes)
    if not written:
        return
    output = written[0]
    output_sizes = relations.sizes(output)
    for name in dict.fromkeys(operator.reads):
        tensor, sizes = relations.tensor(name), relations.sizes(name)
        table = tensor.role == "weight" and tensor.tag != "vector"
        if sizes == output_sizes:
            relations.unify_tensors(name, output)
            continue
        last = len(sizes) - 1
        full_rows = table or (tensor.role == "activation" and not tensor.format and len(sizes) > 1)
        if not full_rows and tensor.role == "activation":
            relations.unify_equal_extents(name, output)
            continue
        if not sizes:
            continue
        for back, key in enumerate(reversed(relations.keys(name))):
            position = len(output_sizes) - 1 - back
            if (
                back <= last
                and position >= 0
                and relations.size(key) == output_sizes[position]
                and (back == 0 or not table)
            ):
                relations.axes.unify_axes(key, (output, position))
                if table and back == 0:
                    relations.mark_widths(operator, (output, position), key)
            else:
                relations.axes.freeze_axes(
                    [key], "rows of a table" if table else "a part of an axis"
                )


def view(relations: Relations, operator: Operator) -> None:
    """Relate a view to its source: a reshape, or one of several parts of the source.

    All partial views of a source are related to it at once, since only together do they cover it.
    """
    if not operator.reads or not operator.writes:
        relations.freeze(operator.reads, "an operator without a price")
        return
    source = operator.reads[0]
    for name in operator.writes:
        if math.prod(relations.sizes(source)) == math.prod(relations.sizes(name)):
            relations.axes.reshape(relations.keys(source), relations.keys(name))
        elif source not in relations.divided:
            relations.divided.add(source)
            relations.split(source, relations.partial_views[source])


def copy(relations: Relations, operator: Operator) -> None:
    """Relate a concatenation, split, transposition or slice."""
    written, sources = list(operator.writes), list(operator.reads)
    if not written or not sources:
        relations.freeze(written, "layout of a copy")
        return
    output = written[0]
    if len(written) > 1 and len(sources) > 1:
        relations.freeze([*written, *sources], "layout of a copy")
    elif len(written) > 1:
        relations.split(sources[0], written)
    elif len(sources) == 1:
        _copy_of_one_tensor(relations, operator, sources[0], output)
    elif joined_along(relations.sizes(output), list(map(relations.sizes, sources))) is not None:
        relations.split(output, sources)
    else:
        for name in sources:
            _unify_by_extent(relations, name, output)


def _copy_of_one_tensor(relations: Relations, operator: Operator, source: str, output: str) -> None:
    """Relate a copy of one tensor: an image in blocks, a transposition or a slice."""
    axes = relations.axes
    source_sizes, output_sizes = relations.sizes(source), relations.sizes(output)
    relation = relation_of(operator)
    if relation in {"to_space", "to_depth"} and len(source_sizes) == 4:
        axes.unify_axes((source, 0), (output, 0))
        fine, coarse = (source, output) if relation == "to_depth" else (output, source)
        # The channels of the coarse image are those of the fine one times the pixels of a block.
        block = relations.size((coarse, 1)) / relations.size((fine, 1))
        factor: Structure = ((axes.new(block, block),),)
        axes.freeze(factor, "pixels of a block")
        pixels = axes.multiplied(factor, axes.structures[fine, 1])
        axes.unify(axes.structures[coarse, 1], pixels)
        for name in (source, output):
            axes.freeze_axes([(name, 2), (name, 3)])
        return
    order = operator.attribute("order", ())
    if (
        len(order) == len(source_sizes) == len(output_sizes)
        and [source_sizes[i] for i in order] == output_sizes
    ):
        for i, origin in enumerate(order):
            axes.unify_axes((source, origin), (output, i))
    elif source_sizes == output_sizes:
        relations.unify_tensors(source, output)
    elif sorted(source_sizes) == sorted(output_sizes):
        # Equal extents keep their order; if one of them is a width, they are ambiguous.
        for size in dict.fromkeys(source_sizes):
            positions = [i for i, s in enumerate(source_sizes) if s == size]
            targets = [i for i, s in enumerate(output_sizes) if s == size]
            for i, j in zip(positions, targets, strict=True):
                if len(positions) == 1:
                    axes.unify_axes((source, i), (output, j))
                else:
                    axes.freeze_axes([(source, i), (output, j)], "an ambiguous transpose")
    elif len(source_sizes) == len(output_sizes):
        relations.split(source, [output])
    else:
        _unify_by_extent(relations, output, source)
        lost = [
            i
            for i, size in enumerate(source_sizes)
            if output_sizes.count(size) != 1 or source_sizes.count(size) != 1
        ]
        axes.freeze_axes([(source, i) for i in lost if source_sizes[i] != 1])


def scan(relations: Relations, operator: Operator) -> None:
    """Relate a selective scan: channels of input, output, state, A and D."""
    source, output = operator.reads[0], relations.activations(operator.writes)[0]
    relations.unify_tensors(source, output)
    last = len(relations.keys(source)) - 1
    channels = relations.size((source, last))
    for name in dict.fromkeys(a.tensor for a in operator.accesses):
        if name in (source, output):
            continue
        tensor, sizes = relations.tensor(name), relations.sizes(name)
        if tensor.role == "activation" and sizes == relations.sizes(source):
            relations.unify_tensors(name, source)
        elif tensor.role in {"weight", "state"}:
            at = {"weight": 0, "state": 1}[tensor.role]
            if len(sizes) > at and sizes[at] == channels:
                relations.axes.unify_axes((name, at), (source, last))
                relations.axes.freeze_axes(
                    [k for k in relations.keys(name) if k[1] != at], "state of a scan"
                )
            else:
                relations.freeze((name,), "state of a scan")
        else:
            relations.freeze((name,), "projections of a scan")
