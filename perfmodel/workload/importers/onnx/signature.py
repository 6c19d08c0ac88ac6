"""Check of a node against the standard: number of inputs and outputs, and its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, NamedTuple

from perfmodel.errors import nearest, one_of

#: Domains whose operators the package onnx describes.
_DESCRIBED: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})

_KINDS: Final[Mapping[int, str]] = {
    1: "a number",
    2: "a whole number",
    3: "a text",
    4: "a tensor",
    5: "a graph",
    6: "numbers",
    7: "whole numbers",
    8: "texts",
    9: "tensors",
    10: "graphs",
    11: "a sparse tensor",
}


class _Signature(NamedTuple):
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    needed: tuple[int, ...]
    """Positions of inputs that may not be omitted."""
    attributes: Mapping[str, int]
    required: tuple[str, ...]


@lru_cache(maxsize=1024)
def _signature(op: str, domain: str, opset: int) -> _Signature | None:
    defs: Any = import_module("onnx.defs")
    try:
        schema = defs.get_schema(op, opset, "" if domain == "ai.onnx" else domain)
    except Exception:  # onnx's C++ raises its own SchemaError for an unknown operator
        return None
    if schema.deprecated:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    return _Signature(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple(i for i, each in enumerate(schema.inputs) if each.option == single),
        {name: int(each.type.value) for name, each in schema.attributes.items()},
        tuple(name for name, each in schema.attributes.items() if each.required),
    )


def signature_faults(proto: Any, opsets: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Yield each violation of an operator's signature as (message, expected, suggestion)."""
    domain = str(proto.domain)
    if domain not in _DESCRIBED:
        return
    opset = opsets.get(domain, opsets.get("ai.onnx" if domain == "" else "", 0))
    signature = _signature(str(proto.op_type), domain, opset) if opset else None
    if signature is None:
        return
    for count, (least, most), noun in (
        (len(proto.input), signature.inputs, "inputs"),
        (len(proto.output), signature.outputs, "outputs"),
    ):
        if not least <= count <= most:
            span = f"{least}" if least == most else f"{least} to {most}"
            span = span if most < 2**31 - 1 else f"at least {least}"
            yield f"{count} {noun}", span, ""
    for i in signature.needed:
        if i < len(proto.input) and not proto.input[i]:
            yield f"input {i} is left out", "a value", ""
    stated: dict[str, int] = {str(a.name): int(a.type) for a in proto.attribute}
    for name in signature.required:
        if name not in stated:
            yield f"attribute '{name}' is missing", _KINDS.get(signature.attributes[name], ""), ""
    for name, kind in stated.items():
        known = signature.attributes.get(name)
        if known is None:
            if not name.startswith("_"):  # tools store private annotations under such names
                yield (
                    f"no attribute is named '{name}'",
                    one_of(sorted(signature.attributes))
                    if signature.attributes
                    else "no attributes",
                    nearest(name, signature.attributes),
                )
        elif kind and kind != known:
            yield (
                f"attribute '{name}' is {_KINDS.get(kind, 'of another type')}",
                _KINDS.get(known, "another type"),
                "",
            )
