"""Maximum flow, and a chain of all minimum cuts that it implies.

Dinic's algorithm (Dinitz 1970) on a network with arc capacities. By the theorem of Ford and
Fulkerson (1956) the value of a maximum flow is the capacity of a minimum cut. All minimum cuts
follow from one maximum flow (Picard and Queyranne 1980): they are the sets of nodes that no arc of
the residual network leaves, and a topological order of its strong components (Tarjan 1972) yields a
chain of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

SOURCE, SINK = 0, 1


class FlowNetwork:
    """A network from node `SOURCE` to node `SINK`; further nodes are numbered from 2.

    Attributes
    ----------
    arcs
        Numbers of the arcs that leave each node. Arc ``a ^ 1`` is the reverse of arc ``a``.
    head
        Node at which each arc ends.
    residual
        Capacity left on each arc.
    """

    def __init__(self, nodes: int = 2) -> None:
        self.arcs: list[list[int]] = [[] for _ in range(nodes)]
        self.head: list[int] = []
        self.residual: list[float] = []

    def add_node(self) -> int:
        """Add a node and return its number."""
        self.arcs.append([])
        return len(self.arcs) - 1

    def add_arc(self, tail: int, head: int, capacity: float) -> None:
        """Add an arc, and its reverse with capacity 0."""
        for start, end, residual in ((tail, head, capacity), (head, tail, 0)):
            self.arcs[start].append(len(self.head))
            self.head.append(end)
            self.residual.append(residual)

    def maximise_flow(self) -> None:
        """Push flow along shortest residual paths until none is left (Dinic's algorithm)."""
        while True:
            level = self._levels()
            if level[SINK] < 0:
                return
            self._push_blocking_flow(level)

    def _levels(self) -> list[int]:
        """Return the distance of each node from the source in the residual network, or -1."""
        arcs, head, residual = self.arcs, self.head, self.residual
        level = [-1] * len(arcs)
        level[SOURCE] = 0
        queue = deque([SOURCE])
        while queue:
            u = queue.popleft()
            for a in arcs[u]:
                if residual[a] > 0 and level[head[a]] < 0:
                    level[head[a]] = level[u] + 1
                    queue.append(head[a])
        return level

    def _push_blocking_flow(self, level: Sequence[int]) -> None:
        """Push flow along arcs to the next level until every such path has a saturated arc."""
        arcs, head, residual = self.arcs, self.head, self.residual
        next_arc = [0] * len(arcs)
        path: list[int] = []
        u = SOURCE
        while True:
            if u == SINK:
                pushed = min(residual[a] for a in path)
                back = len(path)
                for k, a in enumerate(path):
                    residual[a] -= pushed
                    residual[a ^ 1] += pushed
                    if not residual[a] and k < back:
                        back = k
                u = head[path[back] ^ 1]
                del path[back:]
                continue
            while next_arc[u] < len(arcs[u]):
                a = arcs[u][next_arc[u]]
                if residual[a] > 0 and level[head[a]] == level[u] + 1:
                    break
                next_arc[u] += 1
            else:
                if not path:
                    return
                u = head[path.pop() ^ 1]
                next_arc[u] += 1
                continue
            path.append(a)
            u = head[a]

    def minimum_cuts(self) -> list[list[int]]:
        """Return a chain of minimum cuts after `maximise_flow`.

        Returns
        -------
        list of list of int
            The nodes on the side of the source of the smallest cut, then the nodes that each
            larger cut adds to it.
        """
        barred = self._reaching_sink()
        cuts: list[list[int]] = []
        before: list[int] = []
        # A component comes after all that it reaches, so that every prefix of the list is closed.
        for component in self._strong_components():
            if barred[component[0]]:
                continue
            if cuts:
                cuts.append(component)
                continue
            before += component
            if SOURCE in component:
                cuts.append(before)
        return cuts

    def _reaching_sink(self) -> list[bool]:
        """Return for each node whether it reaches the sink in the residual network."""
        reaching = [False] * len(self.arcs)
        reaching[SINK] = True
        stack = [SINK]
        while stack:
            for a in self.arcs[stack.pop()]:
                v = self.head[a]
                if self.residual[a ^ 1] > 0 and not reaching[v]:
                    reaching[v] = True
                    stack.append(v)
        return reaching

    def _strong_components(self) -> list[list[int]]:
        """Return the strong components of the residual network, those the source reaches first.

        Tarjan's algorithm without recursion: a component is complete when its root, the node with
        the least index that its members reach, has been examined.
        """
        arcs, head, residual = self.arcs, self.head, self.residual
        n = len(arcs)
        index, lowest = [-1] * n, [0] * n
        is_on_stack = [False] * n
        stack: list[int] = []
        components: list[list[int]] = []
        count = 0
        for root in [SOURCE, *range(SINK + 1, n), SINK]:
            if index[root] >= 0:
                continue
            calls = [(root, 0)]
            while calls:
                u, first = calls.pop()
                if index[u] < 0:
                    index[u] = lowest[u] = count
                    count += 1
                    stack.append(u)
                    is_on_stack[u] = True
                for at in range(first, len(arcs[u])):
                    a = arcs[u][at]
                    v = head[a]
                    if residual[a] <= 0:
                        continue
                    if index[v] < 0:
                        calls += [(u, at), (v, 0)]
                        break
                    if is_on_stack[v]:
                        lowest[u] = min(lowest[u], index[v])
                else:
                    if lowest[u] == index[u]:
                        component: list[int] = []
                        while not component or component[-1] != u:
                            component.append(stack.pop())
                            is_on_stack[component[-1]] = False
                        components.append(component)
                    elif calls:
                        caller, _ = calls[-1]
                        lowest[caller] = min(lowest[caller], lowest[u])
        return components
