"""Search for the best configuration: spaces of choices, their costs, and solvers under limits."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfmodel.search import accuracy
    from perfmodel.search.oracle import Oracle
    from perfmodel.search.search_result import SearchResult
    from perfmodel.search.space import ConfigurationSpace, configurations_of

__all__ = [
    "ConfigurationSpace",
    "Oracle",
    "SearchResult",
    "accuracy",
    "configurations_of",
]

_HOME = {
    "ConfigurationSpace": "space",
    "Oracle": "oracle",
    "SearchResult": "result",
    "configurations_of": "space",
}


def __getattr__(name: str) -> Any:
    if name == "accuracy":
        return import_module("perfmodel.search.accuracy")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"perfmodel.search.{_HOME[name]}"), name)
