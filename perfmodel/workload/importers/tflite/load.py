"""Workload of a TensorFlow Lite file: weights are not read, extents of -1 remain free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from perfmodel.arrays import Value
from perfmodel.workload.importers.onnx.load import OnnxWorkload
from perfmodel.workload.importers.tflite.parser import TfliteModel, TfliteTensor, read_tflite
from perfmodel.workload.importers.tflite.translation_table import handler_of
from perfmodel.workload.importers.tflite.translator import translate
from perfmodel.workload.workload import Workload


def load_tflite(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read a TensorFlow Lite file without its weights.

    The operators become nodes of the ONNX importer, with the shapes, formats and constants of the
    file, and are priced in the same way.

    Parameters
    ----------
    path
        Path of the file.
    settings
        Free dimension -> number or array: ``batch``, and an image's ``height`` and ``width``, if
        the shape signature leaves them open; otherwise ``dim_<input>_<axis>``. Defaults are as for
        an ONNX file.

    Raises
    ------
    InputError
        The file is not such a model or contradicts itself, or the settings do not apply; all faults
        at once.
    """
    model = read_tflite(path)
    raw, notes = translate(model, handler_of)
    raw.has_fixed_fp32 = any(t.scales or t.format == "fp16" for t in model.subgraphs[0].tensors)
    raw.channels_last = True
    raw.precision = _precision(model)
    raw.notes = tuple(notes)
    return OnnxWorkload(raw, settings or {})


def _precision(model: TfliteModel) -> str:
    """Return the precision of the network: the most common weight and activation formats."""
    graph = model.subgraphs[0]
    outputs = (graph.tensors[i] for operator in graph.operators for i in operator.outputs)
    weights = _most(t for t in graph.tensors if t.is_constant and len(t.shape) > 1)
    values = _most(t for t in outputs if not t.is_constant)
    return weights if weights == values else f"w={weights},a={values}"


def _most(tensors: Iterable[TfliteTensor]) -> str:
    """Return the format of most elements; ``fp32`` if there are none."""
    sizes: dict[str, int] = dict.fromkeys(
        ("int4", "int8", "uint8", "int16", "fp16", "fp32", "bf16"), 0
    )
    for tensor in tensors:
        if tensor.format in sizes:
            sizes[tensor.format] += tensor.elements
    return max(filter(sizes.get, sizes), key=sizes.__getitem__, default="fp32").replace(
        "uint8", "int8"
    )
