"""Output noise of an ONNX network with compressed weights, measured by running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.arrays import Array
from perfmodel.formats import format_named
from perfmodel.search.accuracy.accuracy_faults import unknown_layer_faults
from perfmodel.search.accuracy.accuracy_model import Configuration
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.search.accuracy.onnx_session import refusals, session
from perfmodel.search.accuracy.onnx_weights import layers_of, load, weighted_nodes
from perfmodel.search.accuracy.simulated_quantisation import Clip
from perfmodel.search.accuracy.weight_compression import compress, noise_ratio
from perfmodel.settings import FaultList


class Rewriter:
    """Writer of a network with compressed weights, for many configurations from one reading.

    Parameters
    ----------
    path
        An ONNX file.
    norm, clip
        As for `compress`.

    Attributes
    ----------
    weights
        Layers of the file.

    Raises
    ------
    InputError
        The file is not ONNX, or has no weights.
    """

    def __init__(self, path: str | Path, *, norm: int = 2, clip: Clip = "mse") -> None:
        self.file = str(path)
        self._model: Any = load(Path(path))
        self._operands = weighted_nodes(self._model)
        self.weights = layers_of(self._operands, Path(path))
        self._norm: int = norm
        self._clip: Clip = clip

    def __call__(self, configuration: Configuration) -> bytes:
        """Return the bytes of an ONNX file with the weights compressed by a configuration.

        Parameters
        ----------
        configuration
            Layer (by weight tensor or operator) -> option; activation formats are ignored. If an
            operator and its weight tensor are both named, the operator's option applies.

        Raises
        ------
        InputError
            Layers that the file does not have.
        """
        faults = FaultList(unknown_layer_faults(configuration, self.weights.names, self.file))
        faults.settle()
        helper: Any = import_module("onnx.numpy_helper")
        stored: Any = self._model.graph.initializer
        before, replaced = len(stored), list[tuple[Any, int, str]]()
        compressed_names: dict[tuple[str, LayerOption, int], str] = {}
        for node, weights, places, kinds, _ in self._operands:
            names = [name for name in (node.name, *node.output) if name in configuration]
            own = configuration[names[0]] if names else None
            for weight, place, kind in zip(weights, places, kinds, strict=True):
                option = own if own is not None else configuration.get(weight.name)
                if option is None:
                    continue
                key = weight.name, option._replace(activations=None), weight.axis
                if key not in compressed_names:
                    compressed_names[key] = f"{weight.name}__compressed_{len(compressed_names)}"
                    values = compress(
                        weight.read(), key[1], weight.axis, norm=self._norm, clip=self._clip
                    )
                    stored.append(
                        helper.from_array(
                            np.ascontiguousarray(values.astype(kind)), compressed_names[key]
                        )
                    )
                replaced.append((node, place, node.input[place]))
                node.input[place] = compressed_names[key]
        content: bytes = self._model.SerializeToString()
        for node, place, name in replaced:
            node.input[place] = name
        del stored[before:]
        return content


def rewritten(
    path: str | Path, configuration: Configuration, *, norm: int = 2, clip: Clip = "mse"
) -> bytes:
    """Return the bytes of an ONNX file with the weights compressed by a configuration.

    Parameters and errors as for `Rewriter`, which is faster for many configurations.
    """
    return Rewriter(path, norm=norm, clip=clip)(configuration)


def _outputs(content: bytes, feeds: Sequence[Mapping[str, Any]], file: str) -> list[Array]:
    runner = session(content, file)
    outputs: list[Array] = []
    with refusals(file):
        for feed in feeds:
            for values in runner.run(None, dict(feed)):
                array = np.asarray(values)
                if array.dtype.kind == "f":
                    outputs.append(array.astype(np.float64).ravel())
    return outputs


def _ratio(exact: Sequence[Array], other: Sequence[Array]) -> float:
    noise = sum(float(np.sum((a - b) ** 2)) for a, b in zip(exact, other, strict=True))
    signal = sum(float(np.vdot(a, a)) for a in exact)
    return noise / signal if signal > 0 else 0.0


def output_noise(
    path: str | Path,
    feeds: Iterable[Mapping[str, Any]],
    configuration: Configuration,
    *,
    norm: int = 2,
    clip: Clip = "mse",
) -> float:
    """Return the noise-to-signal ratio of a network's outputs, run with compressed weights.

    ``sum ||y' - y||^2 / sum ||y||^2`` over inputs and floating-point outputs, the quantity that
    `sqnr` predicts for weight options. Parameters as for `rewritten` and `record_ranges`.
    """
    write, inputs = Rewriter(path, norm=norm, clip=clip), list(feeds)
    exact = _outputs(write({}), inputs, str(path))
    return _ratio(exact, _outputs(write(configuration), inputs, str(path)))


def measured_gains(
    path: str | Path,
    feeds: Iterable[Mapping[str, Any]],
    *,
    option: LayerOption | None = None,
    layers: Sequence[str] | None = None,
) -> dict[str, float]:
    """Return the gain of each layer's relative noise at the outputs: ``gains=`` of `sqnr`.

    Parameters
    ----------
    path, feeds
        A network, and the inputs of its runs; there is one run more than layers.
    option
        Option applied to each layer in turn; by default ``int8`` weights.
    layers
        Layers by weight tensor or operator; by default every weight tensor.

    Returns
    -------
    dict
        Layer -> measured noise-to-signal ratio of the outputs over the layer's own. `sqnr` assumes
        1; residual branches and layers before a bottleneck have less.

    Raises
    ------
    InputError
        As `rewritten`; onnxruntime is not installed or rejects the network.
    """
    write, inputs, file = Rewriter(path), list(feeds), str(path)
    change = option or LayerOption(weights=format_named("int8"))
    weights = write.weights
    names = list(layers) if layers is not None else list(weights.layers)
    faults = FaultList(unknown_layer_faults(names, weights.names, file))
    faults.settle()
    exact = _outputs(write({}), inputs, file)
    gains: dict[str, float] = {}
    for name in names:
        layer = weights.find(name)
        if layer is None:
            continue
        own = layer.uses * noise_ratio([(w.read(), w.axis) for w in layer.weights], change)
        if own > 0:
            gains[name] = _ratio(exact, _outputs(write({name: change}), inputs, file)) / own
    return gains
