"""Spec of a compute engine: peak rates by number format, clock, number of units.

`Engine` is the base class of every kind of engine; a kind of hardware adds the fields of its cost
model in a subclass, which the key ``kind`` of a spec file selects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, LiteralString, Self, TypeAlias, cast

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from perfmodel.arrays import Value
from perfmodel.catalog import load_kind, names
from perfmodel.hardware.field_types import Count, Energy, EnergyPerByte, Time
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
"""Compute formats of engines; a pair of formats is written weights first: ``int4xint8``."""

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

Issue: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=64.0)]
Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e3)]
Frequency: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]
Watts: TypeAlias = Annotated[Quantity, Of("power", positive=True)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op")]


class Peak(Quantity):
    """Peak rate of an engine in one compute format (operations per second; a MAC is two)."""

    accumulator: str | None = None
    """Accumulator format, such as fp32."""
    sparsity: str | None = None
    """``dense``, or the structured sparsity that the figure requires, such as ``"2:4"``; dense peak
    = sparse figure / `sparse_speedup`."""
    clock: Frequency | None = None
    """Clock at which the figure holds, if not the engine's."""


class Operators(Spec):
    """Operator classes that an engine supports; a scheduler places the others elsewhere."""

    classes: tuple[OperatorKind, ...] = Field(min_length=1)
    """Classes, as `perfmodel workload show` names them."""
    functions: tuple[str, ...] = ()
    """Supported elementwise functions (relu, add, gelu ...); all by default."""
    note: str | None = None
    """Omissions and limits of validity."""
    source: str | None = None
    """Source of the list."""
    confidence: Confidence | None = None
    """Confidence of the list."""


def classes_alone(stated: object) -> object:
    """Expand the short form of `Operators`, a list of classes, into a mapping."""
    return {"classes": cast("object", stated)} if isinstance(stated, list) else stated


PeakRate: TypeAlias = Annotated[Peak, Of("compute", positive=True)]


#: Tolerated relative difference of a rounded peak from the product of its factors: the TPU v1 paper
#: states 92 for 91.75 TOP/s.
_ROUNDED: Final = 0.02


class Engine(Spec):
    """A compute engine with its peaks; the base class of every kind of engine."""

    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("fp16", "bf16", "fp32", "int8", "int16")
    """Preference order of the default precision: the first of these that `peaks` has."""
    WHAT: ClassVar[LiteralString] = "an engine"
    """Noun for such an engine in the error about a missing clock."""
    CLOCK: ClassVar[str] = ""
    """Example of a clock, for kinds that require one; empty for others."""
    OTHERWISE: ClassVar[str] = "is of another kind"
    """Predicate of the error for an engine of another kind."""
    PEAK_FACTORS: ClassVar[tuple[str, ...]] = ()
    """Fields that determine the first peak: ``peak = 2 * product(fields) * clock``."""
    PEAKS_GROW_WITH: ClassVar[tuple[str, ...]] = ()
    """Fields to which the peaks are proportional when the fields are varied."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str = "roofline"
    """Kind of hardware; selects the cost model for operators on this engine."""
    tags: tuple[str, ...] = ()
    """Words by which runtimes select an engine, such as gpu, cpu, npu."""
    note: str | None = None
    """Remarks for the reader."""
    units: Count = Quantity(value=1.0)
    """Number of streaming multiprocessors, GPU cores or CPU cores."""
    clock: Frequency | None = None
    """Clock at which the peaks hold."""
    boost_clock: Frequency | None = None
    """Single-unit boost clock, where it is higher."""
    vector_issue: Issue | None = None
    """Vector instructions issued per clock by one unit."""
    peaks: Mapping[str, PeakRate] = Field(min_length=1)
    """Dense peak by compute format."""
    vector_peaks: Mapping[str, PeakRate] = Field(default_factory=dict)
    """Peak of the vector units by format, for elementwise operators, normalisation and softmax."""
    launch_overhead: Time | None = None
    """Fixed hardware time per operator."""
    handover: Time | None = None
    """Latency from another engine's result in shared memory to the start of this engine's work."""
    busy_power: Watts | None = None
    """Total device power while only this engine is active."""
    operators: Annotated[Operators, BeforeValidator(classes_alone)] | None = None
    """Supported operator classes; all by default."""
    energy_per_op: Mapping[str, EnergyPerOp] = Field(default_factory=dict)
    """Energy of one operation by compute format."""
    vector_energy_per_op: EnergyPerOp | None = None
    """Energy of one operation of the vector units (elementwise and similar), including operand
    delivery; `energy_per_op` by default."""
    running_power: Watts | None = None
    """Power above the idle power while its kernels run, whatever they do."""
    transport_energy: EnergyPerByte | None = None
    """Energy of a byte of main memory on its way to the engine, beside that of the memory."""
    move_energy: Energy | None = None
    """Energy per clock in which a unit only moves data, as when packing the panels of a matrix
    product."""
    sparse_speedup: Mapping[str, float] = Field(default_factory=dict)
    """Speed-up from structured sparsity that the engine exploits, such as ``"2:4": 2.0``."""
    accumulator_speedup: Mapping[str, float] = Field(default_factory=dict)
    """Speed-up of half-precision products by accumulator format, where that differs from the
    peak's, such as ``fp16: 2.0`` on desktop GPUs."""
    unpack_speedup: Factor | None = None
    """Weight unpacking rate of a unit, relative to the units on which a runtime's rates were
    measured."""
    source: str | None = None
    """Default source of the numbers in this entry."""
    confidence: Confidence | None = None
    """Default confidence of the numbers in this entry."""

    @property
    def CONSTANTS(self) -> Mapping[str, Any]:
        """Numbers that the kind reads from the spec, unaffected by varied facts, by name."""
        return {}

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Field -> facts proportional to it: a larger array has higher peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        return dict.fromkeys(self.PEAKS_GROW_WITH, peaks)

    @property
    def peak_laws(self) -> Mapping[str, Callable[[Value], Value]]:
        """Field -> function of its value that returns the growth of the peaks over the stated."""
        return {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.CLOCK and self.clock is None:
            expected = {"expected": f'such as clock: "{self.CLOCK}"'}
            raise PydanticCustomError("clock", self.WHAT + " without a clock", expected)
        return checked(self, [*self._peak_flaws(), *self.flaws()])

    def flaws(self) -> Iterator[Flaw]:
        """Yield inconsistencies across the fields that a kind adds."""
        yield from ()

    def _peak_flaws(self) -> Iterator[Flaw]:
        """Yield a flaw if the first peak is not the product of its factors."""
        if not self.PEAK_FACTORS or self.clock is None:
            return
        product_of_factors = 2.0 * math.prod(
            getattr(self, f).value for f in (*self.PEAK_FACTORS, "clock")
        )
        name, peak = next(iter(self.peaks.items()))
        if abs(peak.value / product_of_factors - 1.0) > _ROUNDED:
            factors, product = (
                " x ".join((*self.PEAK_FACTORS, "clock")),
                show(product_of_factors, "compute"),
            )
            first = show(peak.value, "compute")
            message = f"{first} as the first peak, but {factors} make {product}"
            yield Flaw(("peaks", name), message, product)

    def dense_peak(self, peak: Peak) -> float:
        """Return the dense operations per second of a peak at the engine's clock.

        ``peak / sparse_speedup * engine_clock / peak_clock``; each factor applies only if the peak
        states a sparsity or a clock.
        """
        value = peak.value
        if peak.sparsity not in (None, "dense"):
            value /= self.sparse_speedup[str(peak.sparsity)]
        if peak.clock is not None and self.clock is not None:
            value *= self.clock.value / peak.clock.value
        return value

    def own_precision(self) -> str:
        """Return the default precision: a format that `peaks` has, preferring `FORMATS_FIRST`."""
        for name in (*self.FORMATS_FIRST, *self.peaks):
            if name in self.peaks and name in COMPUTE_FORMATS:
                return name
        return "fp16"


_classes: dict[str, type[Engine]] = {"roofline": Engine}


def register_engine(kind: str, spec: type[Engine]) -> None:
    """Make ``kind: NAME`` in a spec file read as a subclass of `Engine`."""
    _classes[kind] = spec


def engine_class(kind: str) -> type[Engine] | None:
    """Return the spec class of a kind of engine, or None for an unknown kind.

    A kind is imported on first use; one that neither defines a class (`spec`) nor registers one
    uses `Engine`.
    """
    if kind not in _classes and (implementation := load_kind("perfmodel.kinds", kind)):
        _classes.setdefault(kind, getattr(implementation, "spec", Engine))
    return _classes.get(kind)


def engine_kinds() -> tuple[str, ...]:
    """Return every known kind of engine."""
    return tuple(dict.fromkeys((*_classes, *names("perfmodel.kinds"))))


def is_compute_format(name: Any) -> bool:
    """Return whether a key of `peaks` is a compute format or a pair of them (``int4xint8``)."""
    # The joining letter x may also be part of a name (mxfp8).
    text = str(name)
    pairs = ((text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == "x")
    return text in COMPUTE_FORMATS or any(
        all(part in COMPUTE_FORMATS for part in pair) for pair in pairs
    )
