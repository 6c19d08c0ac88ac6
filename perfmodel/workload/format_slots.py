"""Slots: groups of tensors whose number format a precision sets together.

The slot of a tensor is its role and tag (``weight:head``) or its fixed format (``=int64``). Columns
of an operator table are kept per slot, so that a precision can be chosen after lowering.
"""

from __future__ import annotations

from perfmodel.workload.graph import Graph, Tensor


class SlotNames:
    """Slots of a graph's tensors as an operator table names them.

    Parameters
    ----------
    tagged
        Whether to distinguish the tags of weights (``weight:head``), for formats that store some
        tensors wider. ``weight:vector`` is always distinguished.
    """

    def __init__(self, graph: Graph, *, tagged: bool) -> None:
        self._tensors, self._tagged = graph.tensors, tagged

    def name(self, slot: str) -> str:
        """Return a slot as the table names it; a fixed format (``weight=q4_0``) is preserved."""
        if self._tagged or "=" in slot:
            return slot
        return slot if slot == "weight:vector" else slot.partition(":")[0]

    def of(self, tensor: Tensor) -> str:
        """Return the slot of a tensor."""
        return self.name(tensor.slot)

    def of_name(self, name: str) -> str:
        """Return the slot of a tensor by its name; ``activation`` if the graph lacks it."""
        tensor = self._tensors.get(name)
        return "activation" if tensor is None else self.of(tensor)

    def with_role(self, tensor: Tensor) -> str:
        """Return a slot that includes the role of a stored tensor even if its format is fixed."""
        if tensor.format and tensor.role != "activation":
            return f"{tensor.role}={tensor.format}"
        return self.of(tensor)
