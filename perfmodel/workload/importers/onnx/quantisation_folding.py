"""Folding of quantise and dequantise nodes into the integer operators between them.

A quantised ONNX file describes an integer operator as floating-point operators between conversions
(QDQ form; onnxruntime, "Quantize ONNX models"); a runtime executes it on the integers::

    DequantizeLinear -> Conv -> Relu -> QuantizeLinear        becomes  Conv on integers
    MatMulInteger -> Cast -> Mul (scales) -> Add (bias)       becomes  MatMulInteger
    QuantizeLinear -> Clip (bounds of four bits)              becomes  QuantizeLinear to int4

This is pattern matching on producers and readers (`ValueUses`), before any node is priced.
`graph_build` calls `fold_quantisation`.
"""

from __future__ import annotations

from contextlib import suppress

from perfmodel.formats import find
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.operator_traits import (
    FUSED_ACTIVATIONS,
    MOVERS,
    ON_INTEGERS,
    PRODUCTS,
    SINGLE_OPERAND,
    VIEWS,
)
from perfmodel.workload.importers.onnx.walk_steps import Step, ValueUses, fold_bodies
from perfmodel.workload.symbols import constant


def fold_quantisation(steps: list[Step], outputs: list[OnnxValue]) -> tuple[list[Step], int]:
    """Return the steps without the folded conversions, and the number of integer operators.

    A product with dequantised operands reads the integers instead, and writes the integers of a
    quantise node that follows it. A weight that only a dequantise node reads remains stored in its
    integer format. All other operators retain their explicit conversions.
    """
    counts: list[int] = []

    def fold(steps: list[Step], outputs: list[OnnxValue]) -> list[Step]:
        fold_bodies(steps, outputs, fold)
        folder = _QuantisationFolder(steps, outputs)
        folder.fold_all()
        counts.append(folder.count)
        return folder.steps

    return fold(steps, outputs), sum(counts)


class _QuantisationFolder(ValueUses):
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
        """Infer the width of integers from the bounds of a clip (QCDQ: four bits stored in eight).

        Such files quantise to 8 bits and clip to fewer, as older operator sets support no narrower
        type.
        """
        integers, clipped = clip.require(0), clip.first_output
        bits = _width(clip)
        format = f"int{bits}"
        if not integers.format.startswith(("int", "uint")) or bits is None or find(format) is None:
            return
        quantise_node = self.producer.get(id(integers))
        if not integers.is_data:
            clipped.kind, clipped.format = "weight", format
        elif (
            quantise_node is not None
            and quantise_node.op == "QuantizeLinear"
            and self.readers[id(integers)] == [clip]
        ):
            quantise_node.outputs = (clipped,)
            self.producer[id(clipped)] = quantise_node
            clipped.format = format
        else:
            return
        self.folded.add(id(clip))

    def only_reader(self, edge: OnnxValue) -> OnnxNode | None:
        """Return the only node that reads a value; ``None`` if it has no reader or several."""
        return self.readers[id(edge)][0] if self.has_single_reader(edge) else None

    def integers_of(self, edge: OnnxValue | None) -> OnnxValue | None:
        """Return the integers behind a dequantised value, through views without other readers."""
        maker = self.producer.get(id(edge))
        if maker is None or edge is None:
            return None
        if maker.op in VIEWS and edge.is_data:
            integers = self.integers_of(maker.inputs[0]) if self.has_single_reader(edge) else None
            if integers is None:
                return None
            self.replace_input(maker, 0, integers)
            edge.format = integers.format
            return edge
        if maker.op != "DequantizeLinear" or maker.require(0).shape is None:
            return None
        integers = maker.require(0)
        block = maker.attributes.get("block_size", 0)
        if not integers.is_data and integers.tensor is None:
            self.store_integers(integers, block if isinstance(block, int) else 0)
        return integers

    def store_integers(self, edge: OnnxValue, block: int) -> None:
        """Mark the integers that a dequantise reads as parameters."""
        if len(edge.extents):
            edge.kind = "weight"
        if edge.format == "uint8" and find(edge.format) is None:
            edge.format = "int8"
        grouped = f"{edge.format}g{block}"
        if block > 0 and edge.format.startswith("int") and find(grouped) is not None:
            edge.format = grouped

    def quantise_after(self, node: OnnxNode) -> tuple[OnnxValue, list[OnnxNode]] | None:
        """Return the integers that a following quantise node writes, and the nodes up to it."""
        between: list[OnnxNode] = []
        edge = node.first_output
        while True:
            reader = self.only_reader(edge)
            if reader is None or len(node.present_outputs) != 1 or reader.require(0) is not edge:
                return None
            if reader.op == "QuantizeLinear":
                return reader.first_output, [*between, reader]
            if reader.op not in FUSED_ACTIVATIONS or between:
                return None
            between.append(reader)
            edge = reader.first_output

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
        """Make a product write the integers of the quantise node that follows it."""
        quantise = self.quantise_after(node)
        fused_operators: list[str] = []
        if quantise is not None:
            integers, following = quantise
            fused_operators = [n.op for n in following if n.op != "QuantizeLinear"]
            self.folded |= {id(n) for n in following}
            node.outputs = (integers,)
            self.producer[id(integers)] = node
        node.attributes = {**node.attributes, "integer": True, "fused": tuple(fused_operators)}

    def fold_integer_product(self, node: OnnxNode) -> None:
        """Fold the conversion and the scaling that follow an integer product into it."""
        edge = node.first_output
        folded_nodes: list[OnnxNode] = []
        for op in ("Cast", "Mul", "Add"):
            reader = self.only_reader(edge)
            if reader is None or reader.op != op:
                break
            scales = [
                self.scale_node(e) for e in reader.present_inputs if e is not edge and e.is_data
            ]
            if None in scales:
                break
            self.folded |= {id(s) for s in scales if s is not None and s.op == "Mul"}
            folded_nodes.append(reader)
            edge = reader.first_output
        if folded_nodes:
            self.folded |= {id(n) for n in folded_nodes}
            vectors = [
                e
                for n in folded_nodes[1:]
                for e in n.present_inputs
                if not e.is_data and len(e.extents) == 1 and e.shape != (1,)
            ]
            node.outputs = (edge,)
            node.attributes = {
                **node.attributes,
                "integer": True,
                "requantised": False,
                "fused": tuple(n.op for n in folded_nodes),
            }
            node.inputs = (*(node.get(i) for i in range(4)), *vectors)
        self.count += 1

    def scale_node(self, edge: OnnxValue) -> OnnxNode | None:
        """Return the node that computes a scale without other readers."""
        maker = self.producer.get(id(edge))
        if maker is None or len(edge.shape or ()) > 1:
            return None
        plain = maker.op == "Mul" and self.has_single_reader(edge)
        return maker if plain or maker.op == "DynamicQuantizeLinear" else None

    def fold_other(self, node: OnnxNode) -> None:
        """Run an operator on integers if all of its data inputs and outputs are quantised."""
        data = [e for e in node.present_inputs if self.has_values(node, e)]
        sources = {id(e): self.integers_of(e) for e in data}
        if not data or None in sources.values():
            return
        quantises: list[OnnxNode] = []
        for edge in node.present_outputs:
            reader = self.only_reader(edge)
            if reader is None or reader.op != "QuantizeLinear":
                return
            quantises.append(reader)
        for i, edge in enumerate(node.inputs):
            source = sources.get(id(edge))
            if source is not None:
                self.replace_input(node, i, source)
        node.outputs = tuple(quantise.first_output for quantise in quantises)
        for quantise in quantises:
            self.producer[id(quantise.first_output)] = node
            self.folded.add(id(quantise))
        is_mover = node.op in MOVERS
        node.attributes = {**node.attributes, "integer": True, "requantised": not is_mover}
        self.count += not is_mover

    def has_values(self, node: OnnxNode, edge: OnnxValue) -> bool:
        """Return whether an input carries values (not a shape, an index or a bound)."""
        if edge is node.inputs[0]:
            return True
        if node.op in SINGLE_OPERAND:
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
        """Drop the folded nodes, and dequantise nodes whose outputs nobody reads."""
        self.steps = [
            step
            for step in self.steps
            if not isinstance(step, OnnxNode)
            or (
                id(step) not in self.folded
                and (
                    step.op != "DequantizeLinear"
                    or any(
                        self.readers.get(id(e)) or id(e) in self.protected
                        for e in step.present_outputs
                    )
                )
            )
        ]


def _width(clip: OnnxNode) -> int | None:
    """Return the smallest width below 8 bits that contains the bounds of a clip.

    Signed integers of b bits are ``-2^(b-1)`` to ``2^(b-1) - 1``, unsigned ones 0 to ``2^b - 1``.
    """
    bounds = [e.number() if e is not None else None for e in (clip.get(1), clip.get(2))]
    low, high = (constant(b) if b is not None else None for b in bounds)
    if low is None or high is None or low > high:
        return None
    candidates = ((bits, 2**bits, 0 if low >= 0 else 2 ** (bits - 1)) for bits in range(1, 8))
    return next(
        (
            bits
            for bits, count, negative_count in candidates
            if -negative_count <= low and high < count - negative_count
        ),
        None,
    )
