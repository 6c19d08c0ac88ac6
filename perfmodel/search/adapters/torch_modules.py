"""A torch module as a workload, and what it costs: its operators as they run on an example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from perfmodel.catalog import need
from perfmodel.hardware.device import Device
from perfmodel.predict import predict
from perfmodel.search.adapters.torch_operators import Recorder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload


def torch_workload(module: Any, *inputs: Any) -> Workload:
    """Return the workload of a torch module: it is run once, on an example.

    Operators are recorded as torch dispatches them, so that functions between modules (residual
    sums, reshapes) count as well; modules give them their names. Sizes are those of the example.
    The module runs in evaluation mode, without gradients, and is left as it was.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, on any device.
    inputs
        What it is called with.

    Returns
    -------
    Workload
        Its `Workload.not_priced` lists operators that no cost stands for.

    Raises
    ------
    InputError
        torch is not installed.
    """
    torch: Any = need("torch")
    recorder = Recorder(torch, module)
    training = [m for m in module.modules() if m.training]
    module.eval()
    # The fused encoder layer would hide what it is made of.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), recorder.running():
            outputs = module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for each in training:
            each.training = True
    graph = recorder.built(outputs)
    return Workload(type(module).__name__, Recorded(graph), {}, ("runs", 1), origin="torch")


class Recorded:
    """The graph of a module that ran."""

    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph; no runtime makes another of it."""
        del semantics
        return self.graph

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorded, (self.graph,)


def torch_cost(
    device: Device | str, metrics: Sequence[str] = ("latency_s",), **options: Any
) -> Callable[..., dict[str, float]]:
    """Return ``cost(module, *inputs)``: metric -> number, and ``feasible`` (1 or 0).

    Parameters
    ----------
    device
        A device, its name or the path of its file.
    metrics
        Attributes of a prediction.
    options
        As for `predict`: ``precision``, ``runtime`` ...

    Raises
    ------
    InputError
        Unknown device or metric; of `cost`, what `torch_workload` and `predict` raise.
    """
    from perfmodel.hardware.library import hardware
    from perfmodel.search.oracle.reader import METRICS, checked_metrics

    found = device if isinstance(device, Device) else hardware(device)
    asked = checked_metrics([metrics] if isinstance(metrics, str) else metrics, ())
    assert set(asked) <= set(METRICS)

    def cost(module: Any, *inputs: Any) -> dict[str, float]:
        prediction = predict(torch_workload(module, *inputs), found, **options)
        told = {name: getattr(prediction, name) for name in asked}
        out = {n: float("nan") if v is None else float(v) for n, v in told.items()}
        out["feasible"] = float(prediction.feasible)
        return out

    return cost
