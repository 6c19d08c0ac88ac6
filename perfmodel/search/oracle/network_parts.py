"""Parts of a network that are rewritten and fused alike, whatever the other parts are.

A runtime inserts conversions of formats and layouts between operators, and these change how
operators fuse. Both are local: a network is cut between two kernels where no operator fuses across
the cut, and no converted copy of a format serves readers on both sides. Kernels and conversions of
a part then follow from the formats of its tensors and from the layouts in which they enter it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from perfmodel.search.oracle.kernel_pricing import NotTabledError
from perfmodel.workload.fuse import FusedKernel, FusionRules, aliases, may_fuse
from perfmodel.workload.graph import Graph, Operator

#: Most combinations of options of a part that is not cut further.
_MAX_COMBINATIONS = 2048
#: Most activations in several layouts that may enter a part.
_MAX_ENTERING = 10


@dataclass(frozen=True, slots=True)
class NetworkPart:
    """Kernels in a row, as they are if nothing is converted.

    Attributes
    ----------
    operators
        Their operators in order of execution, without views.
    entering
        Activations that are written before the part, and read in it.
    leaving
        Activations that the part reads or writes, and later parts read.
    read_elsewhere
        Activations that other parts read.
    converts
        Whether the runtime's conversions of its formats and layouts are still to be inserted.
    """

    kernels: tuple[FusedKernel, ...]
    operators: tuple[Operator, ...]
    entering: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    read_elsewhere: frozenset[str] = frozenset()
    converts: bool = False


class NetworkCuts:
    """Where a network may be cut into parts.

    Parameters
    ----------
    converts
        Whether an operator runs in another format under some choice, between two conversions.
    combinations
        Number of combinations of the options that affect kernels.
    layouts
        Whether the runtime converts layouts.
    """

    def __init__(
        self,
        graph: Graph,
        kernels: Sequence[FusedKernel],
        fusion: FusionRules,
        converts: Callable[[Operator], bool],
        combinations: Callable[[Sequence[FusedKernel]], int],
        *,
        layouts: bool,
    ) -> None:
        self._graph, self._kernels, self._fusion = graph, kernels, fusion
        self._combinations, self._layouts = combinations, layouts
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
        """Return the parts.

        Under blocked layouts one activation crosses each cut, so that few layouts enter a part; but
        a part of too many combinations of options has as few kernels as possible.

        Raises
        ------
        NotTabledError
            Too many activations enter a part in different layouts.
        """
        place = {id(operator): at for at, operator in enumerate(self._operators)}
        spans = [[place[id(operator)] for operator in k.operators] for k in self._kernels]
        ends = list(accumulate(map(max, spans), max))
        begins = list(accumulate(map(min, reversed(spans)), min))[::-1]
        possible = [
            i
            for i, begin in enumerate(begins)
            if not i or (ends[i - 1] < begin and self._is_cut(begin))
        ]
        preferred = [
            i for i in possible if not self._layouts or len(self._crossing(begins[i])) <= 1
        ]
        starts: list[int] = []
        for start, stop in pairwise([*preferred, len(spans)]):
            is_large = self._combinations(self._kernels[start:stop]) > _MAX_COMBINATIONS
            starts += [i for i in possible if start <= i < stop] if is_large else [start]
        parts = [self._part(*each, spans) for each in pairwise([*starts, len(spans)])]
        for part in parts if self._layouts else ():
            if len(part.entering) > _MAX_ENTERING:
                head, count = part.kernels[0].head.name, len(part.entering)
                raise NotTabledError(f"{head} reads {count} activations in different layouts")
        return parts

    def _part(self, start: int, stop: int, spans: Sequence[Sequence[int]]) -> NetworkPart:
        own = sorted(at for span in spans[start:stop] for at in span)
        within = set(own)
        read = [name for name, at in self._read.items() if not within.isdisjoint(at)]
        return NetworkPart(
            tuple(self._kernels[start:stop]),
            tuple(self._operators[at] for at in own),
            tuple(n for n in read if n in self._written and self._written[n] < own[0]),
            tuple(
                name
                for name, at in self._read.items()
                if at[-1] > own[-1] and (name in read or self._written.get(name) in within)
            ),
            frozenset(name for name, at in self._read.items() if not within.issuperset(at)),
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
        return all(self._may_cross(name, at) for name in self._crossing(at))

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
