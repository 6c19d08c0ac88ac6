"""Fold quantise and dequantise nodes into the integer operators that they stand around."""

from __future__ import annotations

from contextlib import suppress

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.steps import OnnxIfBranches, Repeat, Step, touched
from perfmodel.workload.symbols import constant

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "FusedConv", "FusedGemm"})

#: Operators that runtimes run on 8-bit values between a dequantise and a quantise.
_OTHERS = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Relu",
        "LeakyRelu",
        "Clip",
        "HardSwish",
        "HardSigmoid",
        "Sigmoid",
        "Tanh",
        "Softmax",
        "AveragePool",
        "GlobalAveragePool",
        "ReduceMean",
        "Where",
        "Min",
        "Max",
        "PRelu",
        "Resize",
        "Gelu",
        "Pow",
        "Sqrt",
        "Sum",
        "Mean",
    }
)

#: Views that a dequantise may stand behind as well as before.
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})

#: Those that move values and change none: a dequantise may pass through to the other side.
MOVERS = _VIEWS | {
    "Transpose",
    "Slice",
    "Split",
    "Gather",
    "Expand",
    "MaxPool",
    "DepthToSpace",
    "SpaceToDepth",
    "Identity",
    "Tile",
    "Concat",
    "Pad",
    "GatherElements",
}

#: Activations that the clipping of a quantise swallows, or that join the requantisation.
_FUSED = frozenset({"Relu", "Clip", "LeakyRelu"})


def fold_quantisation(steps: list[Step], outputs: list[OnnxValue]) -> tuple[list[Step], int]:
    """Return the steps with every folded pair gone, and how many operators became integer ones.

    A product whose operands are dequantised reads the integers instead and writes the integers of
    the quantise behind it. A weight that only a dequantise reads stays stored as it is. Everything
    else keeps its explicit conversions.
    """
    nested = 0
    for step in steps:
        if isinstance(step, Repeat):
            read = [e for s in steps if isinstance(s, OnnxNode) for e in s.present]
            step.steps, n = fold_quantisation(step.steps, [*outputs, *read])
            nested += n
        elif isinstance(step, OnnxIfBranches):
            step.then_steps, n = fold_quantisation(step.then_steps, list(step.then_outputs))
            step.else_steps, m = fold_quantisation(step.else_steps, list(step.else_outputs))
            nested += n + m
    folder = _Folder(steps, outputs)
    folder.run()
    return folder.steps, folder.count + nested


class _Folder:
    def __init__(self, steps: list[Step], outputs: list[OnnxValue]) -> None:
        self.steps = steps
        self.count = 0
        self.maker: dict[int, OnnxNode] = {}
        self.readers: dict[int, list[OnnxNode]] = {}
        self.kept: set[int] = {id(e) for e in outputs}
        for step in steps:
            if isinstance(step, OnnxNode):
                for edge in step.made:
                    self.maker[id(edge)] = step
                for edge in step.present:
                    self.readers.setdefault(id(edge), []).append(step)
            else:
                # What a body reads from outside stays as it is.
                self.kept |= {id(e) for e in touched(step)}
        self.gone: set[int] = set()

    def run(self) -> None:
        integer = {"DequantizeLinear", "MatMulInteger", "ConvInteger"}
        if not any(isinstance(step, OnnxNode) and step.op in integer for step in self.steps):
            return
        nodes = [step for step in self.steps if isinstance(step, OnnxNode)]
        for step in nodes:
            if step.op == "Clip":
                self.narrow(step)
        for step in nodes:
            if id(step) not in self.gone:
                with suppress(NotPricedError):  # it lacks something, and stays as it is
                    self.fold(step)
        self.sweep()

    def fold(self, step: OnnxNode) -> None:
        if step.op in _PRODUCTS:
            self.product(step)
        elif step.op in {"MatMulInteger", "ConvInteger"}:
            self.integer(step)
        elif step.op in _OTHERS | MOVERS:
            self.other(step)

    def alone(self, edge: OnnxValue) -> bool:
        """Whether one node reads a value, and nothing else does."""
        return len(self.readers.get(id(edge), [])) == 1 and id(edge) not in self.kept

    def narrow(self, clip: OnnxNode) -> None:
        """Take a clip of integers for what it says of their width (QCDQ: four bits in eight).

        Such files quantise to 8 bits and clip to fewer, since older operator sets have no others.
        """
        x, y = clip.need(0), clip.out
        bits = _width(clip)
        format = f"int{bits}"
        if not x.format.startswith(("int", "uint")) or bits is None or find(format) is None:
            return
        maker = self.maker.get(id(x))
        if not x.is_data:
            y.kind, y.format = "weight", format
        elif maker is not None and maker.op == "QuantizeLinear" and self.readers[id(x)] == [clip]:
            maker.outputs = (y,)
            self.maker[id(y)] = maker
            y.format = format
        else:
            return
        self.gone.add(id(clip))

    def source(self, edge: OnnxValue | None) -> OnnxValue | None:
        """Return the integers behind a dequantised value, through views that nothing else reads."""
        maker = self.maker.get(id(edge))
        if maker is None or edge is None:
            return None
        if maker.op in _VIEWS and edge.is_data:
            integers = self.source(maker.inputs[0]) if self.alone(edge) else None
            if integers is None:
                return None
            self.swap(maker, 0, integers)
            edge.format = integers.format
            return edge
        if maker.op != "DequantizeLinear" or maker.need(0).shape is None:
            return None
        integers = maker.need(0)
        block = maker.attributes.get("block_size", 0)
        if not integers.is_data and integers.tensor is None:
            self.store(integers, block if isinstance(block, int) else 0)
        return integers

    def store(self, edge: OnnxValue, block: int) -> None:
        """Mark integers that a dequantise reads as the parameters they are."""
        if len(edge.known):
            edge.kind = "weight"
        if edge.format == "uint8" and find(edge.format) is None:
            edge.format = "int8"
        grouped = f"{edge.format}g{block}"
        if block > 0 and edge.format.startswith("int") and find(grouped) is not None:
            edge.format = grouped

    def behind(self, node: OnnxNode) -> tuple[OnnxValue, list[OnnxNode]] | None:
        """Return the integers that a quantise makes of a node's output, and the nodes between."""
        between: list[OnnxNode] = []
        edge = node.out
        while True:
            if not self.alone(edge) or len(node.made) != 1:
                return None
            (reader,) = self.readers[id(edge)]
            if reader.need(0) is not edge:
                return None
            if reader.op == "QuantizeLinear":
                return reader.out, [*between, reader]
            if reader.op not in _FUSED or between:
                return None
            between.append(reader)
            edge = reader.out

    def product(self, node: OnnxNode) -> None:
        first, narrow = self.source(node.get(0)), self.source(node.get(1))
        if narrow is None or (first is None and narrow.is_data):
            return
        for i, source in enumerate((first, narrow, self.source(node.get(2)))):
            if source is not None:
                self.swap(node, i, source)
        if first is not None:
            self.count += 1
            self.requantise(node)

    def requantise(self, node: OnnxNode) -> None:
        """Let a product write the integers of the quantise behind it."""
        found = self.behind(node)
        passed: list[str] = []
        if found is not None:
            integers, between = found
            passed = [n.op for n in between if n.op != "QuantizeLinear"]
            self.gone |= {id(n) for n in between}
            node.outputs = (integers,)
            self.maker[id(integers)] = node
        node.attributes = {**node.attributes, "integer": True, "fused": tuple(passed)}

    def integer(self, node: OnnxNode) -> None:
        """Take the conversion and the scaling behind an integer product into it."""
        edge = node.out
        passed: list[OnnxNode] = []
        for op in ("Cast", "Mul", "Add"):
            reader = self.readers[id(edge)][0] if self.alone(edge) else None
            if reader is None or reader.op != op:
                break
            scales = [self.scale(e) for e in reader.present if e is not edge and e.is_data]
            if None in scales:
                break
            self.gone |= {id(s) for s in scales if s is not None and s.op == "Mul"}
            passed.append(reader)
            edge = reader.out
        if passed:
            self.gone |= {id(n) for n in passed}
            vectors = [
                e
                for n in passed[1:]
                for e in n.present
                if not e.is_data and len(e.known) == 1 and e.shape != (1,)
            ]
            node.outputs = (edge,)
            node.attributes = {
                **node.attributes,
                "integer": True,
                "requantised": False,
                "fused": tuple(n.op for n in passed),
            }
            node.inputs = (*(node.get(i) for i in range(4)), *vectors)
        self.count += 1

    def scale(self, edge: OnnxValue) -> OnnxNode | None:
        """Return the node that makes a scale which nothing else reads."""
        maker = self.maker.get(id(edge))
        if maker is None or len(edge.shape or ()) > 1:
            return None
        plain = maker.op == "Mul" and self.alone(edge)
        return maker if plain or maker.op == "DynamicQuantizeLinear" else None

    def other(self, node: OnnxNode) -> None:
        """Run another operator on integers where all it reads and writes is quantised."""
        data = [e for e in node.present if self.matters(node, e)]
        sources = {id(e): self.source(e) for e in data}
        if not data or None in sources.values():
            return
        quantises: list[OnnxNode] = []
        for edge in node.made:
            reader = self.readers[id(edge)][0] if self.alone(edge) else None
            if reader is None or reader.op != "QuantizeLinear":
                return
            quantises.append(reader)
        for i, edge in enumerate(node.inputs):
            source = sources.get(id(edge))
            if source is not None:
                self.swap(node, i, source)
        node.outputs = tuple(quantise.out for quantise in quantises)
        for quantise in quantises:
            self.maker[id(quantise.out)] = node
            self.gone.add(id(quantise))
        moves = node.op in MOVERS
        node.attributes = {**node.attributes, "integer": True, "requantised": not moves}
        self.count += not moves

    def matters(self, node: OnnxNode, edge: OnnxValue) -> bool:
        """Whether an input carries values (not a shape, an index or a bound)."""
        if edge is node.inputs[0]:
            return True
        if node.op in _STRUCTURAL:
            return False
        return edge.format in {"", "fp32", "fp16"} and not (
            edge.kind == "constant" and edge.shape in {(), (1,)}
        )

    def swap(self, node: OnnxNode, index: int, source: OnnxValue) -> None:
        """Let a node read another value."""
        old = node.inputs[index]
        node.inputs = (*node.inputs[:index], source, *node.inputs[index + 1 :])
        if old is not None:
            self.readers[id(old)] = [r for r in self.readers.get(id(old), []) if r is not node]
        self.readers.setdefault(id(source), []).append(node)

    def sweep(self) -> None:
        """Drop dequantises that nothing reads any more."""
        self.steps = [
            step
            for step in self.steps
            if not isinstance(step, OnnxNode)
            or (
                id(step) not in self.gone
                and (
                    step.op != "DequantizeLinear"
                    or any(self.readers.get(id(e)) or id(e) in self.kept for e in step.made)
                )
            )
        ]


def _width(clip: OnnxNode) -> int | None:
    """Return the bits that the bounds of a clip need, of fewer than 8."""
    bounds = [e.number() if e is not None else None for e in (clip.get(1), clip.get(2))]
    low, high = (constant(b) if b is not None else None for b in bounds)
    if low is None or high is None or low > high:
        return None
    spans = ((bits, 2**bits, 0 if low >= 0 else 2 ** (bits - 1)) for bits in range(1, 8))
    return next(
        (bits for bits, span, below in spans if -below <= low and high < span - below), None
    )


#: Operators of which only the first input carries values.
_STRUCTURAL = (MOVERS - {"Concat"}) | {"Resize", "Clip", "ReduceMean", "AveragePool"}
