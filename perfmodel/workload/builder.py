"""Build a graph operator by operator; model families and importers both use it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from perfmodel.errors import printable
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.nest import LoopNest, conv_nest, gemm_nest
from perfmodel.workload.symbols import Dim, constant, floor_div, product, simplify

#: Arithmetic operations per element, from the functions' formulas; a transcendental counts 4.
VECTOR_OPS: Mapping[str, float] = {
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 2,
    "prelu": 2,
    "clip": 2,
    "abs": 1,
    "neg": 1,
    "erf": 8,
    "add": 1,
    "sub": 1,
    "mul": 1,
    "div": 4,
    "sqrt": 4,
    "pow": 8,
    "exp": 4,
    "log": 4,
    "tanh": 8,
    "sigmoid": 6,
    "hard_sigmoid": 3,
    "hard_swish": 4,
    "silu": 7,
    "gelu": 12,
    "gelu_tanh": 12,
    "elu": 6,
    "selu": 7,
    "softplus": 9,
    "mish": 14,
    "square": 1,
    "relu2": 2,
    "swiglu": 8,
    "geglu": 13,
    "silu_gate": 8,
    "gelu_gate": 13,
    "gelu_tanh_gate": 13,
    "relu_gate": 2,
    "sigmoid_gate": 7,
    "compare": 1,
    "logical": 1,
    "where": 1,
    "cast": 1,
    "shift": 0,
    "rope": 6,
    "batch_norm": 2,
    "layer_norm": 8,
    "rms_norm": 5,
    "group_norm": 8,
    "softmax": 7,
    "quantise": 3,
    "dequantise": 2,
}


def conv_size(size: Dim, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> Dim:
    """Return a convolution's or pool's output extent for one axis."""
    # The 1 that is added stands inside the floor, so that a free extent stays one monomial.
    reach = size + (padding[0] + padding[1] - dilation * (kernel - 1) - 1 + stride)
    return simplify(floor_div(simplify(reach), stride))


def pair(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return one number per axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


class GraphBuilder:
    """Collects operators in execution order.

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
        self._open: list[Operator] = []
        self._scope = ""
        self._layers = ""
        self._names: dict[str, int] = {}
        self._weight_names: dict[str, int] = {}
        self._phase = ""
        self._repeats: tuple[Dim, Dim, str] | None = None

    # names, tensors, blocks

    def unique(self, name: str) -> str:
        """Return `name`, or ``name_2``, ``name_3`` ... where it is taken."""
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
        shape = tuple(simplify(d) for d in shape)
        made = Tensor(self.unique(name), shape, role, tag, format)
        self.tensors[made.name] = made
        return made

    def input(self, name: str, shape: Sequence[Dim], *, format: str = "") -> Tensor:
        """Declare a network input."""
        made = self.tensor(name, shape, format=format)
        self.inputs.append(made.name)
        return made

    def weight(self, name: str, shape: Sequence[Dim], *, tag: str = "", format: str = "") -> Tensor:
        """Declare stored parameters; a later phase finds those of an earlier one by name."""
        full = f"{self._layers}{name}"
        n = self._weight_names[full] = self._weight_names.get(full, 0) + 1
        full = full if n == 1 else f"{full}_{n}"
        made = Tensor(full, tuple(simplify(d) for d in shape), "weight", tag, format)
        return self.tensors.setdefault(full, made)

    def output(self, *tensors: Tensor) -> None:
        """Mark network outputs."""
        self.outputs.extend(t.name for t in tensors)

    @contextmanager
    def repeat(self, count: Dim, name: str) -> Generator[None, None, None]:
        """Collect the operators of one layer that the network holds `count` times.

        Raises
        ------
        ValueError
            Inside another layer: blocks have one level of repetition.
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

        Weights are stored once however often the phase runs. Names of its operators begin with its
        own, but for a phase by itself (no `prefix`).
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
        """Return the graph; `defaults` are numbers for its free dimensions."""
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

    # operators

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
        """Add any operator.

        Parameters
        ----------
        reads, writes
            Tensors, or ``(tensor, elements)`` where not all elements move.
        pair
            Slots of the multiplied operands; by default those of the first two tensors read.
        """
        accesses = [Access(*_moved(t, "read")) for t in reads]
        accesses += [Access(*_moved(t, "write")) for t in writes]
        if pair is None:
            slots = [self.tensors[a.tensor].slot for a in accesses if a.mode == "read"]
            slots += ["activation"] * 2
            pair = (slots[1], slots[0])
        made = Operator(
            self.unique(name) if kind != "view" else self.unique(name or "view"),
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
        self._open.append(made)
        self.kernels += kind != "view"
        return made

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

        `padding` is one number per axis, ``(begin..., end...)`` pairs, or ``"same"``. `groups`
        equal to the channels makes it depthwise. `transposed` scatters instead of gathers.
        """
        batch, in_channels, *spatial = x.shape
        axes = len(spatial)
        k, s, d = pair(kernel, axes), pair(stride, axes), pair(dilation, axes)
        pads = _pads(padding, k, d, axes)
        if transposed:
            extra = pair(output_padding, axes)
            out = [
                simplify((n - 1) * s[i] + d[i] * (k[i] - 1) + 1 + extra[i] - sum(pads[i]))
                for i, n in enumerate(spatial)
            ]
        elif padding == "same":
            out = [simplify(floor_div(n + (s[i] - 1), s[i])) for i, n in enumerate(spatial)]
        else:
            out = [conv_size(n, k[i], s[i], pads[i], d[i]) for i, n in enumerate(spatial)]
        c, n = simplify(in_channels / groups), simplify(channels / groups)
        w = weight or self.weight(
            f"{name}.weight", (in_channels, n, *k) if transposed else (channels, c, *k)
        )
        y = self.tensor(f"{name}.out", (batch, channels, *out))
        names = (x.name, w.name, y.name)
        # A transposed convolution multiplies once an input position and tap.
        over, limits = (spatial, spatial) if transposed else (out, spatial)
        nest = conv_nest(
            batch, groups, n, c, over, k, (1,) * axes if transposed else s, d, limits, names
        )
        reads: list[Tensor | tuple[Tensor, Dim]] = [x, w]
        if bias:
            reads.append(self.weight(f"{name}.bias", (channels,), tag="vector"))
        depthwise = groups == in_channels and constant(groups) != 1
        self.operator(
            name,
            "depthwise" if depthwise else "conv",
            reads,
            [y],
            nests=[nest],
            vector_ops=y.elements if bias else 0,
            pair=(w.slot, x.slot),
            attributes={
                "kernel": k,
                "stride": s,
                "padding": pads,
                "dilation": d,
                "groups": groups,
                "transposed": transposed,
            },
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
        """Add a function of tensors, broadcast; `ops` an element where the table has none.

        `shape` is that of the result where an input is a table that is looked up in.
        """
        shape = broadcast([t.shape for t in inputs]) if shape is None else shape
        name = name or function
        y = self.tensor(f"{name}.out", shape, format=format or _shared_format(inputs))
        cost = VECTOR_OPS[function] if ops is None else ops
        whole = next((t for t in inputs if t.shape == y.shape and t.role == "activation"), None)
        self.operator(
            name,
            "elementwise",
            list(inputs),
            [y],
            vector_ops=cost * y.elements,
            inplace=whole,
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
        """Add a normalisation with `affine` vectors of weights (scale, shift).

        A ``batch_norm`` is an elementwise scale and shift at inference.
        """
        channels = (
            features
            if features is not None
            else (x.shape[1] if function in {"batch_norm", "group_norm"} else x.shape[-1])
        )
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

    def softmax(self, x: Tensor, *, name: str = "softmax") -> Tensor:
        """Add a softmax over the last axis."""
        y = self.tensor(f"{name}.out", x.shape)
        ops = VECTOR_OPS["softmax"] * y.elements
        self.operator(name, "softmax", [x], [y], vector_ops=ops, inplace=x)
        return y

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
        """Add a pooling window over the trailing axes."""
        batch, channels, *spatial = x.shape
        axes = len(spatial)
        k = pair(kernel, axes)
        s = pair(kernel if stride is None else stride, axes)
        pads = _pads(padding, k, (1,) * axes, axes)
        if padding == "same":
            out = [simplify(floor_div(n + (s[i] - 1), s[i])) for i, n in enumerate(spatial)]
        else:
            round_up = [s[i] - 1 if ceil else 0 for i in range(axes)]
            out = [
                conv_size(n + round_up[i], k[i], s[i], pads[i], 1) for i, n in enumerate(spatial)
            ]
        y = self.tensor(f"{name}.out", (batch, channels, *out))
        self.operator(
            name,
            "pool",
            [x],
            [y],
            vector_ops=product(*k) * y.elements,
            attributes={"kernel": k, "stride": s, "padding": _pads(padding, k, (1,) * axes, axes)},
        )
        return y

    def global_pool(self, x: Tensor, *, name: str = "global_pool", keep: bool = False) -> Tensor:
        """Average over all spatial axes: ``(batch, channels)``, or with ones kept."""
        shape = (*x.shape[:2], *((1,) * (len(x.shape) - 2))) if keep else x.shape[:2]
        y = self.tensor(f"{name}.out", shape)
        self.operator(name, "pool", [x], [y], vector_ops=x.elements)
        return y

    def reduce(self, x: Tensor, shape: Sequence[Dim], *, name: str = "reduce") -> Tensor:
        """Reduce to a shape, one operation an element read."""
        y = self.tensor(f"{name}.out", shape)
        self.operator(name, "pool", [x], [y], vector_ops=x.elements)
        return y

    def view(self, x: Tensor, shape: Sequence[Dim], *, name: str = "view") -> Tensor:
        """Reshape without moving anything."""
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
        """Add a concat, split, transpose, slice, pad or shift: traffic and no arithmetic.

        `order` says which axis of the input each axis of a transpose is.
        """
        y = self.tensor(f"{name}.out", shape, format=_shared_format(inputs))
        sizes = read if read is not None else [t.elements for t in inputs]
        said = {"order": tuple(order)} if order else {}
        self.operator(name, "copy", list(zip(inputs, sizes, strict=True)), [y], attributes=said)
        return y

    def resize(
        self, x: Tensor, spatial: Sequence[Dim], *, name: str = "resize", ops: float = 7
    ) -> Tensor:
        """Interpolate to another spatial size (bilinear: 7 operations an output)."""
        y = self.tensor(f"{name}.out", (*x.shape[:2], *spatial))
        self.operator(name, "resize", [x], [y], vector_ops=ops * y.elements)
        return y

    def convert(self, x: Tensor, format: str, *, name: str = "") -> Tensor:
        """Quantise or dequantise to a format (``""`` for the precision's activation format)."""
        function = "dequantise" if not format or format.startswith(("fp", "bf")) else "quantise"
        y = self.tensor(f"{name or function}.out", x.shape, format=format)
        ops = VECTOR_OPS[function] * y.elements
        self.operator(
            name or function,
            "quantise",
            [x],
            [y],
            vector_ops=ops,
            attributes={"function": function},
        )
        return y


def _moved(item: Tensor | tuple[Tensor, Dim], mode: str) -> tuple[str, str, Dim]:
    if isinstance(item, Tensor):
        return item.name, mode, item.elements
    return item[0].name, mode, simplify(item[1])


def _shared_format(inputs: Sequence[Tensor]) -> str:
    formats = {t.format for t in inputs if t.role == "activation"}
    return formats.pop() if len(formats) == 1 else ""


def _pads(
    padding: int | Sequence[int] | str, kernel: Sequence[int], dilation: Sequence[int], axes: int
) -> tuple[tuple[int, int], ...]:
    if isinstance(padding, str):
        total = [max(d * (k - 1), 0) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, int):
        return ((padding, padding),) * axes
    numbers = tuple(padding)
    if len(numbers) == axes:
        return tuple((p, p) for p in numbers)
    return tuple((numbers[i], numbers[i + axes]) for i in range(axes))


def broadcast(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """Return the NumPy broadcast of shapes with free dimensions.

    Raises
    ------
    ValueError
        Two fixed extents differ and neither is 1.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for i, size in enumerate(reversed(shape)):
            here = result[-1 - i]
            if here == 1:
                result[-1 - i] = size
            elif size not in (1, here) and None not in (constant(size), constant(here)):
                raise ValueError(f"shapes do not broadcast: {here} and {size}")
    return tuple(result)
