"""Typed access to the keys of one architecture in a GGUF header, collecting faults.

Keys are named ``ARCHITECTURE.NAME``, as in ``llama.block_count`` (ggml-org/ggml, docs/gguf.md,
"Standardized key-value pairs"). `gguf.architectures` reads them by NAME.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.errors import Fault, nearest
from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.header import GgufHeader, GgufTensor, LongArray
from perfmodel.workload.importers.weight_files.file_tensor import joined_expert_name
from perfmodel.workload.layer_expressions import shown

_LARGEST: Final = 10**7


class GgufKeys:
    """Reader of the keys of a header for one architecture.

    Attributes
    ----------
    architecture
        ``general.architecture``.
    tensors
        Tensor by name; experts stored as one tensor each (files of 2023) also as a joined one.
    faults
        Collected faults; reading continues after them.
    notes
        Remarks for the user on the imported file.
    fields
        Field of the structure -> key that states it.
    """

    def __init__(self, header: GgufHeader, architecture: str) -> None:
        self.header, self.architecture = header, architecture
        self.tensors: Mapping[str, GgufTensor] = _with_joined_experts(header)
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.fields: dict[str, str] = {}

    def size(self, key: str, default: int | None = None, *, field: str = "", least: int = 1) -> int:
        """Return a count, or record a fault and return 1 if it is invalid.

        Parameters
        ----------
        key
            Key without the prefix of the architecture.
        default
            Value of a missing key; without a default the key is required.
        field
            Corresponding field of the structure, so that its faults refer to this key.
        """
        full = f"{self.architecture}.{key}"
        if field:
            self.fields[field] = full
        value = self.header.keys.get(full)
        if value is None:
            if default is None:
                self._missing(full)
                return 1
            return default
        if isinstance(value, list):
            listed = cast("list[Any]", value)
            if len(set(map(str, listed))) != 1:
                self.refuse(key, "differs from layer to layer", "one number for all layers")
                return 1
            value = listed[0]
        if type(value) is not int or not least <= value <= _LARGEST:
            expected = f"a whole number from {least} to {_LARGEST:,}"
            self.refuse(key, f"{_shown(value)} is not a size", expected)
            return 1
        return value

    def flags(self, key: str, count: int) -> list[bool] | None:
        """Return a flag for each layer, or None if the header has no such list."""
        value = self.header.keys.get(f"{self.architecture}.{key}")
        if not isinstance(value, list):
            return None
        listed = cast("list[Any]", value)
        if len(listed) < count or not all(isinstance(v, int) for v in listed):
            message = f"{shown(listed)} does not state a flag for each of {count} layers"
            self.refuse(key, message, f"{count} flags")
            return None
        return list(map(bool, listed[:count]))

    def has(self, name: str) -> bool:
        """Return whether the file has a tensor."""
        return name in self.tensors

    def states(self, key: str) -> bool:
        """Return whether the header has a key of the architecture."""
        return f"{self.architecture}.{key}" in self.header.keys

    def axis(self, name: str, axis: int, default: int = 0) -> int:
        """Return an extent of a tensor (axis 0 is the row length), or the default without it."""
        tensor = self.tensors.get(name)
        return tensor.shape[axis] if tensor is not None and axis < len(tensor.shape) else default

    def refuse(self, key: str, message: str, expected: str = "") -> None:
        """Record a fault for the value of a key."""
        path = f"{self.architecture}.{key}" if key else ""
        self.faults.append(Fault(message, path, self.header.file, expected=expected))

    def _missing(self, full: str) -> None:
        """Record the fault of a missing key; a misspelled key that is present is suggested."""
        prefix = f"{self.architecture}."
        valid_keys = {
            f"{prefix}{key}" for key in shipped("workloads", "stored/right_keys.yaml")["gguf"]
        }
        known = [k for k in self.header.keys if k.startswith(prefix) and k not in valid_keys]
        meant = nearest(full, known, 0.8)
        file = self.header.file
        self.faults.append(
            Fault(f"unknown key '{meant}'", file=file, suggestion=full)
            if meant
            else Fault(f"missing key '{full}'", file=file, expected="a whole number")
        )


def _with_joined_experts(header: GgufHeader) -> dict[str, GgufTensor]:
    """Return the tensors by name, experts that are stored one by one also as one joined tensor."""
    by_name = {t.name: t for t in header.tensors}
    for tensor in header.tensors:
        joined_name = joined_expert_name(tensor.name)
        if joined_name:
            count = by_name[joined_name].shape[-1] + 1 if joined_name in by_name else 1
            by_name[joined_name] = tensor._replace(
                name=joined_name, shape=(*tensor.shape[:2], count)
            )
    return by_name


def _shown(value: Any) -> str:
    return f"an array of {value.length}" if isinstance(value, LongArray) else shown(value)
