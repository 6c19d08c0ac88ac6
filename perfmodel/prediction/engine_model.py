"""Model of an engine under a runtime: kind, categories, fusion rules and semantics, no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import choices, facts_of
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import law_of
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds import kind, names
from perfmodel.kinds.protocol import Kind
from perfmodel.workload.executed import ExecutionPolicy
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.layouts import PLAIN, BlockedChannelLayout


@dataclass(frozen=True, slots=True)
class EngineModel:
    """Model of an engine of a device under a runtime.

    Attributes
    ----------
    kind
        Cost model of its rows.
    setting
        Categories that the kind reads (levels, overlap, choices); `Setting.at` adds the numbers.
    fusion
        Rules by which operators are fused into one kernel.
    semantics
        Deviations of the runtime's computation from the network's mathematics.
    execution
        Changes that the runtime makes to a network; ``None`` if it executes the network unchanged.
    """

    kind: Kind
    setting: Setting
    fusion: FusionRules
    semantics: ExecutionSemantics
    execution: ExecutionPolicy | None = None

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.setting.engine_name

    @property
    def bare(self) -> bool:
        """Whether this is the bare roofline: one peak and one bandwidth only."""
        return self.setting.bare


def engine_model(machine: Machine, model: str | None = None) -> EngineModel:
    """Return the model of the engine that a machine's runtime uses.

    Parameters
    ----------
    model
        Name of a kind to use instead of the engine's own.

    Raises
    ------
    InputError
        The kind is unknown.
    """
    return _engine_model(machine.device, machine.runtime, model or "")


@cached(FACTS_BYTES, same=2)
def _engine_model(device: Device, runtime: Runtime, model: str) -> EngineModel:
    facts = facts_of(device, runtime)
    engine, main = device.engine(facts.engine), facts.memory
    hierarchy = [memory.name for memory in device.hierarchy(engine.name)]
    inner = hierarchy.index(main) if main in hierarchy else len(hierarchy)
    stores = [m.name for m in device.memories if "weights" in m.roles]
    try:
        costed = kind(model or engine.kind)
    except KeyError:
        message = f"unknown model '{model}'"
        raise InputError(no_such(message, model or engine.kind, names(), "model")) from None
    bare, semantics = model == "roofline", runtime.semantics
    rules = FusionRules(
        runtime.fusion.elementwise,
        runtime.fusion.attention == "flash",
        runtime.fusion.elementwise_into,
    )
    if costed.packing is not None and not bare:
        panels, narrow = costed.packing(runtime)
        rules = rules._replace(panels=panels, narrow=narrow)
    words: dict[str, Any] = choices(engine)
    if runtime.accumulator is not None:
        words["accumulator"] = runtime.accumulator
    if runtime.multiplies_in:
        words["multiplies_in"] = runtime.multiplies_in
    # A bound assumes that weight prefetches are hidden completely.
    hidden = device.overlap == "cold_weights_add" and "bound" in runtime.tags
    setting = Setting(
        {},
        engine.name,
        (*hierarchy[:inner], main),
        stores[0] if stores else main,
        cast("Precision", None),
        "full" if hidden else device.overlap,
        bare,
        semantics.causal_skips_masked,
        read_bandwidths={
            m.name: law for m in device.memories if (law := law_of(m.kind)) is not None
        },
        choices=words,
    )
    return EngineModel(
        costed,
        setting,
        rules,
        ExecutionSemantics(semantics.head_on_every_token, semantics.runs_dead_branches),
        execution_of(runtime, fixed="cpu" not in engine.tags or not costed.any_algorithm),
    )


def execution_of(runtime: Runtime, *, fixed: bool = False) -> ExecutionPolicy | None:
    """Return the changes that a runtime makes to a network; ``None`` if there are none.

    Parameters
    ----------
    fixed
        Whether the engine has a fixed multiplication algorithm, as all except CPUs have, so that
        the bound over all algorithms does not apply.
    """
    b = runtime.blocks
    policy = ExecutionPolicy(
        tuple((key, tuple(formats)) for key, formats in runtime.executes.items()),
        tuple(
            (key, k.algorithms)
            for key, k in runtime.kernels.items()
            if k.algorithms and not (fixed and "fewest" in k.algorithms)
        ),
        runtime.semantics.active_neurons if runtime.semantics.active_neurons < 1.0 else 0.0,
        BlockedChannelLayout(
            b.channels, b.functions, b.stored_with, b.grouped, b.broadcasts, b.joins
        )
        if b.channels
        else PLAIN,
        runtime.semantics.dispatches_views,
    )
    return None if policy == ExecutionPolicy() else policy
