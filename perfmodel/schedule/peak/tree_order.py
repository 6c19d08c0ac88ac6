"""Order of a tree with the least peak memory, by Liu's algorithm of hills and valleys (1987)."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.schedule.peak.region import Region, RegionOrder
from perfmodel.schedule.problem import Problem


@dataclass(slots=True)
class _Segment:
    """Steps run consecutively, over a hill (peak of bytes) down to a valley (bytes at the end).

    Both are relative to the bytes on chip at the start.
    """

    hill: int
    valley: int
    steps: list[int]


def tree_order(problem: Problem, region: Region) -> RegionOrder | None:
    """Return the best order of a region in which each step feeds one step, and its peak.

    Returns
    -------
    RegionOrder or None
        None if the region is not such a tree (or forest), or frees buffers made before it.

    Notes
    -----
    J. W. H. Liu, An application of generalized tree pebbling to sparse matrix factorization, SIAM
    J. Alg. Disc. Meth. 8 (1987): the best order of a subtree splits into segments, each from a
    valley over the highest hill ahead to the lowest valley behind it; segments of several subtrees
    are merged in order of the descent from hill to valley, largest first.
    """
    n = len(region.steps)
    local = {s: k for k, s in enumerate(region.steps)}
    parent = [-1] * n
    # Not by `region.after`, which includes waits that are harmless but not required.
    for k, s in enumerate(region.steps):
        successors = [local[r] for r in problem.successors[s] if r in local]
        if len(successors) > 1:
            return None
        parent[k] = successors[0] if successors else -1
    # Buffers made before the region are attributed to the steps that read them.
    if any(maker < 0 and readers for _, maker, readers, _ in region.buffers):
        return None
    children: list[list[int]] = [[] for _ in range(n)]
    for s, p in enumerate(parent):
        if p >= 0:
            children[p].append(s)
    profiles: dict[int, list[_Segment]] = {}
    for s in range(n):
        segments = _merged([profiles.pop(c) for c in children[s]])
        freed = sum(size for size, _ in region.reads[s])
        segments.append(_Segment(region.growth[s], region.gain[s] - freed, [s]))
        profiles[s] = _hill_valley_segments(segments)
    order: list[int] = []
    on_chip = peak = region.bytes_of(0)
    for segment in _merged([profiles[s] for s in range(n) if parent[s] < 0]):
        order += segment.steps
        peak = max(peak, on_chip + segment.hill)
        on_chip += segment.valley
    return RegionOrder(order, peak)


def _merged(profiles: list[list[_Segment]]) -> list[_Segment]:
    """Merge the segments of several subtrees into the best order, preserving each one's order."""
    if len(profiles) == 1:
        return profiles[0]
    both = [segment for profile in profiles for segment in profile]
    return sorted(both, key=lambda segment: segment.valley - segment.hill)


def _hill_valley_segments(segments: list[_Segment]) -> list[_Segment]:
    """Join segments until hills decrease and valleys increase from each to the next."""
    joined: list[_Segment] = []
    for segment in segments:
        joined.append(segment)
        while len(joined) > 1:
            a, b = joined[-2], joined[-1]
            if b.valley > 0 and a.hill > a.valley + b.hill:
                break
            a.steps.extend(b.steps)
            hill, valley = max(a.hill, a.valley + b.hill), a.valley + b.valley
            joined[-2:] = [_Segment(hill, valley, a.steps)]
    return joined
