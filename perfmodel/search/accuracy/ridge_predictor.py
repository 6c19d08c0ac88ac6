"""Accuracy predictor fitted to measured configurations by ridge regression."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault
from perfmodel.search.accuracy.accuracy_faults import known_losses, unknown_layer_faults
from perfmodel.search.accuracy.accuracy_table import Floats
from perfmodel.search.accuracy.layer_option import LayerOption, canonical
from perfmodel.search.accuracy.sensitivity_table import pair_arrays
from perfmodel.search.accuracy.separable_model import SeparableModel
from perfmodel.settings import FaultList

#: Direction in which a measured figure is better.
Better = Literal["higher", "lower"]
_RIDGES: Final = np.logspace(-6, 3, 37)


@dataclass(frozen=True)
class Fitted(SeparableModel):
    """A linear predictor over the options of layers: see `fitted`.

    Attributes
    ----------
    constant
        Intercept of the loss.
    effects, joint
        Loss of an option of a layer, and of a pair of options of two layers.
    ridge
        Penalty of the fit.
    residuals
        Leave-one-out residuals in `unit`, shape ``(configurations,)``.
    top
        The best accuracy of the fit if higher is better, from which losses count; else None.
    """

    name: str
    constant: float
    effects: Mapping[str, Mapping[str, float]]
    joint: Mapping[tuple[str, str], Mapping[tuple[str, str], float]]
    ridge: float
    residuals: tuple[float, ...]
    better: Better = "higher"
    top: float | None = None
    unit: str = ""
    measured_error: float | None = None
    error_note: str = ""

    @property
    def known(self) -> Collection[str]:
        """Layers of the configurations."""
        return self.effects

    @property
    def offset(self) -> float:
        """Intercept of the loss."""
        return self.constant

    def combination_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return a fault for each fitted layer without options: its effect would be missing."""
        return [
            Fault(
                f"layer '{layer}' of {self.name} is left out",
                path="accuracy",
                expected="every layer that it was fitted on",
            )
            for layer in self.effects
            if layer not in layers
        ]

    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return the fitted effects as losses; higher is worse."""
        return known_losses(
            options,
            self.effects[layer],
            lambda option: f"no configuration had '{option}' for layer '{layer}'",
            faults,
        )

    def pair_tables(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> dict[tuple[int, int], Floats]:
        """Return the fitted effects of pairs."""
        terms = {
            (one, first, other, second): value
            for (one, other), values in self.joint.items()
            for (first, second), value in values.items()
        }
        return pair_arrays(terms, layers, options)

    def predicted(self, loss: Floats) -> Floats:
        """Return the predicted figure in `unit`: ``-loss`` if higher is better."""
        return -loss if self.better == "higher" else loss


def fitted(
    configurations: Sequence[Mapping[str, LayerOption | str]],
    accuracies: npt.ArrayLike,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    ridge: float | None = None,
    unit: str = "points of top-1",
    better: Better = "higher",
) -> Fitted:
    """Fit a predictor to configurations and their measured accuracies.

    Ridge regression on the one-hot options of all layers, with an unpenalised intercept (Hoerl and
    Kennard, Technometrics 1970).

    Parameters
    ----------
    configurations
        Layer -> option; all with the same layers.
    accuracies
        Measured figures in `unit`, shape ``(configurations,)``.
    pairs
        Pairs of layers with interaction terms.
    ridge
        Penalty; by default the one of a series with the smallest leave-one-out error.
    unit, better
        Unit of the figures, and their direction.

    Raises
    ------
    InputError
        For all faults: too few configurations, layers that differ, numbers that are not finite.

    Notes
    -----
    The error is the root mean square of leave-one-out residuals ``e_i / (1 - h_ii)``, where h is
    the hat matrix. For a fixed penalty these equal the residuals of refits without each row
    (Golub, Heath and Wahba, Technometrics 1979). If the penalty minimises this error, the estimate
    is slightly optimistic.
    """
    values = np.asarray(accuracies, dtype=np.float64)
    texts = _texts(configurations, values, pairs)
    layers = list(texts[0])
    columns: dict[tuple[str, ...], Array] = {}
    for layer in layers:
        for text in sorted({row[layer] for row in texts}):
            columns[layer, text] = np.array([row[layer] == text for row in texts], float)
    for one, other in pairs:
        for a, b in sorted({(row[one], row[other]) for row in texts}):
            columns[one, a, other, b] = columns[one, a] * columns[other, b]
    design = np.column_stack(list(columns.values()))
    centre, mean = design.mean(axis=0), float(values.mean())
    u, singular, vt = np.linalg.svd(design - centre, full_matrices=False)
    trials = [ridge] if ridge is not None else list(_RIDGES)
    residuals = [_left_out_residuals(u, singular, values - mean, penalty) for penalty in trials]
    best = int(np.argmin([float(np.mean(r**2)) for r in residuals]))
    penalty, left_out = float(trials[best]), residuals[best]
    weights = vt.T @ (_inverse(singular, penalty) * (u.T @ (values - mean)))
    sign = -1.0 if better == "higher" else 1.0
    effects: dict[str, dict[str, float]] = {layer: {} for layer in layers}
    joint: dict[tuple[str, str], dict[tuple[str, str], float]] = {pair: {} for pair in pairs}
    for key, weight in zip(columns, weights, strict=True):
        if len(key) == 2:
            effects[key[0]][key[1]] = sign * float(weight)
        else:
            joint[key[0], key[2]][key[1], key[3]] = sign * float(weight)
    origin = "given" if ridge is not None else "chosen by the same error"
    return Fitted(
        f"predictor fitted to {len(values)} configurations",
        sign * (mean - float(centre @ weights)),
        effects,
        joint,
        penalty,
        tuple(left_out.tolist()),
        better,
        top=float(values.max()) if better == "higher" else None,
        unit=unit,
        measured_error=float(np.sqrt(np.mean(left_out**2))),
        error_note=f"root mean square, leave-one-out over {len(values)} configurations; "
        f"ridge {penalty:.3g}, {origin}",
    )


def _inverse(singular: Array, penalty: float) -> Array:
    """Return ``s / (s^2 + penalty)`` of each singular value s, and 0 where s is zero.

    The centred one-hot columns of a layer add up to zero, so that the design is rank-deficient:
    without a penalty this gives the weights of least norm.
    """
    nonzero = singular > 1e-10 * float(singular.max(initial=0.0))
    return np.where(nonzero, singular / np.where(nonzero, singular**2 + penalty, 1.0), 0.0)


def _left_out_residuals(u: Array, singular: Array, values: Array, penalty: float) -> Array:
    """Return the residual of each configuration under a fit without it: ``e_i / (1 - h_ii)``.

    Parameters
    ----------
    u, singular
        Left singular vectors and singular values of the centred design.
    values
        Centred figures, shape ``(configurations,)``.
    """
    shrink = singular * _inverse(singular, penalty)
    leverage = 1.0 / len(values) + (u**2) @ shrink
    residual = values - u @ (shrink * (u.T @ values))
    return residual / np.maximum(1.0 - leverage, 1e-12)


def _texts(
    configurations: Sequence[Mapping[str, LayerOption | str]],
    values: Array,
    pairs: Sequence[tuple[str, str]],
) -> list[dict[str, str]]:
    """Return the configurations as layer -> canonical text, or raise all their faults."""
    faults = FaultList()
    if values.shape != (len(configurations),) or len(configurations) < 3:
        faults.append(
            Fault(
                f"{len(configurations)} configurations and accuracies of shape {values.shape}",
                path="accuracies",
                expected="one for each of three configurations or more",
            )
        )
    elif not np.isfinite(values).all():
        faults.append(Fault("an accuracy is not finite", "accuracies", expected="finite numbers"))
    layers = list(configurations[0]) if configurations else []
    texts: list[dict[str, str]] = []
    for i, own in enumerate(configurations):
        if odd := sorted(set(own) ^ set(layers)):
            faults.append(
                Fault(
                    f"not the layers of the first: {', '.join(odd[:4])}",
                    f"configurations.{i}",
                    expected="the same layers",
                )
            )
            continue
        named = {layer: faults.trying(canonical, own[layer]) for layer in layers}
        texts.append({layer: text or "" for layer, text in named.items()})
    for pair in pairs:
        faults += unknown_layer_faults(pair, layers, "the configurations")
    faults.settle()
    return texts
