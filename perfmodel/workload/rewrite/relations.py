"""Which axes an operator makes the same, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.rewrite.axes import Axes, Key
from perfmodel.workload.rewrite.layers import factors_of
from perfmodel.workload.symbols import Dim, Poly, evaluate
from perfmodel.workload.unroll import carried

#: Extents that count positions (images, rows, tokens): no channels, and never reported.
POSITION = "position"

_PRIMES = (13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


class Relations:
    """The axes of a graph's tensors and nests, and everything that its operators say of them.

    Attributes
    ----------
    axes
        What is known.
    channels
        Axes whose extent is a width of stored weights, in order, with the operator that makes them
        (empty for one that only reads them).
    heads
        Axes that batch a product of two activations.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.axes = Axes()
        self.channels: dict[Key, str] = {}
        self.heads: list[Key] = []
        self._probe = probe(graph)
        self._views = _parts_of(graph)
        self._done: set[str] = set()
        for tensor in graph.tensors.values():
            for axis, dim in enumerate(tensor.shape):
                self.declare((tensor.name, axis), dim)
        for _, operator in graph.walk():
            for i, nest in enumerate(operator.nests):
                for dim, size in nest.dims:
                    self.declare((nest_name(operator, i), dim), size)
        for name in graph.inputs:
            self.freeze((name,), "network input")
        for _, operator in graph.walk():
            _HANDLERS.get(operator.kind, _unknown)(self, operator)
        for block in graph.blocks:
            if block.operators and block.operators[-1].writes and block.count != 1:
                enters, leaves = carried(graph, block)
                if enters:
                    self.same_tensors(enters, leaves)
        for name in graph.outputs:
            self.freeze((name,), "network output")
        if graph.not_priced:
            self._unpriced()

    # what handlers use

    def declare(self, key: Key, dim: Dim) -> None:
        """Declare an axis of a tensor or a dimension of a nest."""
        size = float(evaluate(dim, self._probe))
        default = float(evaluate(dim, self.graph.defaults))
        self.axes.axis(key, size, default, dim)

    def keys(self, name: str) -> list[Key]:
        """Return the axes of a tensor."""
        return [(name, axis) for axis in range(len(self.graph.tensors[name].shape))]

    def size(self, key: Key) -> float:
        """Return the extent of an axis in the probe."""
        return self.axes.size(self.axes.structures[key])

    def sizes(self, name: str) -> list[float]:
        """Return the extents of a tensor in the probe."""
        return [self.size(key) for key in self.keys(name)]

    def freeze(self, names: Sequence[str], reason: str) -> None:
        """Freeze every axis of some tensors."""
        for name in names:
            if name in self.graph.tensors:
                self.axes.freeze_axes(self.keys(name), reason)

    def freeze_nests(self, operator: Operator, reason: str) -> None:
        """Freeze every dimension of an operator's nests."""
        for i, nest in enumerate(operator.nests):
            self.axes.freeze_axes([(nest_name(operator, i), d) for d, _ in nest.dims], reason)

    def same_tensors(self, left: str, right: str) -> None:
        """Make the axes of two tensors of one shape the same."""
        if self.sizes(left) == self.sizes(right):
            for a, b in zip(self.keys(left), self.keys(right), strict=True):
                self.axes.same_axes(a, b)
        else:
            self.freeze((left, right), "shapes differ")

    def channel(self, key: Key, operator: str = "") -> None:
        """Mark an axis as a width of stored weights, and who makes it."""
        if operator or key not in self.channels:
            self.channels[key] = operator or self.channels.get(key, "")

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by name."""
        return self.graph.tensors[name]

    def activations(self, names: Sequence[str]) -> list[str]:
        """Return those of some tensors that are activations."""
        return [n for n in names if self.graph.tensors[n].role == "activation"]

    def trailing(self, read: str, written: str) -> None:
        """Make the axes of an input those of the output that it is broadcast to."""
        a, b = self.keys(read), self.keys(written)
        for left, right in zip(a[::-1], b[::-1], strict=False):
            if self.size(left) == self.size(right):
                self.axes.same_axes(left, right)
            elif self.size(left) != 1:
                self.axes.freeze_axes([left], "spread over another shape")
        for left in a[: max(len(a) - len(b), 0)]:
            self.axes.freeze_axes([left], "spread over another shape")

    def vectors(self, operator: Operator, written: str, axis: int) -> None:
        """Make the last axis of biases and scales an axis of the output."""
        factors = {o.tensor for nest in operator.nests for o in nest.operands}
        target = self.keys(written)[axis]
        for name in operator.reads:
            if self.tensor(name).role != "weight" or name in factors:
                continue
            *others, last = self.keys(name) or [(name, 0)]
            if self.tensor(name).shape and self.size(last) == self.size(target):
                self.axes.same_axes(last, target)
                self.axes.freeze_axes(others, "scales of a vector")
            elif self.tensor(name).shape:
                self.trailing(name, written)

    def _unpriced(self) -> None:
        """Freeze what reaches operators that nothing is known of."""
        made = {n for _, op in self.graph.walk() for n in op.writes}
        read = {n for _, op in self.graph.walk() for n in op.reads}
        loose = (made - read) | (read - made)
        names = [n for n in loose if self.graph.tensors[n].role == "activation"]
        self.freeze(sorted(set(names) - {*self.graph.inputs}), "an operator without a price")

    # views, known whole

    def view(self, operator: Operator) -> None:
        """Relate a view and its source, once all views of a part are known."""
        if not operator.reads or not operator.writes:
            self.freeze(operator.reads, "an operator without a price")
            return
        source = operator.reads[0]
        for name in operator.writes:
            whole, part = self.sizes(source), self.sizes(name)
            if _total(whole) == _total(part):
                self.axes.reshape(self.keys(source), self.keys(name))
            elif source not in self._done:
                self._done.add(source)
                self.split(source, self._views[source])

    def split(self, source: str, parts: Sequence[str]) -> None:
        """Relate a tensor and its parts along one axis; freeze them where they are not all."""
        whole = self.sizes(source)
        each = [self.sizes(name) for name in parts]
        for axis, extent in enumerate(whole):
            if (
                all(len(p) == len(whole) for p in each)
                and sum(p[axis] for p in each) == extent
                and all(p[:axis] + p[axis + 1 :] == whole[:axis] + whole[axis + 1 :] for p in each)
            ):
                for name in parts:
                    for i, key in enumerate(self.keys(name)):
                        if i != axis:
                            self.axes.same_axes((source, i), key)
                joined = tuple(s for n in parts for s in self.axes.structures[n, axis])
                self.axes.same(self.axes.structures[source, axis], joined)
                return
        for name, sizes in zip(parts, each, strict=True):
            for i, key in enumerate(self.keys(name)):
                if len(sizes) == len(whole) and sizes[i] == whole[i]:
                    self.axes.same_axes((source, i), key)
                else:
                    self.axes.freeze_axes([key], "a part of an axis")
                    if len(sizes) == len(whole):
                        self.axes.freeze_axes([(source, i)], "a part of an axis")
            if len(sizes) != len(whole):
                self.freeze((source,), "a part of an axis")


def nest_name(operator: Operator, index: int) -> str:
    """Return the name under which the dimensions of an operator's nest are kept."""
    return f"{operator.name}#{index}"


def probe(graph: Graph) -> dict[str, float]:
    """Return numbers for the free dimensions that no two extents share by chance.

    Where a free dimension is an extent by itself (batch, tokens, pixels) it is multiplied by a
    prime; what scales extents (a width multiplier) keeps its default.
    """
    bare: dict[str, None] = {}
    for tensor in graph.tensors.values():
        for dim in tensor.shape:
            if isinstance(dim, Poly) and len(dim.terms) == 1:
                ((monomial, factor),) = dim.terms.items()
                if factor == 1 and len(monomial) == 1 and not monomial[0][0].args:
                    bare.setdefault(monomial[0][0].name)
    values = dict(graph.defaults)
    for i, name in enumerate(bare):
        values[name] = values.get(name, 1) * _PRIMES[i % len(_PRIMES)]
    return values


def _parts_of(graph: Graph) -> dict[str, list[str]]:
    """Return source -> its views that are a part of it."""
    found: dict[str, list[str]] = {}
    for _, operator in graph.walk():
        if operator.kind == "view" and operator.reads:
            source = operator.reads[0]
            for name in operator.writes:
                if graph.tensors[name].elements != graph.tensors[source].elements:
                    found.setdefault(source, []).append(name)
    return found


def _total(sizes: Sequence[float]) -> float:
    total = 1.0
    for size in sizes:
        total *= size
    return total


def attributes_of(operator: Operator) -> dict[str, Any]:
    """Return what an operator says of itself."""
    return dict(operator.attributes)


# operators


def _unknown(r: Relations, operator: Operator) -> None:
    """Freeze everything that an operator touches."""
    names = [a.tensor for a in operator.accesses]
    r.freeze(names, f"unknown operator '{operator.kind}'")
    r.freeze_nests(operator, f"unknown operator '{operator.kind}'")


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
                for axis in operand.axes:
                    r.axes.freeze_axes(
                        [(nest_name(operator, i), d) for d, _ in axis], f"layout of "
                        f"'{operator.kind}'"
                    )  # fmt: skip
                continue
            for key, axis in zip(keys, operand.axes, strict=True):
                dims: list[Key] = [(nest_name(operator, i), d) for d, _ in axis]
                if len(dims) == 1 and axis[0][1] == 1 and r.size(key) == r.size(dims[0]):
                    r.axes.same_axes(key, dims[0])
                    if r.tensor(name).role == "weight":
                        r.channel(key)
                else:
                    r.axes.freeze_axes([key, *dims], POSITION)
    written = r.activations(operator.writes)
    for name in written[:1]:
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


def _elementwise(r: Relations, operator: Operator) -> None:
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


#: Normalisations whose vectors hold one number a channel of axis 1.
_BY_CHANNEL = frozenset(
    {"batch_norm", "group_norm", "GroupNormalization", "InstanceNormalization", "GroupNorm"}
)


def _pool(r: Relations, operator: Operator) -> None:
    sources, written = r.activations(operator.reads), r.activations(operator.writes)
    if len(sources) != 1 or not written:
        r.freeze([a.tensor for a in operator.accesses], "layout of a selection")
        return
    x = sources[0]
    for y in written:
        a, b = r.sizes(x), r.sizes(y)
        if len(a) == len(b):
            for i, (left, right) in enumerate(zip(a, b, strict=True)):
                if left == right:
                    r.axes.same_axes((x, i), (y, i))
                else:
                    r.axes.freeze_axes([(y, i)], POSITION)
                    if right != 1:
                        r.axes.freeze_axes([(x, i)], POSITION)
        elif len(b) == 2 and len(a) > 3 and a[:2] == b:
            r.axes.same_axes((x, 0), (y, 0))
            r.axes.same_axes((x, 1), (y, 1))
        else:
            _by_size(r, y, x)


def _resize(r: Relations, operator: Operator) -> None:
    written = r.activations(operator.writes)
    sources = r.activations(operator.reads)
    if not written or not sources:
        return
    y, (x, *others) = written[0], sources
    a, b = r.sizes(x), r.sizes(y)
    for i, (left, right) in enumerate(zip(a, b, strict=False)):
        if left == right:
            r.axes.same_axes((x, i), (y, i))
        else:
            r.axes.freeze_axes([(x, i), (y, i)], POSITION)
    r.freeze(others, POSITION)


def _gather(r: Relations, operator: Operator) -> None:
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
            for i, (left, right) in enumerate(zip(sizes, out, strict=False)):
                if left == right:
                    r.axes.same_axes((name, i), (y, i))
            continue
        if not sizes:
            continue
        for back, key in enumerate(reversed(r.keys(name))):
            mine = len(out) - 1 - back
            if back <= last and mine >= 0 and r.size(key) == out[mine] and (back == 0 or not table):
                r.axes.same_axes(key, (y, mine))
                if table and back == 0:
                    r.channel(key)
                    r.channel((y, mine), operator.name)
            else:
                r.axes.freeze_axes([key], "rows of a table" if table else "a part of an axis")


def _copy(r: Relations, operator: Operator) -> None:
    written, sources = list(operator.writes), list(operator.reads)
    if not written or not sources:
        r.freeze(written, "layout of a copy")
        return
    if len(written) > 1:
        if len(sources) == 1:
            r.split(sources[0], written)
        else:
            r.freeze([*written, *sources], "layout of a copy")
        return
    y = written[0]
    out = r.sizes(y)
    each = [r.sizes(name) for name in sources]
    if len(sources) == 1:
        _copy_one(r, operator, sources[0], y)
        return
    for axis, extent in enumerate(out):
        if (
            all(len(p) == len(out) for p in each)
            and sum(p[axis] for p in each) == extent
            and all(p[:axis] + p[axis + 1 :] == out[:axis] + out[axis + 1 :] for p in each)
        ):
            r.split(y, sources)
            return
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
        factor = r.axes.new(block, block)
        r.axes.freeze(((factor,),), "pixels of a block")
        r.axes.same(
            r.axes.structures[coarse, 1],
            r.axes.times(((factor,),), r.axes.structures[fine, 1]),
        )
        for name in (x, y):
            r.axes.freeze_axes([(name, 2), (name, 3)], POSITION)
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
            theirs = [i for i, s in enumerate(b) if s == size]
            for i, j in zip(mine, theirs, strict=True):
                if len(mine) == 1:
                    r.axes.same_axes((x, i), (y, j))
                else:
                    r.axes.freeze_axes([(x, i), (y, j)], "an ambiguous transpose")
    elif len(a) == len(b):
        r.split(x, [y])
    else:
        _by_size(r, y, x)
        lost = [i for i, size in enumerate(a) if b.count(size) != 1 or a.count(size) != 1]
        r.axes.freeze_axes([(x, i) for i in lost if a[i] != 1], POSITION)


def _scan(r: Relations, operator: Operator) -> None:
    """Relate a selective scan: channels of input, output, state, A and D."""
    written = r.activations(operator.writes)
    x, y = operator.reads[0], written[0]
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


def _view(r: Relations, operator: Operator) -> None:
    r.view(operator)


def _handlers() -> Mapping[str, Callable[[Relations, Operator], None]]:
    from perfmodel.workload.rewrite import relations_products as products

    return {
        "elementwise": _elementwise, "norm": _elementwise, "softmax": _elementwise,
        "quantise": _elementwise, "pool": _pool, "resize": _resize, "gather": _gather,
        "copy": _copy, "view": _view, "scan": _scan, "conv": products.convolution,
        "depthwise": products.convolution, "gemm": products.matrices, "moe": products.experts,
        "attention": products.attention, "recurrent": products.recurrent,
    }  # fmt: skip


_HANDLERS: dict[str, Callable[[Relations, Operator], None]] = {}


def relations(graph: Graph) -> Relations:
    """Return what a graph's operators say of its axes."""
    if not _HANDLERS:
        _HANDLERS.update(_handlers())
    return Relations(graph)


def output_operand(nest: LoopNest) -> str:
    """Return the tensor that a nest writes."""
    return next(o.tensor for o in nest.operands if o.role == "output")
