"""A compression option of a layer, and its text form: ``w=int4,a=int8,2:4,kept=0.5``."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from perfmodel.deprecation import deprecated_attributes, deprecated_parameters
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Format, Sparsity, format_named, parse_precision, parse_sparsity
from perfmodel.settings import FaultList

#: Text of the option that changes nothing.
AS_IS: Final = "as_is"
_EXPECTED: Final = "w=int4, a=int8, w4a8, 2:4, s0.9, kept=0.5 or several with commas; or as_is"
_WIDTHS: Final = re.compile(r"w\d+(?:\.\d+)?(?:g\d+)?(?:a\d+)?", re.ASCII)
_SPARSE: Final = re.compile(r"\d+:\d+|s[\d.]+", re.ASCII)


class LayerOption(NamedTuple):
    """One compression of a layer.

    Attributes
    ----------
    weights, activations
        Formats of the layer's weights and of its input; ``None``: unchanged.
    sparsity
        Sparsity of the remaining weights.
    channels
        Fraction of output channels that remain, in (0, 1]; written ``kept=0.5``.
    """

    weights: Format | None = None
    activations: Format | None = None
    sparsity: Sparsity | None = None
    channels: float = 1.0


if not TYPE_CHECKING:
    LayerOption.__new__ = deprecated_parameters(kept="channels")(LayerOption.__new__)
    LayerOption.__getattr__ = deprecated_attributes(kept="channels")


def describe(option: LayerOption) -> str:
    """Return the canonical text of an option, which `parse_option` reads back."""
    parts: list[str] = []
    if option.weights is not None:
        parts.append(f"w={option.weights.name}")
    if option.activations is not None:
        parts.append(f"a={option.activations.name}")
    if option.sparsity is not None:
        pattern, density = option.sparsity.pattern, option.sparsity.density
        parts.append(pattern if ":" in pattern else f"s{round(1.0 - density, 12):g}")
    if option.channels != 1.0:
        parts.append(f"kept={option.channels:.12g}")
    return ",".join(parts) or AS_IS


def canonical(value: LayerOption | str) -> str:
    """Return the canonical text of an option or of any text that `parse_option` accepts."""
    return describe(value if isinstance(value, LayerOption) else parse_option(value))


def parse_option(text: str) -> LayerOption:
    """Parse an option.

    Parameters
    ----------
    text
        Parts separated by commas (or ``+``): ``w=FORMAT``, ``a=FORMAT``, a bare format (of the
        weights), widths (``w4a8``), ``n:m`` or ``s0.9`` (fraction of zeros), ``kept=0.5``
        (fraction of output channels); or ``as_is``.

    Raises
    ------
    InputError
        For all faults of the text.
    """
    parts: dict[str, object] = {}
    faults = FaultList()
    for word in map(str.strip, re.split(r"[,+]", text.strip().lower())):
        if word == AS_IS:
            continue
        for key, value in (faults.trying(_part, word) or {}).items():
            if key in parts:
                faults.append(Fault(f"'{text}' says {key} twice", expected="each once"))
            parts[key] = value
    faults.settle()
    return LayerOption(**parts)  # pyright: ignore[reportArgumentType]


def _part(word: str) -> dict[str, object]:
    """Return the fields of `LayerOption` that one part of an option's text sets."""
    key, mark, value = (piece.strip() for piece in word.partition("="))
    if mark and key in {"w", "weights"}:
        return {"weights": format_named(value)}
    if mark and key in {"a", "activations"}:
        return {"activations": format_named(value)}
    if mark and key == "kept":
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if 0.0 < share <= 1.0:
            return {"channels": share}
    elif not mark and _SPARSE.fullmatch(word):
        return {"sparsity": parse_sparsity(word)}
    elif not mark and _WIDTHS.fullmatch(word):
        precision = parse_precision(word if "a" in word else f"{word}a16")
        activations = {"activations": precision.activations} if "a" in word else {}
        return {"weights": precision.weights, **activations}
    elif not mark and word:
        return {"weights": format_named(word)}
    raise input_error(f"'{word}' is not an option of a layer", expected=_EXPECTED)
