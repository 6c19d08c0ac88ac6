"""Memory over a training step as linear functions of what is trained.

One row a kernel forward, two a kernel backward. What a row holds is a number (activations that the
forward pass needs anyway), plus what each choice adds. Evaluating a choice and looking for the best
one read the same matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perfmodel.search.finetune.step import TrainableLayer, TrainingStep

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerUpdate:
    """What of a layer is trained.

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
        Of each column alone: what of the forward pass is kept, trained weights with the state of
        their optimiser, and their gradients. Of the last the memory holds a layer's at a time,
        where updates are immediate.
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
        found: Floats = self.constant + self.matrix @ self.values(scheme)
        return found

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
    choices = [(layer, part) for layer in sorted(parts) for part in parts[layer]]
    at = {choice: i for i, choice in enumerate(choices)}
    by_layer: dict[int, list[int]] = {}
    for i, (layer, _) in enumerate(choices):
        by_layer.setdefault(layer, []).append(i)
    above = step.above()
    n, count = step.kernels, len(choices)
    lower: dict[int, list[tuple[int, float]]] = {}
    width = count

    def column(least: list[tuple[int, float]]) -> int:
        nonlocal width
        lower[width] = least
        width += 1
        return width - 1

    wanted: dict[str, int] = {}
    for name in above:
        columns = [(c, 1.0) for layer in sorted(above[name]) for c in by_layer.get(layer, ())]
        if columns:
            wanted[name] = column(columns)
    # Tensor -> kernel that needs it -> columns and the shares of it that they need.
    needs: dict[str, dict[int, list[tuple[int, float]]]] = {}
    masks: list[tuple[int, int, float]] = []
    size: dict[str, float] = {name: live.size_bytes for name, live in step.lives.items()}
    made: dict[str, int] = {name: live.first for name, live in step.lives.items()}
    for kept in step.passing:
        gate = wanted.get(kept.wanted)
        if gate is None:
            continue
        if not kept.tensor:
            masks.append((kept.kernel, gate, kept.size_bytes))
            continue
        size.setdefault(kept.tensor, kept.size_bytes)
        made.setdefault(kept.tensor, kept.kernel)
        needs.setdefault(kept.tensor, {}).setdefault(kept.kernel, []).append((gate, 1.0))
    beside: list[tuple[int, int, float]] = []
    for i, (index, part) in enumerate(choices):
        layer = step.layers[index]
        share = 1.0 if part.rank else part.channels(layer.channels) / layer.channels
        if share > 0.0:
            needs.setdefault(layer.source, {}).setdefault(layer.kernel, []).append((i, share))
        if part.rank:
            # The product with the first of the two matrices, which the second's gradient needs.
            rows = size[layer.source] / layer.channels
            beside.append((layer.kernel, i, rows * part.rank))
    entries: list[tuple[int, int, float]] = []
    kept_by: list[tuple[int, float]] = []
    for kernel, gate, bytes_ in (*masks, *beside):
        kept_by.append((gate, bytes_))
        entries += [(j, gate, bytes_) for j in range(kernel, n)]
        entries += [(g * n + j, gate, bytes_) for g in (1, 2) for j in range(kernel, n)]
    for name, kernels in needs.items():
        _keep(step, name, size[name], made[name], kernels, n, column, entries, kept_by)
    joined: dict[frozenset[int], int] = {}
    gradients, added = _gradients(step)
    for name, rows in gradients.items():
        bytes_ = size[name] * step.gradient_scale
        for row, tensors in rows.items():
            # While gradients of weights are made, a share that was added to another is gone.
            for group, held in ((2, tensors), (1, tensors - added.get(name, {}).get(row, set()))):
                gates = frozenset(wanted[each] for each in held if each in wanted)
                if len(gates) > 1 and gates not in joined:
                    joined[gates] = column([(gate, 1.0) for gate in sorted(gates)])
                if gates:
                    gate = joined[gates] if len(gates) > 1 else min(gates)
                    entries.append((group * n + row, gate, bytes_))
    trained, gradient, there = np.zeros(width), np.zeros(width), np.zeros(width)
    for i, (index, part) in enumerate(choices):
        layer = step.layers[index]
        held = _trained(step, index, part)
        trained[i] = held * (1 + states)
        gradient[i] = _gradient(step, index, part)
        # What is trained in place is among the weights that are there already.
        there[i] = held if resident and not part.rank else 0.0
        rows = range(layer.kernel + 1) if late else (layer.kernel,)
        entries += [(n + j, i, float(gradient[i])) for j in rows]
        if late:
            entries += [(2 * n + j, i, float(gradient[i])) for j in range(layer.kernel)]
    matrix = np.zeros((3 * n, width))
    for row, col, bytes_ in entries:
        matrix[row, col] += bytes_
    matrix += trained - there
    constant = np.full(3 * n, step.frozen_bytes if resident else 0.0)
    for live in step.lives.values():
        constant[max(live.first, 0) : live.last + 1] += live.size_bytes
    alone = np.zeros(width)
    for col, bytes_ in kept_by:
        alone[col] += bytes_
    return TrainingMemoryModel(step, tuple(choices), constant, matrix, alone, trained, gradient,
                  {c: tuple(least) for c, least in lower.items()}, at)  # fmt: skip


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


def _keep(
    step: TrainingStep,
    name: str,
    size: float,
    made: int,
    kernels: Mapping[int, list[tuple[int, float]]],
    n: int,
    column: Callable[[list[tuple[int, float]]], int],
    entries: list[tuple[int, int, float]],
    kept_by: list[tuple[int, float]],
) -> None:
    """Add the rows in which a tensor is kept, and no longer or not yet live."""
    order = sorted(kernels)
    live = step.lives.get(name)
    last = live.last if live is not None else made - 1
    # Backward, a need is over once its kernel's is done: further down others of lower kernels rest.
    for position, kernel in enumerate(order):
        least = [pair for k in order[: position + 1] for pair in kernels[k]]
        gate = column(least)
        until = order[position + 1] if position + 1 < len(order) else n
        entries += [(g * n + j, gate, size) for g in (1, 2) for j in range(kernel, until)]
        if position == len(order) - 1:
            entries += [(j, gate, size) for j in range(max(last + 1, made), n)]
            kept_by.append((gate, size))
