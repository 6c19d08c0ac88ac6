"""A training step as numbers: activation live ranges, and tensors that the backward pass needs.

The backward pass needs of the forward pass, as in TinyTL (Cai et al. 2020, arXiv:2007.11622) and
"On-Device Training Under 256KB Memory" (Lin et al. 2022, arXiv:2206.15472):
* for a trained weight, the layer's input, or the trained share of its input channels; for a bias,
  nothing;
* for a gradient through a ReLU or a clamp, one bit per element; through any other unary function,
  its input; through a product of two activations, the other operand; through a convolution with a
  frozen weight, nothing;
* below the first trained layer there is no gradient.

The live range of a gradient mirrors that of its activation: from the backward pass of the last
reader to that of the producer. Both gradients of an addition share the buffer of the incoming
gradient until another share is added to it, in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfmodel.errors import input_error
from perfmodel.formats import Precision
from perfmodel.workload.fuse import FusedKernel, FusionRules, aliases, fused_kernels
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.lifetimes import live_intervals
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.unroll import written_out
from perfmodel.workload.workload import Workload

#: Largest number of operators, with repetitions unrolled, that is accepted.
MOST_OPERATORS = 2500

_LINEAR = frozenset({"add", "sub", "neg", "cast"})
_BY_MASK = frozenset({"relu", "relu6", "leaky_relu", "clip"})
_BY_OUTPUT = frozenset({"elu", "exp", "sqrt", "sigmoid", "tanh"})
_MOVES = frozenset({"view", "copy", "quantise", "pool", "resize", "dispatch"})
_PRODUCTS = frozenset({"conv", "depthwise", "gemm", "moe", "recurrent"})


@dataclass(frozen=True, slots=True)
class TrainableLayer:
    """A layer with a weight.

    Attributes
    ----------
    kernel
        Position of the kernel in the order of execution.
    source, result
        Input activation and output activation.
    channels
        Input channels of the weight; trained parts are shares of them.
    weight, bias
        Names; the bias may be empty.
    weight_bytes, bias_bytes
        Stored size during training.
    """

    name: str
    operator: str
    kernel: int
    source: str
    result: str
    channels: int
    weight: str
    bias: str
    weights: float
    biases: float
    weight_bytes: float
    bias_bytes: float
    macs: float


@dataclass(frozen=True, slots=True)
class ActivationLifetime:
    """Live range of an activation in the forward pass: first to last kernel, inclusive.

    `maker` is the kernel that produces it, -1 for an input of the network.
    """

    name: str
    size_bytes: float
    first: int
    last: int
    maker: int


@dataclass(frozen=True, slots=True)
class BackwardNeed:
    """A tensor or mask that the backward pass of a kernel needs.

    Attributes
    ----------
    tensor
        Activation that is needed in full; empty for a mask.
    size_bytes
        Size of the mask or the tensor.
    kernel
        Kernel whose backward pass reads it; a mask is also written by its forward pass.
    wanted
        Tensor whose gradient requires it.
    """

    tensor: str
    size_bytes: float
    kernel: int
    wanted: str


@dataclass(frozen=True)
class TrainingStep:
    """One training step of a network, before trained parts are selected.

    Attributes
    ----------
    layers
        Trainable layers, in the order of execution.
    lives
        Live ranges of activations by name.
    passing
        Tensors and masks that activation gradients need.
    parents
        Tensor -> tensors whose gradients are computed from its gradient.
    additions
        (kernel, sum, terms) of additions of equal shapes whose sum leaves its kernel.
    readers
        Tensor -> kernels that read it, ascending.
    frozen_bytes
        Stored bytes of all weights.
    activation_bits, gradient_bits
        Bits per element.
    """

    graph: Graph
    layers: tuple[TrainableLayer, ...]
    lives: Mapping[str, ActivationLifetime]
    passing: tuple[BackwardNeed, ...]
    parents: Mapping[str, tuple[str, ...]]
    additions: tuple[tuple[int, str, tuple[str, ...]], ...]
    readers: Mapping[str, Sequence[int]]
    kernels: int
    frozen_bytes: float
    activation_bits: float
    gradient_bits: float

    @property
    def gradient_scale(self) -> float:
        """Bytes of a gradient per byte of its activation."""
        return self.gradient_bits / self.activation_bits

    def parents_first(self) -> list[str]:
        """Return the live tensors and their ancestors, each after those it depends on."""
        order: dict[str, None] = {}
        todo = list(self.lives)[::-1]
        while todo:
            top = todo[-1]
            missing = [p for p in self.parents.get(top, ()) if p not in order]
            if missing and top not in order:
                todo += missing
                continue
            order[top] = None
            todo.pop()
        return list(order)

    def above(self) -> dict[str, int]:
        """Return tensor -> layers that it depends on, its producers among them.

        Bit i of the number stands for layer i.
        """
        producers: dict[str, int] = {}
        for i, layer in enumerate(self.layers):
            producers[layer.result] = producers.get(layer.result, 0) | 1 << i
        above: dict[str, int] = {}
        for name in self.parents_first():
            layers = producers.get(name, 0)
            for parent in self.parents.get(name, ()):
                layers |= above[parent]
            above[name] = layers
        return above


def step_of(
    workload: Workload,
    precision: Precision,
    fusion: FusionRules,
    *,
    gradient_bits: float | None = None,
    clamped: bool | None = None,
) -> TrainingStep:
    """Return the training step of a workload.

    Parameters
    ----------
    gradient_bits
        Bits per gradient element; by default those of the activations.
    clamped
        Whether every product is clamped to the range of its format, so that its gradient needs a
        mask; by default if activations are integers.

    Raises
    ------
    InputError
        Dimensions that are arrays; a network without weights; a workload with sizes only.
    """
    if workload.shape:
        message = f"'{workload.name}' has arrays as dimensions"
        raise input_error(message, expected="one number for each: a step is of one network")
    graph = workload.graph()
    if graph.schedulable_only:
        message = f"'{workload.name}' can be scheduled but not trained: it holds sizes only"
        raise input_error(message, expected="a workload with operators")
    flat = written_out(graph, workload.parameters, MOST_OPERATORS)
    fused = fused_kernels(flat, fusion)
    step = _TrainingStepBuilder(workload, precision, flat, fused, clamped).read(gradient_bits)
    if not step.layers:
        raise input_error(f"'{workload.name}' has no weight to train", file=workload.origin)
    return step


class _TrainingStepBuilder:
    """Builder of a training step from the kernels of the forward pass."""

    def __init__(
        self,
        workload: Workload,
        precision: Precision,
        flat: Graph,
        fused: list[FusedKernel],
        clamped: bool | None,
    ) -> None:
        self.flat, self.fused, self.precision = flat, fused, precision
        self.values = {**flat.defaults, **workload.parameters}
        self.alias = aliases(flat)
        self.producers = {self._name(n): op.kind for _, op in flat.walk() for n in op.writes}
        bits = float(precision.activations.element_bits)
        integer = precision.activations.compute.startswith("int") and bits <= 16
        self.clamped = integer if clamped is None else clamped
        self.bits = bits

    def read(self, gradient_bits: float | None) -> TrainingStep:
        """Return the training step."""
        lives: dict[str, ActivationLifetime] = {}
        makers = {n: i for i, kernel in enumerate(self.fused) for n in kernel.writes}
        for name, (first, last) in live_intervals(self.flat, self.fused).items():
            lives[name] = ActivationLifetime(
                name, self._bytes(name), first, last, makers.get(name, -1)
            )
        layers: list[TrainableLayer] = []
        passing: list[BackwardNeed] = []
        parents: dict[str, tuple[str, ...]] = {}
        additions: list[tuple[int, str, tuple[str, ...]]] = []
        readers: dict[str, list[int]] = {}
        for at, kernel in enumerate(self.fused):
            for name in kernel.reads:
                readers.setdefault(name, []).append(at)
            for operator in kernel.operators:
                layers += self._layers(operator, at)
                self._passes(operator, at, passing, parents)
                out = self._name(operator.writes[0]) if operator.writes else ""
                if operator.function == "add" and out in lives:
                    terms = [
                        n
                        for n in self._activations(operator)
                        if self._elements(n) == self._elements(out)
                    ]
                    additions.append((at, out, tuple(terms)))
        stored = sum(self._bytes(n) for n in self.flat.stored_weights())
        return TrainingStep(
            self.flat,
            tuple(layers),
            lives,
            tuple(passing),
            parents,
            tuple(additions),
            readers,
            len(self.fused),
            stored,
            self.bits,
            self.bits if gradient_bits is None else gradient_bits,
        )

    def _name(self, name: str) -> str:
        return self.alias.get(name, name)

    def _bytes(self, name: str) -> float:
        tensor = self.flat.tensors[name]
        return self._elements(name) * float(self.precision.bits(tensor.slot)) / 8.0

    def _elements(self, name: str) -> float:
        return float(evaluate(self.flat.tensors[name].elements, self.values))

    def _activations(self, operator: Operator) -> list[str]:
        names = dict.fromkeys(self._name(n) for n in operator.reads)
        return [n for n in names if self.flat.tensors[n].role == "activation"]

    def _layers(self, operator: Operator, at: int) -> list[TrainableLayer]:
        """Return the trainable layer of an operator: one product of an activation and a weight."""
        if operator.kind not in _PRODUCTS or not operator.nests:
            return []
        multiplied = [o.tensor for o in operator.nests[0].operands if o.role != "output"]
        weights = [n for n in operator.reads if self.flat.tensors[n].role == "weight"]
        inputs = self._activations(operator)
        product = [n for n in weights if n in multiplied]
        if len(product) != 1 or len(inputs) != 1:
            return []
        (weight,) = product
        bias = next((n for n in weights if n != weight), "")
        shape = self.flat.tensors[inputs[0]].shape
        axis = 1 if operator.kind in ("conv", "depthwise") and len(shape) > 2 else -1
        wide = self.precision.activations.compute.startswith("int")
        each = 4.0 if wide else float(self.precision.bits(self.flat.tensors[weight].slot)) / 8.0
        biases = self._elements(bias) if bias else 0.0
        return [
            TrainableLayer(
                operator.name,
                operator.name,
                at,
                inputs[0],
                self._name(operator.writes[0]),
                max(1, int(evaluate(shape[axis], self.values))),
                weight,
                bias,
                self._elements(weight),
                biases,
                self._bytes(weight),
                biases * each,
                float(evaluate(operator.macs, self.values)),
            )
        ]

    def _passes(
        self,
        operator: Operator,
        at: int,
        passing: list[BackwardNeed],
        parents: dict[str, tuple[str, ...]],
    ) -> None:
        """Add the tensors that a gradient through an operator needs, and its parents."""
        if operator.kind == "view" or not operator.writes:
            return
        inputs, out = self._activations(operator), self._name(operator.writes[0])
        if self.flat.tensors[out].role != "activation":
            return
        for written in operator.writes:
            name = self._name(written)
            parents[name] = (*parents.get(name, ()), *inputs)
        function = operator.function
        mask = BackwardNeed("", self._elements(out) / 8.0, at, out)
        kind = operator.kind
        if kind in _MOVES or (kind == "elementwise" and function in _LINEAR):
            return
        if kind in _PRODUCTS:
            # The clamp follows the product, so the mask has the size of the result.
            if self.clamped:
                passing.append(mask)
            if len(inputs) > 1:
                passing.extend(self._need(n, at, out) for n in inputs)
        elif function in _BY_MASK:
            # One mask covers both the clamp of a product and the ReLU fused into it.
            if not (self.clamped and self._follows_product(inputs)):
                passing.append(mask)
        elif kind == "softmax" or function in _BY_OUTPUT:
            passing.append(self._need(out, at, out))
        elif kind == "attention":
            passing.extend(self._need(n, at, out) for n in (*inputs, out))
        elif function == "batch_norm":
            return  # with running averages it is a product with a frozen weight
        else:
            passing.extend(self._need(n, at, out) for n in inputs)

    def _need(self, name: str, at: int, out: str) -> BackwardNeed:
        return BackwardNeed(name, self._bytes(name), at, out)

    def _follows_product(self, inputs: list[str]) -> bool:
        return len(inputs) == 1 and self.producers.get(inputs[0], "") in _PRODUCTS
