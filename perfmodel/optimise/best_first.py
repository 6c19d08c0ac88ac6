"""The one search of trees: best first or depth first, with bounds, dominance and an incumbent.

Land and Doig, "An automatic method of solving discrete programming problems", Econometrica 28,
1960; with a bound of zero on what is still to pay it is Dijkstra's, with a better one it is A*.
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

#: Bound of a node, how deep it lies (less than 0), its number, and the node.
_Entry: TypeAlias = tuple[float, int, int, N]


class Incumbent(Generic[S]):
    """The best solution so far.

    Parameters
    ----------
    value
        Only solutions that cost less are of interest.
    """

    def __init__(self, value: float = math.inf) -> None:
        self.value = value
        self.solution: S | None = None

    def offer(self, solution: S, value: float) -> bool:
        """Take a solution if it costs less than the best; tell whether it does."""
        better = value < self.value
        if better:
            self.value, self.solution = value, solution
        return better


class BestFirst(Generic[N, S]):
    """A search for the least: nodes of a tree or graph, each with a bound on what it leads to.

    A subclass says what follows a node (`expand`) and which nodes need no look (`settled`), and
    offers the solutions that it meets to the incumbent. A node may be a block of many.

    Parameters
    ----------
    incumbent
        What is to be bettered.
    deadline, most_nodes
        When to stop.

    Attributes
    ----------
    depth_first
        The node that was generated last comes first, not the one with the least bound; of those
        with equal bounds the deepest comes first.
    nodes
        How many were expanded.
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
        """Return the bound from which on a node is of no use."""
        return self.incumbent.value

    def settled(self, node: N) -> bool:
        """Tell whether a node needs no expansion: it is a solution, or another is as good."""
        del node
        return False

    def expand(self, node: N, bound: float) -> Iterable[tuple[float, N]]:
        """Return what follows a node of some bound, each after its own bound."""
        raise NotImplementedError

    def next_nodes(self, most: int) -> list[N]:
        """Return nodes to expand beside one that is expanded: the next ones, `most` at most."""
        some = [self._pop(self._frontier)[-1] for _ in range(min(most, len(self._frontier)))]
        self.nodes += len(some)
        return some

    def stopped(self) -> bool:
        """Tell whether to stop with the bound reached."""
        return self.nodes >= self.most_nodes or self.deadline.passed()

    def run(self, root: N, bound: float = 0.0) -> Certified[S]:
        """Search all that follows a node.

        Returns
        -------
        Certified
            The solution, or none where nothing better than the incumbent was met. The bound is of
            everything that follows the root: what was to be bettered, where there is nothing.
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
        """Return the best solution, with the least bound of what is left."""
        best = self.incumbent
        value = math.inf if best.solution is None else best.value
        return Certified(best.solution, value, min(bound, best.value))
