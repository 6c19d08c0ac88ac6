"""Model of an engine under a runtime: everything about a prediction that is not a number.

Before a prediction evaluates numbers, the categories of the device and of the runtime decide which
cost model applies (the *kind*: roofline, systolic array, SIMD core ...), which memories lie between
the engine and main memory, which operators are fused into one kernel, and how the runtime changes
the network. `engine_model` derives these once for a device and a runtime; predictions and searches
then reuse the `EngineModel` for every workload and every value of a fact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.facts import facts_of, text_fields
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import law_of
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds import kind, names
from perfmodel.kinds.protocol import Kind
from perfmodel.workload.convolution_panels import Panels
from perfmodel.workload.execution_policy import ExecutionPolicy
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.layout_conversions import PLAIN, BlockedChannelLayout


@dataclass(frozen=True, slots=True)
class EngineModel:
    """Model of an engine of a device under a runtime.

    Attributes
    ----------
    kind
        Cost model of its kernels (the rows of an operator table).
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


@cached(FACTS_BYTES, identity_keys=2)
def _engine_model(device: Device, runtime: Runtime, model: str) -> EngineModel:
    """Return the model of an engine, with the kind `model`, or the engine's own if it is empty."""
    facts = facts_of(device, runtime)
    engine, main = device.engine(facts.engine), facts.memory
    try:
        engine_kind = kind(model or engine.kind)
    except KeyError:
        message = f"unknown model '{model}'"
        raise InputError(no_such(message, model or engine.kind, names(), "model")) from None
    bare, semantics = model == "roofline", runtime.semantics
    weight_memories = [memory.name for memory in device.memories if "weights" in memory.roles]
    # A bound assumes that prefetches of weights are hidden completely.
    hides_prefetches = device.overlap == "cold_weights_add" and "bound" in runtime.tags
    setting = Setting(
        facts={},
        engine_name=engine.name,
        levels=_levels(device, engine.name, main),
        weights_memory=weight_memories[0] if weight_memories else main,
        # As the facts, the precision is set by `Setting.at` for each prediction.
        precision=cast("Precision", None),
        overlap="full" if hides_prefetches else device.overlap,
        bare=bare,
        causal_skips_masked=semantics.causal_skips_masked,
        read_bandwidths={
            memory.name: law
            for memory in device.memories
            if (law := law_of(memory.kind)) is not None
        },
        choices=_choices(engine, runtime),
    )
    has_fixed_algorithm = "cpu" not in engine.tags or not engine_kind.any_algorithm
    return EngineModel(
        kind=engine_kind,
        setting=setting,
        fusion=_fusion_rules(runtime, None if bare else engine_kind.packing),
        semantics=ExecutionSemantics(semantics.head_on_every_token, semantics.runs_dead_branches),
        execution=execution_of(
            runtime, fixed=has_fixed_algorithm, dot_products=_has_dot_products(engine)
        ),
    )


def _levels(device: Device, engine: str, main: str) -> tuple[str, ...]:
    """Return the memories from an engine to the main memory of the runtime, nearest first."""
    hierarchy = [memory.name for memory in device.hierarchy(engine)]
    inner = hierarchy.index(main) if main in hierarchy else len(hierarchy)
    return (*hierarchy[:inner], main)


def _choices(engine: Engine, runtime: Runtime) -> dict[str, Any]:
    """Return the non-numeric entries of an engine; entries of the runtime replace them."""
    choices: dict[str, Any] = text_fields(engine)
    if runtime.accumulator is not None:
        choices["accumulator"] = runtime.accumulator
    if runtime.multiplies_in:
        choices["multiplies_in"] = runtime.multiplies_in
    return choices


def _fusion_rules(
    runtime: Runtime, packing: Callable[[Runtime], tuple[Panels, int]] | None
) -> FusionRules:
    """Return the fusion rules of a runtime, with the packing of convolutions if a kind has one."""
    rules = FusionRules(
        elementwise=runtime.fusion.elementwise,
        flash_attention=runtime.fusion.attention == "flash",
        into=runtime.fusion.elementwise_into,
        functions=runtime.fusion.functions,
    )
    if packing is None:
        return rules
    panels, narrow = packing(runtime)
    return rules._replace(panels=panels, narrow=narrow)


def _has_dot_products(engine: Engine) -> bool:
    """Return whether an engine multiplies 8-bit integers more than twice as fast as fp32."""
    narrow, plain = engine.peaks.get("int8"), engine.peaks.get("fp32")
    return narrow is not None and plain is not None and narrow.value > 2.0 * plain.value


def execution_of(
    runtime: Runtime, *, fixed: bool = False, dot_products: bool = False
) -> ExecutionPolicy | None:
    """Return the changes that a runtime makes to a network; ``None`` if there are none.

    Parameters
    ----------
    fixed
        Whether the engine has a fixed multiplication algorithm, as all except CPUs have, so that
        the bound over all algorithms does not apply.
    dot_products
        Whether the engine has dot products of 8-bit integers.
    """
    active_neurons = runtime.semantics.active_neurons
    policy = ExecutionPolicy(
        executes=tuple((key, tuple(formats)) for key, formats in runtime.executes.items()),
        algorithms=tuple(
            (key, kernel.algorithms)
            for key, kernel in runtime.kernels.items()
            if kernel.algorithms and not (fixed and "fewest" in kernel.algorithms)
        ),
        integer_algorithms=tuple(
            (key, kernel.dot_product_algorithms)
            for key, kernel in runtime.kernels.items()
            if kernel.dot_product_algorithms and dot_products
        ),
        active_neurons=active_neurons if active_neurons < 1.0 else 0.0,
        layout=_channel_layout(runtime),
        views=runtime.semantics.dispatches_views,
    )
    return None if policy == ExecutionPolicy() else policy


def _channel_layout(runtime: Runtime) -> BlockedChannelLayout:
    """Return the layout of channels; plain unless the runtime stores them in blocks."""
    blocks = runtime.blocks
    if not blocks.channels:
        return PLAIN
    return BlockedChannelLayout(
        block=blocks.channels,
        functions=blocks.functions,
        stored_with=blocks.stored_with,
        grouped=blocks.grouped,
        broadcasts=blocks.broadcasts,
        joins=blocks.joins,
    )
