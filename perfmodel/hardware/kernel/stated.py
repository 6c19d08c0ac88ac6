"""Constants that a runtime states for its kernels, read from the facts of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

from perfmodel.arrays import Value
from perfmodel.hardware.kernel.constants import Kernel

#: Constants of a kernel, as facts name them.
_FIELDS: Final = tuple(name for name in Kernel.model_fields if name != "note")


def stated_constants(facts: Mapping[str, Value], key: str) -> dict[str, Value]:
    """Return the constants of kernels that facts state; empty where there are none.

    Parameters
    ----------
    facts
        Path -> value, in SI units.
    key
        Class of kernels, with its format where it has one (``gemm``, ``gemm.fp8``).
    """
    head = f"runtime.kernels.{key}."
    if f"{head}launch" not in facts:
        return {}
    return {name: facts[head + name] for name in _FIELDS if head + name in facts}


@dataclass(frozen=True, slots=True)
class ConstantsOfKernels:
    """Base of the constants that an equation reads: fields named as `Kernel` names them."""

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> Self:
        """Return the constants of a mapping; names that are none of them are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: v for name, v in values.items() if name in known})
