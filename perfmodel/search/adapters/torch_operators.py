"""What torch dispatches, as operators of a graph."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any, cast

from perfmodel.catalog import need
from perfmodel.workload.builder import VECTOR_OPS, GraphBuilder
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    NORMS,
    POOLS,
    REDUCTIONS,
    called,
    plain,
)
from perfmodel.workload.importers.torch_export.operators import MADE, VIEWS

#: Elementwise functions of ATen -> their names here: by their own, but for these.
_FUNCTIONS: Mapping[str, str] = {plain(function): function for function in VECTOR_OPS} | {
    "hardtanh": "relu6",
    "clamp": "clip",
    "rsqrt": "sqrt",
    "tocopy": "cast",
    "maskedfill": "where",
}

#: Other names of the same elements: `torch_export` knows when a reshape is one.
_VIEWED = frozenset({*VIEWS, "reshape", "_reshape_alias"})

#: Functions that move data, beside those of the registry.
_COPIED = frozenset({"contiguous", "index", "index_select", "embedding"})


class Recorder:
    """Builds a graph while a module runs.

    Parameters
    ----------
    torch
        The library.
    module
        What runs; its parameters are weights, its submodules name the operators.
    """

    def __init__(self, torch: Any, module: Any) -> None:
        self.torch, self.module = torch, module
        self.builder = GraphBuilder(type(module).__name__)
        self.scope: list[str] = []
        self._tensors: dict[int, Tensor] = {}
        #: Keeps what is known alive: a freed tensor's id may be given to another.
        self._alive: list[Any] = []
        self._weights: dict[int, str] = {}
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            self._weights[id(value)] = name

    @contextmanager
    def running(self) -> Generator[None]:
        """Record what is dispatched inside."""
        mode_base: Any = need("torch.utils._python_dispatch").TorchDispatchMode
        recorder = self

        class Mode(mode_base):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                del types
                result = func(*args, **(kwargs or {}))
                recorder.record(func, args, kwargs or {}, result)
                return result

        hooks: list[Any] = []
        for name, each in self.module.named_modules():
            hooks.append(each.register_forward_pre_hook(self._enter(name)))
            hooks.append(each.register_forward_hook(self._leave))
        try:
            with Mode():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(*given: Any) -> None:
            del given
            self.scope.append(name)

        return enter

    def _leave(self, *given: Any) -> None:
        del given
        self.scope.pop()

    def built(self, outputs: Any) -> Graph:
        """Return the graph; its outputs are the tensors among `outputs` that were computed."""
        found = [
            self._tensors[id(o)] for o in _leaves(self.torch, outputs) if id(o) in self._tensors
        ]
        self.builder.output(*found)
        return self.builder.build()

    # one call

    def record(self, func: Any, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        """Add the operator that a call stands for."""
        name = str(func.overloadpacket.__name__)
        outputs = _leaves(self.torch, result)
        if not outputs:
            return
        base = (self.scope[-1] if self.scope else "") or name
        inputs = [t for t in _leaves(self.torch, (args, kwargs)) if id(t) not in self._weights]
        made = self._made(name, base, args, outputs, inputs)
        for tensor, known in zip(outputs, made, strict=False):
            self._know(tensor, known)

    def _made(
        self, name: str, base: str, args: Any, outputs: list[Any], inputs: list[Any]
    ) -> list[Tensor]:
        g, first = self.builder, outputs[0]
        if name == "convolution":
            return [self._conv(base, args)]
        if name in ("addmm", "mm"):
            x, w = args[-2:] if name == "mm" else args[1:3]
            bias = args[0] if name == "addmm" else None
            return [self._product(base, x, w, bias, first)]
        if name in ("bmm", "baddbmm"):
            return [g.matmul(*(self._of(t) for t in args[-2:]), name=base)]
        if name.startswith("_scaled_dot_product"):
            return [self._attention(base, args)]
        norm = called(name, NORMS)
        if norm is not None:
            x = self._of(args[0])
            affine = sum(1 for t in args[1:5] if t is not None and id(t) in self._weights)
            affine = min(affine, 2)
            channels = int(prod(args[1])) if name == "native_layer_norm" else None
            return [g.norm(x, norm.also[0], name=base, affine=affine, features=channels)]
        if name in ("_softmax", "_log_softmax"):
            return [g.softmax(self._of(args[0]), name=base)]
        if name in _VIEWED:
            return self._views(name, base, args, outputs)
        if name in MADE and not inputs:
            return []
        if called(name, COPIES) is not None or name in _COPIED:
            read = [self._of(t) for t in _leaves(self.torch, args)]
            # A gather reads as much as it writes, and not the whole table.
            sizes = [min(prod(t.shape), first.numel()) for t in _leaves(self.torch, args)]
            return [g.copy(read, tuple(first.shape), read=sizes, name=base)]
        if called(name, POOLS, REDUCTIONS) is not None:
            return [self._pool(base, args, first)]
        function = _FUNCTIONS.get(plain(name), "")
        if function and all(self._broadcasts(t, first) for t in inputs):
            read = [self._of(t) for t in _leaves(self.torch, args)]
            return [self._elementwise(function, base, read, first)]
        g.not_priced.append(f"{base}: aten.{name} has no cost")
        return [self._of(t) for t in outputs]

    def _conv(self, base: str, args: Any) -> Tensor:
        x, weight, bias, stride, padding, dilation, transposed, extra, groups = args[:9]
        w = self._of(weight)
        kernel = tuple(weight.shape[2:])
        channels = weight.shape[1] * groups if transposed else weight.shape[0]
        axes = len(kernel)

        def each(values: Any) -> tuple[int, ...]:
            listed = tuple(int(v) for v in values)
            return listed * axes if len(listed) == 1 else listed

        pads = each(padding)
        return self.builder.conv(
            self._of(x),
            channels,
            kernel,
            stride=each(stride),
            padding=(*pads, *pads),
            dilation=each(dilation),
            groups=int(groups),
            bias=bias is not None,
            transposed=bool(transposed),
            output_padding=each(extra),
            name=base,
            weight=w,
        )

    def _product(self, base: str, x: Any, w: Any, bias: Any, result: Any) -> Tensor:
        weight = self._of(w)
        if weight.role != "weight":
            return self.builder.matmul(self._of(x), weight, name=base)
        return self.builder.linear(
            self._of(x), result.shape[-1], bias=bias is not None, name=base, weight=weight
        )

    def _attention(self, base: str, args: Any) -> Tensor:
        # Heads and batch stand in front: scores, softmax, values.
        q, k, v = (self._of(t) for t in args[:3])
        g = self.builder
        turned = g.view(k, (*k.shape[:-2], k.shape[-1], k.shape[-2]), name=f"{base}.k")
        scores = g.matmul(q, turned, name=f"{base}.scores")
        return g.matmul(g.softmax(scores, name=f"{base}.softmax"), v, name=f"{base}.values")

    def _pool(self, base: str, args: Any, result: Any) -> Tensor:
        x = self._of(args[0])
        kernel = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
        taps = prod(cast("list[int]", kernel)) if result.dim() == len(x.shape) else 0
        y = self.builder.tensor(f"{base}.out", tuple(result.shape))
        smaller = prod(x.shape) if taps <= 1 else taps * result.numel()
        self.builder.operator(base, "pool", [x], [y], vector_ops=smaller)
        return y

    def _elementwise(self, function: str, base: str, held: list[Tensor], result: Any) -> Tensor:
        y = self.builder.tensor(f"{base}.out", tuple(result.shape))
        whole = next((t for t in held if t.shape == y.shape and t.role == "activation"), None)
        self.builder.operator(
            f"{base}.{function}" if not base.endswith(function) else base,
            "elementwise",
            held,
            [y],
            vector_ops=VECTOR_OPS[function] * result.numel(),
            inplace=whole,
            attributes={"function": function},
        )
        return y

    def _views(self, name: str, base: str, args: Any, outputs: list[Any]) -> list[Tensor]:
        source = self._of(_leaves(self.torch, args)[0])
        if source.role == "weight":
            # A transposed weight is stored once.
            return [source] * len(outputs)
        return [self.builder.view(source, tuple(t.shape), name=f"{base}.{name}") for t in outputs]

    # tensors

    def _broadcasts(self, tensor: Any, result: Any) -> bool:
        return tensor.numel() <= max(result.numel(), 1)

    def _know(self, tensor: Any, known: Tensor) -> None:
        self._tensors[id(tensor)] = known
        self._alive.append(tensor)

    def _of(self, tensor: Any) -> Tensor:
        known = self._tensors.get(id(tensor))
        if known is None:
            shape = tuple(int(n) for n in tensor.shape)
            stored = self._weights.get(id(tensor))
            if stored is not None:
                tag = "vector" if len(shape) < 2 else ""
                known = self.builder.weight(stored, shape, tag=tag)
            else:
                known = self.builder.input("input", shape)
            self._know(tensor, known)
        return known


def _leaves(torch: Any, value: Any) -> list[Any]:
    """Return the tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in cast("Mapping[Any, Any]", value).values() for t in _leaves(torch, v)]
    if isinstance(value, list | tuple):
        return [t for v in cast("list[Any]", value) for t in _leaves(torch, v)]
    return []
