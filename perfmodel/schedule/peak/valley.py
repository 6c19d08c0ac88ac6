"""Executed sets with the fewest bytes on chip: minimum cuts between two sets."""

from __future__ import annotations

from collections import deque

from perfmodel.schedule.masks import bits
from perfmodel.schedule.peak.region import Region


def valleys(region: Region, first: int, last: int) -> list[int]:
    """Return a chain of executed sets between two, each holding as few bytes as any set in between.

    Some order with the least peak passes through all of them: bytes on chip are submodular, so that
    an order that runs first the steps of such a set, then the rest, each in its old sequence, never
    holds more than the old one did.

    Parameters
    ----------
    first, last
        Bit masks; the smaller is a subset of the larger.

    Returns
    -------
    list of int
        From the smallest to the largest; `first` and `last` are included only if they hold as few
        bytes.

    Notes
    -----
    A buffer is an arc from its maker to all its readers. All minimum cuts follow from one maximum
    flow (Picard and Queyranne 1980): they are the closed sets of the residual graph, and a
    topological order of its strong components yields a chain of them.
    """
    flow = _Flow(region, first, last)
    flow.run()
    return flow.chain()


class _Flow:
    """Dinic's maximum flow on the steps between two sets and the buffers among them."""

    def __init__(self, region: Region, first: int, last: int) -> None:
        inside = last & ~first
        self.first = first
        self.members = [s for s in range(len(region.steps)) if inside >> s & 1]
        self.number = {s: k + 2 for k, s in enumerate(self.members)}
        self.head: list[int] = []
        self.room: list[float] = []
        self.arcs: list[list[int]] = [[], []] + [[] for _ in self.members]
        endless = float("inf")
        for s in self.members:
            ancestors = region.before[s] & inside
            while ancestors:
                p = ancestors.bit_length() - 1  # the last one: it has some of the others before it
                ancestors &= ~(region.before[p] | 1 << p)
                self.arc(self.number[s], self.number[p], endless)
        for size, maker, readers, permanent in region.buffers:
            if maker >= 0 and not (last >> maker) & 1:
                continue
            left = readers & ~first
            if not left and not permanent:
                continue
            node = len(self.arcs)
            self.arcs.append([])
            made_before = maker < 0 or first >> maker & 1
            self.arc(0 if made_before else self.number[maker], node, size)
            if permanent or left & ~last:
                self.arc(node, 1, endless)
                continue
            for r in bits(left):
                self.arc(node, self.number[r], endless)

    def arc(self, tail: int, head: int, room: float) -> None:
        self.arcs[tail].append(len(self.head))
        self.head.append(head)
        self.room.append(room)
        self.arcs[head].append(len(self.head))
        self.head.append(tail)
        self.room.append(0)

    def run(self) -> None:
        """Compute the maximum flow by Dinic's algorithm."""
        arcs, head, room = self.arcs, self.head, self.room
        while True:
            level = [-1] * len(arcs)
            level[0] = 0
            queue = deque([0])
            while queue:
                u = queue.popleft()
                for a in arcs[u]:
                    if room[a] > 0 and level[head[a]] < 0:
                        level[head[a]] = level[u] + 1
                        queue.append(head[a])
            if level[1] < 0:
                return
            at = [0] * len(arcs)
            path: list[int] = []
            u = 0
            while True:
                if u == 1:
                    push = min(room[a] for a in path)
                    back = len(path)
                    for k, a in enumerate(path):
                        room[a] -= push
                        room[a ^ 1] += push
                        if not room[a] and k < back:
                            back = k
                    u = head[path[back] ^ 1]
                    del path[back:]
                    continue
                while at[u] < len(arcs[u]):
                    a = arcs[u][at[u]]
                    if room[a] > 0 and level[head[a]] == level[u] + 1:
                        break
                    at[u] += 1
                else:
                    if not path:
                        break
                    a = path.pop()
                    u = head[a ^ 1]
                    at[u] += 1
                    continue
                path.append(a)
                u = head[a]

    def chain(self) -> list[int]:
        """Return the executed sets of a chain of minimum cuts."""
        barred = self.reaching_sink()
        valleys: list[int] = []
        executed = self.first
        begun = False
        # A component comes after all that it reaches, so that every prefix of the list is closed.
        for component in self.components():
            if barred[component[0]]:
                continue
            grown = executed
            for node in component:
                if 2 <= node < 2 + len(self.members):
                    grown |= 1 << self.members[node - 2]
            if begun and grown != executed:
                valleys.append(grown)
            if not begun and 0 in component:
                begun = True
                valleys.append(grown)
            executed = grown
        return valleys

    def reaching_sink(self) -> list[bool]:
        """Return for each node whether it reaches the sink in the residual graph."""
        reaching = [False] * len(self.arcs)
        reaching[1] = True
        stack = [1]
        while stack:
            for a in self.arcs[stack.pop()]:
                v = self.head[a]
                if self.room[a ^ 1] > 0 and not reaching[v]:
                    reaching[v] = True
                    stack.append(v)
        return reaching

    def components(self) -> list[list[int]]:
        """Return the strong components of the residual graph, those the source reaches first."""
        arcs, head, room = self.arcs, self.head, self.room
        n = len(arcs)
        index, low = [-1] * n, [0] * n
        on = [False] * n
        stack: list[int] = []
        result: list[list[int]] = []
        count = 0
        for root in [0, *range(2, n), 1]:
            if index[root] >= 0:
                continue
            work = [(root, 0)]
            while work:
                u, k = work.pop()
                if index[u] < 0:
                    index[u] = low[u] = count
                    count += 1
                    stack.append(u)
                    on[u] = True
                for at in range(k, len(arcs[u])):
                    a = arcs[u][at]
                    v = head[a]
                    if room[a] <= 0:
                        continue
                    if index[v] < 0:
                        work += [(u, at), (v, 0)]
                        break
                    if on[v]:
                        low[u] = min(low[u], index[v])
                else:
                    if low[u] == index[u]:
                        part: list[int] = []
                        while True:
                            v = stack.pop()
                            on[v] = False
                            part.append(v)
                            if v == u:
                                break
                        result.append(part)
                    elif work:
                        w = work[-1][0]
                        low[w] = min(low[w], low[u])
        return result
