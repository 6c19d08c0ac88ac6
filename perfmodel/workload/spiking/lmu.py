"""Family ``lmu``: Legendre memory units, with real or with spiking neurons.

A unit (Voelker, Kajic and Eliasmith, NeurIPS 2019) writes a projection ``u`` of its input, state
and memory into a linear memory ``m = A m + B u`` of fixed matrices, and reads it with a recurrent
layer ``h = f(W_x x + W_h h + W_m m)``. What is projected may be left out, as keras-lmu has it. In
the spiking form (L2MU, arXiv:2407.04076) ``u``, ``m`` and ``h`` are populations of neurons that
hear each other's spikes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import LoopNest, Operand, indexed
from perfmodel.workload.spiking.network import Rate, windows
from perfmodel.workload.spiking.neurons import NEURONS, SPIKES, Execution, SpikingBuilder, summed
from perfmodel.workload.symbols import Dim, product, simplify, symbol

_Width = Annotated[int, Field(gt=0, le=10**6)]


class LmuStructure(FrozenModel):
    """Shape of a unit and its readout.

    Attributes
    ----------
    inputs
        Numbers a time step.
    hidden
        Units of the recurrent layer.
    order
        Numbers that a memory keeps: Legendre polynomials up to ``order - 1``.
    memories
        Memories, each with its own ``u``.
    hidden_to_memory, memory_to_memory, input_to_hidden
        Whether ``u`` takes the state and the memory, and the recurrent layer the input.
    hidden_recurrent
        The recurrent layer takes its own state.
    bias
        The recurrent layer has biases.
    outputs
        Numbers of a linear readout; 0 for none.
    readout
        ``last`` (after the last step; of spiking neurons, over how often they fired) or ``spiking``
        (further neurons in every step, whose spikes are counted).
    neuron
        ``real`` (tanh), or the model of spiking neurons: ``if``, ``lif``, ``cuba``.
    execution
        Of spiking neurons, ``event`` or ``clocked``.
    steps
        Time steps; a free dimension, this is its default.
    input_rate, spike_rate
        Of spiking neurons, the share that fires in a step; free dimensions.
    """

    inputs: _Width = 1
    hidden: _Width
    order: _Width
    memories: _Width = 1
    hidden_to_memory: bool = True
    memory_to_memory: bool = True
    input_to_hidden: bool = True
    hidden_recurrent: bool = True
    bias: bool = False
    outputs: Annotated[int, Field(ge=0, le=10**6)] = 0
    readout: Literal["last", "spiking"] = "last"
    neuron: Literal["real", "if", "lif", "cuba"] = "real"
    execution: Execution = "event"
    steps: Annotated[int, Field(gt=0, le=10**9)] = 1
    input_rate: Rate = 0.1
    spike_rate: Rate = 0.1

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield a spiking readout of real numbers."""
        if data.get("readout") == "spiking" and data.get("neuron", "real") == "real":
            yield Flaw(
                ("readout",), "a spiking readout hears spikes", "last, or a neuron that spikes"
            )

    @property
    def memory(self) -> int:
        """Numbers in all memories."""
        return self.memories * self.order


class _Heard:
    """What a population sums over: numbers, and those of neurons that fire in a step."""

    def __init__(self, s: LmuStructure) -> None:
        self.s = s
        self.inputs: Dim = 0
        self.active: Dim = 0

    def add(self, count: int, rate: str, *, when: bool = True) -> _Heard:
        if when:
            self.inputs = self.inputs + count
            spiking = self.s.neuron != "real"
            self.active = simplify(self.active + count * (symbol(rate) if spiking else 1))
        return self

    @property
    def summed(self) -> Dim:
        """What is read and summed up in a step."""
        return self.active if self.s.execution == "event" else self.inputs


def build(structure: LmuStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: a row for each of ``u``, ``m`` and ``h`` over all steps."""
    del semantics
    s = structure
    g = SpikingBuilder("lmu")
    batch, steps = symbol("batch"), symbol("steps")
    spiking = s.neuron != "real"
    x = g.input("x", (batch, steps, s.inputs), format=SPIKES if spiking else "")
    heard = _Heard(s).add(s.inputs, "input_rate")
    heard.add(s.hidden, "spike_rate", when=s.hidden_to_memory)
    heard.add(s.memory, "spike_rate", when=s.memory_to_memory)
    u = _population(g, [x], heard, s.memories, s, name="encoder")
    # Each memory has its own numbers and the same A and B.
    own = _Heard(s).add(s.order, "spike_rate").add(1, "spike_rate")
    m = _population(g, [u], own, s.order, s, name="memory", copies=s.memories)
    heard = _Heard(s).add(s.memory, "spike_rate")
    heard.add(s.inputs, "input_rate", when=s.input_to_hidden)
    heard.add(s.hidden, "spike_rate", when=s.hidden_recurrent)
    sources = [m, *([x] if s.input_to_hidden else [])]
    h = _population(g, sources, heard, s.hidden, s, name="hidden", bias=s.bias)
    each_step = s.outputs > 0 and s.readout == "spiking"
    if each_step:
        heard = _Heard(s).add(s.hidden, "spike_rate")
        h = _population(g, [h], heard, s.outputs, s, name="readout", bias=True)
    if spiking:
        y = g.counts(h, symbol("spike_rate"), s.execution)
    else:
        y = g.copy([h], (batch, s.hidden), read=[batch * s.hidden], name="last")
    if s.outputs and not each_step:
        y = g.linear(y, s.outputs, name="readout", tag="head")
    g.output(y)
    return g.build(parameters(s))


def _population(
    g: SpikingBuilder, sources: list[Tensor], heard: _Heard, count: int, s: LmuStructure, *,
    name: str, copies: int = 1, bias: bool = False,
) -> Tensor:  # fmt: skip
    """Add ``count`` numbers a step, `copies` times over with the same weights."""
    batch, steps = symbol("batch"), symbol("steps")
    spiking = s.neuron != "real"
    y = g.tensor(f"{name}.out", (batch, steps, copies * count), format=SPIKES if spiking else "")
    weight = g.weight(f"{name}.weight", (heard.inputs, count))
    reads: list[Tensor | tuple[Tensor, Dim]] = [
        sources[0], (weight, product(steps, heard.summed, count)), *sources[1:]
    ]  # fmt: skip
    if bias:
        vector = g.weight(f"{name}.bias", (count,), tag="vector")
        reads.append((vector, steps * count))
    each = NEURONS[s.neuron] if spiking else None
    state = g.tensor(f"{name}.state", (batch, copies * count, each.states if each else 1),
                     role="state")  # fmt: skip
    kept = product(steps, *state.shape)
    rows = product(batch, copies)
    nest = LoopNest(
        (("t", steps), ("m", rows), ("n", count), ("k", summed(heard.summed))),
        (
            Operand(sources[0].name, "input", indexed("mtk")),
            Operand(weight.name, "weight", indexed("kn")),
            Operand(y.name, "output", indexed("mtn")),
        ),
    )
    ops: float = bias + (VECTOR_OPS["tanh"] if name == "hidden" else 0)
    if each is not None:
        ops = each.operations + bias
    function = f"{s.neuron}_{s.execution}" if spiking else f"lmu_{name}"
    g.operator(
        name, "recurrent", [*reads, (state, kept)], [y, (state, kept)], nests=[nest],
        vector_ops=product(ops, steps, rows, count), pair=(weight.slot, sources[0].slot),
        attributes={
            "cell": "lmu", "function": function,
            "extents": (("active", heard.active), ("inputs", heard.inputs)),
        },
    )  # fmt: skip
    return y


def parameters(structure: LmuStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    s = structure
    free: dict[str, float] = {"batch": 1, "steps": s.steps}
    if s.neuron != "real":
        free |= {"input_rate": s.input_rate, "spike_rate": s.spike_rate}
    return free


FAMILY_LMU = Family("lmu", LmuStructure, parameters, build, windows)
