"""Decisions of a configuration space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

#: Subject of a decision: format and sparsity of weights; format of activations or of KV caches;
#: width of a channel group; parameter of the workload; fact of the device; overall precision.
Role: TypeAlias = Literal[
    "weights", "activations", "kv", "channels", "parameter", "fact", "precision"
]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of a configuration space, with its options.

    Attributes
    ----------
    name
        ``conv1.weights``, ``layer1.channels``, ``batch``, ``memories.main.bandwidth``.
    options
        Format texts (``int4+2:4``), widths, numbers.
    role
        Subject of the decision.
    members
        Names of the things that take the chosen option: of weight tensors, activations, KV caches
        or channel groups, or of the one parameter or fact.
    layers
        Layers that it affects, for accuracy models and for display.
    full_width
        Unpruned width of a channel group; 0 for other decisions.
    """

    name: str
    options: tuple[Any, ...]
    role: Role
    members: tuple[str, ...]
    layers: tuple[str, ...] = ()
    full_width: float = 0.0

    def label(self, option: int) -> str:
        """Return the text of an option."""
        value = self.options[option]
        return f"{value:g}" if isinstance(value, int | float) else str(value)
