"""Published results of other systems, and what the model says of them."""

from perfmodel.reproduce.result import Reproduction, Reproductions, lines
from perfmodel.reproduce.run import names, published, reproduce

__all__ = ["Reproduction", "Reproductions", "lines", "names", "published", "reproduce"]
