"""Write the calls of a program as nodes of the ONNX walk, shapes as the program states them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from perfmodel.errors import Fault, InputError, input_error
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
    traced
        Values with an extent that has no closed form: they keep the shape of the trace.
    """

    def __init__(self, program: AtenProgram, file: str) -> None:
        self.program = program
        self.file = file
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
            if isinstance(size, int):
                shape.append(size)
                continue
            found = symbol_of(size)
            if found is None:
                shape.append(None)
                continue
            wanted = "batch" if axis == 0 else f"dim_{name}_{axis}"
            if wanted in self.names.values() and found not in self.names:
                wanted = f"dim_{name}_{axis}"
            shape.append(self.names.setdefault(found, wanted))
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
                    faults.append(Fault(f"an extent {error}", path=name, file=self.file,
                                        expected="a number or a symbol"))  # fmt: skip
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
        found = self.program.metas.get(name)
        if found is None:
            raise input_error(
                "has no shape in 'tensor_values'",
                path=name,
                file=self.file,
                expected="the shape of every tensor",
            )
        return found

    # arguments

    def tensor(self, call: AtenCall, *names: str) -> str:
        """Return an argument that must be a tensor, by any of its names."""
        for name in names:
            value = call.arguments.get(name)
            if isinstance(value, Ref):
                return value.name
        raise NotPricedError(f"argument '{names[0]}' is no tensor")

    def optional(self, call: AtenCall, *names: str) -> str:
        """Return an argument that is a tensor, empty where it is none."""
        for name in names:
            value = call.arguments.get(name)
            if isinstance(value, Ref):
                return value.name
        return ""

    def tensors(self, call: AtenCall) -> list[str]:
        """Return all arguments that are tensors, in order."""
        found: list[str] = []
        for value in call.arguments.values():
            items = cast("list[Any]", value) if isinstance(value, list) else [value]
            found += [item.name for item in items if isinstance(item, Ref)]
        return found

    def wholes(self, call: AtenCall, name: str, count: int, default: int) -> tuple[int, ...]:
        """Return a list of whole numbers, one number an axis."""
        value = call.arguments.get(name)
        if value is None or value == []:
            return (default,) * count
        items = cast("list[Any]", value) if isinstance(value, list) else [value] * count
        if len(items) == 1:
            items = items * count
        good = len(items) == count and all(type(v) is int and abs(v) < 2**31 for v in items)
        if not good:
            raise NotPricedError(f"argument '{name}' is no list of {count} whole numbers")
        return tuple(items)

    def whole(self, call: AtenCall, name: str, default: int) -> int:
        """Return a whole number."""
        return self.wholes(call, name, 1, default)[0]

    def flag(self, call: AtenCall, name: str, default: bool = False) -> bool:
        """Return true or false."""
        return bool(call.arguments.get(name, default))

    # nodes

    def add(
        self, call: AtenCall, op: str, inputs: Sequence[str], *, domain: str = TYPED,
        outputs: Sequence[str] | None = None, name: str = "", **attributes: Any,
    ) -> None:  # fmt: skip
        """Add a node that makes what a call makes, or `outputs`."""
        made = tuple(call.outputs if outputs is None else outputs)
        for given in inputs:
            if given and given not in self.shapes:
                raise NotPricedError(f"'{given}' is made by nothing")
        shapes = tuple(self.shapes.get(n) if n else None for n in made)
        formats = tuple(
            self.program.metas[n].format if n in self.program.metas else None for n in made
        )
        self.nodes.append(
            RawNode(op, domain, name or made[0] or call.name, tuple(inputs), made,
                    {**attributes, "shapes": shapes, "formats": formats})
        )  # fmt: skip

    def linear(self, call: AtenCall, x: str, w: str, bias: str = "", *, turned: bool) -> None:
        """Add a product with a matrix; the transpose of a parameter is the parameter."""
        if not turned and w in self.turned:
            w, turned = self.turned[w], True
        inputs = [x, w, bias] if bias else [x, w]
        self.add(call, "Linear", inputs, transB=int(turned))

    def unknown(self, call: AtenCall, reason: str) -> None:
        """List a call without a price."""
        self.add(call, call.op, [n for n in self.tensors(call) if n in self.shapes], domain=UNKNOWN,
                 reason=reason)  # fmt: skip

    def model(self, name: str) -> RawModel:
        """Return the network.

        Raises
        ------
        InputError
            It returns what nothing makes.
        """
        made = (
            {o for n in self.nodes for o in n.outputs} | set(self.stored) | set(self.program.inputs)
        )
        faults = [
            Fault(f"nothing makes '{o}'", path="output_specs", file=self.file,
                  expected="a tensor that an operator makes")
            for o in self.program.outputs if o not in made
        ]  # fmt: skip
        if not self.program.outputs:
            faults.append(Fault("returns no tensor", path="output_specs", file=self.file,
                                expected="a program with a result"))  # fmt: skip
        if faults:
            raise InputError(faults)
        graph = RawGraph(name, self.nodes, self.stored, self.inputs,
                         list(dict.fromkeys(self.program.outputs)), {})  # fmt: skip
        notes: tuple[str, ...] = ()
        if self.traced:
            more = f" and {len(self.traced) - 4} more" if len(self.traced) > 4 else ""
            named = f"{', '.join(self.traced[:4])}{more}"
            notes = (f"as they were traced, whatever is set, are the shapes of {named}",)
        return RawModel(graph, {"": _OPSET}, self.file, name=name, notes=notes)
