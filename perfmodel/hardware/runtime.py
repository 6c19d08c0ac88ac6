"""Spec of a runtime: overheads, efficiencies, fusion and semantics of the executing software.

`Runtime` is what a YAML file in ``hardware_specs/runtimes/`` contains. Its numbers become facts of
a `Machine` (``runtime.per_operator``); its rules decide what the graph becomes before it is costed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field, model_validator

from perfmodel.errors import InputError
from perfmodel.formats.gguf import is_gguf
from perfmodel.hardware.device import Name, Source, title_alone
from perfmodel.hardware.device_checks import check_sources, mapping_field
from perfmodel.hardware.engine import COMPUTE_FORMATS, OperatorKind
from perfmodel.hardware.field_types import Count, Draw, Norm, Portion, Size, Time
from perfmodel.hardware.kernel import KERNEL_CLASSES, AnyKernel
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec, SpecDocument
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
"""Keys of `Runtime.efficiency`. An operator class multiplies the peak; ``bandwidth`` multiplies the
bandwidth of main memory, ``copy`` that of every level for kernels that only move data, ``reorder``
(falls back to ``copy``) for layout conversions, ``cache`` for attention (in addition to
``bandwidth``). ``moe`` (experts, also when bound by unpacking) and the products of a ``scan`` fall
back to ``gemm``, ``grouped`` (grouped convolution) to ``conv``; ``elementwise``, ``norm``,
``softmax``, ``pool`` and ``tree`` (traversal of decision trees), if not fused, to ``vector``."""

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
"""Keys of `Runtime.executes`: operator classes, and functions of elementwise operators and
normalisations, that a runtime may execute in some formats only. A function takes precedence over
its class."""

SCALE_CLASSES: Final[tuple[str, ...]] = (
    "launch",
    "conv",
    "gemm",
    "depthwise",
    "elementwise",
    "copy",
    "memory",
)
"""Classes of seconds that a calibration multiplies. ``conv`` includes grouped convolutions,
``gemm`` attention, experts and recurrent cells, ``elementwise`` normalisation, softmax and pooling,
``copy`` all operators that only move data, ``memory`` the traffic of main memory including cold
weights."""

Quantities: TypeAlias = Annotated[Quantity, Of("count", ceiling=10_000.0)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks")]
Efficiency: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.2)]
Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1e6)]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]
EnergyPerOp: TypeAlias = Annotated[Quantity, Of("energy_per_op", positive=True)]
Factor: TypeAlias = Annotated[Quantity, Of("count", ceiling=100.0)]
Multiplier: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=1000.0)]

ZERO: Final = Quantity(value=0.0)


class Fusion(Spec):
    """Operators that the runtime fuses into one pass over memory."""

    elementwise: bool = True
    """Chains of elementwise operators are fused into the preceding operator."""
    elementwise_into: tuple[OperatorKind, ...] = ()
    """Operator classes into which elementwise operators are fused; all if empty."""
    functions: tuple[str, ...] = ()
    """Elementwise functions and normalisations that are fused; all if empty."""
    attention: Literal["flash", "unfused"] = "flash"
    """flash: scores stay on the chip; unfused: they are written to memory and read back."""


class Blocks(Spec):
    """Blocked channel layout of the runtime (such as NCHWc); conversions cost a copy."""

    channels: int = Field(default=0, ge=0, le=1024)
    """Channels per block; 0 without blocking."""
    functions: tuple[str, ...] = ()
    """Functions of one tensor, or of two of equal shape, that preserve the blocked layout."""
    stored_with: tuple[str, ...] = ()
    """Functions that a convolution applies while it stores its sums."""
    grouped: bool = False
    """Grouped convolutions read and write blocks if the channels of a group fill them."""
    broadcasts: bool = False
    """Binary functions also preserve the layout if one tensor is a single pixel with the same
    channels (squeeze and excite)."""
    joins: bool = False
    """Concatenations along channels preserve the layout if the result fills whole blocks; otherwise
    each part must fill them."""


class Semantics(Spec):
    """Work of the runtime in excess of, or less than, the mathematics of the network."""

    causal_skips_masked: bool = True
    """The masked half of causal attention is skipped."""
    head_on_every_token: bool = False
    """The classifier runs on every token of a prompt, not only on the last."""
    runs_dead_branches: bool = False
    """Operators with unused results are executed."""
    dispatches_views: bool = False
    """Views, and arithmetic on dynamic shapes, are dispatched like operators; known for networks
    read from a file. They cost nothing by default."""
    active_neurons: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of feed-forward neurons that are read and computed per token (activation sparsity of
    ReLU networks with a predictor); all are stored."""


class Serving(Spec):
    """Overheads of serving concurrent requests, on top of its steps; `perfmodel.system.serving`.

    Defaults: 0 for times and `queued_share`, 1 for `prefill_share` and `prompt_share`.
    """

    per_layer_experts: Time | None = None
    """Additional time per mixture-of-experts layer: routing, permuting, combining."""
    per_layer_latent: Time | None = None
    """Additional time per layer with latent attention: its projections into the latent space."""
    per_layer_groups: Time | None = None
    """Additional time per layer if groups of devices process separate sequences (data parallel)."""
    per_layer_blocks: Time | None = None
    """Additional time per layer whose fp8 weights have scales of blocks: activations are rounded in
    groups before each product."""
    prefill_share: Factor | None = None
    """Factor s on the prefill time of arriving prompts that delays decoding, for B sequences:
    ``TPOT = step + s * (B - 1) / generate * prefill``; 1 if each prefill blocks all others."""
    first_token: Time | None = None
    """Time of a request before its prefill: server, tokenisation, scheduler."""
    host_per_kernel: Time | None = None
    """Host time per kernel of a prompt, whose kernels are launched one by one, since its length is
    new; decode steps are replayed from captured graphs."""
    prompt_share: Factor | None = None
    """Factor p on a request's own prefill time until its first token:
    ``TTFT = waiting + first_token + host + prefill * (p + queued_share * B) + TPOT``."""
    queued_share: Factor | None = None
    """Prefill times of other requests until a first token, per sequence of the batch B."""
    bytes_per_logit: Size | None = None
    """Bytes of main memory that choosing a token reads and writes per word of the vocabulary and
    sequence: temperature, sorting for top-k and top-p, normalisation; 0 for the largest logit."""


class Runtime(SpecDocument):
    """Software that runs a network: its overheads, efficiencies, fusion and semantics."""

    schema_version: Literal[1] = 1
    """Version of the spec format."""
    name: Name
    """Common name, in snake case."""
    base: str | None = None
    """Spec that this one inherits from; merged in before validation."""
    aliases: tuple[Name, ...] = ()
    """Other names."""
    title: str = ""
    """Full name and version."""
    tags: tuple[str, ...] = ()
    """Words for selecting runtimes."""
    note: str | None = None
    """Remarks for the reader."""
    applies_to: tuple[str, ...] = ()
    """Names and tags of supported devices; all if empty."""
    engine: str | None = None
    """Engine that it drives, by name or tag; the device's default if omitted."""
    runs: tuple[
        Literal["tokens", "frames", "clips", "sequences", "windows", "samples", "runs"], ...
    ] = ()
    """Output units of the supported workloads; any if empty. If a device's default runtime does not
    support a workload, the next of its `runtimes` is used, and finally `generic`."""
    variants: Mapping[str, str] = Field(default_factory=dict)
    """Runtime that replaces this one on an engine, by the engine's kind or, for a roofline, by its
    name or a tag; the first match applies: ``{npu: generic_npu, gpu: generic_gpu}``."""
    formats: tuple[str, ...] = ()
    """Supported weight formats, grouped or not (``int4``; ``gguf`` covers all of that file format);
    all if empty."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Cited documents, by key."""
    source: str | None = None
    """Default source of all numbers."""
    confidence: Confidence | None = None
    """Default confidence of all numbers."""
    code: Size | None = None
    """Bytes of the library (kernels, tables, start-up code) in the memory that stores the
    weights."""
    process: Size | None = None
    """Resident memory of the process that runs a network, without the network: program, libraries,
    allocator."""
    weight_copies: Mapping[str, Factor] = Field(default_factory=dict)
    """Bytes of further copies of the weights per stored byte, by weight format: unpacked to another
    format, repacked for the kernels, or beside the pages of the mapped file."""
    arena_share: Factor | None = None
    """Bytes allocated for activations per byte that is live at the peak of the execution order:
    buffers that are not shared, scratch, fragmentation; 1 if omitted."""
    per_run: Time = ZERO
    """Fixed time per run, in addition to its operators."""
    per_operator: Time = ZERO
    """Time of dispatching one operator."""
    per_subgraph: Time = ZERO
    """Time of entering a control flow body (``If``, ``Loop``, ``Scan``) once, including the
    dispatch of its node."""
    lines_per_operator: Quantities = ZERO
    """Cache lines of runtime state (code, nodes, tensor descriptors) that a dispatched operator
    touches; they are cold if a run of the network evicts them."""
    per_layer: Time = ZERO
    """Time per repeated block, in addition to its operators."""
    per_layer_clocks: Clocks = ZERO
    """Engine clocks per repeated block, in addition to its operators."""
    per_sequence: Time = ZERO
    """Host time per sequence of the batch and step (a prompt, a decode step): sampling, tables,
    detokenisation."""
    per_prompt: Time = ZERO
    """Time of a pass over a prompt in addition to its operators: shapes of another length are
    inferred, kernels for them are chosen and loaded."""
    per_layer_parallel: Time = ZERO
    """Additional time per repeated block if its weights are split over several devices
    (`perfmodel.system.serving`), without the bytes that they exchange."""
    efficiency: Mapping[str, Efficiency] = Field(default_factory=dict)
    """Share of the peak reached by operator class (``gemm``), or by class and weight format
    (``gemm.q4_0``). Of classes without products also by function (``elementwise.gelu``), by the
    format of activations (``softmax.int8``), or both (``elementwise.gelu.int8``)."""
    executes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Compute formats that the runtime supports for operators of a class or function
    (``softmax: [fp32]``); others run in any format. An operator with activations in another format
    runs in the first of the list, and its inputs and outputs are converted."""
    kernels: Mapping[str, AnyKernel] = Field(default_factory=dict)
    """Constants of the kernels by class (``gemm``), or by class and format (``gemm.fp8``), for
    kinds of hardware that model individual kernels."""
    accumulator: Literal["fp32", "fp16"] | None = None
    """Accumulator format of half-precision products in matrix kernels, if different from that of
    the engine's peak."""
    multiplies_in: Mapping[str, str] = Field(default_factory=dict)
    """Weight format -> compute format of its matrix kernels, to which activations are converted:
    ``{q8_0: int8}``."""
    instructions_per_mac: Mapping[str, Rate] = Field(default_factory=dict)
    """Vector instructions per multiply-accumulate of the inner loop, by weight format, issued at
    the engine's `vector_issue`; replaces peak and efficiency."""
    vector_bits: Count | None = None
    """Bits of a register of these instructions: an engine that states no `vector_issue` issues as
    many of them as its vector units do additions in single precision."""
    sustained_energy_per_op: Mapping[str, EnergyPerOp] = Field(default_factory=dict)
    """Total board energy per operation of long matrix products with this runtime's kernels, by
    silicon generation (a tag of the device): ``power.busy / energy`` caps the sustained rate."""
    macs_per_clock_per_unit: Mapping[str, Rate] = Field(default_factory=dict)
    """Multiply-accumulates per clock and unit, by weight format, where unpacking rather than the
    peak bounds long products; replaces peak and efficiency."""
    issue_share: Share | None = None
    """Share of the engine's `vector_issue` that these loops reach; 1 if omitted."""
    unpack_weights_per_clock_per_unit: Mapping[str, Rate] = Field(default_factory=dict)
    """Weights unpacked per clock and unit, by weight format, while a single-token step streams
    them."""
    overlap_pnorm: Norm | None = None
    """Exponent p of the p-norm that combines arithmetic and memory time of a kernel: 1 adds them;
    their maximum if omitted."""
    serial_share: Portion | None = None
    """Serial share of a matrix operator's arithmetic (Amdahl's law): packing, remainder of an
    uneven split."""
    threads: int | None = Field(default=None, ge=1)
    """Number of cores that it uses by default, at most; all of the engine's if omitted. Varied
    units of the engine replace it."""
    micro_batch: Count | None = None
    """Number of prompt tokens that pass through all layers at once."""
    expands_above: Count | None = None
    """Micro-batch size, in tokens, above which quantised weights are first written out in half
    precision; never if omitted."""
    per_layer_doubling: Time = ZERO
    """Thread synchronisation time per repeated block and per doubling of the number of units."""
    host_slowdown: Rate = Quantity(value=1.0)
    """Factor on the times per operator and per layer, for a host slower than the measured one."""
    hosts: Mapping[str, Rate] = Field(default_factory=dict)
    """Factor on the host time per kernel (`host_floor`), by device tag: speed of the usual host of
    such boards relative to the measured one."""
    split: Count = Quantity(value=1.0)
    """Number of devices over which the layers are split, as a pipeline."""
    per_split: Time = ZERO
    """Time to transfer a token from one such device to the next."""
    scale: Mapping[str, Multiplier] = Field(default_factory=dict)
    """Multipliers of the seconds of a class (``conv``), from a calibration on measured rows; 1 if
    omitted."""
    draw_bytes_per_clock_per_unit: Draw | None = None
    """Bandwidth that one unit of the engine can draw, in bytes per clock."""
    pnorm: Norm = Quantity(value=4.0)
    """Exponent of the p-norm that combines the memory's bandwidth and the engine's draw: 4 is a
    soft minimum."""
    fusion: Fusion = Fusion()
    """Operators fused into one pass."""
    blocks: Blocks = Blocks()
    """Blocked channel layout."""
    semantics: Semantics = Semantics()
    """Deviations from the mathematics of the network."""
    serving: Serving | None = None
    """Overheads of serving concurrent requests."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Check a mapping or a Runtime across fields."""
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
        """Return whether the runtime applies to a device (by its name, an alias or a tag)."""
        words = {device.name, *device.aliases, *device.tags}
        return not self.applies_to or bool(words.intersection(self.applies_to))

    def drives(self, device: Device, engine: str) -> bool:
        """Return whether it can drive an engine of a device; any engine if it names none."""
        driven = device.engine(engine)
        return self.engine is None or self.engine in (driven.name, *driven.tags)

    def variant(self, device: Device, engine: str | None = None) -> str:
        """Return the name of the variant for an engine, or its own name without a match.

        Parameters
        ----------
        device
            Its tags are matched if name and tags of a roofline engine match no variant.
        engine
            Name of the engine; the device's default if None.
        """
        driven = device.engine(engine or "main")
        own = {driven.name, *driven.tags} if driven.kind == "roofline" else {driven.kind}
        for words in (own, device.tags if driven.kind == "roofline" else ()):
            for word, name in self.variants.items():
                if word in words:
                    return name
        return self.name

    def takes(self, unit: str, precision: Precision | None = None) -> bool:
        """Return whether it supports workloads with an output unit and a weight format.

        Parameters
        ----------
        unit
            Output unit of the workload (`Workload.unit`).
        precision
            Formats of its tensors; None skips the check of formats.
        """
        if self.runs and unit not in self.runs:
            return False
        if not self.formats or precision is None:
            return True
        weights = precision.weights
        names = {"gguf"} if is_gguf(weights) else {weights.name, weights.compute}
        return not names.isdisjoint(self.formats)


@cache
def ideal_runtime() -> Runtime:
    """Return the runtime without overheads: always the same object, so facts are resolved once."""
    return Runtime(name="ideal")


def _check(data: Any) -> Iterator[Flaw]:
    for field, classes, noun in (
        ("efficiency", EFFICIENCY_CLASSES, "an operator class"),
        ("kernels", KERNEL_CLASSES, "a class of kernels"),
        ("executes", EXECUTED_CLASSES, "a class or function of operators"),
        ("scale", SCALE_CLASSES, "a class of seconds"),
    ):
        for key in mapping_field(data, field):
            name_of_class = key.partition(".")[0]
            if name_of_class not in classes:
                message = f"'{name_of_class}' is not {noun}"
                yield Flaw.no_such((field, key), message, name_of_class, classes, on_key=True)
    for key, formats in mapping_field(data, "executes").items():
        for i, name in enumerate(cast("Sequence[Any]", formats)):
            if isinstance(name, str) and name not in COMPUTE_FORMATS:
                message = f"'{name}' is not a compute format"
                yield Flaw.no_such(("executes", key, i), message, name, COMPUTE_FORMATS)
    yield from check_sources(data)
