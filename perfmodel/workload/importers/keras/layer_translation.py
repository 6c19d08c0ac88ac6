"""Translation context of one layer call: fields, inputs, weights and the nodes written for it.

Keras has channels last by default, ONNX has them second. A `KerasValue` records in which order it
is stored, and the context transposes where an operator needs the other one; chains of convolutions
and pools therefore need no transposition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from perfmodel.errors import nearest
from perfmodel.workload.importers.keras.layer_fields import LAYERS, LayerFields
from perfmodel.workload.importers.keras.qkeras_quantisers import (
    is_quantiser,
    quantiser_format,
    quantiser_name,
)
from perfmodel.workload.importers.onnx.node import NotPricedError, Shape
from perfmodel.workload.importers.onnx.registry import FUNCTIONS, find_by_name, normalise_name
from perfmodel.workload.importers.onnx_tracer import Tracer
from perfmodel.workload.symbols import Dim, constant


@dataclass(frozen=True, slots=True)
class KerasValue:
    """A Keras tensor in the written network.

    Attributes
    ----------
    name
        Name of the value in the written network.
    has_channels_first
        Whether it is stored with channels before the spatial axes while Keras has them last.
    """

    name: str
    has_channels_first: bool = False


LayerOutput: TypeAlias = "KerasValue | list[KerasValue]"
Handler: TypeAlias = "Callable[[KerasLayerCall], LayerOutput]"


@dataclass
class KerasLayerCall:
    """A call of a layer.

    Attributes
    ----------
    trace
        Network to which the nodes are written.
    class_name
        Class of the layer without the ``Q`` of QKeras.
    name
        Name of the layer prefixed by the enclosing models; weights are named after it, so that a
        layer called twice shares them.
    fields
        Configuration of the layer.
    inputs, keywords
        Positional and keyword tensors of the call.
    constants
        Other arguments of the call.
    is_quantised
        Whether it is a layer of QKeras.
    run
        Translator of nested layers, for wrappers.
    """

    trace: Tracer
    class_name: str
    name: str
    fields: LayerFields
    inputs: list[KerasValue]
    keywords: Mapping[str, KerasValue] = field(default_factory=dict[str, KerasValue])
    constants: Sequence[Any] = ()
    is_quantised: bool = False
    run: Callable[[KerasLayerCall], LayerOutput] | None = None

    # values

    @property
    def x(self) -> KerasValue:
        """The only or first input."""
        if not self.inputs:
            raise NotPricedError("it is called without an input")
        return self.inputs[0]

    def shape(self, value: KerasValue | None = None) -> Shape:
        """Return the shape of a value in Keras's order of axes."""
        value = value or self.x
        dims = self.trace.shape(value.name)
        return (dims[0], *dims[2:], dims[1]) if value.has_channels_first else dims

    def size(self, axis: int = -1, value: KerasValue | None = None) -> int:
        """Return a fixed extent, as required for the shapes of weights.

        Raises
        ------
        NotPricedError
            The extent is free, or the axis does not exist.
        """
        shape = self.shape(value)
        if not -len(shape) <= axis < len(shape):
            raise NotPricedError(f"its input has {len(shape)} dimensions")
        number = constant(shape[axis])
        if number is None or number != int(number) or number < 1:
            raise NotPricedError(f"axis {axis} of its input has no fixed extent")
        return int(number)

    def in_keras_order(self, value: KerasValue | None = None) -> str:
        """Return the name of a value in Keras's order of axes, transposed if necessary."""
        value = value or self.x
        if not value.has_channels_first:
            return value.name
        return self.trace.permute(value.name, [0, *range(2, len(self.trace.shape(value.name))), 1])

    def channels_first_input(self, value: KerasValue | None = None) -> str:
        """Return the name of a value with channels first, for any ``data_format``."""
        value = value or self.x
        return (
            self.to_channels_first(value) if self.has_channels_last else self.in_keras_order(value)
        )

    def to_channels_first(self, value: KerasValue) -> str:
        """Return the name of a channels-last value transposed to channels first."""
        if value.has_channels_first:
            return value.name
        rank = len(self.trace.shape(value.name))
        return self.trace.permute(value.name, [0, rank - 1, *range(1, rank - 1)])

    @property
    def has_channels_last(self) -> bool:
        """Whether the layer's ``data_format`` is ``channels_last``."""
        known = "channels_last", "channels_first"
        return self.fields.text("data_format", known[0], known) == known[0]

    @property
    def channels(self) -> int:
        """Number of channels of the input."""
        return self.size(-1 if self.has_channels_last else 1)

    def spatial(self, value: KerasValue | None = None) -> list[Dim]:
        """Return the spatial extents."""
        shape = self.shape(value)
        return list(shape[1:-1] if self.has_channels_last else shape[2:])

    def image_value(self, name: str) -> KerasValue:
        """Return a channels-first value, marked if Keras has its channels last."""
        return KerasValue(name, self.has_channels_last)

    # weights and nodes

    def weight(self, suffix: str, shape: Sequence[int], key: str = "") -> str:
        """Declare a weight in the format of the quantiser at `key` and return its name."""
        format = quantiser_format(self.fields, key) if self.is_quantised and key else ""
        return self.trace.weight(f"{self.name}.{suffix}", shape, format or "fp32")

    def bias(self, *shape: int, name: str = "bias", key: str = "bias_quantizer") -> list[str]:
        """Declare a bias if the layer has one; return a list of its name, or an empty one."""
        return [self.weight(name, shape, key)] if self.fields.flag("use_bias", True) else []

    def add(self, op: str, inputs: Sequence[str], suffix: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{self.name}.{suffix}" if suffix else self.name
        return self.trace.add(op, inputs, name=name, **attributes)[0]

    def apply_operator(self, op: str, **attributes: Any) -> KerasValue:
        """Add a unary operator on the input."""
        return KerasValue(self.add(op, [self.x.name], **attributes), self.x.has_channels_first)

    def quantise(self, x: str, key: str) -> str:
        """Round to the format of the quantiser at `key`, if any."""
        format = quantiser_format(self.fields, key)
        return self.round_to(x, format) if format else x

    def round_to(self, x: str, format: str) -> str:
        """Add a ``Quant`` node that rounds to a format."""
        return self.add("Quant", [x], "quantise", domain="qonnx.custom_op.general", format=format)

    def apply_activation(self, value: KerasValue, key: str = "activation") -> KerasValue:
        """Apply the activation at `key`, which may be a quantiser of QKeras."""
        stated = self.fields.data.get(key)
        if not is_quantiser(stated):
            return self.apply_function(value, activation_name(self.fields, key))
        # QKeras may apply a function before it rounds: ``quantized_relu_po2``.
        name = quantiser_name(stated).removeprefix("quantized_").removesuffix("_po2")
        function = find_by_name(name, FUNCTIONS)
        x = value.name
        if function is not None:
            x = self.add(function.name, [x], "activation", min=0.0)
        return KerasValue(self.quantise(x, key), value.has_channels_first)

    def apply_function(self, value: KerasValue, name: str) -> KerasValue:
        """Apply an activation by its name in Keras."""
        if name == "linear":
            return value
        op = FUNCTIONS[normalise_name(name)].name
        attributes: dict[str, Any] = {}
        if op in {"Softmax", "LogSoftmax"}:
            attributes["axis"] = (
                1 if value.has_channels_first else len(self.trace.shape(value.name)) - 1
            )
        suffix = "" if self.class_name in {"Activation", "Softmax"} else "activation"
        return KerasValue(
            self.add(op, [value.name], suffix, **attributes), value.has_channels_first
        )


_ACTIVATIONS: Final[Sequence[str]] = LAYERS["activations"]


def activation_name(fields: LayerFields, key: str) -> str:
    """Return the Keras name of the activation at a key."""
    value: Any = fields.data.get(key)
    if isinstance(value, dict):
        stated = cast("dict[str, Any]", value)
        inner = stated.get("config")
        value = inner if isinstance(inner, str) else stated.get("class_name")
    if value is None:
        return "linear"
    name = str(value).lower() if isinstance(value, str) else ""
    name = {"relu_6": "relu6", "leakyrelu": "leaky_relu"}.get(name, name)
    if name not in _ACTIVATIONS:
        raise fields.invalid(key, f"an activation such as {nearest(name, _ACTIVATIONS) or 'relu'}")
    return name


def split_qkeras_prefix(name: str) -> tuple[str, bool]:
    """Return the class of a layer without the ``Q`` of QKeras, and whether it had the prefix."""
    quantised = name.startswith("Q") and name[1:2].isupper()
    return name[1:] if quantised else name, quantised
