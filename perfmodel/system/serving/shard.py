"""Share of a language model on one device of a group: its weights and its computation.

Tensor parallelism divides heads, hidden features and vocabulary; expert parallelism divides the
experts; data parallelism replicates the model. `perfmodel.system.serving.serve` predicts one shard.
"""

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

#: Tags of weights left in 16 bits by 4-bit checkpoints: all but the feed-forward part.
_WIDE = ("attn", "head", "embedding")


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parallelism of a model over devices.

    Attributes
    ----------
    tensor
        Tensor parallelism: devices over which heads, hidden features and vocabulary are split.
    data
        Data parallelism: groups of `tensor` devices with separate sequences (attention data
        parallel if experts are split over all groups).
    expert
        Expert parallelism: devices, out of ``tensor * data``, over which the experts of a layer are
        distributed; the features of each expert are split over the remaining factor.
    """

    tensor: int = 1
    data: int = 1
    expert: int = 1

    @property
    def devices(self) -> int:
        """Number of devices that share the experts: the full group."""
        return self.tensor * self.data


def split_faults(split: Parallel) -> list[Fault]:
    """Return the faults of a split, independent of the model."""
    named = {"tensor": split.tensor, "data": split.data, "expert": split.expert}
    faults = [
        Fault(
            f"{count} is not a number of devices", path=name, expected="a whole number above zero"
        )
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
    """Return the computation of one device as a workload.

    Parameters
    ----------
    network
        A language model, or its name in the library. Weights are stored as its file states.
    settings
        Phase and free dimensions; ``batch`` is the number of sequences of the device's group.
    wide
        Store weights of attention, embedding and classifier in bf16 regardless of the precision.

    Returns
    -------
    Workload
        Workload with the share of the structure that `TransformerStructure.share` returns, or all
        of it on a single device. Experts that are distributed are those of the busiest device,
        visited by the tokens of all groups, for which the others wait.

    Raises
    ------
    InputError
        The model is split over devices but is not a transformer, or heads do not divide evenly.
    """
    workload = find(network) if isinstance(network, str) else network
    structure = workload.structure
    phase = str(settings.get("phase", "decode"))
    one: Any = structure.model_copy(update={"phase": phase})
    if isinstance(structure, TransformerStructure):
        one = _share_of_device(one, parallel)
    elif parallel.devices > 1:
        message = f"'{workload.name}' is not a transformer, and is not split over devices"
        raise input_error(message, path="tensor", expected="1")
    numbers = {name: value for name, value in settings.items() if name != "phase"}
    share = workload.restructured(one, numbers)
    return share.rebuilt(_Wide(share)) if wide else share


class _Wide:
    """Graph builder that stores some weights in bf16."""

    __slots__ = ("workload",)

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        return _with_wide_weights(self.workload.graph(semantics))


@cached(GRAPH_BYTES, identity_keys=1)
def _with_wide_weights(graph: Graph) -> Graph:
    """Return a graph that stores attention, embedding and classifier in bf16."""
    names = {
        name: "bf16"
        for name, tensor in graph.tensors.items()
        if tensor.role == "weight" and tensor.tag.startswith(_WIDE)
    }
    return with_formats(graph, weights=names, conversion=False)


@cached(GRAPH_BYTES)
def _share_of_device(s: TransformerStructure, parallel: Parallel) -> TransformerStructure:
    """Return the structure of one device's share of a transformer."""
    if s.heads % parallel.tensor:
        message = f"{s.heads} heads do not divide over {parallel.tensor} devices"
        raise input_error(message, path="tensor", expected=f"a divisor of {s.heads}")
    return s.share(parallel.tensor, parallel.data, parallel.expert)
