"""The device and the network of a design, as a prediction takes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from perfmodel.errors import InputError
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Graph
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.hls4ml.rows import Hls4mlDesign

__all__ = ["PART", "RUNTIME", "layer_workload", "machine_of", "network", "precision_of"]

RUNTIME = "hls4ml"
#: Whose resources are known where a row names a part that the library lacks: cycles and amounts
#: are those of the circuits.
PART = "xc7z007s"

#: The synthesis knows no memory: what a circuit reads is there.
_NO_MEMORY = 1e15


def machine_of(design: Hls4mlDesign, devices: Sequence[str | Path], *, layer: int | None = None,
               count_given: bool = True) -> Machine:  # fmt: skip
    """Return the part with a row's design in it.

    Parameters
    ----------
    layer
        Of one layer alone, where given.
    count_given
        Whether the design says how many weights need a multiplier.
    """
    device = _styled(_part(design.part, tuple(devices)), design.multiply_in, design.strategy)
    head = f"engines.{device.engines[0].name}."
    changes: dict[str, Any] = {
        head + "clock": design.clock,
        head + "design.target_clock": design.clock,
        f"memories.{device.main_memory}.bandwidth": _NO_MEMORY,
        f"memories.{device.main_memory}.latency": 0.0,
    }
    if layer is not None:
        # A layer alone has no register to the next.
        changes["runtime.kernels.gemm.register_clocks"] = 0.0
    chosen = range(len(design.shapes)) if layer is None else [layer]
    for place, i in enumerate(chosen, start=1):
        at = f"{head}design.layers.{place}."
        changes[at + "reuse_factor"] = min(design.factors[i], float(_products(design, i)))
        changes[at + "nonzeros"] = design.nonzeros[i]
        if design.layers and design.layers[i].sum_bits:
            changes[at + "sum_bits"] = float(design.layers[i].sum_bits)
        if count_given and design.multipliers:
            changes[at + "multipliers"] = design.multipliers[i]
    return device.machine(RUNTIME).vary(changes)


def _products(design: Hls4mlDesign, layer: int) -> int:
    inputs, outputs = design.shapes[layer]
    return inputs * outputs


def _part(name: str, devices: tuple[str | Path, ...]) -> Device:
    try:
        return hardware(name, devices)
    except InputError:
        return hardware(PART, devices)


_MADE: dict[tuple[int, str, str], tuple[Device, Device]] = {}


def _styled(device: Device, multiply_in: str, strategy: str) -> Device:
    """Return a device whose design multiplies in DSP slices or look-up tables, kept for reuse."""
    key = id(device), multiply_in, strategy
    if key not in _MADE:
        engine = device.engines[0]
        design = engine.design.model_copy(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
            update={"multiply_in": multiply_in, "strategy": strategy}
        )
        made = engine.model_copy(update={"design": design})
        _MADE[key] = device, device.model_copy(update={"engines": (made, *device.engines[1:])})
    return _MADE[key][1]


def precision_of(design: Hls4mlDesign, layer: int | None = None) -> Precision:
    """Return the bits of weights and inputs; of the widest layer, or of one."""
    chosen = design.layers if layer is None else design.layers[layer : layer + 1]
    inputs = max((a.input_bits for a in chosen), default=0) or design.bits
    return as_precision("int8").with_bits(weights=float(design.bits), activations=float(inputs))


def network(design: Hls4mlDesign) -> Workload:
    """Return a design's network: dense layers with ReLU between, a softmax at the end."""
    return _workload(design.shapes, design.model)


def layer_workload(design: Hls4mlDesign, layer: int) -> Workload:
    """Return one dense layer alone."""
    return _workload(design.shapes[layer : layer + 1], f"layer {layer + 1}", alone=True)


@cache
def _workload(shapes: tuple[tuple[int, int], ...], name: str, *, alone: bool = False) -> Workload:
    g = GraphBuilder(name)
    x = g.input("features", (1, shapes[0][0]))
    for i, (_, outputs) in enumerate(shapes, start=1):
        x = g.linear(x, outputs, name=f"fc{i}")
        if not alone:
            x = g.softmax(x) if i == len(shapes) else g.elementwise("relu", x, name=f"relu{i}")
    g.output(x)
    graph: Graph = g.build()
    return Workload(name, lambda _: graph, {})
