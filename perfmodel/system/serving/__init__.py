"""LLM serving: time to first token and time per output token of an engine under load."""

from perfmodel.system.serving.result import Served
from perfmodel.system.serving.serve import serve
from perfmodel.system.serving.shard import Parallel

__all__ = ["Parallel", "Served", "serve"]
