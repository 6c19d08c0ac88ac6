"""What a prediction says of itself: on what it rests, and between which ends measurements lie."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from perfmodel.arrays import Value
from perfmodel.table import Result, ShownPicture

if TYPE_CHECKING:
    from perfmodel.evidence import Scatter
    from perfmodel.prediction.basis import Basis, Interval
    from perfmodel.prediction.prediction import Prediction


class SpreadResult(Result):
    """A result that says what it rests on, and between which ends measurements would lie.

    It states `_basis`, `interval`, and `_spread`: the metrics whose intervals its headline has.
    """

    @cached_property
    def _basis(self) -> Basis:
        raise NotImplementedError

    @property
    def _spread(self) -> Sequence[str]:
        raise NotImplementedError

    def interval(self, metric: str, level: float = 0.9) -> Interval:
        """Return a metric with the ends between which a share of measurements would lie."""
        raise NotImplementedError

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

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Metric -> per cent of measurements (``50``, ``90``) -> interval, of headline metrics."""
        from perfmodel.prediction.basis import LEVELS

        return {
            metric: {f"{100 * level:g}": self.interval(metric, level) for level in LEVELS}
            for metric in self._spread
        }


class PredictionSpread(SpreadResult):
    """The part of a prediction that says how far to trust it; opened on access."""

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
    def _spread(self) -> Sequence[str]:
        from perfmodel.prediction.basis import headline_metrics

        return headline_metrics(cast("Prediction", self))

    def pictures(self) -> Sequence[ShownPicture]:
        """Return the pictures that say something of any machine, and those of its kind."""
        from perfmodel.prediction.rows import pictures

        return pictures(cast("Prediction", self))
