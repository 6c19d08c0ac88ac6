"""Builder of graphs, operator by operator, for model families and importers.

Each method derives the loop nest, the accessed elements and the vector operations of one operator
from its shapes, so that callers state a network as in a deep-learning framework:
``y = builder.conv(x, 64, 3)``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from perfmodel.errors import printable
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.nest import LoopNest, conv_nest, gemm_nest
from perfmodel.workload.sliding_window import SlidingWindow, pair
from perfmodel.workload.symbols import Dim, broadcast, constant, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS


class GraphBuilder:
    """Builder that collects operators in order of execution.

    Each method that adds an operator returns its output `Tensor`. Shapes are ``(batch, channels,
    height, width)`` for images and ``(batch, tokens, features)`` for sequences; any extent may be a
    number or a `symbol`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.not_priced: list[str] = []
        self.views: Dim = 0
        self.calls: Dim = 0
        self.kernels = 0
        self._blocks: list[Block] = []
        self.added: list[Operator] = []
        self._open: list[Operator] = []
        self._scope = ""
        self._layers = ""
        self._names: dict[str, int] = {}
        self._weight_names: dict[str, int] = {}
        self._phase = ""
        self._repeats: tuple[Dim, Dim, str] | None = None

    # Names, tensors, blocks.

    def unique(self, name: str) -> str:
        """Return `name`, or ``name_2``, ``name_3`` ... if it is taken."""
        full = printable(f"{self._scope}{name}")
        n = self._names[full] = self._names.get(full, 0) + 1
        return full if n == 1 else f"{full}_{n}"

    def tensor(
        self,
        name: str,
        shape: Sequence[Dim],
        *,
        role: str = "activation",
        tag: str = "",
        format: str = "",
    ) -> Tensor:
        """Declare a tensor under a unique name."""
        extents = tuple([simplify(extent) for extent in shape])
        tensor = Tensor(self.unique(name), extents, role, tag, format)
        self.tensors[tensor.name] = tensor
        return tensor

    def input(self, name: str, shape: Sequence[Dim], *, format: str = "") -> Tensor:
        """Declare a network input."""
        tensor = self.tensor(name, shape, format=format)
        self.inputs.append(tensor.name)
        return tensor

    def weight(self, name: str, shape: Sequence[Dim], *, tag: str = "", format: str = "") -> Tensor:
        """Declare stored parameters; the same name in a later phase returns the same tensor."""
        full = f"{self._layers}{name}"
        n = self._weight_names[full] = self._weight_names.get(full, 0) + 1
        full = full if n == 1 else f"{full}_{n}"
        tensor = Tensor(full, tuple([simplify(d) for d in shape]), "weight", tag, format)
        return self.tensors.setdefault(full, tensor)

    def output(self, *tensors: Tensor) -> None:
        """Mark network outputs."""
        self.outputs.extend(t.name for t in tensors)

    @contextmanager
    def repeat(self, count: Dim, name: str) -> Generator[None, None, None]:
        """Collect the operators of a layer that occurs `count` times in the network.

        Raises
        ------
        ValueError
            The layer is nested in another: blocks have one level of repetition.
        """
        if self._layers:
            raise ValueError(f"layer '{name}' inside layer '{self._layers[:-1]}'")
        self._close()
        phase_times, phase_stored, _ = self._repeats or (1, 1, "")
        outer, self._repeats = self._repeats, (phase_times * count, phase_stored * count, name)
        scopes = (self._scope, self._layers)
        self._scope, self._layers = f"{self._scope}{name}.", f"{self._layers}{name}."
        yield
        self._close(layer=True)
        self._repeats = outer
        self._scope, self._layers = scopes

    @contextmanager
    def phase(
        self, name: str, count: Dim = 1, *, prefix: bool = True
    ) -> Generator[None, None, None]:
        """Collect the operators of a phase (``prefill``, ``decode``) that runs `count` times.

        Weights are stored once, however often the phase runs. Names of its operators are prefixed
        with the phase's name, unless `prefix` is false, as for a single phase.
        """
        self._close()
        self._phase, outer = printable(name), (self._phase, self._repeats, self._scope)
        if prefix:
            self._repeats, self._scope = (count, 1, self._phase), f"{self._phase}/"
        self._weight_names = {}
        yield
        self._close()
        self._phase, self._repeats, self._scope = outer

    def _close(self, *, layer: bool = False) -> None:
        if self._open:
            count, stored, name = self._repeats or (1, 1, "")
            block = Block(
                name, simplify(count), tuple(self._open), self._phase, layer, simplify(stored)
            )
            self._blocks.append(block)
            self._open = []

    def build(self, defaults: Mapping[str, float] | None = None) -> Graph:
        """Return the graph, with `defaults` as numbers for its free dimensions."""
        self._close()
        last = self._blocks[-1].operators[-1].writes if self._blocks else ()
        outputs = self.outputs or list(last[-1:])
        return Graph(
            self.name,
            dict(self.tensors),
            tuple(self._blocks),
            tuple(self.inputs),
            tuple(outputs),
            tuple(self.not_priced),
            defaults=dict(defaults or {}),
            views=simplify(self.views),
            calls=simplify(self.calls),
        )

    # Operators.

    def operator(
        self,
        name: str,
        kind: str,
        reads: Sequence[Tensor | tuple[Tensor, Dim]],
        writes: Sequence[Tensor | tuple[Tensor, Dim]],
        *,
        nests: Sequence[LoopNest] = (),
        vector_ops: Dim = 0,
        pair: tuple[str, str] | None = None,
        masked_macs: Dim = 0,
        scores: Dim = 0,
        inplace: Tensor | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Operator:
        """Add an operator of any kind.

        Parameters
        ----------
        reads, writes
            Tensors, or ``(tensor, elements)`` if not all elements are transferred.
        pair
            Slots of the multiplied operands; by default those of the first two tensors read.
        """
        accesses = [_access(t, "read") for t in reads]
        if pair is None:
            slots = [self.tensors[a.tensor].slot for a in accesses[:2]]
            first, second, *_ = (*slots, "activation", "activation")
            pair = (second, first)
        accesses += [_access(t, "write") for t in writes]
        operator = Operator(
            self.unique(name or "view" if kind == "view" else name),
            kind,
            tuple(accesses),
            tuple(nests),
            simplify(vector_ops),
            pair,
            simplify(masked_macs),
            simplify(scores),
            inplace.name if inplace else "",
            tuple(sorted((attributes or {}).items())),
        )
        self._open.append(operator)
        self.added.append(operator)
        self.kernels += kind != "view"
        return operator

    def linear(
        self,
        x: Tensor,
        features: Dim,
        *,
        name: str = "linear",
        bias: bool | Tensor = True,
        tag: str = "",
        weight: Tensor | None = None,
        kind: str = "gemm",
    ) -> Tensor:
        """Add ``y = x W + b`` over the last axis of `x`; `weight`, `bias`: existing tensors."""
        rows, k = product(*x.shape[:-1]), x.shape[-1]
        w = weight or self.weight(f"{name}.weight", (features, k), tag=tag)
        y = self.tensor(f"{name}.out", (*x.shape[:-1], features))
        nest = gemm_nest(1, rows, features, k, x.name, w.name, y.name, b_batched=False)
        reads: list[Tensor | tuple[Tensor, Dim]] = [x, w]
        if isinstance(bias, Tensor):
            reads.append(bias)
        elif bias:
            reads.append(self.weight(f"{name}.bias", (features,), tag="vector"))
        ops = y.elements if bias else 0
        self.operator(name, kind, reads, [y], nests=[nest], vector_ops=ops, pair=(w.slot, x.slot))
        return y

    def matmul(self, a: Tensor, b: Tensor, *, name: str = "matmul") -> Tensor:
        """Add a batched product ``(..., m, k) x (..., k, n)`` of two activations (or a weight)."""
        *lead, m, k = a.shape
        n = b.shape[-1]
        wide = b.shape[:-2] if len(b.shape) > len(a.shape) else lead
        y = self.tensor(f"{name}.out", (*wide, m, n))
        shared = len(b.shape) == 2 or b.role == "weight"
        batch = product(*wide)
        rows, batch = (product(batch, m), 1) if shared else (m, batch)
        nest = gemm_nest(batch, rows, n, k, a.name, b.name, y.name, b_batched=not shared)
        self.operator(name, "gemm", [a, b], [y], nests=[nest], pair=(b.slot, a.slot))
        return y

    def conv(
        self,
        x: Tensor,
        channels: Dim,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: Dim = 1,
        bias: bool = True,
        transposed: bool = False,
        name: str = "conv",
        output_padding: int | Sequence[int] = 0,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Add a convolution over the trailing axes of ``(batch, channels, ...)``.

        See `SlidingWindow.of` for `padding`. With `groups` equal to the channels it is depthwise.
        `transposed` scatters instead of gathering.
        """
        window, sizes = SlidingWindow.of(x, kernel, stride, padding, dilation), x.shape[2:]
        further = pair(output_padding, len(sizes))
        out = window.scattered(sizes, further) if transposed else window.outputs(sizes)
        attributes = {
            "kernel": window.kernel,
            "stride": window.stride,
            "padding": window.padding,
            "dilation": window.dilation,
            "groups": groups,
            "transposed": transposed,
        }
        return self.convolution(
            x, channels, out, attributes, bias=bias, name=name, weight=weight, reads=[x]
        )

    def convolution(
        self,
        x: Tensor,
        channels: Dim,
        out: Sequence[Dim],
        attributes: Mapping[str, Any],
        *,
        bias: bool,
        name: str,
        reads: Sequence[Tensor | tuple[Tensor, Dim]],
        weight: Tensor | None = None,
        vector_ops: Dim = 0,
    ) -> Tensor:
        """Add a convolution with the given attributes (window, groups) and output extents.

        `reads` are `x` with its number of elements, and further tensors besides the weights.
        """
        kernel, groups = attributes["kernel"], attributes["groups"]
        batch, in_channels, *sizes = x.shape
        c, n = simplify(in_channels / groups), simplify(channels / groups)
        # A transposed convolution multiplies once per input position and tap.
        over, stride, shape = out, attributes["stride"], (channels, c)
        if attributes.get("transposed"):
            over, stride, shape = sizes, (1,) * len(kernel), (in_channels, n)
        w = weight or self.weight(f"{name}.weight", (*shape, *kernel))
        y = self.tensor(f"{name}.out", (batch, channels, *out))
        names, dilation = (x.name, w.name, y.name), attributes["dilation"]
        nest = conv_nest(batch, groups, n, c, over, kernel, stride, dilation, sizes, names)
        inputs = [reads[0], w, *reads[1:]]
        if bias:
            inputs.append(self.weight(f"{name}.bias", (channels,), tag="vector"))
        self.operator(
            name,
            "depthwise" if groups == in_channels and constant(groups) != 1 else "conv",
            inputs,
            [y],
            nests=[nest],
            vector_ops=vector_ops + (y.elements if bias else 0),
            pair=(w.slot, x.slot),
            attributes=attributes,
        )
        return y

    def elementwise(
        self,
        function: str,
        *inputs: Tensor,
        name: str = "",
        ops: float | None = None,
        format: str = "",
        shape: Sequence[Dim] | None = None,
    ) -> Tensor:
        """Add a broadcast function of tensors; `ops` per element if the table has none.

        `shape` is the output's shape, needed if an input is a lookup table.
        """
        shape = broadcast([t.shape for t in inputs]) if shape is None else shape
        name = name or function
        y = self.tensor(f"{name}.out", shape, format=format or _shared_format(inputs))
        cost = VECTOR_OPS[function] if ops is None else ops
        reused = next((t for t in inputs if t.shape == y.shape and t.role == "activation"), None)
        self.operator(
            name,
            "elementwise",
            list(inputs),
            [y],
            vector_ops=cost * y.elements,
            inplace=reused,
            attributes={"function": function},
        )
        return y

    def norm(
        self,
        x: Tensor,
        function: str = "layer_norm",
        *,
        name: str = "norm",
        affine: int = 2,
        features: Dim | None = None,
    ) -> Tensor:
        """Add a normalisation with `affine` weight vectors (scale, shift).

        At inference, ``batch_norm`` is an elementwise scale and shift.
        """
        by_channel = function in {"batch_norm", "group_norm"}
        channels = x.shape[1 if by_channel else -1] if features is None else features
        y = self.tensor(f"{name}.out", x.shape)
        reads: list[Tensor | tuple[Tensor, Dim]] = [x]
        if affine:
            reads.append(self.weight(f"{name}.weight", (affine, channels), tag="vector"))
        kind = "elementwise" if function == "batch_norm" else "norm"
        self.operator(
            name,
            kind,
            reads,
            [y],
            vector_ops=VECTOR_OPS[function] * y.elements,
            inplace=x,
            attributes={"function": function},
        )
        return y

    def _one(
        self,
        x: Tensor,
        kind: str,
        shape: Sequence[Dim],
        name: str,
        ops: float,
        *,
        of: Tensor | None = None,
        format: str = "",
        inplace: Tensor | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Add an operator of one input with `ops` operations per element of its output or `of`."""
        y = self.tensor(f"{name}.out", shape, format=format)
        work = ops * (of or y).elements
        self.operator(name, kind, [x], [y], vector_ops=work, inplace=inplace, attributes=attributes)
        return y

    def softmax(self, x: Tensor, *, name: str = "softmax") -> Tensor:
        """Add a softmax over the last axis."""
        return self._one(x, "softmax", x.shape, name, VECTOR_OPS["softmax"], inplace=x)

    def pool(
        self,
        x: Tensor,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] | str = 0,
        ceil: bool = False,
        name: str = "pool",
    ) -> Tensor:
        """Add a pool over the trailing axes."""
        window = SlidingWindow.of(x, kernel, kernel if stride is None else stride, padding)
        shape = (*x.shape[:2], *window.outputs(x.shape[2:], ceil=ceil))
        attributes = {
            "kernel": window.kernel,
            "stride": window.stride,
            "padding": window.padding,
        }
        return self._one(x, "pool", shape, name, prod(window.kernel), attributes=attributes)

    def global_pool(self, x: Tensor, *, name: str = "global_pool", keep: bool = False) -> Tensor:
        """Average over all spatial axes to ``(batch, channels)``; `keep` retains axes of 1."""
        ones = (1,) * (len(x.shape) - 2) if keep else ()
        return self.reduce(x, (*x.shape[:2], *ones), name=name)

    def reduce(self, x: Tensor, shape: Sequence[Dim], *, name: str = "reduce") -> Tensor:
        """Reduce to a shape, with one operation per element read."""
        return self._one(x, "pool", shape, name, 1, of=x)

    def view(self, x: Tensor, shape: Sequence[Dim], *, name: str = "view") -> Tensor:
        """Reshape without data movement."""
        y = self.tensor(f"{name}.out", shape, format=x.format)
        self.operator(name, "view", [(x, 0)], [(y, 0)], inplace=x)
        return y

    def copy(
        self,
        inputs: Sequence[Tensor],
        shape: Sequence[Dim],
        *,
        name: str = "copy",
        read: Sequence[Dim] | None = None,
        order: Sequence[int] = (),
    ) -> Tensor:
        """Add a concatenation, split, transposition, slice, padding or shift: traffic only.

        `order` maps each axis of a transposition's output to an axis of its input.
        """
        y = self.tensor(f"{name}.out", shape, format=_shared_format(inputs))
        reads = inputs if read is None else list(zip(inputs, read, strict=True))
        attributes = {"order": tuple(order)} if order else {}
        self.operator(name, "copy", reads, [y], attributes=attributes)
        return y

    def resize(
        self, x: Tensor, spatial: Sequence[Dim], *, name: str = "resize", ops: float = 7
    ) -> Tensor:
        """Interpolate to another spatial size (bilinear: 7 operations per output)."""
        return self._one(x, "resize", (*x.shape[:2], *spatial), name, ops)

    def convert(self, x: Tensor, format: str, *, name: str = "") -> Tensor:
        """Quantise or dequantise to a format (``""`` for the precision's activation format)."""
        function = "dequantise" if not format or format.startswith(("fp", "bf")) else "quantise"
        return self._one(
            x,
            "quantise",
            x.shape,
            name or function,
            VECTOR_OPS[function],
            format=format,
            attributes={"function": function},
        )


def _access(item: Tensor | tuple[Tensor, Dim], mode: str) -> Access:
    if isinstance(item, Tensor):
        return Access(item.name, mode, item.elements)
    return Access(item[0].name, mode, simplify(item[1]))


def _shared_format(inputs: Sequence[Tensor]) -> str:
    formats = {t.format for t in inputs if t.role == "activation"}
    return formats.pop() if len(formats) == 1 else ""
