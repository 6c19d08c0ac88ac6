"""Split computing: a network cut between a device and a server, over a link."""

from perfmodel.system.split.result import Split
from perfmodel.system.split.run import split

__all__ = ["Split", "split"]
