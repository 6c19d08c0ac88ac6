"""Time (s), multiply-accumulates and energy (J) of a training step, from `predict`.

The full training graph (`perfmodel.workload.training_step.backward`) is predicted once. A scheme
selects its rows: the forward pass, the activation gradients down to the first trained layer, and
the weight gradients and updates of the trained layers. Backward kernels are priced as the runtime's
inference kernels of the same class, in energy too (`perfmodel.cost.energy`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.bulk_allocation import collector_paused
from perfmodel.formats import Precision
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.stages import row_energies
from perfmodel.search.finetune.training_memory import LayerUpdate, Scheme
from perfmodel.search.finetune.training_step import TrainableLayer, TrainingStep
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph
from perfmodel.workload.training_step import backward
from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class TrainingKernel:
    """A kernel of the backward pass or the update.

    Attributes
    ----------
    needs
        Layers, at least one of which must be trained for the kernel to run; bit i stands for
        layer i.
    share_of
        Layer whose trained share scales the cost; -1 for none.
    of_bias
        Whether it belongs to the bias of that layer.
    updates
        Whether it is the weight update rather than the gradient.
    """

    seconds: float
    macs: float
    joules: float
    needs: int
    share_of: int = -1
    of_bias: bool = False
    updates: bool = False


@dataclass(frozen=True)
class TrainingStepCosts:
    """Costs of a training step on a machine.

    Attributes
    ----------
    forward
        Prediction of the forward pass.
    """

    forward: Prediction
    rows: tuple[TrainingKernel, ...]
    layers: tuple[TrainableLayer, ...]

    def of(self, scheme: Scheme) -> tuple[float, float, float]:
        """Return seconds, multiply-accumulates and joules of the backward pass and the update.

        Each is the sum of share * cost over the kernels that run. The share is 1 for activation
        gradients, and the trained share of the layer for its weight gradient and update.
        """
        seconds = macs = joules = 0.0
        trained = 0
        for layer, part in scheme.items():
            if part.bias or part.share or part.rank:
                trained |= 1 << layer
        for row in self.rows:
            if not row.needs & trained:
                continue
            share = 1.0
            if row.share_of >= 0:
                share = _share(scheme.get(row.share_of), self.layers[row.share_of], row)
            seconds += share * row.seconds
            macs += share * row.macs
            joules += share * row.joules
        return seconds, macs, joules


def _share(part: LayerUpdate | None, layer: TrainableLayer, row: TrainingKernel) -> float:
    """Return the fraction of a full weight or bias row that a part needs.

    LoRA matrices cost three times their own size per token: their forward product, the gradients of
    the matrices, and the gradients of their inputs (Hu et al. 2022).
    """
    if part is None:
        return 0.0
    if row.of_bias:
        return 1.0 if part.bias else 0.0
    if part.rank:
        return part.added(layer) / layer.weights * (1.0 if row.updates else 3.0)
    return part.share


@collector_paused()
def costs_of(
    workload: Workload, machine: Machine, precision: Precision, step: TrainingStep, optimizer: str
) -> TrainingStepCosts:
    """Return the costs of a training step on a machine, for any scheme."""
    forward = predict(workload, machine, precision=precision)
    graph = backward(workload.graph(), values=workload.parameters, optimizer=optimizer)
    training = Workload(f"{workload.name}_training", lambda _: graph, workload.parameters)
    prediction = predict(training, machine, precision=precision, fuse=False)
    table = prediction.table
    parts = row_energies(*prediction.opened, prediction.setting)
    unknown = np.full(len(table["name"]), np.nan)
    joules = np.sum([*parts.values()], axis=0) if parts else unknown
    rows: list[TrainingKernel] = []
    reader = _TrainingKernelClassifier(step, graph)
    for i, names in enumerate(prediction.kernels):
        phase = str(table["phase"][i])
        if phase == "forward":
            continue
        macs = float(table["macs"][i] * table["count"][i])
        kernel = reader.row(names[0], (float(table["total_s"][i]), macs, float(joules[i])))
        if kernel is not None:
            rows.append(kernel)
    return TrainingStepCosts(forward, tuple(rows), step.layers)


class _TrainingKernelClassifier:
    """Assigns each kernel of the training graph to the layers that require it."""

    def __init__(self, step: TrainingStep, graph: Graph) -> None:
        self.above = step.above()
        self.by_operator = {layer.operator: i for i, layer in enumerate(step.layers)}
        self.by_weight: dict[str, tuple[int, bool]] = {}
        for i, layer in enumerate(step.layers):
            self.by_weight[layer.weight] = (i, False)
            if layer.bias:
                self.by_weight[layer.bias] = (i, True)
        alias = aliases(step.graph)
        self.reads: dict[str, list[str]] = {}
        self.tensors = step.graph.tensors
        for _, op in step.graph.walk():
            self.reads[op.name] = [
                alias.get(n, n) for n in op.reads if step.graph.tensors[n].role == "activation"
            ]
        del graph

    def row(self, name: str, cost: tuple[float, float, float]) -> TrainingKernel | None:
        """Return the kernel with its seconds, macs and joules; None if no layer needs it."""
        if name.endswith(".update"):
            updated = self.by_weight.get(name.removesuffix(".update"))
            if updated is None:
                return None
            return TrainingKernel(*cost, 1 << updated[0], updated[0], updated[1], updates=True)
        if name.endswith(".accumulate"):
            tensor = name.removesuffix(".accumulate").rpartition(".grad")[0]
            return TrainingKernel(*cost, self._upstream([tensor]))
        operator, _, side = name.partition(".backward")
        layer = self.by_operator.get(operator, -1)
        if layer >= 0 and side in (".weight", ".bias"):
            return TrainingKernel(*cost, 1 << layer, layer, side == ".bias")
        needs = self._upstream(self.reads.get(operator, []))
        return TrainingKernel(*cost, needs) if needs else None

    def _upstream(self, names: list[str]) -> int:
        layers = 0
        for name in names:
            layers |= self.above.get(name, 0)
        return layers
