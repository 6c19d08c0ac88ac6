"""Keys of one architecture in a GGUF header: read with their type checked, faults gathered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.errors import Fault, nearest
from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.read import Header, LongArray, StoredAs
from perfmodel.workload.importers.stored.held import whole_of
from perfmodel.workload.layer_expressions import shown

_LARGEST: Final = 10**7


class Keys:
    """What an architecture's reader asks of a header.

    Attributes
    ----------
    architecture
        ``general.architecture``.
    tensors
        Tensor by name; experts that are a tensor each (files of 2023) as one of all of them too.
    faults
        What is wrong; reading goes on.
    notes
        What a user must know about what was read.
    fields
        Field of the structure -> the key that it came from.
    """

    def __init__(self, header: Header, architecture: str) -> None:
        self.header, self.architecture = header, architecture
        self.tensors: Mapping[str, StoredAs] = _joined(header)
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.fields: dict[str, str] = {}

    def size(self, key: str, default: int | None = None, *, field: str = "", least: int = 1) -> int:
        """Return a count; where it is at fault the fault is noted and 1 returned.

        Parameters
        ----------
        key
            Without the architecture's prefix.
        default
            What a missing key means; without one the key is required.
        field
            Field of the structure that it becomes, so that faults found there point here.
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
            self.refuse(key, f"{_shown(value)} is no size", expected)
            return 1
        return value

    def flags(self, key: str, count: int) -> list[bool] | None:
        """Return a yes or no for each layer, or None where the header has no such list."""
        value = self.header.keys.get(f"{self.architecture}.{key}")
        if not isinstance(value, list):
            return None
        listed = cast("list[Any]", value)
        if len(listed) < count or not all(isinstance(v, int) for v in listed):
            message = f"{shown(listed)} does not say it for {count} layers"
            self.refuse(key, message, f"{count} flags")
            return None
        return list(map(bool, listed[:count]))

    def has(self, name: str) -> bool:
        """Tell whether a tensor is there."""
        return name in self.tensors

    def states(self, key: str) -> bool:
        """Tell whether a key of the architecture is there."""
        return f"{self.architecture}.{key}" in self.header.keys

    def axis(self, name: str, axis: int, default: int = 0) -> int:
        """Return an extent of a tensor, row length first; the default where there is none."""
        found = self.tensors.get(name)
        return found.shape[axis] if found is not None and axis < len(found.shape) else default

    def refuse(self, key: str, message: str, expected: str = "") -> None:
        """Note that the value of a key cannot be used."""
        path = f"{self.architecture}.{key}" if key else ""
        self.faults.append(Fault(message, path, self.header.file, expected=expected))

    def _missing(self, full: str) -> None:
        head = f"{self.architecture}."
        right = {f"{head}{key}" for key in shipped("workloads", "stored/right_keys.yaml")["gguf"]}
        known = [k for k in self.header.keys if k.startswith(head) and k not in right]
        meant = nearest(full, known, 0.8)
        file = self.header.file
        self.faults.append(
            Fault(f"unknown key '{meant}'", file=file, suggestion=full)
            if meant
            else Fault(f"missing key '{full}'", file=file, expected="a whole number")
        )


def _joined(header: Header) -> dict[str, StoredAs]:
    found = {t.name: t for t in header.tensors}
    for tensor in header.tensors:
        whole = whole_of(tensor.name)
        if whole:
            count = found[whole].shape[-1] + 1 if whole in found else 1
            found[whole] = tensor._replace(name=whole, shape=(*tensor.shape[:2], count))
    return found


def _shown(value: Any) -> str:
    return f"an array of {value.length}" if isinstance(value, LongArray) else shown(value)
