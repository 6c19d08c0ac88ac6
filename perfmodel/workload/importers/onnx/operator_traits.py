"""Traits of operators apart from shapes and prices: ``workloads/operators/traits.yaml``.

Which inputs are parameters or bounds, which operators are views, products, random, or run on
integers. Read by the walk and by the folding of quantisers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfmodel.specfile import shipped

_TRAITS: Final[Mapping[str, Any]] = shipped("workloads", "operators/traits.yaml")

#: Operator -> inputs that are always parameters; inputs that hold a shape, an axis or a bound.
PARAMETERS: Final[Mapping[str, Sequence[int]]] = _TRAITS["parameters"]
STRUCTURAL: Final[Mapping[str, Sequence[int]]] = _TRAITS["structural"]

#: Number of an attribute's type -> its name in messages.
ATTRIBUTE_TYPES: Final[Mapping[str, str]] = _TRAITS["attribute_types"]


def _operators(trait: str) -> frozenset[str]:
    """Return the operators with a trait."""
    return frozenset(_TRAITS[trait])


#: Operators that generate random numbers; operators with a sliding window.
RANDOM: Final = _operators("random")
WINDOWED: Final = _operators("windowed")

#: Products; other operators that run on integers; activations that fuse with a requantisation.
PRODUCTS: Final = _operators("products")
ON_INTEGERS: Final = _operators("on_integers")
FUSED_ACTIVATIONS: Final = _operators("joined")

#: Views; operators that move values without changing them; operators that preserve the format.
VIEWS: Final = _operators("views")
MOVERS: Final = VIEWS | _operators("movers")
FORMAT_PRESERVING: Final = MOVERS | _operators("passing")

#: Operators whose first input is the only one with values.
SINGLE_OPERAND: Final = (MOVERS - {"Concat"}) | _operators("one_operand")

#: Checks and arithmetic on extents in ATen, which no device computes.
EXTENT_ARITHMETIC: Final = _operators("skipped")
