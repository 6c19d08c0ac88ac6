"""A program of torch.export as light records: calls of ATen operators over typed tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

#: Type of torch's schema -> numeric format.
FORMATS: Final[dict[int, str]] = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "fp16", 7: "fp32", 8: "fp64",
    9: "fp32", 10: "fp64", 11: "fp64", 12: "bool", 13: "bf16", 28: "int16", 29: "fp8_e4m3",
    30: "fp8_e5m2", 31: "fp8_e4m3", 32: "fp8_e5m2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor by its name."""

    name: str


#: What an operator is called with: tensors, numbers, texts, lists of them.
Argument: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Meta:
    """Shape, format and strides of a tensor; an extent is a number or an expression as text.

    Attributes
    ----------
    hints
        The shape with the numbers that the program was traced with.
    strides
        Of the trace.
    """

    shape: tuple[int | str, ...]
    format: str
    hints: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def contiguous(self) -> bool:
        """Whether its elements lie row by row."""
        expected = 1
        for size, stride in zip(reversed(self.hints), reversed(self.strides), strict=False):
            if size != 1 and stride != expected:
                return False
            expected *= max(size, 1)
        return True


@dataclass(slots=True)
class AtenCall:
    """One operator: ``aten.conv2d.default``, its arguments by name, and what it makes."""

    target: str
    arguments: dict[str, Argument]
    outputs: list[str]
    name: str = ""
    place: str = ""

    @property
    def op(self) -> str:
        """The operator without namespace, overload and the mark of those that work in place."""
        parts = self.target.removeprefix("torch.ops.").split(".")
        name = parts[1] if len(parts) > 1 else parts[0]
        return name.rstrip("_") if not name.startswith("__") else name.strip("_")


#: Operators that only run another graph under a setting: what is in it stands in their place.
WRAPPERS: Final = (
    "wrap_with_set_grad_enabled", "wrap_with_autocast", "hints_wrapper", "strict_mode",
)  # fmt: skip


def renamed(call: AtenCall, names: Mapping[str, str], inside: str) -> AtenCall:
    """Return a call of an inner graph under the names of the outer one.

    Parameters
    ----------
    names
        Inner values that the outer graph knows: what goes in and comes out.
    inside
        Goes before the names of all others.
    """

    def name(value: str) -> str:
        return names.get(value, f"{inside}.{value}") if value else ""

    def argument(value: Argument) -> Argument:
        if isinstance(value, list):
            return [argument(item) for item in cast("list[Any]", value)]
        return Ref(name(value.name)) if isinstance(value, Ref) else value

    return AtenCall(
        call.target, {k: argument(v) for k, v in call.arguments.items()},
        [name(o) for o in call.outputs], call.name, call.place,
    )  # fmt: skip


@dataclass(slots=True)
class AtenProgram:
    """A program.

    Attributes
    ----------
    parameters, buffers
        Value -> name in the module.
    inputs, outputs
        Values that the user gives and gets.
    """

    calls: list[AtenCall] = field(default_factory=list[AtenCall])
    metas: dict[str, Meta] = field(default_factory=dict[str, Meta])
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    buffers: dict[str, str] = field(default_factory=dict[str, str])
    inputs: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])
