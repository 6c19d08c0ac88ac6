"""Runtimes: what the software between a network and a device costs and skips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from perfmodel.errors import nearest
from perfmodel.hardware.device import Name, Source, title_alone
from perfmodel.hardware.engine import OperatorKind
from perfmodel.hardware.kernel import KERNEL_CLASSES, Kernel
from perfmodel.hardware.quantity import Confidence, Document, Of, Quantity, Spec
from perfmodel.hardware.structure import check_sources, mapped
from perfmodel.pydantic_faults import Flaw, checked

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device

__all__ = ["EFFICIENCY_CLASSES", "SCALE_CLASSES", "Fusion", "Runtime", "Semantics"]

EFFICIENCY_CLASSES: Final = (
    "bandwidth", "gemm", "gemv", "conv", "grouped", "depthwise", "attention", "recurrent", "scan",
    "embedding", "vector", "elementwise", "norm", "softmax", "pool", "copy", "reorder",
)  # fmt: skip
"""Operator classes that an efficiency multiplies the peak of; ``bandwidth`` multiplies the main
memory's, ``copy`` the bandwidth of every level where a kernel only moves data, ``reorder`` (falls
back to ``copy``) where it converts a layout. ``grouped`` (a
convolution in groups) falls back to ``conv``; ``elementwise``, ``norm``, ``softmax`` and ``pool``,
where they are kernels of their own, to ``vector``."""

SCALE_CLASSES: Final[tuple[str, ...]] = (
    "launch", "conv", "gemm", "depthwise", "elementwise", "copy", "memory",
)  # fmt: skip
"""Classes of seconds that a calibration multiplies. ``conv`` takes convolutions in groups along,
``gemm`` attention, experts and recurrent cells, ``elementwise`` normalisation, softmax and pooling,
``copy`` all that only moves data, ``memory`` what main memory moves, cold weights among it."""

Time: TypeAlias = Annotated[Quantity, Of("time")]
Quantities: TypeAlias = Annotated[Quantity, Of("count", ceiling=10_000.0)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]
Efficiency: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.2)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Multiplier: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1000.0)]

ZERO: Final = Quantity(value=0.0)


class Fusion(Spec):
    """What the runtime joins into one pass over memory."""

    elementwise: bool = True
    """Chains of elementwise operators ride on the operator before them."""
    elementwise_into: tuple[OperatorKind, ...] = ()
    """Operator classes whose kernels elementwise operators ride on; all where empty."""
    attention: Literal["flash", "unfused"] = "flash"
    """flash: scores never leave the chip; unfused: they are written and read back."""


class Blocks(Spec):
    """Channels that the runtime keeps in blocks of a vector; conversions are copies."""

    channels: int = Field(default=0, ge=0, le=1024)
    """Channels in a block; 0 where nothing is blocked."""
    functions: tuple[str, ...] = ()
    """Functions of one tensor, or of two alike, that pass blocks on."""
    stored_with: tuple[str, ...] = ()
    """Functions that a convolution applies while it stores its sums."""


class Semantics(Spec):
    """What the runtime computes beyond, or short of, what the network's mathematics needs."""

    causal_skips_masked: bool = True
    """Masked halves of causal attention cost nothing."""
    head_on_every_token: bool = False
    """The classifier runs on every token of a prompt, not on the last alone."""
    runs_dead_branches: bool = False
    """Operators whose results nobody reads are run all the same."""


class Runtime(Document):
    """Software that runs a network: its overheads, efficiencies, fusion and semantics."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    name: Name
    """As people say it, in snake case."""
    base: str | None = None
    """Spec that this one inherits from; merged in before reading."""
    aliases: tuple[Name, ...] = ()
    """Other names."""
    title: str = ""
    """Full name and version."""
    tags: tuple[str, ...] = ()
    """Words to select by."""
    note: str | None = None
    """What a reader must know."""
    applies_to: tuple[str, ...] = ()
    """Devices and tags of devices that it makes sense for; all where empty."""
    engine: str | None = None
    """Engine that it drives, by name or tag; the device's default where left out."""
    runs: tuple[Literal["tokens", "frames", "sequences", "runs"], ...] = ()
    """What the workloads that it runs yield; anything where empty. A device's default runtime that
    does not run a workload gives way to `generic`."""
    formats: tuple[str, ...] = ()
    """Formats that it can run; all where empty."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Documents that numbers cite, by key."""
    source: str | None = None
    """Source of every number that names none."""
    confidence: Confidence | None = None
    """Confidence of every number that names none."""
    per_run: Time = ZERO
    """Time of a run beside its operators."""
    per_operator: Time = ZERO
    """Time of dispatching one operator."""
    lines_per_operator: Quantities = ZERO
    """Cache lines of its own state (code, nodes, tensors' descriptions) that a dispatched operator
    touches; they are cold where a run of the network evicts them."""
    per_layer: Time = ZERO
    """Time that a repeated block costs beside its operators."""
    per_layer_clocks: Clocks = ZERO
    """Clocks of the engine that a repeated block costs beside its operators."""
    efficiency: Mapping[str, Efficiency] = Field(default_factory=dict)
    """Share of the peak reached by operator class (``gemm``), or by class and weight format
    (``gemm.q4_0``)."""
    kernels: Mapping[str, Kernel] = Field(default_factory=dict)
    """Constants of its kernels by class (``gemm``), or by class and format (``gemm.fp8``), for
    kinds of hardware that model the kernels themselves."""
    scale: Mapping[str, Multiplier] = Field(default_factory=dict)
    """Multipliers of the seconds of a class (``conv``), from a calibration on a few measured rows;
    1 where left out."""
    draw_bytes_per_clock_per_unit: Draw | None = None
    """Bandwidth that one unit of the engine can draw, in bytes a clock."""
    pnorm: Norm = Quantity(value=4.0)
    """Exponent that joins the memory's bandwidth and the engine's draw: 4 is a soft minimum."""
    fusion: Fusion = Fusion()
    """What is joined into one pass."""
    blocks: Blocks = Blocks()
    """What lies in blocks of channels."""
    semantics: Semantics = Semantics()
    """What is computed beyond or short of the mathematics."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Checks across fields, on a mapping or a Runtime."""
        return _check(data)

    @model_validator(mode="after")
    def _checked(self) -> Runtime:
        return checked(self, Runtime.structure_faults(self))

    def suits(self, device: Device) -> bool:
        """Whether the runtime is meant for a device (by its name, an alias or a tag)."""
        words = {device.name, *device.aliases, *device.tags}
        return not self.applies_to or bool(words.intersection(self.applies_to))


def _check(data: Any) -> Iterator[Flaw]:
    for field, classes, noun in (
        ("efficiency", EFFICIENCY_CLASSES, "an operator class"),
        ("kernels", KERNEL_CLASSES, "a class of kernels"),
        ("scale", SCALE_CLASSES, "a class of seconds"),
    ):
        for key in mapped(data, field):
            found = key.partition(".")[0]
            if found not in classes:
                meant = nearest(found, classes)
                yield Flaw((field, key), f"'{found}' is not {noun}",
                           "" if meant else "one of " + ", ".join(classes), meant,
                           on_key=True)  # fmt: skip
    yield from check_sources(data)
