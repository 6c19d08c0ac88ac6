"""Records of a `torch.export.ExportedProgram` in memory, the same as those of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perfmodel.catalog import need
from perfmodel.errors import input_error, one_of
from perfmodel.workload.importers.element_types import ELEMENT_TYPES
from perfmodel.workload.importers.torch_export.program_records import (
    WRAPPERS,
    AtenCall,
    AtenProgram,
    TensorMetadata,
    TensorReference,
)

_TYPES: Mapping[str, str] = ELEMENT_TYPES["names"]


def program_records_of(program: Any) -> AtenProgram:
    """Return the records of a program, without reading its tensors.

    Raises
    ------
    InputError
        torch is not installed, or the object is not an exported program.
    """
    torch: Any = need("torch")
    if not isinstance(program, torch.export.ExportedProgram):
        raise input_error(
            f"a {type(program).__name__} is not an exported program",
            expected="torch.export.export(module, arguments)",
        )
    result = AtenProgram()
    signature = program.graph_signature
    result.parameters = dict(signature.inputs_to_parameters)
    result.buffers = {
        **dict(signature.inputs_to_buffers),
        **dict(signature.inputs_to_lifted_tensor_constants),
    }
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and _is_tensor(value):
            result.metadata[node.name] = metadata_of(value)
        elif node.op == "call_function":
            _add_node(result, program.graph_module, node)
    result.inputs = [n for n in signature.user_inputs if n in result.metadata]
    result.outputs = [
        n for n in signature.user_outputs if isinstance(n, str) and n in result.metadata
    ]
    # Each part of a tuple result has a separate name.
    return result


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, str)


def _add_node(program: AtenProgram, module: Any, node: Any) -> None:
    """Add a call, or the calls of the graph if it only wraps one."""
    named: Any = getattr(node.target, "name", None)  # a method for operators, else a string
    name = str(named()) if callable(named) else str(node.target)
    graphs = [a for a in node.args if getattr(a, "op", "") == "get_attr"]
    if not name.endswith(WRAPPERS) or len(graphs) != 1:
        _add_call(program, node, node.meta.get("val"))
        return
    inner = getattr(module, str(graphs[0].target))
    outer = _argument(node.args[node.args.index(graphs[0]) + 1 :])
    wrapper, part = AtenProgram(), AtenProgram()
    _add_call(wrapper, node, node.meta.get("val"))
    entering: list[Any] = []
    leaving: list[Any] = []
    for inside in inner.graph.nodes:
        if inside.op == "placeholder":
            entering.append(_argument(inside))
        elif inside.op == "call_function":
            _add_node(part, inner, inside)
        elif inside.op == "output":
            results = inside.args[0]
            leaving += _argument(results if isinstance(results, tuple | list) else [results])
    program.inline(
        part,
        node.name,
        zip(entering, outer, strict=False),
        zip(leaving, wrapper.calls[0].outputs, strict=False),
    )
    program.metadata = wrapper.metadata | program.metadata


def _add_call(program: AtenProgram, node: Any, value: Any) -> None:
    """Add the call of a node; each part of a tuple result has a separate name."""
    target = str(node.target)
    if getattr(node.target, "__name__", "") == "getitem":
        return
    outputs: list[str] = []
    if _is_tensor(value):
        outputs = [node.name]
        program.metadata[node.name] = metadata_of(value)
    elif isinstance(value, tuple | list):
        parts = {
            u.args[1]: u.name for u in node.users if getattr(u.target, "__name__", "") == "getitem"
        }
        for i, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            name = parts.get(i, "" if i else f"{node.name}.0")
            outputs.append(name)
            if name and _is_tensor(item):
                program.metadata[name] = metadata_of(item)
    arguments = named_arguments(node.target, node.args, node.kwargs, _argument)
    program.calls.append(AtenCall(target, arguments, outputs, node.name))


def _argument(value: Any) -> Any:
    """Return an argument of a node as in the records: a reference, a plain value, or a list."""
    if isinstance(value, tuple | list):
        return [_argument(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if hasattr(value, "op") and hasattr(value, "users"):
        return TensorReference(value.name) if _is_tensor(value.meta.get("val")) else value.name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def named_arguments(
    target: Any, args: Any, kwargs: Mapping[str, Any], read: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return the arguments of a call by their names in the schema, converted by `read`."""
    schema = getattr(target, "_schema", None)
    names = [a.name for a in schema.arguments] if schema is not None else []
    arguments = {(names[i] if i < len(names) else str(i)): read(a) for i, a in enumerate(args)}
    return arguments | {name: read(value) for name, value in kwargs.items()}


def metadata_of(value: Any) -> TensorMetadata:
    """Return the shape, format and strides of a tensor.

    Raises
    ------
    InputError
        The element type has no numeric format.
    """
    kind = str(value.dtype).removeprefix("torch.")
    if kind not in _TYPES:
        raise input_error(f"a tensor of {kind}", expected=one_of(_TYPES))
    shape: list[int | str] = []
    hints: list[int] = []
    for size in value.shape:
        if isinstance(size, int):
            shape.append(size)
            hints.append(size)
            continue
        sympy: Any = need("sympy")
        shape.append(str(sympy.srepr(size.node.expr)))
        hints.append(_hint(size))
    strides = tuple(s if isinstance(s, int) else _hint(s) for s in value.stride())
    return TensorMetadata(tuple(shape), _TYPES[kind], tuple(hints), strides)


def _hint(size: Any) -> int:
    """Return the number of a symbolic size during tracing; 1 if it had none."""
    hint = size.node.hint
    return int(hint) if hint is not None else 1
