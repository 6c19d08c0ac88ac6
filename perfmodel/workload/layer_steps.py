"""Parser of the steps of a template: layers, blocks, loops, conditions, phases, variables.

A step is a layer ``{name, op, ...}``, a call of a block (``op`` is the block's name), or one of
the forms that contain layers: ``{op: repeat, count, layers}``, ``{for, in, layers}``,
``{when, layers, else}``, ``{phase, count, layers}``; ``{let: {name: value}}`` sets variables. Steps
are parsed once, with their source locations, and run by `TemplateInterpreter` for many values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from perfmodel.errors import nearest, one_of
from perfmodel.workload.layer_declarations import Field, FieldKind, parse_field
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import FlawList, Place, PreparedFields, as_list, as_mapping

REPEAT: Final = "repeat"
#: Pseudo-operator that renames its input.
SAME: Final = "same"
#: Keys that any step may have in addition to the fields of its operator.
_COMMON: Final = ("name", "op", "input", "inputs", "when", "collect", "label")
_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "let": ("let",),
    "phase": ("phase", "count", "prefix", "layers"),
    "for": ("for", "in", "index", "layers", "when", "collect"),
    "when": ("when", "layers", "else", "collect"),
}


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A step as written.

    Attributes
    ----------
    place, number
        Source location, and position among the steps of its block.
    form
        ``layer``, ``repeat``, ``phase``, ``let``, ``for`` or ``when``.
    name, op, label
        Texts, which may contain expressions in braces.
    inputs
        References to results, and their source locations.
    raw
        The other keys.
    inner, otherwise
        Steps that it contains; steps for a condition that is false.
    prepared
        Fields that were read once for all runs.
    """

    place: Place
    number: int
    form: str
    name: str = ""
    op: str = ""
    label: str | None = None
    inputs: tuple[tuple[str, Place], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any])
    when: Any = None
    collect: str = ""
    inner: tuple[LayerStep, ...] = ()
    otherwise: tuple[LayerStep, ...] = ()
    prepared: dict[int, PreparedFields] = field(default_factory=dict[int, PreparedFields])


@dataclass(frozen=True, slots=True)
class LayerBlock:
    """A named list of layers with inputs and parameters; also used for the network itself.

    Attributes
    ----------
    inputs
        Names of its inputs; its first layer reads the first.
    fields
        Its parameters.
    steps
        Its layers.
    order
        Position of each layer whose name contains no expression.
    takes_rest
        Whether the last input is a list of all remaining inputs.
    """

    inputs: tuple[str, ...]
    fields: Mapping[str, Field]
    steps: tuple[LayerStep, ...]
    order: Mapping[str, int]
    takes_rest: bool = False


class StepReader:
    """Parser of lists of layers; flaws of their form go to `flaws`."""

    def __init__(self, flaws: FlawList) -> None:
        self.flaws = flaws
        self._count = 0

    def block(self, layers: object, place: Place, *, named: bool) -> LayerBlock:
        """Return a block without inputs and parameters; `named` requires a name for each layer."""
        self._count = 0
        steps = tuple(self._steps(layers, place, named=named))
        order = {s.name: s.number for s in walk(steps) if s.name and "{" not in s.name}
        return LayerBlock((), {}, steps, order)

    def blocks(self, raw: object) -> dict[str, LayerBlock]:
        """Return the blocks of a graph by name."""
        blocks = self.flaws.mapping({} if raw is None else raw, ("blocks",), "names and blocks")
        return {
            str(name): content
            for name, block in blocks.items()
            if (content := self._block(block, ("blocks", name))) is not None
        }

    def _block(self, raw: object, place: Place) -> LayerBlock | None:
        """Parse one named block: its inputs, parameters and layers."""
        block = as_mapping(raw)
        if block is None:
            self.flaws.note(place, f"{shown(raw)} is not a block", "{inputs: [x], layers: [...]}")
            return None
        self.flaws.unknown_keys(block, ("inputs", "takes", "layers", "doc"), place)
        inputs = [str(name) for name in as_list(block.get("inputs", ("x",))) or ()]
        many = bool(inputs) and inputs[-1].startswith("*")
        content = self.block(block.get("layers"), (*place, "layers"), named=False)
        fields = dict(self._takes(block.get("takes", {}), (*place, "takes")))
        names = tuple(name.removeprefix("*") for name in inputs)
        return LayerBlock(names, fields, content.steps, content.order, many)

    def _takes(self, raw: object, place: Place) -> Iterator[tuple[str, Field]]:
        """Yield the parameters of a block: ``{channels: extent, kernel: {wholes: 3}}``."""
        for name, form in self.flaws.mapping(raw, place, "names and kinds").items():
            try:
                yield name, parse_field(form, least=0)
            except ValueError as error:
                kinds, kind = get_args(FieldKind), error.args[0]
                message = f"no kind of value is named {shown(kind)}"
                self.flaws.note((*place, name), message, one_of(kinds), nearest(str(kind), kinds))

    def _steps(
        self, raw: object, place: Place, *, named: bool, repeated: bool = False
    ) -> Iterator[LayerStep]:
        """Yield the steps of a list of layers."""
        layers = as_list(raw)
        if not layers:
            message = "no layers" if not raw else f"{shown(raw)} is not a list"
            self.flaws.note(place, message, "a list of layers, each with a name and an op")
            return
        for i, item in enumerate(layers):
            here = (*place, i)
            layer = as_mapping(item)
            if layer is None:
                self.flaws.note(here, f"{shown(item)} is not a layer", "{name: ..., op: ...}")
                continue
            form = next((key for key in _FORMS if key in layer), "layer")
            if form == "when" and "op" in layer:
                form = "layer"
            yield (self._layer if form == "layer" else self._form)(
                layer, here, form, named, repeated
            )

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _form(
        self, layer: Mapping[str, Any], place: Place, form: str, named: bool, repeated: bool
    ) -> LayerStep:
        """Parse a step that contains layers or sets variables."""
        self.flaws.unknown_keys(layer, _FORMS[form], place)
        nested: dict[str, tuple[LayerStep, ...]] = {"layers": (), "else": ()}
        for key in nested:
            if key in layer or (key == "layers" and form != "let"):
                nested[key] = tuple(
                    self._steps(layer.get(key), (*place, key), named=named, repeated=repeated)
                )
        raw: dict[str, Any] = {
            key: value
            for key, value in layer.items()
            if key not in ("layers", "else", "when", "collect")
        }
        if form == "for" and "in" not in layer:
            self.flaws.note(
                place, "missing key 'in'", "a number, a list or an expression", on_key=True
            )
        if form == "let":
            raw["let"] = self.flaws.mapping(layer["let"], (*place, "let"), "names and values")
        return LayerStep(
            place,
            self._number(),
            form,
            raw=raw,
            when=layer.get("when"),
            collect=self._text(layer, "collect", place),
            inner=nested["layers"],
            otherwise=nested["else"],
        )

    def _text(self, layer: Mapping[str, Any], key: str, place: Place) -> str:
        """Return an optional text of a layer; a flaw if it is not a text."""
        text = layer.get(key, "")
        if not isinstance(text, str):
            self.flaws.note(
                (*place, key), f"{shown(text)} is not a text", f"the {key} of the layer"
            )
            return ""
        return text

    def _layer(
        self, layer: Mapping[str, Any], place: Place, form: str, named: bool, repeated: bool
    ) -> LayerStep:
        """Parse a layer, a call of a block, or a repeat."""
        texts: dict[str, str] = {}
        for key in ("name", "op"):
            needed = key == "op" or (named and "label" not in layer)
            if key not in layer and not needed:
                texts[key] = ""
                continue
            text = layer.get(key)
            if not isinstance(text, str) or not text:
                message = f"{shown(text)} is not a text" if key in layer else f"missing '{key}'"
                self.flaws.note((*place, key), message, f"the {key} of the layer")
                text = ""
            texts[key] = text
        raw = {k: v for k, v in layer.items() if k not in _COMMON}
        inner: tuple[LayerStep, ...] = ()
        if texts["op"] == REPEAT:
            form = REPEAT
            if repeated:
                self.flaws.note(
                    (*place, "op"), "a repeat inside a repeat", "one level of repetition"
                )
            inner = tuple(
                self._steps(raw.pop("layers", None), (*place, "layers"), named=named, repeated=True)
            )
        label = self._text(layer, "label", place) if "label" in layer else None
        inputs = tuple(self._references(layer, place))
        return LayerStep(
            place,
            self._number(),
            form,
            texts["name"],
            texts["op"],
            label,
            inputs,
            raw,
            layer.get("when"),
            self._text(layer, "collect", place),
            inner,
        )

    def _references(self, layer: Mapping[str, Any], place: Place) -> Iterator[tuple[str, Place]]:
        """Yield the references to inputs of a layer with their locations."""
        for key in ("input", "inputs"):
            raw = layer.get(key)
            if raw is None:
                continue
            if key == "inputs" and "input" in layer:
                self.flaws.note(
                    (*place, key), "both 'input' and 'inputs'", "one of them", on_key=True
                )
            many = as_list(raw)
            for i, name in enumerate([raw] if many is None else many):
                here = (*place, key) if many is None else (*place, key, i)
                if isinstance(name, str):
                    yield name, here
                else:
                    self.flaws.note(here, f"{shown(name)} is not a name", "a layer or an input")


def walk(steps: Sequence[LayerStep]) -> Iterator[LayerStep]:
    """Yield steps in order of execution; a step that contains others follows them."""
    for step in steps:
        yield from walk(step.inner)
        yield from walk(step.otherwise)
        yield step
