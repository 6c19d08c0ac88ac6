"""Result of a minimisation together with its certificate of optimality (value and bound)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from perfmodel.optimise.certified import Certified
from perfmodel.table.result import Result

S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, repr=False)
class CertifiedResult(Certified[S_co], Result):
    """A result that is also a certified answer."""

    __repr__ = Result.__repr__

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: a solution was found, or proved not to exist."""
        return self.feasible or self.proved
