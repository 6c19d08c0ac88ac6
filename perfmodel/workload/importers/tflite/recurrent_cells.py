"""Recurrent operators of TensorFlow Lite: SVDF, LSTM and RNN cells, with shapes and prices.

Positions of inputs and outputs are those of the kernels in tensorflow/lite/kernels (svdf.cc,
lstm.cc, bidirectional_sequence_lstm.cc). Unlike in ONNX, each gate has a separate matrix, any of
which may be absent. Entries of ``workloads/operators/tflite.yaml`` name these functions.
"""

from __future__ import annotations

from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    NotPricedError,
    OnnxNode,
    OnnxValue,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.symbolic_extents import floor_div
from perfmodel.workload.nest import LoopNest, gemm_nest
from perfmodel.workload.symbols import Dim, product, simplify

#: Positions of an LSTM's matrices: for the input and for the state, one per gate (the input
#: gate's may be absent), and the projection.
_FROM_INPUT: Final = range(1, 5)
_FROM_STATE: Final = range(5, 9)
_PROJECTION: Final = 16
#: Positions of vectors: peepholes, biases, the projection's bias, layer-normalisation coefficients.
_VECTORS: Final = (*range(9, 16), 17, *range(20, 24))
_STATES: Final = (18, 19)

#: In a bidirectional LSTM: offset from the first direction's inputs to the second's, and positions
#: of the states of both. It has no layer normalisation.
_SECOND: Final = 17
_BOTH_STATES: Final = range(35, 39)


def svdf_shape(node: OnnxNode) -> None:
    """Set the shape of ``SVDF``: ``(N, filters / rank)``."""
    filters = node.shape(1)[0]
    set_output(node, (node.shape(0)[0], floor_div(filters, max(node.integer("rank", 1), 1))))


def price_svdf(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``SVDF`` (input, feature filters, time filters, bias, state).

    A singular value decomposed filter (Nakkiran et al., Interspeech 2015): each of F filters
    projects the D features of the input to one number, ``N F D`` multiply-accumulates, which enters
    a memory of the last T steps. The time filter is multiplied with that memory, ``N F T``, and the
    filters that form one output are summed over the rank.
    """
    x, features, times, bias, state = (node.get(i) for i in range(5))
    if x is None or features is None or times is None:
        raise NotPricedError("input or filters are missing")
    batch, width = x.extents[0], features.extents[1]
    filters, memory = times.extents
    w, t, y = pricer.weight(features), pricer.weight(times), pricer.tensor(node.first_output)
    past = _state_tensor(pricer, node, state, (batch, filters, memory), "memory")
    fresh = pricer.scratch(f"{node.name}.features", (batch, filters), format=x.format)
    source = pricer.tensor(x)
    pricer.add(
        node,
        "recurrent",
        [source, w, t, *pricer.vector(bias), past],
        [y, (past, past.elements)],
        nests=[
            gemm_nest(1, batch, filters, width, source.name, w.name, fresh.name, b_batched=False),
            gemm_nest(filters, batch, 1, memory, past.name, t.name, y.name, b_batched=True),
        ],
        ops=product(y.elements, max(node.integer("rank", 1), 1) - 1 + (bias is not None)),
        pair=(w.slot, source.slot),
        attributes={"cell": "svdf"},
    )


def _state_tensor(
    pricer: Pricer,
    node: OnnxNode,
    stated: OnnxValue | None,
    shape: tuple[Dim, ...],
    name: str = "state",
) -> Tensor:
    """Return the tensor of a recurrent state: the file's, or a new one if it has none."""
    if stated is not None:
        return pricer.tensor(stated)
    return pricer.scratch(f"{node.name}.{name}", shape, role="state", format=node.require(0).format)


def sequence_shape(node: OnnxNode) -> None:
    """Set the shape of a sequence of cells, whose last axis is the state or projection width."""
    x = node.shape(0)
    if node.op == "BidirectionalLSTM":
        forward, backward = (
            (node.get(_PROJECTION + i) or node.require(2 + i)).extents[0] for i in (0, _SECOND)
        )
        widths = [forward + backward] if node.integer("merge", 0) else [forward, backward]
        for i, width in enumerate(widths):
            set_output(node, (*x[:-1], width), i)
    elif node.op == "BasicLSTM":
        # All outputs after the first two are scratch.
        for i in range(2):
            set_output(node, node.shape(1), i)
    else:
        plain = node.op == "SequenceRNN"
        last = node.require(1) if plain else node.get(_PROJECTION) or node.require(2)
        set_output(node, (*x[:-1], last.extents[0]))


def _steps_and_batch(node: OnnxNode, x: OnnxValue) -> tuple[Dim, Dim]:
    """Return the number of steps of a sequence, and its batch."""
    if not node.integer("sequence", 1):
        return 1, x.extents[0]
    first, second = x.extents[:2]
    return (first, second) if node.integer("time_major", 0) else (second, first)


def _add_cells(
    pricer: Pricer,
    node: OnnxNode,
    x: OnnxValue,
    ahead: list[OnnxValue],
    each_step: list[OnnxValue],
    vectors: list[OnnxValue],
    states: list[OnnxValue],
    cell: str,
    gates: int,
) -> None:
    """Add recurrent cells over a sequence.

    Products with the input, `ahead`, are one matrix product over all steps, so their weights are
    read once. Products with the state, `each_step`, are sequential, and their weights are counted
    as read in every step. Each gate costs 8 vector operations per row of the first recurrent
    matrix.
    """
    steps, batch = _steps_and_batch(node, x)
    outputs = [
        pricer.tensor(e) for e in node.present_outputs[: 2 if node.op == "BidirectionalLSTM" else 1]
    ]
    y = outputs[0]
    source = pricer.tensor(x)
    nests: list[LoopNest] = []
    reads: list[Tensor | tuple[Tensor, Dim]] = [source]
    rows = product(steps, batch)
    state = _state_tensor(pricer, node, next(iter(states), None), (batch, y.shape[-1]))
    for edges, name, times in ((ahead, source.name, 1), (each_step, state.name, steps)):
        for edge in edges:
            w = pricer.weight(edge)
            out, features = edge.extents
            nests.append(gemm_nest(1, rows, out, features, name, w.name, y.name, b_batched=False))
            reads.append((w, product(w.elements, times)))
    for edge in vectors:
        reads += [(t, product(t.elements, steps)) for t in pricer.vector(edge)]
    past = [(t, product(t.elements, steps)) for t in map(pricer.tensor, states)]
    pricer.add(
        node,
        "recurrent",
        [*reads, *past],
        [*outputs, *past],
        nests=nests,
        ops=product(rows, each_step[0].extents[0], gates * 8),
        pair=(pricer.weight(each_step[0]).slot, source.slot),
        attributes={"cell": cell},
    )


def price_lstm(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``UNIDIRECTIONAL_SEQUENCE_LSTM``, ``BIDIRECTIONAL_SEQUENCE_LSTM`` and ``LSTM``.

    Each direction has eight matrices, or six if one gate is coupled to another, and a projection.
    """

    def present_inputs(*at: int) -> list[OnnxValue]:
        return [e for e in (node.get(i) for i in at) if e is not None and e.shape is not None]

    is_bidirectional = node.op == "BidirectionalLSTM"
    starts = (0, _SECOND) if is_bidirectional else (0,)
    ahead = present_inputs(*(i + at for at in starts for i in _FROM_INPUT))
    each_step = present_inputs(*(i + at for at in starts for i in _FROM_STATE))
    if len(ahead) < 3 * len(starts) or len(each_step) != len(ahead):
        raise NotPricedError("matrices of the gates are missing")
    gates = len(ahead)
    each_step += present_inputs(*(_PROJECTION + at for at in starts))
    vectors = present_inputs(
        *(i + at for at in starts for i in _VECTORS if not is_bidirectional or i <= _SECOND)
    )
    states = present_inputs(*(_BOTH_STATES if is_bidirectional else _STATES))
    _add_cells(pricer, node, node.require(0), ahead, each_step, vectors, states, "lstm", gates)


def price_basic_lstm(pricer: Pricer, node: OnnxNode) -> None:
    """Price an ``LSTM`` of the basic kernel (data, previous output, weights, biases, state).

    One matrix computes all gates from the data and the previous output.
    """
    x, w, bias, state = node.require(0), node.require(2), node.require(3), node.require(4)
    _add_cells(pricer, node, x, [], [w], [bias], [state], "lstm", 1)


def price_rnn(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``RNN`` and ``UNIDIRECTIONAL_SEQUENCE_RNN``.

    The inputs are the data, weights, recurrent weights, a bias and the state.
    """
    x, w, r, bias, state = (node.require(i) for i in range(5))
    require_integer(simplify(w.extents[0]), "the width of the state")
    _add_cells(pricer, node, x, [w], [r], [bias], [state], "rnn", 1)
