"""Matching of the tensors of a weight file with the weights of a graph.

Tensors are identified by their GGUF names (ggml-org/llama.cpp, gguf-py/gguf/constants.py), which
are common to all architectures; other file formats are converted to these names first. The mapping
from weights to tensors is declared in ``workloads/stored/weights.yaml``. A weight matches if its
tensors have as many elements in total as the graph states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from perfmodel.errors import Fault, nearest
from perfmodel.specfile import shipped
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.weight_files.file_tensor import (
    FileTensor,
    joined_expert_name,
    layer_of,
)
from perfmodel.workload.symbols import constant

#: Largest tolerated share of a file's bytes in tensors without a weight in the graph.
_UNMATCHED_SHARE: Final = 0.02
_SHOWN: Final = 20


class WeightStorage(NamedTuple):
    """Storage format of a weight of a graph, and its number of elements in the file."""

    format: str
    elements: int


@dataclass
class MatchedWeights:
    """Weights of a graph with the tensors of a file that store them.

    Attributes
    ----------
    outside
        Weight outside the layers -> storage.
    layers
        For each layer, weight of its group (without the group's name) -> storage.
    unmatched
        Tensors without a weight in the graph, by layer, or -1 outside the layers.
    """

    outside: dict[str, WeightStorage] = field(default_factory=dict[str, WeightStorage])
    layers: list[dict[str, WeightStorage]] = field(default_factory=list[dict[str, WeightStorage]])
    unmatched: dict[int, list[tuple[str, FileTensor]]] = field(
        default_factory=dict[int, list[tuple[str, FileTensor]]]
    )


@dataclass
class WeightFile:
    """Tensors of a weight file, with the faults and notes of matching them.

    Attributes
    ----------
    file
        Name of the file, for messages.
    what
        Name of the network, for messages.
    tensors
        GGUF name -> tensor.
    file_name_of
        GGUF name -> corresponding name in the file's naming scheme.
    faults, notes
        Filled by `match_tensors`.
    """

    file: str
    what: str
    tensors: Mapping[str, FileTensor]
    file_name_of: Callable[[str], str] = str
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[str] = field(default_factory=list[str])


def match_tensors(graph: Graph, groups: Sequence[str], source: WeightFile) -> MatchedWeights:
    """Match a file's tensors with the weights of a graph, recording faults in `source`.

    Parameters
    ----------
    graph
        Graph of any phase; weights have the same names in all phases.
    groups
        Name of the block of each layer.
    """
    matcher = _TensorMatcher(graph, source)
    matched = matcher.matches
    weights = [n for n, t in graph.tensors.items() if t.role == "weight"]
    weights_of_group: dict[str, list[str]] = {group: [] for group in groups}
    for name in weights:
        group, _, weight = name.partition(".")
        if group in weights_of_group:
            weights_of_group[group].append(weight)
        else:
            stored = matcher.weight(name, name, "")
            if stored is not None:
                matched.outside[name] = stored
    for i, group in enumerate(groups):
        layer: dict[str, WeightStorage] = {}
        for weight in weights_of_group[group]:
            stored = matcher.weight(f"{group}.{weight}", weight, f"blk.{i}.")
            if stored is not None:
                layer[weight] = stored
        matched.layers.append(layer)
    matcher.finish(len(groups))
    return matched


class _TensorMatcher:
    """Matching of one file with one graph; records what each weight uses of the tensors."""

    def __init__(self, graph: Graph, source: WeightFile) -> None:
        self.graph, self.source = graph, source
        self.matches = MatchedWeights()
        self.tensors = _with_experts_joined(source.tensors)
        #: tensor -> number of its elements used by weights of the graph
        self.used_elements: dict[str, int] = {}
        self.missing: list[str] = []

    def weight(self, name: str, weight: str, layer: str) -> WeightStorage | None:
        """Return the storage of a weight, or record that its tensor is missing."""
        size = constant(self.graph.tensors[name].elements)
        assert size is not None
        elements = int(size)
        names = self._names(weight, layer)
        if not names:
            usual = next(iter(_options(weight)), [weight])
            self.missing.append(f"{layer}{usual[0]}")
            return None
        stored = [self.tensors[n] for n in names]
        total = sum(t.elements for t in stored)
        # Norms of heads may be per head or joint, and a norm may lack a bias.
        has_free_size = weight.startswith(("q_norm", "k_norm")) or (
            "norm" in weight and 2 * total == elements
        )
        if len(names) > 1 or has_free_size:
            if total != elements and not has_free_size:
                self._mismatch(stored[0], elements, total)
            self.used_elements |= {n: self.tensors[n].elements for n in names}
            return WeightStorage(_format(stored), total if has_free_size else elements)
        self.used_elements[names[0]] = self.used_elements.get(names[0], 0) + elements
        return WeightStorage(_format(stored), elements)

    def _names(self, weight: str, layer: str) -> list[str]:
        """Return the tensors of a weight; the bias of a norm is one of them."""
        for names_of_option in _options(weight):
            names = [f"{layer}{name}" for name in names_of_option]
            if all(name in self.tensors for name in names):
                bias = f"{names[0].removesuffix('.weight')}.bias"
                if "norm" in weight and bias != names[0] and bias in self.tensors:
                    names.append(bias)
                return names
        return []

    def _mismatch(self, tensor: FileTensor, expected: int, elements: int) -> None:
        """Record a tensor whose number of elements differs from that of its weight."""
        shape = f" of shape {list(tensor.shape)}" if tensor.shape else ""
        message = f"'{tensor.name}'{shape} holds {elements:,} elements"
        expected_text = f"{expected:,} for this {self.source.what}"
        fault = Fault(message, tensor.place, self.source.file, expected=expected_text)
        self.source.faults.append(fault)

    def finish(self, layers: int) -> None:
        """Record missing, mismatched and unmatched tensors."""
        for name, used in self.used_elements.items():
            tensor = self.tensors[name]
            if used != tensor.elements:
                self._mismatch(tensor, used, tensor.elements)
        unused = {n: t for n, t in self.tensors.items() if n not in self.used_elements}
        names = [t.name for t in unused.values()]
        faults, file = self.source.faults, self.source.file
        for name in self.missing[:_SHOWN]:
            spelled = self.source.file_name_of(name)
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
        self._unmatched(unused, layers)

    def _unmatched(self, unused: Mapping[str, FileTensor], layers: int) -> None:
        """Record tensors that no weight uses: a fault if they are many bytes, else a note."""
        faults, file = self.source.faults, self.source.file
        total_bytes = sum(t.bytes for t in self.tensors.values())
        if sum(t.bytes for t in unused.values()) > _UNMATCHED_SHARE * total_bytes or (
            faults and unused
        ):
            expected = "tensors of the architecture as it is published"
            for t in sorted(unused.values(), key=lambda t: -t.bytes)[:_SHOWN]:
                tensor_text = f"stands for '{t.name}' of {t.bytes:,} bytes"
                message = f"no operator of a {self.source.what} {tensor_text}"
                faults.append(Fault(message, t.place, file, expected=expected))
        for name, tensor in unused.items():
            number = layer_of(name)
            is_in_layer = number < layers
            self.matches.unmatched.setdefault(number if is_in_layer else -1, []).append(
                (name, tensor)
            )
        if unused:
            kinds = sorted({_without_number(t.name) for t in unused.values()})
            remainder_text = f" and {len(kinds) - 6} more" if len(kinds) > 6 else ""
            self.source.notes.append(
                "read once a run, with no arithmetic: " + ", ".join(kinds[:6]) + remainder_text
            )


def _without_number(name: str) -> str:
    """Return a tensor name with ``N`` instead of the layer number."""
    return re.sub(r"\.\d+\.", ".N.", name)


def _options(weight: str) -> Sequence[Sequence[str]]:
    """Return the alternative lists of tensors for a weight, the usual one first."""
    complete = tensor_options("complete").get(weight)
    if complete is not None:
        return complete
    stem, _, kind = weight.rpartition(".")
    return [
        [f"{name}.{kind}" for name in option] for option in tensor_options("named").get(stem, ())
    ]


def tensor_options(kind: str) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return weight -> alternative lists of tensors, from ``weights.yaml``.

    Kind ``named`` omits the last part of the names (``weight`` or ``bias``), ``complete`` includes
    it.
    """
    return shipped("workloads", "stored/weights.yaml")[kind]


def _format(tensors: Sequence[FileTensor]) -> str:
    """Return the common format of a weight's tensors, or a mixture by their elements."""
    by_format: dict[str, int] = {}
    for tensor in tensors:
        by_format[tensor.format] = by_format.get(tensor.format, 0) + tensor.elements
    if len(by_format) == 1:
        return next(iter(by_format))
    total = sum(by_format.values())
    return "mix(" + "/".join(f"{n}:{count / total!r}" for n, count in by_format.items()) + ")"


def _with_experts_joined(tensors: Mapping[str, FileTensor]) -> dict[str, FileTensor]:
    """Return the tensors with separately stored experts joined into one tensor."""
    joined: dict[str, FileTensor] = {}
    for name, tensor in tensors.items():
        joined_name = joined_expert_name(name)
        if joined_name:
            before = joined.get(joined_name)
            if before is None or before.format == tensor.format:
                joined[joined_name] = tensor._replace(
                    elements=tensor.elements + (before.elements if before else 0),
                    bytes=tensor.bytes + (before.bytes if before else 0),
                    shape=(),
                )
                continue
        joined[name] = tensor
    return joined
