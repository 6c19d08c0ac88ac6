"""Weights of layers, from an ONNX file, a safetensors file or arrays in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault, input_error
from perfmodel.settings import FaultList
from perfmodel.workload.importers.safetensors.header import (
    INDEX,
    StoredTensor,
    read_header,
    read_index,
)

#: A file, or layer -> array with the output channels first (as torch stores them).
Source: TypeAlias = str | Path | Mapping[str, npt.ArrayLike]


class Weight(NamedTuple):
    """A weight tensor.

    Attributes
    ----------
    name
        Name of the tensor.
    axis
        Axis of the output channels.
    values
        Values, or their location in a file.
    """

    name: str
    axis: int
    values: Array | StoredTensor

    def read(self) -> Array:
        """Return the values in float64."""
        return self.values.read() if isinstance(self.values, StoredTensor) else self.values


class LayerWeights(NamedTuple):
    """Weights that share one option: those of an operator, or one tensor in all its uses.

    Attributes
    ----------
    weights
        Weight tensors (a recurrent cell has two).
    inputs
        Activations that they are multiplied by, one per use.
    uses
        Number of operators that use them; each adds its noise.
    """

    name: str
    weights: tuple[Weight, ...]
    inputs: tuple[str, ...] = ()
    uses: int = 1


class Weights:
    """Layers by all their names.

    Attributes
    ----------
    file
        Name for messages.
    layers
        Name of the weight tensor -> layer.
    aliases
        Other name -> layer: the operator, its output, or the tensor without ``.weight``.
    """

    __slots__ = ("aliases", "file", "layers")

    def __init__(
        self,
        file: str,
        layers: Iterable[LayerWeights],
        aliases: Mapping[str, LayerWeights] | None = None,
    ) -> None:
        self.file = file
        self.layers = {layer.name: layer for layer in layers}
        self.aliases = dict(aliases or {})

    def find(self, name: str) -> LayerWeights | None:
        """Return the layer with a name, or None."""
        return self.layers.get(name) or self.aliases.get(name)

    @property
    def names(self) -> list[str]:
        """All names, weight tensors first."""
        return [*self.layers, *self.aliases]


def read_weights(source: Source) -> Weights:
    """Read the weights of layers.

    Parameters
    ----------
    source
        An ``.onnx`` file; a ``.safetensors`` file or the ``.safetensors.index.json`` of several; or
        layer -> array with the output channels on axis 0.

    Raises
    ------
    InputError
        For all faults: sources that cannot be read or contain no weights.
    """
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(w, dtype=np.float64) for name, w in source.items()}
        faults = FaultList(
            Fault(f"'{name}' has no channels", path="weights", expected="an array with axes")
            for name, w in arrays.items()
            if w.ndim < 1
        )
        faults.settle()
        return Weights("weights", [LayerWeights(n, (Weight(n, 0, w),)) for n, w in arrays.items()])
    path = Path(source)
    if path.suffix == ".safetensors":
        return _stored(path, read_header(path))
    if path.name.endswith(INDEX):
        return _stored(path, read_index(path))
    if path.suffix == ".onnx":
        from perfmodel.search.accuracy.onnx_weights import read_onnx_weights

        return read_onnx_weights(path)
    raise input_error(
        "is no file of weights",
        file=str(path),
        expected="an .onnx or .safetensors file, or a .safetensors.index.json",
    )


def _stored(path: Path, tensors: Mapping[str, StoredTensor]) -> Weights:
    layers = [
        LayerWeights(name, (Weight(name, 0, tensor),))
        for name, tensor in tensors.items()
        if tensor.is_float and len(tensor.shape) > 1
    ]
    if not layers:
        raise input_error(
            "holds no weights of layers",
            file=str(path),
            expected="floating-point tensors of two axes or more",
        )
    short = {layer.name.removesuffix(".weight"): layer for layer in layers}
    return Weights(path.name, layers, short)
