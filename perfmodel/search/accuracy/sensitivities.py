"""A table of sensitivities: layer x option, from a file or a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.search.accuracy.model import AccuracyTable, Floats, options_fit, unknown_layers
from perfmodel.search.accuracy.option import AS_IS, LayerOption, describe
from perfmodel.search.accuracy.read import PairKey, Sensitivities, from_mapping, read_sensitivities


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """Sensitivities as given: see `table`."""

    name: str
    losses: Mapping[str, Mapping[str, float]]
    pairs: Mapping[PairKey, float] = field(default_factory=dict[PairKey, float])
    unit: str = ""
    measured_error: float | None = None
    error_note: str = ""
    separable: bool = True

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the losses; an option that changes nothing costs nothing where none is given.

        Raises
        ------
        InputError
            A layer or an option that is not in the table; every one of them.
        """
        faults = [*options_fit(layers, options), *unknown_layers(layers, self.losses, self.name)]
        if faults:
            raise InputError(faults)
        unary: list[Floats] = []
        for layer, given in zip(layers, options, strict=True):
            known = {AS_IS: 0.0, **self.losses[layer]}
            row = np.zeros(len(given))
            for i, text in enumerate(describe(option) for option in given):
                if text in known:
                    row[i] = known[text]
                else:
                    faults.append(
                        Fault(f"no sensitivity of '{text}' for layer '{layer}' in {self.name}",
                              path="accuracy", suggestion=nearest(text, known, cutoff=0.75),
                              expected=one_of(known))
                    )  # fmt: skip
            unary.append(row)
        if faults:
            raise InputError(faults)
        return AccuracyTable(tuple(unary), pair_arrays(self.pairs, layers, options))

    def predicted(self, loss: Floats) -> Floats:
        """Return the losses as they are."""
        return loss


def table(source: str | Path | Mapping[str, Mapping[str, float]]) -> SensitivityTable:
    """Return a model from sensitivities a layer x option.

    Parameters
    ----------
    source
        A mapping layer -> option -> number; or a file. CSV, long: ``layer``, ``option`` (or any of
        ``weights``, ``activations``, ``sparsity``, ``kept``) and ``sensitivity``. CSV, wide:
        ``layer`` and a column an option (``int8``, ``w4a8``, ``w=int4,kept=0.5``). YAML or JSON:
        ``layer: {option: number}``; or that under ``sensitivities:``, beside ``unit:`` and
        ``pairs:``, a list of ``{layers: [a, b], options: [x, y], sensitivity: number}``.

    Raises
    ------
    InputError
        With every fault of the file, each with its line and column.
    """
    found: Sensitivities
    if isinstance(source, Mapping):
        found, name = from_mapping(source), "table"
    else:
        found, name = read_sensitivities(Path(source)), f"table {Path(source).name}"
    return SensitivityTable(name, found.losses, found.pairs, found.unit)


def pair_arrays(
    pairs: Mapping[PairKey, float],
    layers: Sequence[str],
    options: Sequence[Sequence[LayerOption]],
) -> dict[tuple[int, int], Floats]:
    """Return pairwise terms as arrays over the options; zero where none is given.

    Terms of layers that are not asked for are left out, as are pairs of nothing but zeros.
    """
    place = {layer: i for i, layer in enumerate(layers)}
    texts = [[describe(option) for option in given] for given in options]
    found: dict[tuple[int, int], Floats] = {}
    for (one, first, other, second), value in pairs.items():
        if one not in place or other not in place:
            continue
        (i, a), (j, b) = sorted([(place[one], first), (place[other], second)])
        hits = np.outer([t == a for t in texts[i]], [t == b for t in texts[j]])
        if hits.any():
            terms = found.setdefault((i, j), np.zeros(hits.shape))
            terms += hits * value
    return found
