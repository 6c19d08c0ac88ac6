"""A layer of spiking neurons over time steps: sums over who fired, then the neurons' own state.

In a step, each input neuron that fires adds its row of weights to the currents of the layer:
``rate * inputs * neurons`` accumulates instead of ``inputs * neurons`` multiply-accumulates, and as
much of the weights is read. Driven by events, work and weights follow the rate; clocked, all
products are made whoever fires. Neurons are updated in every step either way.

A spike is one bit a neuron and step, whoever drives the layer, so that a layer driven by events in
which everyone fires is the clocked one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import LoopNest, Operand, indexed
from perfmodel.workload.symbols import Dim, constant, maximum, product, simplify

Neuron = Literal["if", "lif", "cuba"]
"""Models of a neuron, see `NEURONS`."""

Execution = Literal["event", "clocked"]
"""``event``: work follows the spikes; ``clocked``: all products in every step."""

SPIKES: Final = "int1"
"""Format of spikes: one bit a neuron and step."""


class Population(NamedTuple):
    """What a neuron does in a step.

    Attributes
    ----------
    operations
        Arithmetic a step beside the sum of its inputs.
    states
        Numbers that it keeps.
    """

    operations: int
    states: int


NEURONS: Final[Mapping[str, Population]] = {
    # Add the current, compare with the threshold, reset.
    "if": Population(3, 1),
    # v = decay v + i, compare, reset.
    "lif": Population(4, 1),
    # i = decay i + input; v = decay v + i, compare, reset (current-based synapses).
    "cuba": Population(6, 2),
}
"""Integrate and fire, leaky integrate and fire, and leaky with a decaying synaptic current."""


#: Inputs that a sum runs over at the least: a loop of no length has no tiles to divide it into.
_LEAST = 1e-6


def summed(active: Dim) -> Dim:
    """Return the extent of a sum over the neurons that fire, which may be none."""
    return active if constant(active) is not None else maximum(active, _LEAST)


class SpikeSource(NamedTuple):
    """Neurons that a layer listens to.

    Attributes
    ----------
    spikes
        Their spikes, ``(batch, steps, neurons)``.
    neurons
        How many they are.
    rate
        Share of them that fires in a step.
    """

    spikes: Tensor
    neurons: Dim
    rate: Dim


class SpikingBuilder(GraphBuilder):
    """A `GraphBuilder` with layers of spiking neurons."""

    def neurons(
        self, sources: Sequence[SpikeSource], count: Dim, *, batch: Dim, steps: Dim, neuron: Neuron,
        execution: Execution, name: str, recurrent: Dim | None = None, connectivity: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Add a layer of neurons over all steps: ``(batch, steps, count)`` spikes.

        Parameters
        ----------
        sources
            Who is heard; their weights are one matrix, ``(inputs, count)``.
        recurrent
            The layer also hears itself, and this share of it fires in a step.
        connectivity
            Share of the connections that exist; below 1 each stores where it leads.

        Notes
        -----
        The row is of class ``recurrent``, its function ``<neuron>_<execution>``. Its `extents` say
        ``inputs``, the rows of the weight matrix, and ``active``, those whose neurons fire in a
        step, whatever drives the layer: a memory array holds the former and draws current in the
        latter. Its nest sums over the active ones where events drive it, else over all.
        """
        spikes = self.tensor(f"{name}.spikes", (batch, steps, count), format=SPIKES)
        inputs: Dim = 0
        active: Dim = 0
        for neurons, rate in (*((s.neurons, s.rate) for s in sources), (count, recurrent)):
            if rate is not None:
                inputs = inputs + neurons
                active = active + neurons * rate
        inputs, active = simplify(inputs), simplify(active)
        fan_in = simplify((active if execution == "event" else inputs) * connectivity)
        stored = simplify(inputs * connectivity)
        weight = self.weight(f"{name}.weight", (stored, count))
        read = product(steps, fan_in, count)
        reads: list[Tensor | tuple[Tensor, Dim]] = [s.spikes for s in sources]
        reads.insert(1, (weight, read))
        if connectivity < 1:
            targets = self.weight(f"{name}.targets", (stored, count), format="int16")
            reads.append((targets, read))
        model = NEURONS[neuron]
        state = self.tensor(f"{name}.state", (batch, count, model.states), role="state")
        kept = product(steps, *state.shape)
        first = sources[0].spikes
        nest = LoopNest(
            (("t", steps), ("m", batch), ("n", count), ("k", summed(fan_in))),
            (
                Operand(first.name, "input", indexed("mtk")),
                Operand(weight.name, "weight", indexed("kn")),
                Operand(spikes.name, "output", indexed("mtn")),
            ),
        )
        self.operator(
            name, "recurrent", [*reads, (state, kept)], [spikes, (state, kept)], nests=[nest],
            vector_ops=product(model.operations, batch, steps, count),
            pair=(weight.slot, first.slot),
            attributes={
                "cell": neuron, "function": f"{neuron}_{execution}",
                "extents": (("active", active), ("inputs", inputs)),
            },
        )  # fmt: skip
        return spikes

    def counts(
        self, spikes: Tensor, rate: Dim, execution: Execution, *, name: str = "counts"
    ) -> Tensor:
        """Add how often each neuron fired: an addition a spike, clocked one a neuron and step."""
        batch, _, count = spikes.shape
        y = self.tensor(f"{name}.out", (batch, count))
        added = spikes.elements * (rate if execution == "event" else 1)
        self.operator(
            name, "pool", [spikes], [y], vector_ops=simplify(added),
            attributes={"function": "count"},
        )  # fmt: skip
        return y
