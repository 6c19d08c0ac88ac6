"""Device and runtime facts, choices and array namespace that cost functions read."""

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
from perfmodel.hardware.fact_views import engine_view, lacks, view, views_of
from perfmodel.hardware.kernel import Kernel, KernelConstants, constants_at
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.runtime import Runtime

E = TypeVar("E", bound=Engine)
M = TypeVar("M", bound=Memory)
K = TypeVar("K", bound=Kernel)
S = TypeVar("S", bound=Spec)


@dataclass(slots=True)
class Setting:
    """Facts and categories of one prediction; not a spec model, so that any number may be an array.

    Attributes
    ----------
    facts
        Path -> number, or array of shape ``(points,)``.
    engine_name
        Name of the modelled engine.
    engine, runtime
        Facts of the modelled engine that engines of any kind may have; facts of the runtime.
    levels
        Memories from the engine outwards, nearest first; main memory is the last.
    weights_memory
        Memory that stores the weights (main memory unless a memory has the role ``weights``).
    overlap
        ``full``: the slowest of compute and memory levels; ``none``: their sum;
        ``cold_weights_add``: as full, plus the time of weights from main memory.
    bare
        Whether to use the bare roofline: one peak and one bandwidth only.
    causal_skips_masked
        Whether masked query-key pairs are skipped.
    warm
        Whether weights and KV cache remain from one run to the next in a memory that holds
        everything.
    relaxed
        Whether to use continuous relaxations of staircases.
    xp
        Array namespace of the values.
    read_bandwidths
        Memory -> read bandwidth in bytes per second, for memories with a device model.
    choices
        Field -> non-numeric entry of the engine's spec (a dataflow, a switch).
    resident
        Whether activations may be resident in the share of a scratchpad that the spec reserves for
        them, or weights in arrays that compute; ``None`` for the better of both over the whole
        network.
    sequences
        Number of sequences (or frames) of the batch.
    steps
        Number of decode steps of a request, in addition to its prompt; ``None`` if a run is one
        step.
    calls
        Number of control-flow bodies that a run enters.
    prompts
        Number of passes over a prompt in a run: 1 with a prefill, else 0.
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
    resident: bool | None = None
    sequences: Value = 1.0
    steps: Value = None
    calls: Value = 0.0
    prompts: float = 0.0
    engine: Engine = field(init=False, repr=False)
    runtime: Runtime = field(init=False, repr=False)
    _views: dict[tuple[type[Spec], str], Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A tracer must not outlive its trace.
        shared = self.xp is np
        self._views = views_of(self.facts, self.choices, self.engine_name) if shared else {}
        self.engine = self.engine_as(Engine)
        self.runtime = self._view(Runtime, "runtime.")

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
        prompts: float = 0.0,
    ) -> Setting:
        """Return the setting with other numbers and the same categories."""
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
            prompts=prompts,
        )

    @property
    def nearest_memory(self) -> str:
        """Name of the memory that feeds the engine."""
        return self.levels[0]

    @property
    def main_memory(self) -> str:
        """Name of main memory, the outermost level."""
        return self.levels[-1]

    @property
    def clock(self) -> Value:
        """Clock of the engine, hertz.

        Raises
        ------
        InputError
            The engine states no clock.
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
        """Energy per operation of long GEMMs for the device's generation, from the runtime."""
        return self.facts.get("runtime.sustained_energy_per_op")

    @property
    def host_factor(self) -> Value:
        """Slowdown of the device's host relative to the hosts of the runtime's stated times."""
        return self.facts.get("runtime.hosts", 1.0) * self.runtime.host_slowdown

    def kernel(self, name: str, model: type[K]) -> K:
        """Return the constants of the runtime's kernels of a class, as an object of that class."""
        return self._view(model, f"runtime.kernels.{name}.")

    def constants(self, name: str, model: type[Kernel]) -> KernelConstants:
        """Return the constants of a class of kernels; ideal values for those not stated."""
        return constants_at(self.facts, name, model)

    def has_memory(self, level: str) -> bool:
        """Return whether the machine states a bandwidth of a level."""
        return f"memories.{level}.bandwidth" in self.facts

    def memory(self, level: str, model: type[M] = Memory) -> M:
        """Return the facts of a memory, common ones or those of the spec class of its kind."""
        return self._view(model, f"memories.{level}.")

    def memory_as(self, level: str, model: type[M]) -> M | None:
        """Return the facts of a memory as a spec class; ``None`` if its kind is another one."""
        other = lacks(model, Memory, self.facts, f"memories.{level}.")
        return None if other else self.memory(level, model)

    def engine_as(self, model: type[E], kind: str = "") -> E:
        """Return the facts of the engine as a spec class; `engine` has those common to all kinds.

        Raises
        ------
        InputError
            The engine is of another kind: it lacks a fact that the class requires.
        """
        key = model, self.engine_name
        known = self._views.get(key)
        if known is None:
            known = engine_view(model, self.facts, self.engine_name, self.choices, kind)
            self._views[key] = known
        return known

    def inside(self, model: type[S], *fields: str) -> S:
        """Return the facts of a nested spec of the engine, by its class and field path."""
        below = ".".join((*fields, ""))
        return self._view(model, f"engines.{self.engine_name}.{below}", below)

    def _view(self, model: type[S], head: str, below: str = "") -> S:
        # Cached per class and path, so that a fact is looked up once per prediction.
        key = model, head
        known = self._views.get(key)
        if known is None:
            words: Mapping[str, Any] = self.choices if below else {}
            known = self._views[key] = view(model, self.facts, head, words, below)
        return known

    def __reduce__(self) -> Any:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return _setting, (values | {"xp": self.xp.__name__},)

    def fact(self, path: str, default: Value = None) -> Value:
        """Return a fact, or `default` if the machine does not state it."""
        return self.facts.get(path, default)


def _setting(values: Mapping[str, Any]) -> Setting:
    return Setting(**{**values, "xp": module_of(values["xp"])})


#: Read bandwidth model of a kind of memory: (setting, memory name) -> bytes per second.
ReadBandwidth: TypeAlias = Callable[[Setting, str], Value]
