"""Accuracy model that calls a user's function of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perfmodel.errors import input_error
from perfmodel.search.accuracy.accuracy_model import Configuration
from perfmodel.search.accuracy.accuracy_table import AccuracyTable, Floats
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.search.accuracy.ridge_predictor import Better


@dataclass(frozen=True, slots=True)
class UserModel:
    """A user's callable on configurations, not separable by layer: see `user`."""

    evaluate: Callable[[Configuration], float]
    name: str
    unit: str
    better: Better = "higher"
    measured_error: float | None = None
    error_note: str = ""
    separable: bool = False

    def loss(self, configuration: Configuration) -> float:
        """Return the loss of a configuration: its figure, negated if higher is better."""
        value = float(self.evaluate(configuration))
        return -value if self.better == "higher" else value

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Raise an error: a callable has no table.

        Raises
        ------
        InputError
            Always.
        """
        raise input_error(
            f"{self.name} is not separable, so it has no table of layers and options",
            path="accuracy",
            expected="a method that evaluates configurations (evolution), or fitted()",
        )

    def predicted(self, loss: Floats) -> Floats:
        """Return losses in the callable's unit."""
        return -loss if self.better == "higher" else loss


def user(
    callable: Callable[[Configuration], float],
    *,
    unit: str = "",
    name: str = "",
    better: Better = "higher",
) -> UserModel:
    """Return a model that evaluates a callable.

    Parameters
    ----------
    callable
        Configuration (layer -> option) -> figure.
    unit, better
        Unit of the figure, and its direction.
    name
        Name in results; by default that of the callable.
    """
    own = getattr(callable, "__name__", type(callable).__name__)
    return UserModel(callable, name or f"user callable {own}", unit, better)
