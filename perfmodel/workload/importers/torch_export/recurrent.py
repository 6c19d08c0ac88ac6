"""Recurrent layers of torch: stacked, in both directions, weights by layer and direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.read import RawTensor
from perfmodel.workload.importers.torch_export.emit import Emitter
from perfmodel.workload.importers.torch_export.program import AtenCall, Ref
from perfmodel.workload.symbols import Dim

_CELLS: Mapping[str, str] = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


def recurrent(e: Emitter, c: AtenCall) -> None:
    """``lstm``, ``gru``, ``rnn``: one operator a layer, the weights of both directions stacked."""
    given: Any = c.arguments.get("params")
    listed = cast("list[Any]", given) if isinstance(given, list) else []
    names = [p.name for p in listed if isinstance(p, Ref)]
    layers, biased = e.whole(c, "num_layers", 1), e.flag(c, "has_biases", True)
    directions = 1 + e.flag(c, "bidirectional")
    each = 4 if biased else 2
    if len(names) != layers * directions * each or not names:
        raise NotPricedError(f"{len(names)} parameters for {layers} layers")
    x = e.tensor(c, "input")
    batch_first = e.flag(c, "batch_first")
    for layer in range(layers):
        last = layer == layers - 1
        sets = [
            names[(layer * directions + d) * each : (layer * directions + d + 1) * each]
            for d in range(directions)
        ]
        inputs = [x, *(_stacked(e, [s[i] for s in sets]) for i in (0, 1))]
        if biased:
            inputs.append(_biases(e, [n for s in sets for n in s[2:]], directions))
        y = c.outputs[0] if last else f"{c.outputs[0]}.layer{layer}"
        if not last:
            shape: tuple[Dim, ...] = e.shapes[c.outputs[0]]
            e.shapes[y] = shape
            e.program.metas[y] = e.meta(c.outputs[0])
        made = c.outputs if last else [y]
        e.add(
            c,
            _CELLS[c.op],
            inputs,
            outputs=made,
            name=f"{c.outputs[0]}.{layer}",
            layout=int(batch_first),
        )
        x = y


def _stacked(e: Emitter, names: list[str]) -> str:
    """Declare the weights of all directions as one tensor."""
    shape = [int(d) for d in e.meta(names[0]).shape if isinstance(d, int)]
    return _declared(e, names, (len(names), *shape))


def _biases(e: Emitter, names: list[str], directions: int) -> str:
    shape = [int(d) for d in e.meta(names[0]).shape if isinstance(d, int)]
    return _declared(e, names, (directions, shape[0] * len(names) // directions))


def _declared(e: Emitter, names: list[str], shape: tuple[int, ...]) -> str:
    label = "+".join(names) if len(names) > 1 else f"{names[0]}.stacked"
    e.stored[label] = RawTensor(shape, e.meta(names[0]).format)
    e.shapes[label] = shape
    return label
