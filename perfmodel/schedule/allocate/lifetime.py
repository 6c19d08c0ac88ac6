"""Buffers with lifetimes, the input of `allocate`, and the faults of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.errors import Fault


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer that occupies ``size_bytes`` from time ``lower`` until just before ``upper``.

    Parameters
    ----------
    id : str
        Unique name of the buffer.
    lower, upper : int
        Half-open interval: a buffer that ends at 5 and one that begins at 5 may share bytes.
    size_bytes : int
        Size in bytes; a buffer of 0 bytes gets an address but conflicts with no other.
    alignment : int
        The offset is a multiple of this number of bytes.
    offset : int, optional
        Fixed offset of the buffer (as for a planned or mapped buffer).
    hint : int, optional
        Earlier offset; packing in order of increasing hints is tried before anything else.
    """

    id: str
    lower: int
    upper: int
    size_bytes: int
    alignment: int = 1
    offset: int | None = None
    hint: int | None = None


def lifetime_faults(buffers: Sequence[Lifetime]) -> list[Fault]:
    """Return every fault of buffers created in Python; ``path`` is ``buffers[index]``."""
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for i, b in enumerate(buffers):
        path = f"buffers[{i}]"
        for name in ("lower", "upper", "size_bytes", "alignment", "offset", "hint"):
            value = getattr(b, name)
            if value is None and name in ("offset", "hint"):
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                faults.append(
                    Fault(
                        f"{value!r} is not a whole number", path=f"{path}.{name}", expected="an int"
                    )
                )
                break
        else:
            faults += [Fault(m, path=f"{path}.{n}", expected=e) for n, m, e in number_faults(b)]
        if b.id in seen:
            faults.append(
                Fault(
                    f"'{b.id}' is also the name of buffers[{seen[b.id]}]",
                    path=f"{path}.id",
                    expected="a different name for each buffer",
                )
            )
        seen.setdefault(b.id, i)
    return faults


def number_faults(b: Lifetime) -> list[tuple[str, str, str]]:
    """Return (field, message, expected) for each invalid number of a buffer."""
    faults: list[tuple[str, str, str]] = []
    if b.upper <= b.lower:
        message = f"{b.upper} is not after lower, which is {b.lower}"
        faults.append(("upper", message, "the first time after its last use"))
    if b.alignment < 1:
        faults.append(("alignment", f"{b.alignment} is not an alignment", "bytes from 1"))
    elif b.offset is not None and b.offset > 0 and b.offset % b.alignment:
        message = f"{b.offset} is not a multiple of the alignment {b.alignment}"
        faults.append(("offset", message, f"a multiple of {b.alignment}"))
    for name in ("size_bytes", "offset", "hint"):
        value = getattr(b, name)
        if value is not None and value < 0:
            faults.append((name, f"{value} is below zero", "bytes from 0"))
    return faults
