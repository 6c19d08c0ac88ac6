"""Check of a node against its operator schema: numbers of inputs and outputs, attributes.

The schemas are those of package onnx (``onnx.defs.get_schema``), by operator set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, NamedTuple

from perfmodel.errors import nearest, one_of
from perfmodel.workload.importers.onnx.operator_traits import ATTRIBUTE_TYPES

#: Domains whose operators the package onnx describes.
_DESCRIBED: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})


class _Signature(NamedTuple):
    """What a schema requires of a node.

    Attributes
    ----------
    inputs, outputs
        Smallest and largest number.
    needed
        Positions of inputs that may not be omitted.
    attributes
        Name of an attribute -> its type.
    required
        Names of the attributes that must be stated.
    """

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    needed: tuple[int, ...]
    """Positions of inputs that may not be omitted."""
    attributes: Mapping[str, int]
    required: tuple[str, ...]


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
            yield (
                f"attribute '{name}' is missing",
                ATTRIBUTE_TYPES.get(str(signature.attributes[name]), ""),
                "",
            )
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
                f"attribute '{name}' is {ATTRIBUTE_TYPES.get(str(kind), 'of another type')}",
                ATTRIBUTE_TYPES.get(str(known), "another type"),
                "",
            )


@lru_cache(maxsize=1024)
def _signature(op: str, domain: str, opset: int) -> _Signature | None:
    """Return the signature of an operator in a version of its operator set; ``None`` if unknown."""
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
