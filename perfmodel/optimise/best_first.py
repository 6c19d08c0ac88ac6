"""Generic branch and bound: best first or depth first, with bounds, dominance and an incumbent.

Land and Doig, "An automatic method of solving discrete programming problems", Econometrica 28,
1960; with a zero bound on the remaining cost it is Dijkstra's algorithm, with a better one A*.

The frontier holds nodes that are not yet expanded, each with a lower bound on all solutions below
it. The search ends with a proof when no bound on the frontier is less than the incumbent; if it is
stopped before, the least of these bounds is a lower bound on all solutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeAlias, TypeVar

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline

N = TypeVar("N")
S = TypeVar("S")

#: Bound of a node, minus its depth, its serial number, and the node.
_Entry: TypeAlias = tuple[float, int, int, N]


class Incumbent(Generic[S]):
    """The best known solution.

    Parameters
    ----------
    value
        Only solutions that cost less than this are of interest.
    """

    def __init__(self, value: float = math.inf) -> None:
        self.value = value
        self.solution: S | None = None

    def offer(self, solution: S, value: float) -> bool:
        """Accept a solution if it costs less than the best; return whether it does."""
        better = value < self.value
        if better:
            self.value, self.solution = value, solution
        return better


class BestFirst(Generic[N, S]):
    """Minimisation over the nodes of a tree or graph, each with a bound on its descendants.

    A subclass defines the successors of a node (`expand`) and the nodes that need no expansion
    (`settled`), and offers solutions to the incumbent. A node may represent a block of many.

    Parameters
    ----------
    incumbent
        The solution or value to improve on.
    deadline, most_nodes
        Limits at which the search stops.

    Attributes
    ----------
    depth_first
        Expand the most recently generated node first instead of the one with the least bound;
        of nodes with equal bounds the deepest comes first.
    nodes
        Number of expanded nodes.
    """

    depth_first = False

    def __init__(
        self, incumbent: Incumbent[S], deadline: Deadline, most_nodes: float = math.inf
    ) -> None:
        self.incumbent, self.deadline, self.most_nodes = incumbent, deadline, most_nodes
        self.nodes = 0
        self._frontier: list[_Entry[N]] = []
        self._pop: Callable[[list[_Entry[N]]], _Entry[N]]
        self._pop = list[_Entry[N]].pop if self.depth_first else heappop

    def cut(self) -> float:
        """Return the bound at or above which a node is pruned."""
        return self.incumbent.value

    def settled(self, node: N) -> bool:
        """Return whether a node needs no expansion: it is a solution, or another dominates it."""
        del node
        return False

    def expand(self, node: N, bound: float) -> Iterable[tuple[float, N]]:
        """Return the successors of a node with a given bound, each preceded by its own bound."""
        raise NotImplementedError

    def next_nodes(self, most: int) -> list[N]:
        """Return up to `most` further nodes to expand together with the current one."""
        some = [self._pop(self._frontier)[-1] for _ in range(min(most, len(self._frontier)))]
        self.nodes += len(some)
        return some

    def stopped(self) -> bool:
        """Return whether to stop with the bound reached."""
        return self.nodes >= self.most_nodes or self.deadline.passed()

    def run(self, root: N, bound: float = 0.0) -> Certified[S]:
        """Search all descendants of a node.

        Returns
        -------
        Certified
            The solution, or none if nothing better than the incumbent was found. The bound holds
            for all descendants of the root; it is the incumbent's value if none is better.
        """
        frontier, pop = self._frontier, self._pop
        push: Callable[[list[_Entry[N]], _Entry[N]], None]
        push = list[_Entry[N]].append if self.depth_first else heappush
        frontier[:] = [(bound, 0, 0, root)]
        numbers = count(1)
        while frontier:
            bound, depth, _, node = pop(frontier)
            if bound >= self.cut():
                if self.depth_first:
                    continue
                break
            if self.settled(node):
                continue
            if self.stopped():
                return self.answer(min([bound, *(entry[0] for entry in frontier)]))
            self.nodes += 1
            for least, child in self.expand(node, bound):
                push(frontier, (least, depth - 1, next(numbers), child))
        return self.answer(math.inf)

    def answer(self, bound: float) -> Certified[S]:
        """Return the best solution, with the least bound of the open nodes."""
        best = self.incumbent
        value = math.inf if best.solution is None else best.value
        return Certified(best.solution, value, min(bound, best.value))
