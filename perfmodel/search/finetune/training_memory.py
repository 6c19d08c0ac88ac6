"""Memory of a training step in bytes, as a linear function of the trained parts.

There is one row per kernel of the forward pass and two per kernel of the backward pass:
rows = constant + matrix @ x, in bytes, where the constant is the activations that the forward pass
needs anyway and x are the 0/1 choices and the columns they imply. What a column adds is live over
intervals of rows, so that the matrix is stored as intervals and grows with the number of operators.
Evaluation of one scheme and the search for the best one use the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.search.finetune.training_step import TrainableLayer, TrainingStep

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


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


class LiveIntervals(NamedTuple):
    """Entries of the memory matrix: a column adds its bytes to the rows from `begin` to `end`.

    `end` is exclusive, and intervals of the same column may overlap.
    """

    begin: Index
    end: Index
    column: Index
    size_bytes: Floats


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
    intervals
        Bytes that each column adds to some of the rows.
    added_bytes
        Bytes that each column adds to every row.
    kept_bytes, trained_bytes, gradient_bytes
        Bytes of each column: forward activations stored for the backward pass, trained weights with
        their optimiser state, and weight gradients. With immediate updates, memory contains the
        weight gradients of one layer at a time.
    lower
        Column -> (column, factor) pairs: its value is at least factor times each of them, which
        come before it.
    """

    step: TrainingStep
    choices: tuple[tuple[int, LayerUpdate], ...]
    constant: Floats
    intervals: LiveIntervals
    added_bytes: Floats
    kept_bytes: Floats
    trained_bytes: Floats
    gradient_bytes: Floats
    lower: Mapping[int, tuple[tuple[int, float], ...]]
    at: Mapping[tuple[int, LayerUpdate], int] = field(repr=False)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.added_bytes)

    def values(self, scheme: Scheme) -> Floats:
        """Return the column values x of a scheme."""
        out = [0.0] * self.width
        for layer, part in scheme.items():
            out[self.at[layer, part]] = 1.0
        for column, least in self.lower.items():
            out[column] = max([factor * out[c] for c, factor in least])
        return np.array(out)

    def rows(self, scheme: Scheme) -> Floats:
        """Return the bytes of each row, forward rows first."""
        values, live = self.values(scheme), self.intervals
        size = live.size_bytes * values[live.column]
        begins, ends = (np.bincount(at, size, len(self.constant) + 1) for at in live[:2])
        rows: Floats = self.constant + self.added_bytes @ values
        return rows + np.cumsum(begins - ends)[:-1]

    def entries(self) -> tuple[Index, Index, Floats]:
        """Return row, column and bytes of each entry of the matrix, without `added_bytes`."""
        begin, end, column, size = self.intervals
        length = end - begin
        before = np.cumsum(length) - length
        row: Index = np.arange(int(length.sum()), dtype=np.intp) + np.repeat(begin - before, length)
        place: Index = row * self.width + np.repeat(column, length)
        at, entry = np.unique(place, return_inverse=True)
        summed = np.zeros(len(at))
        np.add.at(summed, entry, np.repeat(size, length))
        return at // self.width, at % self.width, summed

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
    implied
        (column, factor) pairs -> implied column, which is at least factor times each of them.
    intervals
        (begin, end, column, bytes): bytes that a column adds to rows; see `LiveIntervals`.
    kept_bytes
        (column, bytes) of forward activations that the backward pass needs.
    gates
        Tensor -> the column that is 1 where its gradient is needed.
    """

    def __init__(self, step: TrainingStep, parts: Mapping[int, Sequence[LayerUpdate]]) -> None:
        self.step = step
        self.choices = [(layer, part) for layer in sorted(parts) for part in parts[layer]]
        self.implied: dict[frozenset[tuple[int, float]], int] = {}
        self.intervals: list[tuple[int, int, int, float]] = []
        self.kept_bytes: list[tuple[int, float]] = []
        self.gates: dict[str, int] = {}
        producers: dict[str, list[int]] = {}
        for i, (layer, _) in enumerate(self.choices):
            producers.setdefault(step.layers[layer].result, []).append(i)
        for name in step.parents_first():
            above = [self.gates[p] for p in step.parents.get(name, ()) if p in self.gates]
            if columns := [*producers.get(name, ()), *above]:
                self.gates[name] = self._bound((column, 1.0) for column in columns)

    def _bound(self, least: Iterable[tuple[int, float]]) -> int:
        """Return a column that is at least factor times each of the given columns."""
        pairs = frozenset(least)
        if len(pairs) == 1:
            ((column, factor),) = pairs
            if factor == 1.0:
                return column
        return self.implied.setdefault(pairs, len(self.choices) + len(self.implied))

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
        self.intervals += [(g * n + kernel, (g + 1) * n, column, size) for g in range(3)]

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
        for kernel, until in zip(order, [*order[1:], n], strict=True):
            lower = [] if gate < 0 else [(gate, 1.0)]
            gate = self._bound([*lower, *kernels[kernel]])
            self.intervals += [(g * n + kernel, g * n + until, gate, size) for g in (1, 2)]
        if (first := max(last + 1, maker)) < n:
            self.intervals.append((first, n, gate, size))
        self.kept_bytes.append((gate, size))

    def add_gradients(self) -> None:
        """Add activation gradients to the rows of the backward pass."""
        n, scale = self.step.kernels, self.step.gradient_scale
        for name, contents in _gradients(self.step).items():
            size = self.step.lives[name].size_bytes * scale
            for group in (1, 2):
                # While weight gradients are computed, an accumulated share is already freed.
                live = [
                    (first + (group == 1 and freed), last + 1, self.gates[tensor])
                    for tensor, first, last, freed in contents
                    if tensor in self.gates
                ]
                edges = sorted({edge for begin, end, _ in live for edge in (begin, end)})
                for begin, end in pairwise(edges):
                    present = [(gate, 1.0) for b, e, gate in live if b <= begin and end <= e]
                    if present:
                        interval = (group * n + begin, group * n + end, self._bound(present), size)
                        self.intervals.append(interval)

    def model(self, states: int, *, late: bool, resident: bool) -> TrainingMemoryModel:
        """Return the matrix with trained weights and their gradients; options as in `memory_of`."""
        step, n = self.step, self.step.kernels
        width = len(self.choices) + len(self.implied)
        trained, gradient, there, activations = (np.zeros(width) for _ in range(4))
        for i, (index, part) in enumerate(self.choices):
            kernel = step.layers[index].kernel
            size = _trained(step, index, part)
            trained[i] = size * (1 + states)
            gradient[i] = _gradient(step, index, part)
            # Weights trained in place are already among the resident weights.
            there[i] = size if resident and not part.rank else 0.0
            first = 0 if late else kernel
            self.intervals.append((n + first, n + kernel + 1, i, float(gradient[i])))
            if late:
                self.intervals.append((2 * n, 2 * n + kernel, i, float(gradient[i])))
        constant = np.full(3 * n, step.frozen_bytes if resident else 0.0)
        for live in step.lives.values():
            constant[max(live.first, 0) : live.last + 1] += live.size_bytes
        for column, size in self.kept_bytes:
            activations[column] += size
        begin, end, column, size = np.array(self.intervals, dtype=np.float64).reshape(-1, 4).T
        return TrainingMemoryModel(
            step,
            tuple(self.choices),
            constant,
            LiveIntervals(begin.astype(np.intp), end.astype(np.intp), column.astype(np.intp), size),
            trained - there,
            activations,
            trained,
            gradient,
            {column: tuple(sorted(least)) for least, column in self.implied.items()},
            {choice: i for i, choice in enumerate(self.choices)},
        )


def _gradients(step: TrainingStep) -> dict[str, list[tuple[str, int, int, bool]]]:
    """Return gradient buffer -> (tensor, first, last, whether it is freed first) of its contents.

    A buffer is named after the tensor it is allocated for, and contains the gradient of another
    from kernel `last` down to `first`, where it may be added to another buffer. The terms of an
    addition share the buffer of their sum, from the addition down to the kernel where another
    reader adds its share.
    """
    own = {name: (max(live.first, 0), live.last) for name, live in step.lives.items()}
    buffer = {name: name for name in own}
    contents: dict[str, list[tuple[str, int, int, bool]]] = {}
    for kernel, out, terms in sorted(step.additions, reverse=True):
        for term in terms:
            live = step.lives.get(term)
            if live is None or live.last != kernel or own[term][1] != kernel or term == out:
                continue
            lower = [r for r in step.readers.get(term, ()) if r < kernel]
            least = max(lower) if lower else max(live.first, 0)
            shared = contents.setdefault(buffer[out], [])
            shared.append((term, least, kernel, bool(lower)))
            if lower:
                own[term] = (own[term][0], least)
            else:
                buffer[term], own[term] = buffer[out], (0, -1)
    for name, (first, last) in own.items():
        if first <= last:
            contents.setdefault(name, []).append((name, first, last, False))
    return contents


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
