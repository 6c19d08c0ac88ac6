"""Items to place: the tensors of a workload, with the bytes that a run reads of them.

An item is one tensor, or all tensors of a layer, with as many copies as there are equal layers. For
an expert of a mixture of experts the expected bytes per run are its size times the probability that
a step touches it (`popularity.py`) times the number of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.errors import input_error
from perfmodel.prediction import Prediction
from perfmodel.schedule.place.popularity import Popularity, touched_probabilities
from perfmodel.workload.graph import Graph, Tensor

#: Granularity of placement: a tensor, or a layer (experts are placed individually in both).
By: TypeAlias = Literal["tensor", "layer"]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ItemTensor:
    """A tensor of the graph, or a share of one, inside an item."""

    tensor: str
    size_bytes: float
    #: Index of the expert, if the item is one expert's share of a tensor; else -1.
    expert: int = -1


@dataclass(frozen=True, slots=True)
class Item:
    """Tensors that are alike, e.g. one of each layer; each copy is placed as a unit.

    Attributes
    ----------
    name
        Label: name of the tensor, block, or expert.
    role
        ``weight`` or ``kv``.
    size_bytes
        Bytes of one copy.
    read_bytes
        Expected bytes of one copy that a run moves: reads, and for a KV cache writes too.
    copies
        Number of copies.
    first
        Index of the first copy among those of its tensor (its layer).
    parts
        Tensors of one copy.
    touched
        Probability that a step touches it (an expert); 1 if every step reads it.
    """

    name: str
    role: str
    size_bytes: float
    read_bytes: float
    copies: int = 1
    first: int = 0
    parts: tuple[ItemTensor, ...] = ()
    touched: float = 1.0

    @property
    def reads(self) -> float:
        """Expected number of complete reads per run."""
        return self.read_bytes / self.size_bytes if self.size_bytes else 0.0


@dataclass(slots=True)
class _TensorUsage:
    """Usage of a tensor, accumulated over the graph."""

    tensor: Tensor
    copies: int
    block: str
    elements: float = 0.0
    read: float = 0.0
    experts: int = 0
    per_token: int = 0
    tokens: float = 0.0
    phase: str = ""
    layer: bool = False


def items_of(
    prediction: Prediction,
    *,
    by: By = "tensor",
    popularity: Popularity | None = None,
) -> tuple[Item, ...]:
    """Return weights and KV cache of a prediction's workload as items.

    Their sizes add up to the prediction's `weight_bytes` and `kv_bytes`.

    Parameters
    ----------
    prediction
        Prediction of a single configuration.
    by
        ``tensor``, or ``layer``: all tensors read by one execution of a block, without experts.
    popularity
        Distribution of router choices: the exponent of a Zipf law over the experts of a layer, a
        `Geometric` law, or a weight for each of them. By default uniform.

    Raises
    ------
    InputError
        The popularity is invalid, or for another number of experts.
    """
    job = prediction.job
    usages = _tensor_usages(job.lowered.graph, job.workload)
    bits = {
        name: first_number(job.precision.bits(_slot(job, usage.tensor)))
        for name, usage in usages.items()
    }
    items: list[Item] = []
    layers: dict[tuple[str, str, int], list[Item]] = {}
    for name, usage in usages.items():
        size = usage.elements * bits[name] / 8.0
        read = usage.read * bits[name] / 8.0
        role = "weight" if usage.tensor.role == "weight" else "kv"
        if usage.experts:
            even = touched_probabilities(usage.experts, usage.per_token, usage.tokens)
            chance = touched_probabilities(usage.experts, usage.per_token, usage.tokens, popularity)
            pieces = _expert_items(name, size, chance, read / size / float(even[0]), usage)
        else:
            pieces = [Item(name, role, size, read, usage.copies, 0, (ItemTensor(name, size),))]
        for i, item in enumerate(pieces):
            key = (usage.block, role, i if usage.experts else -1)
            if by == "tensor" or not usage.layer:
                items.append(item)
            else:
                layers.setdefault(key, []).append(item)
    if by == "layer":
        items += [
            merged
            for (block, role, _), group in layers.items()
            for merged in _layer_items(block, role, group)
        ]
    return tuple(item for item in items if item.size_bytes > 0)


def _expert_items(
    name: str, tensor_bytes: float, chance: Floats, runs: float, usage: _TensorUsage
) -> list[Item]:
    """Return one item per expert, or one for all of them if all are equally popular."""
    size = tensor_bytes / usage.experts
    is_uniform = bool(np.all(chance == chance[0]))
    return [
        Item(
            f"{name}[{'*' if is_uniform else expert}]",
            "weight",
            size,
            size * float(touched) * runs,
            usage.copies * (usage.experts if is_uniform else 1),
            0,
            (ItemTensor(name, size, expert),),
            float(touched),
        )
        for expert, touched in enumerate(chance[:1] if is_uniform else chance)
    ]


def _layer_items(block: str, role: str, group: list[Item]) -> list[Item]:
    """Join the items of one layer that have equally many copies."""
    by_copies: dict[tuple[int, float], list[Item]] = {}
    for item in group:
        by_copies.setdefault((item.copies, item.touched), []).append(item)
    out: list[Item] = []
    for (copies, touched), same in by_copies.items():
        head = same[0].name
        expert = head[head.index("[") :] if head.endswith("]") else ""
        part = f"expert{expert}" if expert else ("kv" if role == "kv" else "weights")
        suffix = "" if len(by_copies) == 1 else f" x{copies}"
        out.append(
            Item(
                f"{block}.{part}{suffix}",
                role,
                sum(i.size_bytes for i in same),
                sum(i.read_bytes for i in same),
                copies,
                0,
                tuple(p for i in same for p in i.parts),
                touched,
            )
        )
    return out


def _tensor_usages(graph: Graph, workload: Any) -> dict[str, _TensorUsage]:
    """Return the usage of each weight and cache over the graph."""

    def number(dim: Any) -> float:
        return first_number(workload.number(dim))

    copies = {name: number(times) for name, times in graph.stored_weights().items()}
    usages: dict[str, _TensorUsage] = {}
    for block in graph.blocks:
        count, stored = number(block.count), number(block.stored)
        for operator in block.operators:
            attributes: dict[str, Any] = dict(operator.attributes)
            for access in operator.accesses:
                tensor = graph.tensors[access.tensor]
                if tensor.role == "activation":
                    continue
                stored_copies = copies.get(tensor.name, stored)
                usage = usages.get(tensor.name)
                if usage is None:
                    usage = usages[tensor.name] = _TensorUsage(
                        tensor, _copies(stored_copies, tensor.name), block.name
                    )
                    usage.phase, usage.layer = block.phase, block.layer
                usage.elements = number(tensor.elements)
                elements = number(access.elements)
                usage.read += count * elements / stored_copies
                if operator.kind == "moe" and tensor.tag == "expert" and "experts" in attributes:
                    usage.experts = int(attributes["experts"])
                    usage.per_token = int(attributes["per_token"])
                    share = elements / usage.elements
                    usage.tokens = _tokens(usage.experts, usage.per_token, share)
    return _last_phase(usages)


def _tokens(experts: int, per_token: int, share: float) -> float:
    """Return the tokens of a step, from the share of the experts that uniform routing touches."""
    if per_token >= experts or share >= 1.0:
        return math.inf
    return math.log1p(-share) / math.log1p(-per_token / experts)


def _last_phase(usages: dict[str, _TensorUsage]) -> dict[str, _TensorUsage]:
    """Keep the caches of the last phase, which are largest, with the traffic of all phases."""
    phases: dict[str, dict[str, list[str]]] = {}
    for name, usage in usages.items():
        if usage.tensor.role != "weight":
            phases.setdefault(usage.tensor.slot, {}).setdefault(usage.phase, []).append(name)
    for by_phase in phases.values():
        *earlier, last = by_phase.values()
        elements = sum(usages[n].copies * usages[n].elements for n in last)
        read = sum(usages[n].copies * usages[n].read for names in earlier for n in names)
        for name in last:
            usages[name].read += read * usages[name].elements / elements if elements else 0.0
        for names in earlier:
            for name in names:
                del usages[name]
    return usages


def _copies(copies: float, name: str) -> int:
    """Return a number of copies as an integer."""
    if copies != int(copies) or copies < 1:
        raise input_error(f"'{name}' is stored {copies:g} times", expected="an integer from 1")
    return int(copies)


def _slot(job: Any, tensor: Tensor) -> str:
    """Return the slot of the precision that a tensor belongs to."""
    return str(job.lowered.slots.of(tensor))
