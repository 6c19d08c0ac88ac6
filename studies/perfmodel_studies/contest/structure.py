"""What a subgraph needs at each step, before any granularity is chosen.

The rules are those of PROBLEM.md of github.com/yarongmu-google/MLSys with the organisers' answers
on its tracker (numbers in brackets):

* An output tile is ``h x w``. A product on the way to it is summed in steps of ``k``; what is
  pointwise behind it runs once, on the finished tile [82].
* What is pointwise before a product must make the whole strip that the product reads within one
  tile: ``w >= K`` on the left, ``h >= K`` on the right [71, 82]. It runs in the first step.
* A product before a product hands over strips of ``h x k`` or ``k x w`` step by step (example 5);
  its own sums are not split, so that its other operand stays whole.
* A tensor made and read inside a subgraph takes no space and is never written to slow memory
  [51, 77]; what is made and not read inside is an output, and is written unless retained [57].
* Operations hang together through tensors made inside [34]; ``k`` is at most each sum [75].

Where answers leave two readings open, the one that costs more is taken: outputs of a subgraph have
one size [20, though 58], and what is made inside is made again for every output tile [71, 85].
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel_studies.contest.instance import MATMUL, Instance

__all__ = ["ALL", "DEPTH", "TILE", "Demand", "Slice", "Structure", "TileExecution", "analyse"]

TILE, DEPTH, ALL = "tile", "depth", "all"


@dataclass(frozen=True, slots=True)
class Demand:
    """A region of a tensor: its rows and columns, and when it is there.

    Attributes
    ----------
    rows, columns
        `TILE` (those of the output tile), `DEPTH` (those of the step of a sum) or `ALL`.
    depth
        The length of the sum whose steps `DEPTH` follows, 0 where neither axis does.
    during
        Needed in the steps of a sum of this length; 0: in the last step only.
    """

    rows: str
    columns: str
    depth: int
    during: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A region of a tensor that comes from outside."""

    tensor: int
    demand: Demand


@dataclass(frozen=True, slots=True)
class TileExecution:
    """One run of an operation for each output tile: over the steps of ``spread``, or at once."""

    operation: int
    demand: Demand
    spread: int  # the length of the sum over whose steps it is spread; 0: at once


@dataclass(frozen=True, slots=True)
class Structure:
    """A subgraph that the rules allow.

    Attributes
    ----------
    inputs
        Tensors from outside; `slices` are the regions of them.
    outputs, interior
        Tensors made inside that are not, that are, read inside.
    width, height
        Of every output.
    depths
        The lengths of the sums that are split into steps.
    least_width, least_height, most_depth
        What the granularity must keep to.
    """

    operations: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    interior: tuple[int, ...]
    slices: tuple[Slice, ...]
    executions: tuple[TileExecution, ...]
    width: int
    height: int
    depths: tuple[int, ...]
    least_width: int
    least_height: int
    most_depth: int


def analyse(instance: Instance, operations: frozenset[int]) -> Structure | str:
    """Work out what a subgraph needs.

    Returns
    -------
    Structure or str
        Why the rules do not allow it, where they do not.
    """
    inside = sorted(operations, key=lambda i: instance.rank[i])
    outputs_inside = {t for i in inside for t in instance.operations[i].outputs}
    read = {t for i in inside for t in instance.operations[i].inputs}
    if not _connected(instance, operations):
        return "its operations do not hang together through tensors made inside"
    outputs = tuple(sorted(outputs_inside - read))
    sizes = set(map(instance.shape, outputs))
    if len(sizes) > 1:
        return f"its outputs {list(outputs)} have different sizes"
    ((width, height),) = sizes
    demands: dict[int, dict[Demand, None]] = {t: {} for t in outputs_inside | read}
    for tensor in outputs:
        demands[tensor][Demand(TILE, TILE, 0, 0)] = None
    executions: list[TileExecution] = []
    least = [1, 1]
    for i in reversed(inside):
        op = instance.operations[i]
        wanted = dict.fromkeys(d for t in op.outputs for d in demands[t])
        if op.kind == MATMUL:
            for demand in wanted:
                run, left, right = _product(i, demand, instance.depth(i))
                executions.append(run)
                demands[op.inputs[0]][left] = None
                demands[op.inputs[1]][right] = None
            continue
        out = op.outputs[0]
        shape = instance.shape(out)
        for demand in dict.fromkeys(map(_unsplit, wanted)):
            if demand.columns == ALL:
                least[0] = max(least[0], shape[0])
            if demand.rows == ALL:
                least[1] = max(least[1], shape[1])
            executions.append(TileExecution(i, demand, 0))
            for tensor in op.inputs:
                same = instance.shape(tensor) == shape
                wide = demand if same else Demand(ALL, ALL, 0, demand.during)
                demands[tensor][wide] = None
    if least[0] > instance.native_width or least[1] > instance.native_height:
        return (
            f"what is pointwise before a product makes strips of {least[0]} columns or {least[1]} "
            f"rows at once, more than {instance.native_width} x {instance.native_height}"
        )
    inputs = tuple(sorted(read - outputs_inside))
    sums = [instance.depth(i) for i in inside if instance.operations[i].kind == MATMUL]
    return Structure(
        operations=tuple(inside),
        inputs=inputs,
        outputs=outputs,
        interior=tuple(sorted(outputs_inside & read)),
        slices=tuple(Slice(t, d) for t in inputs for d in demands[t]),
        executions=tuple(executions),
        width=width,
        height=height,
        depths=tuple(sorted({e.spread for e in executions if e.demand.during == 0} - {0})),
        least_width=least[0],
        least_height=least[1],
        most_depth=min([instance.native_depth, *sums]),
    )


def _unsplit(demand: Demand) -> Demand:
    """Return the region that runs once per tile: strips of a later sum are complete."""
    rows = ALL if demand.rows == DEPTH else demand.rows
    columns = ALL if demand.columns == DEPTH else demand.columns
    return Demand(rows, columns, 0, demand.during)


def _product(i: int, demand: Demand, length: int) -> tuple[TileExecution, Demand, Demand]:
    if demand == Demand(TILE, TILE, 0, 0):  # on the way to an output: split into steps
        left = Demand(TILE, DEPTH, length, length)
        return TileExecution(i, demand, length), left, Demand(DEPTH, TILE, length, length)
    by_rows = demand.depth if demand.rows == DEPTH else 0
    by_columns = demand.depth if demand.columns == DEPTH else 0
    left = Demand(demand.rows, ALL, by_rows, demand.during)
    right = Demand(ALL, demand.columns, by_columns, demand.during)
    return TileExecution(i, demand, demand.depth), left, right


def _connected(instance: Instance, operations: frozenset[int]) -> bool:
    start = next(iter(operations))
    seen, left = {start}, [start]
    while left:
        i = left.pop()
        op = instance.operations[i]
        near = [instance.producer[t] for t in op.inputs]
        near += [j for t in op.outputs for j in instance.consumers[t]]
        for j in near:
            if j in operations and j not in seen:
                seen.add(j)
                left.append(j)
    return len(seen) == len(operations)
