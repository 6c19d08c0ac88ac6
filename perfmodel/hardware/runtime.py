"""Runtimes: what the software between a network and a device costs and skips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field, model_validator

from perfmodel.errors import InputError, nearest, one_of
from perfmodel.formats.gguf import is_gguf
from perfmodel.hardware.device import Name, Source, title_alone
from perfmodel.hardware.engine import COMPUTE_FORMATS, OperatorKind
from perfmodel.hardware.kernel import KERNEL_CLASSES, AnyKernel
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec, SpecDocument
from perfmodel.hardware.structure import check_sources, mapped
from perfmodel.pydantic_faults import Flaw, checked

if TYPE_CHECKING:
    from perfmodel.formats import Precision
    from perfmodel.hardware.device import Device

EFFICIENCY_CLASSES: Final = (
    "bandwidth",
    "gemm",
    "gemv",
    "moe",
    "conv",
    "grouped",
    "depthwise",
    "attention",
    "recurrent",
    "scan",
    "embedding",
    "vector",
    "elementwise",
    "norm",
    "softmax",
    "pool",
    "tree",
    "copy",
    "reorder",
    "cache",
)
"""Operator classes that an efficiency multiplies the peak of; ``bandwidth`` multiplies the main
memory's, ``copy`` the bandwidth of every level where a kernel only moves data, ``reorder`` (falls
back to ``copy``) where it converts a layout, ``cache`` where it attends (beside ``bandwidth``).
``moe`` (experts, also where unpacking bounds them) and the products of a ``scan`` fall back to
``gemm``, ``grouped`` (a convolution in groups) to ``conv``; ``elementwise``, ``norm``, ``softmax``,
``pool`` and ``tree`` (walks down decision trees), where they are kernels of their own, to
``vector``."""

EXECUTED_CLASSES: Final = (
    "gemm",
    "conv",
    "grouped",
    "depthwise",
    "attention",
    "moe",
    "recurrent",
    "scan",
    "elementwise",
    "norm",
    "softmax",
    "pool",
    "resize",
    "tree",
    "relu",
    "relu6",
    "leaky_relu",
    "prelu",
    "clip",
    "abs",
    "neg",
    "erf",
    "add",
    "sub",
    "mul",
    "div",
    "sqrt",
    "pow",
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "hard_swish",
    "silu",
    "gelu",
    "gelu_tanh",
    "elu",
    "selu",
    "softplus",
    "mish",
    "square",
    "relu2",
    "swiglu",
    "geglu",
    "silu_gate",
    "gelu_gate",
    "gelu_tanh_gate",
    "relu_gate",
    "sigmoid_gate",
    "compare",
    "logical",
    "where",
    "rope",
    "batch_norm",
    "layer_norm",
    "rms_norm",
    "group_norm",
)
"""Operator classes, and functions of elementwise operators and normalisations, that a runtime may
execute in some formats only. A function goes before its class."""

SCALE_CLASSES: Final[tuple[str, ...]] = (
    "launch",
    "conv",
    "gemm",
    "depthwise",
    "elementwise",
    "copy",
    "memory",
)
"""Classes of seconds that a calibration multiplies. ``conv`` takes convolutions in groups along,
``gemm`` attention, experts and recurrent cells, ``elementwise`` normalisation, softmax and pooling,
``copy`` all that only moves data, ``memory`` what main memory moves, cold weights among it."""

Time: TypeAlias = Annotated[Quantity, Of("time")]
Room: TypeAlias = Annotated[Quantity, Of("bytes")]
Quantities: TypeAlias = Annotated[Quantity, Of("count", ceiling=10_000.0)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Draw: TypeAlias = Annotated[Quantity, Of("bandwidth_per_clock", positive=True, bare=True)]
Efficiency: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.2)]
Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e6)]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]
Portion: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]
Tokens: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op", positive=True)]
Norm: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Factor: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
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
    grouped: bool = False
    """Convolutions in groups take and give blocks where the channels of a group fill them."""
    broadcasts: bool = False
    """Functions of two also pass blocks on where one tensor is a single pixel of as many channels
    (squeeze and excite)."""
    joins: bool = False
    """Joins along channels pass blocks on where what they make fills whole ones; where left out,
    each part must."""


class Semantics(Spec):
    """What the runtime computes beyond, or short of, what the network's mathematics needs."""

    causal_skips_masked: bool = True
    """Masked halves of causal attention cost nothing."""
    head_on_every_token: bool = False
    """The classifier runs on every token of a prompt, not on the last alone."""
    runs_dead_branches: bool = False
    """Operators whose results nobody reads are run all the same."""
    dispatches_views: bool = False
    """Views, and arithmetic on shapes that only running the network tells, are dispatched as
    operators are; known of networks read from a file. They cost nothing where this is not said."""
    active_neurons: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the neurons of feed-forward layers that a token reads and computes (activation
    sparsity, of ReLU networks with a predictor); all are stored."""


class Serving(Spec):
    """What an engine that serves many requests costs beside its steps; `perfmodel.system.serving`.

    Constants that are not stated cost nothing, or count once.
    """

    per_layer_experts: Time | None = None
    """Further time of a layer with a mixture of experts: routing, permuting, combining."""
    per_layer_latent: Time | None = None
    """Further time of a layer with latent attention: its projections into the latent space."""
    per_layer_groups: Time | None = None
    """Further time of a layer where groups of devices have sequences of their own."""
    prefill_share: Factor | None = None
    """Times that a decode step waits for the prompts which arrive while it runs: 1 where each of
    them holds up all others for as long as its prefill takes."""
    first_token: Time | None = None
    """Time of a request before its prompt is read: the server, tokenisation, the scheduler."""
    prompt_share: Factor | None = None
    """Prefills that a first token takes where no other request is there."""
    queued_share: Factor | None = None
    """Prefills of others that a first token waits for, for each sequence of the batch."""


class Runtime(SpecDocument):
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
    runs: tuple[
        Literal["tokens", "frames", "clips", "sequences", "windows", "samples", "runs"], ...
    ] = ()
    """What the workloads that it runs yield; anything where empty. A device's default runtime that
    does not run a workload gives way to the next of its `runtimes`, in the end to `generic`."""
    variants: Mapping[str, str] = Field(default_factory=dict)
    """Runtime that stands for this one on an engine, by the engine's kind, or the name or a tag of
    a roofline, the first that fits: ``{npu: generic_npu, gpu: generic_gpu}``."""
    formats: tuple[str, ...] = ()
    """Formats of weights that it can run, grouped or not (``int4``; ``gguf`` stands for all of that
    file format); all where empty."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Documents that numbers cite, by key."""
    source: str | None = None
    """Source of every number that names none."""
    confidence: Confidence | None = None
    """Confidence of every number that names none."""
    code: Room | None = None
    """Bytes that the library puts beside the weights in the memory that stores them: its kernels,
    tables, start-up code."""
    per_run: Time = ZERO
    """Time of a run beside its operators."""
    per_operator: Time = ZERO
    """Time of dispatching one operator."""
    per_subgraph: Time = ZERO
    """Time of entering a body of control flow (``If``, ``Loop``, ``Scan``) once, the dispatch of
    its node included."""
    lines_per_operator: Quantities = ZERO
    """Cache lines of its own state (code, nodes, tensors' descriptions) that a dispatched operator
    touches; they are cold where a run of the network evicts them."""
    per_layer: Time = ZERO
    """Time that a repeated block costs beside its operators."""
    per_layer_clocks: Clocks = ZERO
    """Clocks of the engine that a repeated block costs beside its operators."""
    per_sequence: Time = ZERO
    """Time that the host takes for a sequence of the batch, once a step (a prompt, a decode step):
    sampling, its tables, detokenisation."""
    per_layer_parallel: Time = ZERO
    """Further time of a repeated block where its weights are split over several devices
    (`perfmodel.system.serving`), beside the bytes that they exchange."""
    efficiency: Mapping[str, Efficiency] = Field(default_factory=dict)
    """Share of the peak reached by operator class (``gemm``), or by class and weight format
    (``gemm.q4_0``)."""
    executes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Compute formats that operators of a class, or of a function, really run in
    (``softmax: [fp32]``); those not named run in any. An operator whose activations are stored in
    another one falls back on the first of the list: kernels convert what it reads and writes."""
    kernels: Mapping[str, AnyKernel] = Field(default_factory=dict)
    """Constants of its kernels by class (``gemm``), or by class and format (``gemm.fp8``), for
    kinds of hardware that model the kernels themselves."""
    accumulator: Literal["fp32", "fp16"] | None = None
    """Format that its matrix kernels sum products of half precision in, where it is not that of the
    engine's peak."""
    multiplies_in: Mapping[str, str] = Field(default_factory=dict)
    """Compute format that its matrix kernels multiply weights of a format in, activations being
    brought to it on the way: ``{q8_0: int8}``."""
    instructions_per_mac: Mapping[str, Rate] = Field(default_factory=dict)
    """Vector instructions a multiply-accumulate of the inner loop over weights of a format, in
    shares of the engine's `vector_issue`: they take the place of peak and efficiency."""
    sustained_energy_per_op: Mapping[str, EnergyPerOp] = Field(default_factory=dict)
    """All that a board draws, for each operation of long products of this runtime's kernels, by
    silicon generation (a tag of the device): with `power.busy` it caps the rate that lasts."""
    macs_per_clock_per_unit: Mapping[str, Rate] = Field(default_factory=dict)
    """Multiply-accumulates by weights of a format that a unit finishes in a clock where unpacking
    bounds long products, not the peak: they take the place of peak and efficiency."""
    issue_share: Share | None = None
    """Share of the engine's `vector_issue` at which these loops run; 1 where left out."""
    unpack_weights_per_clock_per_unit: Mapping[str, Rate] = Field(default_factory=dict)
    """Weights of a format that a unit unpacks in a clock while a step of one token streams them."""
    overlap_pnorm: Norm | None = None
    """Exponent that joins arithmetic and memory of a kernel: 1 adds them; the slower of both where
    left out."""
    serial_share: Portion | None = None
    """Share of a matrix operator's arithmetic that one unit does while the others wait for it
    (Amdahl's law): packing, what is left of an uneven split."""
    micro_batch: Tokens | None = None
    """Tokens of a prompt that pass through all layers at once."""
    expands_above: Tokens | None = None
    """Tokens of a micro-batch above which quantised weights are first written out in half
    precision; never where left out."""
    per_layer_doubling: Time = ZERO
    """Time a repeated block in which threads wait for each other, for every doubling of units."""
    host_slowdown: Rate = Quantity(value=1.0)
    """Factor on the times an operator and a layer, of a host slower than those they hold for."""
    hosts: Mapping[str, Rate] = Field(default_factory=dict)
    """Factor on the time that the host takes for a kernel (`host_floor`), by a tag of the device:
    of the machines that such boards usually are in, beside those that the times hold for."""
    split: Tokens = Quantity(value=1.0)
    """Devices that the layers are split over, one part after the other."""
    per_split: Time = ZERO
    """Time to hand a token from one such device to the next."""
    scale: Mapping[str, Multiplier] = Field(default_factory=dict)
    """Multipliers of the seconds of a class (``conv``), from a calibration on a few measured rows;
    1 where left out."""
    draw_bytes_per_clock_per_unit: Draw | None = None
    """Bandwidth that one unit of the engine can draw, in bytes per clock."""
    pnorm: Norm = Quantity(value=4.0)
    """Exponent that joins the memory's bandwidth and the engine's draw: 4 is a soft minimum."""
    fusion: Fusion = Fusion()
    """What is joined into one pass."""
    blocks: Blocks = Blocks()
    """What lies in blocks of channels."""
    semantics: Semantics = Semantics()
    """What is computed beyond or short of the mathematics."""
    serving: Serving | None = None
    """What serving many requests at a time costs."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Checks across fields, on a mapping or a Runtime."""
        return _check(data)

    @model_validator(mode="after")
    def _checked(self) -> Runtime:
        return checked(self, Runtime.structure_faults(self))

    @cached_property
    def lineage(self) -> tuple[str, ...]:
        """Names of the runtimes that it inherits from, nearest first."""
        from perfmodel.hardware.library import runtime

        if self.base is None:
            return ()
        try:
            return (self.base, *runtime(self.base).lineage)
        except InputError:  # in a folder of the user's
            return (self.base,)

    def suits(self, device: Device) -> bool:
        """Whether the runtime is meant for a device (by its name, an alias or a tag)."""
        words = {device.name, *device.aliases, *device.tags}
        return not self.applies_to or bool(words.intersection(self.applies_to))

    def drives(self, device: Device, engine: str) -> bool:
        """Whether it is meant for an engine of a device: for any where it names none."""
        driven = device.engine(engine)
        return self.engine is None or self.engine in (driven.name, *driven.tags)

    def variant(self, device: Device, engine: str | None = None) -> str:
        """Name of the runtime that stands for this one on an engine, its own where none does.

        Parameters
        ----------
        device
            Whose tags count where those of the engine say nothing.
        engine
            Name; the device's default where left out.
        """
        driven = device.engine(engine or "main")
        own = {driven.name, *driven.tags} if driven.kind == "roofline" else {driven.kind}
        for words in (own, device.tags if driven.kind == "roofline" else ()):
            for word, name in self.variants.items():
                if word in words:
                    return name
        return self.name

    def takes(self, unit: str, precision: Precision | None = None) -> bool:
        """Whether it runs workloads that yield `unit`, with weights as a precision stores them.

        Parameters
        ----------
        unit
            What a workload yields (`Workload.unit`).
        precision
            Formats of its tensors; left out where they do not matter.
        """
        if self.runs and unit not in self.runs:
            return False
        if not self.formats or precision is None:
            return True
        weights = precision.weights
        names = {"gguf"} if is_gguf(weights) else {weights.name, weights.compute}
        return not names.isdisjoint(self.formats)


def _check(data: Any) -> Iterator[Flaw]:
    for field, classes, noun in (
        ("efficiency", EFFICIENCY_CLASSES, "an operator class"),
        ("kernels", KERNEL_CLASSES, "a class of kernels"),
        ("executes", EXECUTED_CLASSES, "a class or function of operators"),
        ("scale", SCALE_CLASSES, "a class of seconds"),
    ):
        for key in mapped(data, field):
            found = key.partition(".")[0]
            if found not in classes:
                meant = nearest(found, classes)
                yield Flaw(
                    (field, key),
                    f"'{found}' is not {noun}",
                    "" if meant else one_of(classes),
                    meant,
                    on_key=True,
                )
    for key, formats in mapped(data, "executes").items():
        for i, name in enumerate(cast("Sequence[Any]", formats)):
            if isinstance(name, str) and name not in COMPUTE_FORMATS:
                meant = nearest(name, COMPUTE_FORMATS)
                expected = "" if meant else one_of(COMPUTE_FORMATS)
                at = ("executes", key, i)
                yield Flaw(at, f"'{name}' is no compute format", expected, meant)
    yield from check_sources(data)
