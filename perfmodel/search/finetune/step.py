"""A training step as numbers: what is live when, what each choice of trained parts keeps.

Rules of what the backward pass needs of the forward pass, as in TinyTL (Cai et al. 2020,
arXiv:2007.11622) and "On-Device Training Under 256KB Memory" (Lin et al. 2022, arXiv:2206.15472):

* a trained weight needs the input of its layer, of which a share of input channels that is trained
  needs that share; a bias needs nothing;
* a gradient that passes through a ReLU or a clamp needs one bit an element, through any other
  function of one input the input itself, through a product of two activations the other one,
  through a convolution by a frozen weight nothing;
* below the first trained layer there is no gradient.

Gradients have the lifetimes of the activations that they belong to, mirrored: of a tensor from the
backward pass of its last reader to that of its maker. Both gradients of an addition are the one
that comes in, in one buffer, until another share is added to it, in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.errors import input_error
from perfmodel.formats import Precision
from perfmodel.workload.fuse import FusedKernel, FusionRules, aliases, kernels
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.lifetimes import held
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.unroll import written_out
from perfmodel.workload.workload import Workload

#: A graph that is larger, its repetitions written out, is refused.
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
        Position of its kernel.
    source, result
        The activation that it multiplies and the one that it makes.
    channels
        Input channels of the weight: its parts are shares of them.
    weight, bias
        Names; the bias may be empty.
    weight_bytes, bias_bytes
        As they are stored while they are trained.
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
    """An activation, and where the forward pass has it: from one kernel to another, inclusive.

    `maker` is -1 for an input of the network.
    """

    name: str
    size_bytes: float
    first: int
    last: int
    maker: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that a gradient on its way needs.

    Attributes
    ----------
    tensor
        Activation that is kept whole; empty for a mask.
    size_bytes
        Of the mask; of the tensor else.
    kernel
        Where it is made for masks, and whose backward pass reads it.
    wanted
        Tensor whose gradient must be wanted for it to be needed.
    """

    tensor: str
    size_bytes: float
    kernel: int
    wanted: str


@dataclass(frozen=True)
class TrainingStep:
    """One training step of a network, before anything is chosen.

    Attributes
    ----------
    layers
        In the order of execution.
    lives
        Activations by name.
    passing
        What gradients need on their way.
    parents
        Tensor -> tensors whose gradient follows from its own.
    additions
        (kernel, sum, terms) of additions of equal shapes whose sum leaves its kernel.
    readers
        Tensor -> kernels that read it, ascending.
    frozen_bytes
        Of all weights, as they are stored.
    activation_bits, gradient_bits
        Of an element of each.
    """

    graph: Graph
    layers: tuple[TrainableLayer, ...]
    lives: Mapping[str, ActivationLifetime]
    passing: tuple[Kept, ...]
    parents: Mapping[str, tuple[str, ...]]
    additions: tuple[tuple[int, str, tuple[str, ...]], ...]
    readers: Mapping[str, tuple[int, ...]]
    kernels: int
    frozen_bytes: float
    activation_bits: float
    gradient_bits: float

    @property
    def gradient_scale(self) -> float:
        """Bytes of a gradient over those of its activation."""
        return self.gradient_bits / self.activation_bits

    def above(self) -> dict[str, set[int]]:
        """Return tensor -> layers (by index) that it depends on, those that make it included."""
        above: dict[str, set[int]] = {}
        makers: dict[str, list[int]] = {}
        for i, layer in enumerate(self.layers):
            makers.setdefault(layer.result, []).append(i)
        for name in self.lives:
            _above(name, self.parents, makers, above)
        return above


def _above(
    name: str,
    parents: Mapping[str, tuple[str, ...]],
    makers: Mapping[str, list[int]],
    above: dict[str, set[int]],
) -> set[int]:
    todo = [name]
    while todo:
        top = todo[-1]
        if top in above:
            todo.pop()
            continue
        missing = [p for p in parents.get(top, ()) if p not in above]
        if missing:
            todo += missing
            continue
        above[top] = set(makers.get(top, ())).union(*(above[p] for p in parents.get(top, ())))
        todo.pop()
    return above[name]


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
        Of an element of a gradient; those of the activations where left out.
    clamped
        Whether every product is clamped to the range of its format, so that a gradient needs a mask
        there; by default where activations are integers.

    Raises
    ------
    InputError
        Dimensions that are arrays; a network without weights; sizes alone.
    """
    if workload.shape:
        message = f"'{workload.name}' has arrays as dimensions"
        raise input_error(message, expected="one number for each: a step is of one network")
    graph = workload.graph()
    if graph.schedulable_only:
        message = f"'{workload.name}' can be scheduled but not trained: it holds sizes only"
        raise input_error(message, expected="a workload with operators")
    flat = written_out(graph, workload.parameters, MOST_OPERATORS)
    fused = kernels(flat, fusion)
    step = _TrainingStepBuilder(workload, precision, flat, fused, clamped).read(gradient_bits)
    if not step.layers:
        raise input_error(f"'{workload.name}' has no weight to train", file=workload.origin)
    return step


class _TrainingStepBuilder:
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
        bits = float(precision.activations.element_bits)
        integer = precision.activations.compute.startswith("int") and bits <= 16
        self.clamped = integer if clamped is None else clamped
        self.bits = bits

    def read(self, gradient_bits: float | None) -> TrainingStep:
        """Return the step."""
        lives: dict[str, ActivationLifetime] = {}
        makers = {n: i for i, kernel in enumerate(self.fused) for n in kernel.writes}
        for name, (first, last) in held(self.flat, self.fused).items():
            lives[name] = ActivationLifetime(
                name, self._bytes(name), first, last, makers.get(name, -1)
            )
        layers: list[TrainableLayer] = []
        passing: list[Kept] = []
        parents: dict[str, tuple[str, ...]] = {}
        additions: list[tuple[int, str, tuple[str, ...]]] = []
        readers: dict[str, tuple[int, ...]] = {}
        for at, kernel in enumerate(self.fused):
            for name in kernel.reads:
                readers[name] = (*readers.get(name, ()), at)
            for operator in kernel.operators:
                layers += self._layers(operator, at)
                self._passes(operator, at, passing, parents)
                out = self._name(operator.writes[0]) if operator.writes else ""
                if dict(operator.attributes).get("function") == "add" and out in lives:
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
        self, operator: Operator, at: int, passing: list[Kept], parents: dict[str, tuple[str, ...]]
    ) -> None:
        """Add what a gradient needs on its way through an operator, and where it goes."""
        if operator.kind == "view" or not operator.writes:
            return
        inputs, out = self._activations(operator), self._name(operator.writes[0])
        if self.flat.tensors[out].role != "activation":
            return
        for written in operator.writes:
            name = self._name(written)
            parents[name] = (*parents.get(name, ()), *inputs)
        function = str(dict(operator.attributes).get("function", ""))
        mask = Kept("", self._elements(out) / 8.0, at, out)
        kind = operator.kind
        if kind in _MOVES or (kind == "elementwise" and function in _LINEAR):
            return
        if kind in _PRODUCTS:
            # A clamp stands between a product and all else, so it is of its result.
            if self.clamped:
                passing.append(mask)
            if len(inputs) > 1:
                passing.extend(self._whole(n, at, out) for n in inputs)
        elif function in _BY_MASK:
            # One clamp does for a product and the ReLU that rides on it.
            if not (self.clamped and self._follows_product(inputs)):
                passing.append(mask)
        elif kind == "softmax" or function in _BY_OUTPUT:
            passing.append(self._whole(out, at, out))
        elif kind == "attention":
            passing.extend(self._whole(n, at, out) for n in (*inputs, out))
        elif function == "batch_norm":
            return  # by its running averages it is a product with a frozen weight
        else:
            passing.extend(self._whole(n, at, out) for n in inputs)

    def _whole(self, name: str, at: int, out: str) -> Kept:
        return Kept(name, self._bytes(name), at, out)

    def _follows_product(self, inputs: list[str]) -> bool:
        makers = {self._name(n): op.kind for _, op in self.flat.walk() for n in op.writes}
        return len(inputs) == 1 and makers.get(inputs[0], "") in _PRODUCTS
