"""What may be decided of a network on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

#: What a decision is about: formats and sparsity of weights; formats of activations; of KV caches;
#: widths of a channel group; a parameter of the workload; a fact of the device; a whole precision.
Role: TypeAlias = Literal[
    "weights", "activations", "kv", "channels", "parameter", "fact", "precision"
]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes
    ----------
    name
        ``conv1.weights``, ``layer1.channels``, ``batch``, ``memories.main.bandwidth``.
    options
        Format texts (``int4+2:4``), widths, numbers.
    role
        What it is about.
    members
        Weight tensors; activations; channel groups; the parameter, or the fact.
    layers
        Layers that it governs, for accuracy and for the strip.
    whole
        Width of a channel group as it is; 0 for other decisions.
    """

    name: str
    options: tuple[Any, ...]
    role: Role
    members: tuple[str, ...]
    layers: tuple[str, ...] = ()
    whole: float = 0.0

    def label(self, option: int) -> str:
        """Return how an option is shown."""
        value = self.options[option]
        return f"{value:g}" if isinstance(value, int | float) else str(value)
