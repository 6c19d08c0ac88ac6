"""FBNet: 22 layers, each one of nine blocks (Wu et al. 2019, arXiv:1812.03443).

Layers and strides follow HW-NAS-Bench (Li et al. 2021), which measured this space on 32 x 32 images
of CIFAR-100 and on ImageNet; its strings, 22 numbers from 0 to 8, are those of the HELP files too.
There, a skip that keeps size and channels is the tensor itself; one that does not is a 1x1
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
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.nas_spaces.base import (
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
    """Input, classes, and what the variants of the space differ in.

    Attributes
    ----------
    stem_stride
        Of the first convolution.
    strides
        Of the first layer of each of the seven stages.
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
    """The space; choices are indices into `BLOCKS`, one per layer."""

    def encode(self, native: Any) -> Choice:
        """Return the choice of ``7-8-1-...``, of 22 such numbers, or of 22 names of `BLOCKS`.

        Raises
        ------
        InputError
            Every fault of it at once.
        """
        given = native.strip().split("-") if isinstance(native, str) else native
        if not isinstance(given, Sequence):
            raise input_error(f"{native!r} names no architecture", expected="22 blocks")
        items = list(cast("Sequence[Any]", given))
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
        """Return the choice with the skips of each run of equal layers at its end."""
        if SKIP not in choice:
            return choice
        made: list[int] = []
        run: list[int] = []
        for layer, option in zip(
            _layers(cast("FbnetSettings", self.settings)), choice, strict=True
        ):
            if not layer.keeps:
                made += sorted(run, key=SKIP.__eq__)
                made.append(option)
                run = []
            else:
                run.append(option)
        return (*made, *sorted(run, key=SKIP.__eq__))


def build(*, dataset: str = "cifar100", **settings: Any) -> Fbnet:
    """Return the space.

    Parameters
    ----------
    dataset
        One of `DATASETS`: what `settings` do not say.
    settings
        Fields of `FbnetSettings`.

    Raises
    ------
    InputError
        Every unknown or bad setting.
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
    inputs, made = STEM, list[_FbnetLayer]()
    for outputs, repeats, stride in zip(CHANNELS, LAYERS, settings.strides, strict=True):
        for i in range(repeats):
            made.append(_FbnetLayer(inputs, outputs, 1 if i else stride))
            inputs = outputs
    return made


def _stem(stride: int, g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    return g.conv_norm(x, STEM, 3, stride=stride, activation="relu", name="conv")


def _layer(layer: _FbnetLayer, g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    """Add one layer: expand, shuffle where grouped, depthwise, project, add."""
    if choice[0] == SKIP:
        if layer.keeps:
            return x
        return g.conv_norm(x, layer.outputs, 1, stride=layer.stride, activation="relu", name="skip")
    block = _block(BLOCKS[choice[0]])
    inner = layer.inputs * block.expand
    y = g.conv_norm(x, inner, 1, groups=block.groups, activation="relu", name="expand")
    if block.groups > 1:
        y = g.copy([y], y.shape, name="shuffle")
    y = g.conv_norm(
        y,
        inner,
        block.kernel,
        stride=layer.stride,
        groups=inner,
        activation="relu",
        name="depthwise",
    )
    y = g.conv_norm(y, layer.outputs, 1, groups=block.groups, name="project")
    return g.elementwise("add", y, x, name="add") if layer.keeps else y


def _head(channels: int, classes: int, g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    y = g.conv_norm(x, channels, 1, activation="relu", name="conv")
    y = g.global_pool(y, name="avgpool")
    return g.linear(y, classes, name="fc", tag="head")


def _option(given: Any, path: str, faults: list[Fault]) -> int:
    text = str(int(given)) if is_index(given) else str(given).strip()
    if text in BLOCKS:
        return BLOCKS.index(text)
    if text.isdecimal() and len(text) == 1 and int(text) < len(BLOCKS):
        return int(text)
    faults.append(
        Fault(
            f"{text!r} is no block",
            path=path,
            expected=f"0 to {len(BLOCKS) - 1}, or one of " + ", ".join(BLOCKS),
            suggestion=nearest(text, BLOCKS),
        )
    )
    return 0
