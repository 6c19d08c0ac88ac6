"""Family ``spiking``: layers of spiking neurons, and reservoirs of them (liquid state machines).

Layers hear the one before them and, where the network is recurrent, themselves. A liquid state
machine (Maass, Natschlaeger and Markram 2002) is one recurrent layer of fixed random weights whose
spikes are counted over the window and read out by a trained linear layer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from perfmodel.frozen import FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.spiking.neurons import (
    SPIKES,
    Execution,
    Neuron,
    SpikeSource,
    SpikingBuilder,
)
from perfmodel.workload.symbols import Dim, symbol

_Width = Annotated[int, Field(gt=0, le=10**7)]
Rate = Annotated[float, Field(ge=0, le=1)]
"""Share of neurons that fires in a step."""


class SpikingStructure(FrozenModel):
    """Shape of a spiking network.

    Attributes
    ----------
    inputs
        Input neurons.
    layers
        Neurons of each layer.
    outputs
        Numbers of the readout; 0 for none.
    readout
        ``counts`` (a linear layer over how often the last layer's neurons fired) or ``spiking`` (a
        further layer of neurons, whose spikes are counted).
    recurrent
        Layers hear themselves.
    neuron
        ``if``, ``lif`` (leaky) or ``cuba`` (leaky, with a decaying synaptic current).
    execution
        ``event``: work follows the spikes; ``clocked``: all products in every step.
    connectivity
        Share of the connections that exist.
    steps
        Time steps of a window; a free dimension, this is its default.
    input_rate, spike_rate
        Share of the inputs, and of the neurons, that fires in a step; free dimensions from 0 to 1,
        these are their defaults.
    """

    inputs: _Width
    layers: Annotated[tuple[_Width, ...], Field(min_length=1, max_length=1000)]
    outputs: Annotated[int, Field(ge=0, le=10**6)] = 0
    readout: Literal["counts", "spiking"] = "counts"
    recurrent: bool = False
    neuron: Neuron = "lif"
    execution: Execution = "event"
    connectivity: Annotated[float, Field(gt=0, le=1)] = 1.0
    steps: Annotated[int, Field(gt=0, le=10**9)] = 1
    input_rate: Rate = 0.1
    spike_rate: Rate = 0.1


def build(structure: SpikingStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = SpikingBuilder("spiking")
    batch, steps, rate = symbol("batch"), symbol("steps"), symbol("spike_rate")
    spikes = g.input("spikes", (batch, steps, s.inputs), format=SPIKES)
    heard = SpikeSource(spikes, s.inputs, symbol("input_rate"))
    widths = (*s.layers, *((s.outputs,) if s.outputs and s.readout == "spiking" else ()))
    for i, width in enumerate(widths):
        last = i == len(s.layers)
        spikes = g.neurons(
            [heard], width, batch=batch, steps=steps, neuron=s.neuron, execution=s.execution,
            name="readout" if last else f"layer{i + 1}", connectivity=s.connectivity,
            recurrent=rate if s.recurrent and not last else None,
        )  # fmt: skip
        heard = SpikeSource(spikes, width, rate)
    y = g.counts(spikes, rate, s.execution)
    if s.outputs and s.readout == "counts":
        y = g.linear(y, s.outputs, name="readout", tag="head")
    g.output(y)
    return g.build(parameters(s))


def parameters(structure: SpikingStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    s = structure
    return {
        "batch": 1, "steps": s.steps, "input_rate": s.input_rate, "spike_rate": s.spike_rate
    }  # fmt: skip


def windows(structure: BaseModel) -> tuple[str, Dim]:
    """Return what a run yields: a window each of the batch."""
    del structure
    return "windows", symbol("batch")


FAMILY_SPIKING = Family("spiking", SpikingStructure, parameters, build, windows)
