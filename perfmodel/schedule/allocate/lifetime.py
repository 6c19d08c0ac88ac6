"""Buffers with lifetimes, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.errors import Fault


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer that takes ``size_bytes`` from time ``lower`` until just before ``upper``.

    Parameters
    ----------
    id : str
        Name of the buffer, its own among the buffers.
    lower, upper : int
        Times, half-open: a buffer that ends at 5 and one that begins at 5 may share bytes.
    size_bytes : int
        Size; one of 0 bytes gets an address and is in nobody's way.
    alignment : int
        The offset is a multiple of it.
    offset : int, optional
        The buffer lies there already and stays (a hold, as for a planned or mapped buffer).
    hint : int, optional
        Where it lay before; packing by increasing hint is tried before anything else.
    """

    id: str
    lower: int
    upper: int
    size_bytes: int
    alignment: int = 1
    offset: int | None = None
    hint: int | None = None


def lifetime_faults(buffers: Sequence[Lifetime]) -> list[Fault]:
    """Return every defect of buffers that were made in Python; ``path`` is ``buffers[index]``."""
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
                    Fault(f"{value!r} is no whole number", path=f"{path}.{name}", expected="an int")
                )
                break
        else:
            faults += [Fault(m, path=f"{path}.{n}", expected=e) for n, m, e in number_faults(b)]
        if b.id in seen:
            faults.append(
                Fault(
                    f"'{b.id}' is the name of buffers[{seen[b.id]}] as well",
                    path=f"{path}.id",
                    expected="a name of its own for each buffer",
                )
            )
        seen.setdefault(b.id, i)
    return faults


def number_faults(b: Lifetime) -> list[tuple[str, str, str]]:
    """Return (field, message, expected) of each number of a buffer that cannot be."""
    out: list[tuple[str, str, str]] = []
    if b.upper <= b.lower:
        out.append(
            (
                "upper",
                f"{b.upper} is not after lower, which is {b.lower}",
                "the first time at which the buffer is gone",
            )
        )
    if b.size_bytes < 0:
        out.append(("size_bytes", f"{b.size_bytes} is below zero", "bytes from 0"))
    if b.alignment < 1:
        out.append(("alignment", f"{b.alignment} is no alignment", "bytes from 1"))
    if b.offset is not None and b.offset < 0:
        out.append(("offset", f"{b.offset} is below zero", "bytes from 0"))
    elif b.offset is not None and b.alignment > 0 and b.offset % b.alignment:
        out.append(
            (
                "offset",
                f"{b.offset} is no multiple of the alignment {b.alignment}",
                f"a multiple of {b.alignment}",
            )
        )
    if b.hint is not None and b.hint < 0:
        out.append(("hint", f"{b.hint} is below zero", "bytes from 0"))
    return out
