"""Recurrent operators of TensorFlow Lite: SVDF filters, LSTM and plain cells over a sequence."""

from __future__ import annotations

from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.nest import LoopNest, gemm_nest
from perfmodel.workload.symbols import Dim, product, simplify

#: Inputs of an LSTM that are matrices: of the input, of the state (one a gate; the input gate's may
#: be absent), and the projection.
_FROM_INPUT: Final = (1, 2, 3, 4)
_FROM_STATE: Final = (5, 6, 7, 8)
_PROJECTION: Final = 16
#: Vectors: peepholes, biases, the projection's bias, coefficients of a layer normalisation.
_VECTORS: Final = (9, 10, 11, 12, 13, 14, 15, 17, 20, 21, 22, 23)
_STATES: Final = (18, 19)

#: Of a bidirectional LSTM: where the second direction's inputs begin, behind as many of the
#: first's, and the states of both. It normalises no layers.
_SECOND: Final = 17
_BOTH_STATES: Final = (35, 36, 37, 38)


def svdf_shape(node: OnnxNode) -> None:
    """``SVDF``: as many outputs as filters, a rank of which make one."""
    filters = node.need(1).known[0]
    rank = max(node.whole("rank", 1), 1)
    give(node, (node.need(0).known[0], floor_div(filters, rank)))


def svdf(p: Pricer, n: OnnxNode) -> None:
    """Price ``SVDF`` (input, feature filters, time filters, bias, state).

    A singular value decomposed filter (Nakkiran et al., Interspeech 2015): each filter makes one
    number of the input's features, which joins a memory of the last steps; the time filter is
    multiplied with that memory, and the filters of a rank are added.
    """
    x, features, times, bias, state = (n.get(i) for i in range(5))
    if x is None or features is None or times is None:
        raise NotPricedError("input or filters are missing")
    batch, width = x.known[0], features.known[1]
    filters, memory = times.known
    w, t, y = p.weight(features), p.weight(times), p.tensor(n.out)
    kept = p.tensor(state) if state is not None else p.scratch(
        f"{n.name}.memory", (batch, filters, memory), role="state", format=x.format
    )  # fmt: skip
    fresh = p.scratch(f"{n.name}.features", (batch, filters), format=x.format)
    nests = [
        gemm_nest(1, batch, filters, width, p.tensor(x).name, w.name, fresh.name, b_batched=False),
        gemm_nest(filters, batch, 1, memory, kept.name, t.name, y.name, b_batched=True),
    ]
    rank = max(n.whole("rank", 1), 1)
    adds = product(y.elements, rank - 1 + (bias is not None))
    p.add(
        n, "recurrent", [p.tensor(x), w, t, *p.vector(bias), kept], [y, (kept, kept.elements)],
        nests=nests, ops=adds, pair=(w.slot, p.tensor(x).slot), attributes={"cell": "svdf"},
    )  # fmt: skip


def sequence_shape(node: OnnxNode) -> None:
    """Sequences of cells: the last axis is the state's width, or the projection's."""
    x = node.need(0).known
    if node.op == "BidirectionalLSTM":
        forward, backward = (
            (node.get(_PROJECTION + i) or node.need(2 + i)).known[0] for i in (0, _SECOND)
        )
        if node.whole("merge", 0):
            give(node, (*x[:-1], simplify(forward + backward)))
        else:
            give(node, (*x[:-1], forward))
            give(node, (*x[:-1], backward), 1)
        return
    if node.op == "BasicLSTM":
        # Of its outputs only the first two are more than scratch.
        for i in range(2):
            give(node, node.need(1).known, i)
        return
    if node.op == "SequenceRNN":
        width = node.need(1).known[0]
    else:
        projection = node.get(_PROJECTION)
        width = (projection or node.need(2)).known[0]
    give(node, (*x[:-1], width))


def _steps(n: OnnxNode, x: OnnxValue) -> tuple[Dim, Dim]:
    """Return the steps of a sequence and its batch."""
    if not n.whole("sequence", 1):
        return 1, x.known[0]
    first, second = x.known[:2]
    return (first, second) if n.whole("time_major", 0) else (second, first)


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
    """Add cells over a sequence.

    Products with the input are one GEMM over all steps, so their weights are read once; those with
    the state wait for each step, so nothing says that their weights stay near the engine.
    """
    steps, batch = _steps(n, x)
    made = [p.tensor(e) for e in n.made[: 2 if n.op == "BidirectionalLSTM" else 1]]
    y = made[0]
    source = p.tensor(x)
    nests: list[LoopNest] = []
    reads: list[Tensor | tuple[Tensor, Dim]] = [source]
    rows = product(steps, batch)
    state = p.tensor(states[0]) if states else p.scratch(
        f"{n.name}.state", (batch, y.shape[-1]), role="state", format=x.format
    )  # fmt: skip
    for edges, name, times in ((ahead, source.name, 1), (each_step, state.name, steps)):
        for edge in edges:
            w = p.weight(edge)
            out, features = edge.known
            nests.append(gemm_nest(1, rows, out, features, name, w.name, y.name, b_batched=False))
            reads.append((w, product(w.elements, times)))
    for edge in vectors:
        reads += [(t, product(t.elements, steps)) for t in p.vector(edge)]
    kept = [p.tensor(e) for e in states]
    width = each_step[0].known[0] if each_step else y.shape[-1]
    p.add(
        n, "recurrent", [*reads, *((t, product(t.elements, steps)) for t in kept)],
        [*made, *((t, product(t.elements, steps)) for t in kept)], nests=nests,
        ops=product(rows, width, gates * 8), pair=(p.weight(each_step[0]).slot, source.slot),
        attributes={"cell": cell},
    )  # fmt: skip


def lstm(p: Pricer, n: OnnxNode) -> None:
    """Price ``UNIDIRECTIONAL_SEQUENCE_LSTM``, ``BIDIRECTIONAL_SEQUENCE_LSTM`` and ``LSTM``.

    Eight matrices a direction, or six where a gate is coupled to another, and a projection.
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
    """Price an ``LSTM`` of the basic kernel (data, output before, weights, biases, state).

    One matrix makes all gates of the data and the output before.
    """
    x, w, bias, state = n.need(0), n.need(2), n.need(3), n.need(4)
    _cells(p, n, x, [], [w], [bias], [state], "lstm", 1)


def simple_rnn(p: Pricer, n: OnnxNode) -> None:
    """Price ``RNN`` and ``UNIDIRECTIONAL_SEQUENCE_RNN``.

    Inputs are the data, weights, recurrent weights, a bias and the state.
    """
    x, w, r, bias, state = (n.need(i) for i in range(5))
    fixed(simplify(w.known[0]), "the width of the state")
    _cells(p, n, x, [w], [r], [bias], [state], "rnn", 1)
