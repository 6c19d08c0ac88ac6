"""Result of a search: the best configuration, its proof, shadow prices of limits, the front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from perfmodel.columns import RATE, dimension_of, more_is_better
from perfmodel.deprecation import deprecated_attributes
from perfmodel.errors import InfeasibleError
from perfmodel.optimise.certified import Certified
from perfmodel.prediction.presentation import spread_of
from perfmodel.search.constraints import Constraint
from perfmodel.table import CertifiedResult, ShownPicture, Table, plain
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction
    from perfmodel.search.exact import ChoiceInfeasibility
    from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class EvaluatedConfiguration:
    """A configuration and its predicted metrics.

    Attributes
    ----------
    choice
        Option index of each decision.
    configuration
        Decision -> option.
    metrics
        Metric -> value, including ``feasible``.
    value
        Value of the objective, to be minimised.
    """

    choice: tuple[int, ...]
    configuration: Mapping[str, Any]
    metrics: Mapping[str, float]
    value: float


@dataclass(frozen=True)
class LimitUse:
    """Usage and price of a constraint at the best configuration.

    Attributes
    ----------
    used
        Value of the metric.
    price
        Increase of the objective per unit of tightening of the bound (for a rate: per unit more),
        in the relaxation that provides the bound; NaN if none was solved.
    """

    constraint: Constraint
    used: float
    price: float = math.nan


@dataclass(frozen=True, repr=False, kw_only=True)
class SearchMethodResult(Certified[EvaluatedConfiguration]):
    """Best configuration of one search method, as `Certified`.

    Attributes
    ----------
    model
        Model that the proof applies to.
    limits
        Constraints with their usage by the best configuration.
    infeasible
        Explanation of infeasibility, if no configuration satisfies the constraints.
    notes
        Further remarks for a reader.
    """

    model: str
    limits: tuple[LimitUse, ...] = ()
    infeasible: ChoiceInfeasibility | None = None
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> EvaluatedConfiguration | None:
        """The best configuration; None if none satisfies the constraints."""
        return self.solution

    @property
    def gap(self) -> float:
        """Distance between value and bound, relative to the value."""
        if self.best is None or not math.isfinite(self.bound):
            return math.inf
        return max(0.0, self.value - self.bound) / max(abs(self.value), 1e-300)


@dataclass(frozen=True, repr=False, kw_only=True)
class SearchResult(SearchMethodResult, CertifiedResult[EvaluatedConfiguration]):
    """Result of a search: the best configuration and its proof, as `SearchMethodResult`.

    Attributes
    ----------
    objective
        Name of the objective: a metric, ``accuracy_drop`` (in the unit of the accuracy model) or
        ``sensitivity`` (unitless).
    source
        Source of the loss (``sqnr of net.onnx``); empty without one.
    seconds
        CPU time of the search.

    Its plots are ``front()`` and ``layers()``.
    """

    noun = "search"

    space: Any
    device: str
    objective: str
    unit: str
    source: str
    seconds: float = 0.0
    ask: Callable[..., Any] | None = field(default=None, compare=False)
    predict: Callable[..., Prediction] | None = field(default=None, compare=False)

    if not TYPE_CHECKING:
        __getattr__ = deprecated_attributes(counts="work")

    @cached_property
    def prediction(self) -> Prediction | None:
        """The prediction of the best configuration, with its basis and intervals.

        None if no configuration satisfies the constraints, or the result was read from a file.
        """
        if self.best is None or self.predict is None:
            return None
        return self.predict(self.best.choice)

    @property
    def workload(self) -> Workload:
        """The workload of the best configuration.

        Raises
        ------
        ValueError
            No configuration satisfies the constraints.
        """
        if self.best is None:
            raise ValueError("nothing satisfies the constraints")
        return self.space.workload(self.best.choice)

    @cached_property
    def front(self) -> Table:
        """Objective against the metric of the first constraint: one row per point of the front.

        Columns: the objective, the metric, ``bound`` on the objective, and the option of each
        decision.
        """
        if self.ask is None:
            raise ValueError("this result was read, not searched: there is nothing to ask")
        return self.ask("front")

    def relief(self, share: float = 0.1) -> dict[str, float]:
        """Return the best objective with each bound in turn relaxed by a share of itself."""
        if self.ask is None:
            raise ValueError("this result was read, not searched: there is nothing to ask")
        return self.ask("relief", share)

    @cached_property
    def table(self) -> Table:
        """The best configuration: one row per decision, with its role and its layers.

        Raises
        ------
        InfeasibleError
            No configuration satisfies the constraints.
        """
        if self.best is None:
            raise InfeasibleError("nothing satisfies the constraints")
        decisions = self.space.decisions
        return Table(
            {
                "decision": [d.name for d in decisions],
                "role": [str(getattr(d, "role", "architecture")) for d in decisions],
                "option": [
                    str(d.options[i]) for d, i in zip(decisions, self.best.choice, strict=True)
                ],
                "layers": [" ".join(getattr(d, "layers", ())) for d in decisions],
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        best = self.best
        # Metrics of which more is better are maximised as negated values.
        sign = -1.0 if more_is_better(self.objective) else 1.0
        return plain(
            {
                "workload": self.space.name,
                "device": self.device,
                "objective": self.objective,
                "unit": self.unit,
                "source": self.source,
                "best": None
                if best is None
                else {
                    "configuration": best.configuration,
                    "metrics": best.metrics,
                    "value": sign * best.value,
                    **({} if self.prediction is None else spread_of(self.prediction)),
                },
                "bound": sign * self.bound,
                "gap": self.gap,
                "proved": self.proved,
                "model": self.model,
                "method": self.method,
                "limits": [
                    {
                        "constraint": u.constraint.text,
                        "metric": u.constraint.metric,
                        "bound": u.constraint.bound,
                        "used": u.used,
                        "price": u.price,
                    }
                    for u in self.limits
                ],
                "infeasible": None
                if self.infeasible is None
                else {
                    "together": self.infeasible.together,
                    "openings": [
                        {"limit": o.limit, "bound": o.bound, "least": o.least, "proved": o.proved}
                        for o in self.infeasible.openings
                    ],
                },
                "counts": self.work,
                "notes": self.notes,
            }
        )

    @property
    def headline(self) -> str:
        """The space, the device and the method."""
        from perfmodel.search.search_text import head_line

        return head_line(self)

    def glance(self) -> list[tuple[str, str]]:
        """Return the best configuration with limits and proof, or the reason for having none."""
        from perfmodel.search.search_text import glance

        return glance(self)

    def cautions(self) -> list[str]:
        """Return the notes."""
        return [f"note: {note}" for note in self.notes]

    def pictures(self) -> list[ShownPicture]:
        """Return the pictures: the front, if it was computed, and the layers."""
        front = ShownPicture("front", "The objective against the metric of the first limit.")
        layers = ShownPicture("layers", "What each layer got, below what it takes.")
        return [front, layers] if "front" in self.__dict__ else [layers]

    def explain(self) -> str:
        """Return the answer with the model of its proof and the search's counts."""
        from perfmodel.search.search_text import explanation

        return explanation(self)

    def sections(self) -> list[str]:
        """Return the options of each layer."""
        from perfmodel.search.search_text import strip_lines

        rows = [] if self.best is None else strip(self.space, self.best.choice)
        return ["\n".join(strip_lines(rows))] if rows else []


def shown(name: str, value: float, unit: str = "") -> str:
    """Return a metric with its unit."""
    if not math.isfinite(value):
        return "unknown"
    dimension = dimension_of(name)
    if dimension == RATE:
        return f"{value:.4g} a second"
    if dimension:
        return show(value, dimension)
    return f"{value:.4g}" + (f" {unit}" if unit else "")


def strip(space: Any, choice: Sequence[int]) -> list[tuple[str, dict[str, str]]]:
    """Return layer -> role -> option, in the order of the network."""
    by_layer: dict[str, dict[str, str]] = {}
    for decision, option in zip(space.decisions, choice, strict=True):
        for layer in getattr(decision, "layers", ()):
            by_layer.setdefault(layer, {})[decision.role] = decision.label(option)
    return list(by_layer.items())
