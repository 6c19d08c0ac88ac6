"""The words about models under load, apart from the others so that these stay cheap to import."""

from perfmodel.system.request import request
from perfmodel.system.serving import Served, serve

__all__ = ["Served", "request", "serve"]
