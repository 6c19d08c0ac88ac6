"""Operators of TensorFlow Lite, one by one: shapes as NumPy cuts them, work by closed forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.workload.graph import Operator
from perfmodel.workload.importers.tflite import load_tflite
from tests.workload.tflite_file import FP32, INT8, Writer, example

Build = Callable[[Writer], int]


def _run(tmp_path: Path, build: Build) -> tuple[list[Operator], tuple[Any, ...], Any]:
    w = Writer()
    made = build(w)
    workload = load_tflite(w.write(tmp_path / "one.tflite", made))
    graph = workload.graph()
    assert graph.not_priced == ()
    operators = [o for _, o in graph.walk()]
    shape = graph.tensors[graph.outputs[0]].shape
    if len(shape) == 4:
        # Of images, a graph has the channels second.
        shape = (shape[0], *shape[2:], shape[1])
    return operators, shape, workload


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "same"),
    [
        (7, 3, 2, 1, True),
        (8, 3, 2, 1, True),
        (7, 3, 2, 1, False),
        (9, 3, 1, 2, False),
        (9, 3, 1, 2, True),
        (5, 1, 1, 1, False),
        (6, 5, 3, 1, False),
    ],
)
def test_convolutions(
    size: int, kernel: int, stride: int, dilation: int, same: bool, tmp_path: Path
) -> None:
    reach = (kernel - 1) * dilation + 1
    # Counted: where a window begins, padded or not.
    padded = size + (max((-(-size // stride) - 1) * stride + reach - size, 0) if same else 0)
    out = len(range(0, padded - reach + 1, stride))
    options = {0: ("b", 0 if same else 1), 1: ("i", stride), 2: ("i", stride)}

    def plain(w: Writer) -> int:
        dilated = {4: ("i", dilation), 5: ("i", dilation)}
        return w.op(
            3,
            1,
            [w.input(1, size, size, 3), w.weight(8, kernel, kernel, 3), w.weight(8)],
            [(1, 1, 1, 8)],
            options | dilated,
        )

    (conv,), shape, workload = _run(tmp_path, plain)
    assert shape == (1, out, out, 8)
    assert (conv.kind, workload.macs) == ("conv", out * out * kernel * kernel * 3 * 8)

    def depthwise(w: Writer) -> int:
        more = {3: ("i", 2), 5: ("i", dilation), 6: ("i", dilation)}
        return w.op(
            4,
            2,
            [w.input(1, size, size, 3), w.weight(1, kernel, kernel, 6), w.weight(6)],
            [(1, 1, 1, 6)],
            options | more,
        )

    _, shape, workload = _run(tmp_path, depthwise)
    assert shape == (1, out, out, 6)
    assert workload.macs == out * out * kernel * kernel * 6

    def pool(w: Writer) -> int:
        window = {3: ("i", kernel), 4: ("i", kernel)}
        return w.op(17, 5, [w.input(1, size, size, 3)], [(1, 1, 1, 3)], options | window)

    if dilation == 1:
        (pooled,), shape, _ = _run(tmp_path, pool)
        assert shape == (1, out, out, 3)
        assert pooled.vector_ops == out * out * 3 * kernel * kernel


def test_a_grouped_convolution(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        return w.op(
            3,
            1,
            [w.input(1, 6, 6, 8), w.weight(16, 3, 3, 4), w.weight(16)],
            [(1, 6, 6, 16)],
            {1: ("i", 1), 2: ("i", 1)},
        )

    _, _, workload = _run(tmp_path, build)
    assert workload.macs == 36 * 16 * 9 * 4


def test_a_fused_activation_is_an_operator_that_runtimes_fuse(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        return w.op(
            3,
            1,
            [w.input(1, 4, 4, 3), w.weight(8, 1, 1, 3), w.weight(8)],
            [(1, 4, 4, 8)],
            {1: ("i", 1), 2: ("i", 1), 3: ("b", 3)},
        )

    operators, _, _ = _run(tmp_path, build)
    assert [(o.kind, dict(o.attributes).get("function")) for o in operators] == [
        ("conv", None),
        ("elementwise", "clip"),
    ]


def test_a_transposed_convolution(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        return w.op(
            67,
            49,
            [w.constant(1, 8, 8, 4), w.weight(4, 2, 2, 16), w.input(1, 4, 4, 16)],
            [(1, 8, 8, 4)],
            {1: ("i", 2), 2: ("i", 2)},
        )

    _, shape, workload = _run(tmp_path, build)
    assert shape == (1, 8, 8, 4)
    assert workload.macs == 16 * 4 * 4 * 16


def test_dense_layers(tmp_path: Path) -> None:
    def flat(w: Writer) -> int:
        return w.op(9, 8, [w.input(2, 3, 20), w.weight(7, 20), w.weight(7)], [(6, 7)])

    def kept(w: Writer) -> int:
        return w.op(9, 8, [w.input(2, 3, 20), w.weight(7, 20)], [(2, 3, 7)], {2: ("?", True)})

    _, shape, workload = _run(tmp_path, flat)
    assert (shape, workload.macs) == ((6, 7), 6 * 7 * 20)
    _, shape, workload = _run(tmp_path, kept)
    assert (shape, workload.macs) == ((2, 3, 7), 6 * 7 * 20)


@pytest.mark.parametrize(("x", "y"), [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_stacks(x: bool, y: bool, tmp_path: Path) -> None:
    left = (2, 5, 3, 4) if not x else (2, 5, 4, 3)
    right = (5, 4, 6) if not y else (5, 6, 4)

    def build(w: Writer) -> int:
        return w.op(
            126, 101, [w.input(*left), w.input(*right)], [(2, 5, 3, 6)], {0: ("?", x), 1: ("?", y)}
        )

    _, shape, workload = _run(tmp_path, build)
    assert (shape, workload.macs) == ((2, 5, 3, 6), 10 * 3 * 4 * 6)


_SLICES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, int], Any]] = [
    ((1, 0, 2), (3, 5, 7), (1, 2, 3), {}, np.s_[1:3, 0:5:2, 2:7:3]),
    ((1, 0, 2), (3, 5, 7), (1, 2, 3), {"begin": 1, "end": 4}, np.s_[:3, 0:5:2, 2::3]),
    ((-1, 0, 0), (0, 5, 7), (1, 1, 1), {"shrink": 1}, np.s_[-1, 0:5, 0:7]),
    ((2, 0, 1), (3, 0, 2), (1, 1, 1), {"shrink": 5, "ellipsis": 2}, np.s_[2, ..., 1]),
    ((0, 0, 1), (0, 0, 3), (1, 1, 1), {"new": 1, "ellipsis": 2}, np.s_[np.newaxis, ..., 1:3]),
    ((5, 0, 0), (1, 6, 8), (-2, 1, 1), {}, np.s_[5:1:-2, 0:6, 0:8]),
    ((0, 9, 0), (0, 0, 8), (1, -1, 1), {"begin": 2, "end": 3}, np.s_[:, ::-1, 0:8]),
    ((0, 0), (2, -2), (1, 1), {}, np.s_[0:2, 0:-2]),
]


@pytest.mark.parametrize(("begin", "end", "step", "masks", "index"), _SLICES)
def test_strided_slices_cut_as_numpy_does(
    begin: tuple[int, ...],
    end: tuple[int, ...],
    step: tuple[int, ...],
    masks: dict[str, int],
    index: Any,
    tmp_path: Path,
) -> None:
    wanted = np.zeros((4, 6, 8))[index].shape
    slots = {"begin": 0, "end": 1, "ellipsis": 2, "new": 3, "shrink": 4}

    def build(w: Writer) -> int:
        options = {slots[name]: ("i", bits) for name, bits in masks.items()}
        bounds = [w.constant(*row) for row in (begin, end, step)]
        return w.op(45, 32, [w.input(4, 6, 8), *bounds], [wanted], options)

    _, shape, _ = _run(tmp_path, build)
    assert shape == wanted


def test_pieces_join_and_part(tmp_path: Path) -> None:
    def pack(w: Writer) -> int:
        return w.op(83, 59, [w.input(2, 3), w.input(2, 3)], [(2, 2, 3)], {0: ("i", 2), 1: ("i", 1)})

    assert _run(tmp_path, pack)[1] == (2, 2, 3)

    def unpack(w: Writer) -> int:
        return w.op(88, 64, [w.input(2, 3)], [(2,)] * 3, {0: ("i", 3), 1: ("i", 1)})

    assert _run(tmp_path, unpack)[1] == (2,)

    def split(w: Writer) -> int:
        return (
            w.op(
                102,
                79,
                [w.input(2, 9), w.constant(2, -1, 3), w.constant(1)],
                [(2, 2), (2, 4), (2, 3)],
                {0: ("i", 3)},
            )
            + 1
        )

    assert _run(tmp_path, split)[1] == (2, 4)


def test_space_goes_into_the_batch_and_into_the_depth(tmp_path: Path) -> None:
    def batch(w: Writer) -> int:
        return w.op(
            38, 25, [w.input(1, 6, 7, 3), w.constant(2, 2), w.constant(0, 0, 0, 1)], [(4, 3, 4, 3)]
        )

    assert _run(tmp_path, batch)[1] == (4, 3, 4, 3)

    def depth(w: Writer) -> int:
        return w.op(5, 94, [w.input(1, 6, 7, 12)], [(1, 12, 14, 3)], {0: ("i", 2)})

    assert _run(tmp_path, depth)[1] == (1, 12, 14, 3)


def test_a_resize_blends_four_values(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        return w.op(23, 15, [w.input(1, 4, 4, 3), w.constant(8, 8)], [(1, 8, 8, 3)])

    (resize,), shape, _ = _run(tmp_path, build)
    assert shape == (1, 8, 8, 3)
    # Three lerps of three operations.
    assert resize.vector_ops == 8 * 8 * 3 * 9


def test_a_filter_of_features_and_time(tmp_path: Path) -> None:
    """SVDF (Nakkiran et al. 2015): filters x features, then filters x memory; a rank is added."""
    batch, features, units, rank, memory = 2, 40, 16, 2, 8

    def build(w: Writer) -> int:
        filters = units * rank
        inputs = [
            w.input(batch, features),
            w.weight(filters, features),
            w.weight(filters, memory),
            w.weight(units),
            w.state(batch, filters * memory),
        ]
        return w.op(27, 6, inputs, [(batch, units)], {0: ("i", rank), 1: ("b", 1)})

    operators, shape, workload = _run(tmp_path, build)
    assert shape == (batch, units)
    assert workload.macs == batch * units * rank * (features + memory)
    assert operators[0].vector_ops == batch * units * (rank - 1 + 1)
    assert workload.weights == units * rank * (features + memory) + units


@pytest.mark.parametrize("time_major", [True, False])
def test_cells_over_a_sequence(time_major: bool, tmp_path: Path) -> None:
    steps, batch, features, hidden, out = 5, 2, 12, 24, 10

    def build(w: Writer) -> int:
        ahead = [w.weight(hidden, features) for _ in range(4)]
        back = [w.weight(hidden, out) for _ in range(4)]
        biases = [w.weight(hidden) for _ in range(4)]
        shape = (steps, batch, features) if time_major else (batch, steps, features)
        inputs = [
            w.input(*shape),
            *ahead,
            *back,
            -1,
            -1,
            -1,
            *biases,
            w.weight(out, hidden),
            -1,
            w.state(batch, out),
            w.state(batch, hidden),
        ]
        return w.op(44, 71, inputs, [(*shape[:2], out)], {3: ("?", time_major)})

    _, shape, workload = _run(tmp_path, build)
    assert shape[-1] == out
    each = 4 * hidden * features + 4 * hidden * out + hidden * out
    assert workload.macs == steps * batch * each
    assert workload.weights == each + 4 * hidden


def test_conversions_go_where_the_file_says(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        x = w.op(114, 89, [w.input(1, 8, kind=FP32)], [(1, 8)], kind=INT8)
        return w.op(6, 38, [x], [(1, 8)], kind=FP32)

    operators, _, workload = _run(tmp_path, build)
    assert [dict(o.attributes)["function"] for o in operators] == ["quantise", "dequantise"]
    formats = [workload.graph().tensors[o.writes[0]].format for o in operators]
    assert formats == ["int8", "fp32"]


def test_a_transform_of_real_rows(tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        x = w.op(131, 105, [w.input(3, 1, 512), w.constant(1, 512)], [(3, 1, 257)], kind=8)
        return w.op(134, 0, [x], [(3, 1, 257)])

    operators, shape, _ = _run(tmp_path, build)
    assert shape == (3, 1, 257)
    # Half of 5 n log2 n, for each of three rows.
    assert operators[0].vector_ops == 3 * 2.5 * 512 * 9


def test_states_are_read_and_written_once_a_run(tmp_path: Path) -> None:
    """VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE: how a streaming network keeps its past."""

    def build(w: Writer) -> int:
        handle = w.op(142, 111, [], [()], {1: "past"}, kind=13)
        past = w.op(143, 112, [handle], [(1, 9, 4)])
        whole = w.op(2, 10, [past, w.input(1, 3, 4)], [(1, 12, 4)], {0: ("i", 1)})
        cut = w.op(
            45,
            32,
            [whole, w.constant(0, 3, 0), w.constant(1, 12, 4), w.constant(1, 1, 1)],
            [(1, 9, 4)],
        )
        w.op(144, 113, [handle, cut], [])
        return w.op(22, 17, [whole], [(1, 48)], {0: _vector(1, 48)})

    operators, shape, workload = _run(tmp_path, build)
    assert shape == (1, 48)
    copies = [o for o in operators if o.kind == "copy"]
    assert len(copies) == 4
    graph = workload.graph()
    assert len(graph.inputs) == len(graph.outputs) == 2


def _vector(*numbers: int) -> object:
    from tests.workload.tflite_file import example

    return example.Numbers("i", list(numbers))


def test_boxes_are_compared_with_those_that_are_kept(tmp_path: Path) -> None:
    def detector(w: Writer) -> int:
        inputs = [w.input(1, 1917, 4), w.input(1, 1917, 91), w.weight(1917, 4)]
        return w.op("TFLite_Detection_PostProcess", 0, inputs, [(1, 10, 4), (1, 10), (1, 10), (1,)])

    (made,), shape, workload = _run(tmp_path, detector)
    assert shape == (1, 10, 4)
    assert made.vector_ops == 1917 * (91 + 20 + 12 * 10)
    # The anchors are stored and read.
    assert workload.weights == 1917 * 4

    def suppression(w: Writer) -> int:
        limit = w.constant(20)
        return w.op(
            120,
            95,
            [w.input(500, 4), w.input(500), limit, w.weight(1), w.weight(1)],
            [(20,), (1,)],
            kind=2,
        )

    (made,), shape, _ = _run(tmp_path, suppression)
    assert (shape, made.vector_ops) == ((20,), 500 * 20 * 12)


@pytest.mark.parametrize(("kind", "bits"), [(17, 4), (INT8, 8), (7, 16), (1, 16)])
def test_narrow_weights_take_their_bits(kind: int, bits: int, tmp_path: Path) -> None:
    def build(w: Writer) -> int:
        weights = w.weight(64, 32, kind=INT8)
        size = 64 * 32 * bits // 8
        w.net.tensors[weights].fields[1] = ("b", kind)
        w.net.buffers[-1] = example.Table({0: example.Numbers("B", bytes(size), 16)})
        return w.op(9, 8, [w.input(1, 32, kind=7), weights], [(1, 64)], kind=7)

    _, _, workload = _run(tmp_path, build)
    found = pm.predict(workload, "raspberry_pi_5")
    assert (found.macs, found.weight_bytes) == (64 * 32, 64 * 32 * bits / 8)


@pytest.mark.parametrize("merged", [True, False])
def test_cells_in_both_directions(merged: bool, tmp_path: Path) -> None:
    steps, batch, features, hidden = 5, 2, 12, 24

    def build(w: Writer) -> int:
        def direction() -> list[int]:
            ahead = [w.weight(hidden, features) for _ in range(4)]
            back = [w.weight(hidden, hidden) for _ in range(4)]
            return [*ahead, *back, -1, -1, -1, *(w.weight(hidden) for _ in range(4)), -1, -1]

        states = [w.state(batch, hidden) for _ in range(4)]
        inputs = [w.input(batch, steps, features), *direction(), *direction(), *states]
        width = 2 * hidden if merged else hidden
        shapes = [(batch, steps, width)] * (1 if merged else 2)
        return w.op(52, 69, inputs, shapes, {3: ("?", merged), 4: ("?", False)})

    operators, shape, workload = _run(tmp_path, build)
    assert shape == (batch, steps, 2 * hidden if merged else hidden)
    each = 4 * hidden * (features + hidden)
    assert workload.macs == steps * batch * 2 * each
    assert workload.weights == 2 * (each + 4 * hidden)
    assert operators[0].vector_ops == steps * batch * hidden * 8 * 8


def test_a_cell_with_one_matrix(tmp_path: Path) -> None:
    """The basic kernel of LSTM, which keeps all gates in one matrix of data and output."""
    batch, features, hidden = 2, 12, 24

    def build(w: Writer) -> int:
        inputs = [
            w.input(batch, features),
            w.state(batch, hidden),
            w.weight(4 * hidden, features + hidden),
            w.weight(4 * hidden),
            w.state(batch, hidden),
        ]
        shapes = [(batch, hidden), (batch, hidden), (batch, features + hidden), (batch, 4 * hidden)]
        return w.op(16, 14, inputs, shapes, {3: ("b", 1)})

    _, shape, workload = _run(tmp_path, build)
    assert shape == (batch, hidden)
    assert workload.macs == batch * 4 * hidden * (features + hidden)
