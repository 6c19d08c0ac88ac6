"""Deadlines: wall-clock limits at which a computation stops."""

from __future__ import annotations

import math
import time


class OutOfTimeError(Exception):
    """A deadline passed before there was any result."""


class Deadline:
    """Time after which a computation stops with its best result.

    Parameters
    ----------
    seconds
        Limit in seconds of wall-clock time; None for no limit.
    since
        Start of the limit, by `time.monotonic`; by default now.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None = None, since: float | None = None) -> None:
        start = time.monotonic() if since is None else since
        self._end = math.inf if seconds is None else start + seconds

    def left(self) -> float:
        """Return the remaining seconds: 0 after the deadline, infinity without a limit."""
        return max(0.0, self._end - time.monotonic()) if self._end < math.inf else math.inf

    def passed(self) -> bool:
        """Return whether the deadline has passed."""
        return self._end < math.inf and time.monotonic() >= self._end

    def check(self, doing: str) -> None:
        """Raise `OutOfTimeError` if the deadline has passed, naming the activity `doing`."""
        if self.passed():
            raise OutOfTimeError(doing)

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and `seconds` from now."""
        return Deadline(min(seconds, self.left()))

    def share(self, fraction: float) -> Deadline:
        """Return the time at which a fraction of the remaining time will have passed."""
        return self.within(fraction * self.left())
