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
_FROM_INPUT: Final = range(1, 5)
_FROM_STATE: Final = range(5, 9)
_PROJECTION: Final = 16
#: Vectors: peepholes, biases, the projection's bias, coefficients of a layer normalisation.
_VECTORS: Final = (*range(9, 16), 17, *range(20, 24))
_STATES: Final = (18, 19)

#: Of a bidirectional LSTM: where the second direction's inputs begin, behind as many of the
#: first's, and the states of both. It normalises no layers.
_SECOND: Final = 17
_BOTH_STATES: Final = range(35, 39)


def svdf_shape(node: OnnxNode) -> None:
    """``SVDF``: as many outputs as filters, a rank of which make one."""
    filters = node.shape(1)[0]
    give(node, (node.shape(0)[0], floor_div(filters, max(node.whole("rank", 1), 1))))


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
        ops=product(y.elements, max(n.whole("rank", 1), 1) - 1 + (bias is not None)),
        pair=(w.slot, source.slot),
        attributes={"cell": "svdf"},
    )


def _state(
    p: Pricer, n: OnnxNode, stated: OnnxValue | None, shape: tuple[Dim, ...], name: str = "state"
) -> Tensor:
    """Return what is remembered from step to step: a tensor of the file, or one of its own."""
    if stated is not None:
        return p.tensor(stated)
    return p.scratch(f"{n.name}.{name}", shape, role="state", format=n.need(0).format)


def sequence_shape(node: OnnxNode) -> None:
    """Sequences of cells: the last axis is the state's width, or the projection's."""
    x = node.shape(0)
    if node.op == "BidirectionalLSTM":
        forward, backward = (
            (node.get(_PROJECTION + i) or node.need(2 + i)).known[0] for i in (0, _SECOND)
        )
        widths = [forward + backward] if node.whole("merge", 0) else [forward, backward]
        for i, width in enumerate(widths):
            give(node, (*x[:-1], width), i)
    elif node.op == "BasicLSTM":
        # Of its outputs only the first two are more than scratch.
        for i in range(2):
            give(node, node.shape(1), i)
    else:
        plain = node.op == "SequenceRNN"
        last = node.need(1) if plain else node.get(_PROJECTION) or node.need(2)
        give(node, (*x[:-1], last.known[0]))


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
        [*made, *past],
        nests=nests,
        ops=product(rows, each_step[0].known[0], gates * 8),
        pair=(p.weight(each_step[0]).slot, source.slot),
        attributes={"cell": cell},
    )


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
