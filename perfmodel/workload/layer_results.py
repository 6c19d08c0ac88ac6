"""Results of layers: what the references of a template mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perfmodel.errors import nearest
from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import Place
from perfmodel.workload.layer_steps import LayerBlock, LayerStep
from perfmodel.workload.layer_values import TemplateValues

LayerResult: TypeAlias = "Tensor | list[Tensor | None] | None"


@dataclass(slots=True)
class Frame:
    """One call of a block: its variables, its results, and those of the calls in it."""

    block: LayerBlock
    prefix: str
    names: dict[str, Any]
    results: dict[str, LayerResult] = field(default_factory=dict[str, "LayerResult"])
    above: Tensor | None = None
    calls: dict[str, Frame] = field(default_factory=dict[str, "Frame"])
    depth: int = 0


class LayerReferences:
    """Finds the tensors that references mean."""

    def __init__(self, values: TemplateValues) -> None:
        self._values = values

    def inputs(self, step: LayerStep, frame: Frame) -> list[Tensor | None]:
        """Return what a layer reads: by default what stands above."""
        if not step.inputs:
            return [frame.above] if frame.above is not None or frame.results else []
        tensors: list[Tensor | None] = []
        for name, place in step.inputs:
            tensors += self.meant(name, place, frame, step)
        return tensors

    def meant(
        self, name: str, place: Place, frame: Frame, step: LayerStep | None
    ) -> Sequence[Tensor | None]:
        """Return the tensors that a reference means; a fault where it means none.

        One whose braces leave nothing (``"{'bias' if biased else ''}"``) is no reference.
        """
        if "{" in name:
            before = len(self._values.flaws)
            name = self._values.text(name, place)
            if not name and len(self._values.flaws) == before:
                return []
        exists, result = self._result(name, place, frame)
        if exists:
            return result if isinstance(result, list) else [result]
        order, known = frame.block.order, [*frame.results, *frame.block.order]
        if step is None:
            self._values.flaws.note(
                place, f"no layer is named {shown(name)}", "a layer's name", nearest(name, known)
            )
        elif name not in order:
            self._values.flaws.note(
                place,
                f"no layer or input is named '{name}'",
                "one that stands above",
                nearest(name, known),
            )
        elif order[name] < step.number:  # a later one is told with the cycles
            self._values.flaws.note(place, f"'{name}' is left out here", "a layer that runs")
        return [None]

    def _result(self, name: str, place: Place, frame: Frame) -> tuple[bool, LayerResult]:
        """Return whether there is a result of a name, and it."""
        if name in frame.results:
            return True, frame.results[name]
        if name.endswith("]"):
            listed, _, index = name[:-1].partition("[")
            many, at = frame.results.get(listed), self._values.value(index, place)
            if isinstance(many, list) and type(at) is int:
                if -len(many) <= at < len(many):
                    return True, many[at]
                self._values.flaws.note(
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
