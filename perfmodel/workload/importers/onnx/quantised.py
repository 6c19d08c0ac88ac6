"""Folding of quantise and dequantise nodes into the integer operators between them.

A quantised ONNX file describes an integer operator as floating-point operators between
conversions; a runtime executes it on the integers::

    DequantizeLinear -> Conv -> Relu -> QuantizeLinear        becomes  Conv on integers
    MatMulInteger -> Cast -> Mul (scales) -> Add (bias)       becomes  MatMulInteger
    QuantizeLinear -> Clip (bounds of four bits)              becomes  QuantizeLinear to int4
"""

from __future__ import annotations

from contextlib import suppress

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.steps import Links, Step, fold_bodies
from perfmodel.workload.importers.onnx.traits import (
    JOINED,
    MOVERS,
    ON_INTEGERS,
    ONE_OPERAND,
    PRODUCTS,
    VIEWS,
)
from perfmodel.workload.symbols import constant


def fold_quantisation(steps: list[Step], outputs: list[OnnxValue]) -> tuple[list[Step], int]:
    """Return the steps without the folded conversions, and the number of integer operators.

    A product with dequantised operands reads the integers instead, and writes the integers of a
    quantise that follows it. A weight that only a dequantise reads stays stored in its format. All
    other operators keep their explicit conversions.
    """
    counts: list[int] = []

    def fold(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
        fold_bodies(steps, outputs, fold)
        folder = _QuantisationFolder(steps, outputs)
        folder.fold_all()
        counts.append(folder.count)
        return folder.steps

    return fold(steps, outputs), sum(counts)


class _QuantisationFolder(Links):
    """Folder of the conversions among the steps of one body.

    Attributes
    ----------
    steps
        The steps; after `fold_all` without the folded nodes.
    count
        Number of operators that run on integers.
    folded
        Identities of the nodes that were folded into others.
    """

    def __init__(self, steps: list[Step], outputs: list[OnnxValue]) -> None:
        super().__init__(steps, outputs)
        self.steps = steps
        self.count = 0
        self.folded: set[int] = set()

    def fold_all(self) -> None:
        """Infer narrow formats, fold every node that allows it, and drop the folded nodes."""
        integer = {"DequantizeLinear", "MatMulInteger", "ConvInteger"}
        if not any(isinstance(step, OnnxNode) and step.op in integer for step in self.steps):
            return
        nodes = [step for step in self.steps if isinstance(step, OnnxNode)]
        for step in nodes:
            if step.op == "Clip":
                self.narrow_by_clip(step)
        for step in nodes:
            if id(step) not in self.folded:
                with suppress(NotPricedError):  # something is missing: leave the node unfolded
                    self.fold_node(step)
        self.drop_folded()

    def fold_node(self, step: OnnxNode) -> None:
        """Fold the conversions around one node."""
        if step.op in PRODUCTS:
            self.fold_product(step)
        elif step.op in {"MatMulInteger", "ConvInteger"}:
            self.fold_integer_product(step)
        elif step.op in ON_INTEGERS | MOVERS:
            self.fold_other(step)

    def narrow_by_clip(self, clip: OnnxNode) -> None:
        """Infer the width of integers from the bounds of a clip (QCDQ: four bits in eight).

        Such files quantise to 8 bits and clip to fewer, as older operator sets support no others.
        """
        wide, narrow = clip.need(0), clip.out
        bits = _width(clip)
        format = f"int{bits}"
        if not wide.format.startswith(("int", "uint")) or bits is None or find(format) is None:
            return
        maker = self.maker.get(id(wide))
        if not wide.is_data:
            narrow.kind, narrow.format = "weight", format
        elif (
            maker is not None and maker.op == "QuantizeLinear" and self.readers[id(wide)] == [clip]
        ):
            maker.outputs = (narrow,)
            self.maker[id(narrow)] = maker
            narrow.format = format
        else:
            return
        self.folded.add(id(clip))

    def only_reader(self, edge: OnnxValue) -> OnnxNode | None:
        """Return the node that alone reads a value, if there is one."""
        return self.readers[id(edge)][0] if self.exclusive(edge) else None

    def integers_of(self, edge: OnnxValue | None) -> OnnxValue | None:
        """Return the integers of a dequantised value, through views without other readers."""
        maker = self.maker.get(id(edge))
        if maker is None or edge is None:
            return None
        if maker.op in VIEWS and edge.is_data:
            integers = self.integers_of(maker.inputs[0]) if self.exclusive(edge) else None
            if integers is None:
                return None
            self.replace_input(maker, 0, integers)
            edge.format = integers.format
            return edge
        if maker.op != "DequantizeLinear" or maker.need(0).shape is None:
            return None
        integers = maker.need(0)
        block = maker.attributes.get("block_size", 0)
        if not integers.is_data and integers.tensor is None:
            self.store_integers(integers, block if isinstance(block, int) else 0)
        return integers

    def store_integers(self, edge: OnnxValue, block: int) -> None:
        """Mark the integers that a dequantise reads as parameters."""
        if len(edge.known):
            edge.kind = "weight"
        if edge.format == "uint8" and find(edge.format) is None:
            edge.format = "int8"
        grouped = f"{edge.format}g{block}"
        if block > 0 and edge.format.startswith("int") and find(grouped) is not None:
            edge.format = grouped

    def quantise_after(self, node: OnnxNode) -> tuple[OnnxValue, list[OnnxNode]] | None:
        """Return the integers that a following quantise writes, and the nodes up to it."""
        between: list[OnnxNode] = []
        edge = node.out
        while True:
            reader = self.only_reader(edge)
            if reader is None or len(node.written) != 1 or reader.need(0) is not edge:
                return None
            if reader.op == "QuantizeLinear":
                return reader.out, [*between, reader]
            if reader.op not in JOINED or between:
                return None
            between.append(reader)
            edge = reader.out

    def fold_product(self, node: OnnxNode) -> None:
        """Make a product read the integers; it runs on them if both operands are integers."""
        first, second = self.integers_of(node.get(0)), self.integers_of(node.get(1))
        if second is None or (first is None and second.is_data):
            return
        for i, source in enumerate((first, second, self.integers_of(node.get(2)))):
            if source is not None:
                self.replace_input(node, i, source)
        if first is not None:
            self.count += 1
            self.requantise(node)

    def requantise(self, node: OnnxNode) -> None:
        """Make a product write the integers of the quantise that follows it."""
        quantise = self.quantise_after(node)
        passed: list[str] = []
        if quantise is not None:
            integers, between = quantise
            passed = [n.op for n in between if n.op != "QuantizeLinear"]
            self.folded |= {id(n) for n in between}
            node.outputs = (integers,)
            self.maker[id(integers)] = node
        node.attributes = {**node.attributes, "integer": True, "fused": tuple(passed)}

    def fold_integer_product(self, node: OnnxNode) -> None:
        """Fold the conversion and the scaling that follow an integer product into it."""
        edge = node.out
        passed: list[OnnxNode] = []
        for op in ("Cast", "Mul", "Add"):
            reader = self.only_reader(edge)
            if reader is None or reader.op != op:
                break
            scales = [self.scale_node(e) for e in reader.present if e is not edge and e.is_data]
            if None in scales:
                break
            self.folded |= {id(s) for s in scales if s is not None and s.op == "Mul"}
            passed.append(reader)
            edge = reader.out
        if passed:
            self.folded |= {id(n) for n in passed}
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

    def scale_node(self, edge: OnnxValue) -> OnnxNode | None:
        """Return the node that computes a scale without other readers."""
        maker = self.maker.get(id(edge))
        if maker is None or len(edge.shape or ()) > 1:
            return None
        plain = maker.op == "Mul" and self.exclusive(edge)
        return maker if plain or maker.op == "DynamicQuantizeLinear" else None

    def fold_other(self, node: OnnxNode) -> None:
        """Run an operator on integers if all of its data inputs and outputs are quantised."""
        data = [e for e in node.present if self.has_values(node, e)]
        sources = {id(e): self.integers_of(e) for e in data}
        if not data or None in sources.values():
            return
        quantises: list[OnnxNode] = []
        for edge in node.written:
            reader = self.only_reader(edge)
            if reader is None or reader.op != "QuantizeLinear":
                return
            quantises.append(reader)
        for i, edge in enumerate(node.inputs):
            source = sources.get(id(edge))
            if source is not None:
                self.replace_input(node, i, source)
        node.outputs = tuple(quantise.out for quantise in quantises)
        for quantise in quantises:
            self.maker[id(quantise.out)] = node
            self.folded.add(id(quantise))
        moves = node.op in MOVERS
        node.attributes = {**node.attributes, "integer": True, "requantised": not moves}
        self.count += not moves

    def has_values(self, node: OnnxNode, edge: OnnxValue) -> bool:
        """Return whether an input carries values (not a shape, an index or a bound)."""
        if edge is node.inputs[0]:
            return True
        if node.op in ONE_OPERAND:
            return False
        return edge.format in {"", "fp32", "fp16"} and not (
            edge.kind == "constant" and edge.shape in {(), (1,)}
        )

    def replace_input(self, node: OnnxNode, index: int, source: OnnxValue) -> None:
        """Replace an input of a node."""
        old = node.inputs[index]
        node.inputs = (*node.inputs[:index], source, *node.inputs[index + 1 :])
        if old is not None:
            self.readers[id(old)] = [r for r in self.readers.get(id(old), []) if r is not node]
        self.readers.setdefault(id(source), []).append(node)

    def drop_folded(self) -> None:
        """Drop dequantises without readers."""
        self.steps = [
            step
            for step in self.steps
            if not isinstance(step, OnnxNode)
            or (
                id(step) not in self.folded
                and (
                    step.op != "DequantizeLinear"
                    or any(self.readers.get(id(e)) or id(e) in self.protected for e in step.written)
                )
            )
        ]


def _width(clip: OnnxNode) -> int | None:
    """Return the width in bits, below 8, that the bounds of a clip require."""
    bounds = [e.number() if e is not None else None for e in (clip.get(1), clip.get(2))]
    low, high = (constant(b) if b is not None else None for b in bounds)
    if low is None or high is None or low > high:
        return None
    spans = ((bits, 2**bits, 0 if low >= 0 else 2 ** (bits - 1)) for bits in range(1, 8))
    return next(
        (bits for bits, span, below in spans if -below <= low and high < span - below), None
    )
