"""Traversal of Keras models, Sequential or Functional, with nested and shared models.

A Sequential model is a chain; a Functional one is a graph whose calls are translated depth first
from its outputs, each call once. A layer that is called twice shares its weights. Layers are
translated by `HANDLERS`; one without a price keeps the shape that the file states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.element_types import ELEMENT_TYPES
from perfmodel.workload.importers.keras import (
    dense_convolution,
    pointwise,
    recurrent_attention,
    reshaping,
)
from perfmodel.workload.importers.keras.functional_graph import (
    FunctionalGraph,
    insert_building_calls,
)
from perfmodel.workload.importers.keras.layer_calls import (
    KerasCallOutput,
    output_references,
    read_calls,
)
from perfmodel.workload.importers.keras.layer_fields import (
    LAYERS,
    LayerError,
    LayerFields,
    Place,
    as_list,
    as_mapping,
    is_shape,
)
from perfmodel.workload.importers.keras.layer_translation import (
    Handler,
    KerasLayerCall,
    KerasValue,
    LayerOutput,
    split_qkeras_prefix,
)
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS
from perfmodel.workload.importers.onnx_tracer import Tracer
from perfmodel.workload.symbols import Dim

#: Class of a layer -> function that translates it.
HANDLERS: Final[Mapping[str, Handler]] = {
    name: getattr(module, function.partition(".")[2])
    for module in (dense_convolution, pointwise, reshaping, recurrent_attention)
    for function, names in LAYERS["layers"].items()
    if module.__name__.endswith(f".{function.partition('.')[0]}")
    for name in names
}

_MODELS: Final = frozenset({"Sequential", "Functional", "Model"})
_DEEPEST: Final = 16
_FORMATS: Mapping[str, str] = ELEMENT_TYPES["names"]


@dataclass
class ModelTranslator:
    """Translator of the models of a file, layer by layer, into a trace; collects faults."""

    trace: Tracer = field(default_factory=Tracer)
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    depth: int = 0

    def fault(self, place: Place, message: str, expected: str = "", near: str = "") -> None:
        """Add a fault."""
        self.flaws.append(Flaw(place, message, expected, near))

    def translate_model(
        self, entry: LayerFields, inputs: list[KerasValue] | None, prefix: str = ""
    ) -> list[KerasValue | None]:
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
        fields, is_list = entry.config, isinstance(config, list)
        layers = as_list(config if is_list else fields.data.get("layers"))
        if not layers:
            self.fault(fields.place, "holds no list of layers", "a Sequential or Functional model")
            return [None]
        entries = self.layer_entries(layers, fields.place if is_list else (*fields.place, "layers"))
        if entries is None:
            return [None]
        self.depth += 1
        try:
            if entry.data.get("class_name") == "Sequential" or is_list:
                return [self.translate_sequential(entry, fields, entries, inputs, prefix)]
            return self.translate_functional(fields, entries, inputs, prefix)
        finally:
            self.depth -= 1

    def layer_entries(self, layers: list[Any], place: Place) -> list[LayerFields] | None:
        """Return the layers as fields, or None if any lacks a class or a configuration."""
        fields: list[LayerFields] = []
        before = len(self.flaws)
        for i, layer in enumerate(layers):
            here = (*place, i)
            if not isinstance(layer, dict):
                self.fault(here, "is not a layer", "a mapping with 'class_name' and 'config'")
                continue
            data = cast("dict[str, Any]", layer)
            if not isinstance(data.get("class_name"), str):
                self.fault(here, "has no class", "a 'class_name' such as Dense")
            elif not isinstance(data.get("config"), dict | list):
                self.fault(here, "has no configuration", "a 'config'")
            else:
                fields.append(LayerFields(data, here))
        return fields if len(self.flaws) == before else None

    # sequential

    def translate_sequential(
        self,
        model: LayerFields,
        config: LayerFields,
        entries: list[LayerFields],
        inputs: list[KerasValue] | None,
        prefix: str,
    ) -> KerasValue | None:
        """Translate a chain of layers and return its output."""
        x: KerasValue | None = inputs[0] if inputs else None
        if inputs is not None and x is None:
            return None
        for i, entry in enumerate(entries):
            if entry.data["class_name"] == "InputLayer":
                x = x or self.declare_input(entry, prefix)
            elif x is None and _is_model(entry):
                x = self.translate_model(entry, None, f"{prefix}{name_of(entry)}.")[0]
            else:
                # A model without an input layer may state the input shape of its build.
                built = as_mapping(model.data.get("build_config")).get("input_shape")
                built = built or config.data.get("build_input_shape")
                x = x or self.declare_input(entry, prefix, built)
                if x is None:
                    return None
                outputs = self.translate_call(entry, [x], {}, (), prefix, ())
                x = outputs[0] if outputs else None
            if x is None:
                for later in entries[i + 1 :]:
                    self.check_fields(later)
                return None
        return x

    def declare_input(
        self, entry: LayerFields, prefix: str, otherwise: object = None
    ) -> KerasValue | None:
        """Declare an input of the network, with the shape that a layer states."""
        config = entry.config.data
        shape: Any = config.get("batch_shape") or config.get("batch_input_shape") or otherwise
        extents = as_list(shape)
        if len(extents) == 1:
            extents = as_list(extents[0]) or extents
        if shape is None:
            self.fault(
                entry.place,
                "the shape of the input is not stated",
                "a 'batch_shape' or 'batch_input_shape', null where an extent is free",
            )
            return None
        if not extents or not is_shape(extents, 1):
            self.fault(
                entry.place,
                f"{str(extents or shape)[:60]} is not a shape of an input",
                "a list of whole numbers, null where an extent is free",
            )
            return None
        format = _FORMATS.get(str(config.get("dtype")), "fp32")
        named = ["batch" if extents[0] is None else extents[0], *extents[1:]]
        return KerasValue(self.trace.input(f"{prefix}{name_of(entry)}", named, format))

    # functional

    def translate_functional(
        self,
        config: LayerFields,
        entries: list[LayerFields],
        inputs: list[KerasValue] | None,
        prefix: str,
    ) -> list[KerasValue | None]:
        """Translate a graph of layers and return its outputs."""
        by_name: dict[str, LayerFields] = {}
        for entry in entries:
            name = name_of(entry)
            if name in by_name:
                self.fault(entry.place, f"'{name}' is the name of two layers", "each name once")
            by_name[name] = entry
        heads = output_references(config.data.get("input_layers"), by_name)
        tails = output_references(config.data.get("output_layers"), by_name)
        before = len(self.flaws)
        if not tails:
            place = (*config.place, "output_layers")
            self.fault(place, "names no layer", "the layers that the model returns")
        calls = {name: read_calls(entry, by_name, self.flaws) for name, entry in by_name.items()}
        insert_building_calls(calls, tails, {n for n, entry in by_name.items() if _is_model(entry)})
        graph = FunctionalGraph(by_name, calls)
        if inputs is not None:
            if len(inputs) < len(heads):
                message = f"is called with {len(inputs)} inputs"
                self.fault(config.place, message, f"{len(heads)} inputs")
            for head, value in zip(heads, inputs, strict=False):
                graph.outputs[head.layer, 0] = [value]
        if len(self.flaws) > before:
            return [None]
        for tail in tails:
            self.translate_calls_of(tail, graph, prefix)
        return list(map(graph.value, tails))

    def translate_calls_of(
        self, output: KerasCallOutput, graph: FunctionalGraph, prefix: str
    ) -> None:
        """Translate the calls that an output depends on, each once, in depth-first order."""
        stack: list[tuple[str, int, bool]] = [(output.layer, output.call, False)]
        in_progress: set[tuple[str, int]] = set()
        while stack:
            name, index, ready = stack.pop()
            key = (name, index)
            if key in graph.outputs:
                continue
            entry, calls = graph.layers[name], graph.calls[name]
            if entry.data["class_name"] == "InputLayer":
                graph.outputs[key] = [self.declare_input(entry, prefix)]
                continue
            if not 0 <= index < len(calls):
                message = f"is called {len(calls)} times; a layer reads call {index}"
                self.fault(entry.place, message, "an index of 'inbound_nodes'")
                graph.outputs[key] = [None]
                continue
            call = calls[index]
            if not ready:
                if key in in_progress:
                    self.fault(entry.place, "depends on itself", "a graph without a cycle")
                    graph.outputs[key] = [None]
                    continue
                in_progress.add(key)
                stack.append((name, index, True))
                stack += [(r.layer, r.call, False) for r in reversed(call.all)]
                continue
            in_progress.discard(key)
            read_values = list(map(graph.value, call.all))
            values = [value for value in read_values if value is not None]
            if len(values) < len(read_values):
                self.check_fields(entry)
                graph.outputs[key] = [None]
                continue
            count = len(call.arguments)
            keywords = dict(zip(call.keywords, values[count:], strict=True))
            arguments = values[:count], keywords, call.constants
            shapes = graph.stated_shapes(name, index)
            graph.outputs[key] = list(self.translate_call(entry, *arguments, prefix, shapes))

    # layers

    def translate_call(
        self,
        entry: LayerFields,
        inputs: list[KerasValue],
        keywords: Mapping[str, KerasValue],
        constants: Sequence[Any],
        prefix: str,
        stated: Sequence[Sequence[int | None] | None],
    ) -> Sequence[KerasValue | None]:
        """Translate one call of a layer or of a nested model."""
        if _is_model(entry):
            return self.translate_model(entry, inputs, f"{prefix}{name_of(entry)}.")
        kind = str(entry.data["class_name"]).rpartition(">")[2]
        name, quantised = split_qkeras_prefix(kind)
        called = inputs, keywords, constants, quantised, self.translate_layer
        label = f"{prefix}{name_of(entry)}"
        layer = KerasLayerCall(self.trace, name, label, entry.config, *called)
        shapes = self.stated_shapes(layer, stated)
        try:
            outputs = self.translate_layer(layer)
        except LayerError as error:
            self.flaws += error.flaws
            return [None]
        except (NotPricedError, *MALFORMED_NODE_ERRORS) as error:
            fits = name not in HANDLERS or not isinstance(error, NotPricedError)
            reason = "" if fits else str(error)
            if not shapes:
                self.record_unknown_shape(entry, kind, reason)
                return [None]
            reason = reason or "no layer of Keras or QKeras that has a price"
            names = [layer.in_keras_order(v) for v in inputs]
            return [
                KerasValue(n) for n in self.trace.add_unpriced(kind, names, shapes, reason, label)
            ]
        return outputs if isinstance(outputs, list) else [outputs]

    def check_fields(self, entry: LayerFields) -> None:
        """Add the faults of a layer's fields if its inputs could not be translated.

        Limited to layers whose fields have a meaning independent of the inputs.
        """
        name, quantised = split_qkeras_prefix(str(entry.data["class_name"]))
        handler = HANDLERS.get(name)
        if handler is None or not isinstance(entry.data["config"], dict):
            return
        if handler.__module__ != dense_convolution.__name__:
            return
        trace = Tracer()
        axes = next((n for n in (1, 2, 3) if f"{n}D" in name), 0)
        x = KerasValue(trace.input("x", [1, *[64] * axes, 64]))
        try:
            handler(KerasLayerCall(trace, name, "layer", entry.config, [x], is_quantised=quantised))
        except LayerError as error:
            self.flaws += error.flaws
        except (NotPricedError, *MALFORMED_NODE_ERRORS):
            pass  # may be valid with the actual input

    def translate_layer(self, layer: KerasLayerCall) -> LayerOutput:
        """Translate a layer by the handler of its class."""
        return HANDLERS[layer.class_name](layer)

    def record_unknown_shape(self, entry: LayerFields, kind: str, reason: str) -> None:
        """Add the fault of a layer that has neither a price nor a known shape."""
        label = f"{kind} '{name_of(entry)}'"
        if reason:
            self.fault(
                entry.place,
                f"{label} does not fit what it reads: {reason}",
                "an input of the rank and size that its fields ask for",
            )
            return
        suggestion = nearest(
            kind, [n for n in HANDLERS if n not in {kind, "TFOpLambda"}], cutoff=0.8
        )
        self.fault(
            entry.place,
            f"{label} has no price, and the shape of its output is not known",
            "" if suggestion else "a layer of Keras, or a file of Keras 3, which states shapes",
            suggestion,
        )

    def stated_shapes(
        self, layer: KerasLayerCall, stated: Sequence[Sequence[int | None] | None]
    ) -> list[list[Dim] | None]:
        """Return the output shapes that the file states, with symbols for free extents."""
        extents = layer.fields.data.get("output_shape")
        if not any(stated) and layer.class_name == "Lambda" and isinstance(extents, list):
            rows = as_list(cast("object", extents))
            if is_shape(rows, 1):
                stated = [[None, *rows]]
        known: list[list[Dim] | None] = []
        for shape in stated:
            dims = [
                self.free_extent(layer, axis) if extent is None else extent
                for axis, extent in enumerate(shape or ())
            ]
            fixed = [dim for dim in dims if dim is not None]
            known.append(None if shape is None or len(fixed) < len(dims) else fixed)
        return known if known and known[0] is not None else []

    def free_extent(self, layer: KerasLayerCall, axis: int) -> Dim | None:
        """Return the symbolic extent of an input at an axis that the file does not fix."""
        extents = (shape[axis] for shape in map(layer.shape, layer.inputs) if axis < len(shape))
        return next((extent for extent in extents if not isinstance(extent, int)), None)


def name_of(entry: LayerFields) -> str:
    """Return the name of a layer."""
    stated = entry.config.data.get("name"), entry.data.get("name")
    names = (name for name in stated if isinstance(name, str) and name)
    return next(names, str(entry.data["class_name"]).lower())


def _is_model(entry: LayerFields) -> bool:
    """Return whether an entry is a nested model."""
    inside = entry.data["config"], entry.config.data.get("layers")
    kind = entry.data["class_name"]
    return any(isinstance(layers, list) for layers in inside) and (
        kind in _MODELS or kind not in HANDLERS
    )
