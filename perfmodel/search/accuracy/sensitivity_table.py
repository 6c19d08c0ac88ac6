"""Accuracy model from a table of sensitivities (layer x option), from a file or a mapping."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perfmodel.errors import Fault
from perfmodel.search.accuracy.accuracy_faults import known_losses
from perfmodel.search.accuracy.accuracy_table import Floats
from perfmodel.search.accuracy.layer_option import AS_IS, LayerOption, describe
from perfmodel.search.accuracy.sensitivity_files import (
    PairKey,
    Sensitivities,
    from_mapping,
    read_sensitivities,
)
from perfmodel.search.accuracy.separable_model import SeparableModel


@dataclass(frozen=True)
class SensitivityTable(SeparableModel):
    """A table of sensitivities: see `table`."""

    name: str
    sensitivities: Sensitivities
    unit: str = ""

    @property
    def known(self) -> Collection[str]:
        """Layers of the table."""
        return self.sensitivities.losses

    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return the losses; the unchanged layer costs 0 unless listed."""
        known = {AS_IS: 0.0, **self.sensitivities.losses[layer]}
        return known_losses(
            options,
            known,
            lambda option: f"no sensitivity of '{option}' for layer '{layer}' in {self.name}",
            faults,
        )

    def pair_tables(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> dict[tuple[int, int], Floats]:
        """Return the pairwise terms; see `pair_arrays`."""
        return pair_arrays(self.sensitivities.pairs, layers, options)


def table(source: str | Path | Mapping[str, Mapping[str, float]]) -> SensitivityTable:
    """Return a model from a sensitivity for each option of each layer.

    Parameters
    ----------
    source
        A mapping layer -> option -> number; or a file. CSV, long: ``layer``, ``option`` (or any of
        ``weights``, ``activations``, ``sparsity``, ``kept``) and ``sensitivity``. CSV, wide:
        ``layer`` and one column per option (``int8``, ``w4a8``, ``w=int4,kept=0.5``). YAML or JSON:
        ``layer: {option: number}``; or this under ``sensitivities:``, with ``unit:`` and
        ``pairs:``, a list of ``{layers: [a, b], options: [x, y], sensitivity: number}``.

    Raises
    ------
    InputError
        For all faults of the file, each with its line and column.
    """
    if isinstance(source, Mapping):
        read, name = from_mapping(source), "table"
    else:
        read, name = read_sensitivities(Path(source)), f"table {Path(source).name}"
    return SensitivityTable(name, read, read.unit)


def pair_arrays(
    pairs: Mapping[PairKey, float],
    layers: Sequence[str],
    options: Sequence[Sequence[LayerOption]],
) -> dict[tuple[int, int], Floats]:
    """Return pairwise terms as arrays over the options; unlisted terms are zero.

    Terms of other layers and pairs without a matching option are omitted.
    """
    place = {layer: i for i, layer in enumerate(layers)}
    texts = [[describe(option) for option in offered] for offered in options]
    arrays: dict[tuple[int, int], Floats] = {}
    for (one, first, other, second), value in pairs.items():
        if one not in place or other not in place:
            continue
        (i, a), (j, b) = sorted([(place[one], first), (place[other], second)])
        hits = np.outer([t == a for t in texts[i]], [t == b for t in texts[j]])
        if hits.any():
            terms = arrays.setdefault((i, j), np.zeros(hits.shape))
            terms += hits * value
    return arrays
