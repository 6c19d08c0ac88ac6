"""Family ``cells``: networks of searched cells (NASNet, PNASNet, AmoebaNet, DARTS).

A cell has two inputs, the outputs of the two cells before it, each brought to the cell's channels
and size. A node adds two operations on earlier states; some states are concatenated. The form is
that of Zoph et al. 2018 (arXiv:1707.07012); Liu et al. 2018 and 2019 and Real et al. 2019 fill it
with other operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import Field

from perfmodel.frozen import Count, FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images

Operation = Literal[
    "skip", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5",
    "conv_1x1", "bottleneck_3x3", "bottleneck_1x7_7x1", "max_pool_2x2", "max_pool_3x3",
    "avg_pool_3x3",
]  # fmt: skip
_State = Annotated[int, Field(ge=0, le=100)]


class Cell(FrozenModel):
    """A cell.

    Attributes
    ----------
    nodes
        ``[operation, state, operation, state]`` each: the sum of two operations. States 0 and 1 are
        the cell's inputs (the output of the cell before last, and of the last one), state ``i + 2``
        is node ``i``.
    concat
        States that make the output.
    """

    nodes: Annotated[tuple[tuple[Operation, _State, Operation, _State], ...],
                     Field(min_length=1, max_length=50)]  # fmt: skip
    concat: Annotated[tuple[_State, ...], Field(min_length=1, max_length=50)]


class StemConvolution(FrozenModel):
    """A 3x3 convolution before the cells.

    Attributes
    ----------
    padding
        1 keeps ``ceil(n / stride)``, 0 drops the border.
    """

    channels: Count
    stride: Literal[1, 2] = 2
    padding: Literal[0, 1] = 1


class CellStage(FrozenModel):
    """Cells of one width.

    Attributes
    ----------
    channels
        Channels of each state of the stage's cells.
    reduce
        The stage begins with a reduction cell, which halves height and width.
    normal
        Normal cells after it.
    """

    channels: Count
    reduce: bool = True
    normal: Annotated[int, Field(ge=0, le=1000)] = 0


class CellsStructure(ImageStructure):
    """Shape of a network of cells.

    Attributes
    ----------
    stem
        Convolutions first; all but the first have a ReLU before them. The last two outputs are the
        inputs of the first cell.
    normal, reduction
        The two kinds of cells.
    stages
        Cells in order.
    raw_first
        The first cell takes the stem's output as it is for its state 0.
    strided_skip
        What ``skip`` becomes where a reduction cell halves its input: two strided 1x1 convolutions
        side by side (``factorised``) or one (``conv``).
    skip_reduction_input
        The first normal cell of a stage takes for its state 0 what the stage's reduction cell took,
        not the cell before the reduction (NASNet-A large).
    head_activation
        Whether a ReLU stands before the last pooling.
    """

    stem: Annotated[tuple[StemConvolution, ...], Field(min_length=1, max_length=10)]
    normal: Cell
    reduction: Cell
    stages: Annotated[tuple[CellStage, ...], Field(min_length=1, max_length=50)]
    raw_first: bool = False
    strided_skip: Literal["factorised", "conv"] = "factorised"
    skip_reduction_input: bool = False
    head_activation: bool = False

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield states that a cell reads before they exist, or that are larger than its output."""
        for key in ("normal", "reduction"):
            cell = data.get(key)
            if not isinstance(cell, Mapping):
                continue
            fields = cast("Mapping[str, Any]", cell)
            nodes: list[Any] = _items(fields.get("nodes"))
            for i, node in enumerate(nodes):
                for place in (1, 3):
                    state = _items(node)[place : place + 1]
                    if state and type(state[0]) is int and state[0] >= i + 2:
                        yield Flaw((key, "nodes", i, place), f"node {i} reads state {state[0]}, "
                                   "which comes later", f"below {i + 2}")  # fmt: skip
            for i, state in enumerate(_items(fields.get("concat"))):
                if type(state) is int and state >= len(nodes) + 2:
                    yield Flaw((key, "concat", i), f"there is no state {state}",
                               f"below {len(nodes) + 2}")  # fmt: skip
                elif key == "reduction" and type(state) is int and state < 2:
                    yield Flaw((key, "concat", i), f"state {state} is an input, which is twice as "
                               "high and wide as the output", "2 or more")  # fmt: skip


def _items(value: Any) -> list[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(cast("Sequence[Any]", value))
    return []


class _Feature(NamedTuple):
    """A tensor and how often its height and width were halved."""

    tensor: Tensor
    halvings: int


class _CellBuilder(ImageBuilder):
    """The builder with the operations of cells."""

    def __init__(self, s: CellsStructure) -> None:
        super().__init__("cells", folded=s.batch_norm == "folded")
        self.s = s

    def relu_conv_norm(
        self, x: Tensor, channels: int, name: str, *, kernel: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
    ) -> Tensor:  # fmt: skip
        x = self.elementwise("relu", x, name=f"{name}.relu")
        return self.conv_norm(x, channels, kernel, stride=stride, padding="same", name=name)

    def factorised(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Halve height and width by two 1x1 convolutions, the second over shifted pixels."""
        x = self.elementwise("relu", x, name=f"{name}.relu")
        halves = [
            self.conv(
                x, each, 1, stride=2, padding="same", bias=self.folded, name=f"{name}.path{i + 1}"
            )
            for i, each in enumerate((channels // 2, channels - channels // 2))
        ]
        y = self.concat(halves, f"{name}.concat")
        return y if self.folded else self.norm(y, "batch_norm", name=f"{name}.norm")

    def separable(self, x: Tensor, channels: int, kernel: int, stride: int, name: str) -> Tensor:
        """Add ReLU, depthwise, pointwise and normalisation, twice; the first may stride."""
        for i, step in enumerate((stride, 1)):
            x = self.depth_point(x, channels, kernel, step, 1, f"{name}.{i + 1}")
        return x

    def depth_point(
        self, x: Tensor, channels: int, kernel: int, stride: int, dilation: int, name: str
    ) -> Tensor:
        x = self.elementwise("relu", x, name=f"{name}.relu")
        x = self.conv(
            x, x.shape[1], kernel, stride=stride, padding="same", dilation=dilation,
            groups=x.shape[1], bias=False, name=f"{name}.depthwise",
        )  # fmt: skip
        return self.conv_norm(x, channels, 1, name=f"{name}.pointwise")

    def bottleneck(
        self, x: Tensor, channels: int, kernels: Sequence[tuple[int, int]], stride: int, name: str
    ) -> Tensor:
        """Add convolutions at a quarter of the channels between two 1x1; `stride` over them all."""
        inner = max(1, channels // 4)
        x = self.relu_conv_norm(x, inner, f"{name}.reduce")
        for i, kernel in enumerate(kernels):
            if len(kernels) == 1:
                steps = (stride, stride)
            else:
                steps = (1, stride) if kernel[0] == 1 else (stride, 1)
            x = self.relu_conv_norm(x, inner, f"{name}.conv{i + 1}", kernel=kernel, stride=steps)
        return self.relu_conv_norm(x, channels, f"{name}.expand")

    def operation(self, x: Tensor, kind: str, channels: int, stride: int, name: str) -> Tensor:
        """Add one operation of a cell."""
        if kind == "skip":
            if stride == 1:
                return x
            if self.s.strided_skip == "conv":
                return self.relu_conv_norm(x, channels, name, stride=stride)
            return self.factorised(x, channels, name)
        size = int(kind[-1])
        if kind.startswith("sep_conv"):
            return self.separable(x, channels, size, stride, name)
        if kind.startswith("dil_conv"):
            return self.depth_point(x, channels, size, stride, 2, name)
        if kind == "conv_1x1":
            return self.relu_conv_norm(x, channels, name, stride=stride)
        if kind == "bottleneck_3x3":
            return self.bottleneck(x, channels, [(3, 3)], stride, name)
        if kind == "bottleneck_1x7_7x1":
            return self.bottleneck(x, channels, [(1, 7), (7, 1)], stride, name)
        y = self.pool(x, size, stride=stride, padding="same", name=name)
        if x.shape[1] != channels:
            y = self.conv_norm(y, channels, 1, name=f"{name}.project")
        return y

    def cell(
        self, before: _Feature, last: _Feature, channels: int, *, reduction: bool, raw: bool,
        name: str,
    ) -> _Feature:  # fmt: skip
        """Add one cell over the outputs of the two before it."""
        cell = self.s.reduction if reduction else self.s.normal
        left = before.tensor
        if before.halvings != last.halvings:
            left = self.factorised(left, channels, f"{name}.left")
        elif not raw:
            left = self.relu_conv_norm(left, channels, f"{name}.left")
        states = [left, self.relu_conv_norm(last.tensor, channels, f"{name}.right")]
        for i, (first, a, second, b) in enumerate(cell.nodes):
            terms = [
                self.operation(
                    states[at], kind, channels, 2 if reduction and at < 2 else 1,
                    f"{name}.node{i + 1}.{side}",
                )
                for kind, at, side in ((first, a, "first"), (second, b, "second"))
            ]  # fmt: skip
            states.append(self.elementwise("add", *terms, name=f"{name}.node{i + 1}"))
        y = self.concat([states[i] for i in cell.concat], f"{name}.concat")
        return _Feature(y, last.halvings + reduction)


def build(structure: CellsStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = _CellBuilder(s)
    stem: list[_Feature] = []
    x, halvings = g.image(s.image_channels), 0
    for i, conv in enumerate(s.stem):
        if i:
            x = g.elementwise("relu", x, name=f"stem{i}.relu")
        halvings += conv.stride - 1
        x = g.conv_norm(
            x, conv.channels, 3, stride=conv.stride, padding=conv.padding, name=f"stem{i + 1}"
        )
        stem.append(_Feature(x, halvings))
    before, last = stem[-2:] if len(stem) > 1 else (stem[0], stem[0])
    skipped, count = before, 0
    for stage in s.stages:
        reductions = (*((True,) if stage.reduce else ()), *((False,) * stage.normal))
        for i, reduction in enumerate(reductions):
            raw = s.raw_first and count == 0
            if s.skip_reduction_input and i == 1 and reductions[0]:
                before = skipped
            made = g.cell(
                before, last, stage.channels, reduction=reduction, raw=raw, name=f"cell{count}"
            )
            skipped, before, last, count = before, last, made, count + 1
    x = last.tensor
    if s.head_activation:
        x = g.elementwise("relu", x, name="head.relu")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


parameters = images(224, 224)

FAMILY_CELLS = Family("cells", CellsStructure, parameters, build, frames)
