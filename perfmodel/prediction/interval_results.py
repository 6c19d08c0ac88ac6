"""Basis and prediction intervals as attributes of results, computed on access.

`perfmodel.prediction.basis` has the definitions; predictions and results of several phases
(`perfmodel.system`) inherit the attributes from the classes of this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from perfmodel.arrays import Value
from perfmodel.metrics import ENERGIES
from perfmodel.prediction import basis, presentation
from perfmodel.table import Result, ShownPicture

if TYPE_CHECKING:
    from perfmodel.evidence import Scatter
    from perfmodel.prediction.basis import Basis, Interval
    from perfmodel.prediction.prediction import Prediction


class IntervalResult(Result):
    """Result with an empirical basis and prediction intervals.

    Subclasses define `_basis`, `interval`, and `_spread`, the headline metrics with intervals.
    """

    @cached_property
    def _basis(self) -> Basis:
        raise NotImplementedError

    @property
    def _spread(self) -> Sequence[str]:
        raise NotImplementedError

    def interval(self, metric: str, level: float = 0.9) -> Interval:
        """Return the prediction interval of a metric."""
        raise NotImplementedError

    @property
    def basis(self) -> str:
        """Basis of the times: ``measured``, ``transferred``, ``assumed`` or ``bound``.

        See `perfmodel.prediction.basis.Basis`.
        """
        return self._basis.name

    @property
    def basis_reason(self) -> str:
        """Reason for the basis, as text."""
        return self._basis.reason

    @property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Headline metric -> coverage in per cent (``50``, ``90``) -> interval."""
        return {metric: self.levels_of(metric) for metric in self._spread}

    def levels_of(self, metric: str) -> dict[str, Interval]:
        """Return coverage in per cent (``50``, ``90``) -> interval of a metric."""
        return {f"{100 * level:g}": self.interval(metric, level) for level in basis.LEVELS}


class PredictionIntervals(IntervalResult):
    """Basis, intervals and residual scatter of a prediction."""

    @cached_property
    def _basis(self) -> Basis:
        return basis.basis_of(cast("Prediction", self))

    @cached_property
    def _energy_basis(self) -> Basis:
        return basis.basis_of(cast("Prediction", self), "energy_j")

    def basis_for(self, metric: str) -> Basis:
        """Return the basis of a metric: of energies, or of times."""
        return self._energy_basis if metric in ENERGIES else self._basis

    @property
    def energy_basis(self) -> str:
        """Basis of the energy, by the same names as `basis`."""
        return self._energy_basis.name

    @property
    def energy_basis_reason(self) -> str:
        """Reason for the basis of the energy, as text."""
        return self._energy_basis.reason

    def interval(self, metric: str = "latency_s", level: float = 0.9) -> Interval:
        """Return the prediction interval of a metric.

        Parameters
        ----------
        metric
            A time, a rate, ``energy_j`` or ``power_w``.
        level
            Expected share of measurements within the interval, below 1.
        """
        return basis.interval(cast("Prediction", self), metric, level)

    @property
    def latency_low_s(self) -> Value:
        """Lower end of the 90 % interval of the latency."""
        return self._ends.low

    @property
    def latency_high_s(self) -> Value:
        """Upper end of the 90 % interval of the latency; infinity for a lower bound."""
        return self._ends.high

    def scatter(self, metric: str = "latency_s") -> Scatter:
        """Return the residuals of such predictions, by device and by measurement."""
        return basis.scatter_of(cast("Prediction", self), metric)

    @cached_property
    def slower(self) -> list[Prediction]:
        """One prediction per calibrated class of seconds, with that class slightly slower."""
        return basis.slower(cast("Prediction", self))

    @cached_property
    def _ends(self) -> Interval:
        return self.interval()

    @property
    def _spread(self) -> Sequence[str]:
        return basis.headline_metrics(cast("Prediction", self))

    def pictures(self) -> Sequence[ShownPicture]:
        """Return the plots that apply to any machine, and those of its kind."""
        return presentation.pictures(cast("Prediction", self))
