"""Graph of one training step: forward pass, backward pass and update, by reverse accumulation.

Each product ``y = x w`` has two in the backward pass, ``dx = dy w`` and ``dw = x dy``, with the
same loop nest and therefore the same multiply-accumulates; an operand without a gradient omits
its product. Tensors of the forward pass that the backward pass reads remain live until then, so
the live ranges determine the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim, simplify

#: Functions whose gradient is that of their output, whatever the input.
_LINEAR = frozenset({"add", "sub", "neg", "cast"})
#: Functions with a derivative in terms of their output, which the next layer stores anyway.
_FROM_OUTPUT = frozenset(
    {"relu", "relu6", "leaky_relu", "clip", "elu", "exp", "sqrt", "sigmoid", "tanh"}
)
#: Formats of indices and masks, which have no gradient.
_INDICES = frozenset({"int64", "int32", "bool"})
#: Optimiser -> state tensors per trained weight, and operations per element:
#: ``w -= lr g``; ``m = b m + g; w -= lr m``; Kingma and Ba 2015, algorithm 1.
OPTIMIZERS = {"sgd": (0, 2), "momentum": (1, 4), "adam": (2, 12)}
#: Data movement operators, whose backward pass moves the gradient back.
_MOVEMENTS = frozenset({"view", "copy", "quantise"})


def backward(
    graph: Graph,
    trainable: str | Sequence[str] = "*",
    *,
    inputs: bool = False,
    values: Mapping[str, float] | None = None,
    optimizer: str = "",
) -> Graph:
    """Return a training step: forward operators, backward operators, and the update.

    The gradients of the outputs are inputs (``out.grad``), and those of the trainable weights are
    outputs (``weight.grad``). Attention recomputes its scores, as in flash attention (Dao et al.
    2022, algorithm 4). Pointwise and normalising operators cost twice their forward pass; pooling
    stores nothing, so the indices of maxima are not counted.

    Parameters
    ----------
    graph
        The forward graph; its repetitions are unrolled.
    trainable
        Patterns of names of trained weights (``"*"`` for all, ``"head*"``, ``"*.bias"``); the
        weights of repeated layers are named ``name@0``, ``name@1`` ...
    inputs
        Whether gradients of the network's inputs are needed too.
    values
        Numbers for free counts, as for `Graph.unroll`.
    optimizer
        One of `OPTIMIZERS`, whose update of the trained weights ends the step (a block of phase
        ``update``, one operator ``weight.update`` each); empty for a step that ends with gradients.

    Raises
    ------
    InputError
        A pattern names no weight, or the optimiser is unknown.
    """
    flat = graph.unroll(values)
    patterns = (trainable,) if isinstance(trainable, str) else tuple(trainable)
    weights = [name for name, tensor in flat.tensors.items() if tensor.role == "weight"]
    _check(patterns, weights, optimizer)
    trained = {w for w in weights if any(fnmatchcase(w, pattern) for pattern in patterns)}
    images = {n for n in flat.inputs if flat.tensors[n].format not in _INDICES}
    step = _BackwardBuilder(flat, trained | images if inputs else trained)
    return step.graph(optimizer)


def _check(patterns: Sequence[str], weights: Sequence[str], optimizer: str) -> None:
    faults = [
        Fault(
            f"no weight is named '{pattern}'",
            path="trainable",
            expected="a pattern such as '*' or 'head*'",
            suggestion=nearest(pattern, weights),
        )
        for pattern in patterns
        if not any(fnmatchcase(w, pattern) for w in weights)
    ]
    if optimizer and optimizer not in OPTIMIZERS:
        faults.append(
            Fault(
                f"'{optimizer}' is not an optimiser",
                path="optimizer",
                expected=one_of(OPTIMIZERS),
                suggestion=nearest(optimizer, OPTIMIZERS),
            )
        )
    if faults:
        raise InputError(faults)


class _OutputGradient(NamedTuple):
    """The gradient of an operator's output, from which those of its inputs are computed.

    Attributes
    ----------
    operator, output
        Operator of the forward pass, and the tensor that it writes.
    gradient, elements
        Name of the output's gradient, and number of its elements.
    inputs
        Tensor that the operator reads -> number of elements.
    targets
        Inputs whose gradients are needed.
    """

    operator: Operator
    output: str
    gradient: str
    elements: Dim
    inputs: Mapping[str, Dim]
    targets: Sequence[str]

    @property
    def read(self) -> tuple[str, Dim]:
        """The gradient with its elements, as a backward operator reads it."""
        return self.gradient, self.elements


@dataclass(slots=True)
class _BackwardBuilder:
    """Builder of the backward pass of an unrolled graph.

    Attributes
    ----------
    forward
        The unrolled forward graph.
    leaves
        Weights and inputs that require gradients.
    tensors
        All tensors of the step by name.
    gradients
        Tensor -> the name of its gradient, accumulated so far.
    contribution_counts
        Tensor -> number of readers that have contributed to its gradient.
    operators
        Backward operators of the current block.
    differentiable
        Tensors whose gradients are needed.
    """

    forward: Graph
    leaves: set[str]
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    gradients: dict[str, str] = field(default_factory=dict[str, str])
    contribution_counts: dict[str, int] = field(default_factory=dict[str, int])
    operators: list[Operator] = field(default_factory=list[Operator])
    differentiable: set[str] = field(default_factory=set[str])

    def graph(self, optimizer: str = "") -> Graph:
        """Return forward and backward operators, and the update, as one graph."""
        self.tensors = dict(self.forward.tensors)
        self.differentiable = set(self.leaves)
        for _, operator in self.forward.walk():
            if self.differentiable.intersection(operator.reads):
                self.differentiable.update(n for n in operator.writes if self._differentiable(n))
        losses = [n for n in self.forward.outputs if n in self.differentiable]
        for name in losses:
            self.gradients[name] = self._declare_contribution(name)
        loss_inputs = tuple(self.gradients[n] for n in losses)
        blocks = [replace(block, phase="forward") for block in self.forward.blocks]
        for block in reversed(self.forward.blocks):
            self.operators = []
            for operator in reversed(block.operators):
                self._backward(operator)
            if self.operators:
                blocks.append(Block(block.name, 1, tuple(self.operators), "backward", block.layer))
        reached = [n for n in sorted(self.leaves) if n in self.gradients]
        if optimizer:
            self.operators = []
            weights = [n for n in reached if self.forward.tensors[n].role == "weight"]
            for name in weights:
                self._update(name, *OPTIMIZERS[optimizer])
            blocks.append(Block("update", 1, tuple(self.operators), "update"))
            reached = [n for n in reached if n not in weights]
        gradients = [self.gradients[n] for n in reached]
        return replace(
            self.forward,
            name=f"{self.forward.name}_training",
            tensors=self.tensors,
            blocks=tuple(blocks),
            inputs=(*self.forward.inputs, *loss_inputs),
            outputs=(*self.forward.outputs, *gradients),
        )

    def _differentiable(self, name: str) -> bool:
        tensor = self.forward.tensors[name]
        return tensor.role == "activation" and tensor.format not in _INDICES

    # Tensors.

    def _new(self, name: str, like: str) -> str:
        """Declare a gradient with the shape of a tensor."""
        self.tensors[name] = Tensor(name, self.forward.tensors[like].shape)
        return name

    def _declare_contribution(self, name: str) -> str:
        """Declare the contribution of one reader to a tensor's gradient."""
        n = self.contribution_counts[name] = self.contribution_counts.get(name, 0) + 1
        return self._new(f"{name}.grad" if n == 1 else f"{name}.grad.{n}", name)

    def _declare_contributions(self, targets: Sequence[str]) -> dict[str, str]:
        return {target: self._declare_contribution(target) for target in targets}

    def _accumulate(self, name: str, contribution: str) -> None:
        """Accumulate a contribution to a gradient in place."""
        before = self.gradients.get(name)
        if before is None:
            self.gradients[name] = contribution
            return
        total = self._new(f"{contribution}.sum", name)
        size = self.tensors[contribution].elements
        self._add_operator(
            f"{contribution}.accumulate",
            "elementwise",
            [(before, size), (contribution, size)],
            [(total, size)],
            vector_ops=size,
            inplace=before,
            attributes=(("function", "add"),),
        )
        self.gradients[name] = total

    def _add_operator(
        self,
        name: str,
        kind: str,
        reads: Sequence[tuple[str, Dim]],
        writes: Sequence[tuple[str, Dim]],
        *,
        nests: tuple[LoopNest, ...] = (),
        vector_ops: Dim = 0,
        pair: tuple[str, str] = ("activation", "activation"),
        inplace: str = "",
        attributes: tuple[tuple[str, object], ...] = (),
        scores: Dim = 0,
        masked_macs: Dim = 0,
    ) -> None:
        accesses = [Access(n, "read", e) for n, e in dict(reads).items()]
        accesses += [Access(n, "write", e) for n, e in writes]
        self.operators.append(
            Operator(
                name,
                kind,
                tuple(accesses),
                nests,
                simplify(vector_ops),
                pair,
                simplify(masked_macs),
                scores,
                inplace,
                attributes,
            )
        )

    def _update(self, name: str, states: int, operations: int) -> None:
        """Add an optimiser's in-place update of a weight and its state."""
        size = self.forward.tensors[name].elements
        state = [f"{name}.state{i}" for i in range(1, states + 1)]
        for each in state:
            self.tensors[each] = Tensor(each, self.forward.tensors[name].shape, "state")
        self._add_operator(
            f"{name}.update",
            "elementwise",
            [(self.gradients[name], size), *((n, size) for n in (name, *state))],
            [(n, size) for n in (name, *state)],
            vector_ops=operations * size,
            attributes=(("function", "update"),),
        )

    # Operators.

    def _backward(self, operator: Operator) -> None:
        """Add the operators from the gradient of an operator's output to those of its inputs."""
        outputs = [n for n in operator.writes if n in self.gradients and n in self.differentiable]
        inputs = {a.tensor: a.elements for a in operator.accesses if a.mode == "read"}
        targets = [n for n in inputs if n in self.differentiable]
        if not outputs or not targets:
            return
        output = outputs[0]
        elements = next(a.elements for a in operator.accesses if a.tensor == output)
        upstream = _OutputGradient(
            operator, output, self.gradients[output], elements, inputs, targets
        )
        if operator.kind == "attention":
            self._attention(upstream)
        elif operator.nests:
            self._products(upstream)
        elif operator.kind in _MOVEMENTS or operator.function in _LINEAR:
            self._reverse_movement(upstream)
        elif operator.kind == "gather":
            self._scatter_to_table(upstream)
        else:
            self._pointwise(upstream)

    def _contribute(
        self,
        name: str,
        kind: str,
        reads: Sequence[tuple[str, Dim]],
        contributions: Mapping[str, str],
        sizes: Mapping[str, Dim],
        **options: Any,
    ) -> None:
        """Add an operator that computes contributions to gradients, and accumulate them."""
        writes = [(written, sizes[target]) for target, written in contributions.items()]
        self._add_operator(name, kind, reads, writes, **options)
        for target, written in contributions.items():
            self._accumulate(target, written)

    def _products(self, upstream: _OutputGradient) -> None:
        """Add one product per multiplied operand, and a reduction for a bias."""
        operator, nest = upstream.operator, upstream.operator.nests[0]
        multiplied = nest.multiplied
        for i, operand in enumerate(multiplied):
            target, other = operand.tensor, multiplied[1 - i].tensor
            if target in upstream.targets:
                contributions = self._declare_contributions([target])
                gradient_nest = _gradient_nest(
                    nest, target, upstream.gradient, contributions[target], i
                )
                self._contribute(
                    f"{operator.name}.backward.{_operand_label(nest, operand)}",
                    operator.kind,
                    [upstream.read, (other, upstream.inputs[other])],
                    contributions,
                    upstream.inputs,
                    nests=(gradient_nest,),
                    pair=(self.tensors[other].slot, "activation"),
                    attributes=operator.attributes,
                )
        for target in upstream.targets:
            if all(operand.tensor != target for operand in multiplied):
                contributions = self._declare_contributions([target])
                self._reduce(upstream, contributions, f"{operator.name}.backward.bias")

    def _reduce(
        self, upstream: _OutputGradient, contributions: Mapping[str, str], name: str
    ) -> None:
        """Add the sum of the output's gradient over the axes that an input does not have."""
        self._contribute(
            name,
            "pool",
            [upstream.read],
            contributions,
            upstream.inputs,
            vector_ops=upstream.elements,
        )

    def _attention(self, upstream: _OutputGradient) -> None:
        """Add the recomputed scores and one product per operand of both products, in one kernel."""
        operator = upstream.operator
        contributions = self._declare_contributions(upstream.targets)
        first, second = operator.nests
        scores, out = first.output.tensor, second.output.tensor
        nests = [first, _gradient_nest(second, scores, upstream.gradient, f"{scores}.grad", 0)]
        for nest, gradient in ((second, upstream.gradient), (first, f"{scores}.grad")):
            for i, operand in enumerate(nest.multiplied):
                if operand.tensor in contributions:
                    contribution = contributions[operand.tensor]
                    nests.append(_gradient_nest(nest, operand.tensor, gradient, contribution, i))
        macs: Dim = sum((nest.macs for nest in nests), 0)
        self._contribute(
            f"{operator.name}.backward",
            operator.kind,
            [upstream.read, (out, upstream.elements), *upstream.inputs.items()],
            contributions,
            upstream.inputs,
            nests=tuple(nests),
            vector_ops=2 * operator.vector_ops,
            pair=operator.pair,
            scores=operator.scores,
            # The masked fraction of the forward pass applies; 0 if nothing is masked.
            masked_macs=operator.masked_macs * (macs / operator.macs),
            attributes=operator.attributes,
        )

    def _reverse_movement(self, upstream: _OutputGradient) -> None:
        """Add the reverse of a data movement: free for views, a reduction for broadcasts."""
        operator, gradient = upstream.operator, upstream.gradient
        for target in upstream.targets:
            contributions = self._declare_contributions([target])
            name = f"{operator.name}.backward"
            if len(upstream.targets) > 1:
                name = f"{name}.{contributions[target]}"
            has_same_shape = self.tensors[target].shape == self.tensors[gradient].shape
            if operator.kind not in _MOVEMENTS and not has_same_shape:
                self._reduce(upstream, contributions, name)
                continue
            is_copy = operator.kind == "copy"
            moves = upstream.inputs[target] if is_copy else 0
            self._contribute(
                name,
                "copy" if is_copy else "view",
                [(gradient, moves)],
                contributions,
                {target: moves},
                inplace="" if operator.kind in _MOVEMENTS else gradient,
            )

    def _scatter_to_table(self, upstream: _OutputGradient) -> None:
        """Add the accumulation of rows into the gradient of a table."""
        for target in upstream.targets:
            self._contribute(
                f"{upstream.operator.name}.backward",
                "gather",
                [upstream.read, *((n, size) for n, size in upstream.inputs.items() if n != target)],
                self._declare_contributions([target]),
                {target: upstream.elements},
                vector_ops=upstream.elements,
            )

    def _pointwise(self, upstream: _OutputGradient) -> None:
        """Add one kernel for an operator without products, reading what its derivative needs."""
        operator, is_pool = upstream.operator, upstream.operator.kind == "pool"
        needed: list[tuple[str, Dim]] = [] if is_pool else list(upstream.inputs.items())
        if operator.kind == "softmax" or operator.function in _FROM_OUTPUT:
            needed = [(upstream.output, upstream.elements)]
        self._contribute(
            f"{operator.name}.backward",
            operator.kind,
            [upstream.read, *needed],
            self._declare_contributions(upstream.targets),
            upstream.inputs,
            vector_ops=(1 if is_pool else 2) * operator.vector_ops,
            attributes=operator.attributes,
        )


def _operand_label(nest: LoopNest, operand: Operand) -> str:
    """Return ``weight`` or ``input``, numbered if both operands are inputs."""
    sides = nest.multiplied
    single = sum(o.role == operand.role for o in sides) == 1
    return operand.role if single else f"{operand.role}{sides.index(operand) + 1}"


def _gradient_nest(
    nest: LoopNest, target: str, output_gradient: str, contribution: str, index: int
) -> LoopNest:
    """Return the nest with a gradient as output and `dy` as an input.

    `index` is the position of `target` among the multiplied operands.
    """
    inputs, result = nest.multiplied, nest.output
    assert inputs[index].tensor == target
    output = inputs[index]._replace(tensor=contribution, role="output")
    others = [o for i, o in enumerate(inputs) if i != index]
    return replace(
        nest, operands=(*others, result._replace(tensor=output_gradient, role="input"), output)
    )
