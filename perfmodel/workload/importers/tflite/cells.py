"""Shapes and prices of TensorFlow Lite's recurrent operators: SVDF, LSTM and plain RNN cells."""

from __future__ import annotations

from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
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
    """Set the shape of ``SVDF``: ``filters / rank`` outputs."""
    filters = node.shape(1)[0]
    give(node, (node.shape(0)[0], floor_div(filters, max(node.integer("rank", 1), 1))))


def svdf(p: Pricer, n: OnnxNode) -> None:
    """Price ``SVDF`` (input, feature filters, time filters, bias, state).

    A singular value decomposed filter (Nakkiran et al., Interspeech 2015): each filter projects the
    input's features to one number, which enters a memory of the most recent steps. The time filter
    is multiplied with that memory, and the filters that form one output are summed over the rank.
    """
    x, features, times, bias, state = (n.get(i) for i in range(5))
    if x is None or features is None or times is None:
        raise NotPricedError("input or filters are missing")
    batch, width = x.known[0], features.known[1]
    filters, memory = times.known
    w, t, y = p.weight(features), p.weight(times), p.tensor(n.out)
    past = _state(p, n, state, (batch, filters, memory), "memory")
    fresh = p.scratch(f"{n.name}.features", (batch, filters), format=x.format)
    source = p.tensor(x)
    p.add(
        n,
        "recurrent",
        [source, w, t, *p.vector(bias), past],
        [y, (past, past.elements)],
        nests=[
            gemm_nest(1, batch, filters, width, source.name, w.name, fresh.name, b_batched=False),
            gemm_nest(filters, batch, 1, memory, past.name, t.name, y.name, b_batched=True),
        ],
        ops=product(y.elements, max(n.integer("rank", 1), 1) - 1 + (bias is not None)),
        pair=(w.slot, source.slot),
        attributes={"cell": "svdf"},
    )


def _state(
    p: Pricer, n: OnnxNode, stated: OnnxValue | None, shape: tuple[Dim, ...], name: str = "state"
) -> Tensor:
    """Return the tensor of a recurrent state: the file's, or a new one if it has none."""
    if stated is not None:
        return p.tensor(stated)
    return p.scratch(f"{n.name}.{name}", shape, role="state", format=n.need(0).format)


def sequence_shape(node: OnnxNode) -> None:
    """Set the shape of a sequence of cells, whose last axis is the state or projection width."""
    x = node.shape(0)
    if node.op == "BidirectionalLSTM":
        forward, backward = (
            (node.get(_PROJECTION + i) or node.need(2 + i)).known[0] for i in (0, _SECOND)
        )
        widths = [forward + backward] if node.integer("merge", 0) else [forward, backward]
        for i, width in enumerate(widths):
            give(node, (*x[:-1], width), i)
    elif node.op == "BasicLSTM":
        # All outputs after the first two are scratch.
        for i in range(2):
            give(node, node.shape(1), i)
    else:
        plain = node.op == "SequenceRNN"
        last = node.need(1) if plain else node.get(_PROJECTION) or node.need(2)
        give(node, (*x[:-1], last.known[0]))


def _steps(n: OnnxNode, x: OnnxValue) -> tuple[Dim, Dim]:
    """Return the number of steps of a sequence, and its batch."""
    if not n.integer("sequence", 1):
        return 1, x.known[0]
    first, second = x.known[:2]
    return (first, second) if n.integer("time_major", 0) else (second, first)


def _cells(
    p: Pricer,
    n: OnnxNode,
    x: OnnxValue,
    ahead: list[OnnxValue],
    each_step: list[OnnxValue],
    vectors: list[OnnxValue],
    states: list[OnnxValue],
    cell: str,
    gates: int,
) -> None:
    """Add recurrent cells over a sequence.

    Products with the input are one GEMM over all steps, so their weights are read once. Products
    with the state are sequential, and their weights are counted as read in every step. Each gate
    costs 8 vector operations per row of the first recurrent matrix.
    """
    steps, batch = _steps(n, x)
    outputs = [p.tensor(e) for e in n.written[: 2 if n.op == "BidirectionalLSTM" else 1]]
    y = outputs[0]
    source = p.tensor(x)
    nests: list[LoopNest] = []
    reads: list[Tensor | tuple[Tensor, Dim]] = [source]
    rows = product(steps, batch)
    state = _state(p, n, next(iter(states), None), (batch, y.shape[-1]))
    for edges, name, times in ((ahead, source.name, 1), (each_step, state.name, steps)):
        for edge in edges:
            w = p.weight(edge)
            out, features = edge.known
            nests.append(gemm_nest(1, rows, out, features, name, w.name, y.name, b_batched=False))
            reads.append((w, product(w.elements, times)))
    for edge in vectors:
        reads += [(t, product(t.elements, steps)) for t in p.vector(edge)]
    past = [(t, product(t.elements, steps)) for t in map(p.tensor, states)]
    p.add(
        n,
        "recurrent",
        [*reads, *past],
        [*outputs, *past],
        nests=nests,
        ops=product(rows, each_step[0].known[0], gates * 8),
        pair=(p.weight(each_step[0]).slot, source.slot),
        attributes={"cell": cell},
    )


def lstm(p: Pricer, n: OnnxNode) -> None:
    """Price ``UNIDIRECTIONAL_SEQUENCE_LSTM``, ``BIDIRECTIONAL_SEQUENCE_LSTM`` and ``LSTM``.

    Each direction has eight matrices, or six if one gate is coupled to another, and a projection.
    """

    def there(*at: int) -> list[OnnxValue]:
        return [e for e in (n.get(i) for i in at) if e is not None and e.shape is not None]

    both = n.op == "BidirectionalLSTM"
    starts = (0, _SECOND) if both else (0,)
    ahead = there(*(i + at for at in starts for i in _FROM_INPUT))
    each_step = there(*(i + at for at in starts for i in _FROM_STATE))
    if len(ahead) < 3 * len(starts) or len(each_step) != len(ahead):
        raise NotPricedError("matrices of the gates are missing")
    gates = len(ahead)
    each_step += there(*(_PROJECTION + at for at in starts))
    vectors = there(*(i + at for at in starts for i in _VECTORS if not both or i <= _SECOND))
    states = there(*(_BOTH_STATES if both else _STATES))
    _cells(p, n, n.need(0), ahead, each_step, vectors, states, "lstm", gates)


def basic_lstm(p: Pricer, n: OnnxNode) -> None:
    """Price an ``LSTM`` of the basic kernel (data, previous output, weights, biases, state).

    One matrix computes all gates from the data and the previous output.
    """
    x, w, bias, state = n.need(0), n.need(2), n.need(3), n.need(4)
    _cells(p, n, x, [], [w], [bias], [state], "lstm", 1)


def simple_rnn(p: Pricer, n: OnnxNode) -> None:
    """Price ``RNN`` and ``UNIDIRECTIONAL_SEQUENCE_RNN``.

    The inputs are the data, weights, recurrent weights, a bias and the state.
    """
    x, w, r, bias, state = (n.need(i) for i in range(5))
    fixed(simplify(w.known[0]), "the width of the state")
    _cells(p, n, x, [w], [r], [bias], [state], "rnn", 1)
