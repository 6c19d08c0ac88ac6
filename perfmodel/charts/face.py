"""What ``.plot`` of a result is: a method for each picture of its sort, and a page of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import signature
from typing import Any

from perfmodel.catalog import load, names
from perfmodel.charts import Chart, Picture
from perfmodel.charts.page import page
from perfmodel.errors import InputError


class Plots:
    """Pictures of one result; each returns a plotly figure.

    ``plot.NAME()`` draws a picture, ``plot.NAME.chart()`` returns it as it is declared, and
    ``plot.page()`` a page of its own. What there is, is in the catalog under
    ``perfmodel.SORT_plots``; other packages add pictures as entry points of the same names:
    functions that take the result first.
    """

    def __init__(self, subject: Any, sort: str) -> None:
        self._subject, self._group = subject, f"perfmodel.{sort}_plots"

    def page(self, *arguments: Any, **options: Any) -> str:
        """Return an HTML page of its own: the result at a glance, and its pictures below.

        Parameters
        ----------
        *arguments, **options
            Those of the page of its sort, such as ``front`` of a search.
        """
        if "page" in names(self._group):
            return load(self._group, "page")(self._subject, *arguments, **options)
        charts: list[Chart] = []
        for name in names(self._group):
            picture = getattr(self, name)
            if not isinstance(picture, Picture) or _needs_more(picture):
                continue
            with suppress(InputError):  # not of such a result
                charts.append(picture.chart())
        return page(self._subject.headline, self._subject.to_html(), charts)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in names(self._group):
            raise AttributeError(f"no plot '{name}'")
        picture = load(self._group, name)
        if isinstance(picture, Picture):
            return picture.of(self._subject)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return partial(picture, self._subject)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *names(self._group)})

    def __repr__(self) -> str:
        return f"plots: {', '.join(n for n in names(self._group) if n != 'page')}"


def _needs_more(picture: Picture[...]) -> bool:
    """Tell whether a picture of a result takes something that has no default."""
    return any(p.default is p.empty for p in signature(picture.chart).parameters.values())
