"""Many runs of a network that differ in few layers, each from its first changed layer on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnx.utils import Extractor

from benchmarks.real_tasks.networks import Array, Network, open_session


class Tails:
    """The network over `feeds` (a list of inputs), with what a float run leaves at `cuts` places.

    A run with other operands starts at the last place before the first changed layer and reads
    there what the float run left. Operands are inputs of these sessions, so none is opened anew.
    """

    def __init__(self, network: Network, feeds: Sequence[Mapping[str, Array]], cuts: int) -> None:
        model = onnx.shape_inference.infer_shapes(network.proto)
        graph = model.graph
        names = [layer.name for layer in network.layers]
        given = {i.name for i in graph.input}
        stored = {t.name for t in graph.initializer}
        output = graph.output[0].name
        kinds = {v.name: v.type for v in graph.value_info}
        for tensor in [t for t in graph.initializer if t.name in names]:
            graph.initializer.remove(tensor)
            graph.input.append(helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
        self._network = network
        self._first = {
            n: next(i for i, node in enumerate(graph.node) if n in node.input) for n in names
        }
        order = sorted(self._first.values())
        self._places = sorted({order[len(order) * k // cuts] for k in range(cuts)})
        self._places[0] = 0
        live = [_live(graph, place, given) - stored for place in self._places]
        self._sessions: list[ort.InferenceSession] = []
        for place, between in zip(self._places, live, strict=True):
            used = {n for node in graph.node[place:] for n in node.input} & set(names)
            tail = Extractor(model).extract_model(sorted(between | used), [output])
            self._sessions.append(open_session(tail.SerializeToString()))
        self._float = {
            layer.name: ort.OrtValue.ortvalue_from_numpy(layer.restored(layer.rows()))
            for layer in network.layers
        }
        self._states = list(_states(network, feeds, sorted(set().union(*live) - given), kinds))

    def run(self, operands: Mapping[str, Array]) -> Iterator[Array]:
        """Return the output on each input with these operands in place of the float ones."""
        at = min((self._first[name] for name in operands), default=max(self._places))
        k = max(i for i, place in enumerate(self._places) if place <= at)
        session = self._sessions[k]
        wanted = {i.name for i in session.get_inputs()}
        mine = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in operands.items()}
        mine = {n: v for n, v in (self._float | mine).items() if n in wanted}
        for state in self._states:
            feed = mine | {n: v for n, v in state.items() if n in wanted}
            yield session.run_with_ort_values(None, feed)[0].numpy()


def _live(graph: Any, place: int, given: set[str]) -> set[str]:
    """What nodes from `place` on read of what was given or computed before."""
    made = given | {n for node in graph.node[:place] for n in node.output}
    return made & {n for node in graph.node[place:] for n in node.input if n}


def _states(
    network: Network,
    feeds: Sequence[Mapping[str, Array]],
    kept: list[str],
    kinds: Mapping[str, Any],
) -> Iterator[dict[str, ort.OrtValue]]:
    """The inputs, and the tensors `kept` of a float run, of each feed."""
    probe = onnx.ModelProto()
    probe.CopyFrom(network.proto)
    for name in kept:
        probe.graph.output.append(helper.make_value_info(name, kinds[name]))
    session = open_session(probe.SerializeToString())
    for feed in feeds:
        values = session.run(kept, dict(feed)) if kept else []
        state = dict(feed) | dict(zip(kept, values, strict=True))
        yield {
            n: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(v)) for n, v in state.items()
        }
