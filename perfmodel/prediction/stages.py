"""Stages of a prediction in execution order; each is a pure function.

resolve
    Workload and device -> machine, precision, and model of the engine.
execute
    Network -> graph as executed by the runtime: fall-backs, algorithms, layout conversions. With a
    plan: the graph of the plan with repetitions unrolled (`perfmodel.prediction.plan_traffic`).
fuse
    Runtime -> rules by which operators are fused into kernels.
lower
    Graph -> kernels with symbolic sizes, compiled once per structure.
bind
    Parameters of the workload -> numbers of the operator table, for a chunk of points.
cost
    Table -> seconds, bytes and joules of each row, by the engine's kind.
compose
    Terms of each row -> its time; terms are recomposed if a calibration scales them or a plan
    changes their traffic.
sum
    Rows -> network totals, checked (`perfmodel.prediction.validity_checks`).

`perfmodel.predict` calls the first four, `perfmodel.prediction.job` the others for each chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.arrays import Value, least
from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.cost.energy import KERNELS, class_energies, kernel_energy, run_energy
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import network_totals, total
from perfmodel.errors import InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.class_multipliers import calibrated, refuse_classes
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.prediction.engine_model import EngineModel, engine_model
from perfmodel.prediction.validity_checks import check_validity, reference_work
from perfmodel.resolve import check_choices, machine_of, precision_for, variant_of
from perfmodel.workload.execution_policy import apply_execution_policy
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered
from perfmodel.workload.lower import lower as lowered
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.prediction.job import RunChanges


@dataclass(frozen=True, slots=True)
class ResolvedPrediction:
    """Resolved objects of a prediction, and the model of the engine."""

    workload: Workload
    machine: Machine
    precision: Precision
    model: EngineModel


def resolve(
    workload: Workload,
    device: Device | Machine,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    engine: str | None = None,
    model: str | None = None,
) -> ResolvedPrediction:
    """Resolve a workload and a device; parameters are those of `perfmodel.predict`.

    Raises
    ------
    InputError
        Unknown names.
    """
    machine = machine_for(workload, device, runtime, engine, precision)
    modelled = engine_model(machine, model)
    formats = precision_for(precision, workload, machine, modelled.engine)
    return ResolvedPrediction(workload, machine, formats, modelled)


def machine_for(
    workload: Workload,
    device: Device | Machine,
    runtime: str | Runtime | None,
    engine: str | None,
    precision: str | Precision | None,
) -> Machine:
    """Return the machine for a workload, with its runtime and engine resolved."""
    machine = machine_of(device, runtime, {}, workload, precision, engine)
    if engine is None or engine == machine.engine:
        return machine
    if faults := check_choices(machine, engine, None):
        raise InputError(faults)
    driven = _runtime_on_engine(variant_of(machine.runtime, machine.device, engine), engine)
    return Machine(machine.device, driven).vary(machine.varied)


@cached(FACTS_BYTES, identity_keys=1)
def _runtime_on_engine(runtime: Runtime, engine: str) -> Runtime:
    """Return the runtime with another engine; cached, so that facts cached by identity remain."""
    return runtime.model_copy(update={"engine": engine})


def source_graph(subject: ResolvedPrediction, done: str = "predicted") -> Graph:
    """Return the original graph of a network, under the semantics of the runtime.

    Parameters
    ----------
    done
        Text for the error message: the step that requires operators.

    Raises
    ------
    InputError
        The network consists of sizes only.
    """
    graph = subject.workload.graph(subject.model.semantics)
    if graph.schedulable_only:
        raise input_error(
            f"'{subject.workload.name}' can be scheduled but not {done}: it holds sizes only",
            expected="a workload with operators, such as a model name or an ONNX file",
        )
    return graph


def execute(subject: ResolvedPrediction, graph: Graph) -> Graph:
    """Return the graph as executed by the runtime; unchanged for the bare roofline."""
    model = subject.model
    if model.execution is None or model.bare:
        return graph
    return apply_execution_policy(graph, model.execution, subject.precision.activations.compute)


def fuse(
    subject: ResolvedPrediction,
    elementwise: bool | None = None,
    flash_attention: bool | None = None,
) -> FusionRules:
    """Return the fusion rules, those of the runtime unless set otherwise."""
    rules = subject.model.fusion
    if elementwise is not None:
        rules = rules._replace(elementwise=elementwise)
    return rules if flash_attention is None else rules._replace(flash_attention=flash_attention)


def lower(graph: Graph, rules: FusionRules, precision: Precision) -> Lowered:
    """Return the kernels of a graph under fusion rules, with symbolic sizes."""
    # Formats that store some tensors wider require separate tags of weights.
    return lowered(graph, rules, tagged=bool(precision.weights.overrides))


def bind(
    network: Lowered,
    model: EngineModel,
    values: Mapping[str, Value],
    points: int = 1,
    *,
    accesses: bool = False,
    relaxed: bool = False,
) -> OperatorTable:
    """Return the operator table with numbers, and with the columns that the engine's kind reads.

    Parameters
    ----------
    accesses
        Whether to list individual accesses for the bare roofline as well.
    """
    return network.bind(
        values,
        points,
        accesses=accesses or not model.bare,
        relaxed=relaxed,
        nests=model.kind.needs_nests,
    )


def cost(kind: Kind, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of each row by the cost model of the kind.

    Raises
    ------
    InputError
        A row belongs to no operator class that the kind supports.
    """
    refuse_classes(kind, table)
    return kind.cost(table, setting)


def compose(
    table: OperatorTable, terms: Terms, setting: Setting, plan: RunChanges | None = None
) -> Terms:
    """Return the terms with calibration multipliers and the traffic of a plan applied.

    Engines that count no energies of their own get those of their class.
    """
    terms = calibrated(table, terms, setting)
    terms = terms if plan is None else plan.apply(table, terms, setting)
    if terms.energy:
        return terms
    energy, priced = kernel_energy(terms.traffic, terms.operations, terms.row_s, setting)
    return replace(terms, energy=energy, priced=priced) if energy else terms


def energy_parts(terms: Terms, setting: Setting) -> dict[str, Value]:
    """Return the joules of each row by part, those of the engine's class too."""
    if KERNELS not in terms.energy:
        return terms.energy
    return class_energies(terms.traffic, terms.operations, terms.row_s, setting)


def row_energies(table: OperatorTable, terms: Terms, setting: Setting) -> dict[str, Value]:
    """Return part -> joules of each row over all its executions, for the first point.

    The parts are those of the energy of a run; what a run costs outside its rows is excluded.
    """

    def column(values: Value) -> Value:
        shown = np.asarray(values, dtype=float)
        return (table.count * np.broadcast_to(shown, (len(table.rows), shown.shape[-1])))[:, 0]

    totals = {"latency_s": column(terms.row_s)}
    energies = energy_parts(terms, setting)
    groups = {"operations": terms.operations, "traffic": terms.traffic, "energy": energies}
    for group, columns in groups.items():
        totals |= {f"{group} {name}": column(values) for name, values in columns.items()}
    parts = run_energy(totals, setting, terms.priced if terms.energy else ()).parts
    rows = totals["latency_s"].shape
    return {part: np.broadcast_to(joule, rows) for part, joule in parts.items()}


def totals_of_design(terms: Terms) -> dict[str, Value]:
    """Return what a network has as one: resources of a design, and the interval of a pipeline."""
    out = {f"resource {name}": used for name, used in terms.resources.items()}
    return out if terms.interval is None else {**out, "interval_s": terms.interval}


def sums(
    table: OperatorTable, terms: Terms, setting: Setting, values: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the network totals after the validity checks."""
    out, sound = network_totals(
        table, setting, terms.row_s, terms.traffic, terms.operations, terms.energy
    )
    out |= totals_of_design(terms)
    if table.executed_macs is not None or terms.left_out is not None:
        out["work"] = total(table.count, reference_work(table, terms, setting))
    sound = sound and all(least(used) >= 0.0 for used in terms.resources.values())
    check_validity(out, table, terms, values, sound)
    return out
