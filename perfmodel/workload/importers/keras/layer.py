"""One call of a layer: its fields, what it reads, and the nodes that it is written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from perfmodel.workload.importers.keras.fields import Fields, LayerError
from perfmodel.workload.importers.keras.quantisers import format_of, is_quantiser, quantiser_name
from perfmodel.workload.importers.onnx.node import NotPricedError, Shape
from perfmodel.workload.importers.onnx.registry import FUNCTIONS, called, plain
from perfmodel.workload.importers.trace import Tracer
from perfmodel.workload.symbols import Dim, constant


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of Keras.

    Attributes
    ----------
    name
        Of the value in the network that is written.
    first
        It is kept with its channels before its spatial axes, and Keras has them last.
    """

    name: str
    first: bool = False


Made: TypeAlias = "Value | list[Value]"
Handler: TypeAlias = "Callable[[KerasLayerCall], Made]"


@dataclass
class KerasLayerCall:
    """A call of a layer.

    Attributes
    ----------
    trace
        Where the nodes go.
    class_name
        Without the ``Q`` of QKeras.
    name
        Of the layer, with those of the models around it; weights are called by it, so that a
        layer called twice has them once.
    fields
        Its configuration.
    inputs, keywords
        What it is called with: tensors in order, and by keyword.
    constants
        Other arguments of the call.
    quantised
        A layer of QKeras.
    stated
        Shape of the output where the file states it (in Keras's order).
    """

    trace: Tracer
    class_name: str
    name: str
    fields: Fields
    inputs: list[Value]
    keywords: Mapping[str, Value] = field(default_factory=dict[str, Value])
    constants: Sequence[Any] = ()
    quantised: bool = False
    stated: Sequence[Sequence[Dim] | None] = ()
    run: Callable[[KerasLayerCall], Made] | None = None

    # values

    @property
    def x(self) -> Value:
        """The only or first input."""
        if not self.inputs:
            raise NotPricedError("it is called without an input")
        return self.inputs[0]

    def shape(self, value: Value | None = None) -> Shape:
        """Return a shape in Keras's order."""
        chosen = self.x if value is None else value
        dims = self.trace.shape(chosen.name)
        return (dims[0], *dims[2:], dims[1]) if chosen.first else dims

    def size(self, axis: int = -1, value: Value | None = None) -> int:
        """Return an extent that weights hang on.

        Raises
        ------
        NotPricedError
            It is free.
        """
        shape = self.shape(value)
        if not -len(shape) <= axis < len(shape):
            raise NotPricedError(f"its input has {len(shape)} dimensions")
        number = constant(shape[axis])
        if number is None or number != int(number) or number < 1:
            raise NotPricedError(f"axis {axis} of its input has no fixed extent")
        return int(number)

    def plain(self, value: Value | None = None) -> str:
        """Return a value in Keras's order of axes."""
        chosen = self.x if value is None else value
        if not chosen.first:
            return chosen.name
        rank = len(self.trace.shape(chosen.name))
        return self.trace.permuted(chosen.name, [0, *range(2, rank), 1])

    def front(self, value: Value | None = None) -> str:
        """Return a value with its channels first, whatever the layer's ``data_format``."""
        chosen = self.x if value is None else value
        if chosen.first or not self.last:
            return self.plain(chosen) if not self.last else chosen.name
        rank = len(self.trace.shape(chosen.name))
        return self.trace.permuted(chosen.name, [0, rank - 1, *range(1, rank - 1)])

    @property
    def last(self) -> bool:
        """Whether channels come last."""
        return self.fields.text("data_format", "channels_last",
                                ("channels_last", "channels_first")) == "channels_last"  # fmt: skip

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.size(-1 if self.last else 1)

    def spatial(self, value: Value | None = None) -> list[Dim]:
        """Return the spatial extents."""
        shape = self.shape(value)
        return list(shape[1:-1] if self.last else shape[2:])

    def imaged(self, name: str) -> Value:
        """Return a value with its channels first as Keras sees it."""
        return Value(name, self.last)

    # weights and nodes

    def weight(self, suffix: str, shape: Sequence[int], key: str = "") -> str:
        """Declare parameters in the format of the quantiser at `key`."""
        format = format_of(self.fields, key) if self.quantised and key else ""
        return self.trace.weight(f"{self.name}.{suffix}", shape, format or "fp32")

    def add(self, op: str, inputs: Sequence[str], suffix: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"{self.name}.{suffix}" if suffix else self.name
        return self.trace.add(op, inputs, name=name, **attributes)[0]

    def quantise(self, x: str, key: str, suffix: str = "quantise") -> str:
        """Round to the format of the quantiser at `key`, where there is one."""
        format = format_of(self.fields, key)
        if not format:
            return x
        return self.add("Quant", [x], suffix, domain="qonnx.custom_op.general", format=format)

    def activated(self, value: Value, key: str = "activation") -> Value:
        """Apply the activation at `key`."""
        stated = self.fields.data.get(key)
        if is_quantiser(stated):
            # QKeras may apply a function before it rounds: ``quantized_relu_po2``.
            name = quantiser_name(stated).removeprefix("quantized_").removesuffix("_po2")
            function = called(name, FUNCTIONS)
            x = value.name
            if function is not None:
                x = self.add(function.name, [x], "activation", min=0.0)
            return Value(self.quantise(x, key), value.first)
        return self.function(value, activation_name(self.fields, key))

    def function(self, value: Value, name: str) -> Value:
        """Apply an activation by its name in Keras."""
        if name == "linear":
            return value
        op = FUNCTIONS[plain(name)].name
        attributes: dict[str, Any] = {}
        if op in {"Softmax", "LogSoftmax"}:
            rank = len(self.trace.shape(value.name))
            attributes["axis"] = 1 if value.first else rank - 1
        suffix = "" if self.class_name in {"Activation", "Softmax"} else "activation"
        return Value(self.add(op, [value.name], suffix, **attributes), value.first)


#: Activations of Keras; functions of the registry by their names there, but for the first.
ACTIVATIONS: Sequence[str] = (
    "linear", "relu", "relu6", "sigmoid", "tanh", "softmax", "log_softmax", "softplus", "softsign",
    "elu", "selu", "celu", "gelu", "swish", "silu", "exponential", "mish", "leaky_relu",
    "hard_sigmoid", "hard_swish", "hard_silu", "hard_tanh", "soft_shrink", "hard_shrink",
)  # fmt: skip


def activation_name(fields: Fields, key: str) -> str:
    """Return the activation at a key by its name in Keras."""
    value: Any = fields.data.get(key)
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        inner = mapping.get("config")
        value = inner if isinstance(inner, str) else mapping.get("class_name")
    if value is None:
        return "linear"
    name = str(value).lower() if isinstance(value, str) else ""
    name = {"relu_6": "relu6", "leakyrelu": "leaky_relu"}.get(name, name)
    if name not in ACTIVATIONS:
        from perfmodel.errors import nearest

        meant = nearest(name, ACTIVATIONS)
        raise LayerError(*fields.bad(key, f"an activation such as {meant or 'relu'}").flaws)
    return name
