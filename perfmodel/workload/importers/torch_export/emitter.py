"""Translation of a program's calls to nodes of the ONNX walk, with the shapes it states.

torch.export states the shape of every tensor, so the emitted nodes are of domain `TYPED`, whose
shapes are not inferred. `aten_translations` has a function for each ATen operator, which calls the
methods of `Emitter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from perfmodel.errors import Fault, InputError
from perfmodel.workload.importers.onnx.node import NotPricedError, Shape
from perfmodel.workload.importers.onnx.records import (
    RawGraph,
    RawModel,
    RawNode,
    RawTensor,
    RawValue,
)
from perfmodel.workload.importers.onnx.synthetic_operators import TYPED, UNKNOWN
from perfmodel.workload.importers.torch_export.extent_expressions import (
    ExpressionError,
    parse_extent,
    parse_symbol,
)
from perfmodel.workload.importers.torch_export.program_records import (
    AtenCall,
    AtenProgram,
    TensorMetadata,
    TensorReference,
)

_OPSET: Final = 23


class Emitter:
    """Builder of nodes for the calls of a program.

    Attributes
    ----------
    program
        The program being translated.
    transposed_parameters
        Value -> the two-dimensional parameter whose transpose it is.
    call
        The call being translated.
    traced
        Values with an extent without closed form, which retain the shape of the trace.
    """

    def __init__(self, program: AtenProgram, file: str) -> None:
        self.program = program
        self.file = file
        self.call = AtenCall("", {}, [])
        self.nodes: list[RawNode] = []
        self.stored: dict[str, RawTensor] = {}
        self.transposed_parameters: dict[str, str] = {}
        self.traced: list[str] = []
        self.names: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.inputs = [self._input(name) for name in program.inputs]
        self._shapes()
        for kind in (program.parameters, program.buffers):
            for name in kind:
                self._store(name, is_buffer=kind is program.buffers)

    def _input(self, name: str) -> RawValue:
        """Declare an input; the first free leading extent is ``batch``, others carry their axis."""
        meta = self.meta(name)
        shape: list[int | str | None] = []
        for axis, size in enumerate(meta.shape):
            symbol = None if isinstance(size, int) else parse_symbol(size)
            if symbol is None:
                shape.append(size if isinstance(size, int) else None)
                continue
            first = axis == 0 and "batch" not in self.names.values()
            wanted = "batch" if first else f"dim_{name}_{axis}"
            shape.append(self.names.setdefault(symbol, wanted))
        return RawValue(name, tuple(shape), meta.format)

    def _shapes(self) -> None:
        """Parse the extents of every tensor."""
        faults: list[Fault] = []
        for name, meta in self.program.metadata.items():
            try:
                self.shapes[name] = tuple(
                    size if isinstance(size, int) else parse_extent(size, self.names)
                    for size in meta.shape
                )
            except ExpressionError as error:
                # An extent without closed form is replaced by its number in the trace.
                if name in self.program.inputs:
                    faults.append(self._fault(f"an extent {error}", name, "a number or a symbol"))
                self.shapes[name] = meta.hints
                self.traced.append(name)
        if faults:
            raise InputError(faults)

    def _store(self, name: str, *, is_buffer: bool) -> None:
        """Declare a parameter or buffer."""
        meta = self.meta(name)
        shape = tuple(size for size in meta.shape if isinstance(size, int))
        self.stored[name] = RawTensor(shape, meta.format, is_buffer=is_buffer)

    def meta(self, name: str) -> TensorMetadata:
        """Return the metadata of a tensor.

        Raises
        ------
        InputError
            The program states no shape for it.
        """
        if name not in self.program.metadata:
            message = "has no shape in 'tensor_values'"
            raise InputError(self._fault(message, name, "the shape of every tensor"))
        return self.program.metadata[name]

    def _fault(self, message: str, path: str, expected: str) -> Fault:
        return Fault(message, path, self.file, expected=expected)

    # Arguments.

    def tensor(self, *names: str) -> str:
        """Return a required tensor argument, by any of its names."""
        name = self.optional(*names)
        if not name:
            raise NotPricedError(f"argument '{names[0]}' is not a tensor")
        return name

    def optional(self, *names: str) -> str:
        """Return an optional tensor argument, by any of its names; empty if it is absent."""
        values = (self.call.arguments.get(name) for name in names)
        return next((value.name for value in values if isinstance(value, TensorReference)), "")

    @property
    def tensors(self) -> list[str]:
        """Names of all tensor arguments, in order."""
        names: list[str] = []
        for value in self.call.arguments.values():
            items = cast("list[Any]", value) if isinstance(value, list) else [value]
            names += [item.name for item in items if isinstance(item, TensorReference)]
        return names

    def integers(self, name: str, count: int, default: int) -> tuple[int, ...]:
        """Return an argument that is a list of integers; a single one is repeated for each axis."""
        value = self.call.arguments.get(name)
        if value is None or value == []:
            return (default,) * count
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if len(items) == 1:
            items = items * count
        if len(items) != count or not all(type(v) is int and abs(v) < 2**31 for v in items):
            raise NotPricedError(f"argument '{name}' is not a list of {count} whole numbers")
        return tuple(items)

    def integer(self, name: str, default: int) -> int:
        """Return an integer argument."""
        return self.integers(name, 1, default)[0]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean argument."""
        return bool(self.call.arguments.get(name, default))

    # Nodes.

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
        """Add a node that writes the outputs of the call, or `outputs`."""
        results = tuple(self.call.outputs if outputs is None else outputs)
        for read in inputs:
            if read and read not in self.shapes:
                raise NotPricedError(f"no operator produces '{read}'")
        metas = map(self.program.metadata.get, results)
        attributes["shapes"] = tuple(map(self.shapes.get, results))
        attributes["formats"] = tuple(meta.format if meta else None for meta in metas)
        label = name or results[0] or self.call.name
        self.nodes.append(RawNode(op, domain, label, tuple(inputs), results, attributes))

    def linear(self, x: str, w: str, bias: str = "", *, is_transposed: bool) -> None:
        """Add a product with a matrix; a transposed parameter is read directly."""
        if not is_transposed and w in self.transposed_parameters:
            w, is_transposed = self.transposed_parameters[w], True
        inputs = [x, w, bias] if bias else [x, w]
        self.add("Linear", inputs, transB=int(is_transposed))

    def unknown(self, reason: str) -> None:
        """Add the call as an operator without a price."""
        read = [name for name in self.tensors if name in self.shapes]
        self.add(self.call.op, read, domain=UNKNOWN, reason=reason)

    def model(self, name: str) -> RawModel:
        """Return the network.

        Raises
        ------
        InputError
            No node writes an output of the program.
        """
        outputs = list(dict.fromkeys(self.program.outputs))
        available = {
            *self.stored,
            *self.program.inputs,
            *(o for n in self.nodes for o in n.outputs),
        }
        faults = [
            self._fault(
                f"no node produces '{o}'", "output_specs", "a tensor that an operator produces"
            )
            for o in outputs
            if o not in available
        ]
        if not outputs:
            message = "returns no tensor"
            faults.append(self._fault(message, "output_specs", "a program with a result"))
        if faults:
            raise InputError(faults)
        graph = RawGraph(name, self.nodes, self.stored, self.inputs, outputs, {})
        notes: tuple[str, ...] = ()
        if self.traced:
            remainder_text = f" and {len(self.traced) - 4} more" if len(self.traced) > 4 else ""
            listed_names = ", ".join(self.traced[:4])
            shapes = f"{listed_names}{remainder_text}"
            notes = (f"shapes that remain as traced, whatever the settings: {shapes}",)
        return RawModel(graph, {"": _OPSET}, self.file, name=name, notes=notes)
