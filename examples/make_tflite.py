"""Write an int8 TensorFlow Lite file of a network of MLPerf Tiny's, with weights of zero.

    python examples/make_tflite.py kws kws_int8.tflite

``kws`` is the DS-CNN of keyword spotting, ``vww`` the MobileNetV1 of visual wake words,
``mobilenet_v1`` the same at full width for ImageNet, which no small microcontroller holds. The
layers are those of the benchmark's training code; the file runs in LiteRT and in TensorFlow Lite
Micro.
"""

from __future__ import annotations

import argparse
import struct
from dataclasses import dataclass, field
from pathlib import Path

_WIDTHS = {"b": 1, "B": 1, "h": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8, "?": 1}


@dataclass
class Numbers:
    """A vector of numbers (a struct letter); ``align`` where what follows its length must lie."""

    kind: str
    values: bytes | list[int] | list[float]
    align: int = 4


@dataclass
class Table:
    """A flatbuffer table: slot -> ``(letter, number)``, text, `Numbers`, a table or a list."""

    fields: dict[int, object]


def flatbuffer(root: Table, identifier: bytes) -> bytes:
    """Lay tables out one after the other; offsets then all point forward."""
    out = bytearray(struct.pack("<I", 0) + identifier)
    waiting: list[tuple[int, object]] = [(0, root)]
    while waiting:
        place, item = waiting.pop(0)
        out += bytes(-len(out) % 16)
        if isinstance(item, Table):
            at = _table(out, item, waiting)
        elif isinstance(item, str):
            at = len(out)
            out += struct.pack("<I", len(item.encode())) + item.encode() + b"\0"
        elif isinstance(item, Numbers):
            out += bytes((-len(out) - 4) % max(item.align, 4))
            at = len(out)
            values = item.values
            out += struct.pack("<I", len(values))
            out += (
                values
                if isinstance(values, bytes)
                else struct.pack(f"<{len(values)}{item.kind}", *values)
            )
        else:
            assert isinstance(item, list)
            at = len(out)
            out += struct.pack("<I", len(item)) + bytes(4 * len(item))
            waiting += [(at + 4 + 4 * i, entry) for i, entry in enumerate(item)]
        struct.pack_into("<I", out, place, at - place)
    return bytes(out)


def _table(out: bytearray, table: Table, waiting: list[tuple[int, object]]) -> int:
    inline, places = 4, {}
    for slot, value in sorted(
        table.fields.items(), key=lambda f: -_WIDTHS.get(f[1][0], 4) if type(f[1]) is tuple else -4
    ):
        width = _WIDTHS[value[0]] if isinstance(value, tuple) else 4
        inline += -inline % width
        places[slot] = inline
        inline += width
    count = max(table.fields, default=-1) + 1
    vtable = len(out)
    out += struct.pack("<HH", 4 + 2 * count, inline)
    out += struct.pack(f"<{count}H", *(places.get(i, 0) for i in range(count)))
    out += bytes(-len(out) % 8)
    at = len(out)
    out += struct.pack("<i", at - vtable) + bytes(inline - 4)
    for slot, value in table.fields.items():
        if isinstance(value, tuple):
            struct.pack_into(f"<{value[0]}", out, at + places[slot], value[1])
        else:
            waiting.append((at + places[slot], value))
    return at


#: Numbers of the schema: builtin operators with their options, and element types.
CONV, DEPTHWISE, POOL, RESHAPE, DENSE, SOFTMAX = (3, 1), (4, 2), (1, 5), (22, 17), (9, 8), (25, 9)
INT8, INT32 = 9, 2

#: Version of each operator that first took int8.
VERSIONS = {3: 3, 4: 3, 1: 2, 22: 1, 9: 4, 25: 2}


@dataclass
class Network:
    """Tensors and operators of one subgraph as they are added."""

    tensors: list[Table] = field(default_factory=list)
    buffers: list[Table] = field(default_factory=lambda: [Table({})])
    operators: list[Table] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int = INT8,
        content: bytes | None = None,
        scales: int = 1,
        scale: float = 0.0625,
        zero: int = 0,
    ) -> int:
        """Add a tensor, with a scale and a zero point, or one each a channel."""
        buffer = 0
        if content is not None:
            buffer = len(self.buffers)
            self.buffers.append(Table({0: Numbers("B", content, 16)}))
        quantised = {2: Numbers("f", [scale] * scales), 3: Numbers("q", [zero] * scales, 8)}
        # A depthwise convolution's channels are the last axis, any other's the first.
        if scales > 1 and len(shape) == 4 and shape[0] == 1:
            quantised[6] = ("i", 3)
        self.tensors.append(
            Table(
                {
                    0: Numbers("i", list(shape)),
                    1: ("b", kind),
                    2: ("I", buffer),
                    3: name,
                    4: Table(quantised),
                }
            )
        )
        self.shapes.append(shape)
        return len(self.tensors) - 1

    def weights(self, name: str, shape: tuple[int, ...], channels: int) -> tuple[int, int]:
        """Add weights and a bias of zero."""
        size = 1
        for extent in shape:
            size *= extent
        w = self.tensor(f"{name}/weights", shape, INT8, bytes(size), channels)
        return w, self.tensor(
            f"{name}/bias", (channels,), INT32, bytes(4 * channels), channels, 0.0625**2
        )

    def operator(
        self,
        code: tuple[int, int],
        inputs: list[int],
        shape: tuple[int, ...],
        name: str,
        options: dict[int, object],
        **quantised: float,
    ) -> int:
        """Add an operator and what it makes."""
        if code[0] not in self.codes:
            self.codes.append(code[0])
        out = self.tensor(name, shape, **quantised)
        self.operators.append(
            Table(
                {
                    0: ("I", self.codes.index(code[0])),
                    1: Numbers("i", inputs),
                    2: Numbers("i", [out]),
                    3: ("B", code[1]),
                    4: Table(options),
                }
            )
        )
        return out

    def conv(
        self,
        x: int,
        channels: int,
        kernel: tuple[int, int],
        stride: int,
        name: str,
        *,
        depthwise: bool = False,
    ) -> int:
        """Add a convolution with padding ``SAME``, a bias and a ReLU."""
        n, height, width, have = self.shapes[x]
        shape = (1, *kernel, have) if depthwise else (channels, *kernel, have)
        w, b = self.weights(name, shape, have if depthwise else channels)
        out = (n, -(-height // stride), -(-width // stride), have if depthwise else channels)
        step, relu = ("i", stride), ("b", 1)
        if depthwise:
            options: dict[int, object] = {1: step, 2: step, 3: ("i", 1), 4: relu}
        else:
            options = {1: step, 2: step, 3: relu}
        return self.operator(DEPTHWISE if depthwise else CONV, [x, w, b], out, name, options)

    def head(self, x: int, classes: int) -> int:
        """Add an average over the image, a dense layer and a softmax."""
        n, height, width, channels = self.shapes[x]
        window = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1), 3: ("i", width), 4: ("i", height)}
        x = self.operator(POOL, [x], (n, 1, 1, channels), "pool", window)
        target = self.tensor("flat/shape", (2,), INT32, struct.pack("<ii", n, channels))
        x = self.operator(RESHAPE, [x, target], (n, channels), "flat", {})
        w, b = self.weights("dense", (classes, channels), classes)
        x = self.operator(DENSE, [x, w, b], (n, classes), "dense", {})
        return self.operator(
            SOFTMAX, [x], (n, classes), "softmax", {0: ("f", 1.0)}, scale=1 / 256, zero=-128
        )

    def file(self, output: int, description: str) -> bytes:
        """Return the file."""
        graph = Table(
            {
                0: list(self.tensors),
                1: Numbers("i", [0]),
                2: Numbers("i", [output]),
                3: list(self.operators),
                4: "main",
            }
        )
        codes = [Table({0: ("b", c), 2: ("i", VERSIONS[c]), 3: ("i", c)}) for c in self.codes]
        model = Table(
            {
                0: ("I", 3),
                1: codes,
                2: [graph],
                3: description,
                4: list(self.buffers),
            }
        )
        return flatbuffer(model, b"TFL3")


def kws() -> bytes:
    """Return the DS-CNN of keyword spotting: 49 frames of 10 features, 12 words."""
    net = Network()
    x = net.conv(net.tensor("features", (1, 49, 10, 1)), 64, (10, 4), 2, "stem")
    for i in range(4):
        x = net.conv(x, 64, (3, 3), 1, f"block{i + 1}/depthwise", depthwise=True)
        x = net.conv(x, 64, (1, 1), 1, f"block{i + 1}/pointwise")
    return net.file(net.head(x, 12), "DS-CNN of MLPerf Tiny keyword spotting, weights of zero")


def mobilenet_v1(channels: int, size: int, classes: int) -> bytes:
    """Return a MobileNetV1 with so many channels in its stem."""
    net = Network()
    x = net.conv(net.tensor("image", (1, size, size, 3)), channels, (3, 3), 2, "stem")
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    widths = (2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32)
    for i, (width, stride) in enumerate(zip(widths, strides, strict=True)):
        x = net.conv(x, 0, (3, 3), stride, f"block{i + 1}/depthwise", depthwise=True)
        x = net.conv(x, channels * width, (1, 1), 1, f"block{i + 1}/pointwise")
    return net.file(net.head(x, classes), "MobileNetV1, weights of zero")


NETWORKS = {
    "kws": kws,
    "vww": lambda: mobilenet_v1(8, 96, 2),
    "mobilenet_v1": lambda: mobilenet_v1(32, 224, 1000),
}


def main() -> None:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    content = NETWORKS[asked.network]()
    asked.file.write_bytes(content)
    print(f"{asked.file}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
