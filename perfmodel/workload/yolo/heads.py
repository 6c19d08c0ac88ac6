"""Heads of the YOLO detectors: convolutions on each scale, up to the scores; no suppression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.yolo.builder import YoloBuilder, width_of

#: Outputs a pixel beside boxes and classes, by task: mask coefficients, keypoints, an angle.
EXTRA: Final[Mapping[str, int]] = {"detect": 0, "segment": 32, "pose": 51, "oriented": 1}


def anchors(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """Three anchors a pixel, one 1x1 convolution a scale (YOLOv2 to v7)."""
    outputs = [
        g.conv(x, 3 * (classes + 5 + EXTRA[task]), 1, name=f"head.{i}") for i, x in enumerate(xs)
    ]
    return outputs + (_prototypes(g, xs[0], proto, upsampled=True) if task == "segment" else [])


def _prototypes(g: YoloBuilder, x: Tensor, c: int, *, upsampled: bool) -> list[Tensor]:
    """Masks at a quarter of the image: 3x3, twice the size, 3x3, 1x1."""
    y = g.unit(x, c, 3, name="proto.cv1")
    if upsampled:
        y = g.resize(y, tuple(2 * n for n in y.shape[2:]), name="proto.up", ops=0)
    else:
        y = g.conv(y, c, 2, stride=2, transposed=True, name="proto.up")
    y = g.unit(y, c, 3, name="proto.cv2")
    return [g.unit(y, 32, 1, name="proto.cv3")]


def _branch(
    g: YoloBuilder, x: Tensor, c: int, outputs: int, name: str, *, light: bool = False
) -> Tensor:
    """Two 3x3 convolutions (separable where light) and a 1x1."""
    for i in range(2):
        if light:
            x = g.unit(x, width_of(x), 3, groups=width_of(x), name=f"{name}.{i}.depthwise")
            x = g.unit(x, c, 1, name=f"{name}.{i}.pointwise")
        else:
            x = g.unit(x, c, 3, name=f"{name}.{i}")
    return g.conv(x, outputs, 1, name=f"{name}.out")


def distributed(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """Boxes as distributions of 16 distances, classes apart (YOLOv8, v9)."""
    return _decoupled(g, xs, classes, task, proto, light=False)


def light(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """The same with separable convolutions for the classes (YOLOv10, YOLO11)."""
    return _decoupled(g, xs, classes, task, proto, light=True)


def _decoupled(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int, *, light: bool
) -> list[Tensor]:
    first, extra = width_of(xs[0]), EXTRA[task]
    boxes, scores = max(16, first // 4, 64), max(first, min(classes, 100))
    outputs: list[Tensor] = []
    for i, x in enumerate(xs):
        outputs.append(_branch(g, x, boxes, 64, f"head.{i}.box"))
        outputs.append(_branch(g, x, scores, classes, f"head.{i}.class", light=light))
        if extra:
            inner = max(first // 4, extra)
            outputs.append(_branch(g, x, inner, extra, f"head.{i}.{task}"))
    return outputs + (_prototypes(g, xs[0], proto, upsampled=False) if task == "segment" else [])


def decoupled(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """A stem, then two 3x3 convolutions each for class and box with objectness (YOLOX)."""
    return _two_towers(g, xs, classes, light=False)


def decoupled_light(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """The same with separable convolutions (YOLOX-Nano)."""
    return _two_towers(g, xs, classes, light=True)


def _two_towers(g: YoloBuilder, xs: Sequence[Tensor], classes: int, *, light: bool) -> list[Tensor]:
    outputs: list[Tensor] = []
    width = width_of(xs[0])

    def conv(x: Tensor, name: str) -> Tensor:
        if not light:
            return g.unit(x, width, 3, name=name)
        x = g.unit(x, width, 3, groups=width, name=f"{name}.depthwise")
        return g.unit(x, width, 1, name=f"{name}.pointwise")

    for i, x in enumerate(xs):
        stem = g.unit(x, width, 1, name=f"head.{i}.stem")
        a = b = stem
        for j in range(2):
            a, b = conv(a, f"head.{i}.class.{j}"), conv(b, f"head.{i}.box.{j}")
        outputs.append(g.conv(a, classes, 1, name=f"head.{i}.class.out"))
        outputs.append(g.conv(b, 4, 1, name=f"head.{i}.box.out"))
        outputs.append(g.conv(b, 1, 1, name=f"head.{i}.object.out"))
    return outputs


def efficient(
    g: YoloBuilder, xs: Sequence[Tensor], classes: int, task: str, proto: int
) -> list[Tensor]:
    """YOLOv6: a stem and one 3x3 convolution each for class and box, without objectness."""
    outputs: list[Tensor] = []
    for i, x in enumerate(xs):
        stem = g.unit(x, width_of(x), 1, name=f"head.{i}.stem")
        for what, count in (("class", classes), ("box", 4)):
            y = g.unit(stem, width_of(x), 3, name=f"head.{i}.{what}")
            outputs.append(g.conv(y, count, 1, name=f"head.{i}.{what}.out"))
    return outputs


Head = Callable[[YoloBuilder, Sequence[Tensor], int, str, int], list[Tensor]]

#: Heads by name.
HEADS: Final[Mapping[str, Head]] = {
    "anchors": anchors, "distributed": distributed, "light": light, "decoupled": decoupled,
    "decoupled_light": decoupled_light,
    "efficient": efficient,
}  # fmt: skip
