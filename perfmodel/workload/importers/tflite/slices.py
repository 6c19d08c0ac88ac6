"""Translation of reshaping, slicing, joining and padding operators, with constant bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from perfmodel.workload.importers.tflite.translate import Translator
from perfmodel.workload.symbols import Dim

#: End that the ONNX standard reads as "to the end".
TO_THE_END: Final = 2**31 - 1

_Bound = TypeVar("_Bound", int, Dim)


def masked(
    options: Mapping[str, Any],
    begin: Sequence[_Bound],
    end: Sequence[_Bound],
    step: Sequence[int],
    rank: int,
) -> tuple[list[tuple[_Bound | int, _Bound | int, int, int]], list[int], list[int]]:
    """Return slices ``(first, last, axis, step)``, axes to remove after them, and axes to insert.

    A mask bit marks an entry that starts at the first or ends at the last element, that covers all
    remaining axes, that inserts an axis, or that picks one position and removes the axis.
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
            low, high = (0, TO_THE_END) if stride > 0 else (TO_THE_END, -TO_THE_END)
            if not bit("begin_mask", i):
                low = first
            if not bit("end_mask", i):
                high = first + last if options["offset"] else last
            cuts.append((low, high, axis, stride))
            axis, place = axis + 1, place + 1
    return cuts, gone, new


def _reshape(t: Translator) -> None:
    target = t.input(1) or t.constant(t.options["new_shape"])
    t.emit("Reshape", (t.input(0), target), (t.output,), {"allowzero": 1})


def _squeeze(t: Translator) -> None:
    axes = t.options["squeeze_dims"]
    more = (t.constant(axes),) if axes else ()
    t.emit("Squeeze", (t.input(0), *more), (t.output,))


def _expand_dims(t: Translator) -> None:
    t.emit("Unsqueeze", (t.input(0), t.integer_input(1)), (t.output,))


def _transpose(t: Translator) -> None:
    order = t.numbers(1)
    attributes = {} if order is None else {"perm": order}
    t.emit("Transpose", (t.input(0),), (t.output,), attributes)


def _pad(t: Translator) -> None:
    borders = t.numbers(1)
    pads = t.input(1) if borders is None else t.constant((*borders[::2], *borders[1::2]))
    t.emit("Pad", (t.input(0), pads), (t.output,))


def _slice(t: Translator) -> None:
    begin, size = t.numbers(1), t.numbers(2)
    out = (t.output,)
    if begin is None or size is None or len(begin) != len(size):
        t.emit("StridedSlice", t.inputs, out, own=True)
        return
    ends = [TO_THE_END if s < 0 else b + s for b, s in zip(begin, size, strict=True)]
    t.emit("Slice", (t.input(0), t.constant(begin), t.constant(ends)), out)


def _strided_slice(t: Translator) -> None:
    """Translate ``STRIDED_SLICE``; with constant bounds it is a standard slice."""
    begin, end, step = (t.numbers(i) for i in (1, 2, 3))
    out = t.output
    if begin is None or end is None or step is None or not len(begin) == len(end) == len(step):
        t.emit(
            "StridedSlice", t.inputs, (out,), {k: int(v) for k, v in t.options.items()}, own=True
        )
        return
    cuts, gone, new = masked(t.options, begin, end, step, t.rank)
    after = [(op, axes) for op, axes in (("Squeeze", gone), ("Unsqueeze", new)) if axes]
    cut = t.fresh("cut") if after else out
    bounds = [t.constant(bound) for bound in zip(*cuts, strict=True)] or [t.constant(())] * 4
    t.emit("Slice", (t.input(0), *bounds), (cut,))
    for i, (op, axes) in enumerate(after, 1):
        target = out if i == len(after) else t.fresh("cut")
        t.emit(op, (cut, t.constant(axes)), (target,))
        cut = target


def _split(t: Translator) -> None:
    stated = {"axis": (t.numbers(0) or (0,))[0], "num_outputs": len(t.operator.outputs)}
    t.emit("Split", (t.input(1),), t.outputs, stated)


def _split_by(t: Translator) -> None:
    sizes, axis = t.numbers(1), (t.numbers(2) or (0,))[0]
    if sizes is not None and sizes.count(-1) == 1 and t.rank:
        left = t.tensor(t.operator.inputs[0]).shape[axis] - sum(sizes) - 1
        sizes = tuple(left if size == -1 else size for size in sizes)
    lengths = t.input(1) if sizes is None else t.constant(sizes)
    t.emit("Split", (t.input(0), lengths), t.outputs, {"axis": axis})


def _pack(t: Translator) -> None:
    axis = t.options["axis"]
    parts: list[str] = []
    for name in t.inputs:
        part = t.fresh("part")
        t.emit("Unsqueeze", (name, t.constant((axis,))), (part,))
        parts.append(part)
    t.emit("Concat", parts, (t.output,), {"axis": axis})


def _unpack(t: Translator) -> None:
    axis = t.options["axis"]
    parts = [t.fresh("part") for _ in t.operator.outputs]
    t.emit("Split", (t.input(0),), parts, {"axis": axis, "num_outputs": len(parts)})
    for part, index in zip(parts, t.operator.outputs, strict=True):
        t.emit("Squeeze", (part, t.constant((axis,))), (t.name(index),))


def _zeros(t: Translator) -> None:
    shape = t.fresh("shape")
    t.emit("Shape", (t.input(0),), (shape,))
    t.emit("ConstantOfShape", (shape,), (t.output,))


SLICES: Final[Mapping[str, Callable[[Translator], None]]] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand_dims,
    "TRANSPOSE": _transpose,
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split_by,
    "PACK": _pack,
    "UNPACK": _unpack,
    "RANGE": lambda t: t.emit("Range", t.inputs, (t.output,)),
    "ZEROS_LIKE": _zeros,
}
