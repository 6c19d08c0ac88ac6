"""How often each layer is called and with what: ``inbound_nodes`` of Keras 2 and Keras 3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.keras.fields import Fields, listed, mapped

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
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _found(item, depth - 1)
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _found(item, depth - 1)


def _reference(value: object) -> KerasCallOutput | None:
    """Return a reference: ``[name, call, tensor]``, or a tensor of Keras 3."""
    if isinstance(value, dict):
        data = cast("dict[str, Any]", value)
        if data.get("class_name") != _TENSOR or not isinstance(data.get("config"), dict):
            return None
        config = cast("dict[str, Any]", data["config"])
        found = _reference(config.get("keras_history"))
        shape: Any = config.get("shape")
        if found is None or not isinstance(shape, list):
            return found
        dims = cast("list[Any]", shape)
        good = len(dims) <= 8 and all(
            d is None or (isinstance(d, int) and not isinstance(d, bool) and 0 <= d < 2**31)
            for d in dims
        )
        return KerasCallOutput(found.layer, found.call, found.tensor, tuple(dims) if good else None)
    if not isinstance(value, list):
        return None
    items = cast("list[Any]", value)
    if len(items) < 3 or not isinstance(items[0], str):
        return None
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in items[1:3]):
        return None
    return KerasCallOutput(items[0], items[1], items[2])


def calls_of(
    entry: Fields, names: Mapping[str, Fields], flaws: list[Flaw]
) -> list[KerasCallArguments]:
    """Return the calls of a layer; references to layers that are not there become flaws."""
    given: Any = entry.data.get("inbound_nodes")
    place = (*entry.place, "inbound_nodes")
    if given is None:
        return []
    if not isinstance(given, list):
        flaws.append(Flaw(place, "is no list of calls", "a list with an entry a call"))
        return []
    calls: list[KerasCallArguments] = []
    for i, node in enumerate(cast("list[Any]", given)):
        if isinstance(node, dict):
            call = _of_keras_3(cast("dict[str, Any]", node))
        else:
            call = _of_keras_2(listed(node))
        flaws += (
            Flaw((*place, i), f"reads '{r.layer}'", "a layer of the model", nearest(r.layer, names))
            for r in call.all if r.layer not in names
        )  # fmt: skip
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
