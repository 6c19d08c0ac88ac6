"""Bidirectional best-first search over executed sets for the order with the least peak.

An order of a region is a path from the empty to the full set of executed steps; its cost is the
largest number of bytes on chip along it. One direction starts from each end
(`search_direction.py`). The bound is the threshold that both share: all sets reached below it have
been expanded, so that no order stays below it. The first set that both have reached within the
threshold lies on an optimal order, and its peak is proved.
"""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.peak.region import Region
from perfmodel.schedule.peak.search_direction import PeakSearchDirection

#: Expansions between two checks of the clock.
_CLOCK_STRIDE = 16


class PeakSearch:
    """Bidirectional search for the order of a region with the least peak.

    Bytes on chip are a submodular function of the executed set: a sum of "made" minus products of
    "made and read by all". Three rules follow, in either direction.

    - A step that adds nothing now never will: if it fits under the current peak it is run at once,
      whatever it writes, takes over or needs.
    - A set reached below the current peak that holds no more than the start, nor than any set
      between the two, becomes the new root permanently.
    - Both directions share a threshold: the first direction without a set below it proves that no
      order stays below.

    The loop is not `perfmodel.optimise.best_first.BestFirst`, which has one frontier and one root:
    here two frontiers alternate under one threshold, and a frontier is discarded when its root
    advances. Sets of equal peak and size are expanded in order of their number; in order of
    discovery, as there, 8118 sets were stored instead of 4940, in as many expansions (the graphs of
    ``ilp/graphs`` and ten random problems of 40 steps).
    Nor can one direction be dropped: forward only, the graphs of ``ilp/graphs`` and 23 generated
    networks took 28.0 s instead of 3.5 s, and two of them, attention with 16 and 32 heads, were not
    proved in 15 s.

    Parameters
    ----------
    floor_bytes
        Lower bound on the peak of the whole problem: peaks up to it need not be avoided.
    most_sets
        Maximum number of stored executed sets; beyond it the search stops.
    """

    def __init__(
        self,
        region: Region,
        floor_bytes: int,
        most_sets: int = 2_000_000,
    ) -> None:
        self.most_sets = most_sets
        self.bound_bytes = floor_bytes
        self.forward = PeakSearchDirection(region, is_backward=False)
        self.backward = PeakSearchDirection(region, is_backward=True)
        self.expansions = 0

    @property
    def sets(self) -> int:
        """Number of executed sets stored at present."""
        return len(self.forward.parent) + len(self.backward.parent)

    def run(self, deadline: Deadline) -> list[int] | None:
        """Return the order, or None if the deadline or the limit on sets is reached first.

        `bound_bytes` is a lower bound on the peak at any time, and the peak of the order returned
        (or above it, if the floor exceeds that peak).
        """
        forward, backward = self.forward, self.backward
        if forward.end == backward.end:
            return []
        forward.restart(self.bound_bytes)
        # The forward root may have advanced at once: the backward search ends there.
        backward.end = forward.root
        backward.restart(self.bound_bytes)
        while True:
            for direction, opposite in ((forward, backward), (backward, forward)):
                direction.follow_root_of(opposite, self.bound_bytes)
                if not direction.has_open_sets(self.bound_bytes):
                    # Every set below is expanded in this direction: no order stays within it.
                    self.bound_bytes = direction.next_threshold()
                    direction.has_open_sets(self.bound_bytes)
                self.expansions += 1
                meeting = direction.expand(self.bound_bytes, opposite)
                if meeting is not None:
                    return [*forward.path(meeting), *backward.path(meeting)]
            if self.expansions % _CLOCK_STRIDE < 2 and (
                deadline.passed() or self.sets > self.most_sets
            ):
                return None
