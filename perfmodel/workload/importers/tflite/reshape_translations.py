"""Translation of TensorFlow Lite operators that reshape, slice, join and pad.

ONNX states axes, bounds and paddings as inputs; constant ones are stored, computed ones are passed
on. The options of each operator are those of tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from perfmodel.workload.importers.tflite.translator import Translator
from perfmodel.workload.symbols import Dim

#: End that the ONNX standard reads as "to the end".
TO_THE_END: Final = 2**31 - 1

_Bound = TypeVar("_Bound", int, Dim)


def resolve_slice_masks(
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
    removed_axes: list[int] = []
    inserted_axes: list[int] = []
    axis = result_axis = 0
    sliced_entries = sum(
        not bit("new_axis_mask", i) and not bit("ellipsis_mask", i) for i in range(len(begin))
    )
    for i, (first, last, stride) in enumerate(zip(begin, end, step, strict=True)):
        if bit("ellipsis_mask", i):
            axis += rank - sliced_entries
            result_axis += rank - sliced_entries
        elif bit("new_axis_mask", i):
            inserted_axes.append(result_axis)
            result_axis += 1
        elif bit("shrink_axis_mask", i):
            cuts.append((first, TO_THE_END if first == -1 else first + 1, axis, 1))
            removed_axes.append(axis)
            axis += 1
        else:
            slice_start, slice_end = (0, TO_THE_END) if stride > 0 else (TO_THE_END, -TO_THE_END)
            if not bit("begin_mask", i):
                slice_start = first
            if not bit("end_mask", i):
                slice_end = first + last if options["offset"] else last
            cuts.append((slice_start, slice_end, axis, stride))
            axis, result_axis = axis + 1, result_axis + 1
    return cuts, removed_axes, inserted_axes


def _reshape(translator: Translator) -> None:
    """Translate ``RESHAPE``, whose target is an input or an option."""
    target = translator.input(1) or translator.constant(translator.options["new_shape"])
    translator.emit("Reshape", (translator.input(0), target), attributes={"allowzero": 1})


def _squeeze(translator: Translator) -> None:
    """Translate ``SQUEEZE`` of stated axes, or of all axes of extent 1."""
    axes = translator.options["squeeze_dims"]
    axes_input = (translator.constant(axes),) if axes else ()
    translator.emit("Squeeze", (translator.input(0), *axes_input))


def _expand_dims(translator: Translator) -> None:
    """Translate ``EXPAND_DIMS``."""
    translator.emit("Unsqueeze", (translator.input(0), translator.integer_input(1)))


def _transpose(translator: Translator) -> None:
    """Translate ``TRANSPOSE``, whose order is a constant input."""
    order = translator.numbers(1)
    attributes = {} if order is None else {"perm": order}
    translator.emit("Transpose", (translator.input(0),), attributes=attributes)


def _pad(translator: Translator) -> None:
    """Translate ``PAD``: ONNX lists all paddings before the axes, then all after them."""
    borders = translator.numbers(1)
    pads = (
        translator.input(1)
        if borders is None
        else translator.constant((*borders[::2], *borders[1::2]))
    )
    translator.emit("Pad", (translator.input(0), pads))


def _slice(translator: Translator) -> None:
    """Translate ``SLICE``: ONNX states ends instead of sizes; -1 extends to the end."""
    begin, size = translator.numbers(1), translator.numbers(2)
    out = (translator.output,)
    if begin is None or size is None or len(begin) != len(size):
        translator.emit("StridedSlice", translator.inputs, out, own=True)
        return
    ends = [TO_THE_END if s < 0 else b + s for b, s in zip(begin, size, strict=True)]
    translator.emit(
        "Slice", (translator.input(0), translator.constant(begin), translator.constant(ends)), out
    )


def _strided_slice(translator: Translator) -> None:
    """Translate ``STRIDED_SLICE``; with constant bounds it is a standard slice."""
    begin, end, step = (translator.numbers(i) for i in (1, 2, 3))
    out = translator.output
    if begin is None or end is None or step is None or not len(begin) == len(end) == len(step):
        translator.emit(
            "StridedSlice",
            translator.inputs,
            (out,),
            {k: int(v) for k, v in translator.options.items()},
            own=True,
        )
        return
    cuts, removed_axes, inserted_axes = resolve_slice_masks(
        translator.options, begin, end, step, translator.rank
    )
    axis_changes = [
        (op, axes) for op, axes in (("Squeeze", removed_axes), ("Unsqueeze", inserted_axes)) if axes
    ]
    cut = translator.new_name("cut") if axis_changes else out
    bounds = [translator.constant(bound) for bound in zip(*cuts, strict=True)] or [
        translator.constant(())
    ] * 4
    translator.emit("Slice", (translator.input(0), *bounds), (cut,))
    for i, (op, axes) in enumerate(axis_changes, 1):
        target = out if i == len(axis_changes) else translator.new_name("cut")
        translator.emit(op, (cut, translator.constant(axes)), (target,))
        cut = target


def _split(translator: Translator) -> None:
    """Translate ``SPLIT`` into equal parts."""
    stated = {
        "axis": (translator.numbers(0) or (0,))[0],
        "num_outputs": len(translator.operator.outputs),
    }
    translator.emit("Split", (translator.input(1),), translator.outputs, stated)


def _split_by(translator: Translator) -> None:
    """Translate ``SPLIT_V`` into parts of stated sizes, one of which may be -1."""
    sizes, axis = translator.numbers(1), (translator.numbers(2) or (0,))[0]
    if sizes is not None and sizes.count(-1) == 1 and translator.rank:
        remaining_extent = (
            translator.tensor(translator.operator.inputs[0]).shape[axis] - sum(sizes) - 1
        )
        sizes = tuple(remaining_extent if size == -1 else size for size in sizes)
    lengths = translator.input(1) if sizes is None else translator.constant(sizes)
    translator.emit("Split", (translator.input(0), lengths), translator.outputs, {"axis": axis})


def _pack(translator: Translator) -> None:
    """Translate ``PACK``: each input gets an axis, along which they are joined."""
    axis = translator.options["axis"]
    parts: list[str] = []
    for name in translator.inputs:
        part = translator.new_name("part")
        translator.emit("Unsqueeze", (name, translator.constant((axis,))), (part,))
        parts.append(part)
    translator.emit("Concat", parts, attributes={"axis": axis})


def _unpack(translator: Translator) -> None:
    """Translate ``UNPACK``: parts along an axis, each without it."""
    axis = translator.options["axis"]
    parts = [translator.new_name("part") for _ in translator.operator.outputs]
    translator.emit(
        "Split", (translator.input(0),), parts, {"axis": axis, "num_outputs": len(parts)}
    )
    for part, index in zip(parts, translator.operator.outputs, strict=True):
        translator.emit("Squeeze", (part, translator.constant((axis,))), (translator.name(index),))


def _zeros(translator: Translator) -> None:
    """Translate ``ZEROS_LIKE``."""
    shape = translator.new_name("shape")
    translator.emit("Shape", (translator.input(0),), (shape,))
    translator.emit("ConstantOfShape", (shape,))


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
    "RANGE": lambda translator: translator.emit("Range", translator.inputs),
    "ZEROS_LIKE": _zeros,
}
