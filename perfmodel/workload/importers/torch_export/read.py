"""Read the graph of a ``.pt2`` archive: JSON alone, no torch, no weights, no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.workload.importers.archive import unpacked
from perfmodel.workload.importers.torch_export.program import (
    FORMATS,
    WRAPPERS,
    AtenCall,
    AtenProgram,
    Meta,
    Ref,
    renamed,
)

_OLDER: Final = "serialized_exported_program.json"
_MOST: Final = 128 * 2**20
_LARGEST: Final = 2**40


def _is_graph(name: str) -> bool:
    """Whether a file of the archive is its graph: ``NAME/models/model.json``, or an older name."""
    return name == _OLDER or ("models/" in name and name.endswith(".json"))


def read_pt2(path: Path) -> AtenProgram:
    """Read a file that ``torch.export.save`` wrote.

    Raises
    ------
    InputError
        It is no such archive, or its graph is not well-formed.
    """
    member, content = unpacked(path, _is_graph, "models/model.json", _MOST)
    file = f"{path}/{member}"
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else "is no JSON"
        raise input_error(reason, file=file, expected="a graph of torch.export") from None
    return parse(data, file)


class _Malformed(Exception):
    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse(data: object, file: str) -> AtenProgram:
    """Return the program of a serialised graph.

    Raises
    ------
    InputError
        It is not well-formed; every fault with its path.
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
        made = _list(signature["output_specs"], "graph_module.signature.output_specs")
    except KeyError as error:
        raise input_error(
            f"lacks '{error.args[0]}'", path="graph_module", file=file, expected=expected
        ) from None
    except _Malformed as error:
        raise input_error(str(error), path=error.path, file=file, expected=expected) from None

    def trying(path: str, work: Any, *arguments: Any) -> Any:
        try:
            return work(*arguments, path)
        except _Malformed as error:
            faults.append(Fault(str(error), path=error.path, file=file, expected=expected))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said = f"lacks {error}" if isinstance(error, KeyError) else "is malformed"
            faults.append(Fault(said, path=path, file=file, expected=expected))
        return None

    for name, value in values.items():
        path = f"graph_module.graph.tensor_values.{name}"
        meta = trying(path, _meta, value)
        if meta is not None:
            program.metas[name] = meta
    for i, spec in enumerate(specs):
        trying(f"graph_module.signature.input_specs[{i}]", _input, spec, program)
    for i, spec in enumerate(made):
        trying(f"graph_module.signature.output_specs[{i}]", _output, spec, program)
    for i, node in enumerate(nodes):
        made_calls = trying(f"graph_module.graph.nodes[{i}]", _calls, node, program, 8)
        program.calls += made_calls or []
    if faults:
        raise InputError(faults[:50])
    if not program.calls:
        raise input_error(
            "holds no operator", path="graph_module.graph.nodes", file=file, expected=expected
        )
    return program


def _mapping(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Malformed(path, "is no mapping")
    return cast("dict[str, Any]", value)


def _list(value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Malformed(path, "is no list")
    return cast("list[Any]", value)


def _whole(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise _Malformed(path, f"{str(value)[:40]} is no extent")
    return value


def _meta(value: object, path: str) -> Meta:
    data = _mapping(value, path)
    shape: list[int | str] = []
    hints: list[int] = []
    for size in _list(data["sizes"], f"{path}.sizes"):
        if "as_int" in size:
            shape.append(_whole(size["as_int"], f"{path}.sizes"))
            hints.append(int(size["as_int"]))
        else:
            expression = _mapping(size["as_expr"], f"{path}.sizes")
            hint: Any = expression.get("hint") or {}
            shape.append(str(expression["expr_str"]))
            hints.append(_whole(hint.get("as_int", 1), f"{path}.sizes"))
    strides: list[int] = []
    for stride in cast("list[Any]", data.get("strides") or []):
        number: Any = stride.get("as_int")
        if number is None:
            hinted: Any = stride["as_expr"].get("hint") or {}
            number = hinted.get("as_int", 0)
        strides.append(int(number))
    kind: Any = data["dtype"]
    if kind not in FORMATS:
        raise _Malformed(f"{path}.dtype", f"{str(kind)[:40]} is no type")
    return Meta(tuple(shape), FORMATS[kind], tuple(hints), tuple(strides))


def _input(spec: object, program: AtenProgram, path: str) -> None:
    data = _mapping(spec, path)
    if "parameter" in data:
        program.parameters[str(data["parameter"]["arg"]["name"])] = str(
            data["parameter"].get("parameter_name", "")
        )
    elif "buffer" in data:
        program.buffers[str(data["buffer"]["arg"]["name"])] = str(data["buffer"]["buffer_name"])
    elif "tensor_constant" in data:
        name = str(data["tensor_constant"]["arg"]["name"])
        program.buffers[name] = str(data["tensor_constant"].get("tensor_constant_name", name))
    elif "user_input" in data:
        argument = _mapping(data["user_input"]["arg"], path)
        if "as_tensor" in argument:
            program.inputs.append(str(argument["as_tensor"]["name"]))


def _output(spec: object, program: AtenProgram, path: str) -> None:
    data = _mapping(spec, path)
    for kind, content in data.items():
        argument: Any = _mapping(content, f"{path}.{kind}").get("arg")
        if kind in {"user_output", "loss_output"} and isinstance(argument, dict):
            tensor: Any = cast("dict[str, Any]", argument).get("as_tensor")
            if tensor is not None:
                program.outputs.append(str(tensor["name"]))


def _calls(node: object, program: AtenProgram, depth: int, path: str) -> list[AtenCall]:
    """Return the calls of a node: one, or those of the graph that it only wraps."""
    data = _mapping(node, path)
    target = str(data.get("target"))
    if not target.endswith(WRAPPERS):
        return [_call(data, path)]
    if depth == 0:
        raise _Malformed(path, "is nested too deeply")
    given = [item["arg"] for item in _list(data["inputs"], f"{path}.inputs")]
    at = next((i for i, a in enumerate(given) if "as_graph" in a), None)
    if at is None:
        return [_call(data, path)]
    graph = _mapping(given[at]["as_graph"]["graph"], f"{path}.graph")
    outer = [_argument(a, path) for a in given[at + 1 :]]
    inner = [_argument(a, path) for a in _list(graph["inputs"], f"{path}.graph.inputs")]
    names = {i.name: o.name for i, o in zip(inner, outer, strict=False)
             if isinstance(i, Ref) and isinstance(o, Ref)}  # fmt: skip
    whole = _call({**data, "inputs": []}, path)
    results = [_argument(a, path) for a in _list(graph["outputs"], f"{path}.graph.outputs")]
    names |= {r.name: o for r, o in zip(results, whole.outputs, strict=False)
              if isinstance(r, Ref) and o and r.name not in names}  # fmt: skip
    inside = whole.name or target.rpartition(".")[2]
    for name, value in _mapping(graph["tensor_values"], f"{path}.graph.tensor_values").items():
        outer_name = names.get(name, f"{inside}.{name}")
        program.metas.setdefault(outer_name, _meta(value, f"{path}.graph.tensor_values.{name}"))
    calls: list[AtenCall] = []
    for i, inner_node in enumerate(_list(graph["nodes"], f"{path}.graph.nodes")):
        found = _calls(inner_node, program, depth - 1, f"{path}.graph.nodes[{i}]")
        calls += [renamed(call, names, inside) for call in found]
    return calls


def _call(node: object, path: str) -> AtenCall:
    data = _mapping(node, path)
    arguments: dict[str, Any] = {}
    for i, item in enumerate(_list(data["inputs"], f"{path}.inputs")):
        arguments[str(item.get("name") or i)] = _argument(item["arg"], f"{path}.inputs[{i}]")
    outputs: list[str] = []
    for item in _list(data["outputs"], f"{path}.outputs"):
        found = _argument(item, f"{path}.outputs")
        made = cast("list[Any]", found) if isinstance(found, list) else [found]
        outputs += [value.name if isinstance(value, Ref) else "" for value in made]
    target = data["target"]
    if not isinstance(target, str):
        raise _Malformed(f"{path}.target", "is no name")
    return AtenCall(target, arguments, outputs, str(data.get("name") or ""), path)


def _argument(value: object, path: str, depth: int = 6) -> Any:
    """Return an argument: a reference, a number, a text, a list of them, or None."""
    if depth == 0:
        raise _Malformed(path, "is nested too deeply")
    data: Mapping[str, Any] = _mapping(value, path)
    for kind, content in data.items():
        if kind == "as_tensor":
            return Ref(str(content["name"]))
        if kind in {"as_tensors", "as_nested_tensors"}:
            names = [item["name"] if item is not None else None for item in _list(content, path)]
            return [Ref(str(name)) if name is not None else None for name in names]
        if kind in {"as_optional_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"}:
            return _argument(content, path, depth - 1)
        if kind in {"as_optional_tensors", "as_sym_ints", "as_sym_floats"}:
            return [_argument(item, path, depth - 1) for item in _list(content, path)]
        if kind in {"as_name"}:
            return str(content)
        if kind == "as_none":
            return None
        if kind in {"as_scalar_type", "as_int", "as_float", "as_bool", "as_string", "as_ints",
                    "as_floats", "as_bools", "as_strings"}:  # fmt: skip
            return cast("object", content)
        return None
    return None
