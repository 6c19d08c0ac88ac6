"""What one device of a group holds and computes of a transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.arrays import Value
from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.errors import Fault, input_error
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.rewrite import with_formats
from perfmodel.workload.transformer_structure import TransformerStructure
from perfmodel.workload.workload import Workload

#: Tags of weights that checkpoints in four bits leave in sixteen: all but the feed-forward part.
_WIDE = ("attn", "head", "embedding")


@dataclass(frozen=True, slots=True)
class Parallel:
    """How a model is split over devices.

    Attributes
    ----------
    tensor
        Devices over which heads, hidden features and the vocabulary are split.
    data
        Groups of `tensor` devices with their own sequences (attention data parallel where experts
        are split over all of them).
    expert
        Devices over which the experts of a layer are dealt out, of the ``tensor * data``; the
        features of each expert are split over the rest.
    """

    tensor: int = 1
    data: int = 1
    expert: int = 1

    @property
    def devices(self) -> int:
        """Devices that share the experts: the whole group."""
        return self.tensor * self.data


def split_faults(split: Parallel) -> list[Fault]:
    """Return what is wrong with a split, whatever the model."""
    named = {"tensor": split.tensor, "data": split.data, "expert": split.expert}
    faults = [
        Fault(f"{count} is no number of devices", path=name, expected="a whole number above zero")
        for name, count in named.items()
        if count != int(count) or count < 1
    ]
    if not faults and split.devices % split.expert:
        message = f"experts cannot be dealt out over {split.expert} devices"
        expected = f"a divisor of tensor * data, {split.devices}"
        faults.append(Fault(message, path="expert", expected=expected))
    return faults


def shard(
    network: Workload | str,
    parallel: Parallel,
    settings: Mapping[str, Value],
    *,
    wide: bool = False,
) -> Workload:
    """Return what one device computes, as a workload.

    Parameters
    ----------
    network
        A transformer, or its name in the library. Weights are stored as its file says.
    settings
        Phase and free dimensions; ``batch`` counts the sequences of the device's own group.
    wide
        Weights of attention, embedding and classifier are stored in bf16 whatever the precision.

    Returns
    -------
    Workload
        With the share of the structure that `TransformerStructure.share` returns. A device sees
        ``batch`` tokens times the groups for its share of the experts: as many as its own batch for
        all of its tokens' experts.

    Raises
    ------
    InputError
        No transformer, or heads that do not divide.
    """
    workload = find(network) if isinstance(network, str) else network
    structure = workload.structure
    if not isinstance(structure, TransformerStructure):
        raise input_error(f"'{workload.name}' is no transformer", path="workload")
    phase = str(settings.get("phase", "decode"))
    one: Any = structure.model_copy(update={"phase": phase})
    numbers = {name: value for name, value in settings.items() if name != "phase"}
    share = workload.restructured(_sharded(one, parallel), numbers)
    if not wide:
        return share
    return Workload(
        share.name,
        _Wide(share),
        share.parameters,
        (share.unit, _tokens(share)),
        precision=share.precision,
        origin=share.origin,
        notes=share.notes,
    )


def _tokens(workload: Workload) -> Any:
    return workload._items  # pyright: ignore[reportPrivateUsage]


class _Wide:
    """Builds a graph with some weights in bf16."""

    __slots__ = ("workload",)

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        return _widened(self.workload.graph(semantics))


@cached(GRAPH_BYTES, same=1)
def _widened(graph: Graph) -> Graph:
    names = {
        name: "bf16"
        for name, tensor in graph.tensors.items()
        if tensor.role == "weight" and tensor.tag.startswith(_WIDE)
    }
    return with_formats(graph, weights=names, conversion=False)


@cached(GRAPH_BYTES)
def _sharded(s: TransformerStructure, parallel: Parallel) -> TransformerStructure:
    if s.heads % parallel.tensor:
        message = f"{s.heads} heads do not divide over {parallel.tensor} devices"
        raise input_error(message, path="tensor", expected=f"a divisor of {s.heads}")
    return s.share(parallel.tensor, parallel.data, parallel.expert)
