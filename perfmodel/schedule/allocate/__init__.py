"""Offsets of buffers with lifetimes in one memory, or a proof that they do not fit.

`allocate` is the question and `Allocation` its answer; `first_fit` is the heuristic,
`skyline_search` the exact search, `restarted_search` and `window_proofs` apply it.
"""

from perfmodel.schedule.allocate.allocate import allocate
from perfmodel.schedule.allocate.allocation import Allocation, Proof
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.schedule.allocate.lifetime_csv import read_lifetimes

__all__ = ["Allocation", "Lifetime", "Proof", "allocate", "read_lifetimes"]
