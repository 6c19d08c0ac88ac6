"""Parts of a network that are rewritten and fused alike, whatever the other parts are.

A runtime inserts conversions of formats and layouts between operators, and these change how
operators fuse. Both are local: a network is cut between two kernels where no operator fuses across
the cut, no converted copy serves readers on both sides, and, under blocked layouts, one tensor
crosses the cut. Kernels and conversions of a part then follow from the formats of its tensors and
from the layout in which this tensor enters it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from perfmodel.workload.fuse import FusedKernel, FusionRules, aliases, may_fuse
from perfmodel.workload.graph import Graph, Operator

#: Most tensors that cross a cut where the layouts of all of them matter.
_MAX_CROSSING = 1


@dataclass(frozen=True, slots=True)
class NetworkPart:
    """Kernels in a row, as they are if nothing is converted.

    Attributes
    ----------
    operators
        Their operators in order of execution, without views.
    crossing
        Activations that are written before the part, and read in it or after it.
    read_elsewhere
        Activations that other parts read.
    converts
        Whether the runtime's conversions of its formats and layouts are still to be inserted.
    """

    kernels: tuple[FusedKernel, ...]
    operators: tuple[Operator, ...]
    crossing: tuple[str, ...] = ()
    read_elsewhere: frozenset[str] = frozenset()
    converts: bool = False


class NetworkCuts:
    """Where a network may be cut into parts.

    Parameters
    ----------
    converts
        Whether an operator runs in another format under some choice, between two conversions.
    layouts
        Whether the runtime converts layouts.
    """

    def __init__(
        self,
        graph: Graph,
        kernels: Sequence[FusedKernel],
        fusion: FusionRules,
        converts: Callable[[Operator], bool],
        *,
        layouts: bool,
    ) -> None:
        self._graph, self._kernels, self._fusion = graph, kernels, fusion
        self._layouts = layouts
        walked = [(b, o) for b, o in graph.walk() if o.kind != "view"]
        self._blocks = [id(block) for block, _ in walked]
        self._operators = [operator for _, operator in walked]
        self._converting = [converts(operator) for operator in self._operators]
        self._written: dict[str, int] = dict.fromkeys(graph.inputs, -1)
        self._read: dict[str, list[int]] = {}
        alias = aliases(graph)
        for at, operator in enumerate(self._operators):
            for name in operator.writes:
                self._written.setdefault(name, at)
            for name in dict.fromkeys(alias.get(n, n) for n in operator.reads):
                self._read.setdefault(name, []).append(at)

    def parts(self) -> list[NetworkPart]:
        """Return the parts, each with as few kernels as possible."""
        place = {id(operator): at for at, operator in enumerate(self._operators)}
        spans = [[place[id(operator)] for operator in k.operators] for k in self._kernels]
        ends = list(accumulate(map(max, spans), max))
        begins = list(accumulate(map(min, reversed(spans)), min))[::-1]
        starts = [
            i
            for i, begin in enumerate(begins)
            if not i or (ends[i - 1] < begin and self._is_cut(begin))
        ]
        return [
            self._part(start, stop, spans)
            for start, stop in zip(starts, [*starts[1:], len(spans)], strict=True)
        ]

    def _part(self, start: int, stop: int, spans: Sequence[Sequence[int]]) -> NetworkPart:
        own = sorted(at for span in spans[start:stop] for at in span)
        within = set(own)
        elsewhere = {name for name, at in self._read.items() if not within.issuperset(at)}
        return NetworkPart(
            tuple(self._kernels[start:stop]),
            tuple(self._operators[at] for at in own),
            self._crossing(own[0]) if start else tuple(self._graph.inputs),
            frozenset(elsewhere),
            converts=True,
        )

    def _crossing(self, at: int) -> tuple[str, ...]:
        """Return the activations that are written before an operator, and read from it on."""
        return tuple(
            name
            for name, written in self._written.items()
            if written < at <= self._read.get(name, [-1])[-1]
            and self._graph.tensors[name].role == "activation"
        )

    def _is_cut(self, at: int) -> bool:
        """Return whether the network may be cut before an operator."""
        crossing = self._crossing(at)
        if self._layouts and len(crossing) > _MAX_CROSSING:
            return False
        return all(self._may_cross(name, at) for name in crossing)

    def _may_cross(self, name: str, at: int) -> bool:
        """Return whether no operator before a cut shares conversions or a kernel with one after."""
        written, read = self._written[name], self._read[name]
        converting = [i for i in read if self._converting[i]]
        if written >= 0 and self._converting[written]:
            if len(converting) == len(read):
                return False  # Whether the tensor is stored depends on all of its readers.
            converting = [written, *converting]
        if self._blocks[at - 1] != self._blocks[at]:
            return True
        if len(read) == 1 and may_fuse(self._operators[read[0]], self._fusion):
            return False
        return not converting or converting[-1] < at or converting[0] >= at


def single_kernels(kernels: Sequence[FusedKernel]) -> list[NetworkPart]:
    """Return each kernel as a part."""
    return [NetworkPart((kernel,), kernel.operators) for kernel in kernels]
