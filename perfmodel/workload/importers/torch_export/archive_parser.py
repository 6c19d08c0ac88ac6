"""Parser of the graph in a ``.pt2`` archive: JSON only, without torch, weights or code.

The archive contains ``models/model.json``, whose form is torch/_export/serde/schema.py:
``graph_module.graph`` (``tensor_values``, ``nodes``) and ``graph_module.signature``
(``input_specs``, ``output_specs``). Arguments are tagged unions such as ``{"as_tensor": {"name":
..}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.workload.importers.archive import read_member
from perfmodel.workload.importers.torch_export.program_records import (
    FORMATS,
    WRAPPERS,
    AtenCall,
    AtenProgram,
    TensorMetadata,
    TensorReference,
)

_OLDER: Final = "serialized_exported_program.json"
_MOST: Final = 128 * 2**20
_LARGEST: Final = 2**40


def read_pt2(path: Path) -> AtenProgram:
    """Read a file written by ``torch.export.save``.

    Raises
    ------
    InputError
        The file is not such an archive, or its graph is malformed.
    """
    member, content = read_member(path, _is_graph, "models/model.json", _MOST)
    file = f"{path}/{member}"
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else "is not JSON"
        raise input_error(reason, file=file, expected="a graph of torch.export") from None
    return parse(data, file)


class _Malformed(Exception):
    """A part of the graph that is not as torch.export writes it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse(data: object, file: str) -> AtenProgram:
    """Return the program of a serialised graph.

    Raises
    ------
    InputError
        The graph is malformed; all faults, each with its path.
    """
    faults: list[Fault] = []
    program = AtenProgram()
    expected = "as torch.export.save writes it"
    try:
        module = _mapping(_mapping(data, "")["graph_module"], "graph_module")
        graph = _mapping(module["graph"], "graph_module.graph")
        signature = _mapping(module["signature"], "graph_module.signature")
        values = _mapping(graph["tensor_values"], "graph_module.graph.tensor_values")
        nodes = _list(graph["nodes"], "graph_module.graph.nodes")
        specs = _list(signature["input_specs"], "graph_module.signature.input_specs")
        results = _list(signature["output_specs"], "graph_module.signature.output_specs")
    except KeyError as error:
        message = f"lacks '{error.args[0]}'"
        raise input_error(message, "graph_module", file, expected=expected) from None
    except _Malformed as error:
        raise input_error(str(error), error.path, file, expected=expected) from None

    def trying(path: str, work: Any, *arguments: Any) -> Any:
        try:
            return work(*arguments, path)
        except _Malformed as error:
            faults.append(Fault(str(error), error.path, file, expected=expected))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            message = f"lacks {error}" if isinstance(error, KeyError) else "is malformed"
            faults.append(Fault(message, path, file, expected=expected))
        return None

    for name, value in values.items():
        path = f"graph_module.graph.tensor_values.{name}"
        meta = trying(path, _parse_metadata, value)
        if meta is not None:
            program.metadata[name] = meta
    for i, spec in enumerate(specs):
        trying(f"graph_module.signature.input_specs[{i}]", _add_input, spec, program)
    for i, spec in enumerate(results):
        trying(f"graph_module.signature.output_specs[{i}]", _add_output, spec, program)
    for i, node in enumerate(nodes):
        trying(f"graph_module.graph.nodes[{i}]", _add_node, node, program, 8)
    if faults:
        raise InputError(faults[:50])
    if not program.calls:
        raise input_error("holds no operator", "graph_module.graph.nodes", file, expected=expected)
    return program


def _mapping(value: object, path: str) -> dict[str, Any]:
    """Return a value that must be a mapping."""
    if not isinstance(value, dict):
        raise _Malformed(path, "is not a mapping")
    return cast("dict[str, Any]", value)


def _list(value: object, path: str) -> list[Any]:
    """Return a value that must be a list."""
    if not isinstance(value, list):
        raise _Malformed(path, "is not a list")
    return cast("list[Any]", value)


def _parse_extent(value: object, path: str) -> int:
    """Return a value that must be a non-negative integer below the limit."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise _Malformed(path, f"{str(value)[:40]} is not an extent")
    return value


def _parse_metadata(value: object, path: str) -> TensorMetadata:
    """Return the metadata of a ``TensorMeta``: sizes, strides and ``dtype``."""
    data = _mapping(value, path)
    sizes = _list(data["sizes"], f"{path}.sizes")
    hints = tuple(_parse_extent(_number(size, 1), f"{path}.sizes") for size in sizes)
    shape = tuple(
        hint if "as_int" in size else str(size["as_expr"]["expr_str"])
        for size, hint in zip(sizes, hints, strict=True)
    )
    strides = tuple(int(_number(s, 0)) for s in cast("list[Any]", data.get("strides") or []))
    kind: Any = data["dtype"]
    if kind not in FORMATS:
        raise _Malformed(f"{path}.dtype", f"{str(kind)[:40]} is not a type")
    return TensorMetadata(shape, FORMATS[kind], hints, strides)


def _number(size: Mapping[str, Any], default: int) -> Any:
    """Return an extent or stride; the traced number if it is free."""
    if "as_int" in size:
        return size["as_int"]
    hint: Any = size["as_expr"].get("hint")
    return hint.get("as_int", default) if hint else default


def _add_input(spec: object, program: AtenProgram, path: str) -> None:
    """Add an ``InputSpec``: a parameter, a buffer, or an input of the user."""
    data = _mapping(spec, path)
    for kind, names in (
        ("parameter", program.parameters),
        ("buffer", program.buffers),
        ("tensor_constant", program.buffers),
    ):
        if kind in data:
            name = str(data[kind]["arg"]["name"])
            names[name] = str(data[kind].get(f"{kind}_name", name))
    if "user_input" in data:
        argument = _mapping(data["user_input"]["arg"], path)
        if "as_tensor" in argument:
            program.inputs.append(str(argument["as_tensor"]["name"]))


def _add_output(spec: object, program: AtenProgram, path: str) -> None:
    """Add an ``OutputSpec``: an output of the user, or a loss."""
    for kind, content in _mapping(spec, path).items():
        argument: Any = _mapping(content, f"{path}.{kind}").get("arg")
        if kind in {"user_output", "loss_output"} and isinstance(argument, dict):
            tensor: Any = cast("dict[str, Any]", argument).get("as_tensor")
            if tensor is not None:
                program.outputs.append(str(tensor["name"]))


def _add_node(node: object, program: AtenProgram, depth: int, path: str) -> None:
    """Add the call of a node, or the calls of the graph if it only wraps one."""
    data = _mapping(node, path)
    target = str(data.get("target"))
    wraps = target.endswith(WRAPPERS)
    if wraps and depth == 0:
        raise _Malformed(path, "is nested too deeply")
    arguments = [i["arg"] for i in _list(data["inputs"], f"{path}.inputs")] if wraps else []
    at = next((i for i, a in enumerate(arguments) if "as_graph" in a), None)
    if at is None:
        program.calls.append(_parse_call(data, path))
        return
    graph = _mapping(arguments[at]["as_graph"]["graph"], f"{path}.graph")
    part = AtenProgram()
    for name, value in _mapping(graph["tensor_values"], f"{path}.graph.tensor_values").items():
        part.metadata[name] = _parse_metadata(value, f"{path}.graph.tensor_values.{name}")
    for i, inner in enumerate(_list(graph["nodes"], f"{path}.graph.nodes")):
        _add_node(inner, part, depth - 1, f"{path}.graph.nodes[{i}]")
    outer = [_parse_argument(a, path) for a in arguments[at + 1 :]]
    entering, leaving = (
        [_parse_argument(a, path) for a in _list(graph[key], f"{path}.graph.{key}")]
        for key in ("inputs", "outputs")
    )
    call = _parse_call({**data, "inputs": []}, path)
    program.inline(
        part,
        call.name or target.rpartition(".")[2],
        zip(entering, outer, strict=False),
        zip(leaving, call.outputs, strict=False),
    )


def _parse_call(node: object, path: str) -> AtenCall:
    """Return the call of a ``Node``."""
    data = _mapping(node, path)
    arguments: dict[str, Any] = {}
    for i, item in enumerate(_list(data["inputs"], f"{path}.inputs")):
        arguments[str(item.get("name") or i)] = _parse_argument(item["arg"], f"{path}.inputs[{i}]")
    outputs: list[str] = []
    for item in _list(data["outputs"], f"{path}.outputs"):
        argument = _parse_argument(item, f"{path}.outputs")
        values = cast("list[Any]", argument) if isinstance(argument, list) else [argument]
        outputs += [value.name if isinstance(value, TensorReference) else "" for value in values]
    target = data["target"]
    if not isinstance(target, str):
        raise _Malformed(f"{path}.target", "is not a name")
    return AtenCall(target, arguments, outputs, str(data.get("name") or ""), path)


#: Argument kinds whose content is the argument.
_PLAIN: Final = frozenset(
    {
        "as_name",
        "as_scalar_type",
        "as_int",
        "as_float",
        "as_bool",
        "as_string",
        "as_ints",
        "as_floats",
        "as_bools",
        "as_strings",
    }
)


def _parse_argument(value: object, path: str, depth: int = 6) -> Any:
    """Return an argument: a reference, a number, a string, a list of these, or ``None``."""
    if depth == 0:
        raise _Malformed(path, "is nested too deeply")
    data: Mapping[str, Any] = _mapping(value, path)
    for kind, content in data.items():
        if kind == "as_tensor":
            return TensorReference(str(content["name"]))
        if kind in {"as_tensors", "as_nested_tensors"}:
            names = [item["name"] if item is not None else None for item in _list(content, path)]
            return [TensorReference(str(name)) if name is not None else None for name in names]
        if kind in {"as_optional_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"}:
            return _parse_argument(content, path, depth - 1)
        if kind in {"as_optional_tensors", "as_sym_ints", "as_sym_floats"}:
            return [_parse_argument(item, path, depth - 1) for item in _list(content, path)]
        return content if kind in _PLAIN else None
    return None


def _is_graph(name: str) -> bool:
    """Return whether a member of the archive is its graph.

    The name is ``NAME/models/model.json``, or that of an older version.
    """
    return name == _OLDER or ("models/" in name and name.endswith(".json"))
