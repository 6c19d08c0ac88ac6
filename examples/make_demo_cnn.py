"""Write a convolutional network as ONNX without its weights: all that a prediction needs.

    python examples/make_demo_cnn.py demo_cnn.onnx

The network has the shape of MobileNetV2 (Sandler et al. 2018, table 2) with fewer repeats: 20
convolutions, a free batch and a free image size. Its weights are declared with their shapes and
said to lie in a file that is never written, so a few kilobytes describe 1.7 million parameters.
"""

import argparse
from pathlib import Path

#: Expansion, output channels, stride of each inverted residual.
BLOCKS = [(1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 96, 2), (6, 160, 2)]
STEM, HEAD, CLASSES = 32, 1280, 1000


class Writer:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        from onnx import TensorProto, helper

        self.helper, self.proto = helper, TensorProto
        self.nodes: list = []
        self.weights: list = []

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        tensor = self.proto(name=name, data_type=self.proto.FLOAT, dims=shape)
        tensor.data_location = self.proto.EXTERNAL
        tensor.external_data.add(key="location", value="never_written.weights")
        self.weights.append(tensor)
        return name

    def node(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(self.helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(
        self,
        x: str,
        channels: tuple[int, int],
        name: str,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> str:
        given, made = channels
        shape = (made, given // groups, kernel, kernel)
        weights = [self.weight(f"{name}.weight", shape), self.weight(f"{name}.bias", (made,))]
        pad = kernel // 2
        y = self.node(
            "Conv",
            [x, *weights],
            name,
            kernel_shape=[kernel] * 2,
            group=groups,
            strides=[stride] * 2,
            pads=[pad] * 4,
        )
        return self.node("Clip", [y, "zero", "six"], f"{name}.relu6") if active else y


def model():
    """Return the network as an ONNX model."""
    w = Writer()
    helper, proto = w.helper, w.proto
    x = w.conv("image", (3, STEM), "stem", kernel=3, stride=2)
    channels = STEM
    for i, (expansion, made, stride) in enumerate(BLOCKS):
        name, wide, y = f"block{i}", channels * expansion, x
        if expansion > 1:
            y = w.conv(y, (channels, wide), f"{name}.expand")
        y = w.conv(y, (wide, wide), f"{name}.depthwise", kernel=3, stride=stride, groups=wide)
        y = w.conv(y, (wide, made), f"{name}.project", active=False)
        x = w.node("Add", [x, y], f"{name}.add") if stride == 1 and made == channels else y
        channels = made
    x = w.conv(x, (channels, HEAD), "head")
    x = w.node("GlobalAveragePool", [x], "pool")
    x = w.node("Flatten", [x], "flatten")
    weights = [
        w.weight("classifier.weight", (CLASSES, HEAD)),
        w.weight("classifier.bias", (CLASSES,)),
    ]
    x = w.node("Gemm", [x, *weights], "classifier", transB=1)
    limits = [helper.make_tensor(n, proto.FLOAT, [], [v]) for n, v in (("zero", 0.0), ("six", 6.0))]
    graph = helper.make_graph(
        w.nodes,
        "demo_cnn",
        [helper.make_tensor_value_info("image", proto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info(x, proto.FLOAT, ["batch", CLASSES])],
        [*w.weights, *limits],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(path: str | Path) -> Path:
    """Write the network and return where it lies."""
    path = Path(path)
    path.write_bytes(model().SerializeToString())
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default="demo_cnn.onnx")
    print(write(parser.parse_args().path))
