"""NAS-Bench-201: networks of one searched cell (Dong and Yang 2020, arXiv:2001.00326).

A cell has four nodes; the first is its input, the last its output, and each of the six edges
carries one of five operations. A node is the sum over its incoming edges. The network consists of
a 3x3 convolution to 16 channels, three stages of five cells at 16, 32 and 64 channels with a
residual block of stride 2 between them, and a head of batch normalisation, ReLU, pooling and a
linear layer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from operator import index
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import validate
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.nas_spaces.architecture_space import (
    ArchitectureDecision,
    ArchitectureSpace,
    Choice,
    Choices,
    Segment,
    SizedSettings,
    VariantClass,
    is_index,
    preset,
)
from perfmodel.workload.nas_spaces.nas_bench_cell import (
    AVG_POOL,
    CONV_1X1,
    CONV_3X3,
    NONE,
    SKIP,
    CellTerm,
    Zeros,
    resolve,
)

NAME = "nas_bench_201"

#: In the order of the authors' code, on which the published index depends.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

#: (source node, target node), in the order of the architecture strings.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

CHANNELS = (16, 32, 64)
CELLS = 5

#: Input and classes of the data sets of NAS-Bench-201, and of the tasks that HW-NAS-Bench-360 adds
#: (its `darcy` has a head of one output, as here).
DATASETS: Mapping[str, Mapping[str, int]] = {
    "cifar10": {"height": 32, "width": 32, "image_channels": 3, "classes": 10},
    "cifar100": {"height": 32, "width": 32, "image_channels": 3, "classes": 100},
    "ImageNet16-120": {"height": 16, "width": 16, "image_channels": 3, "classes": 120},
    "ninapro": {"height": 52, "width": 16, "image_channels": 1, "classes": 18},
    "darcy": {"height": 88, "width": 88, "image_channels": 1, "classes": 1},
}

#: Seed with which the published list of architectures, the product of the operations, is shuffled.
_SHUFFLE = 88


class NasBench201Settings(SizedSettings):
    """Input, classes and batch normalisation; see `SizedSettings`.

    Attributes
    ----------
    zeros
        Treatment of edges without operation; see `nas_bench_cell.Zeros`.
    """

    zeros: Zeros = "removed"

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield sizes that are not divisible by 4, as the two reductions require."""
        for key in ("height", "width"):
            size = data.get(key)
            if type(size) is int and size > 0 and size % 4:
                yield Flaw((key,), f"{size} cannot be halved twice", "a multiple of 4")


@dataclass(frozen=True)
class NasBench201(ArchitectureSpace):
    """NAS-Bench-201; choices are operations on `EDGES`."""

    @property
    def zeros(self) -> Zeros:
        """Treatment of edges without operation."""
        return cast("NasBench201Settings", self.settings).zeros

    def encode(self, native: Any) -> Choice:
        """Return the choice for an architecture string, six operations, or a published index.

        Raises
        ------
        InputError
            All faults at once.
        """
        if isinstance(native, str):
            return _parse(native)
        if is_index(native):
            order, at = published_order(), index(native)
            if not 0 <= at < len(order):
                raise input_error(f"no architecture has the index {at}", expected="0 to 15624")
            return order[at]
        if isinstance(native, Sequence):
            return _operations(cast("Sequence[Any]", native))
        raise input_error(
            f"{native!r} names no architecture", expected=f"such as {self.decode((0,) * 6)}"
        )

    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice as ``|nor_conv_3x3~0|+|...|``."""
        return _text(self.checked(choice))

    def published_index(self, choice: Sequence[int]) -> int:
        """Return the published index of a choice (``arch_idx``)."""
        return _published_index()[self.checked(choice)]

    def label(self, choice: Choice) -> str:
        """Return the architecture string."""
        return _text(choice)

    def normal(self, choice: Choice) -> Choice:
        """Return the lexicographically least choice of the same network."""
        return tuple(_canonical_table(self.zeros)[_rank(choice)].tolist())

    def canonical_rows(self, choices: npt.ArrayLike) -> Choices:
        """Return the canonical choices of rows ``(n, 6)``."""
        rows: Any = np.asarray(choices).reshape(-1, len(EDGES))
        if rows.dtype.kind not in "iu" or not np.all((rows >= 0) & (rows < len(OPERATIONS))):
            return super().canonical_rows(rows)
        return _canonical_table(self.zeros)[rows @ _PLACES]

    def connected(self, choice: Sequence[int]) -> bool:
        """Return whether the cell's output depends on its input."""
        return bool(resolve(self.checked(choice)).out)

    def notes(self, choice: Choice) -> tuple[str, ...]:
        """Return a note if the cell's output is zero."""
        if resolve(choice, self.zeros).out:
            return ()
        return ("the cell's output is zero: its network is costed as stem, reductions and head",)

    def parameter_faults(self, values: Mapping[str, Value]) -> list[Fault]:
        """Return the faults of sizes that are not divisible by 4."""
        return [
            Fault(f"{value} cannot be halved twice", path=name, expected="a multiple of 4")
            for name, value in values.items()
            if name in {"height", "width"} and _is_indivisible(value)
        ]

    def __iter__(self) -> Iterator[Choice]:
        """Iterate over all architectures in the order of the published index."""
        return iter(published_order())


def build(*, dataset: str = "cifar10", **settings: Any) -> NasBench201:
    """Return the space.

    Parameters
    ----------
    dataset
        One of `DATASETS`: input and classes, which `settings` may override.
    settings
        Fields of `SizedSettings`.

    Raises
    ------
    InputError
        All unknown or invalid settings.
    """
    checked = validate(NasBench201Settings, {**preset(dataset, DATASETS), **settings})
    decisions = tuple(ArchitectureDecision(f"edge_{a}_{b}", OPERATIONS) for a, b in EDGES)
    edges = tuple(range(len(EDGES)))
    segments: list[Segment] = [Segment("stem", (), 1, _stem)]
    built, variant_class = _cells(checked.zeros)
    for i, channels in enumerate(CHANNELS):
        if i:
            segments.append(Segment(f"reduction{i}", (), 1, partial(_reduction, channels)))
        segments.append(
            Segment(
                f"cells{i + 1}",
                edges,
                CELLS,
                built,
                variant_class,
                frozenset({"conv", "pool"}),
            )
        )
    segments.append(Segment("head", (), 1, partial(_head, checked.classes)))
    return NasBench201(NAME, checked, decisions, tuple(segments))


def _is_indivisible(value: Any) -> bool:
    """Return whether any number is not divisible by 4; other types are checked elsewhere."""
    if namespace(value) is not np:
        return False
    try:
        sizes = np.asarray(value)
    except ValueError:
        return False
    return sizes.dtype.kind in "iuf" and bool(np.any(sizes % 4 != 0))


def _stem(builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    return builder.conv_norm(x, CHANNELS[0], 3, name="conv")


def _reduction(channels: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add the residual block of stride 2 between two stages."""
    del choice
    # Rounded up, as in the convolution; sizes are even.
    short = builder.pool(x, 2, stride=2, ceil=True, name="shortcut.pool")
    short = builder.conv(short, channels, 1, bias=False, name="shortcut.conv")
    y = builder.elementwise("relu", x, name="a.relu")
    y = builder.conv_norm(y, channels, 3, stride=2, name="a.conv")
    y = builder.elementwise("relu", y, name="b.relu")
    y = builder.conv_norm(y, channels, 3, name="b.conv")
    return builder.elementwise("add", short, y, name="add")


def _head(classes: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    y = builder.norm(x, "batch_norm", name="norm")
    y = builder.elementwise("relu", y, name="relu")
    y = builder.global_pool(y, name="avgpool")
    return builder.linear(y, classes, name="fc", tag="head")


def cell(builder: ImageBuilder, x: Tensor, choice: Choice, zeros: Zeros = "removed") -> Tensor:
    """Add one cell; a cell without operators returns `x`.

    Convolutions of one node share its ReLU, and equal pools of a node are merged, as in graphs that
    are exported from the published networks; so are products with zero. In ``eager`` execution
    nothing is shared, and sums start from zero.
    """
    resolved = resolve(choice, zeros)
    values, shared = [x], zeros != "eager"
    results: dict[tuple[str, int], Tensor] = {}

    def once(function: str, source: int, add: Callable[[Tensor], Tensor]) -> Tensor:
        if not shared or (function, source) not in results:
            results[function, source] = add(values[source])
        return results[function, source]

    def apply(term: CellTerm, name: str) -> Tensor:
        operation, at = term
        if operation == SKIP:
            return values[at]
        if operation == NONE:
            return once("mul", at, lambda y: builder.elementwise("mul", y, name=f"{name}.zero"))
        if operation == AVG_POOL:
            pool = partial(builder.pool, kernel=3, stride=1, padding=1, name=f"{name}.pool")
            return once("pool", at, pool)
        y = once("relu", at, lambda y: builder.elementwise("relu", y, name=f"node{at}.relu"))
        kernel = {CONV_1X1: 1, CONV_3X3: 3}[operation]
        return builder.conv_norm(y, y.shape[1], kernel, name=f"{name}.conv{kernel}x{kernel}")

    for node, terms in enumerate((*resolved.values, resolved.out), 1):
        y: Tensor | None = None
        for term in terms:
            value = apply(term, f"node{node}")
            if y is not None:
                y = builder.elementwise("add", y, value, name=f"node{node}.add")
            else:
                y = value if shared else builder.elementwise("add", value, name=f"node{node}.start")
        values.append(x if y is None else y)
    return values[-1]


#: Term -> the term that represents it if kernel sizes are not distinguished.
_WITHOUT_KERNEL_SIZE = {
    CellTerm(operation, source): CellTerm(CONV_3X3 if operation == CONV_1X1 else operation, source)
    for operation in range(len(OPERATIONS))
    for source in range(4)
}


#: Cached, because several functions resolve each cell of the space.
_resolved = lru_cache(maxsize=len(OPERATIONS) ** len(EDGES))(resolve)


def cell_variant_class(choice: Choice, zeros: Zeros = "removed") -> VariantClass:
    """Return the equivalence class of a cell: its shape up to kernel sizes, and its operations."""
    resolved = _resolved(choice, zeros)
    sums = (*resolved.values, resolved.out)
    shape = tuple([tuple([_WITHOUT_KERNEL_SIZE[term] for term in terms]) for terms in sums])
    operations: list[str] = []
    pooled: set[int] = set()
    for terms in sums:
        for operation, source in terms:
            if operation in (SKIP, NONE):
                continue
            if operation == AVG_POOL:
                if source in pooled and zeros != "eager":
                    continue
                pooled.add(source)
            operations.append(OPERATIONS[operation])
    return VariantClass(shape, tuple(operations))


@lru_cache(maxsize=4)
def _cells(
    zeros: Zeros,
) -> tuple[Callable[[ImageBuilder, Tensor, Choice], Tensor], Callable[[Choice], VariantClass]]:
    """Return the builder of cells and the function that classifies them.

    The same objects serve all stages and images, so that their caches are shared.
    """
    return partial(cell, zeros=zeros), partial(cell_variant_class, zeros=zeros)


# Notation.

_PLACES = len(OPERATIONS) ** np.arange(len(EDGES))[::-1]


def _rank(choice: Choice) -> int:
    rank = 0
    for option in choice:
        rank = rank * len(OPERATIONS) + option
    return rank


@lru_cache(maxsize=4)
def _canonical_table(zeros: Zeros) -> Choices:
    """Return, per choice in lexicographic order, the least choice of the same network."""
    least: dict[Any, Choice] = {}
    rows = [
        least.setdefault(_resolved(choice, zeros), choice)
        for choice in product(range(len(OPERATIONS)), repeat=len(EDGES))
    ]
    return np.array(rows, dtype=np.int64)


@lru_cache(maxsize=1)
def published_order() -> tuple[Choice, ...]:
    """Return all choices in the order of the published benchmark's index.

    The authors list the product of the operations over the edges and shuffle it with Python's
    random generator and a fixed seed.
    """
    order = list(product(range(len(OPERATIONS)), repeat=len(EDGES)))
    random.Random(_SHUFFLE).shuffle(order)
    return tuple(order)


@lru_cache(maxsize=1)
def _published_index() -> dict[Choice, int]:
    return {choice: i for i, choice in enumerate(published_order())}


def _text(choice: Choice) -> str:
    nodes: dict[int, str] = {}
    for (source, node), option in zip(EDGES, choice, strict=True):
        nodes[node] = nodes.get(node, "|") + f"{OPERATIONS[option]}~{source}|"
    return "+".join(nodes.values())


def _option(operation: Any, path: str, faults: list[Fault]) -> int:
    """Return the index of an operation; a fault, and 0, if it is unknown."""
    if isinstance(operation, str) and operation in OPERATIONS:
        return OPERATIONS.index(operation)
    faults.append(
        Fault(
            f"{operation!r} is not an operation",
            path=path,
            expected=one_of(OPERATIONS),
            suggestion=nearest(str(operation), OPERATIONS),
        )
    )
    return NONE


def _operations(operations: Sequence[Any]) -> Choice:
    """Return the choice of six operation names."""
    faults: list[Fault] = []
    if len(operations) != len(EDGES):
        raise input_error(
            f"{len(operations)} operations", expected="6, for the edges 0-1 0-2 1-2 0-3 1-3 2-3"
        )
    choice = tuple(
        _option(name, f"edge_{a}_{b}", faults)
        for (a, b), name in zip(EDGES, operations, strict=True)
    )
    if faults:
        raise InputError(faults)
    return choice


def _parse(text: str) -> Choice:
    """Return the choice of an architecture string, reporting every fault."""
    faults: list[Fault] = []
    nodes = text.strip().split("+")
    if len(nodes) != 3:
        faults.append(Fault(f"{len(nodes)} nodes in {text!r}", expected="3, joined by '+'"))
    choice: list[int] = []
    for node, part in enumerate(nodes[:3], 1):
        part = part.strip()
        if not (part.startswith("|") and part.endswith("|") and len(part) > 1):
            faults.append(
                Fault(
                    f"{part!r} is not a node",
                    path=f"node {node}",
                    expected="'|operation~source|...|'",
                )
            )
        inputs = part.strip("|").split("|")
        if len(inputs) != node:
            faults.append(Fault(f"{len(inputs)} edges", path=f"node {node}", expected=f"{node}"))
        for source, item in enumerate(inputs[:node]):
            name, _, origin = item.partition("~")
            path = f"edge_{source}_{node}"
            choice.append(_option(name, path, faults))
            if origin != str(source):
                faults.append(
                    Fault(f"{item!r} comes from {origin!r}", path=path, expected=f"'~{source}'")
                )
    if faults:
        raise InputError(faults)
    return tuple(choice)
