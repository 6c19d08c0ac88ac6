"""Resolution of references between the layers of a template to tensors.

A reference names a layer, an entry of a collected list (``heads[2]``), or a layer inside a block
(``stem.conv``). A `Frame` holds the variables and results of one call of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perfmodel.errors import nearest
from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import Place
from perfmodel.workload.layer_steps import LayerBlock, LayerStep
from perfmodel.workload.template_values import TemplateValues

LayerResult: TypeAlias = "Tensor | list[Tensor | None] | None"


@dataclass(slots=True)
class Frame:
    """One call of a block: its variables, its results, and the calls within it."""

    block: LayerBlock
    prefix: str
    names: dict[str, Any]
    results: dict[str, LayerResult] = field(default_factory=dict[str, "LayerResult"])
    previous: Tensor | None = None
    calls: dict[str, Frame] = field(default_factory=dict[str, "Frame"])
    depth: int = 0


class LayerReferences:
    """Resolver of references to tensors."""

    def __init__(self, values: TemplateValues) -> None:
        self._values, self._flaws = values, values.flaws

    def inputs(self, step: LayerStep, frame: Frame) -> list[Tensor | None]:
        """Return the inputs of a layer; by default the output of the previous layer."""
        if not step.inputs:
            return [frame.previous] if frame.previous is not None or frame.results else []
        tensors: list[Tensor | None] = []
        for name, place in step.inputs:
            tensors += self.resolve(name, place, frame, step)
        return tensors

    def resolve(
        self, name: str, place: Place, frame: Frame, step: LayerStep | None
    ) -> Sequence[Tensor | None]:
        """Return the tensors to which a reference resolves; a fault if there are none.

        A reference whose braces evaluate to nothing (``"{'bias' if biased else ''}"``) is ignored.
        """
        if "{" in name:
            before = len(self._flaws)
            name = self._values.text(name, place)
            if not name and len(self._flaws) == before:
                return []
        exists, result = self._result(name, place, frame)
        if exists:
            return result if isinstance(result, list) else [result]
        order, known = frame.block.order, [*frame.results, *frame.block.order]
        if step is None:
            self._flaws.note(
                place, f"no layer is named {shown(name)}", "a layer's name", nearest(name, known)
            )
        elif name not in order:
            self._flaws.note(
                place,
                f"no layer or input is named '{name}'",
                "an earlier one",
                nearest(name, known),
            )
        elif order[name] < step.number:  # later layers are reported with the cycles
            self._flaws.note(place, f"'{name}' is left out here", "a layer that runs")
        return [None]

    def _result(self, name: str, place: Place, frame: Frame) -> tuple[bool, LayerResult]:
        """Return whether a result of this name exists, and the result."""
        if name in frame.results:
            return True, frame.results[name]
        if name.endswith("]"):
            listed, _, index = name[:-1].partition("[")
            many, at = frame.results.get(listed), self._values.value(index, place)
            if isinstance(many, list) and type(at) is int:
                if -len(many) <= at < len(many):
                    return True, many[at]
                self._flaws.note(
                    place, f"no entry {at} of {len(many)} in '{listed}'", "an entry of it"
                )
                return True, None
        dot = name.find(".")
        while dot > 0:
            call = frame.calls.get(name[:dot])
            if call is not None:
                return self._result(name[dot + 1 :], place, call)
            dot = name.find(".", dot + 1)
        return False, None
