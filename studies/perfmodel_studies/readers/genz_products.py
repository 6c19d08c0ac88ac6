"""Matrix products of a transformer, and the named differences between GenZ's counting and ours.

GenZ 0.0.16 (Bambhaniya et al., "Demystifying AI Platform Design for Distributed Inference of
Next-Generation LLM models", arXiv 2406.01698): `docs/genz.md` explains each difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import perfmodel as pm
from perfmodel.workload import ExecutionSemantics, describe

__all__ = [
    "CORRECTIONS",
    "GIB",
    "HARDWARE",
    "MODELS",
    "ON_CHIP",
    "TYPES",
    "GenzGemm",
    "GenzQuery",
    "footprint",
    "products",
    "seconds",
]

GIB: Final = 2.0**30
#: GenZ's on-chip memory: 18,000 of its GB/s.
ON_CHIP: Final = 18000 * GIB

#: Hardware -> dense TFLOP/s in bf16, GB of memory, GB/s: Systems/system_configs.py of GenZ.
HARDWARE: Final = {
    "A100_80GB_GPU": (312.0, 80.0, 2039.0),
    "H100_GPU": (989.0, 80.0, 3400.0),
    "MI300X": (1307.0, 192.0, 5300.0),
    "TPUv5e": (197.0, 16.0, 820.0),
}

MODELS: Final = {
    "meta-llama/Llama-2-7B": "llama_2_7b",
    "meta-llama/Llama-3.1-8B": "llama_3_8b",
    "meta-llama/Llama-3.1-70B": "llama_3_70b",
    "mistralai/Mixtral-8x7B": "mixtral_8x7b",
}

#: GenZ's type -> our precision, bytes per element, and how many times the bf16 rate any hardware
#: computes it at (``System.compute_multiplier``).
TYPES: Final = {
    "bf16": ("bf16", 2.0, 1.0),
    "fp8": ("fp8", 1.0, 2.0),
    "int8": ("int8", 1.0, 2.0),
    "int4": ("int4", 0.5, 4.0),
}


@dataclass(frozen=True, slots=True)
class GenzQuery:
    """What GenZ was asked: a row of its reference predictions."""

    model: str
    hardware: str
    dtype: str
    phase: str
    batch: int
    tokens: int
    generated: int

    @property
    def decode(self) -> bool:
        """Whether it is a decode step."""
        return self.phase == "decode"

    @property
    def structure(self) -> Any:
        """Widths and heads of the model."""
        return describe(MODELS[self.model]).structure

    @property
    def workload(self) -> pm.Workload:
        """The model in the row's phase; a decode step sees the prompt and what was generated."""
        seen = self.tokens + self.generated
        sizes = {"context": seen} if self.decode else {"prompt": self.tokens}
        return pm.workload(MODELS[self.model], phase=self.phase, batch=self.batch, **sizes)


@dataclass(frozen=True, slots=True)
class GenzGemm:
    """A matrix product: its work, and the elements of its operands, each moved once.

    Attributes
    ----------
    count
        How often it runs.
    left, right, out
        Elements of the activation, of the weight (or of keys or values), of the result.
    on_chip
        Letters of the operands that stay on chip: ``l``, ``r``, ``o``.
    """

    name: str
    count: float
    macs: float
    left: float
    right: float
    out: float
    on_chip: str = ""


def products(question: GenzQuery) -> list[GenzGemm]:
    """Return the matrix products of a row's network by our counting; attention as one of them."""
    workload = question.workload
    graph = workload.graph(ExecutionSemantics(head_on_every_token=True))

    def number(dim: Any) -> float:
        return float(workload.number(dim))

    gemms: list[GenzGemm] = []
    for block in graph.blocks:
        for operator in block.operators:
            if not operator.nests:
                continue
            sizes = {"input": 0.0, "weight": 0.0, "output": 0.0}
            operands = [(x, nest) for nest in operator.nests for x in nest.operands]
            written = {x.tensor for x, _ in operands if x.role == "output"}
            inner = written & {x.tensor for x, _ in operands if x.role == "input"}
            for x, nest in operands:
                if x.tensor not in inner:
                    sizes[x.role] += number(nest.elements(x))
            weights = [a for a in operator.accesses if graph.tensors[a.tensor].role == "weight"]
            if weights:  # experts: as many as the batch touches
                sizes["weight"] = sum(number(a.elements) for a in weights)
            name = operator.name.rpartition(".")[2]
            gemms.append(
                GenzGemm(
                    name,
                    number(block.count),
                    number(operator.macs),
                    sizes["input"],
                    sizes["weight"],
                    sizes["output"],
                )
            )
    return gemms


def seconds(gemms: Sequence[GenzGemm], question: GenzQuery, bandwidth: float) -> float:
    """Return the sum over products of the larger of arithmetic and data, off and on chip.

    Parameters
    ----------
    bandwidth
        Of the memory off chip, B/s.
    """
    tflops, _, _ = HARDWARE[question.hardware]
    _, width, factor = TYPES[question.dtype]
    rate = tflops * 1e12 * factor / 2.0
    total = 0.0
    for p in gemms:
        sizes = {"l": p.left, "r": p.right, "o": p.out}
        off_chip = sum(size for letter, size in sizes.items() if letter not in p.on_chip)
        near = sum(size for letter, size in sizes.items() if letter in p.on_chip)
        data = width * (off_chip / bandwidth + near / ON_CHIP)
        total += p.count * max(p.macs / rate, data)
    return total


def footprint(gemms: Sequence[GenzGemm], question: GenzQuery) -> float:
    """Return the bytes that GenZ wants in memory: weights of every product, keys and values.

    A decode step holds all experts, and no embedding table.
    """
    _, width, _ = TYPES[question.dtype]
    stored = sum(p.count * p.right for p in gemms)
    experts = question.structure.experts
    if question.decode and experts is not None:
        unused = experts.count - experts.per_token
        each = 3 * experts.ffn_width * question.structure.width
        stored += question.structure.layers * unused * each
    return width * stored


# Corrections: each turns our products into what GenZ makes of them.


def attention_in_two(gemms: list[GenzGemm], question: GenzQuery) -> list[GenzGemm]:
    """Logits and their product with the values are two operators; scores cross on-chip memory.

    A decode step has such a pair for the prompt and one for what was generated.
    """
    s, b = question.structure, question.batch
    queries = 1 if question.decode else question.tokens
    parts = [question.tokens, question.generated] if question.decode else [question.tokens]
    q = float(b * s.heads * queries * s.head_size)
    out: list[GenzGemm] = []
    for p in gemms:
        if p.name != "attention":
            out.append(p)
            continue
        for seen in parts:
            kv, scores = (
                float(b * s.groups * seen * s.head_size),
                float(b * s.heads * queries * seen),
            )
            macs = scores * s.head_size
            out.append(GenzGemm("logit", p.count, macs, q, kv, scores, "o"))
            out.append(GenzGemm("attend", p.count, macs, scores, kv, q, "l"))
    return out


def joined_projections(gemms: list[GenzGemm], question: GenzQuery) -> list[GenzGemm]:
    """Queries, keys and values come from one product, gate and up from another."""
    return _joined(_joined(gemms, ("q_proj", "k_proj", "v_proj")), ("ffn_gate", "ffn_up"))


def _joined(gemms: list[GenzGemm], names: tuple[str, ...]) -> list[GenzGemm]:
    parts = [p for p in gemms if p.name in names]
    if len(parts) < 2:
        return gemms
    joined = replace(
        parts[0],
        name="+".join(names),
        macs=sum(p.macs for p in parts),
        right=sum(p.right for p in parts),
        out=sum(p.out for p in parts),
    )
    place = gemms.index(parts[0])
    others = [p for p in gemms if p.name not in names]
    return [*others[:place], joined, *others[place:]]


def experts_touched(gemms: list[GenzGemm], question: GenzQuery) -> list[GenzGemm]:
    """A decode step touches the experts of one token whatever the batch; a prefill touches all.

    The experts are one product whose activation is read once, not once an expert.
    """
    s = question.structure
    if s.experts is None:
        return gemms
    if question.decode:
        used, rows = s.experts.per_token, question.batch
    else:
        share = question.tokens * s.experts.per_token // s.experts.count
        used, rows = s.experts.count, question.batch * share
    hidden = used * s.experts.ffn_width
    out: list[GenzGemm] = []
    for p in gemms:
        wide = {"experts_up": 2 * hidden, "experts_down": hidden}.get(p.name)
        if wide is None:
            out.append(p)
            continue
        ends = (s.width, wide) if p.name == "experts_up" else (wide, s.width)
        out.append(
            replace(
                p,
                macs=float(rows * wide * s.width),
                left=float(rows * ends[0]),
                right=float(wide * s.width),
                out=float(rows * ends[1]),
            )
        )
    return out


def activations_on_chip(gemms: list[GenzGemm], question: GenzQuery) -> list[GenzGemm]:
    """In a decode step activations stay on chip, but for the router and the classifier."""
    if not question.decode:
        return gemms
    return [p if p.name in ("router", "head") else replace(p, on_chip="lo") for p in gemms]


def dense_embedding(gemms: list[GenzGemm], question: GenzQuery) -> list[GenzGemm]:
    """In a prefill the embedding is a product with one-hot rows; in a decode step it is nothing."""
    if question.decode:
        return gemms
    s, rows = question.structure, float(question.batch * question.tokens)
    table = float(s.vocabulary * s.width)
    first = GenzGemm("embedding", 1.0, rows * table, rows * s.vocabulary, table, rows * s.width)
    return [first, *gemms]


Correction = Callable[[list[GenzGemm], GenzQuery], list[GenzGemm]]

#: In the order in which they are applied.
CORRECTIONS: Final[tuple[Correction, ...]] = (
    attention_in_two,
    joined_projections,
    experts_touched,
    activations_on_chip,
    dense_embedding,
)
