"""Reader of ``.safetensors`` headers; tensor data are read on demand.

Format (huggingface/safetensors, README, "Format"): 8 bytes with the header's length N, little
endian; N bytes of JSON, tensor -> ``dtype``, ``shape``, ``data_offsets`` (begin and end in the
buffer); the buffer, row-major, little endian, without holes. Hence ``end - begin = prod(shape) *
bytes(dtype)``, and each tensor begins where the previous one ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.formats import format_named
from perfmodel.regular_files import FileBytes, open_regular_file
from perfmodel.settings import FaultList
from perfmodel.specfile import read
from perfmodel.workload.importers.element_types import ELEMENT_TYPES

#: Suffix of the index of a sharded file.
INDEX: Final = ".safetensors.index.json"

#: Header size limit of the format.
_LONGEST: Final = 100_000_000
#: Limits on extents, offsets and number of axes, which bound the size of their products.
_LARGEST, _AXES = 2**63, 64
#: dtype of the file -> name of the format, and bytes of an element.
FORMATS: Final[Mapping[str, str]] = ELEMENT_TYPES["safetensors"]
BYTES: Final = {dtype: format_named(format).bits // 8 for dtype, format in FORMATS.items()}


class StoredTensor(NamedTuple):
    """Location, dtype and shape of a tensor in a file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def is_float(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return "F" in self.dtype

    def read(self) -> Array:
        """Return the values as float64."""
        dtype, size = self.dtype, BYTES[self.dtype]
        count = prod(self.shape) * size
        with open_regular_file(self.file) as stream:
            content = FileBytes(stream, self.file)[self.start : self.start + count]
        raw = np.frombuffer(content, dtype=np.uint8)
        if len(raw) < count:
            raise input_error("became shorter while it was read", file=self.file)
        if dtype == "BF16":
            values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        elif dtype.startswith("F8"):
            values = _decode_fp8(raw, 3 if dtype == "F8_E4M3" else 2)
        else:
            code = "?" if dtype == "BOOL" else f"<{dtype[0].lower()}{size}"
            values = raw.view(code).astype(np.float64)
        return values.reshape(self.shape)


def read_header(path: str | Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file, in the header's order.

    Raises
    ------
    InputError
        The file cannot be read or its header is malformed; lists every fault.
    """
    file = Path(path)
    try:
        with open_regular_file(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            head = stream.read(min(length, _LONGEST, size))
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise input_error(reason, file=str(file), expected="a readable file") from None
    if size < 8 or length > _LONGEST or 8 + length > size or not head.startswith(b"{"):
        message = "is truncated or not a safetensors file"
        raise input_error(message, file=str(file), expected="a header of JSON")
    repeated_keys: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                repeated_keys.append(key)
            values[key] = value
        return values

    try:
        header: Any = json.loads(head, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        message = f"its header is not JSON: {str(error).splitlines()[0]}"
        raise input_error(message, file=str(file), expected="a sound file") from None
    faults = [Fault(f"'{key}' occurs twice", key, str(file)) for key in repeated_keys]
    tensors: dict[str, StoredTensor] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensor = _read_entry(name, entry, str(file), 8 + length, size, faults)
        if tensor is not None:
            tensors[name] = tensor
            spans.append(
                (tensor.start, tensor.start + prod(tensor.shape) * BYTES[tensor.dtype], name)
            )
    end = 8 + length
    for start, stop, name in sorted(spans):
        if start != end and not faults:
            message = "begins before its predecessor ends" if start < end else "follows a hole"
            faults.append(Fault(message, name, str(file), expected=f"offset {end - 8 - length}"))
        end = max(end, stop)
    if faults:
        raise InputError(faults)
    return tensors


def read_index(path: str | Path) -> dict[str, StoredTensor]:
    """Return the tensors of all files that an index lists, in the same folder.

    Raises
    ------
    InputError
        Files that cannot be read or are in other folders, and tensors missing from their file;
        lists every fault.
    """
    path = Path(path)
    data, _ = read(path)
    weight_map: Any = (
        cast("dict[str, Any]", data).get("weight_map") if isinstance(data, dict) else None
    )
    file_of_tensor = cast(
        "dict[str, str]", weight_map if isinstance(weight_map, dict) else {"": None}
    )
    if set(map(type, file_of_tensor.values())) - {str}:
        raise input_error("has no weight_map", file=str(path), expected="tensor -> file")
    faults = FaultList()
    tensors: dict[str, StoredTensor] = {}
    for name in sorted(set(file_of_tensor.values())):
        if not name or Path(name).name != name:
            message = f"'{name}' lies elsewhere"
            expected = "files beside the index"
            faults.append(Fault(message, "weight_map", str(path), expected=expected))
            continue
        tensors |= faults.trying(read_header, path.with_name(name)) or {}
    for name, file in file_of_tensor.items() if not faults else ():
        if name not in tensors or Path(tensors[name].file).name != file:
            faults.append(Fault(f"'{name}' is not in '{file}'", "weight_map", str(path)))
    faults.settle()
    return tensors


def _read_entry(
    name: str, entry: Any, file: str, base: int, size: int, faults: list[Fault]
) -> StoredTensor | None:
    """Return a tensor of the header after checking ``dtype``, ``shape`` and ``data_offsets``."""

    def fault(message: str, expected: str, suggestion: str = "") -> None:
        faults.append(Fault(message, name, file, expected=expected, suggestion=suggestion))

    stated = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    if not {"dtype", "shape", "data_offsets"} <= stated.keys():
        fault("is not a tensor", "dtype, shape and data_offsets")
        return None
    dtype, shape, offsets = stated["dtype"], stated["shape"], stated["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        fault(f"unknown dtype {dtype!r}", one_of(BYTES), nearest(str(dtype), BYTES))
        return None
    if not _is_list_of_integers(shape) or not _is_list_of_integers(offsets) or len(offsets) != 2:
        expected = f"lists of whole numbers, at most {_AXES} axes, two offsets"
        fault("shape or offsets are not whole numbers of 64 bits", expected)
        return None
    begin, end = offsets
    needed = prod(shape) * BYTES[dtype]
    if end - begin != needed or base + end > size:
        message = f"bytes {begin} to {end} do not hold {tuple(shape)} of {dtype} in this file"
        fault(message, f"{needed} bytes inside the file")
        return None
    return StoredTensor(file, dtype, tuple(shape), base + begin)


def _is_list_of_integers(value: Any) -> bool:
    """Return whether a value is a short list of non-negative 64-bit integers."""
    items = cast("list[Any]", value) if isinstance(value, list) else [None]
    return len(items) <= _AXES and all(type(v) is int and 0 <= v < _LARGEST for v in items)


def _decode_fp8(raw: npt.NDArray[np.uint8], mantissa: int) -> Array:
    """Decode the OFP8 formats E4M3 and E5M2 (Open Compute Project, OFP8 specification, 2023).

    With sign s, exponent e of w bits, bias ``2^(w-1) - 1`` and mantissa m of k bits, the value is
    ``(-1)^s 2^(e - bias) (1 + m / 2^k)``, and ``(-1)^s 2^(1 - bias) m / 2^k`` if e is 0.
    """
    code = np.arange(256)
    width = 7 - mantissa
    exponent = (code >> mantissa) & (2**width - 1)
    fraction = code & (2**mantissa - 1)
    bias = 2 ** (width - 1) - 1
    normal = np.ldexp(fraction + 2.0**mantissa, exponent - bias - mantissa)
    small = np.ldexp(1.0 * fraction, 1 - bias - mantissa)
    value = cast("Array", np.where(exponent > 0, normal, small))
    if mantissa == 3:  # E4M3 has no infinity and one NaN per sign
        value[(code & 0x7F) == 0x7F] = np.nan
    else:
        special = exponent == 2**width - 1
        value[special] = np.where(fraction[special] > 0, np.nan, np.inf)
    return cast("Array", np.where(code & 0x80, -value, value)[raw])
