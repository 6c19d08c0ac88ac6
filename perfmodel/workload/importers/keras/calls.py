"""How often each layer is called and with what: ``inbound_nodes`` of Keras 2 and Keras 3."""

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
    """An output of a call of a layer, and its shape where the file states it."""

    layer: str
    call: int
    tensor: int
    shape: tuple[int | None, ...] | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """Without the shape."""
        return self.layer, self.call, self.tensor


@dataclass
class KerasCallArguments:
    """One call: tensors in order and by keyword, and other arguments."""

    arguments: list[KerasCallOutput] = field(default_factory=list[KerasCallOutput])
    keywords: dict[str, KerasCallOutput] = field(default_factory=dict[str, KerasCallOutput])
    constants: list[Any] = field(default_factory=list[Any])

    @property
    def all(self) -> list[KerasCallOutput]:
        """Everything that it reads."""
        return [*self.arguments, *self.keywords.values()]


def references(value: object, names: Collection[str]) -> list[KerasCallOutput]:
    """Return the outputs named by ``input_layers`` or ``output_layers``, however nested."""
    return [r for r in _found(value) if r.layer in names]


def _found(value: object, depth: int = 8) -> Iterator[KerasCallOutput]:
    if depth == 0:
        return
    one = _reference(value)
    if one is not None:
        yield one
        return
    for item in (*listed(value), *mapped(value).values()):
        yield from _found(item, depth - 1)


def _reference(value: object) -> KerasCallOutput | None:
    """Return a reference: ``[name, call, tensor]``, or a tensor of Keras 3."""
    tensor = mapped(value)
    if tensor.get("class_name") == _TENSOR:
        config = mapped(tensor.get("config"))
        found = _reference(config.get("keras_history"))
        dims = tuple(listed(config.get("shape")))
        return replace(found, shape=dims) if found and dims and is_shape(dims) else found
    items = listed(value)[:3]
    return KerasCallOutput(*items) if list(map(type, items)) == [str, int, int] else None


def calls_of(
    entry: Fields, names: Mapping[str, Fields], flaws: list[Flaw]
) -> list[KerasCallArguments]:
    """Return the calls of a layer; references to layers that are not there become flaws."""
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
        found = list(_found(argument))
        call.arguments += found
        if not found:
            call.constants.append(argument)
    _keywords(call, mapped(node.get("kwargs")))
    return call


def _of_keras_2(node: Sequence[Any]) -> KerasCallArguments:
    call = KerasCallArguments()
    # A call of a single tensor may stand without a list around it.
    rows: Sequence[Any] = [node] if node and isinstance(node[0], str) else node
    for row in rows:
        found = _reference(row)
        if found is None:
            continue
        if found.layer == "_CONSTANT_VALUE":
            call.constants.append(found.tensor)
            continue
        call.arguments.append(found)
        _keywords(call, mapped(row[3] if len(row) > 3 else None))
    return call


def _keywords(call: KerasCallArguments, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        found = list(_found(value))
        if len(found) == 1:
            call.keywords[name] = found[0]
        elif found:
            call.arguments += found
        elif value is not None:
            call.constants.append(value)
