"""Inlining of a model's own functions (``ModelProto.functions``), within a budget.

A few functions that call each other twice double at each level, so the size after inlining is
computed first: ``nodes(f) = own(f) + sum over calls of (nodes(g) - 1)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeAlias

from perfmodel.errors import input_error

#: Largest number of nodes after inlining: work and memory grow with them.
MOST_NODES: Final = 100_000
_MIB: Final = 2**20
#: Largest number of bytes that inlining may add to those of the file.
_MOST_BYTES: Final = 64 * _MIB
#: Deepest chain of nested function calls.
_DEEPEST: Final = 100

FunctionKey: TypeAlias = tuple[str, str, str]


@dataclass(slots=True)
class _BodySize:
    """Size of a function or graph before inlining: its nodes, bytes, and calls per function."""

    nodes: int = 0
    bytes: int = 0
    calls: dict[FunctionKey, int] = field(default_factory=dict[FunctionKey, int])


def inline_functions(model: Any, file: str) -> Any:
    """Return the model with its functions inlined.

    Raises
    ------
    InputError
        The inlined model is too large, or its functions are recursive or cannot be inlined.
    """
    functions = {_function_key(f, f.name): _body_size(f.node) for f in model.functions}
    main = _body_size(model.graph.node)
    nodes, size = _inlined_size(main, functions, file)
    if nodes > MOST_NODES:
        subject = "its functions written out are" if functions else "holds"
        raise input_error(
            f"{subject} {nodes:,} nodes",
            "functions" if functions else "graph",
            file,
            expected=f"at most {MOST_NODES:,}",
        )
    added_bytes = size - main.bytes
    if functions and added_bytes > _MOST_BYTES:
        raise input_error(
            f"its functions written out add {-(-added_bytes // _MIB):,} MiB",
            "functions",
            file,
            expected=f"at most {_MOST_BYTES // _MIB} MiB",
        )
    if not functions:
        return model
    try:
        return import_module("onnx.inliner").inline_local_functions(model)
    except Exception as error:  # the inliner's C++ raises a bare RuntimeError or worse
        reason = str(error).splitlines()[0] if str(error) else "malformed"
        raise input_error(f"its functions cannot be inlined: {reason}", "functions", file) from None


def _function_key(proto: Any, name: str) -> FunctionKey:
    """Return the identity of a function: domain, name and overload."""
    domain = "" if proto.domain == "ai.onnx" else str(proto.domain)
    return domain, str(name), str(proto.overload)


def _body_size(nodes: Iterable[Any]) -> _BodySize:
    """Return the size of a body, including the graphs in its nodes' attributes."""
    size = _BodySize()
    pending = [nodes]
    while pending:
        for node in pending.pop():
            size.nodes += 1
            size.bytes += node.ByteSize()
            key = _function_key(node, node.op_type)
            size.calls[key] = size.calls.get(key, 0) + 1
            pending += [a.g.node for a in node.attribute if a.HasField("g")]
            pending += [g.node for a in node.attribute for g in a.graphs]
    return size


def _inlined_size(
    main: _BodySize, functions: Mapping[FunctionKey, _BodySize], file: str
) -> tuple[int, int]:
    """Return nodes and bytes of the inlined model, computed before inlining it."""
    totals: dict[FunctionKey, tuple[int, int]] = {}

    def total(size: _BodySize, depth: int, path: str) -> tuple[int, int]:
        if depth > _DEEPEST:
            raise input_error(
                f"calls functions more than {_DEEPEST} deep",
                path,
                file,
                expected="functions that do not call themselves",
            )
        nodes, length = size.nodes, size.bytes
        for key, times in size.calls.items():
            if key not in functions:
                continue
            if key not in totals:
                totals[key] = total(functions[key], depth + 1, f"functions.{key[1]}")
            inner = totals[key]
            nodes, length = nodes + times * (inner[0] - 1), length + times * inner[1]
        return nodes, length

    return total(main, 0, "graph")
