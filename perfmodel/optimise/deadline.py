"""When to stop."""

from __future__ import annotations

import math
import time


class OutOfTimeError(Exception):
    """A deadline passed before there was anything to return."""


class Deadline:
    """A moment after which work stops with what it has.

    Parameters
    ----------
    seconds
        By the clock on the wall; None for never.
    since
        Moment from which they count, by `time.monotonic`; by default now.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None = None, since: float | None = None) -> None:
        start = time.monotonic() if since is None else since
        self._end = math.inf if seconds is None else start + seconds

    def left(self) -> float:
        """Return the seconds left, 0 when it has passed, infinity where there is no limit."""
        return max(0.0, self._end - time.monotonic()) if self._end < math.inf else math.inf

    def passed(self) -> bool:
        """Tell whether it has passed."""
        return self._end < math.inf and time.monotonic() >= self._end

    def check(self, doing: str) -> None:
        """Raise `OutOfTimeError` where it has passed, saying while doing what."""
        if self.passed():
            raise OutOfTimeError(doing)

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this one and `seconds` from now."""
        return Deadline(min(seconds, self.left()))
