"""An ONNX graph that grows node by node, with random numbers and the shapes that onnx infers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Growing"]

#: How often a number is changed to one that may not fit.
OFF = 0.04
ABSURD = (0, -1, -2, 7, 2**31 - 1, 2**31, 2**40, -(2**62), 2**62)


class Growing:
    """A graph that grows node by node."""

    def __init__(self, seed: int) -> None:
        self.r = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.shapes: dict[str, list[int | None]] = {}
        self.functions: list[onnx.FunctionProto] = []
        self.count = 0
        self.opset = int(
            self.r.choice([9, 11, 13, 17, 18, 20, 21], p=[0.05, 0.1, 0.2, 0.4, 0.1, 0.1, 0.05])
        )
        for _ in range(int(self.r.integers(1, 3))):
            self.input()

    # numbers

    def chance(self, of: float) -> bool:
        return bool(self.r.random() < of)

    def off(self, number: int) -> int:
        """Return a number, rarely another."""
        if not self.chance(OFF):
            return int(number)
        return int(number) + int(self.r.choice([-1, 1])) if self.chance(0.6) else self.pick(ABSURD)

    def pick(self, of: Sequence[Any]) -> Any:
        return of[int(self.r.integers(len(of)))]

    def extent(self) -> int:
        return int(self.pick((1, 1, 2, 3, 4, 5, 6, 8, 12, 16)))

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    # values

    def input(self) -> str:
        rank = int(self.pick((0, 1, 2, 2, 3, 3, 4, 4, 4, 4)))
        dims: list[Any] = [self.extent() for _ in range(rank)]
        if rank and self.chance(0.03):
            dims[int(self.r.integers(rank))] = self.pick((2**31, 2**40, 2**52))
        if rank and self.chance(0.15):
            dims[0] = self.pick(("batch", None))
        name = self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        self.shapes[name] = [d if isinstance(d, int) else None for d in dims]
        return name

    def whole(self, values: Any) -> str:
        """Store whole numbers, at times in a constant node, rarely as an input of the network."""
        name = self.name("k")
        array = np.array(values, np.int64)
        if self.chance(0.02):
            shape = list(array.shape)
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
        elif self.chance(0.2):
            tensor = numpy_helper.from_array(array, name)
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.stored.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int) -> str:
        """Store a tensor whose data lie in another file, as those of large models do."""
        name = self.name("w")
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT)
        tensor.dims.extend(max(0, min(self.off(s), 2**40)) for s in shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        self.stored.append(tensor)
        return name

    def any(self, least: int = 0, most: int = 9) -> tuple[str, list[int]]:
        """Return a value of some rank; free extents count as 2."""
        fit = [n for n, s in self.shapes.items() if least <= len(s) <= most]
        name = fit[-1] if fit and self.chance(0.6) else self.pick(fit) if fit else ""
        if not name:
            name = self.name("x")
            shape = [self.extent() for _ in range(max(least, 1))]
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
            self.shapes[name] = list(shape)
        return name, [2 if d is None else d for d in self.shapes[name]]

    def axis(self, rank: int) -> int:
        return self.off(int(self.r.integers(-rank, rank))) if rank else self.off(0)

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> None:
        made = [self.name("t") for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, **attributes))

    def learn(self) -> bool:
        """Ask onnx for the shapes of what the last nodes make; whether there is another to use."""
        graph = helper.make_graph(self.nodes, "g", self.inputs, [], self.stored)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid("f", 1)],
            ir_version=8,
            functions=self.functions,
        )
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception:
            return False
        known = {v.name: v.type.tensor_type for v in inferred.graph.value_info}
        for name in self.nodes[-1].output:
            kind = known.get(name)
            if kind is None or kind.elem_type != TensorProto.FLOAT or not kind.HasField("shape"):
                continue
            dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            if all(d is None or 0 <= d <= 2**20 for d in dims):
                self.shapes[name] = dims
        return True

    def model(self) -> onnx.ModelProto:
        made = [o for n in self.nodes for o in n.output]
        read = {i for n in self.nodes for i in n.input}
        last = [n for n in made if n not in read] or made[-1:]
        outputs = [helper.make_empty_tensor_value_info(n) for n in last]
        graph = helper.make_graph(self.nodes, "random", self.inputs, outputs, self.stored)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid("f", 1)],
            ir_version=8,
            functions=self.functions,
        )
