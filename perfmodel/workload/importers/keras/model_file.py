"""The model inside a Keras file: its class and configuration, and their places in the JSON.

Formats: ``model.to_json()`` of Keras 2 and 3 (``class_name``, ``config``), ``config.json`` in a
``.keras`` archive, and TensorFlow.js's ``model.json`` (``modelTopology``, ``model_config``,
``weightsManifest``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from perfmodel.errors import input_error
from perfmodel.source_positions import Marks
from perfmodel.specfile import read
from perfmodel.workload.importers.archive import read_file, read_member
from perfmodel.workload.importers.keras.layer_fields import LayerFields, Place, as_list, as_mapping

_CONFIG: Final = "config.json"


class KerasModelFile(NamedTuple):
    """A Keras model with the content and weight manifest of its file.

    Attributes
    ----------
    model
        Its ``class_name`` and ``config``, with their path in the file.
    content
        Bytes of the JSON.
    file
        Name of the file, for error messages.
    manifest
        Groups of stored weights of a TensorFlow.js file.
    """

    model: LayerFields
    content: bytes
    file: str
    manifest: list[Any]

    def marks(self) -> Marks:
        """Return the location of every value, by reading the content again: only faults need it."""
        return read(self.content, self.file, json_text=True)[1]


def read_model_file(path: Path) -> KerasModelFile:
    """Return the model of a file.

    Raises
    ------
    InputError
        The file cannot be read, is not JSON or an archive, or has no layers model.
    """
    file = str(path)
    if path.name.endswith(".keras"):
        file = f"{path}/{_CONFIG}"
        content = read_member(path, _CONFIG, _CONFIG)[1]
    else:
        content = read_file(path)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = read(content, file, json_text=True)[0]  # raises with the location of the fault
    expected = "a layers-model with 'class_name' and 'config'"
    root = model = as_mapping(data)
    if not isinstance(data, dict):
        raise input_error("is not a mapping", file=file, line=1, column=1, expected=expected)
    place: Place = ()
    for key in ("modelTopology", "model_config"):
        if isinstance(model.get(key), dict):
            model, place = as_mapping(model[key]), (*place, key)
    if "class_name" not in model:
        marks = read(content, file, json_text=True)[1]
        line, column = marks.at(place)
        is_tensorflow_graph = root.get("format") == "graph-model" or "node" in model
        message = (
            "is a graph of TensorFlow, not of layers"
            if is_tensorflow_graph
            else "holds no model of layers"
        )
        raise input_error(message, marks.show(place), file, line, column, expected)
    return KerasModelFile(
        LayerFields(model, place), content, file, as_list(root.get("weightsManifest"))
    )
