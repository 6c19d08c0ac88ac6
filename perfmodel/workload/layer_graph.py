"""A plain list of layers checked and assembled into a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import is_number
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.layer_fields import (
    Place,
    as_list,
    as_mapping,
    read_fields,
    read_format,
    read_shape,
    shown,
)
from perfmodel.workload.layer_operators import (
    ELSEWHERE,
    OPERATORS,
    Field,
    LayerBuilder,
    LayerOperator,
    show,
)
from perfmodel.workload.layer_sizes import EXPECTED, LIMIT, SizeError, checked_extent
from perfmodel.workload.symbols import Dim, Poly, constant, evaluate
from perfmodel.workload.workload import check_extent

KEYS = ("parameters", "inputs", "layers", "outputs", "unit")
REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class _ParsedLayer:
    """A layer as written: its place, its names, and the layers of a repeat."""

    place: Place
    name: str
    op: str
    inputs: tuple[tuple[str, Place], ...]
    given: Mapping[str, Any]
    inner: tuple[_ParsedLayer, ...] = ()


class Assembly:
    """Checks a plain graph and builds it.

    Parameters
    ----------
    data
        Mapping with the keys `KEYS`.
    dead_branches
        Whether to keep layers whose result reaches no output.
    at_defaults
        Put the defaults in place of the free dimensions, whose extents are else taken to agree.

    Attributes
    ----------
    flaws
        Everything that is wrong.
    parameters
        Free dimensions and their defaults.
    """

    def __init__(
        self, data: Mapping[str, Any], *, dead_branches: bool = True, at_defaults: bool = False
    ) -> None:
        self.flaws: list[Flaw] = []
        self.parameters: dict[str, float] = {}
        self._builder = LayerBuilder("layers")
        self._made: dict[str, Tensor | None] = {}
        self._weights: dict[str, Tensor] = {}
        self._previous = ""
        self._data = data
        self._numeric = at_defaults
        self._unknown_keys()
        self._read_parameters()
        self._read_inputs()
        layers = tuple(self._read_layers(data.get("layers"), ("layers",)))
        self._flat = {layer.name: layer for layer in _walk(layers) if layer.name}
        self._order = {name: i for i, name in enumerate(self._flat)}
        self._duplicates(layers)
        self._cycles(layers)
        outputs = self._outputs(layers)
        kept = None if dead_branches else _needed(layers, [name for name, _ in outputs])
        for layer in layers:
            self._add(layer, kept)
        for name, place in outputs:
            self._output(name, place)

    def graph(self) -> Graph:
        """Return the graph of data without flaws."""
        return self._builder.build(self.parameters)

    # reading

    def _flaw(self, place: Place, message: str, expected: str = "", suggestion: str = "",
              *, on_key: bool = False) -> None:  # fmt: skip
        self.flaws.append(
            Flaw(place, message, "" if suggestion else expected, suggestion, on_key=on_key)
        )

    def _unknown_keys(self) -> None:
        for key in self._data:
            if key not in KEYS:
                self._flaw((key,), f"unknown key '{key}'", one_of(KEYS),
                           nearest(key, KEYS), on_key=True)  # fmt: skip

    def _read_parameters(self) -> None:
        given = self._data.get("parameters")
        parameters = as_mapping(given)
        if parameters is None:
            if given is None:
                return
            self._flaw(("parameters",), f"{shown(given)} is not a mapping", "names and defaults")
            return
        for name, default in parameters.items():
            if not str(name).isidentifier():
                self._flaw(("parameters", name), f"'{name}' is not a name",
                           "letters, digits and underscores", on_key=True)  # fmt: skip
            number = is_number(default)
            faults = [f.message for f in check_extent(name, default)] if number else [
                f"{shown(default)} is not an extent"
            ]  # fmt: skip
            for message in faults:
                self._flaw(("parameters", name), message, "a number from 1")
            self.parameters[str(name)] = 1 if faults else default

    def _read_inputs(self) -> None:
        given = self._data.get("inputs")
        inputs = as_mapping(given)
        if not inputs:
            message = f"{shown(given)} is not a mapping" if given else "no inputs"
            self._flaw(("inputs",), message, "a mapping such as {image: [batch, 3, 32, 32]}")
            return
        for name, value in inputs.items():
            place: Place = ("inputs", name)
            form = as_mapping(value)
            shape, number_format = value, ""
            if form is not None:
                fields = {"shape": Field("shape"), "format": Field("format", "")}
                for key in form:
                    if key not in fields:
                        self._flaw((*place, key), f"unknown key '{key}'", "shape, format",
                                   nearest(key, fields), on_key=True)  # fmt: skip
                for item in read_format(form.get("format", ""), (*place, "format")):
                    self._take(item)
                    number_format = item if isinstance(item, str) else ""
                shape, place = form.get("shape"), (*place, "shape")
            self._made[name] = None
            for item in read_shape(shape, place, self.parameters):
                if not self._take(item):
                    shape = self._extents(item)
                    self._made[name] = self._builder.input(name, shape, format=number_format)
            self._previous = name

    def _extents(self, value: Any) -> Any:
        """Return a field's value, with numbers for its extents where defaults are asked for."""
        if not self._numeric:
            return value
        if isinstance(value, tuple):
            return tuple(map(self._extents, cast("tuple[Any, ...]", value)))
        if not isinstance(value, Poly):
            return value
        number = float(evaluate(value, self.parameters))
        return int(number) if number.is_integer() else number

    def _take(self, item: Any) -> bool:
        """Note a flaw; tell whether it was one."""
        if isinstance(item, Flaw):
            self.flaws.append(item)
            return True
        return False

    def _read_layers(self, given: object, place: Place, depth: int = 0) -> Iterator[_ParsedLayer]:
        layers = as_list(given)
        if not layers:
            message = "no layers" if not given else f"{shown(given)} is not a list"
            self._flaw(place, message, "a list of layers, each with a name and an op")
            return
        for i, item in enumerate(layers):
            here = (*place, i)
            layer = as_mapping(item)
            if layer is None:
                self._flaw(here, f"{shown(item)} is not a layer", "{name: ..., op: ...}")
                continue
            texts: dict[str, str] = {}
            for key in ("name", "op"):
                text = layer.get(key)
                if not isinstance(text, str) or not text:
                    message = f"{shown(text)} is not a text" if key in layer else f"missing '{key}'"
                    self._flaw((*here, key), message, f"the {key} of the layer")
                    text = ""
                texts[key] = text
            rest = {k: v for k, v in layer.items() if k not in ("name", "op", "input", "inputs")}
            inner: tuple[_ParsedLayer, ...] = ()
            if texts["op"] == REPEAT:
                if depth:
                    self._flaw((*here, "op"), "a repeat inside a repeat", "one level of repetition")
                inner = tuple(
                    self._read_layers(rest.pop("layers", None), (*here, "layers"), depth + 1)
                )
            inputs = tuple(self._references(layer, here))
            yield _ParsedLayer(here, texts["name"], texts["op"], inputs, rest, inner)

    def _references(self, layer: Mapping[str, Any], place: Place) -> Iterator[tuple[str, Place]]:
        for key in ("input", "inputs"):
            given = layer.get(key)
            if given is None:
                continue
            if key == "inputs" and "input" in layer:
                self._flaw((*place, key), "both 'input' and 'inputs'", "one of them", on_key=True)
            many = as_list(given)
            for i, name in enumerate([given] if many is None else many):
                here = (*place, key) if many is None else (*place, key, i)
                if isinstance(name, str):
                    yield name, here
                else:
                    self._flaw(here, f"{shown(name)} is not a name", "a layer or an input")

    # structure

    def _duplicates(self, layers: Sequence[_ParsedLayer]) -> None:
        seen: set[str] = set(self._made)
        for layer in _walk(layers):
            if layer.name in seen:
                self._flaw((*layer.place, "name"), f"a second '{layer.name}'", "each name once")
            if layer.name:
                seen.add(layer.name)

    def _cycles(self, layers: Sequence[_ParsedLayer]) -> None:
        """Report each cycle once; a reference to a later layer outside of one is reported too."""
        refers: dict[str, set[str]] = {}
        above = ""
        for layer in _walk(layers):
            names = {name for name, _ in layer.inputs} | {i.name for i in layer.inner[-1:]}
            refers[layer.name] = names or {above}
            above = layer.name
        reported: set[str] = set()
        for layer in _walk(layers):
            for name, place in layer.inputs:
                if name not in self._flat or self._order[name] < self._order.get(layer.name, 0):
                    continue
                path = _path(refers, name, layer.name)
                if path and not reported & set(path):
                    reported |= set(path)
                    cycle = " -> ".join([layer.name, *path])
                    self._flaw(place, f"a cycle: {cycle}", "layers that read what stands above")
                elif not path:
                    self._flaw(place, f"'{name}' is made only later", "a layer that stands above")

    def _outputs(self, layers: Sequence[_ParsedLayer]) -> list[tuple[str, Place]]:
        given = self._data.get("outputs")
        if given is None or given == () or given == []:
            return [(layers[-1].name, ("layers",))] if layers else []
        names = as_list(given)
        if names is None:
            names = [given]
        outputs: list[tuple[str, Place]] = []
        for i, name in enumerate(names):
            if isinstance(name, str) and (name in self._flat or name in self._made):
                outputs.append((name, ("outputs", i)))
            else:
                known = [*self._flat, *self._made]
                self._flaw(("outputs", i), f"no layer is named {shown(name)}", "a layer's name",
                           nearest(str(name), known))  # fmt: skip
        return outputs

    # building

    def _add(self, layer: _ParsedLayer, kept: set[str] | None) -> None:
        if kept is not None and layer.name not in kept:
            return
        if layer.op == REPEAT:
            self._repeat(layer, kept)
        else:
            self._made.setdefault(layer.name, None)
            made = self._operator(layer)
            if made is not None and self._fits(made, layer):
                self._made[layer.name] = made
        self._previous = layer.name

    def _repeat(self, layer: _ParsedLayer, kept: set[str] | None) -> None:
        fields = {"count": Field("extent", 1)}
        before = len(self.flaws)
        values = read_fields(layer.given, fields, layer.place, self.parameters, self.flaws)
        for _, place in layer.inputs:
            self._flaw(place, "a repeat has no inputs of its own", "inputs of its layers")
        read = {name for inner in layer.inner for name, _ in inner.inputs}
        if layer.inner and not layer.inner[0].inputs:
            read.add(self._previous)
        entering = [t for name, t in self._made.items() if name in read and t is not None]
        count = values["count"] if len(self.flaws) == before else 1
        with self._builder.repeat(count, layer.name or REPEAT):
            for inner in layer.inner:
                if inner.op == REPEAT:
                    self._made[inner.name] = None
                else:
                    self._add(inner, kept)
        last = self._made.get(layer.inner[-1].name) if layer.inner else None
        self._made[layer.name] = last
        if last is None or constant(count) == 1:
            return
        if not any(t.shape == last.shape for t in entering):
            shapes = ", ".join(show(t.shape) for t in entering) or "nothing"
            self._flaw(
                layer.place,
                f"its layers read {shapes} and make {show(last.shape)}: they do not chain",
                "an output of the shape of an input",
            )

    def _operator(self, layer: _ParsedLayer) -> Tensor | None:
        """Check one layer and add it; ``None`` when it, or what it reads, has faults."""
        operator = OPERATORS.get(layer.op)
        if operator is None:
            if layer.op:
                known = (*OPERATORS, REPEAT)
                meant = ELSEWHERE.get(layer.op.lower()) or nearest(layer.op, known)
                self._flaw((*layer.place, "op"), f"no operator is named '{layer.op}'",
                           one_of(known), meant)  # fmt: skip
            self._inputs(layer)
            return None
        before = len(self.flaws)
        values = read_fields(layer.given, operator.fields, layer.place, self.parameters, self.flaws)
        inputs = self._inputs(layer)
        least, most = operator.inputs
        if not least <= len(inputs) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            self._flaw(layer.place, f"{len(inputs)} inputs for a {layer.op}", f"{count} inputs")
        ready = [t for t in inputs if t is not None]
        for key, field in operator.fields.items():
            if field.kind == "layer" and values[key] is not None:
                values[key] = self._tied(values[key], (*layer.place, key))
        if len(self.flaws) > before or len(ready) < len(inputs):
            return None
        values = {key: self._extents(value) for key, value in values.items()}
        return self._built(layer, operator, ready, values)

    def _built(
        self, layer: _ParsedLayer, operator: LayerOperator, inputs: Sequence[Tensor],
        values: Mapping[str, Any],
    ) -> Tensor | None:  # fmt: skip
        rank = len(inputs[0].shape)
        if operator.ranks and rank not in operator.ranks:
            ranks = " or ".join(map(str, operator.ranks))
            self._flaw(layer.place, f"a {layer.op} of an input {show(inputs[0].shape)} of rank "
                       f"{rank}", f"an input of rank {ranks}")  # fmt: skip
            return None
        try:
            made = operator.add(self._builder, layer.name, inputs, values)
        except (ValueError, ZeroDivisionError) as error:
            when = " where free dimensions have their defaults" if self._numeric else ""
            shapes = ", ".join(show(t.shape) for t in inputs)
            self._flaw(layer.place, f"shapes do not fit{when}: {error}",
                       f"fields that fit an input {shapes}")  # fmt: skip
            return None
        latest = self._builder.latest
        if latest is not None:
            tensors = self._builder.tensors
            weight = next((n for n in latest.reads if tensors[n].role == "weight"), None)
            if weight is not None:
                self._weights[layer.name] = tensors[weight]
        return made

    def _inputs(self, layer: _ParsedLayer) -> list[Tensor | None]:
        if not layer.inputs:
            return [self._made.get(self._previous)] if self._previous else []
        found: list[Tensor | None] = []
        for name, place in layer.inputs:
            if name in self._made:
                found.append(self._made[name])
                continue
            found.append(None)
            if name not in self._flat:  # a later layer is reported with the cycles
                known = [*self._made, *self._flat]
                self._flaw(place, f"no layer or input is named '{name}'", "one that stands above",
                           nearest(name, known))  # fmt: skip
        return found

    def _tied(self, name: str, place: Place) -> Tensor | None:
        weight = self._weights.get(name)
        if weight is None:
            known = list(self._weights)
            expected = "a layer above that has weights"
            self._flaw(place, f"'{name}' has no weight to share", expected, nearest(name, known))
        return weight

    def _fits(self, made: Tensor, layer: _ParsedLayer) -> bool:
        """Check the extents of a layer's output, at the defaults where they are free."""
        for dim in made.shape:
            value = None
            try:
                checked_extent(dim)
                value = self._at_defaults(dim)
                if value is not None and not (1 <= value <= LIMIT and value == int(value)):
                    raise SizeError(f"extent {dim} is {value:g} at the defaults of the parameters")
            except SizeError as error:
                small = _below(dim) if value is None else value <= LIMIT
                expected = "an input that is large enough" if small else EXPECTED
                self._flaw(layer.place, f"makes {show(made.shape)}: {error}", expected)
                return False
        return True

    def _at_defaults(self, dim: Dim) -> float | None:
        if constant(dim) is not None:
            return None
        return float(evaluate(dim, self.parameters))

    def _output(self, name: str, place: Place) -> None:
        tensor = self._made.get(name)
        if tensor is not None:
            self._builder.output(tensor)
        elif not self.flaws:
            self._flaw(place, f"'{name}' makes nothing")


def _below(dim: Dim) -> bool:
    number = constant(dim)
    return number is None or number < 1


def _walk(layers: Sequence[_ParsedLayer]) -> Iterator[_ParsedLayer]:
    """Yield layers in the order in which they run; a repeat after the layers it holds."""
    for layer in layers:
        yield from _walk(layer.inner)
        yield layer


def _path(refers: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    """Return names from `start` to `goal` along references, empty when there is no way."""
    trail: dict[str, str] = {start: ""}
    pending = [start]
    while pending:
        name = pending.pop()
        if name == goal:
            path = [name]
            while trail[path[-1]]:
                path.append(trail[path[-1]])
            return path[::-1]
        for other in sorted(refers.get(name, ())):
            if other not in trail:
                trail[other] = name
                pending.append(other)
    return []


def _needed(layers: Sequence[_ParsedLayer], outputs: Sequence[str]) -> set[str]:
    """Return the layers that an output depends on."""
    needed = set(outputs)
    flat = list(_walk(layers))
    known = -1
    while known < len(needed):
        known = len(needed)
        for i, layer in enumerate(flat):
            if layer.inner and any(inner.name in needed for inner in layer.inner):
                needed.add(layer.name)
            if layer.name not in needed:
                continue
            needed |= {name for name, _ in layer.inputs}
            needed |= {v for k, v in layer.given.items() if k == "weight" and isinstance(v, str)}
            if layer.inner:
                needed.add(layer.inner[-1].name)
            elif not layer.inputs and i:
                needed.add(flat[i - 1].name)
    return needed
