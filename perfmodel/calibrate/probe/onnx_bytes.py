"""A small ONNX model as bytes, written without the onnx package.

Protocol buffers as in onnx.proto of the ONNX repository: a message is a row of fields, each a key
(field number and wire type) and a value.
"""

from __future__ import annotations

from itertools import pairwise

__all__ = ["chain"]

_FLOAT = 1
_IR_VERSION = 8
_OPERATORS = 13


def _whole(number: int) -> bytes:
    """Base 128, lowest seven bits first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _whole(field << 3) + _whole(value)


def _part(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _whole(field << 3 | 2) + _whole(len(data)) + data


def _one_float(name: str) -> bytes:
    """ValueInfoProto of a tensor of one float."""
    shape = _part(1, _number(1, 1))
    tensor = _number(1, _FLOAT) + _part(2, shape)
    return _part(1, name) + _part(2, _part(1, tensor))


def chain(nodes: int) -> bytes:
    """A model of additions in a row, each of one float: nothing but dispatch.

    Parameters
    ----------
    nodes : int
        At least 1. Input ``x``, output ``y``.
    """
    names = ["x", *(f"t{i}" for i in range(1, nodes)), "y"]
    body = b"".join(
        _part(1, _part(1, before) + _part(1, "x") + _part(2, after) + _part(4, "Add"))
        for before, after in pairwise(names)
    )
    graph = body + _part(2, "chain") + _part(11, _one_float("x")) + _part(12, _one_float("y"))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _number(2, _OPERATORS))
