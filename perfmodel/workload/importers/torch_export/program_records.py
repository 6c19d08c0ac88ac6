"""Records of a torch.export program: calls of ATen operators on typed tensors.

Filled by `archive_parser` from a file or by `live_program` from an object in memory, and translated
by `emitter`. The fields follow torch/_export/serde/schema.py: ``TensorMeta``, ``Node``,
``GraphSignature``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast

from perfmodel.workload.importers.element_types import element_types_by_number

#: Type number in torch's schema -> numeric format.
FORMATS: Final[Mapping[int, str]] = element_types_by_number("torch_export")


@dataclass(frozen=True, slots=True)
class TensorReference:
    """A reference to a tensor by its name."""

    name: str


#: Argument of a call: a tensor reference, number, string, or list of these.
Argument: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """Shape, format and strides of a tensor; an extent is a number or an expression as text.

    Attributes
    ----------
    hints
        Extents during tracing.
    strides
        Strides during tracing.
    """

    shape: tuple[int | str, ...]
    format: str
    hints: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements are contiguous in row-major order."""
        expected = 1
        for size, stride in zip(reversed(self.hints), reversed(self.strides), strict=False):
            if size != 1 and stride != expected:
                return False
            expected *= max(size, 1)
        return True


@dataclass(slots=True)
class AtenCall:
    """One call of an operator (``aten.conv2d.default``): arguments by name, and outputs.

    Attributes
    ----------
    name
        Name of the node in the program.
    place
        Path of the node in the file, for messages.
    """

    target: str
    arguments: dict[str, Argument]
    outputs: list[str]
    name: str = ""
    place: str = ""

    @property
    def op(self) -> str:
        """Name of the operator without namespace, overload and the suffix of in-place variants."""
        parts = self.target.removeprefix("torch.ops.").split(".")
        name = parts[1] if len(parts) > 1 else parts[0]
        return name.rstrip("_") if not name.startswith("__") else name.strip("_")


#: Operators that only run a subgraph under a setting; the subgraph is inlined.
WRAPPERS: Final = (
    "wrap_with_set_grad_enabled",
    "wrap_with_autocast",
    "hints_wrapper",
    "strict_mode",
)


@dataclass(slots=True)
class AtenProgram:
    """A program: its calls in order, and the metadata of its tensors.

    Attributes
    ----------
    parameters, buffers
        Value -> name in the module.
    inputs, outputs
        Values that the user passes in, and values that are returned.
    """

    calls: list[AtenCall] = field(default_factory=list[AtenCall])
    metadata: dict[str, TensorMetadata] = field(default_factory=dict[str, TensorMetadata])
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    buffers: dict[str, str] = field(default_factory=dict[str, str])
    inputs: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])

    def inline(
        self,
        part: AtenProgram,
        inside: str,
        entering: Iterable[tuple[Argument, Argument]],
        leaving: Iterable[tuple[Argument, str]],
    ) -> None:
        """Add the calls of a wrapped graph, renaming its values to those of this program.

        Parameters
        ----------
        inside
            Prefix for the names of values that are local to the graph.
        entering, leaving
            Pairs of inner and outer values, for the inputs and for the outputs.
        """
        ends = [(i, o.name) for i, o in entering if isinstance(o, TensorReference)]
        names = {i.name: o for i, o in (*leaving, *ends) if isinstance(i, TensorReference) and o}

        def name(value: str) -> str:
            return names.get(value, f"{inside}.{value}") if value else ""

        def argument(value: Argument) -> Argument:
            if isinstance(value, list):
                return [argument(item) for item in cast("list[Any]", value)]
            return (
                TensorReference(name(value.name)) if isinstance(value, TensorReference) else value
            )

        for inner, meta in part.metadata.items():
            self.metadata.setdefault(name(inner), meta)
        for call in part.calls:
            arguments = {k: argument(v) for k, v in call.arguments.items()}
            outputs = list(map(name, call.outputs))
            self.calls.append(replace(call, arguments=arguments, outputs=outputs))
