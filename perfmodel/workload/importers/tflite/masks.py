"""The five masks of ``STRIDED_SLICE``, as the slice, squeeze and unsqueeze of the ONNX standard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from perfmodel.workload.symbols import Dim

#: What the ONNX standard reads as "to the end".
TO_THE_END: Final = 2**31 - 1

_Bound = TypeVar("_Bound", int, Dim)


def masked(
    options: Mapping[str, Any], begin: Sequence[_Bound], end: Sequence[_Bound],
    step: Sequence[int], rank: int,
) -> tuple[list[tuple[_Bound | int, _Bound | int, int, int]], list[int], list[int]]:  # fmt: skip
    """Return cuts ``(first, last, axis, step)``, the axes that go after them, and those that come.

    A bit of a mask says of an entry that it cuts from the very begin, or to the very end; that it
    stands for all axes that are left; that it adds an axis; or that it picks one position and takes
    the axis away.
    """

    def bit(name: str, i: int) -> bool:
        return bool(options[name] >> i & 1)

    cuts: list[tuple[_Bound | int, _Bound | int, int, int]] = []
    gone: list[int] = []
    new: list[int] = []
    axis = place = 0
    taken = sum(
        not bit("new_axis_mask", i) and not bit("ellipsis_mask", i) for i in range(len(begin))
    )
    for i, (first, last, stride) in enumerate(zip(begin, end, step, strict=True)):
        if bit("ellipsis_mask", i):
            axis += rank - taken
            place += rank - taken
        elif bit("new_axis_mask", i):
            new.append(place)
            place += 1
        elif bit("shrink_axis_mask", i):
            cuts.append((first, TO_THE_END if first == -1 else first + 1, axis, 1))
            gone.append(axis)
            axis += 1
        else:
            stop = first + last if options["offset"] else last
            low, high = (0, TO_THE_END) if stride > 0 else (TO_THE_END, -TO_THE_END)
            cuts.append((
                low if bit("begin_mask", i) else first, high if bit("end_mask", i) else stop,
                axis, stride,
            ))  # fmt: skip
            axis, place = axis + 1, place + 1
    return cuts, gone, new
