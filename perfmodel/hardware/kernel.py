"""Constants of a runtime's kernels: launch times, reached shares of peak and bandwidth, norms.

A kind of hardware that models individual kernels declares the constants of its laws in a subclass
of `Kernel`, registered in `perfmodel.catalog`; constants shared by several kinds are declared in
`Kernel`. Each has an ideal value (`IdealValue`), which applies where the runtime states none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from perfmodel.arrays import Value
from perfmodel.catalog import load, names
from perfmodel.errors import nearest
from perfmodel.hardware.field_types import Norm, Time
from perfmodel.hardware.quantity import AsItself, Of, Quantity, Spec, read_as

KERNEL_CLASSES: Final = (
    "gemm",
    "gemv",
    "conv",
    "grouped",
    "depthwise",
    "attention_prefill",
    "attention_decode",
    "moe",
    "batched_gemm",
    "recurrent",
    "elementwise",
    "norm",
    "softmax",
    "pool",
    "copy",
    "gather",
    "tree",
    "resize",
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
)
"""Classes of kernels. A suffix restricts the constants: ``gemm.fp8`` to one compute or weight
format, ``elementwise.gelu_tanh`` to one function, ``all_reduce.custom`` to one library of several.
``batched_gemm`` covers the products of attention whose scores are written to memory."""

Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=2.0)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=4.0)]
Speed: TypeAlias = Annotated[Quantity, Of("compute", positive=True)]
Blocks: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=32.0)]
Passes: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Cost: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=20.0)]
Rows: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1024.0)]

Algorithm: TypeAlias = Literal[
    "direct", "im2col", "winograd_2x2", "winograd_4x4", "dense", "per_group", "fewest"
]
"""Algorithm of a convolution; see `Kernel.algorithms`."""


@dataclass(frozen=True, slots=True)
class IdealValue:
    """Default of a kernel constant: its value for an ideal kernel."""

    value: float


class Kernel(Spec):
    """Performance constants of a backend's kernels of one class.

    A kind that models an effect reads its constants from here and applies no efficiency to it. The
    documentation of a kind lists the constants it reads and their equations.
    """

    KIND: ClassVar[str] = ""
    """Kind of hardware whose laws read the constants of the subclass."""

    note: str | None = None
    """Remarks for the reader: the library and the method of measurement."""
    launch: Annotated[Time | None, IdealValue(0.0)] = None
    """Fixed time per kernel, not overlapped with anything."""
    host_floor: Annotated[Time | None, IdealValue(0.0)] = None
    """Host time per kernel; hidden if the device takes longer."""
    peak_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the engine's peak that the inner loop reaches."""
    bandwidth_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the main memory bandwidth that the kernel reaches when all units read."""
    pnorm: Annotated[Norm | None, IdealValue(8.0)] = None
    """Exponent p of the p-norm that combines the times of arithmetic and memories: 1 adds them,
    infinity is their maximum."""
    ramp: Annotated[Time | None, IdealValue(0.0)] = None
    """Time until the memory or the link delivers its full rate."""
    passes: Annotated[Passes | None, IdealValue(1.0)] = None
    """Factor on the bytes moved: the number of kernels from which a framework composes a function,
    or the number of passes over attention scores in addition to the softmax."""
    narrow_launch: Annotated[Time | None, IdealValue(0.0)] = None
    """Additional time of a kernel on narrow data: attention over an 8-bit cache; on rooflines, a
    depthwise kernel with fewer than two vectors of channels (`multiple`), not filled completely."""
    copy_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks per number moved when an operand is packed or unfolded."""
    multiple: Annotated[Number | None, IdealValue(1.0)] = None
    """Channel multiple required by the kernel's layout; other channel counts use a slow path."""
    rider_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the vector peak reached by a function fused with the kernel but run in a separate
    pass (all except those applied while sums are stored)."""
    start_clocks: Annotated[Clocks | None, IdealValue(0.0)] = None
    """Clocks for entering the kernel."""
    algorithms: tuple[Algorithm, ...] = ()
    """Algorithms of ``conv``, ``grouped`` and ``depthwise`` in order of preference: an operator
    uses the first applicable one, otherwise the direct one. ``direct``: operations as counted.
    ``im2col``: the columns are written and read. ``winograd_2x2``, ``winograd_4x4`` (dense 3 x 3 of
    stride 1): 4/9 and 1/4 of the multiplications, plus transforms. ``dense`` (groups): one dense
    convolution padded with zeros. ``per_group``: one kernel per group. ``fewest``: a lower bound,
    the fewest multiplications of the direct algorithm (without those on the padding) and Winograd's
    with free transforms."""
    dot_product_algorithms: tuple[Algorithm, ...] = ()
    """The same for 8-bit integers on an engine with dot products, whose peak for them is over twice
    that of fp32: Winograd's transformed inputs take 16 bits, for which it has none. As `algorithms`
    if empty."""

    @classmethod
    def constants(cls, stated: Mapping[str, Value]) -> KernelConstants:
        """Return the stated constants, with those of an ideal kernel for all others."""
        return KernelConstants(cls, stated)

    @classmethod
    def unknown_key(cls, key: str) -> str:
        """Return a message if another kind declares a key that this class lacks; empty if none."""
        kinds = [each.KIND for each in kernel_classes() if key in each.model_fields]
        own = f"and others here are of kind {cls.KIND}"
        return f"'{key}' is a constant of kind {kinds[0]}, {own}" if kinds else ""


def kernel_classes() -> Iterable[type[Kernel]]:
    """Yield the classes that declare constants, those of already imported kinds first."""
    known = Kernel.__subclasses__()
    yield from known
    for name in names("perfmodel.kernels"):
        if (loaded := load("perfmodel.kernels", name)) not in known:
            yield loaded


def kernel_class(constants: Iterable[str]) -> type[Kernel]:
    """Return the class of an entry: that of its first constant that only one kind declares."""
    own = [name for name in constants if name not in Kernel.model_fields]
    if not own:
        return Kernel
    for name in own:
        for each in kernel_classes():
            if name in each.model_fields:
                return each
    # Misspelt constants: use the class that declares the nearest name.
    owners = {name: each for each in kernel_classes() for name in each.model_fields}
    suggestions = (nearest(name, owners) for name in own)
    return next(
        (owners[name] for name in suggestions if name not in ("", *Kernel.model_fields)), Kernel
    )


AnyKernel: TypeAlias = Annotated[Kernel, AsItself(), read_as(kernel_class)]


def stated_constants(facts: Mapping[str, Value], key: str, model: type[Kernel]) -> dict[str, Value]:
    """Return the constants of kernels that facts state; empty if there are none.

    Parameters
    ----------
    facts
        Path -> value, in SI units.
    key
        Class of kernels, with its format if any (``gemm``, ``gemm.fp8``).
    model
        Class that declares the constants.
    """
    head = f"runtime.kernels.{key}."
    return _below(facts, head, model) if f"{head}launch" in facts else {}


def constants_at(facts: Mapping[str, Value], key: str, model: type[Kernel]) -> KernelConstants:
    """Return the constants of kernels as laws read them; arguments as for `stated_constants`."""
    return model.constants(_below(facts, f"runtime.kernels.{key}.", model))


def _below(facts: Mapping[str, Value], head: str, model: type[Kernel]) -> dict[str, Value]:
    return {name: facts[head + name] for name in model.model_fields if head + name in facts}


class KernelConstants:
    """Constants of a kernel as laws read them: stated ones, else those of an ideal kernel.

    Parameters
    ----------
    model
        Class that declares the constants, each with its ideal value (`IdealValue`).
    stated
        Numbers, or arrays that broadcast with the shapes, by name; undeclared names are ignored.
    """

    def __init__(self, model: type[Kernel], stated: Mapping[str, Value]) -> None:
        self.model, self.stated = model, stated
        constants = {name: value for name, value in stated.items() if value is not None}
        self.__dict__ |= _ideal_values(model) | constants

    def __getattr__(self, name: str) -> Value:
        """Raise an AttributeError: the class declares no such constant."""
        raise AttributeError(f"{self.model.__name__} has no constant '{name}'")


@cache
def _ideal_values(model: type[Kernel]) -> dict[str, Value]:
    return {
        name: next((each.value for each in info.metadata if isinstance(each, IdealValue)), None)
        for name, info in model.model_fields.items()
    }
