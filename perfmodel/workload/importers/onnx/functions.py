"""Inlining of a model's own functions, within a budget of nodes and bytes."""

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

Key: TypeAlias = tuple[str, str, str]


@dataclass(slots=True)
class _Size:
    """Size of a function or graph before inlining: its nodes, bytes, and calls per function."""

    nodes: int = 0
    bytes: int = 0
    calls: dict[Key, int] = field(default_factory=dict[Key, int])


def written_out(model: Any, file: str) -> Any:
    """Return the model with its functions inlined.

    Raises
    ------
    InputError
        The inlined model is too large, or its functions are recursive or cannot be inlined.
    """
    functions = {_key(f, f.name): _size(f.node) for f in model.functions}
    main = _size(model.graph.node)
    nodes, size = _total(main, functions, file)
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


def _key(proto: Any, name: str) -> Key:
    domain = "" if proto.domain == "ai.onnx" else str(proto.domain)
    return domain, str(name), str(proto.overload)


def _size(nodes: Iterable[Any]) -> _Size:
    """Return the size of a body, including the graphs in its nodes' attributes."""
    size = _Size()
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            size.nodes += 1
            size.bytes += node.ByteSize()
            key = _key(node, node.op_type)
            size.calls[key] = size.calls.get(key, 0) + 1
            waiting += [a.g.node for a in node.attribute if a.HasField("g")]
            waiting += [g.node for a in node.attribute for g in a.graphs]
    return size


def _total(main: _Size, functions: Mapping[Key, _Size], file: str) -> tuple[int, int]:
    """Return nodes and bytes of the inlined model, computed before inlining it."""
    totals: dict[Key, tuple[int, int]] = {}

    def total(size: _Size, depth: int, path: str) -> tuple[int, int]:
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
