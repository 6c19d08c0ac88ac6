"""What a prediction says of itself: on what it rests, and between which ends measurements lie."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from perfmodel.arrays import Value

if TYPE_CHECKING:
    from perfmodel.evidence import Scatter
    from perfmodel.prediction.basis import Basis, Interval
    from perfmodel.prediction.prediction import Prediction


class PredictionSpread:
    """The part of a prediction that says how far to trust it; opened on access."""

    @property
    def basis(self) -> str:
        """What the times rest on: ``measured``, ``transferred``, ``assumed`` or ``bound``.

        See `perfmodel.prediction.basis.Basis`.
        """
        return self._basis.name

    @property
    def basis_reason(self) -> str:
        """Why the basis is what it is."""
        return self._basis.reason

    @cached_property
    def _basis(self) -> Basis:
        from perfmodel.prediction.basis import basis_of

        return basis_of(cast("Prediction", self))

    def interval(self, metric: str = "latency_s", level: float = 0.9) -> Interval:
        """Return a metric with the ends between which a share of measurements would lie.

        Parameters
        ----------
        metric
            A time, a rate, ``energy_j`` or ``power_w``.
        level
            The share, below 1.
        """
        from perfmodel.prediction.basis import interval

        return interval(cast("Prediction", self), metric, level)

    @property
    def latency_low_s(self) -> Value:
        """Lower end of the 90 % interval of the latency."""
        return self._ends.low

    @property
    def latency_high_s(self) -> Value:
        """Upper end of the 90 % interval of the latency; infinity where it is a bound."""
        return self._ends.high

    def scatter(self, metric: str = "latency_s") -> Scatter:
        """Return how predictions of the kind are off, device by device and row by row."""
        from perfmodel.prediction.basis import scatter_of

        return scatter_of(cast("Prediction", self), metric)

    @cached_property
    def slower(self) -> list[Prediction]:
        """Itself with each calibrated class of seconds in turn a little slower."""
        from perfmodel.prediction.basis import slower

        return slower(cast("Prediction", self))

    @cached_property
    def _ends(self) -> Interval:
        return self.interval()

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Metric -> per cent of measurements (``50``, ``90``) -> interval, of headline metrics."""
        from perfmodel.prediction.basis import headline_intervals

        return headline_intervals(cast("Prediction", self))
