"""The stages of a prediction, in their order; each is a pure step.

resolve
    A workload on a device -> the machine, the precision, how its engine is modelled.
execute
    The network -> what the runtime makes of it: fall-backs, algorithms, conversions of layout. Or
    what a plan has of it, repetitions written out (`perfmodel.prediction.planned`).
fuse
    What the runtime joins -> rules by which operators become kernels.
lower
    Graph -> kernels whose numbers are open, compiled once for a structure.
bind
    Parameters of the workload -> the numbers of the operator table, for a chunk of points.
cost
    Table -> seconds, bytes and joules of each row, by the engine's kind.
compose
    Terms of each row -> its time: the kind composes them, and again where a calibration multiplies
    them or a plan moves other bytes.
sum
    Rows -> totals of the network, audited (`perfmodel.prediction.settled`).

`perfmodel.predict` calls the first four, `perfmodel.prediction.job` the others for each chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perfmodel.arrays import Value, least
from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import network_totals, total
from perfmodel.errors import InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.scaled import calibrated, refuse_classes
from perfmodel.prediction.engine_model import EngineModel, engine_model
from perfmodel.prediction.planned import PlannedMoves
from perfmodel.prediction.settled import settle, work_of
from perfmodel.resolve import check_choices, machine_of, precision_for, variant_of
from perfmodel.workload.executed import executed
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered, OperatorTable
from perfmodel.workload.lower import lower as lowered
from perfmodel.workload.workload import Workload


class ResolvedPrediction(NamedTuple):
    """What is predicted: objects in place of names, and how the engine is modelled."""

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
    """Return what a workload on a device comes to; parameters as for `perfmodel.predict`.

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
    """Return the machine that a workload is predicted on: its runtime and engine resolved."""
    machine = machine_of(device, runtime, {}, workload, precision, engine)
    if engine is None or engine == machine.engine:
        return machine
    if faults := check_choices(machine, engine, None):
        raise InputError(faults)
    driven = _driving(variant_of(machine.runtime, machine.device, engine), engine)
    return Machine(machine.device, driven).vary(machine.varied)


@cached(FACTS_BYTES, same=1)
def _driving(runtime: Runtime, engine: str) -> Runtime:
    """Return the runtime with another engine, one object each so that facts stay cached."""
    return runtime.model_copy(update={"engine": engine})


def written(subject: ResolvedPrediction, done: str = "predicted") -> Graph:
    """Return the network as it is written, under what the runtime computes of it.

    Parameters
    ----------
    done
        What needs operators, for the fault of a network of sizes alone.

    Raises
    ------
    InputError
        The network holds sizes only.
    """
    graph = subject.workload.graph(subject.model.semantics)
    if graph.schedulable_only:
        raise input_error(
            f"'{subject.workload.name}' can be scheduled but not {done}: it holds sizes only",
            expected="a workload with operators, such as a model name or an ONNX file",
        )
    return graph


def execute(subject: ResolvedPrediction, graph: Graph) -> Graph:
    """Return the graph with what the runtime adds; the bare roofline runs it as it is."""
    model = subject.model
    if model.execution is None or model.bare:
        return graph
    return executed(graph, model.execution, subject.precision.activations.compute)


def fuse(
    subject: ResolvedPrediction,
    elementwise: bool | None = None,
    flash_attention: bool | None = None,
) -> FusionRules:
    """Return the rules by which operators become kernels: the runtime's, or as they are set."""
    rules = subject.model.fusion
    if elementwise is not None:
        rules = rules._replace(elementwise=elementwise)
    return rules if flash_attention is None else rules._replace(flash_attention=flash_attention)


def lower(graph: Graph, rules: FusionRules, precision: Precision) -> Lowered:
    """Return the kernels of a graph under rules; their numbers are open."""
    # Formats that store some tensors wider keep the tags of weights apart.
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
    """Return the table of a network with numbers, and with what the engine's kind reads of it.

    Parameters
    ----------
    accesses
        Also of the bare roofline each access by itself.
    """
    return network.bind(
        values,
        points,
        accesses=accesses or not model.bare,
        relaxed=relaxed,
        nests=model.kind.needs_nests,
    )


def cost(kind: Kind, table: OperatorTable, setting: Setting) -> Terms:
    """Return what a kind costs each row.

    Raises
    ------
    InputError
        The kind says which classes of operators it costs, and a row is of none of them.
    """
    refuse_classes(kind, table)
    return kind.cost(table, setting)


def compose(
    table: OperatorTable, terms: Terms, setting: Setting, plan: PlannedMoves | None = None
) -> Terms:
    """Return the terms as a calibration multiplies them and with the bytes that a plan moves."""
    terms = calibrated(table, terms, setting)
    return terms if plan is None else plan.applied(table, terms, setting)


def sums(
    table: OperatorTable, terms: Terms, setting: Setting, values: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the sums over the rows, audited: each is a number of a run."""
    out, sound = network_totals(
        table, setting, terms.row_s, terms.traffic, terms.operations, terms.energy
    )
    out |= {f"resource {name}": used for name, used in terms.resources.items()}
    if table.executed_macs is not None or terms.left_out is not None:
        out["work"] = total(table.count, work_of(table, terms, setting))
    sound = sound and all(least(used) >= 0.0 for used in terms.resources.values())
    settle(out, table, terms, values, sound)
    return out
