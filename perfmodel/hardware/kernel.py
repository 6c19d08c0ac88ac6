"""Constants of a runtime's kernels: those of any kernel, and where those of a kind are declared.

A kind of hardware that models what a kernel does declares the constants that its laws read as a
subclass of `Kernel`, which `perfmodel.catalog` names; a constant that laws of several kinds read
stands in `Kernel` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, cast

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from perfmodel.arrays import Value
from perfmodel.catalog import load, names
from perfmodel.errors import nearest
from perfmodel.hardware.quantity import AsItself, Of, Quantity, Spec
from perfmodel.pydantic_faults import subclass

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
"""Classes of kernels; ``gemm.fp8`` are the constants of one compute or weight format,
``elementwise.gelu_tanh`` those of one function, ``all_reduce.custom`` those of one library beside
another. ``batched_gemm`` are the products of attention whose scores are written to memory."""

Time: TypeAlias = Annotated[Quantity, Of("time")]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=2.0)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Number: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=4.0)]
Speed: TypeAlias = Annotated[Quantity, Of("compute", positive=True)]
Blocks: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=32.0)]
Passes: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]
Cost: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=20.0)]
Rows: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1024.0)]

Algorithm: TypeAlias = Literal[
    "direct", "im2col", "winograd_2x2", "winograd_4x4", "dense", "per_group", "fewest"
]
"""How a convolution is computed; see `Kernel.algorithms`."""


class Kernel(Spec):
    """What a backend's kernels of one class reach and cost.

    A kind that models an effect reads its constants here and takes no efficiency for it; which
    constants a kind reads, and their equations, is in its documentation.
    """

    KIND: ClassVar[str] = ""
    """Kind of hardware whose laws read what a subclass declares."""

    note: str | None = None
    """What a reader must know: the library, how it was measured."""
    launch: Time | None = None
    """Time of a kernel beside its work, that nothing overlaps."""
    host_floor: Time | None = None
    """Time that the host takes for a kernel; hidden where the device takes longer."""
    peak_share: Share | None = None
    """Share of the engine's peak that the inner loop reaches."""
    bandwidth_share: Share | None = None
    """Share of main memory's bandwidth that the kernel draws when all units read."""
    pnorm: Norm | None = None
    """Exponent that joins the times of arithmetic and memories; large is their maximum."""
    ramp: Time | None = None
    """Time until the memory, or the link, delivers at its full rate."""
    passes: Passes | None = None
    """How often the kernels of this class move the bytes of one: a function that a framework
    composes of several kernels, or passes over attention's scores beside the softmax."""
    narrow_launch: Time | None = None
    """Further time of a kernel on narrow data: attention over a cache in 8 bits; on rooflines a
    depthwise kernel of fewer than two vectors of channels (`multiple`) that do not fill them."""
    copy_clocks: Clocks | None = None
    """Clocks of moving a number when an operand is packed or unfolded."""
    multiple: Number | None = None
    """Channels must be a multiple of it for the kernel's layout; others take a slow path."""
    rider_share: Share | None = None
    """Share of the vector units' peak of a function that rides on the kernel in a pass of its own
    (every one but those that are applied while sums are stored)."""
    start_clocks: Clocks | None = None
    """Clocks of entering the kernel."""
    algorithms: tuple[Algorithm, ...] = ()
    """Algorithms of ``conv``, ``grouped`` and ``depthwise``, best first: an operator takes the
    first that fits it, the direct one where none does. ``direct``: as counted. ``im2col``: the
    columns are written and read. ``winograd_2x2``, ``winograd_4x4`` (dense 3 x 3 of stride 1): 4/9
    and 1/4 of the multiplications, and transforms. ``dense`` (groups): one dense convolution over
    zeros. ``per_group``: a kernel for each group. ``fewest``: a bound, the least multiplications
    that the direct one (without those on the padding) or Winograd's takes, transforms for
    nothing."""

    @classmethod
    def unknown_key(cls, key: str) -> str:
        """Return whose constant a key is that this class does not declare; empty for nobody's."""
        kinds = [each.KIND for each in kernel_classes() if key in each.model_fields]
        own = f"and others here are of kind {cls.KIND}"
        return f"'{key}' is a constant of kind {kinds[0]}, {own}" if kinds else ""


def kernel_classes() -> Iterable[type[Kernel]]:
    """Yield the classes that declare constants, those of kinds that are loaded first."""
    known = Kernel.__subclasses__()
    yield from known
    for name in names("perfmodel.kernels"):
        if (loaded := load("perfmodel.kernels", name)) not in known:
            yield loaded


def kernel_class(constants: Iterable[str]) -> type[Kernel]:
    """Return the class of an entry: of the kind of its first constant that is of one."""
    own = [name for name in constants if name not in Kernel.model_fields]
    if not own:
        return Kernel
    for name in own:
        for each in kernel_classes():
            if name in each.model_fields:
                return each
    # Misspelt: the class that has what was meant.
    owners = {name: each for each in kernel_classes() for name in each.model_fields}
    meant = (nearest(name, owners) for name in own)
    return next((owners[name] for name in meant if name not in ("", *Kernel.model_fields)), Kernel)


def _kernel(given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Kernel:
    """Read the constants of a class of kernels as the class that declares them."""
    if isinstance(given, Mapping):
        return subclass(kernel_class(cast("Mapping[str, Any]", given)), given, info.context)
    return cast("Kernel", handler(given))


AnyKernel: TypeAlias = Annotated[Kernel, AsItself(), WrapValidator(_kernel)]


def stated_constants(facts: Mapping[str, Value], key: str, model: type[Kernel]) -> dict[str, Value]:
    """Return the constants of kernels that facts state; empty where there are none.

    Parameters
    ----------
    facts
        Path -> value, in SI units.
    key
        Class of kernels, with its format where it has one (``gemm``, ``gemm.fp8``).
    model
        Class that declares the constants.
    """
    head = f"runtime.kernels.{key}."
    if f"{head}launch" not in facts:
        return {}
    return {name: facts[head + name] for name in model.model_fields if head + name in facts}


@dataclass(frozen=True, slots=True)
class ConstantsOfKernels:
    """Base of the constants that an equation reads: fields named as `Kernel` names them."""

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> Self:
        """Return the constants of a mapping; names that are none of them are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: v for name, v in values.items() if name in known})
