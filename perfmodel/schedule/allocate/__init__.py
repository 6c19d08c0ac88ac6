"""Addresses: offsets of buffers with lifetimes in one memory, or a proof that none fit."""

from perfmodel.schedule.allocate.allocate import allocate
from perfmodel.schedule.allocate.lifetime import Lifetime
from perfmodel.schedule.allocate.read import read_lifetimes
from perfmodel.schedule.allocate.result import Allocation, Proof

__all__ = ["Allocation", "Lifetime", "Proof", "allocate", "read_lifetimes"]
