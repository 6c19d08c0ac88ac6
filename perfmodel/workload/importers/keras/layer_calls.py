"""Calls of layers with their arguments, from ``inbound_nodes`` of Keras 2 and Keras 3.

Keras 2 writes a list of ``[layer, call, tensor, keywords]`` per call; Keras 3 writes ``args`` and
``kwargs`` with tensors as ``__keras_tensor__``, whose ``keras_history`` is ``[layer, call,
tensor]``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.keras.layer_fields import (
    LayerFields,
    as_list,
    as_mapping,
    is_shape,
)

_TENSOR: Final = "__keras_tensor__"


@dataclass(frozen=True, slots=True)
class KerasCallOutput:
    """Reference to an output tensor of a layer call, with its shape if the file states it."""

    layer: str
    call: int
    tensor: int
    shape: tuple[int | None, ...] | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """Layer, call and tensor, without the shape."""
        return self.layer, self.call, self.tensor


@dataclass
class KerasCallArguments:
    """Arguments of one call: tensors in order and by keyword, and constants."""

    arguments: list[KerasCallOutput] = field(default_factory=list[KerasCallOutput])
    keywords: dict[str, KerasCallOutput] = field(default_factory=dict[str, KerasCallOutput])
    constants: list[Any] = field(default_factory=list[Any])

    @property
    def all(self) -> list[KerasCallOutput]:
        """All tensors that the call reads."""
        return [*self.arguments, *self.keywords.values()]


def output_references(value: object, names: Collection[str]) -> list[KerasCallOutput]:
    """Return the outputs referenced by ``input_layers`` or ``output_layers``, at any nesting."""
    return [r for r in _references_in(value) if r.layer in names]


def _references_in(value: object, depth: int = 8) -> Iterator[KerasCallOutput]:
    """Yield the references in a value, at any nesting up to a depth."""
    if depth == 0:
        return
    reference = _reference(value)
    if reference is not None:
        yield reference
        return
    for item in (*as_list(value), *as_mapping(value).values()):
        yield from _references_in(item, depth - 1)


def _reference(value: object) -> KerasCallOutput | None:
    """Return the reference ``[name, call, tensor]`` or the tensor of Keras 3, else None."""
    tensor = as_mapping(value)
    if tensor.get("class_name") == _TENSOR:
        config = as_mapping(tensor.get("config"))
        reference = _reference(config.get("keras_history"))
        dims = tuple(as_list(config.get("shape")))
        return (
            replace(reference, shape=dims) if reference and dims and is_shape(dims) else reference
        )
    items = as_list(value)[:3]
    return KerasCallOutput(*items) if list(map(type, items)) == [str, int, int] else None


def read_calls(
    entry: LayerFields, names: Mapping[str, LayerFields], flaws: list[Flaw]
) -> list[KerasCallArguments]:
    """Return the calls of a layer; references to unknown layers become flaws."""
    nodes = entry.data.get("inbound_nodes", [])
    place = (*entry.place, "inbound_nodes")
    if not isinstance(nodes, list | None):
        flaws.append(Flaw(place, "is not a list of calls", "a list with one entry for each call"))
    calls: list[KerasCallArguments] = []
    for i, node in enumerate(as_list(entry.data.get("inbound_nodes"))):
        call = (
            _read_keras_3_call(as_mapping(node))
            if as_mapping(node)
            else _read_keras_2_call(as_list(node))
        )
        flaws += (
            Flaw((*place, i), f"reads '{r.layer}'", "a layer of the model", nearest(r.layer, names))
            for r in call.all
            if r.layer not in names
        )
        calls.append(call)
    return calls


def _read_keras_3_call(node: Mapping[str, Any]) -> KerasCallArguments:
    """Return the call of a node of Keras 3."""
    call = KerasCallArguments()
    for argument in as_list(node.get("args")):
        tensors = list(_references_in(argument))
        call.arguments += tensors
        if not tensors:
            call.constants.append(argument)
    _add_keywords(call, as_mapping(node.get("kwargs")))
    return call


def _read_keras_2_call(node: Sequence[Any]) -> KerasCallArguments:
    """Return the call of a node of Keras 2."""
    call = KerasCallArguments()
    # A call with a single tensor may lack the enclosing list.
    rows: Sequence[Any] = [node] if node and isinstance(node[0], str) else node
    for row in rows:
        reference = _reference(row)
        if reference is None:
            continue
        if reference.layer == "_CONSTANT_VALUE":
            call.constants.append(reference.tensor)
            continue
        call.arguments.append(reference)
        _add_keywords(call, as_mapping(row[3] if len(row) > 3 else None))
    return call


def _add_keywords(call: KerasCallArguments, keywords: Mapping[str, Any]) -> None:
    """Add the keyword arguments of a call: tensors, or constants."""
    for name, value in keywords.items():
        tensors = list(_references_in(value))
        if len(tensors) == 1:
            call.keywords[name] = tensors[0]
        elif tensors:
            call.arguments += tensors
        elif value is not None:
            call.constants.append(value)
