"""A network as layers over feature maps: which window of each input an output position reads.

`network` reads a workload's graph into a `FeatureMapNetwork`, the input of patch plans.

Operators that compute each output element from a window of their input (convolution, depthwise
convolution, pooling) or from the same position (elementwise, concatenation of channels) can run on
a patch; all others need their complete inputs. Elementwise operators that are the only readers of
another operator's output run together with it, as runtimes fuse them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from perfmodel.errors import input_error
from perfmodel.formats import Precision, as_precision
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.symbols import Dim, evaluate
from perfmodel.workload.workload import Workload

#: Kinds of operators that compute each position from the same position of their inputs.
_POINTWISE = frozenset({"elementwise", "quantise"})


@dataclass(frozen=True, slots=True)
class Window:
    """Positions along one axis of the input that one output position reads.

    Attributes
    ----------
    kernel, stride, dilation
        Kernel size, stride and dilation of the taps.
    before
        Padding at the low end; that at the high end follows from the extents.
    every
        Whether any position reads the full axis.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    every: bool = False


_SAME_POSITION = Window()
_WHOLE_AXIS = Window(every=True)


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A tensor with spatial axes.

    Attributes
    ----------
    extents
        Extents of the spatial axes; ones if it has none.
    bits
        Bits of all channels at one position.
    external
        Whether the map is a network input, which is off chip.
    """

    name: str
    extents: tuple[int, ...]
    bits: int
    external: bool = False

    def size_bytes(self, positions: int | None = None) -> int:
        """Return the bytes of `positions`, by default of all positions."""
        count = math.prod(self.extents) if positions is None else positions
        return -(-count * self.bits // 8)


@dataclass(frozen=True, slots=True)
class FeatureMapLayer:
    """An operator with the elementwise operators fused into it.

    Attributes
    ----------
    reads
        Feature maps read, without repetition.
    windows
        One window per axis, for each read.
    writes
        Feature map computed by the layer.
    macs
        Multiply-accumulates per output position, over all channels.
    weight_bytes
        Bytes of its weights.
    over
        Indices in `reads` of maps that are read elementwise: the output may take over the place of
        one of them that has no later reader.
    depthwise
        Whether each channel depends on the same input channel only.
    channels
        Number of output channels.
    members
        Names of its operators.
    """

    name: str
    kind: str
    reads: tuple[int, ...]
    windows: tuple[tuple[Window, ...], ...]
    writes: int
    macs: int
    weight_bytes: int
    over: tuple[int, ...]
    depthwise: bool
    channels: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class FeatureMapNetwork:
    """Layers in execution order over feature maps."""

    name: str
    maps: tuple[FeatureMap, ...]
    layers: tuple[FeatureMapLayer, ...]
    outputs: frozenset[int]

    @cached_property
    def maker(self) -> tuple[int, ...]:
        """Layer that computes each map; -1 for network inputs."""
        maker = [-1] * len(self.maps)
        for i, layer in enumerate(self.layers):
            maker[layer.writes] = i
        return tuple(maker)

    @cached_property
    def last(self) -> tuple[int, ...]:
        """Last layer that reads each map; past the last layer for network outputs."""
        last = list(self.maker)
        for i, layer in enumerate(self.layers):
            for t in layer.reads:
                last[t] = i
        for t in self.outputs:
            last[t] = len(self.layers)
        return tuple(last)

    @cached_property
    def first(self) -> tuple[int, ...]:
        """First layer that reads each map; past the last layer if there is none."""
        first = [len(self.layers)] * len(self.maps)
        for i in range(len(self.layers) - 1, -1, -1):
            for t in self.layers[i].reads:
                first[t] = i
        return tuple(first)

    @cached_property
    def cuts(self) -> tuple[int, ...]:
        """Cuts: layer indices with at most one live map before them, including both ends."""
        end = len(self.layers)
        return tuple(k for k in range(end + 1) if k in (0, end) or len(self.live(k)) == 1)

    def gridded(self, end: int) -> int:
        """Return the map that the patches of a stretch divide: normally its output.

        If the stretch ends in a reduction to one position (global pooling) that is the only reader
        of a map, it is that map: each of its patches is accumulated into the result and dropped.
        """
        layer = self.layers[end - 1]
        t = layer.reads[0] if layer.reads else layer.writes
        only_reader = self.first[t] == self.last[t] == end - 1
        one = math.prod(self.maps[layer.writes].extents) == 1
        global_ = all(window.every for windows in layer.windows for window in windows)
        if layer.kind == "pool" and len(layer.reads) == 1 and only_reader and one and global_:
            return t
        return layer.writes

    def leaves_inside(self, start: int, end: int) -> bool:
        """Return whether a stretch computes a network output before its last layer (no patches)."""
        return any(self.layers[i].writes in self.outputs for i in range(start, end - 1))

    @cached_property
    def _sources(self) -> dict[tuple[int, int], tuple[int, ...]]:
        return {}

    def sources(self, start: int, end: int) -> tuple[int, ...]:
        """Return the maps that layers ``start .. end - 1`` read but do not compute."""
        if (start, end) not in self._sources:
            reads = dict.fromkeys(t for layer in self.layers[start:end] for t in layer.reads)
            entering = tuple(t for t in reads if self.maker[t] < start)
            self._sources[start, end] = entering
        return self._sources[start, end]

    def live(self, k: int) -> tuple[int, ...]:
        """Return the maps that are live between layers ``k - 1`` and ``k``."""
        return tuple(
            t
            for t, (maker, last) in enumerate(zip(self.maker, self.last, strict=True))
            if last >= k and (maker if maker >= 0 else self.first[t]) < k
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates without recomputation."""
        return sum(layer.macs * math.prod(self.maps[layer.writes].extents) for layer in self.layers)


def network(
    workload: Workload | Graph,
    precision: str | Precision = "w8a8",
    values: Mapping[str, float] | None = None,
    *,
    fuse_adds: bool = True,
) -> FeatureMapNetwork:
    """Return the layers of a workload, with repetitions unrolled.

    Parameters
    ----------
    workload
        Workload or graph with every free dimension bound to one number.
    fuse_adds
        Let an elementwise operator with further operands (the addition of a residual block) run
        with the layer before it, in place of another operand that has no later reader.
    values
        Values of the free dimensions of a graph.

    Raises
    ------
    InputError
        Dimensions are arrays or unbound.
    """
    if isinstance(workload, Workload):
        if workload.shape:
            fault = f"'{workload.name}' has arrays as dimensions"
            raise input_error(fault, expected="one number for each: patches are of one size")
        graph, bound = replace(workload.graph(), name=workload.name), dict(workload.parameters)
    else:
        graph, bound = workload, {**workload.defaults, **(values or {})}
    numbers: dict[str, Any] = dict(bound)
    reader = _TilingGraphReader(graph.unroll(numbers), numbers, as_precision(precision), fuse_adds)
    return reader.read()


class _TilingGraphReader:
    """Reader of a graph into layers over feature maps, with elementwise operators fused."""

    def __init__(
        self, graph: Graph, values: dict[str, Any], precision: Precision, fuse_adds: bool
    ) -> None:
        self.graph, self.values, self.precision = graph, values, precision
        self.fuse_adds = fuse_adds
        self.alias = aliases(graph)
        ranks = [
            len(self.graph.tensors[a.tensor].shape) - 2
            for _, op in graph.walk()
            if op.kind in ("conv", "depthwise")
            for a in op.accesses
            if a.mode == "write"
        ]
        self.axes = max([1, *ranks])
        self.maps: list[FeatureMap] = []
        self.index: dict[str, int] = {}
        self.layers: list[FeatureMapLayer] = []
        self.extents: dict[str, tuple[int, ...]] = {}
        self.elements: dict[str, int] = {}

    def read(self) -> FeatureMapNetwork:
        """Return the network read from the graph."""
        operators = [op for _, op in self.graph.walk() if op.kind != "view"]
        counts: dict[str, int] = {}
        for op in operators:
            for name in self._sources(op):
                counts[name] = counts.get(name, 0) + 1
        leaving = {self.alias.get(n, n) for n in self.graph.outputs}
        for name in leaving:
            counts[name] = counts.get(name, 0) + 1
        for op in operators:
            self._add(op, counts)
        outputs = frozenset(self.index[n] for n in leaving if n in self.index)
        return FeatureMapNetwork(self.graph.name, tuple(self.maps), tuple(self.layers), outputs)

    def _sources(self, op: Operator) -> list[str]:
        """Return the activations that an operator reads, without repetition."""
        names = dict.fromkeys(self.alias.get(n, n) for n in op.reads)
        return [n for n in names if self.graph.tensors[n].role in ("activation", "state", "kv")]

    def _add(self, op: Operator, counts: Mapping[str, int]) -> None:
        """Append an operator as a layer, or fuse it into the layer before it."""
        sources = self._sources(op)
        if not op.writes:
            return
        target = self.alias.get(op.writes[0], op.writes[0])
        weights = sum(
            self._bits(a.tensor, a.elements)
            for a in op.accesses
            if a.mode == "read" and self.graph.tensors[a.tensor].role == "weight"
        )
        shape = self._extents(target)
        if self._can_be_fused(op, sources, target, counts):
            self._fuse(op, sources, target, -(-weights // 8))
            return
        for name in sources:
            self._map_index(name, external=True)
        writes = self._map_index(target)
        macs = int(float(evaluate(op.macs, self.values)))
        over = range(len(sources)) if op.kind in _POINTWISE else ()
        self.layers.append(
            FeatureMapLayer(
                name=op.name,
                kind=op.kind,
                reads=tuple(self.index[n] for n in sources),
                windows=tuple(self._windows(op, name, shape) for name in sources),
                writes=writes,
                macs=-(-macs // math.prod(shape)),
                weight_bytes=-(-weights // 8),
                over=tuple(i for i in over if self._replaceable(sources[i], target)),
                depthwise=op.kind == "depthwise",
                channels=max(1, self._channels(target)),
                members=(op.name,),
            )
        )

    def _replaceable(self, source: str, target: str) -> bool:
        """Return whether an elementwise operator's output fits the place of an input."""
        at = self.index.get(source, -1)
        if at < 0 or self.maps[at].external or self._extents(source) != self._extents(target):
            return False
        return self.maps[at].bits >= self._map(target).bits

    def _can_be_fused(
        self, op: Operator, sources: Sequence[str], target: str, counts: Mapping[str, int]
    ) -> bool:
        """Return whether an elementwise operator runs with the layer before it.

        It does if it is the only reader of that layer's output and can take its place.
        """
        if op.kind not in _POINTWISE or not self.layers or not sources:
            return False
        if len(sources) > 1 and not self.fuse_adds:
            return False
        previous = self.maps[self.layers[-1].writes].name
        if previous not in sources or counts[previous] != 1:
            return False
        if not self._replaceable(previous, target):
            return False
        return all(n in self.index for n in sources)

    def _fuse(self, op: Operator, sources: Sequence[str], target: str, weight_bytes: int) -> None:
        """Fuse an elementwise operator into the layer of which it is the only reader."""
        layer = self.layers[-1]
        at, source = layer.writes, self.maps[layer.writes].name
        shape = self._extents(target)
        others = [n for n in sources if n != source and self.index[n] not in layer.reads]
        reads = (*layer.reads, *(self.index[n] for n in others))
        over = [i for i in layer.over if self._replaceable(self.maps[layer.reads[i]].name, target)]
        over += [len(layer.reads) + i for i, n in enumerate(others) if self._replaceable(n, target)]
        del self.index[source]
        self.index[target] = at
        self.maps[at] = self._map(target)
        self.layers[-1] = replace(
            layer,
            reads=reads,
            windows=(*layer.windows, *(self._windows(op, n, shape) for n in others)),
            weight_bytes=layer.weight_bytes + weight_bytes,
            over=tuple(over),
            members=(*layer.members, op.name),
        )

    def _map_index(self, name: str, *, external: bool = False) -> int:
        """Return the index of a tensor's map, which is appended at the first call."""
        if name not in self.index:
            self.index[name] = len(self.maps)
            self.maps.append(self._map(name, external=external))
        return self.index[name]

    def _map(self, name: str, *, external: bool = False) -> FeatureMap:
        """Return a tensor as a map, with its bits per position rounded up."""
        extents = self._extents(name)
        bits = self._bits(name, self._elements(name))
        return FeatureMap(name, extents, -(-bits // math.prod(extents)), external)

    def _extents(self, name: str) -> tuple[int, ...]:
        """Return the spatial extents of a tensor; ones if it has no spatial axes."""
        if name not in self.extents:
            shape = self.graph.tensors[name].shape[2:]
            spatial = len(shape) == self.axes
            self.extents[name] = tuple(map(self._number, shape)) if spatial else (1,) * self.axes
        return self.extents[name]

    def _channels(self, name: str) -> int:
        """Return the elements of a tensor at one position."""
        return self._elements(name) // math.prod(self._extents(name))

    def _elements(self, name: str) -> int:
        if name not in self.elements:
            self.elements[name] = self._number(self.graph.tensors[name].elements)
        return self.elements[name]

    def _number(self, dim: Dim) -> int:
        return round(float(evaluate(dim, self.values)))

    def _bits(self, name: str, elements: Dim) -> int:
        """Return the bits of some elements of a tensor in its format."""
        each = float(self.precision.bits(self.graph.tensors[name].slot))
        return math.ceil(float(evaluate(elements, self.values)) * each - 1e-9)

    def _windows(self, op: Operator, source: str, shape: tuple[int, ...]) -> tuple[Window, ...]:
        extents = self._extents(source)
        every = (_WHOLE_AXIS,) * self.axes
        if len(self.graph.tensors[source].shape) - 2 != self.axes or self._is_reshaped(op, source):
            return every
        if op.kind in ("conv", "depthwise", "pool"):
            return self._sliding_windows(dict(op.attributes), extents, shape) or every
        if op.kind in (*_POINTWISE, "copy", "opaque"):
            pointwise = op.kind in _POINTWISE or self._concatenates_channels(op, shape)
            return tuple(
                _SAME_POSITION if pointwise and have == want else _WHOLE_AXIS
                for have, want in zip(extents, shape, strict=True)
            )
        return every

    def _is_reshaped(self, op: Operator, source: str) -> bool:
        """Return whether an operator reads or writes a tensor in another shape."""
        tensors, alias = self.graph.tensors, self.alias
        return any(
            tensors[n].shape != tensors[alias.get(n, n)].shape
            for n in (*op.reads, *op.writes)
            if alias.get(n, n) == source or n in op.writes
        )

    def _sliding_windows(
        self, attributes: Mapping[str, Any], extents: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[Window, ...] | None:
        """Return the windows of a convolution or pool, or None if they are not stated."""
        if attributes.get("transposed") or not {"kernel", "stride", "padding"} <= attributes.keys():
            return None
        padding = attributes["padding"]
        windows: list[Window] = []
        for i, (have, outputs) in enumerate(zip(extents, shape, strict=True)):
            kernel, stride = int(attributes["kernel"][i]), int(attributes["stride"][i])
            dilation = int(attributes["dilation"][i]) if "dilation" in attributes else 1
            before = padding[i] if isinstance(padding[i], int) else padding[i][0]
            reach = dilation * (kernel - 1) + 1
            total = (outputs - 1) * stride + reach - have
            if before >= total + stride and before > 0:  # more than the output extent allows
                return None
            if total > 0 and not any(isinstance(n, tuple) or n for n in padding):
                before = total // 2  # implicit padding of the operator ("same")
            windows.append(Window(kernel, stride, dilation, int(before)))
        return tuple(windows)

    def _concatenates_channels(self, op: Operator, shape: tuple[int, ...]) -> bool:
        """Return whether a copy concatenates the channels of maps of one size."""
        names = [self.alias.get(n, n) for n in op.reads]
        total = sum(self._channels(n) for n in names)
        target = self.alias.get(op.writes[0], op.writes[0])
        same = all(self._extents(n) == shape for n in names)
        return same and len(names) > 1 and total == self._channels(target)
