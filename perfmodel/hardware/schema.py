"""JSON Schemas of spec files, with which editors complete and check YAML.

``python -m perfmodel.hardware.schema [--check]`` writes or compares the files in
``hardware_specs/schema/``; they are generated from the pydantic models and the docstrings of their
fields.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.atomic import write_text
from perfmodel.catalog import BUILT_IN, load
from perfmodel.hardware.device import Device
from perfmodel.hardware.kernel import KERNEL_CLASSES
from perfmodel.hardware.memory import MEMORY_KINDS, memory_class
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.runtime import (
    EFFICIENCY_CLASSES,
    EXECUTED_CLASSES,
    SCALE_CLASSES,
    Runtime,
)
from perfmodel.hardware.system import System
from perfmodel.package_data import data_root

_MODELS: Final = {"device": Device, "runtime": Runtime, "system": System}


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a spec file.

    Parameters
    ----------
    kind : {"device", "runtime", "system"}

    Returns
    -------
    dict
        Schema with a description per field and patterns for texts with units. A spec with a
        ``base`` inherits the other required fields, so it requires only ``name``.
    """
    schema = _MODELS[kind].model_json_schema(mode="validation")
    if kind == "runtime":
        for declared in (load("perfmodel.kernels", name) for name in BUILT_IN["perfmodel.kernels"]):
            constants = declared.model_json_schema()
            schema["$defs"] |= constants.pop("$defs")
            _describe(constants, declared)
            schema["$defs"]["Kernel"]["properties"] |= constants["properties"]
    _describe(schema, _MODELS[kind])
    required = [name for name in schema.pop("required", []) if name != "name"]
    schema["required"] = ["name"]
    if kind == "system":
        schema["required"] += required
        for side in ("device", "server"):
            field = schema["properties"][side]
            name_only = {"type": "string", "description": "The name of the device alone."}
            schema["properties"][side] = {
                "description": field.pop("description"),
                "anyOf": [name_only, field],
            }
    elif required:
        schema["if"] = {"not": {"required": ["base"]}}
        schema["then"] = {"required": required}
    _loosen(schema)
    if kind == "device":
        # Without a base, an engine that names no kind is a roofline; an heir's is its base's.
        engine = schema["$defs"]["Engine"]
        of_roofline = {"if": {"not": {"required": ["kind"]}}, "then": engine["then"]}
        schema["then"] |= {"properties": {"engines": {"items": of_roofline}}}
        engine["if"]["required"] = ["kind"]
    schema = _tidied(schema)
    sources = schema["properties"]["sources"]
    sources["additionalProperties"] = {
        "anyOf": [
            {"type": "string", "description": "The title alone."},
            sources["additionalProperties"],
        ]
    }
    if kind == "runtime":
        for name, classes in (
            ("efficiency", EFFICIENCY_CLASSES),
            ("kernels", KERNEL_CLASSES),
            ("scale", SCALE_CLASSES),
        ):
            keys = "|".join(classes)
            entries = schema["properties"][name]
            entries["propertyNames"] = {"pattern": rf"^({keys})(\.[a-z0-9_]+)*$"}
        schema["properties"]["executes"]["propertyNames"] = {"enum": [*EXECUTED_CLASSES]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"perfmodel {kind} spec",
    }


def _describe(schema: dict[str, Any], model: type[Spec]) -> None:
    """Set the description of every property to the docstring below its field.

    pydantic can do the same, but it would parse the source of every class at import time.
    """
    classes = {model_class.__name__: model_class for model_class in _subclasses(Spec)}
    definitions = cast("dict[str, dict[str, Any]]", schema.get("$defs", {}))
    targets = [(schema, model), *((d, classes.get(n)) for n, d in definitions.items())]
    for definition, described_class in targets:
        texts = {} if described_class is None else _field_texts(described_class)
        properties = cast("dict[str, dict[str, Any]]", definition.get("properties", {}))
        for name, declaration in properties.items():
            if name in texts and "description" not in declaration:
                properties[name] = dict(sorted({**declaration, "description": texts[name]}.items()))


def _subclasses(model: type[Spec]) -> list[type[Spec]]:
    return [subclass for sub in model.__subclasses__() for subclass in (sub, *_subclasses(sub))]


def _field_texts(model: type[Spec]) -> dict[str, str]:
    """Return field -> docstring below it in its class."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, Spec):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in pairwise(body.body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                texts[field.target.id] = inspect.cleandoc(below.value.value)
    return texts


def _loosen(schema: dict[str, Any]) -> None:
    """Require only the name of entries: an heir may omit the rest, and the loader checks that."""
    definitions = cast("dict[str, dict[str, Any]]", schema.get("$defs", {}))
    for name, definition in definitions.items():
        if name in ("Engine", "Memory", "Link"):
            # Other kinds of engines and memories add keys, which their class checks.
            plain = {"Engine": ["roofline"], "Memory": [*MEMORY_KINDS]}.get(name)
            if plain:
                definition["if"] = {"properties": {"kind": {"enum": plain}}}
                definition["then"] = {"propertyNames": {"enum": [*definition["properties"]]}}
                definition.pop("additionalProperties", None)
            if name == "Memory":
                own = BUILT_IN["perfmodel.memory_kinds"]
                definition["properties"]["kind"]["enum"] = [*MEMORY_KINDS, *own]
                definition["allOf"] = [_own_keys(kind) for kind in own]
            definition["required"] = ["name"]


def _own_keys(kind: str) -> dict[str, Any]:
    """Return the schema that restricts a kind of memory to its keys."""
    model = memory_class(kind)
    keys = [*model.model_fields] if model else []
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {"propertyNames": {"enum": keys}},
    }


def _tidied(node: Any) -> Any:
    """Return a schema without generated titles and defaults, which differ between versions."""
    if isinstance(node, list):
        return [_tidied(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    tidy: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", node).items():
        generated = (key == "title" and isinstance(value, str)) or (
            key == "default" and (value is None or isinstance(value, (dict, list)))
        )
        if not generated:
            tidy[key] = _tidied(value)
    return tidy


def stale(folder: Path | None = None) -> list[Path]:
    """Return the committed schema files that differ from the generated ones."""
    paths: list[Path] = []
    for path, text in _files(folder).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            paths.append(path)
    return paths


def write(folder: Path | None = None) -> list[Path]:
    """Write the schema files and return their paths."""
    files = _files(folder)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(files)


def _files(folder: Path | None) -> dict[Path, str]:
    root = folder if folder is not None else data_root() / "schema"
    return {
        root / f"{kind}.schema.json": json.dumps(json_schema(kind), indent=2) + "\n"
        for kind in _MODELS
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the schema files, or with ``--check`` list the stale ones (exit code 1)."""
    options = sys.argv[1:] if arguments is None else arguments
    if "--check" in options:
        paths = stale()
        for path in paths:
            sys.stderr.write(f"{path.name} is stale: run python -m perfmodel.hardware.schema\n")
        return 1 if paths else 0
    for path in write():
        sys.stderr.write(f"wrote {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
