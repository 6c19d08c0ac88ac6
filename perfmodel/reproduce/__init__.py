"""Published results of other systems, and what the model says of them."""

from perfmodel.reproduce.result import Reproduction, Reproductions, lines
from perfmodel.reproduce.run import published, reproduce, systems

__all__ = ["Reproduction", "Reproductions", "lines", "published", "reproduce", "systems"]
