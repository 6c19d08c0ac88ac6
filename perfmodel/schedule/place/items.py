"""Items: the tensors of a workload that must lie somewhere, with how often a run reads them."""

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

#: What is placed as one piece: a tensor, or what a layer has (its experts one by one either way).
By: TypeAlias = Literal["tensor", "layer"]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ItemTensor:
    """A tensor of the graph, or a share of one, inside an item."""

    tensor: str
    size_bytes: float
    #: Index of the expert, where the item is one expert's share of a tensor; else -1.
    expert: int = -1


@dataclass(frozen=True, slots=True)
class Item:
    """Tensors that are alike: one of each layer, say; each copy is placed as a whole.

    Attributes
    ----------
    name
        Name for people: of the tensor, of the block, or of the expert.
    role
        ``weight`` or ``kv``.
    size_bytes
        Bytes of one copy.
    read_bytes
        Bytes of one copy that a run moves, expected: reads, and for a KV cache writes too.
    copies
        How many there are.
    first
        Number of the first copy among those of its tensor (the layer it belongs to).
    parts
        The tensors of one copy.
    touched
        Probability that a step touches it (an expert); 1 for what every step reads.
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
        """How often a run reads the whole of it, on average."""
        return self.read_bytes / self.size_bytes if self.size_bytes else 0.0


@dataclass(slots=True)
class _TensorUsage:
    """What a walk over the graph gathers of a tensor."""

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
        One point.
    by
        ``tensor``, or ``layer``: what one execution of a block reads is one piece, experts apart.
    popularity
        How unevenly routers choose: the exponent of a Zipf law over the experts of a layer, a
        `Geometric` law, or a weight for each of them. By default all are alike.

    Raises
    ------
    InputError
        A popularity that is none, or of another number of experts.
    """
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    usages = _walk(job.lowered.graph, job.workload)
    bits = {
        name: first_number(job.precision.bits(_slot(job, f.tensor))) for name, f in usages.items()
    }
    items: list[Item] = []
    layers: dict[tuple[str, str, int], list[Item]] = {}
    for name, f in usages.items():
        each = f.elements * bits[name] / 8.0
        read = f.read * bits[name] / 8.0
        role = "weight" if f.tensor.role == "weight" else "kv"
        if f.experts:
            even = touched_probabilities(f.experts, f.per_token, f.tokens)
            chance = touched_probabilities(f.experts, f.per_token, f.tokens, popularity)
            pieces = _experts(name, each, chance, read / each / float(even[0]), f)
        else:
            pieces = [Item(name, role, each, read, f.copies, 0, (ItemTensor(name, each),))]
        for i, item in enumerate(pieces):
            key = (f.block, role, i if f.experts else -1)
            if by == "tensor" or not f.layer:
                items.append(item)
            else:
                layers.setdefault(key, []).append(item)
    if by == "layer":
        items += [
            merged
            for (block, role, _), group in layers.items()
            for merged in _merged(block, role, group)
        ]
    return tuple(item for item in items if item.size_bytes > 0)


def _experts(name: str, each: float, chance: Floats, runs: float, f: _TensorUsage) -> list[Item]:
    """One item an expert, or one for all of them where all are alike."""
    size = each / f.experts
    alike = bool(np.all(chance == chance[0]))
    if alike:
        parts = (ItemTensor(name, size, 0),)
        return [
            Item(
                f"{name}[*]",
                "weight",
                size,
                size * float(chance[0]) * runs,
                f.copies * f.experts,
                0,
                parts,
                float(chance[0]),
            )
        ]
    return [
        Item(
            f"{name}[{e}]",
            "weight",
            size,
            size * float(p) * runs,
            f.copies,
            0,
            (ItemTensor(name, size, e),),
            float(p),
        )
        for e, p in enumerate(chance)
    ]


def _merged(block: str, role: str, group: list[Item]) -> list[Item]:
    """Join the items of one layer where they have as many copies."""
    by_copies: dict[tuple[int, float], list[Item]] = {}
    for item in group:
        by_copies.setdefault((item.copies, item.touched), []).append(item)
    out: list[Item] = []
    for (copies, touched), same in by_copies.items():
        head = same[0].name
        expert = head[head.index("[") :] if head.endswith("]") else ""
        what = f"expert{expert}" if expert else ("kv" if role == "kv" else "weights")
        tied = "" if len(by_copies) == 1 else f" x{copies}"
        out.append(
            Item(
                f"{block}.{what}{tied}",
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


def _walk(graph: Graph, workload: Any) -> dict[str, _TensorUsage]:
    def number(dim: Any) -> float:
        return first_number(workload.number(dim))

    copies = {name: number(times) for name, times in graph.stored_weights().items()}
    usages: dict[str, _TensorUsage] = {}
    for block in graph.blocks:
        count, stored = number(block.count), number(block.stored)
        for operator in block.operators:
            about: dict[str, Any] = dict(operator.attributes)
            for access in operator.accesses:
                tensor = graph.tensors[access.tensor]
                if tensor.role == "activation":
                    continue
                own = copies.get(tensor.name, stored)
                f = usages.get(tensor.name)
                if f is None:
                    f = usages[tensor.name] = _TensorUsage(
                        tensor, _whole(own, tensor.name), block.name
                    )
                    f.phase, f.layer = block.phase, block.layer
                f.elements = number(tensor.elements)
                elements = number(access.elements)
                f.read += count * elements / own
                if operator.kind == "moe" and tensor.tag == "expert" and "experts" in about:
                    f.experts, f.per_token = int(about["experts"]), int(about["per_token"])
                    f.tokens = _tokens(f.experts, f.per_token, elements / f.elements)
    return _last_phase(usages)


def _tokens(experts: int, per_token: int, share: float) -> float:
    """Return the tokens of a step, from the share of the experts that uniform routing touches."""
    if per_token >= experts or share >= 1.0:
        return math.inf
    return math.log1p(-share) / math.log1p(-per_token / experts)


def _last_phase(usages: dict[str, _TensorUsage]) -> dict[str, _TensorUsage]:
    """Keep the caches of the last phase, which hold the most; what earlier ones move is theirs."""
    phases: dict[str, dict[str, list[str]]] = {}
    for name, f in usages.items():
        if f.tensor.role != "weight":
            phases.setdefault(f.tensor.slot, {}).setdefault(f.phase, []).append(name)
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


def _whole(copies: float, name: str) -> int:
    if copies != int(copies) or copies < 1:
        raise input_error(f"'{name}' is stored {copies:g} times", expected="a whole number")
    return int(copies)


def _slot(job: Any, tensor: Tensor) -> str:
    lowered: Any = job.lowered
    return str(lowered._slot(tensor))
