"""Traversal of Keras models, Sequential or Functional, with nested and shared models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.element_types import ELEMENT_TYPES
from perfmodel.workload.importers.keras import pointwise, products, sequences, shapes
from perfmodel.workload.importers.keras.calls import (
    KerasCallArguments,
    KerasCallOutput,
    calls_of,
    references,
)
from perfmodel.workload.importers.keras.fields import (
    LAYERS,
    Fields,
    LayerError,
    Place,
    is_shape,
    listed,
    mapped,
)
from perfmodel.workload.importers.keras.layer import (
    Handler,
    KerasLayerCall,
    LayerOutput,
    Value,
    class_of,
)
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.pricing import MALFORMED
from perfmodel.workload.importers.trace import Tracer
from perfmodel.workload.symbols import Dim

#: Class of a layer -> function that translates it.
HANDLERS: Final[Mapping[str, Handler]] = {
    name: getattr(module, function.partition(".")[2])
    for module in (products, pointwise, shapes, sequences)
    for function, names in LAYERS["layers"].items()
    if module.__name__.endswith(f".{function.partition('.')[0]}")
    for name in names
}

_MODELS: Final = frozenset({"Sequential", "Functional", "Model"})
_DEEPEST: Final = 16
_FORMATS: Mapping[str, str] = ELEMENT_TYPES["names"]


@dataclass
class Models:
    """Translator of the models of a file, layer by layer, into a trace; collects faults."""

    trace: Tracer = field(default_factory=Tracer)
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    depth: int = 0

    def fault(self, place: Place, message: str, expected: str = "", near: str = "") -> None:
        """Add a fault."""
        self.flaws.append(Flaw(place, message, expected, near))

    def run(
        self, entry: Fields, inputs: list[Value] | None, prefix: str = ""
    ) -> list[Value | None]:
        """Translate a model (``class_name`` and ``config``) and return its outputs.

        Parameters
        ----------
        inputs
            Arguments of a nested model; ``None`` for a model that declares its inputs.
        prefix
            Names of the enclosing models.
        """
        if self.depth >= _DEEPEST:
            self.fault(entry.place, f"models are nested deeper than {_DEEPEST}", "a flatter model")
            return [None]
        config: Any = entry.data.get("config")
        fields, bare = entry.config, isinstance(config, list)
        layers = listed(config if bare else fields.data.get("layers"))
        if not layers:
            self.fault(fields.place, "holds no list of layers", "a Sequential or Functional model")
            return [None]
        entries = self.entries(layers, fields.place if bare else (*fields.place, "layers"))
        if entries is None:
            return [None]
        self.depth += 1
        try:
            if entry.data.get("class_name") == "Sequential" or bare:
                return [self.sequential(entry, fields, entries, inputs, prefix)]
            return self.functional(fields, entries, inputs, prefix)
        finally:
            self.depth -= 1

    def entries(self, layers: list[Any], place: Place) -> list[Fields] | None:
        """Return the layers as fields, or None if any lacks a class or a configuration."""
        fields: list[Fields] = []
        before = len(self.flaws)
        for i, layer in enumerate(layers):
            here = (*place, i)
            if not isinstance(layer, dict):
                self.fault(here, "is no layer", "a mapping with 'class_name' and 'config'")
                continue
            data = cast("dict[str, Any]", layer)
            if not isinstance(data.get("class_name"), str):
                self.fault(here, "has no class", "a 'class_name' such as Dense")
            elif not isinstance(data.get("config"), dict | list):
                self.fault(here, "has no configuration", "a 'config'")
            else:
                fields.append(Fields(data, here))
        return fields if len(self.flaws) == before else None

    # sequential

    def sequential(
        self,
        model: Fields,
        config: Fields,
        entries: list[Fields],
        inputs: list[Value] | None,
        prefix: str,
    ) -> Value | None:
        """Translate a chain of layers and return its output."""
        x: Value | None = inputs[0] if inputs else None
        if inputs is not None and x is None:
            return None
        for i, entry in enumerate(entries):
            if entry.data["class_name"] == "InputLayer":
                x = x or self.input(entry, prefix)
            elif x is None and _is_model(entry):
                x = self.run(entry, None, f"{prefix}{name_of(entry)}.")[0]
            else:
                # A model without an input layer may state the input shape of its build.
                built = mapped(model.data.get("build_config")).get("input_shape")
                built = built or config.data.get("build_input_shape")
                x = x or self.input(entry, prefix, built)
                if x is None:
                    return None
                outputs = self.call(entry, [x], {}, (), prefix, ())
                x = outputs[0] if outputs else None
            if x is None:
                for later in entries[i + 1 :]:
                    self.check(later)
                return None
        return x

    def input(self, entry: Fields, prefix: str, otherwise: object = None) -> Value | None:
        """Declare an input of the network, with the shape that a layer states."""
        config = entry.config.data
        shape: Any = config.get("batch_shape") or config.get("batch_input_shape") or otherwise
        extents = listed(shape)
        if len(extents) == 1:
            extents = listed(extents[0]) or extents
        if shape is None:
            self.fault(
                entry.place,
                "nothing states the shape of the input",
                "a 'batch_shape' or 'batch_input_shape', null where an extent is free",
            )
            return None
        if not extents or not is_shape(extents, 1):
            self.fault(
                entry.place,
                f"{str(extents or shape)[:60]} is no shape of an input",
                "a list of whole numbers, null where an extent is free",
            )
            return None
        format = _FORMATS.get(str(config.get("dtype")), "fp32")
        named = ["batch" if extents[0] is None else extents[0], *extents[1:]]
        return Value(self.trace.input(f"{prefix}{name_of(entry)}", named, format))

    # functional

    def functional(
        self, config: Fields, entries: list[Fields], inputs: list[Value] | None, prefix: str
    ) -> list[Value | None]:
        """Translate a graph of layers and return its outputs."""
        by_name: dict[str, Fields] = {}
        for entry in entries:
            name = name_of(entry)
            if name in by_name:
                self.fault(entry.place, f"'{name}' is the name of two layers", "each name once")
            by_name[name] = entry
        heads = references(config.data.get("input_layers"), by_name)
        tails = references(config.data.get("output_layers"), by_name)
        before = len(self.flaws)
        if not tails:
            place = (*config.place, "output_layers")
            self.fault(place, "names no layer", "the layers that the model returns")
        called = {name: calls_of(entry, by_name, self.flaws) for name, entry in by_name.items()}
        _insert_own_call(by_name, called, tails)
        done: dict[tuple[str, int], list[Value | None]] = {}
        if inputs is not None:
            if len(inputs) < len(heads):
                message = f"is called with {len(inputs)} inputs"
                self.fault(config.place, message, f"{len(heads)} inputs")
            done |= {(h.layer, 0): [value] for h, value in zip(heads, inputs, strict=False)}
        if len(self.flaws) > before:
            return [None]
        stated = {
            r.key: r.shape
            for calls in called.values()
            for c in calls
            for r in c.all
            if r.shape is not None
        }
        for tail in tails:
            self.evaluate(tail, by_name, called, done, stated, prefix)
        return [_picked(done, tail) for tail in tails]

    def evaluate(
        self,
        wanted: KerasCallOutput,
        by_name: Mapping[str, Fields],
        called: Mapping[str, Sequence[KerasCallArguments]],
        done: dict[tuple[str, int], list[Value | None]],
        stated: Mapping[tuple[str, int, int], Sequence[int | None]],
        prefix: str,
    ) -> None:
        """Translate the calls that an output depends on, each once, in depth-first order."""
        stack: list[tuple[str, int, bool]] = [(wanted.layer, wanted.call, False)]
        waiting: set[tuple[str, int]] = set()
        while stack:
            name, index, ready = stack.pop()
            key = (name, index)
            if key in done:
                continue
            entry, calls = by_name[name], called[name]
            if entry.data["class_name"] == "InputLayer":
                done[key] = [self.input(entry, prefix)]
                continue
            if not 0 <= index < len(calls):
                message = f"is called {len(calls)} times; a layer reads call {index}"
                self.fault(entry.place, message, "an index of 'inbound_nodes'")
                done[key] = [None]
                continue
            call = calls[index]
            if not ready:
                if key in waiting:
                    self.fault(entry.place, "waits for itself", "a graph without a cycle")
                    done[key] = [None]
                    continue
                waiting.add(key)
                stack.append((name, index, True))
                stack += [(r.layer, r.call, False) for r in reversed(call.all)]
                continue
            waiting.discard(key)
            picked = [_picked(done, r) for r in call.all]
            values = [value for value in picked if value is not None]
            if len(values) < len(picked):
                self.check(entry)
                done[key] = [None]
                continue
            shapes = [stated.get((name, index, i)) for i in range(8)]
            while len(shapes) > 1 and shapes[-1] is None:
                shapes.pop()
            count = len(call.arguments)
            keywords = dict(zip(call.keywords, values[count:], strict=True))
            arguments = values[:count], keywords, call.constants
            done[key] = list(self.call(entry, *arguments, prefix, shapes))

    # layers

    def call(
        self,
        entry: Fields,
        inputs: list[Value],
        keywords: Mapping[str, Value],
        constants: Sequence[Any],
        prefix: str,
        stated: Sequence[Sequence[int | None] | None],
    ) -> Sequence[Value | None]:
        """Translate one call of a layer or of a nested model."""
        if _is_model(entry):
            return self.run(entry, inputs, f"{prefix}{name_of(entry)}.")
        kind = str(entry.data["class_name"]).rpartition(">")[2]
        name, quantised = class_of(kind)
        called = inputs, keywords, constants, quantised, self.inner
        label = f"{prefix}{name_of(entry)}"
        layer = KerasLayerCall(self.trace, name, label, entry.config, *called)
        shapes = self.shapes(layer, stated)
        try:
            outputs = self.inner(layer)
        except LayerError as error:
            self.flaws += error.flaws
            return [None]
        except (NotPricedError, *MALFORMED) as error:
            fits = name not in HANDLERS or not isinstance(error, NotPricedError)
            reason = "" if fits else str(error)
            if not shapes:
                self.unplaced(entry, kind, reason)
                return [None]
            reason = reason or "no layer of Keras or QKeras that has a price"
            names = [layer.plain(v) for v in inputs]
            return [Value(n) for n in self.trace.unknown(kind, names, shapes, reason, label)]
        return outputs if isinstance(outputs, list) else [outputs]

    def check(self, entry: Fields) -> None:
        """Add the faults of a layer's fields if its inputs could not be translated.

        Limited to layers whose fields have a meaning independent of the inputs.
        """
        name, quantised = class_of(str(entry.data["class_name"]))
        handler = HANDLERS.get(name)
        if handler is None or not isinstance(entry.data["config"], dict):
            return
        if handler.__module__ != products.__name__:
            return
        trace = Tracer()
        axes = next((n for n in (1, 2, 3) if f"{n}D" in name), 0)
        x = Value(trace.input("x", [1, *[64] * axes, 64]))
        try:
            handler(KerasLayerCall(trace, name, "layer", entry.config, [x], quantised=quantised))
        except LayerError as error:
            self.flaws += error.flaws
        except (NotPricedError, *MALFORMED):
            pass  # may be valid with the actual input

    def inner(self, layer: KerasLayerCall) -> LayerOutput:
        """Translate a layer by the handler of its class."""
        return HANDLERS[layer.class_name](layer)

    def unplaced(self, entry: Fields, kind: str, reason: str) -> None:
        """Add the fault of a layer that has neither a price nor a known shape."""
        label = f"{kind} '{name_of(entry)}'"
        if reason:
            self.fault(
                entry.place,
                f"{label} does not fit what it reads: {reason}",
                "an input of the rank and size that its fields ask for",
            )
            return
        meant = nearest(kind, [n for n in HANDLERS if n not in {kind, "TFOpLambda"}], cutoff=0.8)
        self.fault(
            entry.place,
            f"{label} has no price, and the shape of its output is not known",
            "" if meant else "a layer of Keras, or a file of Keras 3, which states shapes",
            meant,
        )

    def shapes(
        self, layer: KerasLayerCall, stated: Sequence[Sequence[int | None] | None]
    ) -> list[list[Dim] | None]:
        """Return the output shapes that the file states, with symbols for free extents."""
        extents = layer.fields.data.get("output_shape")
        if not any(stated) and layer.class_name == "Lambda" and isinstance(extents, list):
            rows = listed(cast("object", extents))
            if is_shape(rows, 1):
                stated = [[None, *rows]]
        known: list[list[Dim] | None] = []
        for shape in stated:
            dims = [
                self.free(layer, axis) if extent is None else extent
                for axis, extent in enumerate(shape or ())
            ]
            fixed = [dim for dim in dims if dim is not None]
            known.append(None if shape is None or len(fixed) < len(dims) else fixed)
        return known if known and known[0] is not None else []

    def free(self, layer: KerasLayerCall, axis: int) -> Dim | None:
        """Return the symbolic extent of an input at an axis that the file does not fix."""
        extents = (shape[axis] for shape in map(layer.shape, layer.inputs) if axis < len(shape))
        return next((extent for extent in extents if not isinstance(extent, int)), None)


def name_of(entry: Fields) -> str:
    """Return the name of a layer."""
    stated = entry.config.data.get("name"), entry.data.get("name")
    names = (name for name in stated if isinstance(name, str) and name)
    return next(names, str(entry.data["class_name"]).lower())


def _is_model(entry: Fields) -> bool:
    inside = entry.data["config"], entry.config.data.get("layers")
    kind = entry.data["class_name"]
    return any(isinstance(layers, list) for layers in inside) and (
        kind in _MODELS or kind not in HANDLERS
    )


def _insert_own_call(
    by_name: Mapping[str, Fields],
    called: Mapping[str, list[KerasCallArguments]],
    tails: Sequence[KerasCallOutput],
) -> None:
    """Insert the missing first call of nested models whose calls the file counts from 1.

    Keras 2 omits the call by which a model with an input layer was built.
    """
    read: dict[str, set[int]] = {}
    for reference in (*tails, *(r for calls in called.values() for c in calls for r in c.all)):
        read.setdefault(reference.layer, set()).add(reference.call)
    for name, entry in by_name.items():
        indices = read.get(name, set())
        if indices and min(indices) == 1 and max(indices) == len(called[name]) and _is_model(entry):
            called[name].insert(0, KerasCallArguments())


def _picked(
    done: Mapping[tuple[str, int], list[Value | None]], reference: KerasCallOutput
) -> Value | None:
    values = done.get((reference.layer, reference.call), [None])
    return values[reference.tensor] if 0 <= reference.tensor < len(values) else None
