"""The order of a region that needs the least memory: best-first, from both ends."""

from __future__ import annotations

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.peak.region import Region
from perfmodel.schedule.peak.side import PeakSearchDirection

# Expansions between two looks at the clock.
STRIDE = 16


class PeakSearch:
    """Search for the order of a region with the least peak.

    Bytes on chip are a submodular function of the executed set: a sum of "made" less products of
    "made and read by all". From that follow three rules, in either direction.

    - A step that adds nothing now never will: if it fits under the peak at hand it is run at once,
      whatever it writes, takes over or needs besides.
    - A set reached below the peak at hand that holds no more than the beginning, nor than any set
      between the two, is gone to for good.
    - Both directions share a threshold: the first with nothing left below it proves that no order
      stays below.

    Parameters
    ----------
    floor_bytes
        No order of the whole problem needs less: up to it nothing is worth avoiding.
    most_sets
        Stop when so many executed sets are stored.
    """

    def __init__(
        self,
        region: Region,
        floor_bytes: int,
        most_sets: int = 2_000_000,
    ) -> None:
        self.most_sets = most_sets
        self.bound_bytes = floor_bytes
        self.sides = (PeakSearchDirection(region, False), PeakSearchDirection(region, True))
        self.expansions = 0

    @property
    def sets(self) -> int:
        """Executed sets stored at present."""
        return sum(len(side.parent) for side in self.sides)

    def run(self, deadline: Deadline) -> list[int] | None:
        """Return the order, or None where the deadline or the limit on sets came first.

        `bound_bytes` is a lower bound on the peak at any time, and the peak of the order returned
        (or less, where the floor was more than it needs).
        """
        forward, backward = self.sides
        if forward.end == backward.end:
            return []
        forward.restart(self.bound_bytes)
        # It may have gone on for good at once: the other begins where that leaves off.
        backward.end = forward.root
        backward.restart(self.bound_bytes)
        while True:
            for side, other in ((forward, backward), (backward, forward)):
                side.follow(other, self.bound_bytes)
                if not side.has_open(self.bound_bytes):
                    # Nothing is left below on this side: no order stays within the bound.
                    self.bound_bytes = side.next_threshold()
                    side.has_open(self.bound_bytes)
                self.expansions += 1
                met = side.expand(self.bound_bytes, other)
                if met is not None:
                    return [*forward.path(met), *backward.path(met)]
            if self.expansions % STRIDE < 2 and (deadline.passed() or self.sets > self.most_sets):
                return None
