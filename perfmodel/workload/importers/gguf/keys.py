"""Keys of one architecture in a GGUF header: read with their type checked, faults gathered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.errors import Fault, nearest
from perfmodel.workload.importers.gguf.read import Header, LongArray, StoredAs
from perfmodel.workload.layer_expressions import shown

_LARGEST: Final = 10**7
#: Keys that are right as they are, so that none is taken for a misspelling of another.
_RIGHT: Final = frozenset((
    "block_count", "context_length", "embedding_length", "feed_forward_length",
    "expert_feed_forward_length", "expert_count", "expert_used_count", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.key_length_mla", "attention.value_length_mla", "attention.q_lora_rank",
    "attention.kv_lora_rank", "attention.sliding_window", "rope.dimension_count",
    "ssm.group_count", "wkv.head_size", "time_mix_extra_dim", "time_decay_extra_dim",
    "ssm.conv_kernel", "ssm.inner_size", "ssm.state_size", "ssm.time_step_rank",
))  # fmt: skip


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
            several = set(map(str, cast("list[Any]", value)))
            if len(several) != 1:
                self.refuse(key, "differs from layer to layer", "one number for all layers")
                return 1
            value = cast("list[Any]", value)[0]
        if type(value) is not int or not least <= value <= _LARGEST:
            self.refuse(key, f"{_shown(value)} is no size",
                        f"a whole number from {least} to {_LARGEST:,}")  # fmt: skip
            return 1
        return value

    def flags(self, key: str, count: int) -> list[bool] | None:
        """Return a yes or no for each layer, or None where the header has no such list."""
        value = self.header.keys.get(f"{self.architecture}.{key}")
        if not isinstance(value, list):
            return None
        given = cast("list[Any]", value)
        if len(given) < count or not all(isinstance(v, bool | int) for v in given):
            self.refuse(key, f"{_shown(value)} does not say it for {count} layers",
                        f"{count} flags")  # fmt: skip
            return None
        return [bool(v) for v in given[:count]]

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
        self.faults.append(Fault(message, path=path, file=self.header.file, expected=expected))

    def _missing(self, full: str) -> None:
        head = f"{self.architecture}."
        known = [k for k in self.header.keys if k.startswith(head) and k[len(head) :] not in _RIGHT]
        meant = nearest(full, known, 0.8)
        said = f"unknown key '{meant}'" if meant else f"missing key '{full}'"
        self.faults.append(
            Fault(said, file=self.header.file, expected="" if meant else "a whole number",
                  suggestion=full if meant else "")
        )  # fmt: skip


def _joined(header: Header) -> dict[str, StoredAs]:
    found = {t.name: t for t in header.tensors}
    for tensor in header.tensors:
        parts = tensor.name.split(".")
        if len(parts) == 5 and parts[2] in ("ffn_up", "ffn_gate", "ffn_down"):
            whole = ".".join((*parts[:2], f"{parts[2]}_exps", parts[4]))
            count = found[whole].shape[-1] + 1 if whole in found else 1
            found[whole] = tensor._replace(name=whole, shape=(*tensor.shape[:2], count))
    return found


def _shown(value: Any) -> str:
    return f"an array of {value.length}" if isinstance(value, LongArray) else shown(value)
