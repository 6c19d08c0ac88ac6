"""Graph of a Keras Functional model: its layers, their calls, and the values translated so far.

A layer may be called several times; the outputs of call i of a layer are referenced as
``[layer, i, tensor]``. `topology` translates the calls depth first and stores their outputs here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from perfmodel.workload.importers.keras.layer_calls import KerasCallArguments, KerasCallOutput
from perfmodel.workload.importers.keras.layer_fields import LayerFields
from perfmodel.workload.importers.keras.layer_translation import KerasValue

#: Most outputs of a call whose shapes are looked up.
_MOST_OUTPUTS = 8


@dataclass
class FunctionalGraph:
    """Layers and calls of a model, with the outputs of the calls that have been translated.

    Attributes
    ----------
    layers
        Entry of each layer by name.
    calls
        Calls of each layer, in order.
    outputs
        Layer and number of a call -> its translated outputs; ``None`` for an output of a call that
        failed.
    """

    layers: Mapping[str, LayerFields]
    calls: Mapping[str, Sequence[KerasCallArguments]]
    outputs: dict[tuple[str, int], list[KerasValue | None]] = field(
        default_factory=dict[tuple[str, int], "list[KerasValue | None]"]
    )

    def __post_init__(self) -> None:
        #: Output -> the shape that a reference to it states (Keras 3).
        self._shapes = {
            reference.key: reference.shape
            for calls in self.calls.values()
            for call in calls
            for reference in call.all
            if reference.shape is not None
        }

    def value(self, reference: KerasCallOutput) -> KerasValue | None:
        """Return the translated value of a reference; ``None`` if its call failed."""
        values = self.outputs.get((reference.layer, reference.call), [None])
        return values[reference.tensor] if 0 <= reference.tensor < len(values) else None

    def stated_shapes(self, layer: str, call: int) -> list[tuple[int | None, ...] | None]:
        """Return the stated shape of each output of a call, up to the last one that is stated."""
        shapes = [self._shapes.get((layer, call, i)) for i in range(_MOST_OUTPUTS)]
        while len(shapes) > 1 and shapes[-1] is None:
            shapes.pop()
        return shapes


def insert_building_calls(
    calls: Mapping[str, list[KerasCallArguments]],
    outputs: Sequence[KerasCallOutput],
    models: Collection[str],
) -> None:
    """Insert the missing first call of nested models whose calls the file counts from 1.

    Keras 2 omits the call by which a model with an input layer was built.

    Parameters
    ----------
    calls
        Calls of each layer, to which the missing ones are added.
    outputs
        Outputs of the enclosing model.
    models
        Names of the layers that are nested models.
    """
    read: dict[str, set[int]] = {name: set() for name in calls}
    for reference in (*outputs, *(r for each in calls.values() for c in each for r in c.all)):
        read.setdefault(reference.layer, set()).add(reference.call)
    for name in models:
        indices = read[name]
        if indices and min(indices) == 1 and max(indices) == len(calls[name]):
            calls[name].insert(0, KerasCallArguments())
