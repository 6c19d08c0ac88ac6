"""A whole request to a language model: a prompt read, then tokens generated one by one."""

from perfmodel.system.request.request import request
from perfmodel.system.request.result import Request

__all__ = ["Request", "request"]
