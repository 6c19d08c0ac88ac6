"""Engines: what computes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, LiteralString, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from perfmodel.catalog import load_kind, names
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec
from perfmodel.pydantic_faults import Flaw, checked
from perfmodel.units import show

COMPUTE_FORMATS: Final = (
    "fp64",
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "fp8",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp6",
    "fp4",
    "mxfp8",
    "mxfp6",
    "mxfp4",
    "nvfp4",
    "bfp16",
    "bfp8",
    "bfp4",
    "int64",
    "int32",
    "int16",
    "int8",
    "int4",
    "int2",
    "int1",
    "ternary",
    "binary",
)
"""Formats that engines multiply in; a pair of formats is written weights first: ``int4xint8``."""

OperatorKind: TypeAlias = Literal[
    "gemm",
    "conv",
    "depthwise",
    "attention",
    "moe",
    "recurrent",
    "elementwise",
    "norm",
    "softmax",
    "pool",
    "copy",
    "gather",
    "resize",
    "scan",
    "quantise",
    "tree",
]

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True)]
Issue: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=64.0)]
Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e3)]
Frequency: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
Watts: TypeAlias = Annotated[Quantity, Of("power", positive=True)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op")]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]


class Peak(Quantity):
    """The highest rate of an engine in one compute format (operations per second; a MAC is two)."""

    accumulator: str | None = None
    """Format that products are summed in, such as fp32."""
    sparsity: str | None = None
    """``dense``, or the structured sparsity that the figure needs, such as ``"2:4"``; a sparse
    figure is divided by `sparse_speedup` to give the dense peak."""
    clock: Frequency | None = None
    """Clock that the figure holds at, where it is not the engine's."""


class Operators(Spec):
    """Classes of operators that an engine runs; a scheduler puts the others on another engine."""

    classes: tuple[OperatorKind, ...] = Field(min_length=1)
    """Classes, as `perfmodel workload show` names them."""
    functions: tuple[str, ...] = ()
    """Functions of elementwise operators that it runs (relu, add, gelu ...); all where left out."""
    note: str | None = None
    """What is left out, and how far the classes hold."""
    source: str | None = None
    """Source of the list."""
    confidence: Confidence | None = None
    """Confidence of the list."""


def classes_alone(given: Any) -> Any:
    """Operators may be written as their classes alone."""
    return {"classes": given} if isinstance(given, list) else given  # pyright: ignore[reportUnknownVariableType]


PeakRate: TypeAlias = Annotated[Peak, Of("compute", positive=True)]


#: How far a rounded peak may be from what its factors make: TPU v1 says 92 for 91.75 TOP/s.
_ROUNDED: Final = 0.02


class Engine(Spec):
    """A unit that computes, with its peaks; the base class of every kind of engine."""

    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("fp16", "bf16", "fp32", "int8", "int16")
    """Precision of a network where nobody states one: the first of these that `peaks` has."""
    WHAT: ClassVar[LiteralString] = "an engine"
    """What such an engine is called where its kind cannot do without a clock."""
    CLOCK: ClassVar[str] = ""
    """Example of a clock, of a kind that cannot do without; empty for others."""
    OTHERWISE: ClassVar[str] = "is of another kind"
    """What is said of an engine that is of another kind."""
    PEAK_FACTORS: ClassVar[tuple[str, ...]] = ()
    """Fields that make the first peak: two operations times their product times the clock."""
    PEAKS_GROW_WITH: ClassVar[tuple[str, ...]] = ()
    """Fields that the peaks go in proportion with when they are varied."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str = "roofline"
    """Kind of hardware: decides how an operator table is costed on it."""
    tags: tuple[str, ...] = ()
    """Words that runtimes choose an engine by, such as gpu, cpu, npu."""
    note: str | None = None
    """What a reader must know."""
    units: Count = Quantity(value=1.0)
    """Streaming multiprocessors, GPU cores, CPU cores."""
    clock: Frequency | None = None
    """Clock at which the peaks hold."""
    boost_clock: Frequency | None = None
    """Clock with one unit at work alone, where it is higher."""
    vector_issue: Issue | None = None
    """Vector instructions that one unit starts in a clock."""
    peaks: Mapping[str, PeakRate] = Field(min_length=1)
    """Dense peak by compute format."""
    vector_peaks: Mapping[str, PeakRate] = Field(default_factory=dict)
    """Peak by format of the vector units: elementwise, normalisation, softmax."""
    launch_overhead: Time | None = None
    """Hardware's own cost of an operator."""
    handover: Time | None = None
    """From another engine's result in their shared memory to the start of this engine's work."""
    busy_power: Watts | None = None
    """All that the device draws with this engine alone at work."""
    operators: Annotated[Operators, BeforeValidator(classes_alone)] | None = None
    """Classes of operators that it runs; all where left out."""
    energy_per_op: Mapping[str, EnergyPerOp] = Field(default_factory=dict)
    """Energy of one operation by compute format."""
    vector_energy_per_op: EnergyPerOp | None = None
    """Energy of one operation of the vector units, elementwise and the like, with what brings its
    operands; that of `energy_per_op` where it is left out."""
    move_energy: Energy | None = None
    """Energy of a clock in which a unit only moves numbers: around products in panels."""
    sparse_speedup: Mapping[str, float] = Field(default_factory=dict)
    """Speed-up by structured sparsity that the engine exploits, such as ``"2:4": 2.0``."""
    accumulator_speedup: Mapping[str, float] = Field(default_factory=dict)
    """Speed-up of products of half precision that are summed in another format than the peak's,
    such as ``fp16: 2.0`` on GPUs for desktops."""
    unpack_speedup: Factor | None = None
    """How many times faster its units unpack weights than those that a runtime's rates hold for."""
    source: str | None = None
    """Source of every number below that names none."""
    confidence: Confidence | None = None
    """Confidence of every number below that names none."""

    @property
    def CONSTANTS(self) -> Mapping[str, Any]:
        """Numbers that the kind takes from the spec itself, whatever facts are varied, by name."""
        return {}

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Field -> facts that go in proportion with it: a larger array has higher peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        return dict.fromkeys(self.PEAKS_GROW_WITH, peaks)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.CLOCK and self.clock is None:
            expected = {"expected": f'such as clock: "{self.CLOCK}"'}
            raise PydanticCustomError("clock", self.WHAT + " without a clock", expected)
        return checked(self, [*self._peak_flaws(), *self.flaws()])

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong across the fields that a kind adds."""
        yield from ()

    def _peak_flaws(self) -> Iterator[Flaw]:
        """Yield the flaw of a first peak that is not what its factors make."""
        if not self.PEAK_FACTORS or self.clock is None:
            return
        made = 2.0 * math.prod(getattr(self, f).value for f in (*self.PEAK_FACTORS, "clock"))
        name, peak = next(iter(self.peaks.items()))
        if abs(peak.value / made - 1.0) > _ROUNDED:
            factors, product = " x ".join((*self.PEAK_FACTORS, "clock")), show(made, "compute")
            first = show(peak.value, "compute")
            message = f"{first} as the first peak, but {factors} make {product}"
            yield Flaw(("peaks", name), message, product)

    def own_precision(self) -> str:
        """Return the precision in which it runs a network of which nobody states one."""
        for name in (*self.FORMATS_FIRST, *self.peaks):
            if name in self.peaks and name in COMPUTE_FORMATS:
                return name
        return "fp16"


_classes: dict[str, type[Engine]] = {"roofline": Engine}


def register_engine(kind: str, spec: type[Engine]) -> None:
    """Make ``kind: NAME`` in a spec file read as a subclass of `Engine`."""
    _classes[kind] = spec


def engine_class(kind: str) -> type[Engine] | None:
    """Spec class of a kind of engine, or None where nothing knows the kind.

    A kind is loaded by its name when a spec first asks for it; one that neither states a class
    (`spec`) nor registers one is described by `Engine`.
    """
    if kind not in _classes and (found := load_kind("perfmodel.kinds", kind)):
        _classes.setdefault(kind, getattr(found, "spec", Engine))
    return _classes.get(kind)


def engine_kinds() -> tuple[str, ...]:
    """Every kind of engine there is."""
    return tuple(dict.fromkeys((*_classes, *names("perfmodel.kinds"))))


def is_compute_format(name: Any) -> bool:
    """Whether a key of `peaks` is a compute format or a pair of them (``int4xint8``)."""
    # The letter that joins a pair may stand in a name too (mxfp8).
    text = str(name)
    pairs = ((text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == "x")
    return text in COMPUTE_FORMATS or any(
        all(part in COMPUTE_FORMATS for part in pair) for pair in pairs
    )
