"""The result of a search for the least: what is reported, with its proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from perfmodel.optimise.certified import Certified
from perfmodel.table.result import Result

S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, repr=False)
class CertifiedResult(Certified[S_co], Result):
    """A result that is a certified answer itself."""

    __repr__ = Result.__repr__

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return self.feasible or self.proved
