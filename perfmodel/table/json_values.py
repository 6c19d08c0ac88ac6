"""Conversion of results to strict JSON: plain values, with ``null`` for NaN and infinities."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from perfmodel.settings import REMARKS


def plain(value: Any) -> Any:
    """Return a value as JSON-ready data.

    Parameters
    ----------
    value
        Mappings, sequences, NumPy arrays and numbers, paths, objects with a `to_dict`, and other
        dataclasses and named tuples by their fields.

    Returns
    -------
    dict, list, str, int, float, bool or None
        Arrays as lists, keys as text, and non-finite numbers as ``None``.

    Raises
    ------
    TypeError
        A value of any other type.

    Examples
    --------
    >>> import numpy as np
    >>> plain({"latency_s": np.array([1.0, np.inf])})
    {'latency_s': [1.0, None]}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        # Finite arrays need no element-wise conversion.
        array = np.asarray(cast("Any", value))
        finite = array.dtype.kind in "biuSU" or (
            array.dtype.kind == "f" and bool(np.isfinite(array).all())
        )
        return array.tolist() if finite else plain(array.tolist())
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Return strict JSON of data in the types of `plain`."""
    try:
        return json.dumps(data, indent=indent, allow_nan=False, default=plain)
    except (TypeError, ValueError):  # numbers that are not finite, or names that are no text
        return json.dumps(plain(data), indent=indent, allow_nan=False)


def with_remarks(data: Any) -> Any:
    """Return a result's dictionary with the command line's remarks on its settings."""
    remarks = REMARKS.get()
    if not remarks or not isinstance(data, dict):
        return data
    answer = cast("dict[str, Any]", data)
    return answer | {"remarks": list(dict.fromkeys([*answer.get("remarks", ()), *remarks]))}
