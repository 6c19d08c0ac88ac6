"""Memory over a training step as linear functions of what is trained.

There is one row per kernel of the forward pass and two per kernel of the backward pass. The bytes
of a row are a number (activations that the forward pass needs anyway) plus what each choice adds.
Evaluating a choice and looking for the best one read the same matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perfmodel.search.finetune.step import TrainableLayer, TrainingStep

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerUpdate:
    """The part of a layer that is trained.

    Attributes
    ----------
    share
        Of the input channels of the weight, whole channels counted; 0 for none.
    bias
        Whether its bias is.
    rank
        Of matrices beside the weight (LoRA, Hu et al. 2022, arXiv:2106.09685); 0 for none.
    """

    share: float = 0.0
    bias: bool = True
    rank: int = 0

    def __str__(self) -> str:
        if self.rank:
            return f"lora{self.rank}"
        if self.share == 0.0:
            return "bias"
        return f"{self.share:g}" if self.bias else "weight"

    def channels(self, of: int) -> int:
        """Return how many of the input channels are trained."""
        return int(of * self.share)

    def added(self, layer: TrainableLayer) -> float:
        """Return the parameters of the matrices beside a layer's weight."""
        return self.rank * (layer.channels + layer.weights / layer.channels)


#: Layer (its index) -> what of it is trained; a layer that is not named is frozen.
Scheme = Mapping[int, LayerUpdate]


@dataclass(frozen=True)
class TrainingMemoryModel:
    """Bytes of a step as a matrix.

    Attributes
    ----------
    choices
        (layer, part) of the first columns: whether it is chosen, 0 or 1.
    constant
        Of each row, whatever is trained: forward rows; backward rows while gradients of weights are
        made; backward rows while those of inputs are, and added to what has arrived of them.
    matrix
        Bytes of each row that a column adds.
    kept_bytes, trained_bytes, gradient_bytes
        Of each column by itself: what is kept of the forward pass, trained weights with the state
        of their optimiser, and their gradients. The memory holds the gradients of one layer at a
        time where updates are immediate.
    lower
        Column -> (column, factor) pairs: it is at least factor times each of them.
    """

    step: TrainingStep
    choices: tuple[tuple[int, LayerUpdate], ...]
    constant: Floats
    matrix: Floats
    kept_bytes: Floats
    trained_bytes: Floats
    gradient_bytes: Floats
    lower: Mapping[int, tuple[tuple[int, float], ...]]
    at: Mapping[tuple[int, LayerUpdate], int] = field(repr=False)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.matrix.shape[1]

    def values(self, scheme: Scheme) -> Floats:
        """Return the columns' values of a scheme."""
        out = np.zeros(self.width)
        for layer, part in scheme.items():
            out[self.at[layer, part]] = 1.0
        for column, least in self.lower.items():
            out[column] = max((factor * out[c] for c, factor in least), default=0.0)
        return out

    def rows(self, scheme: Scheme) -> Floats:
        """Return the bytes of each row, forward ones first."""
        rows: Floats = self.constant + self.matrix @ self.values(scheme)
        return rows

    def peak_bytes(self, scheme: Scheme) -> float:
        """Return the most bytes at any time."""
        return float(self.rows(scheme).max())


def memory_of(
    step: TrainingStep,
    parts: Mapping[int, Sequence[LayerUpdate]],
    *,
    states: int = 0,
    late: bool = False,
    resident: bool = False,
) -> TrainingMemoryModel:
    """Return the memory of a step.

    Parameters
    ----------
    parts
        Layer -> what of it may be trained.
    states
        Tensors of the optimiser for each trained weight.
    late
        Gradients of weights stay until all are there; otherwise each is applied as it is made, and
        its memory is free again.
    resident
        The memory holds all weights as well, trained or not: they have no other to lie in.
    """
    builder = _MatrixBuilder(step, parts)
    builder.keep_activations()
    builder.add_gradients()
    return builder.model(states, late=late, resident=resident)


class _MatrixBuilder:
    """The columns of a matrix, and its entries so far; columns after those of choices are bounds.

    Attributes
    ----------
    lower
        Bounding column -> (column, factor) pairs: it is at least factor times each of them.
    entries
        Row, column and bytes; those of the same place add up.
    kept_bytes
        Column -> bytes of the forward pass that the backward pass needs.
    gates
        Tensor -> the column that is 1 where its gradient is needed.
    """

    def __init__(self, step: TrainingStep, parts: Mapping[int, Sequence[LayerUpdate]]) -> None:
        self.step = step
        self.choices = [(layer, part) for layer in sorted(parts) for part in parts[layer]]
        self.lower: dict[int, list[tuple[int, float]]] = {}
        self.entries: list[tuple[int, int, float]] = []
        self.kept_bytes: list[tuple[int, float]] = []
        self.gates: dict[str, int] = {}
        by_layer: dict[int, list[int]] = {}
        for i, (layer, _) in enumerate(self.choices):
            by_layer.setdefault(layer, []).append(i)
        for name, layers in step.above().items():
            columns = [(c, 1.0) for layer in sorted(layers) for c in by_layer.get(layer, ())]
            if columns:
                self.gates[name] = self._bound(columns)

    def _bound(self, least: list[tuple[int, float]]) -> int:
        """Add a column that is at least factor times each of others."""
        column = len(self.choices) + len(self.lower)
        self.lower[column] = least
        return column

    def keep_activations(self) -> None:
        """Add what the backward pass needs of the forward pass."""
        step = self.step
        # Tensor -> its bytes and the kernel that makes it.
        origin = {name: (live.size_bytes, live.first) for name, live in step.lives.items()}
        # Tensor -> kernel that needs it -> columns and the shares of it that they need.
        needs: dict[str, dict[int, list[tuple[int, float]]]] = {}
        for need in step.passing:
            gate = self.gates.get(need.wanted)
            if gate is None:
                continue
            if not need.tensor:
                self._keep_beside(need.kernel, gate, need.size_bytes)
                continue
            origin.setdefault(need.tensor, (need.size_bytes, need.kernel))
            needs.setdefault(need.tensor, {}).setdefault(need.kernel, []).append((gate, 1.0))
        for i, (index, part) in enumerate(self.choices):
            layer = step.layers[index]
            share = 1.0 if part.rank else part.channels(layer.channels) / layer.channels
            if share > 0.0:
                needs.setdefault(layer.source, {}).setdefault(layer.kernel, []).append((i, share))
            if part.rank:
                # The product with the first of the two matrices, for the gradient of the second.
                rows = origin[layer.source][0] / layer.channels
                self._keep_beside(layer.kernel, i, rows * part.rank)
        for name, kernels in needs.items():
            self._keep(name, *origin[name], kernels)

    def _keep_beside(self, kernel: int, column: int, size: float) -> None:
        """Add what is of one kernel alone, from its forward until its backward pass."""
        n = self.step.kernels
        self.kept_bytes.append((column, size))
        self.entries += [(g * n + j, column, size) for g in range(3) for j in range(kernel, n)]

    def _keep(
        self, name: str, size: float, maker: int, kernels: Mapping[int, list[tuple[int, float]]]
    ) -> None:
        """Add the rows in which a tensor is there for the backward pass alone."""
        n = self.step.kernels
        order = sorted(kernels)
        live = self.step.lives.get(name)
        last = live.last if live is not None else maker - 1
        gate = -1
        # Backward, a need is over once its kernel is done; those of lower kernels remain.
        for position, kernel in enumerate(order):
            gate = self._bound([pair for k in order[: position + 1] for pair in kernels[k]])
            until = order[position + 1] if position + 1 < len(order) else n
            self.entries += [(g * n + j, gate, size) for g in (1, 2) for j in range(kernel, until)]
        self.entries += [(j, gate, size) for j in range(max(last + 1, maker), n)]
        self.kept_bytes.append((gate, size))

    def add_gradients(self) -> None:
        """Add gradients of activations, in the rows of the backward pass."""
        step = self.step
        joined: dict[frozenset[int], int] = {}
        gradients, added = _gradients(step)
        for name, rows in gradients.items():
            size = step.lives[name].size_bytes * step.gradient_scale
            for row, tensors in rows.items():
                # While gradients of weights are made, a share that was added to another is gone.
                left = tensors - added.get(name, {}).get(row, set())
                for group, present in ((2, tensors), (1, left)):
                    gates = frozenset(self.gates[each] for each in present if each in self.gates)
                    if len(gates) > 1 and gates not in joined:
                        joined[gates] = self._bound([(gate, 1.0) for gate in sorted(gates)])
                    if gates:
                        gate = joined[gates] if len(gates) > 1 else min(gates)
                        self.entries.append((group * step.kernels + row, gate, size))

    def model(self, states: int, *, late: bool, resident: bool) -> TrainingMemoryModel:
        """Return the matrix, with what is trained and its gradients; options as `memory_of`'s."""
        step, n = self.step, self.step.kernels
        width = len(self.choices) + len(self.lower)
        trained, gradient, there, activations = (np.zeros(width) for _ in range(4))
        for i, (index, part) in enumerate(self.choices):
            kernel = step.layers[index].kernel
            size = _trained(step, index, part)
            trained[i] = size * (1 + states)
            gradient[i] = _gradient(step, index, part)
            # What is trained in place is among the weights that are there already.
            there[i] = size if resident and not part.rank else 0.0
            rows = range(kernel + 1) if late else (kernel,)
            self.entries += [(n + j, i, float(gradient[i])) for j in rows]
            if late:
                self.entries += [(2 * n + j, i, float(gradient[i])) for j in range(kernel)]
        matrix = np.zeros((3 * n, width))
        for row, column, size in self.entries:
            matrix[row, column] += size
        matrix += trained - there
        constant = np.full(3 * n, step.frozen_bytes if resident else 0.0)
        for live in step.lives.values():
            constant[max(live.first, 0) : live.last + 1] += live.size_bytes
        for column, size in self.kept_bytes:
            activations[column] += size
        return TrainingMemoryModel(
            step,
            tuple(self.choices),
            constant,
            matrix,
            activations,
            trained,
            gradient,
            {column: tuple(least) for column, least in self.lower.items()},
            {choice: i for i, choice in enumerate(self.choices)},
        )


def _gradients(
    step: TrainingStep,
) -> tuple[dict[str, dict[int, set[str]]], dict[str, dict[int, set[str]]]]:
    """Return buffer of a gradient -> kernel -> tensors whose gradient it holds there.

    Beside it, buffer -> kernel -> those of them that are added to another buffer there.

    A buffer is named after the tensor that it is made for. The terms of an addition share that of
    their sum, from the addition down to where another reader adds its share.
    """
    own = {name: (max(live.first, 0), live.last) for name, live in step.lives.items()}
    buffer = {name: name for name in own}
    rows: dict[str, dict[int, set[str]]] = {}
    added: dict[str, dict[int, set[str]]] = {}
    for kernel, out, terms in sorted(step.additions, reverse=True):
        for term in terms:
            live = step.lives.get(term)
            if live is None or live.last != kernel or own[term][1] != kernel or term == out:
                continue
            lower = [r for r in step.readers.get(term, ()) if r < kernel]
            least = max(lower) if lower else max(live.first, 0)
            for row in range(least, kernel + 1):
                rows.setdefault(buffer[out], {}).setdefault(row, set()).add(term)
            if lower:
                own[term] = (own[term][0], least)
                added.setdefault(buffer[out], {}).setdefault(least, set()).add(term)
            else:
                buffer[term], own[term] = buffer[out], (0, -1)
    for name, (first, last) in own.items():
        for row in range(first, last + 1):
            rows.setdefault(name, {}).setdefault(row, set()).add(name)
    return rows, added


def _trained(step: TrainingStep, index: int, part: LayerUpdate) -> float:
    """Return bytes of what is trained of a layer."""
    layer = step.layers[index]
    bias = layer.bias_bytes if part.bias else 0.0
    if part.rank:
        # In the format of the activations: the weight beside them may be packed (QLoRA).
        return part.added(layer) * step.activation_bits / 8.0 + bias
    return layer.weight_bytes * part.channels(layer.channels) / layer.channels + bias


def _gradient(step: TrainingStep, index: int, part: LayerUpdate) -> float:
    """Return bytes of the gradient of what is trained of a layer."""
    layer = step.layers[index]
    bias = layer.bias_bytes * step.gradient_scale if part.bias else 0.0
    weights = layer.weights * part.channels(layer.channels) / layer.channels
    return (part.added(layer) + weights) * step.gradient_bits / 8.0 + bias
