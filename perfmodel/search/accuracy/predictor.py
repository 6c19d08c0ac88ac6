"""A predictor of accuracy fitted to measured configurations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault
from perfmodel.search.accuracy.model import Floats, SeparableModel, losses_of, unknown_layers
from perfmodel.search.accuracy.option import LayerOption, canonical
from perfmodel.search.accuracy.sensitivities import pair_arrays
from perfmodel.settings import FaultList

#: Which way a measured figure is better.
Better = Literal["higher", "lower"]
_RIDGES: Final = np.logspace(-6, 3, 37)


@dataclass(frozen=True)
class Fitted(SeparableModel):
    """A linear predictor over the options of layers: see `fitted`.

    Attributes
    ----------
    constant
        Of the loss.
    effects, joint
        Loss of an option of a layer, and of options of two layers together.
    ridge
        Penalty that was used.
    residuals
        Leave-one-out residuals in `unit`, shape ``(configurations,)``.
    top
        The best accuracy it was fitted to where higher is better, from which losses count; else
        None.
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
        """The constant."""
        return self.constant

    def question_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return layers of the fit that are not asked for: their effect would be missing."""
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
        """Return the fitted effects as losses; more is worse."""
        wanting = ("no configuration had", f"for layer '{layer}'")
        return losses_of(options, self.effects[layer], wanting, faults)

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
        """Return what the fit predicts, in `unit`: ``-loss`` where higher is better."""
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
    """Fit a predictor to pairs of configuration and accuracy.

    Ridge regression on which option each layer has (one-hot), with an intercept that is not
    penalised (Hoerl and Kennard, Technometrics 1970).

    Parameters
    ----------
    configurations
        Layer -> option, each of the same layers.
    accuracies
        Measured figures in `unit`, shape ``(configurations,)``.
    pairs
        Layers whose options also act together.
    ridge
        Penalty; the one of least leave-one-out error of a series where left out.
    unit, better
        Of the figures.

    Raises
    ------
    InputError
        With every fault: too few configurations, layers that differ, numbers that are not finite.

    Notes
    -----
    The error is the root mean square of leave-one-out residuals, ``e_i / (1 - h_ii)`` with the hat
    matrix's diagonal, which for a fixed penalty is exactly what refits without each give (Golub,
    Heath and Wahba, Technometrics 1979). A penalty chosen by it makes it a little low.
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
    left, size, right = np.linalg.svd(design - centre, full_matrices=False)
    trials = [ridge] if ridge is not None else list(_RIDGES)
    residuals = [_left_out(left, size, values - mean, penalty) for penalty in trials]
    best = int(np.argmin([float(np.mean(r**2)) for r in residuals]))
    penalty, left_out = float(trials[best]), residuals[best]
    weights = right.T @ (size / (size**2 + penalty) * (left.T @ (values - mean)))
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


def _left_out(left: Array, size: Array, values: Array, penalty: float) -> Array:
    # A singular value of zero stands for a direction in which the options never differed.
    alive = size > 1e-10 * max(float(size.max(initial=0.0)), 1e-300)
    shrink = np.where(alive, size**2 / np.where(alive, size**2 + penalty, 1.0), 0.0)
    leverage = 1.0 / len(values) + (left**2) @ shrink
    residual = values - left @ (shrink * (left.T @ values))
    return residual / np.maximum(1.0 - leverage, 1e-12)


def _texts(
    configurations: Sequence[Mapping[str, LayerOption | str]],
    values: Array,
    pairs: Sequence[tuple[str, str]],
) -> list[dict[str, str]]:
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
        faults += unknown_layers(pair, layers, "the configurations")
    faults.settle()
    return texts
