"""Search for the best configuration: spaces of choices, their costs, and solvers under limits."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perfmodel.lazy_names import lazy_names

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

_attribute = lazy_names(
    __name__,
    {
        "oracle": ("Oracle",),
        "search_result": ("SearchResult",),
        "space": ("ConfigurationSpace", "configurations_of"),
    },
)


def __getattr__(name: str) -> Any:
    return import_module(f"{__name__}.{name}") if name == "accuracy" else _attribute(name)
