"""Operator traits other than shapes and prices, from ``workloads/operators/traits.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfmodel.specfile import shipped

_TRAITS: Final[Mapping[str, Any]] = shipped("workloads", "operators/traits.yaml")

#: Operator -> inputs that are always parameters; inputs that hold a shape, an axis or a bound.
PARAMETERS: Final[Mapping[str, Sequence[int]]] = _TRAITS["parameters"]
STRUCTURAL: Final[Mapping[str, Sequence[int]]] = _TRAITS["structural"]


def _operators(trait: str) -> frozenset[str]:
    return frozenset(_TRAITS[trait])


#: Operators that generate random numbers; operators with a sliding window.
RANDOM: Final = _operators("random")
WINDOWED: Final = _operators("windowed")

#: Products; other operators that run on integers; activations that fuse with a requantisation.
PRODUCTS: Final = _operators("products")
ON_INTEGERS: Final = _operators("on_integers")
JOINED: Final = _operators("joined")

#: Views; operators that move values without changing them; operators that preserve the format.
VIEWS: Final = _operators("views")
MOVERS: Final = VIEWS | _operators("movers")
PASSING: Final = MOVERS | _operators("passing")

#: Operators whose first input is the only one with values.
ONE_OPERAND: Final = (MOVERS - {"Concat"}) | _operators("one_operand")

#: Checks and arithmetic on extents in ATen, which no device computes.
SKIPPED: Final = _operators("skipped")
