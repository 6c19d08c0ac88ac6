"""A model's own functions written out where they are called, within a budget of nodes and bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeAlias

from perfmodel.errors import input_error

#: Nodes of a model, its functions written out: work and memory grow with them.
MOST_NODES: Final = 100_000
#: Bytes of a model, its functions written out, beyond those of its file.
_MOST_BYTES: Final = 2**26
#: Functions that call one another in a row.
_DEEPEST: Final = 100

Key: TypeAlias = tuple[str, str, str]


@dataclass(slots=True)
class _Size:
    """What a function or a graph holds: its own nodes and bytes, and which functions it calls."""

    nodes: int = 0
    bytes: int = 0
    calls: dict[Key, int] = field(default_factory=dict[Key, int])


def written_out(model: Any, file: str) -> Any:
    """Return the model with its functions written out.

    Raises
    ------
    InputError
        More nodes than can be read; functions that call themselves, or cannot be written out.
    """
    functions = {_key(f, f.name): _size(f.node) for f in model.functions}
    main = _size(model.graph.node)
    nodes, size = _total(main, functions, file)
    if nodes > MOST_NODES:
        of = "its functions written out are" if functions else "holds"
        raise input_error(
            f"{of} {nodes:,} nodes",
            "functions" if functions else "graph",
            file,
            expected=f"at most {MOST_NODES:,}",
        )
    if functions and size - main.bytes > _MOST_BYTES:
        raise input_error(
            f"its functions written out are {size >> 20:,} MiB",
            "functions",
            file,
            expected=f"at most {_MOST_BYTES >> 20}",
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
    """Return the size of a body, graphs in its nodes included."""
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
    """Return nodes and bytes of a model with every call written out, without writing them out."""
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
