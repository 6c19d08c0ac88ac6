"""How operators are translated that reshape, cut, join and pad: their bounds are constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from perfmodel.workload.importers.tflite.read import TfliteOperator
from perfmodel.workload.importers.tflite.translate import Translator
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


def _reshape(t: Translator, o: TfliteOperator) -> None:
    target = t.input(o, 1) or t.constant(o.options["new_shape"])
    t.emit("Reshape", (t.input(o, 0), target), (t.name(o.outputs[0]),), {"allowzero": 1})


def _squeeze(t: Translator, o: TfliteOperator) -> None:
    axes = o.options["squeeze_dims"]
    more = (t.constant(axes),) if axes else ()
    t.emit("Squeeze", (t.input(o, 0), *more), (t.name(o.outputs[0]),))


def _expand_dims(t: Translator, o: TfliteOperator) -> None:
    axes = t.numbers(o, 1)
    at = t.input(o, 1) if axes is None else t.constant(axes)
    t.emit("Unsqueeze", (t.input(o, 0), at), (t.name(o.outputs[0]),))


def _transpose(t: Translator, o: TfliteOperator) -> None:
    order = t.numbers(o, 1)
    attributes = {} if order is None else {"perm": order}
    t.emit("Transpose", (t.input(o, 0),), (t.name(o.outputs[0]),), attributes)


def _pad(t: Translator, o: TfliteOperator) -> None:
    borders = t.numbers(o, 1)
    out = (t.name(o.outputs[0]),)
    if borders is None:
        t.emit("Pad", t.inputs(o)[:2], out)
        return
    pads = t.constant((*borders[::2], *borders[1::2]))
    t.emit("Pad", (t.input(o, 0), pads), out)


def _slice(t: Translator, o: TfliteOperator) -> None:
    begin, size = t.numbers(o, 1), t.numbers(o, 2)
    out = (t.name(o.outputs[0]),)
    if begin is None or size is None or len(begin) != len(size):
        t.own("StridedSlice", t.inputs(o), out)
        return
    ends = [TO_THE_END if s < 0 else b + s for b, s in zip(begin, size, strict=True)]
    t.emit("Slice", (t.input(o, 0), t.constant(begin), t.constant(ends)), out)


def _strided_slice(t: Translator, o: TfliteOperator) -> None:
    """``STRIDED_SLICE``: a slice of the standard where its bounds are constants."""
    begin, end, step = (t.numbers(o, i) for i in (1, 2, 3))
    out = t.name(o.outputs[0])
    if begin is None or end is None or step is None or not len(begin) == len(end) == len(step):
        t.own("StridedSlice", t.inputs(o), (out,), {k: int(v) for k, v in o.options.items()})
        return
    cuts, gone, new = masked(o.options, begin, end, step, t.rank(o))
    after = [(op, axes) for op, axes in (("Squeeze", gone), ("Unsqueeze", new)) if axes]
    cut = out if not after else t.fresh("cut")
    bounds = [t.constant([c[k] for c in cuts]) for k in range(4)]
    t.emit("Slice", (t.input(o, 0), *bounds), (cut,))
    for i, (op, axes) in enumerate(after):
        made = out if i == len(after) - 1 else t.fresh("cut")
        t.emit(op, (cut, t.constant(axes)), (made,))
        cut = made


def _split(t: Translator, o: TfliteOperator) -> None:
    axis = (t.numbers(o, 0) or (0,))[0]
    t.emit("Split", (t.input(o, 1),), [t.name(i) for i in o.outputs],
           {"axis": axis, "num_outputs": len(o.outputs)})  # fmt: skip


def _split_by(t: Translator, o: TfliteOperator) -> None:
    sizes, axis = t.numbers(o, 1), (t.numbers(o, 2) or (0,))[0]
    names = [t.name(i) for i in o.outputs]
    if sizes is not None and sizes.count(-1) == 1 and t.rank(o):
        whole = t.tensor(o.inputs[0]).shape[axis]
        sizes = tuple(whole - sum(sizes) - 1 if s == -1 else s for s in sizes)
    at = t.input(o, 1) if sizes is None else t.constant(sizes)
    t.emit("Split", (t.input(o, 0), at), names, {"axis": axis})


def _pack(t: Translator, o: TfliteOperator) -> None:
    axis = o.options["axis"]
    parts: list[str] = []
    for name in t.inputs(o):
        part = t.fresh("part")
        t.emit("Unsqueeze", (name, t.constant((axis,))), (part,))
        parts.append(part)
    t.emit("Concat", parts, (t.name(o.outputs[0]),), {"axis": axis})


def _unpack(t: Translator, o: TfliteOperator) -> None:
    axis = o.options["axis"]
    parts = [t.fresh("part") for _ in o.outputs]
    t.emit("Split", (t.input(o, 0),), parts, {"axis": axis, "num_outputs": len(parts)})
    for part, index in zip(parts, o.outputs, strict=True):
        t.emit("Squeeze", (part, t.constant((axis,))), (t.name(index),))


def _range(t: Translator, o: TfliteOperator) -> None:
    t.emit("Range", t.inputs(o), (t.name(o.outputs[0]),))


def _zeros(t: Translator, o: TfliteOperator) -> None:
    shape = t.fresh("shape")
    t.emit("Shape", (t.input(o, 0),), (shape,))
    t.emit("ConstantOfShape", (shape,), (t.name(o.outputs[0]),))


SLICES: Final[Mapping[str, Callable[[Translator, TfliteOperator], None]]] = {
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
    "RANGE": _range,
    "ZEROS_LIKE": _zeros,
}
