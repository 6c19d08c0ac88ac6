"""TensorFlow Lite files as workloads: no weights read, extents of ``-1`` free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from perfmodel.arrays import Value
from perfmodel.workload.importers.onnx.load import OnnxWorkload
from perfmodel.workload.importers.tflite.read import TfliteModel, read_tflite
from perfmodel.workload.importers.tflite.translate import translate
from perfmodel.workload.workload import Workload


def load_tflite(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read a TensorFlow Lite file without its weights.

    Its operators become nodes of the ONNX importer, with the shapes, formats and constants of the
    file, and are priced as those are.

    Parameters
    ----------
    path
        The file.
    settings
        Free dimension -> number or array: ``batch``, and ``height`` and ``width`` of an image,
        where the shape signature leaves them open; ``dim_<input>_<axis>`` elsewhere. Without a
        number as for an ONNX file.

    Raises
    ------
    InputError
        The file is no such model, or contradicts itself; or settings that it does not have. All
        faults at once.
    """
    model = read_tflite(path)
    raw, notes = translate(model)
    raw.pinned = any(t.scales or t.format == "fp16" for t in model.subgraphs[0].tensors)
    raw.channels_last = True
    raw.precision = _precision(model)
    raw.notes = tuple(notes)
    return OnnxWorkload(raw, settings or {})


def _precision(model: TfliteModel) -> str:
    """Return what the products of the network are made of: widths of weights and activations."""
    graph = model.subgraphs[0]
    sizes: dict[str, int] = {}
    for tensor in graph.tensors:
        if tensor.constant and len(tensor.shape) > 1:
            sizes[tensor.format] = sizes.get(tensor.format, 0) + tensor.elements
    made: dict[str, int] = {}
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if not tensor.constant:
                made[tensor.format] = made.get(tensor.format, 0) + tensor.elements
    numeric = ("int4", "int8", "uint8", "int16", "fp16", "fp32", "bf16")
    weights = max((f for f in numeric if f in sizes), key=lambda f: sizes[f], default="fp32")
    values = max((f for f in numeric if f in made), key=lambda f: made[f], default="fp32")
    weights, values = (f.replace("uint8", "int8") for f in (weights, values))
    return weights if weights == values else f"w={weights},a={values}"
