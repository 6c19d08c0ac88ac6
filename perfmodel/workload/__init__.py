"""What is computed: operators as loop nests, graphs, and their operator tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfmodel.workload.library import names as list  # noqa: A004 (workload.list())

__all__ = ["list"]


def __getattr__(name: str) -> Any:
    if name != "list":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from perfmodel.workload.library import names

    return names
