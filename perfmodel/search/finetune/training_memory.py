"""Memory of a training step in bytes, as a linear function of the trained parts.

There is one row per kernel of the forward pass and two per kernel of the backward pass:
rows = constant + matrix @ x, in bytes, where the constant is the activations that the forward pass
needs anyway and x are the 0/1 choices and the columns they imply. Evaluation of one scheme and the
search for the best one use the same matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perfmodel.search.finetune.training_step import TrainableLayer, TrainingStep

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerUpdate:
    """The trained part of a layer.

    Attributes
    ----------
    share
        Fraction of the weight's input channels, rounded down to whole channels; 0 for none.
    bias
        Whether the bias is trained.
    rank
        Rank of LoRA matrices (Hu et al. 2022, arXiv:2106.09685); 0 for none.
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
        """Return the number of trained input channels."""
        return int(of * self.share)

    def added(self, layer: TrainableLayer) -> float:
        """Return the parameters of the LoRA matrices of a layer.

        rank * (input channels + weights / input channels)
        """
        return self.rank * (layer.channels + layer.weights / layer.channels)


#: Layer (its index) -> trained part; layers that are not listed are frozen.
Scheme = Mapping[int, LayerUpdate]


@dataclass(frozen=True)
class TrainingMemoryModel:
    """Memory of a training step as a matrix, in bytes.

    Attributes
    ----------
    choices
        (layer, part) of the first columns, each 0 or 1.
    constant
        Bytes of each row for any scheme, in three groups: forward rows; backward rows while weight
        gradients are computed; backward rows while input gradients are computed and accumulated.
    matrix
        Bytes that each column adds to each row.
    kept_bytes, trained_bytes, gradient_bytes
        Bytes of each column: forward activations stored for the backward pass, trained weights with
        their optimiser state, and weight gradients. With immediate updates, memory contains the
        weight gradients of one layer at a time.
    lower
        Column -> (column, factor) pairs: its value is at least factor times each of them.
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
        """Return the column values x of a scheme."""
        out = np.zeros(self.width)
        for layer, part in scheme.items():
            out[self.at[layer, part]] = 1.0
        for column, least in self.lower.items():
            out[column] = max((factor * out[c] for c, factor in least), default=0.0)
        return out

    def rows(self, scheme: Scheme) -> Floats:
        """Return the bytes of each row, forward rows first."""
        rows: Floats = self.constant + self.matrix @ self.values(scheme)
        return rows

    def peak_bytes(self, scheme: Scheme) -> float:
        """Return the peak memory in bytes."""
        return float(self.rows(scheme).max())


def memory_of(
    step: TrainingStep,
    parts: Mapping[int, Sequence[LayerUpdate]],
    *,
    states: int = 0,
    late: bool = False,
    resident: bool = False,
) -> TrainingMemoryModel:
    """Return the memory model of a training step.

    Parameters
    ----------
    parts
        Layer -> parts that may be trained.
    states
        Optimiser state tensors per trained weight.
    late
        Keep weight gradients until the backward pass ends; otherwise each is applied and freed
        as soon as it is computed.
    resident
        Whether the memory also contains all weights, trained or frozen, for lack of another.
    """
    builder = _MatrixBuilder(step, parts)
    builder.keep_activations()
    builder.add_gradients()
    return builder.model(states, late=late, resident=resident)


class _MatrixBuilder:
    """Columns and entries of the memory matrix; columns after the choices are implied values.

    Attributes
    ----------
    lower
        Implied column -> (column, factor) pairs: it is at least factor times each of them.
    entries
        (row, column, bytes); entries with the same position are added.
    kept_bytes
        (column, bytes) of forward activations that the backward pass needs.
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
        """Add a column that is at least factor times each of the given columns."""
        column = len(self.choices) + len(self.lower)
        self.lower[column] = least
        return column

    def keep_activations(self) -> None:
        """Add the forward activations that the backward pass needs."""
        step = self.step
        # Tensor -> its bytes and the kernel that produces it.
        origin = {name: (live.size_bytes, live.first) for name, live in step.lives.items()}
        # Tensor -> kernel that needs it -> (column, share of the tensor).
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
                # The product with the first LoRA matrix, for the gradient of the second one.
                rows = origin[layer.source][0] / layer.channels
                self._keep_beside(layer.kernel, i, rows * part.rank)
        for name, kernels in needs.items():
            self._keep(name, *origin[name], kernels)

    def _keep_beside(self, kernel: int, column: int, size: float) -> None:
        """Add data of one kernel, live from its forward to its backward pass."""
        n = self.step.kernels
        self.kept_bytes.append((column, size))
        self.entries += [(g * n + j, column, size) for g in range(3) for j in range(kernel, n)]

    def _keep(
        self, name: str, size: float, maker: int, kernels: Mapping[int, list[tuple[int, float]]]
    ) -> None:
        """Add the rows in which a tensor is live only for the backward pass."""
        n = self.step.kernels
        order = sorted(kernels)
        live = self.step.lives.get(name)
        last = live.last if live is not None else maker - 1
        gate = -1
        # In the backward pass a need ends with its kernel; those of lower kernels remain.
        for position, kernel in enumerate(order):
            gate = self._bound([pair for k in order[: position + 1] for pair in kernels[k]])
            until = order[position + 1] if position + 1 < len(order) else n
            self.entries += [(g * n + j, gate, size) for g in (1, 2) for j in range(kernel, until)]
        self.entries += [(j, gate, size) for j in range(max(last + 1, maker), n)]
        self.kept_bytes.append((gate, size))

    def add_gradients(self) -> None:
        """Add activation gradients to the rows of the backward pass."""
        step = self.step
        joined: dict[frozenset[int], int] = {}
        gradients, added = _gradients(step)
        for name, rows in gradients.items():
            size = step.lives[name].size_bytes * step.gradient_scale
            for row, tensors in rows.items():
                # While weight gradients are computed, an accumulated share is already freed.
                left = tensors - added.get(name, {}).get(row, set())
                for group, present in ((2, tensors), (1, left)):
                    gates = frozenset(self.gates[each] for each in present if each in self.gates)
                    if len(gates) > 1 and gates not in joined:
                        joined[gates] = self._bound([(gate, 1.0) for gate in sorted(gates)])
                    if gates:
                        gate = joined[gates] if len(gates) > 1 else min(gates)
                        self.entries.append((group * step.kernels + row, gate, size))

    def model(self, states: int, *, late: bool, resident: bool) -> TrainingMemoryModel:
        """Return the matrix with trained weights and their gradients; options as in `memory_of`."""
        step, n = self.step, self.step.kernels
        width = len(self.choices) + len(self.lower)
        trained, gradient, there, activations = (np.zeros(width) for _ in range(4))
        for i, (index, part) in enumerate(self.choices):
            kernel = step.layers[index].kernel
            size = _trained(step, index, part)
            trained[i] = size * (1 + states)
            gradient[i] = _gradient(step, index, part)
            # Weights trained in place are already among the resident weights.
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
    """Return gradient buffer -> kernel -> tensors whose gradient it contains at that kernel.

    The second result is buffer -> kernel -> those of them that are added to another buffer there.
    A buffer is named after the tensor it is allocated for. The terms of an addition share the
    buffer of their sum, from the addition down to the kernel where another reader adds its share.
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
    """Return the bytes of the trained weights of a layer."""
    layer = step.layers[index]
    bias = layer.bias_bytes if part.bias else 0.0
    if part.rank:
        # In the activations' format: the base weight may be packed (QLoRA).
        return part.added(layer) * step.activation_bits / 8.0 + bias
    return layer.weight_bytes * part.channels(layer.channels) / layer.channels + bias


def _gradient(step: TrainingStep, index: int, part: LayerUpdate) -> float:
    """Return the bytes of the weight gradients of a layer."""
    layer = step.layers[index]
    bias = layer.bias_bytes * step.gradient_scale if part.bias else 0.0
    weights = layer.weights * part.channels(layer.channels) / layer.channels
    return (part.added(layer) + weights) * step.gradient_bits / 8.0 + bias
