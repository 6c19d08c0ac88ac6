"""What cost functions read beside the operator table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.catalog import module_of
from perfmodel.formats import Precision


@dataclass(slots=True)
class Setting:
    """Facts and categories of one prediction; no spec model, so that arrays may stand anywhere.

    Attributes
    ----------
    facts
        Path -> number, or array of shape ``(points,)``.
    engine
        Name of the engine.
    levels
        Memories between engine and main memory, nearest first; main memory is the last.
    weights_memory
        Memory that stores the weights (main memory unless a memory has the role ``weights``).
    overlap
        ``full``: the slowest of compute and memory levels; ``none``: their sum;
        ``cold_weights_add``: as full, and weights from main memory add.
    bare
        The bare roofline: one peak, one bandwidth, nothing else.
    causal_skips_masked
        Whether masked query-key pairs are skipped.
    warm
        Weights and KV cache stay from one run to the next in a memory that holds everything.
    relaxed
        Continuous forms of staircases.
    xp
        Array namespace of the values.
    read_bandwidths
        Memory -> bytes a second that is read from it, for memories with physics of their own.
    choices
        What the engine's kind adds to its spec beside numbers (a dataflow, a switch), by field.
    stays
        Whether activations take the share of a scratchpad that a spec lets them keep; ``None``: the
        better of both, over the whole network.
    sequences
        Sequences (or frames) of the batch.
    steps
        Decode steps of a request, beside its prompt; ``None`` where a run is one step.
    calls
        Bodies of control flow that a run enters.
    """

    facts: Mapping[str, Value]
    engine: str
    levels: tuple[str, ...]
    weights_memory: str
    precision: Precision
    overlap: str = "full"
    bare: bool = False
    causal_skips_masked: bool = True
    warm: bool = False
    relaxed: bool = False
    xp: Any = np
    read_bandwidths: Mapping[str, ReadBandwidth] = field(default_factory=dict[str, "ReadBandwidth"])
    choices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stays: bool | None = None
    sequences: Value = 1.0
    steps: Value = None
    calls: Value = 0.0

    def __reduce__(self) -> Any:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _setting, (values | {"xp": self.xp.__name__},)

    def fact(self, path: str, default: Value = None) -> Value:
        """Return a fact, or `default` where the machine does not state it."""
        return self.facts.get(path, default)


def _setting(values: Mapping[str, Any]) -> Setting:
    return Setting(**{**values, "xp": module_of(values["xp"])})


#: What a kind of memory gives: (setting, name of the memory) -> bytes a second.
ReadBandwidth: TypeAlias = Callable[[Setting, str], Value]
