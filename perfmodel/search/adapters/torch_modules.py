"""Workload and cost of a torch module, from its operators in a run on example inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perfmodel.catalog import need
from perfmodel.hardware.device import Device
from perfmodel.predict import predict
from perfmodel.search.adapters.torch_operators import DispatchRecorder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.torch_export.load import workload_of_program
from perfmodel.workload.workload import Workload


def torch_workload(module: Any, *inputs: Any) -> Workload:
    """Return the workload of a torch module by running it once on example inputs.

    Operators are recorded at dispatch, so that functions between modules (residual sums, reshapes)
    are included; they are named after their modules. Sizes are those of the example. The module
    runs in evaluation mode, without gradients, and is left unchanged.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, on any device.
    inputs
        Arguments of the call.

    Returns
    -------
    Workload
        Its `Workload.not_priced` lists operators without a cost model.

    Raises
    ------
    InputError
        torch is not installed.
    """
    torch: Any = need("torch")
    recorder = DispatchRecorder(torch, module)
    training = [m for m in module.modules() if m.training]
    module.eval()
    # The fused encoder layer would hide its operators.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), recorder.running():
            outputs = module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for each in training:
            each.training = True
    name = type(module).__name__
    graph = workload_of_program(recorder.finish(outputs), "", name).graph()
    return Workload(name, Recorded(graph), {}, ("runs", 1), origin="torch")


class Recorded:
    """Builder that returns the graph of a recorded module."""

    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph, which is the same for every runtime."""
        del semantics
        return self.graph

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorded, (self.graph,)


def torch_cost(
    device: Device | str, metrics: Sequence[str] = ("latency_s",), **options: Any
) -> Callable[..., dict[str, float]]:
    """Return ``cost(module, *inputs)``: metric -> value, and ``feasible`` (1 or 0).

    Parameters
    ----------
    device
        A device, its name or the path of its spec file.
    metrics
        Attributes of a prediction.
    options
        As for `predict`: ``precision``, ``runtime``, ...

    Raises
    ------
    InputError
        Unknown device or metric; `cost` raises the errors of `torch_workload` and `predict`.
    """
    from perfmodel.hardware.library import hardware
    from perfmodel.search.oracle.metric_reader import METRICS, checked_metrics

    spec = device if isinstance(device, Device) else hardware(device)
    names = checked_metrics([metrics] if isinstance(metrics, str) else metrics, ())
    assert set(names) <= set(METRICS)

    def cost(module: Any, *inputs: Any) -> dict[str, float]:
        prediction = predict(torch_workload(module, *inputs), spec, **options)
        values = {name: getattr(prediction, name) for name in names}
        out = {n: float("nan") if v is None else float(v) for n, v in values.items()}
        out["feasible"] = float(prediction.feasible)
        return out

    return cost
