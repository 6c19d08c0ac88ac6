"""Write the calls of a program as nodes of the ONNX walk, shapes as the program states them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from perfmodel.errors import Fault, InputError
from perfmodel.workload.importers.onnx.node import NotPricedError, Shape
from perfmodel.workload.importers.onnx.own import TYPED, UNKNOWN
from perfmodel.workload.importers.onnx.read import RawGraph, RawModel, RawNode, RawTensor, RawValue
from perfmodel.workload.importers.torch_export.expressions import ExpressionError, extent, symbol_of
from perfmodel.workload.importers.torch_export.program import AtenCall, AtenProgram, Meta, Ref

_OPSET: Final = 23


class Emitter:
    """Collects nodes for the calls of a program.

    Attributes
    ----------
    program
        What is written.
    turned
        Value -> the parameter of two axes that it is the transpose of.
    call
        The call at hand.
    traced
        Values with an extent that has no closed form: they keep the shape of the trace.
    """

    def __init__(self, program: AtenProgram, file: str) -> None:
        self.program = program
        self.file = file
        self.call = AtenCall("", {}, [])
        self.nodes: list[RawNode] = []
        self.stored: dict[str, RawTensor] = {}
        self.turned: dict[str, str] = {}
        self.traced: list[str] = []
        self.names: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.inputs = [self._input(name) for name in program.inputs]
        self._shapes()
        for kind in (program.parameters, program.buffers):
            for name in kind:
                self._store(name, buffer=kind is program.buffers)

    def _input(self, name: str) -> RawValue:
        """Declare an input; a free extent is called after it, a leading one ``batch``."""
        meta = self.meta(name)
        shape: list[int | str | None] = []
        for axis, size in enumerate(meta.shape):
            symbol = None if isinstance(size, int) else symbol_of(size)
            if symbol is None:
                shape.append(size if isinstance(size, int) else None)
                continue
            first = axis == 0 and "batch" not in self.names.values()
            wanted = "batch" if first else f"dim_{name}_{axis}"
            shape.append(self.names.setdefault(symbol, wanted))
        return RawValue(name, tuple(shape), meta.format)

    def _shapes(self) -> None:
        faults: list[Fault] = []
        for name, meta in self.program.metas.items():
            try:
                self.shapes[name] = tuple(
                    size if isinstance(size, int) else extent(size, self.names)
                    for size in meta.shape
                )
            except ExpressionError as error:
                # The size that it was traced with stands for what has no closed form.
                if name in self.program.inputs:
                    faults.append(self._fault(f"an extent {error}", name, "a number or a symbol"))
                self.shapes[name] = meta.hints
                self.traced.append(name)
        if faults:
            raise InputError(faults)

    def _store(self, name: str, *, buffer: bool) -> None:
        meta = self.meta(name)
        shape = tuple(size for size in meta.shape if isinstance(size, int))
        self.stored[name] = RawTensor(shape, meta.format, buffer=buffer)

    def meta(self, name: str) -> Meta:
        """Return what is known of a tensor.

        Raises
        ------
        InputError
            Nothing.
        """
        if name not in self.program.metas:
            message = "has no shape in 'tensor_values'"
            raise InputError(self._fault(message, name, "the shape of every tensor"))
        return self.program.metas[name]

    def _fault(self, message: str, path: str, expected: str) -> Fault:
        return Fault(message, path, self.file, expected=expected)

    # arguments

    def tensor(self, *names: str) -> str:
        """Return an argument that must be a tensor, by any of its names."""
        name = self.optional(*names)
        if not name:
            raise NotPricedError(f"argument '{names[0]}' is no tensor")
        return name

    def optional(self, *names: str) -> str:
        """Return an argument that is a tensor, empty where it is none."""
        values = (self.call.arguments.get(name) for name in names)
        return next((value.name for value in values if isinstance(value, Ref)), "")

    @property
    def tensors(self) -> list[str]:
        """All arguments that are tensors, in order."""
        found: list[str] = []
        for value in self.call.arguments.values():
            items = cast("list[Any]", value) if isinstance(value, list) else [value]
            found += [item.name for item in items if isinstance(item, Ref)]
        return found

    def wholes(self, name: str, count: int, default: int) -> tuple[int, ...]:
        """Return a list of whole numbers, one number per axis."""
        value = self.call.arguments.get(name)
        if value is None or value == []:
            return (default,) * count
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if len(items) == 1:
            items = items * count
        if len(items) != count or not all(type(v) is int and abs(v) < 2**31 for v in items):
            raise NotPricedError(f"argument '{name}' is no list of {count} whole numbers")
        return tuple(items)

    def whole(self, name: str, default: int) -> int:
        """Return a whole number."""
        return self.wholes(name, 1, default)[0]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        return bool(self.call.arguments.get(name, default))

    # nodes

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        domain: str = TYPED,
        outputs: Sequence[str] | None = None,
        name: str = "",
        **attributes: Any,
    ) -> None:
        """Add a node that makes what a call makes, or `outputs`."""
        made = tuple(self.call.outputs if outputs is None else outputs)
        for read in inputs:
            if read and read not in self.shapes:
                raise NotPricedError(f"'{read}' is made by nothing")
        metas = map(self.program.metas.get, made)
        attributes["shapes"] = tuple(map(self.shapes.get, made))
        attributes["formats"] = tuple(meta.format if meta else None for meta in metas)
        label = name or made[0] or self.call.name
        self.nodes.append(RawNode(op, domain, label, tuple(inputs), made, attributes))

    def linear(self, x: str, w: str, bias: str = "", *, turned: bool) -> None:
        """Add a product with a matrix; the transpose of a parameter is the parameter."""
        if not turned and w in self.turned:
            w, turned = self.turned[w], True
        inputs = [x, w, bias] if bias else [x, w]
        self.add("Linear", inputs, transB=int(turned))

    def unknown(self, reason: str) -> None:
        """List a call without a price."""
        read = [name for name in self.tensors if name in self.shapes]
        self.add(self.call.op, read, domain=UNKNOWN, reason=reason)

    def model(self, name: str) -> RawModel:
        """Return the network.

        Raises
        ------
        InputError
            It returns what nothing makes.
        """
        outputs = list(dict.fromkeys(self.program.outputs))
        made = {*self.stored, *self.program.inputs, *(o for n in self.nodes for o in n.outputs)}
        faults = [
            self._fault(f"nothing makes '{o}'", "output_specs", "a tensor that an operator makes")
            for o in outputs
            if o not in made
        ]
        if not outputs:
            message = "returns no tensor"
            faults.append(self._fault(message, "output_specs", "a program with a result"))
        if faults:
            raise InputError(faults)
        graph = RawGraph(name, self.nodes, self.stored, self.inputs, outputs, {})
        notes: tuple[str, ...] = ()
        if self.traced:
            more = f" and {len(self.traced) - 4} more" if len(self.traced) > 4 else ""
            named = ", ".join(self.traced[:4])
            notes = (f"as they were traced, whatever is set, are the shapes of {named}{more}",)
        return RawModel(graph, {"": _OPSET}, self.file, name=name, notes=notes)
