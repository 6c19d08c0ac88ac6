"""What cost functions read beside the operator table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypeVar

import numpy as np

from perfmodel.arrays import Value
from perfmodel.catalog import module_of
from perfmodel.errors import input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Power
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.kernel import Kernel
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.view import MachineViews, engine_view, lacks, memory_view, view, views_of

E = TypeVar("E", bound=Engine)
M = TypeVar("M", bound=Memory)
K = TypeVar("K", bound=Kernel)
S = TypeVar("S", bound=Spec)


@dataclass(slots=True)
class Setting:
    """Facts and categories of one prediction; no spec model, so that arrays may stand anywhere.

    Attributes
    ----------
    facts
        Path -> number, or array of shape ``(points,)``.
    engine_name
        Name of the engine.
    engine, runtime
        Facts that every engine may have, those of the engine that is costed; those of the runtime.
    levels
        Memories between engine and main memory, nearest first; main memory is the last.
    weights_memory
        Memory that stores the weights (main memory unless a memory has the role ``weights``).
    overlap
        ``full``: the slowest of compute and memory levels; ``none``: their sum;
        ``cold_weights_add``: as full, and weights from main memory add.
    bare
        The bare roofline: one peak, one bandwidth, nothing else.
    causal_skips_masked
        Whether masked query-key pairs are skipped.
    warm
        Weights and KV cache stay from one run to the next in a memory that holds everything.
    relaxed
        Continuous forms of staircases.
    xp
        Array namespace of the values.
    read_bandwidths
        Memory -> bytes per second that is read from it, for memories with physics of their own.
    choices
        What the engine's kind adds to its spec beside numbers (a dataflow, a switch), by field.
    stays
        Whether activations take the share of a scratchpad that a spec lets them keep; ``None``: the
        better of both, over the whole network.
    sequences
        Sequences (or frames) of the batch.
    steps
        Decode steps of a request, beside its prompt; ``None`` where a run is one step.
    calls
        Bodies of control flow that a run enters.
    """

    facts: Mapping[str, Value]
    engine_name: str
    levels: tuple[str, ...]
    weights_memory: str
    precision: Precision
    overlap: str = "full"
    bare: bool = False
    causal_skips_masked: bool = True
    warm: bool = False
    relaxed: bool = False
    xp: Any = np
    read_bandwidths: Mapping[str, ReadBandwidth] = field(default_factory=dict[str, "ReadBandwidth"])
    choices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stays: bool | None = None
    sequences: Value = 1.0
    steps: Value = None
    calls: Value = 0.0
    engine: Engine = field(init=False, repr=False)
    runtime: Runtime = field(init=False, repr=False)
    _views: MachineViews = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A tracer must not outlive its trace.
        make = views_of if self.xp is np else MachineViews
        self._views = make(self.facts, self.choices, self.engine_name)
        self.engine, self.runtime = self._views.engine, self._views.runtime

    def at(
        self,
        facts: Mapping[str, Value],
        precision: Precision,
        xp: Any,
        *,
        warm: bool = False,
        relaxed: bool = False,
        sequences: Value = 1.0,
        steps: Value = None,
        calls: Value = 0.0,
    ) -> Setting:
        """Return the setting with the numbers of a prediction; its categories stay."""
        return Setting(
            facts,
            self.engine_name,
            self.levels,
            self.weights_memory,
            precision,
            self.overlap,
            self.bare,
            self.causal_skips_masked,
            warm,
            relaxed,
            xp,
            self.read_bandwidths,
            self.choices,
            sequences=sequences,
            steps=steps,
            calls=calls,
        )

    @property
    def clock(self) -> Value:
        """Clock of the engine, hertz.

        Raises
        ------
        InputError
            It states none.
        """
        clock = self.engine.clock
        if clock is None:
            path = f"engines.{self.engine_name}.clock"
            raise input_error("the engine has no clock", path=path, expected="a frequency")
        return clock

    @property
    def power(self) -> Power:
        """Facts of the device's power."""
        return self._view(Power, "power.")

    @property
    def sustained_energy_per_op(self) -> Value:
        """Energy by the runtime of an operation of long products, of the device's generation."""
        return self.facts.get("runtime.sustained_energy_per_op")

    @property
    def host_factor(self) -> Value:
        """How much slower the device's host is than those that the runtime's times hold for."""
        return self.facts.get("runtime.hosts", 1.0) * self.runtime.host_slowdown

    def kernel(self, name: str, model: type[K]) -> K:
        """Return constants of the runtime's kernels of a class, by the class that declares them."""
        key = name, model
        known = self._views.kernels.get(key)
        if known is None:
            known = view(model, self.facts, f"runtime.kernels.{name}.")
            self._views.kernels[key] = known
        return known

    def has_memory(self, level: str) -> bool:
        """Tell whether a level has a bandwidth of its own."""
        return f"memories.{level}.bandwidth" in self.facts

    def memory(self, level: str) -> Memory:
        """Return facts that every memory may have."""
        known = self._views.memories.get(level)
        if known is None:
            known = self._views.memories[level] = memory_view(Memory, self.facts, level)
        return known

    def memory_of(self, level: str, model: type[M]) -> M:
        """Return facts of a memory of a kind with a spec class of its own."""
        return self._view(model, f"memories.{level}.")

    def memory_as(self, level: str, model: type[M]) -> M | None:
        """Return facts of a memory by the spec class of a kind; None where it is of another."""
        head = f"memories.{level}."
        other = lacks(model, Memory, self.facts, head)
        return None if other else self._view(model, head)

    def engine_as(self, model: type[E], kind: str) -> E:
        """Return facts of the engine by the spec class of a kind.

        Raises
        ------
        InputError
            The engine is of another kind: it lacks a fact that the class says every engine has.
        """
        key = model.__name__, self.engine_name
        if key not in self._views.others:
            self._views.others[key] = engine_view(
                model, self.facts, self.engine_name, self.choices, kind
            )
        return self._views.others[key]

    def inside(self, model: type[S], *fields: str) -> S:
        """Return facts of a spec inside the engine's, by its class and the fields that hold it."""
        below = ".".join((*fields, ""))
        return self._view(model, f"engines.{self.engine_name}.{below}", below)

    def _view(self, model: type[S], head: str, below: str = "") -> S:
        # One of each head and class: a fact is looked up once in a prediction.
        key = model.__name__, head
        known = self._views.others.get(key)
        if known is None:
            known = self._views.others[key] = view(model, self.facts, head, self.choices, below)
        return known

    def __reduce__(self) -> Any:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return _setting, (values | {"xp": self.xp.__name__},)

    def fact(self, path: str, default: Value = None) -> Value:
        """Return a fact, or `default` where the machine does not state it."""
        return self.facts.get(path, default)


def _setting(values: Mapping[str, Any]) -> Setting:
    return Setting(**{**values, "xp": module_of(values["xp"])})


#: What a kind of memory gives: (setting, name of the memory) -> bytes per second.
ReadBandwidth: TypeAlias = Callable[[Setting, str], Value]
