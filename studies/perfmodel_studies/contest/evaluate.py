"""What a schedule costs under the contest's rules, and why it is refused where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from perfmodel.errors import InputError

from perfmodel_studies.contest.cost import RASTER, GranularityCosts, SubgraphCosts
from perfmodel_studies.contest.instance import Instance
from perfmodel_studies.contest.solution import ContestSolution, SolutionSubgraph
from perfmodel_studies.contest.structure import Structure, analyse

__all__ = ["Evaluation", "check", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The cost of a schedule.

    Attributes
    ----------
    latencies, working_sets, compute
        Of each subgraph: units of time, elements, units of time.
    read, written
        Elements from and to slow memory, of each subgraph.
    """

    latencies: tuple[float, ...]
    working_sets: tuple[int, ...]
    compute: tuple[float, ...]
    read: tuple[int, ...]
    written: tuple[int, ...]

    @property
    def latency(self) -> float:
        """The sum over the subgraphs, which run one after the other."""
        return math.fsum(self.latencies)


def evaluate(instance: Instance, solution: ContestSolution) -> Evaluation:
    """Cost a schedule.

    Raises
    ------
    InputError
        Naming every reason why the rules refuse it (see `check`).
    """
    faults, walked = _walk(instance, solution)
    if faults:
        raise InputError(faults)
    rows = [(c.latency, c.working_set, c.compute, c.read, c.written) for c in walked]
    columns = [[float(value[0]) for value in row] for row in rows]
    latencies, sets, compute, read, written = zip(*columns, strict=True)
    return Evaluation(
        latencies, tuple(map(int, sets)), compute, tuple(map(int, read)), tuple(map(int, written))
    )


def check(instance: Instance, solution: ContestSolution) -> list[str]:
    """Return every reason why the rules refuse a schedule; none for a valid one.

    Refused are operations that never run or do not exist; subgraphs that do not hang together or
    whose outputs differ in size; granularities above the native one, above a sum, or too small for
    what is pointwise before a product; orders that are no permutation of the tiles; inputs that are
    in neither memory; retained tensors that are not made by their subgraph; a working set above the
    capacity; outputs of the graph that never reach slow memory; and stated latencies that are off
    by more than one in a million.
    """
    return _walk(instance, solution)[0]


def _walk(
    instance: Instance, solution: ContestSolution
) -> tuple[list[str], list[GranularityCosts]]:
    faults: list[str] = []
    subgraph_costs: list[GranularityCosts] = []
    stored = {t for t, producer in enumerate(instance.producer) if producer < 0}
    resident: frozenset[int] = frozenset()
    run: set[int] = set()
    for number, part in enumerate(solution.parts):
        mine = [f"subgraph {number} {list(part.operations)}: {f}" for f in _form(instance, part)]
        structure = analyse(instance, frozenset(part.operations)) if not mine else ""
        if isinstance(structure, str):
            if structure:
                mine.append(f"subgraph {number} {list(part.operations)}: {structure}")
            faults += mine
            resident = frozenset()
            run.update(part.operations)
            continue
        reasons = [*_grain(instance, structure, part), *_order(structure, part)]
        retained = frozenset(part.retained)
        strange = sorted(retained - set(structure.outputs) - set(structure.interior))
        if strange:
            reasons.append(f"retains {strange}, which it does not make")
        absent = [t for t in structure.inputs if t not in stored and t not in resident]
        if absent:
            reasons.append(f"reads {absent}, in neither memory")
        if not reasons:
            w, h, k = (np.array([g]) for g in part.granularity)
            order = part.tiles or RASTER
            grid = SubgraphCosts(instance, structure, w, h, k, resident, retained)
            (cost,) = grid.ordered(order)
            if cost.working_set[0] > instance.capacity:
                need, most = int(cost.working_set[0]), instance.capacity
                reasons.append(f"its working set is {need}, the capacity {most}")
            if number < len(solution.latencies) and not math.isclose(
                solution.latencies[number], float(cost.latency[0]), rel_tol=1e-6
            ):
                stated = solution.latencies[number]
                reasons.append(f"latency {stated:.10g} is stated, it is {cost.latency[0]:.10g}")
            subgraph_costs.append(cost)
        faults += [f"subgraph {number} {list(part.operations)}: {reason}" for reason in reasons]
        run.update(part.operations)
        stored.update(t for t in structure.outputs if t not in retained)
        resident = retained
    never = sorted(set(range(len(instance.operations))) - run)
    if never:
        faults.append(f"operations {never} never run")
    lost = [t for t in instance.graph_outputs if t not in stored]
    if lost:
        faults.append(f"outputs {lost} of the graph never reach slow memory")
    return faults, subgraph_costs


def _form(instance: Instance, part: SolutionSubgraph) -> list[str]:
    unknown = [i for i in part.operations if not 0 <= i < len(instance.operations)]
    if unknown:
        return [f"no operation {unknown}"]
    if not part.operations or len(set(part.operations)) < len(part.operations):
        return ["its operations are not each there once"]
    place = {op: i for i, op in enumerate(part.operations)}
    for op in part.operations:  # they run in the order in which they stand [75]
        for tensor in instance.operations[op].inputs:
            if place.get(instance.producer[tensor], -1) > place[op]:
                return [f"operation {op} stands before {instance.producer[tensor]}, which it reads"]
    return []


def _grain(instance: Instance, structure: Structure, part: SolutionSubgraph) -> list[str]:
    w, h, k = part.granularity
    native = (instance.native_width, instance.native_height, structure.most_depth)
    out: list[str] = []
    if w > native[0] or h > native[1]:
        out.append(f"granularity {w} x {h} is above the native {native[0]} x {native[1]}")
    if k > native[2]:
        out.append(f"depth {k} is above {native[2]}, the native depth or the shortest sum")
    if w < structure.least_width or h < structure.least_height:
        least = f"{structure.least_width} x {structure.least_height}"
        out.append(f"granularity {w} x {h} is below {least}, what is pointwise before a product")
    return out


def _order(structure: Structure, part: SolutionSubgraph) -> list[str]:
    if not part.tiles:
        return []
    tiles = -(-structure.width // part.granularity[0]) * -(-structure.height // part.granularity[1])
    if sorted(part.tiles) != list(range(tiles)):
        return [f"its traversal is no permutation of {tiles} tiles"]
    return []
