"""Graph of one training step: forward pass, backward pass and update.

Each product ``y = x w`` has two in the backward pass, ``dx = dy w`` and ``dw = x dy``, with the
same loop nest and therefore the same multiply-accumulates; an operand without a gradient omits
its product. Tensors of the forward pass that the backward pass reads remain live until then, so
the live ranges determine the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

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
_MOVES = frozenset({"view", "copy", "quantise"})


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
                f"'{optimizer}' is no optimiser",
                path="optimizer",
                expected=one_of(OPTIMIZERS),
                suggestion=nearest(optimizer, OPTIMIZERS),
            )
        )
    if faults:
        raise InputError(faults)


@dataclass(slots=True)
class _BackwardBuilder:
    """Builder of the backward pass of an unrolled graph.

    Attributes
    ----------
    leaves
        Weights and inputs that require gradients.
    """

    flat: Graph
    leaves: set[str]
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    grads: dict[str, str] = field(default_factory=dict[str, str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    operators: list[Operator] = field(default_factory=list[Operator])
    wanted: set[str] = field(default_factory=set[str])

    def graph(self, optimizer: str = "") -> Graph:
        """Return forward and backward operators, and the update, as one graph."""
        flat = self.flat
        self.tensors = dict(flat.tensors)
        self.wanted = set(self.leaves)
        for _, operator in flat.walk():
            if self.wanted.intersection(operator.reads):
                self.wanted.update(n for n in operator.writes if self._differentiable(n))
        losses = [n for n in flat.outputs if n in self.wanted]
        for name in losses:
            self.grads[name] = self._partial(name)
        loss_inputs = tuple(self.grads[n] for n in losses)
        blocks = [replace(block, phase="forward") for block in flat.blocks]
        for block in reversed(flat.blocks):
            self.operators = []
            for operator in reversed(block.operators):
                self._backward(operator)
            if self.operators:
                blocks.append(Block(block.name, 1, tuple(self.operators), "backward", block.layer))
        gradients = tuple(self.grads[n] for n in sorted(self.leaves) if n in self.grads)
        if optimizer:
            self.operators = []
            for name in sorted(self.leaves):
                if name in self.grads and flat.tensors[name].role == "weight":
                    self._update(name, *OPTIMIZERS[optimizer])
            blocks.append(Block("update", 1, tuple(self.operators), "update"))
            gradients = tuple(
                self.grads[n]
                for n in sorted(self.leaves)
                if n in self.grads and flat.tensors[n].role != "weight"
            )
        return replace(
            flat,
            name=f"{flat.name}_training",
            tensors=self.tensors,
            blocks=tuple(blocks),
            inputs=(*flat.inputs, *loss_inputs),
            outputs=(*flat.outputs, *gradients),
        )

    def _differentiable(self, name: str) -> bool:
        tensor = self.flat.tensors[name]
        return tensor.role == "activation" and tensor.format not in _INDICES

    # Tensors.

    def _new(self, name: str, like: str) -> str:
        """Declare a gradient with the shape of a tensor."""
        self.tensors[name] = Tensor(name, self.flat.tensors[like].shape)
        return name

    def _partial(self, name: str) -> str:
        """Declare the contribution of one reader to a tensor's gradient."""
        n = self.counts[name] = self.counts.get(name, 0) + 1
        return self._new(f"{name}.grad" if n == 1 else f"{name}.grad.{n}", name)

    def _arrived(self, name: str, share: str) -> None:
        """Accumulate a contribution to a gradient in place."""
        before = self.grads.get(name)
        if before is None:
            self.grads[name] = share
            return
        total = self._new(f"{share}.sum", name)
        size = self.tensors[share].elements
        self._emit(
            f"{share}.accumulate",
            "elementwise",
            [(before, size), (share, size)],
            [(total, size)],
            vector_ops=size,
            inplace=before,
            attributes=(("function", "add"),),
        )
        self.grads[name] = total

    def _emit(
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
        size = self.flat.tensors[name].elements
        state = [f"{name}.state{i}" for i in range(1, states + 1)]
        for each in state:
            self.tensors[each] = Tensor(each, self.flat.tensors[name].shape, "state")
        self._emit(
            f"{name}.update",
            "elementwise",
            [(self.grads[name], size), *((n, size) for n in (name, *state))],
            [(n, size) for n in (name, *state)],
            vector_ops=operations * size,
            attributes=(("function", "update"),),
        )

    # Operators.

    def _backward(self, operator: Operator) -> None:
        """Add the operators from the gradient of an operator's output to those of its inputs."""
        outputs = [n for n in operator.writes if n in self.grads and n in self.wanted]
        sizes = {a.tensor: a.elements for a in operator.accesses if a.mode == "read"}
        targets = [n for n in sizes if n in self.wanted]
        if not outputs or not targets:
            return
        dy = self.grads[outputs[0]]
        written = next(a.elements for a in operator.accesses if a.tensor == outputs[0])
        if operator.kind == "attention":
            self._attention(operator, dy, written, sizes, targets)
        elif operator.nests:
            self._products(operator, dy, written, sizes, targets)
        elif operator.kind in _MOVES or _function(operator) in _LINEAR:
            self._moved(operator, dy, written, sizes, targets)
        elif operator.kind == "gather":
            self._scattered(operator, dy, written, sizes, targets)
        else:
            self._pointwise(operator, outputs[0], dy, written, sizes, targets)

    def _products(
        self,
        operator: Operator,
        dy: str,
        written: Dim,
        sizes: Mapping[str, Dim],
        targets: Sequence[str],
    ) -> None:
        """Add one product per multiplied operand, and a reduction for a bias."""
        nest = operator.nests[0]
        multiplied = nest.multiplied
        for i, operand in enumerate(multiplied):
            if operand.tensor in targets:
                other, share = multiplied[1 - i].tensor, self._partial(operand.tensor)
                self._emit(
                    f"{operator.name}.backward.{_side(nest, operand)}",
                    operator.kind,
                    [(dy, written), (other, sizes[other])],
                    [(share, sizes[operand.tensor])],
                    nests=(_gradient_nest(nest, operand.tensor, dy, share, i),),
                    pair=(self.tensors[other].slot, "activation"),
                    attributes=operator.attributes,
                )
                self._arrived(operand.tensor, share)
        for target in targets:
            if all(o.tensor != target for o in multiplied):
                share = self._partial(target)
                self._emit(
                    f"{operator.name}.backward.bias",
                    "pool",
                    [(dy, written)],
                    [(share, sizes[target])],
                    vector_ops=written,
                )
                self._arrived(target, share)

    def _attention(
        self,
        operator: Operator,
        dy: str,
        written: Dim,
        sizes: Mapping[str, Dim],
        targets: Sequence[str],
    ) -> None:
        """Add the recomputed scores and one product per operand of both products, in one kernel."""
        shares = {target: self._partial(target) for target in targets}
        first, second = operator.nests
        scores, out = first.output.tensor, second.output.tensor
        nests = [first, _gradient_nest(second, scores, dy, f"{scores}.grad", 0)]
        for nest, gradient in ((second, dy), (first, f"{scores}.grad")):
            for i, operand in enumerate(nest.multiplied):
                if operand.tensor in shares:
                    share = shares[operand.tensor]
                    nests.append(_gradient_nest(nest, operand.tensor, gradient, share, i))
        macs: Dim = sum((nest.macs for nest in nests), 0)
        # The masked fraction of the forward pass applies; 0 if nothing is masked.
        masked = operator.masked_macs * (macs / operator.macs)
        self._emit(
            f"{operator.name}.backward",
            operator.kind,
            [(dy, written), (out, written), *sizes.items()],
            [(share, sizes[target]) for target, share in shares.items()],
            nests=tuple(nests),
            vector_ops=2 * operator.vector_ops,
            pair=operator.pair,
            scores=operator.scores,
            masked_macs=masked,
            attributes=operator.attributes,
        )
        for target, share in shares.items():
            self._arrived(target, share)

    def _moved(
        self,
        operator: Operator,
        dy: str,
        written: Dim,
        sizes: Mapping[str, Dim],
        targets: Sequence[str],
    ) -> None:
        """Add the reverse of a data movement: free for views, a reduction for broadcasts."""
        for target in targets:
            share = self._partial(target)
            name = f"{operator.name}.backward" + (f".{share}" if len(targets) > 1 else "")
            same = self.tensors[target].shape == self.tensors[dy].shape
            if operator.kind in _MOVES:
                moves: Dim = sizes[target]
                kind = "view" if operator.kind == "quantise" else operator.kind
                moves = 0 if kind == "view" else moves
                self._emit(name, kind, [(dy, moves)], [(share, moves)])
            elif same:
                self._emit(name, "view", [(dy, 0)], [(share, 0)], inplace=dy)
            else:
                self._emit(
                    name, "pool", [(dy, written)], [(share, sizes[target])], vector_ops=written
                )
            self._arrived(target, share)

    def _scattered(
        self,
        operator: Operator,
        dy: str,
        written: Dim,
        sizes: Mapping[str, Dim],
        targets: Sequence[str],
    ) -> None:
        """Add the accumulation of rows into the gradient of a table."""
        for target in targets:
            share = self._partial(target)
            reads = [(dy, written), *((n, e) for n, e in sizes.items() if n != target)]
            self._emit(
                f"{operator.name}.backward", "gather", reads, [(share, written)], vector_ops=written
            )
            self._arrived(target, share)

    def _pointwise(
        self,
        operator: Operator,
        out: str,
        dy: str,
        written: Dim,
        sizes: Mapping[str, Dim],
        targets: Sequence[str],
    ) -> None:
        """Add one kernel for an operator without products, reading what its derivative needs."""
        needed: list[tuple[str, Dim]] = list(sizes.items())
        if operator.kind == "softmax" or _function(operator) in _FROM_OUTPUT:
            needed = [(out, written)]
        elif operator.kind == "pool":
            needed = []
        shares = {target: self._partial(target) for target in targets}
        self._emit(
            f"{operator.name}.backward",
            operator.kind,
            [(dy, written), *needed],
            [(share, sizes[target]) for target, share in shares.items()],
            vector_ops=(1 if operator.kind == "pool" else 2) * operator.vector_ops,
            attributes=operator.attributes,
        )
        for target, share in shares.items():
            self._arrived(target, share)


def _function(operator: Operator) -> str:
    return str(dict(operator.attributes).get("function", ""))


def _side(nest: LoopNest, operand: Operand) -> str:
    """Return ``weight`` or ``input``, numbered if both operands are inputs."""
    sides = nest.multiplied
    single = sum(o.role == operand.role for o in sides) == 1
    return operand.role if single else f"{operand.role}{sides.index(operand) + 1}"


def _gradient_nest(nest: LoopNest, target: str, dy: str, share: str, index: int) -> LoopNest:
    """Return the nest with a gradient as output and `dy` as an input.

    `index` is the position of `target` among the multiplied operands.
    """
    inputs, result = nest.multiplied, nest.output
    assert inputs[index].tensor == target
    output = replace(inputs[index], tensor=share, role="output")
    others = [o for i, o in enumerate(inputs) if i != index]
    return replace(nest, operands=(*others, replace(result, tensor=dy, role="input"), output))
