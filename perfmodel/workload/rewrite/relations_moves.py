"""Which axes operators make the same that multiply nothing, and nests of any layout."""

from __future__ import annotations

from perfmodel.workload.graph import Operator
from perfmodel.workload.rewrite.axes import POSITION, Structure
from perfmodel.workload.rewrite.layers import factors_of
from perfmodel.workload.rewrite.relations import (
    Relations,
    attributes_of,
    joined_along,
    nest_name,
)


def generic(r: Relations, operator: Operator) -> None:
    """Relate by the nests alone: an axis that one dimension indexes is that dimension."""
    seen: set[str] = set()
    for i, nest in enumerate(operator.nests):
        for operand in nest.operands:
            name = operand.tensor
            if name not in r.graph.tensors:
                continue
            seen.add(name)
            keys = r.keys(name)
            if len(keys) != len(operand.axes):
                r.freeze((name,), f"layout of '{operator.kind}'")
                dims = [(nest_name(operator, i), d) for axis in operand.axes for d, _ in axis]
                r.axes.freeze_axes(dims, f"layout of '{operator.kind}'")
                continue
            for key, axis in zip(keys, operand.axes, strict=True):
                dims = [(nest_name(operator, i), d) for d, _ in axis]
                if len(dims) == 1 and axis[0][1] == 1 and r.size(key) == r.size(dims[0]):
                    r.axes.same_axes(key, dims[0])
                    if r.tensor(name).role == "weight":
                        r.channel(key)
                else:
                    r.axes.freeze_axes([key, *dims])
    for name in r.activations(operator.writes)[:1]:
        for access in operator.reads:
            if access not in seen and r.tensor(access).role == "weight":
                r.trailing(access, name)
    rest = [a.tensor for a in operator.accesses if a.tensor not in seen]
    for name in rest:
        if r.tensor(name).role == "state":
            source, _ = factors_of(operator)
            _by_size(r, name, source)
        elif r.tensor(name).role != "weight":
            r.freeze((name,), f"layout of '{operator.kind}'")


def _by_size(r: Relations, name: str, other: str) -> None:
    """Make the axes the same whose extents are found once in either tensor; freeze the others."""
    mine, others = r.sizes(name), r.sizes(other)
    for i, size in enumerate(mine):
        if size == 1:
            continue
        if mine.count(size) == 1 and others.count(size) == 1:
            r.axes.same_axes((name, i), (other, others.index(size)))
        else:
            r.axes.freeze_axes([(name, i)], "layout of a copy")


def elementwise(r: Relations, operator: Operator) -> None:
    """Relate inputs to the output that they are broadcast to; vectors to its channels."""
    written = r.activations(operator.writes)
    if not written:
        return
    y = written[0]
    for name in written[1:]:
        if r.sizes(name) == r.sizes(y):
            r.same_tensors(name, y)
    function = str(attributes_of(operator).get("function", ""))
    channel_axis = 1 if function in _BY_CHANNEL and len(r.keys(y)) > 1 else -1
    reads = [n for n in dict.fromkeys(operator.reads) if n not in operator.writes]
    sources = r.activations(reads)
    for name in reads:
        vector = r.tensor(name).role == "weight" and r.tensor(name).tag == "vector"
        if vector and (operator.kind == "norm" or function in _BY_CHANNEL) and r.keys(name):
            *others, last = r.keys(name)
            target = r.keys(y)[channel_axis]
            if r.size(last) == r.size(target):
                r.axes.same_axes(last, target)
            else:
                others.append(last)
            r.axes.freeze_axes(others, "scales of a vector")
        elif len(sources) == 1 and name in sources and _gated(r, name, y):
            continue
        else:
            r.trailing(name, y)


def _gated(r: Relations, x: str, y: str) -> bool:
    """Relate an input whose last axis is several of the output's: gate and value side by side."""
    a, b = r.sizes(x), r.sizes(y)
    if not a or len(a) != len(b) or a[:-1] != b[:-1] or not b[-1]:
        return False
    times = a[-1] / b[-1]
    if times not in (2, 3, 4):
        return False
    last = len(a) - 1
    for i in range(last):
        r.axes.same_axes((x, i), (y, i))
    r.axes.same(r.axes.structures[x, last], r.axes.structures[y, last] * int(times))
    return True


#: Normalisations whose vectors hold one number per channel of axis 1.
_BY_CHANNEL = frozenset(
    {"batch_norm", "group_norm", "GroupNormalization", "InstanceNormalization", "GroupNorm"}
)


def pool(r: Relations, operator: Operator) -> None:
    """Relate a window or a reduction: every axis that keeps its extent."""
    sources, written = r.activations(operator.reads), r.activations(operator.writes)
    if len(sources) != 1 or not written:
        r.give_up(operator, "layout of a selection")
        return
    x = sources[0]
    for y in written:
        a, b = r.sizes(x), r.sizes(y)
        if len(a) == len(b):
            for i in r.alike(x, y):
                r.axes.freeze_axes([(y, i), (x, i)] if b[i] != 1 else [(y, i)])
        elif len(b) == 2 and len(a) > 3 and a[:2] == b:
            r.axes.same_axes((x, 0), (y, 0))
            r.axes.same_axes((x, 1), (y, 1))
        else:
            _by_size(r, y, x)


def resize(r: Relations, operator: Operator) -> None:
    """Relate a change of resolution: every axis that keeps its extent."""
    written = r.activations(operator.writes)
    sources = r.activations(operator.reads)
    if not written or not sources:
        return
    y, (x, *others) = written[0], sources
    for i in r.alike(x, y):
        r.axes.freeze_axes([(x, i), (y, i)])
    r.freeze(others, POSITION)


def gather(r: Relations, operator: Operator) -> None:
    """Relate rows of tables, or parts of an activation, to what is looked up."""
    written = r.activations(operator.writes)
    if not written:
        return
    y = written[0]
    out = r.sizes(y)
    for name in dict.fromkeys(operator.reads):
        tensor, sizes = r.tensor(name), r.sizes(name)
        table = tensor.role == "weight" and tensor.tag != "vector"
        if sizes == out:
            r.same_tensors(name, y)
            continue
        last = len(sizes) - 1
        whole = table or (tensor.role == "activation" and not tensor.format and len(sizes) > 1)
        if not whole and tensor.role == "activation":
            r.alike(name, y)
            continue
        if not sizes:
            continue
        for back, key in enumerate(reversed(r.keys(name))):
            mine = len(out) - 1 - back
            if back <= last and mine >= 0 and r.size(key) == out[mine] and (back == 0 or not table):
                r.axes.same_axes(key, (y, mine))
                if table and back == 0:
                    r.widths(operator, (y, mine), key)
            else:
                r.axes.freeze_axes([key], "rows of a table" if table else "a part of an axis")


def copy(r: Relations, operator: Operator) -> None:
    """Relate a concatenation, a split, a transpose, or a part."""
    written, sources = list(operator.writes), list(operator.reads)
    if not written or not sources:
        r.freeze(written, "layout of a copy")
        return
    y = written[0]
    if len(written) > 1 and len(sources) > 1:
        r.freeze([*written, *sources], "layout of a copy")
    elif len(written) > 1:
        r.split(sources[0], written)
    elif len(sources) == 1:
        _copy_one(r, operator, sources[0], y)
    elif joined_along(r.sizes(y), list(map(r.sizes, sources))) is not None:
        r.split(y, sources)
    else:
        for name in sources:
            _by_size(r, name, y)


def _copy_one(r: Relations, operator: Operator, x: str, y: str) -> None:
    a, b = r.sizes(x), r.sizes(y)
    op = str(attributes_of(operator).get("op", ""))
    if op in {"DepthToSpace", "SpaceToDepth"} and len(a) == 4:
        r.axes.same_axes((x, 0), (y, 0))
        fine, coarse = (x, y) if op == "SpaceToDepth" else (y, x)
        # The channels of the coarse image are those of the fine one times a block of pixels.
        block = r.size((coarse, 1)) / r.size((fine, 1))
        factor: Structure = ((r.axes.new(block, block),),)
        r.axes.freeze(factor, "pixels of a block")
        pixels = r.axes.times(factor, r.axes.structures[fine, 1])
        r.axes.same(r.axes.structures[coarse, 1], pixels)
        for name in (x, y):
            r.axes.freeze_axes([(name, 2), (name, 3)])
        return
    order = attributes_of(operator).get("order", ())
    if len(order) == len(a) == len(b) and [a[i] for i in order] == b:
        for i, source in enumerate(order):
            r.axes.same_axes((x, source), (y, i))
    elif a == b:
        r.same_tensors(x, y)
    elif sorted(a) == sorted(b):
        # Equal extents keep their order; where one of them is a width, nothing tells them apart.
        for size in dict.fromkeys(a):
            mine = [i for i, s in enumerate(a) if s == size]
            for i, j in zip(mine, [i for i, s in enumerate(b) if s == size], strict=True):
                if len(mine) == 1:
                    r.axes.same_axes((x, i), (y, j))
                else:
                    r.axes.freeze_axes([(x, i), (y, j)], "an ambiguous transpose")
    elif len(a) == len(b):
        r.split(x, [y])
    else:
        _by_size(r, y, x)
        lost = [i for i, size in enumerate(a) if b.count(size) != 1 or a.count(size) != 1]
        r.axes.freeze_axes([(x, i) for i in lost if a[i] != 1])


def scan(r: Relations, operator: Operator) -> None:
    """Relate a selective scan: channels of input, output, state, A and D."""
    x, y = operator.reads[0], r.activations(operator.writes)[0]
    r.same_tensors(x, y)
    last = len(r.keys(x)) - 1
    channels = r.size((x, last))
    for name in dict.fromkeys(a.tensor for a in operator.accesses):
        if name in (x, y):
            continue
        tensor, sizes = r.tensor(name), r.sizes(name)
        if tensor.role == "activation" and sizes == r.sizes(x):
            r.same_tensors(name, x)
        elif tensor.role in {"weight", "state"}:
            at = {"weight": 0, "state": 1}[tensor.role]
            if len(sizes) > at and sizes[at] == channels:
                r.axes.same_axes((name, at), (x, last))
                r.axes.freeze_axes([k for k in r.keys(name) if k[1] != at], "state of a scan")
            else:
                r.freeze((name,), "state of a scan")
        else:
            r.freeze((name,), "projections of a scan")
