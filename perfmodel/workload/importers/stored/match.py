"""Which tensors of a file are which weights of a graph, held against each other one by one.

Tensors go by the names that GGUF has for them (ggml-org/llama.cpp, ``gguf-py/gguf/constants.py``),
which are the same for all architectures; files of another kind are read into these names first.
Which weight is which tensor is told by ``workloads/stored/weights.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from perfmodel.errors import Fault, nearest
from perfmodel.specfile import shipped
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.stored.held import FileTensor, layer_of, whole_of
from perfmodel.workload.symbols import constant

#: Most of a file's bytes that may be in tensors without a place in the graph.
_BESIDE: Final = 0.02
_SHOWN: Final = 20

#: Formats by bytes: (format, share of the elements).
Parts: TypeAlias = tuple[tuple[str, float], ...]


class WeightStorage(NamedTuple):
    """How a weight of a graph is stored: its format, and its elements by the file."""

    format: str
    elements: int


@dataclass
class Matched:
    """What the tensors of a file say of a graph.

    Attributes
    ----------
    whole
        Weight outside the layers -> how it is stored.
    layers
        For each layer, weight of its group (without the group's name) -> how it is stored.
    beside
        Tensors that no weight of the graph stands for, by layer, or -1 outside the layers.
    """

    whole: dict[str, WeightStorage] = field(default_factory=dict[str, WeightStorage])
    layers: list[dict[str, WeightStorage]] = field(default_factory=list[dict[str, WeightStorage]])
    beside: dict[int, list[tuple[str, FileTensor]]] = field(
        default_factory=dict[int, list[tuple[str, FileTensor]]]
    )


@dataclass
class WeightFile:
    """The tensors of a file, and what is found out about them.

    Attributes
    ----------
    file
        Name for messages.
    what
        What the network is called in messages.
    tensors
        GGUF's name -> tensor.
    spelled
        GGUF's name -> the name that such a file would have for it.
    faults, notes
        Filled by `match`.
    """

    file: str
    what: str
    tensors: Mapping[str, FileTensor]
    spelled: Callable[[str], str] = str
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[str] = field(default_factory=list[str])


def match(graph: Graph, groups: Sequence[str], source: WeightFile) -> Matched:
    """Hold a file's tensors against the weights of a graph; faults are noted in `source`.

    Parameters
    ----------
    graph
        Of one phase; weights have the same names in all.
    groups
        For each layer the name of its block.
    """
    matching = _Matching(graph, source)
    found = matching.found
    weights = [n for n, t in graph.tensors.items() if t.role == "weight"]
    named = set(groups)
    inside: dict[str, list[str]] = {g: [] for g in named}
    for name in weights:
        group, _, rest = name.partition(".")
        if group in named:
            inside[group].append(rest)
        else:
            stored = matching.weight(name, name, "")
            if stored is not None:
                found.whole[name] = stored
    for i, group in enumerate(groups):
        layer: dict[str, WeightStorage] = {}
        for rest in inside[group]:
            stored = matching.weight(f"{group}.{rest}", rest, f"blk.{i}.")
            if stored is not None:
                layer[rest] = stored
        found.layers.append(layer)
    matching.finish(len(groups))
    return found


class _Matching:
    def __init__(self, graph: Graph, source: WeightFile) -> None:
        self.graph, self.source = graph, source
        self.found = Matched()
        self.tensors = _with_experts_joined(source.tensors)
        #: tensor -> elements that weights of the graph take of it
        self.taken: dict[str, int] = {}
        self.missing: list[str] = []

    def weight(self, name: str, rest: str, layer: str) -> WeightStorage | None:
        """Return how a weight is stored."""
        size = constant(self.graph.tensors[name].elements)
        assert size is not None
        elements = int(size)
        names = self._names(rest, layer)
        if not names:
            usual = next(iter(_options(rest)), [rest])
            self.missing.append(f"{layer}{usual[0]}")
            return None
        held = [self.tensors[n] for n in names]
        total = sum(t.elements for t in held)
        # Heads may be normalised one by one or all at once; a norm may have no bias.
        loose = rest.startswith(("q_norm", "k_norm")) or ("norm" in rest and 2 * total == elements)
        if len(names) > 1 or loose:
            if total != elements and not loose:
                self._mismatch(held[0], elements, total)
            self.taken |= {n: self.tensors[n].elements for n in names}
            return WeightStorage(_format(held), total if loose else elements)
        self.taken[names[0]] = self.taken.get(names[0], 0) + elements
        return WeightStorage(_format(held), elements)

    def _names(self, rest: str, layer: str) -> list[str]:
        """Return the tensors of a weight; a norm's bias is part of it."""
        for option in _options(rest):
            names = [f"{layer}{name}" for name in option]
            if all(name in self.tensors for name in names):
                bias = f"{names[0].removesuffix('.weight')}.bias"
                if "norm" in rest and bias != names[0] and bias in self.tensors:
                    names.append(bias)
                return names
        return []

    def _mismatch(self, tensor: FileTensor, expected: int, held: int) -> None:
        shape = f" of shape {list(tensor.shape)}" if tensor.shape else ""
        message = f"'{tensor.name}'{shape} holds {held:,} elements"
        wanted = f"{expected:,} for this {self.source.what}"
        fault = Fault(message, tensor.place, self.source.file, expected=wanted)
        self.source.faults.append(fault)

    def finish(self, layers: int) -> None:
        """Note what is missing, what does not fit, and what is left over."""
        for name, taken in self.taken.items():
            tensor = self.tensors[name]
            if taken != tensor.elements:
                self._mismatch(tensor, taken, tensor.elements)
        left = {n: t for n, t in self.tensors.items() if n not in self.taken}
        names = [t.name for t in left.values()]
        faults, file = self.source.faults, self.source.file
        for name in self.missing[:_SHOWN]:
            spelled = self.source.spelled(name)
            faults.append(
                Fault(
                    f"has no tensor '{spelled}'",
                    file=file,
                    expected=f"what a {self.source.what} has",
                    suggestion=nearest(spelled, names, 0.85),
                )
            )
        if len(self.missing) > _SHOWN:
            faults.append(Fault(f"lacks {len(self.missing) - _SHOWN} more tensors", file=file))
        self._beside(left, layers)

    def _beside(self, left: Mapping[str, FileTensor], layers: int) -> None:
        faults, file = self.source.faults, self.source.file
        total = sum(t.bytes for t in self.tensors.values())
        if sum(t.bytes for t in left.values()) > _BESIDE * total or (faults and left):
            expected = "tensors of the architecture as it is published"
            for t in sorted(left.values(), key=lambda t: -t.bytes)[:_SHOWN]:
                where = f"stands for '{t.name}' of {t.bytes:,} bytes"
                message = f"no operator of a {self.source.what} {where}"
                faults.append(Fault(message, t.place, file, expected=expected))
        for name, tensor in left.items():
            number = layer_of(name)
            inside = number < layers
            self.found.beside.setdefault(number if inside else -1, []).append((name, tensor))
        if left:
            kinds = sorted({_without_number(t.name) for t in left.values()})
            more = f" and {len(kinds) - 6} more" if len(kinds) > 6 else ""
            self.source.notes.append(
                "read once a run, with no arithmetic: " + ", ".join(kinds[:6]) + more
            )


def _without_number(name: str) -> str:
    return re.sub(r"\.\d+\.", ".N.", name)


def _options(weight: str) -> Sequence[Sequence[str]]:
    """Return what a weight may be, each the tensors of a layer that it is; the usual ones first."""
    complete = names_of("complete").get(weight)
    if complete is not None:
        return complete
    stem, _, kind = weight.rpartition(".")
    return [[f"{name}.{kind}" for name in option] for option in names_of("named").get(stem, ())]


def names_of(kind: str) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return weight -> options, each the tensors that it is, ``named`` or ``complete``."""
    return shipped("workloads", "stored/weights.yaml")[kind]


def _format(held: Sequence[FileTensor]) -> str:
    """Return the format of a weight: that of its tensors, or a mixture by their elements."""
    by_format: dict[str, int] = {}
    for tensor in held:
        by_format[tensor.format] = by_format.get(tensor.format, 0) + tensor.elements
    if len(by_format) == 1:
        return next(iter(by_format))
    total = sum(by_format.values())
    return "mix(" + "/".join(f"{n}:{count / total!r}" for n, count in by_format.items()) + ")"


def _with_experts_joined(tensors: Mapping[str, FileTensor]) -> dict[str, FileTensor]:
    """Return the tensors; experts that are a tensor each as one of all of them."""
    joined: dict[str, FileTensor] = {}
    for name, tensor in tensors.items():
        whole = whole_of(name)
        if whole:
            before = joined.get(whole)
            if before is None or before.format == tensor.format:
                joined[whole] = tensor._replace(
                    elements=tensor.elements + (before.elements if before else 0),
                    bytes=tensor.bytes + (before.bytes if before else 0),
                    shape=(),
                )
                continue
        joined[name] = tensor
    return joined
