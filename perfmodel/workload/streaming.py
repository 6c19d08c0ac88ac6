"""Family ``streaming``: loops that sweep arrays of doubles, and stencils.

Each workload is one kernel of likwid-bench or of the literature on the Execution-Cache-Memory model
(Treibig and Hager 2009; McCalpin's STREAM; Schoenauer's vector triad ``a = b + c * d``); its cost
is determined by loads, stores and updates per element (`perfmodel.cost.ecm`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.frozen_model import FrozenModel
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.symbols import Dim, maximum, product, symbol

#: Format of the arrays.
FORMAT: Final = "fp64"
BYTES: Final = 8


class StreamingKernel(NamedTuple):
    """A streaming loop.

    Attributes
    ----------
    reads, writes, updates
        Numbers of arrays that are only read, only written, and updated in place.
    flops
        Floating-point operations per element.
    neighbours
        Grid elements that a stencil loads per result; 0 for a plain stream.
    split
        Number of those that a vector loads from an unaligned address, given that the results of a
        row start at its second element: all except the left neighbour.
    radius, dimensions
        Radius and dimensions of a stencil.
    """

    reads: int
    writes: int = 0
    updates: int = 0
    flops: int = 0
    neighbours: int = 0
    split: int = 0
    radius: int = 0
    dimensions: int = 1

    @property
    def loads(self) -> int:
        """Number of elements loaded per result."""
        return self.neighbours or self.reads + self.updates

    @property
    def arrays(self) -> int:
        """Total number of arrays."""
        return self.reads + self.writes + self.updates


KERNELS: Final[Mapping[str, StreamingKernel]] = {
    "load": StreamingKernel(1),
    "load2": StreamingKernel(2),
    "load4": StreamingKernel(4),
    "sum": StreamingKernel(1, flops=1),
    "ddot": StreamingKernel(2, flops=2),
    "store": StreamingKernel(0, 1),
    "store2": StreamingKernel(0, 2),
    "store4": StreamingKernel(0, 4),
    "update": StreamingKernel(0, 0, 1, flops=1),
    "copy": StreamingKernel(1, 1),
    "stream": StreamingKernel(2, 1, flops=2),
    "triad": StreamingKernel(3, 1, flops=2),
    "daxpy": StreamingKernel(1, 0, 1, flops=2),
    "jacobi_2d_5pt": StreamingKernel(1, 1, flops=4, neighbours=4, split=3, radius=1, dimensions=2),
    "jacobi_3d_7pt": StreamingKernel(1, 1, flops=8, neighbours=7, split=6, radius=1, dimensions=3),
}
"""``stream`` is the triad of STREAM (two loads, a store), ``triad`` Schoenauer's (three loads)."""


def kernel_named(name: str) -> StreamingKernel:
    """Return a kernel by name.

    Raises
    ------
    InputError
        The kernel is unknown; the fault suggests the nearest name.
    """
    kernel = KERNELS.get(name)
    if kernel is None:
        raise input_error(
            f"no streaming kernel is named '{name}'",
            suggestion=nearest(name, KERNELS),
            expected=one_of(KERNELS),
        )
    return kernel


class StreamingStructure(FrozenModel):
    """Selection of a kernel from `KERNELS`."""

    kernel: str
    """Name of the kernel."""


#: Default extents: 128 KiB per array, and grids of a million points.
_EXTENTS: Final[Mapping[int, Mapping[str, float]]] = {
    1: {"elements": 16384},
    2: {"rows": 1000, "columns": 1000},
    3: {"planes": 100, "rows": 100, "columns": 100},
}


def parameters(structure: StreamingStructure) -> Mapping[str, float]:
    """Return the extents of an array of the kernel, with defaults."""
    return dict(_EXTENTS[kernel_named(structure.kernel).dimensions])


def build(structure: StreamingStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of one sweep: a single operator of class ``stream``."""
    del semantics
    kernel = kernel_named(structure.kernel)
    g = GraphBuilder(structure.kernel)
    shape: list[Dim] = [symbol(name) for name in _EXTENTS[kernel.dimensions]]
    # A stencil does not update the boundary of the grid, which may be all of it.
    rim = 2 * kernel.radius
    inner = [maximum(extent - rim, 0) for extent in shape] if rim else shape
    results = product(*inner)
    reads: list[Tensor | tuple[Tensor, Dim]] = [
        g.input(f"x{i}", shape, format=FORMAT) for i in range(kernel.reads + kernel.updates)
    ]
    writes: list[Tensor | tuple[Tensor, Dim]] = [
        (g.tensor(f"y{i}", shape, format=FORMAT), results)
        for i in range(kernel.writes + kernel.updates)
    ]
    row = shape[-1] if kernel.radius else 0
    extents: dict[str, Dim] = {
        "results": results,
        "size": BYTES * kernel.arrays * product(*shape),
        "row": BYTES * row,
        "plane": BYTES * product(*shape[-2:]) if kernel.dimensions == 3 else 0,
    }
    g.operator(
        structure.kernel,
        "stream",
        reads,
        writes,
        vector_ops=kernel.flops * results,
        attributes={"kernel": structure.kernel, "extents": tuple(sorted(extents.items()))},
    )
    for result in writes:
        g.output(result[0] if isinstance(result, tuple) else result)
    return g.build(parameters(structure))


def items(structure: StreamingStructure) -> tuple[str, Dim]:
    """Return the unit and number of a run's results: one sweep."""
    del structure
    return "runs", 1


FAMILY_STREAMING: Final = Family("streaming", StreamingStructure, parameters, build, items)
