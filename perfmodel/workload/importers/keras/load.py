"""Files of Keras and QKeras as workloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Final

from perfmodel.arrays import Value
from perfmodel.errors import InputError, input_error
from perfmodel.pydantic_faults import locate
from perfmodel.workload.importers.keras.fields import is_shape, listed, mapped
from perfmodel.workload.importers.keras.read import KerasModelFile, find_model
from perfmodel.workload.importers.keras.topology import Models, name_of
from perfmodel.workload.importers.onnx.load import OnnxWorkload
from perfmodel.workload.importers.trace import TooLargeError
from perfmodel.workload.workload import Workload

#: Names that Keras makes up.
_NUMBERED: Final = re.compile(r"(model|functional|sequential)(_\d+)?")


def load_keras(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read a model of Keras or QKeras without its weights.

    Parameters
    ----------
    path
        What ``model.to_json()`` of Keras 2 or 3 returned, a ``.keras`` archive (its ``config.json``
        alone is read), or the ``model.json`` of a TensorFlow.js layers-model.
    settings
        Free dimension -> number or array: ``batch``, and ``dim_<input>_<axis>`` for others that the
        file leaves open.

    Raises
    ------
    InputError
        The file holds no model of layers; layers that do not fit each other, or whose output has
        a shape that cannot be known. All faults at once, each with the path of its layer.
    """
    found = find_model(Path(path))
    models = Models()
    try:
        made = models.run(found.model, None)
    except TooLargeError:
        message = "unfolds to more layers than a network has"
        raise input_error(
            message, file=found.file, expected="fewer calls of nested models"
        ) from None
    if models.flaws:
        raise InputError(locate(models.flaws, found.marks(), found.file))
    outputs = [value.name for value in made if value is not None]
    if not outputs or not models.trace.inputs or not models.trace.nodes:
        raise input_error(
            "holds no layer that computes",
            file=found.file,
            expected="a model with inputs, layers and outputs",
        )
    model = models.trace.model(outputs, str(path), _name(found, Path(path)))
    workload = OnnxWorkload(model, settings or {})
    joined = models.trace.joined
    said = [f"{joined} paddings are done by the convolutions behind them"] if joined else []
    workload.notes = (*workload.notes, *said, *_manifest_notes(found, models))
    return workload


def _name(found: KerasModelFile, path: Path) -> str:
    """Return the name that a person gave: of the model, the file, or its folder."""
    given = name_of(found.model)
    if not _NUMBERED.fullmatch(given):
        return given
    if path.stem not in {"config", "model"}:
        return path.stem
    return path.resolve().parent.name or given


def _manifest_notes(found: KerasModelFile, models: Models) -> list[str]:
    """Return what the stored weights of a TensorFlow.js file say beside the layers."""
    stored: dict[str, int] = {}
    for group in found.manifest:
        for item in listed(mapped(group).get("weights")):
            entry = mapped(item)
            shape = listed(entry.get("shape", [None]))
            if None in shape or not is_shape(shape):
                continue
            kind = mapped(entry.get("quantization")).get("dtype")
            name = str(kind or entry.get("dtype", "float32"))
            stored[name] = stored.get(name, 0) + prod(shape)
    if not stored:
        return []
    total = sum(stored.values())
    notes = [
        f"the file stores {count:,} numbers as {name}, which TensorFlow.js unpacks to float32"
        for name, count in stored.items()
        if name != "float32"
    ]
    counted = sum(prod(t.shape) for t in models.trace.stored.values() if t.format != "int64")
    if counted != total:
        notes.append(f"its layers have {counted:,} parameters, its weights are {total:,} numbers")
    return notes
