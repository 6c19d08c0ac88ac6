"""FBNet: 22 layers, each one of nine blocks (Wu et al. 2019, arXiv:1812.03443).

Layers and strides follow HW-NAS-Bench (Li et al. 2021), which measured this space on 32 x 32 images
of CIFAR-100 and on ImageNet; its architecture strings, 22 numbers from 0 to 8, are also used in the
HELP files. A skip that preserves size and channels is the tensor itself; any other is a 1x1
convolution with batch normalisation and ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

from pydantic import Field

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.specfile import validate
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.nas_spaces.architecture_space import (
    ArchitectureDecision,
    ArchitectureSpace,
    Choice,
    Segment,
    SizedSettings,
    is_index,
    preset,
)

NAME = "fbnet"

BLOCKS = (
    "k3_e1",
    "k3_e1_g2",
    "k3_e3",
    "k3_e6",
    "k5_e1",
    "k5_e1_g2",
    "k5_e3",
    "k5_e6",
    "skip",
)
SKIP = BLOCKS.index("skip")

STEM = 16
CHANNELS = (16, 24, 32, 64, 112, 184, 352)
LAYERS = (1, 4, 4, 4, 4, 4, 1)

#: The two variants that HW-NAS-Bench measured.
DATASETS: Mapping[str, Mapping[str, Any]] = {
    "cifar100": {
        "height": 32,
        "width": 32,
        "classes": 100,
        "stem_stride": 1,
        "strides": (1, 1, 2, 2, 1, 2, 1),
        "head": 1504,
    },
    "imagenet": {
        "height": 224,
        "width": 224,
        "classes": 1000,
        "stem_stride": 2,
        "strides": (1, 2, 2, 2, 1, 2, 1),
        "head": 1984,
    },
}

_Stride = Annotated[int, Field(ge=1, le=2)]


class FbnetSettings(SizedSettings):
    """Input, classes, and the properties in which the variants of the space differ.

    Attributes
    ----------
    stem_stride
        Stride of the first convolution.
    strides
        Stride of the first layer of each of the seven stages.
    head
        Channels of the last 1x1 convolution.
    """

    stem_stride: _Stride
    strides: Annotated[tuple[_Stride, ...], Field(min_length=7, max_length=7)]
    head: int = Field(gt=0, le=10**5)


class _FbnetLayer(NamedTuple):
    inputs: int
    outputs: int
    stride: int

    @property
    def keeps(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


class _FbnetBlock(NamedTuple):
    kernel: int
    expand: int
    groups: int


def _block(name: str) -> _FbnetBlock:
    kernel, expand, *groups = (int(part[1:]) for part in name.split("_"))
    return _FbnetBlock(kernel, expand, groups[0] if groups else 1)


@dataclass(frozen=True)
class Fbnet(ArchitectureSpace):
    """FBNet; choices are indices into `BLOCKS`, one per layer."""

    def encode(self, native: Any) -> Choice:
        """Return the choice for ``7-8-1-...``, 22 such numbers, or 22 names of `BLOCKS`.

        Raises
        ------
        InputError
            All faults at once.
        """
        blocks = native.strip().split("-") if isinstance(native, str) else native
        if not isinstance(blocks, Sequence):
            raise input_error(f"{native!r} names no architecture", expected="22 blocks")
        items = list(cast("Sequence[Any]", blocks))
        faults: list[Fault] = []
        if len(items) != len(self.decisions):
            faults.append(Fault(f"{len(items)} blocks", expected=f"{len(self.decisions)}"))
        choice = [
            _option(item, f"layer{i + 1}", faults)
            for i, item in enumerate(items[: len(self.decisions)])
        ]
        if faults:
            raise InputError(faults)
        return tuple(choice)

    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice as ``7-8-1-...``."""
        return "-".join(map(str, self.checked(choice)))

    def normal(self, choice: Choice) -> Choice:
        """Return the choice with skips moved to the end of each run of equal layers."""
        if SKIP not in choice:
            return choice
        normal: list[int] = []
        run: list[int] = []
        for layer, option in zip(
            _layers(cast("FbnetSettings", self.settings)), choice, strict=True
        ):
            if not layer.keeps:
                normal += sorted(run, key=SKIP.__eq__)
                normal.append(option)
                run = []
            else:
                run.append(option)
        return (*normal, *sorted(run, key=SKIP.__eq__))


def build(*, dataset: str = "cifar100", **settings: Any) -> Fbnet:
    """Return the space.

    Parameters
    ----------
    dataset
        One of `DATASETS`, the source of all fields that `settings` omit.
    settings
        Fields of `FbnetSettings`.

    Raises
    ------
    InputError
        All unknown or invalid settings.
    """
    checked = validate(FbnetSettings, {**preset(dataset, DATASETS), **settings})
    layers = _layers(checked)
    decisions = tuple(ArchitectureDecision(f"layer{i + 1}", BLOCKS) for i in range(len(layers)))
    segments = (
        Segment("stem", (), 1, partial(_stem, checked.stem_stride)),
        *(
            Segment(f"layer{i + 1}", (i,), 1, partial(_layer, layer))
            for i, layer in enumerate(layers)
        ),
        Segment("head", (), 1, partial(_head, checked.head, checked.classes)),
    )
    return Fbnet(NAME, checked, decisions, segments)


def _layers(settings: FbnetSettings) -> list[_FbnetLayer]:
    inputs, layers = STEM, list[_FbnetLayer]()
    for outputs, repeats, stride in zip(CHANNELS, LAYERS, settings.strides, strict=True):
        for i in range(repeats):
            layers.append(_FbnetLayer(inputs, outputs, 1 if i else stride))
            inputs = outputs
    return layers


def _stem(stride: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    return builder.conv_norm(x, STEM, 3, stride=stride, activation="relu", name="conv")


def _layer(layer: _FbnetLayer, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add one layer: expansion, shuffle if grouped, depthwise, projection, residual sum."""
    if choice[0] == SKIP:
        if layer.keeps:
            return x
        return builder.conv_norm(
            x, layer.outputs, 1, stride=layer.stride, activation="relu", name="skip"
        )
    block = _block(BLOCKS[choice[0]])
    inner = layer.inputs * block.expand
    y = builder.conv_norm(x, inner, 1, groups=block.groups, activation="relu", name="expand")
    if block.groups > 1:
        y = builder.copy([y], y.shape, name="shuffle")
    y = builder.conv_norm(
        y,
        inner,
        block.kernel,
        stride=layer.stride,
        groups=inner,
        activation="relu",
        name="depthwise",
    )
    y = builder.conv_norm(y, layer.outputs, 1, groups=block.groups, name="project")
    return builder.elementwise("add", y, x, name="add") if layer.keeps else y


def _head(channels: int, classes: int, builder: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    y = builder.conv_norm(x, channels, 1, activation="relu", name="conv")
    y = builder.global_pool(y, name="avgpool")
    return builder.linear(y, classes, name="fc", tag="head")


def _option(block: Any, path: str, faults: list[Fault]) -> int:
    text = str(int(block)) if is_index(block) else str(block).strip()
    if text in BLOCKS:
        return BLOCKS.index(text)
    if text.isdecimal() and len(text) == 1 and int(text) < len(BLOCKS):
        return int(text)
    faults.append(
        Fault(
            f"{text!r} is not a block",
            path=path,
            expected=f"0 to {len(BLOCKS) - 1}, or one of " + ", ".join(BLOCKS),
            suggestion=nearest(text, BLOCKS),
        )
    )
    return 0
