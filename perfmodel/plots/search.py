"""Plots of what a search found: the face that ``result.plot`` shows."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from perfmodel.catalog import names
from perfmodel.plots.page import page

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.search.result import SearchResult

#: Entry points of plots of other packages: functions that take a `SearchResult` first.
SEARCH_GROUP = "perfmodel.search_plots"


class SearchPlots:
    """Plots of a search; each returns a plotly figure.

    Plots of other packages are further methods (entry points ``perfmodel.search_plots``).
    """

    def __init__(self, found: SearchResult) -> None:
        self._found = found

    def front(self) -> Figure:
        """Objective against what the first limit is of; see `perfmodel.plots.search_front`."""
        from perfmodel.plots.search_front import front

        return front(self._found)

    def layers(self, *, by: str = "weights") -> Figure:
        """The network over a strip of its bits; see `perfmodel.plots.search_layers`."""
        from perfmodel.plots.search_layers import layers

        return layers(self._found, by=by)

    def page(self, *, front: bool = False) -> str:
        """Return an HTML page of its own: the result, its strip, and the front where asked for."""
        found = self._found
        drawn = [self.front()] if front else []
        if found.best is not None:
            drawn.append(self.layers())
        return page(f"{found.space.name} on {found.device}", f"<pre>{escape(str(found))}</pre>",
                    drawn)  # fmt: skip

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from perfmodel.plots.face import further

        return further(SEARCH_GROUP, name, self._found)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *names(SEARCH_GROUP)})

    def __repr__(self) -> str:
        return f"plots: {', '.join(names(SEARCH_GROUP, ('front', 'layers')))}"


def search_plots(found: SearchResult) -> SearchPlots:
    """Return the plots of what a search found."""
    return SearchPlots(found)
