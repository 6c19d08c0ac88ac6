"""Which layer of a Keras model reads what: Sequential and Functional models, nested and shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from perfmodel.errors import nearest
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.importers.keras import pointwise, products, sequences, shapes
from perfmodel.workload.importers.keras.calls import (
    KerasCallArguments,
    KerasCallOutput,
    calls_of,
    references,
)
from perfmodel.workload.importers.keras.fields import Fields, LayerError, Place, listed
from perfmodel.workload.importers.keras.layer import Handler, KerasLayerCall, Made, Value
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.pricing import MALFORMED
from perfmodel.workload.importers.trace import TooLargeError, Tracer
from perfmodel.workload.symbols import Dim

HANDLERS: Mapping[str, Handler] = {
    **products.HANDLERS, **pointwise.HANDLERS, **shapes.HANDLERS, **sequences.HANDLERS,
}  # fmt: skip

_MODELS: Final = frozenset({"Sequential", "Functional", "Model"})
_DEEPEST: Final = 16
_FORMATS: Mapping[str, str] = {
    "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64", "int8": "int8",
    "uint8": "uint8", "int16": "int16", "int32": "int32", "int64": "int64", "bool": "bool",
    "string": "string",
}  # fmt: skip


@dataclass
class Models:
    """Runs the models of a file, layer by layer, into a trace; faults are gathered."""

    trace: Tracer = field(default_factory=Tracer)
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    depth: int = 0

    def fault(self, place: Place, message: str, expected: str = "", near: str = "") -> None:
        """Add a fault."""
        self.flaws.append(Flaw(place, message, expected, near))

    def run(
        self, entry: Fields, inputs: list[Value] | None, prefix: str = ""
    ) -> list[Value | None]:
        """Write a model, ``class_name`` and ``config``, and return what it makes.

        Parameters
        ----------
        inputs
            What a nested model is called with; ``None`` for a model with inputs of its own.
        prefix
            Names of the models around it.
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
        """Return the layers as fields, if each is a class and a configuration."""
        found: list[Fields] = []
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
                found.append(Fields(data, here))
        return found if len(self.flaws) == before else None

    # sequential

    def sequential(
        self, model: Fields, config: Fields, entries: list[Fields], inputs: list[Value] | None,
        prefix: str,
    ) -> Value | None:  # fmt: skip
        """Write layers one after the other."""
        x: Value | None = inputs[0] if inputs else None
        if inputs is not None and x is None:
            return None
        for i, entry in enumerate(entries):
            kind = str(entry.data["class_name"])
            if kind == "InputLayer":
                x = self.input(entry, prefix) if x is None else x
            elif x is None and _is_model(entry):
                made = self.run(entry, None, f"{prefix}{name_of(entry)}.")
                x = made[0]
            else:
                if x is None:
                    x = self.input(entry, prefix, self.build_shape(model, config))
                if x is None:
                    return None
                made = self.call(entry, [x], {}, (), prefix, ())
                x = made[0] if made else None
            if x is None:
                for later in entries[i + 1 :]:
                    self.check(later)
                return None
        return x

    def build_shape(self, model: Fields, config: Fields) -> object:
        """Return the shape that a model without an input layer was built with."""
        built: Any = model.data.get("build_config")
        if isinstance(built, dict):
            return cast("dict[str, Any]", built).get("input_shape")
        return config.data.get("build_input_shape")

    def input(self, entry: Fields, prefix: str, otherwise: object = None) -> Value | None:
        """Declare an input of the network from the layer that states its shape."""
        config = entry.config
        shape: Any = next((config.data[k] for k in ("batch_shape", "batch_input_shape")
                           if config.has(k)), otherwise)  # fmt: skip
        given: object = shape
        extents = listed(shape)
        if len(extents) == 1 and isinstance(extents[0], list):
            extents = cast("list[Any]", extents[0])
        if shape is None:
            self.fault(
                entry.place, "nothing states the shape of the input",
                "a 'batch_shape' or 'batch_input_shape', null where an extent is free",
            )  # fmt: skip
            return None
        good = 1 <= len(extents) <= 8 and all(
            d is None or (isinstance(d, int) and not isinstance(d, bool) and 0 < d <= 2**31)
            for d in extents
        )
        if not good:
            self.fault(entry.place, f"{str(extents or given)[:60]} is no shape of an input",
                       "a list of whole numbers, null where an extent is free")  # fmt: skip
            return None
        dtype = config.data.get("dtype")
        format = _FORMATS.get(dtype, "fp32") if isinstance(dtype, str) else "fp32"
        named = [
            ("batch" if i == 0 else None) if d is None else int(d) for i, d in enumerate(extents)
        ]
        return Value(self.trace.input(f"{prefix}{name_of(entry)}", named, format))

    # functional

    def functional(
        self, config: Fields, entries: list[Fields], inputs: list[Value] | None, prefix: str
    ) -> list[Value | None]:
        """Write what the outputs of a graph of layers wait for."""
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
            self.fault((*config.place, "output_layers"), "names no layer",
                       "the layers that the model returns")  # fmt: skip
        called = {name: calls_of(entry, by_name, self.flaws) for name, entry in by_name.items()}
        _skip_own(by_name, called, tails)
        done: dict[tuple[str, int], list[Value | None]] = {}
        if inputs is not None:
            if len(inputs) < len(heads):
                self.fault(config.place, f"is called with {len(inputs)} inputs",
                           f"{len(heads)} inputs")  # fmt: skip
            for head, value in zip(heads, inputs, strict=False):
                done[head.layer, 0] = [value]
        if len(self.flaws) > before:
            return [None]
        stated = {
            r.key: r.shape for calls in called.values() for c in calls for r in c.all
            if r.shape is not None
        }  # fmt: skip
        for tail in tails:
            self.evaluate(tail, by_name, called, done, stated, prefix)
        made: list[Value | None] = []
        for tail in tails:
            values = done.get((tail.layer, tail.call), [None])
            made.append(values[tail.tensor] if 0 <= tail.tensor < len(values) else None)
        return made

    def evaluate(
        self,
        wanted: KerasCallOutput,
        by_name: Mapping[str, Fields],
        called: Mapping[str, Sequence[KerasCallArguments]],
        done: dict[tuple[str, int], list[Value | None]],
        stated: Mapping[tuple[str, int, int], Sequence[int | None]],
        prefix: str,
    ) -> None:
        """Run the layers that a value waits for, each call once."""
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
                self.fault(entry.place, f"is called {len(calls)} times; a layer reads call {index}",
                           "an index of 'inbound_nodes'")  # fmt: skip
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
            values = [_picked(done, r) for r in call.arguments]
            keywords = {k: _picked(done, r) for k, r in call.keywords.items()}
            if any(v is None for v in (*values, *keywords.values())):
                self.check(entry)
                done[key] = [None]
                continue
            shapes = [stated.get((name, index, i)) for i in range(8)]
            while len(shapes) > 1 and shapes[-1] is None:
                shapes.pop()
            done[key] = list(
                self.call(
                    entry, [v for v in values if v is not None],
                    {k: v for k, v in keywords.items() if v is not None}, call.constants, prefix,
                    shapes,
                )
            )  # fmt: skip

    # layers

    def call(
        self, entry: Fields, inputs: list[Value], keywords: Mapping[str, Value],
        constants: Sequence[Any], prefix: str, stated: Sequence[Sequence[int | None] | None],
    ) -> Sequence[Value | None]:  # fmt: skip
        """Write one call of a layer or of a nested model."""
        if _is_model(entry):
            return self.run(entry, inputs, f"{prefix}{name_of(entry)}.")
        kind = str(entry.data["class_name"]).rpartition(">")[2]
        quantised = kind.startswith("Q") and kind[1:2].isupper()
        layer = KerasLayerCall(
            self.trace, kind[1:] if quantised else kind, f"{prefix}{name_of(entry)}", entry.config,
            inputs, keywords, constants, quantised, run=self.inner,
        )  # fmt: skip
        shapes = self.shapes(layer, stated)
        known = HANDLERS.get(layer.class_name)
        try:
            made = self.inner(layer)
        except LayerError as error:
            self.flaws += error.flaws
            return [None]
        except TooLargeError:
            raise
        except (NotPricedError, *MALFORMED) as error:
            if not shapes:
                self.unplaced(entry, kind, known is not None, error)
                return [None]
            reason = str(error) if known is not None and isinstance(error, NotPricedError) else (
                "no layer of Keras or QKeras that has a price")  # fmt: skip
            names = [layer.plain(v) for v in inputs]
            return [Value(n) for n in self.trace.unknown(kind, names, shapes, reason, layer.name)]
        return made if isinstance(made, list) else [made]

    def check(self, entry: Fields) -> None:
        """Add the faults of a layer's own fields, where what it reads is at fault already.

        Only of layers whose fields mean the same whatever they read.
        """
        kind = str(entry.data["class_name"])
        quantised = kind.startswith("Q") and kind[1:2].isupper()
        handler = products.HANDLERS.get(kind[1:] if quantised else kind)
        if handler is None or not isinstance(entry.data["config"], dict):
            return
        trace = Tracer()
        axes = next((n for n in (1, 2, 3) if f"{n}D" in kind), 0)
        x = Value(trace.input("x", [1, *[64] * axes, 64]))
        name = kind.removeprefix("Q")
        try:
            handler(KerasLayerCall(trace, name, "layer", entry.config, [x], quantised=quantised))
        except LayerError as error:
            self.flaws += error.flaws
        except (NotPricedError, *MALFORMED):
            pass  # it may fit what it reads in the network

    def inner(self, layer: KerasLayerCall) -> Made:
        """Write a layer by its class."""
        handler = HANDLERS.get(layer.class_name)
        if handler is None:
            raise KeyError(layer.class_name)
        layer.run = self.inner
        return handler(layer)

    def unplaced(self, entry: Fields, kind: str, known: bool, error: Exception) -> None:
        """Add the fault of a layer that has neither a price nor a known shape."""
        if known and isinstance(error, NotPricedError):
            self.fault(
                entry.place, f"{kind} '{name_of(entry)}' does not fit what it reads: {error}",
                "an input of the rank and size that its fields ask for",
            )  # fmt: skip
            return
        meant = nearest(kind, [n for n in HANDLERS if n not in {kind, "TFOpLambda"}], cutoff=0.8)
        self.fault(
            entry.place,
            f"{kind} '{name_of(entry)}' has no price, and the shape of its output is not known",
            "" if meant else "a layer of Keras, or a file of Keras 3, which states shapes", meant,
        )  # fmt: skip

    def shapes(
        self, layer: KerasLayerCall, stated: Sequence[Sequence[int | None] | None]
    ) -> list[list[Dim] | None]:
        """Return the shapes of a layer's outputs that the file states, free extents included."""
        given: Any = layer.fields.data.get("output_shape")
        if not any(stated) and layer.class_name == "Lambda" and isinstance(given, list):
            rows = cast("list[Any]", given)
            if all(d is None or (isinstance(d, int) and d > 0) for d in rows):
                stated = [[None, *rows]]
        found: list[list[Dim] | None] = []
        for shape in stated:
            if shape is None:
                found.append(None)
                continue
            dims: list[Dim] = []
            for axis, extent in enumerate(shape):
                dim = extent if extent is not None else self.free(layer, axis)
                if dim is None:
                    break
                dims.append(dim)
            found.append(dims if len(dims) == len(shape) else None)
        return found if found and found[0] is not None else []

    def free(self, layer: KerasLayerCall, axis: int) -> Dim | None:
        """Return the extent of an input at an axis that the file leaves free."""
        for value in layer.inputs:
            shape = layer.shape(value)
            if axis < len(shape) and not isinstance(shape[axis], int):
                return shape[axis]
        return None


def name_of(entry: Fields) -> str:
    """Return the name of a layer."""
    name = entry.config.data.get("name")
    name = name if isinstance(name, str) and name else entry.data.get("name")
    return name if isinstance(name, str) and name else str(entry.data["class_name"]).lower()


def _is_model(entry: Fields) -> bool:
    layers = entry.config.data.get("layers")
    inside = isinstance(entry.data["config"], list) or isinstance(layers, list)
    return inside and (
        entry.data["class_name"] in _MODELS or entry.data["class_name"] not in HANDLERS
    )


def _skip_own(
    by_name: Mapping[str, Fields],
    called: Mapping[str, list[KerasCallArguments]],
    tails: Sequence[KerasCallOutput],
) -> None:
    """Put a call before those of nested models whose calls the file counts from 1.

    Keras 2 leaves out the call by which a model with an input of its own was built.
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
