"""Calls of layers with their arguments, from ``inbound_nodes`` of Keras 2 and Keras 3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.keras.fields import Fields, is_shape, listed, mapped

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


def references(value: object, names: Collection[str]) -> list[KerasCallOutput]:
    """Return the outputs referenced by ``input_layers`` or ``output_layers``, at any nesting."""
    return [r for r in _references_in(value) if r.layer in names]


def _references_in(value: object, depth: int = 8) -> Iterator[KerasCallOutput]:
    if depth == 0:
        return
    reference = _reference(value)
    if reference is not None:
        yield reference
        return
    for item in (*listed(value), *mapped(value).values()):
        yield from _references_in(item, depth - 1)


def _reference(value: object) -> KerasCallOutput | None:
    """Return the reference ``[name, call, tensor]`` or the tensor of Keras 3, else None."""
    tensor = mapped(value)
    if tensor.get("class_name") == _TENSOR:
        config = mapped(tensor.get("config"))
        reference = _reference(config.get("keras_history"))
        dims = tuple(listed(config.get("shape")))
        return (
            replace(reference, shape=dims) if reference and dims and is_shape(dims) else reference
        )
    items = listed(value)[:3]
    return KerasCallOutput(*items) if list(map(type, items)) == [str, int, int] else None


def calls_of(
    entry: Fields, names: Mapping[str, Fields], flaws: list[Flaw]
) -> list[KerasCallArguments]:
    """Return the calls of a layer; references to unknown layers become flaws."""
    nodes = entry.data.get("inbound_nodes", [])
    place = (*entry.place, "inbound_nodes")
    if not isinstance(nodes, list | None):
        flaws.append(Flaw(place, "is no list of calls", "a list with an entry a call"))
    calls: list[KerasCallArguments] = []
    for i, node in enumerate(listed(entry.data.get("inbound_nodes"))):
        call = _of_keras_3(mapped(node)) if mapped(node) else _of_keras_2(listed(node))
        flaws += (
            Flaw((*place, i), f"reads '{r.layer}'", "a layer of the model", nearest(r.layer, names))
            for r in call.all
            if r.layer not in names
        )
        calls.append(call)
    return calls


def _of_keras_3(node: Mapping[str, Any]) -> KerasCallArguments:
    call = KerasCallArguments()
    for argument in listed(node.get("args")):
        references_of = list(_references_in(argument))
        call.arguments += references_of
        if not references_of:
            call.constants.append(argument)
    _keywords(call, mapped(node.get("kwargs")))
    return call


def _of_keras_2(node: Sequence[Any]) -> KerasCallArguments:
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
        _keywords(call, mapped(row[3] if len(row) > 3 else None))
    return call


def _keywords(call: KerasCallArguments, keywords: Mapping[str, Any]) -> None:
    for name, value in keywords.items():
        references_of = list(_references_in(value))
        if len(references_of) == 1:
            call.keywords[name] = references_of[0]
        elif references_of:
            call.arguments += references_of
        elif value is not None:
            call.constants.append(value)
