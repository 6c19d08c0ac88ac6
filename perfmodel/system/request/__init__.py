"""Complete requests to a language model: prefill of a prompt, then decode steps."""

from perfmodel.system.request.request import request
from perfmodel.system.request.result import Request

__all__ = ["Request", "request"]
