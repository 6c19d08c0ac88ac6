"""``.plot`` of a result: one method for each picture of its class, and an HTML page of all of them.

The pictures are looked up by name in `perfmodel.catalog`, so that other packages can add theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from html import escape
from inspect import signature
from typing import Any

from perfmodel.catalog import load, names
from perfmodel.charts import Chart, Picture, draw
from perfmodel.errors import InputError
from perfmodel.table import Result, ShownPicture


class Plots:
    """Pictures of one result; each method returns a plotly figure.

    ``plot.NAME()`` draws a picture, ``plot.NAME.chart()`` returns its declaration, and
    ``plot.page()`` an HTML page. The catalog lists the pictures under ``perfmodel.SORT_plots``;
    other packages add their own as entry points of the same group: functions with the result as
    first argument.
    """

    def __init__(self, subject: Result, sort: str) -> None:
        self._subject, self._group = subject, f"perfmodel.{sort}_plots"

    def shown(self, **options: Any) -> Iterator[tuple[Chart, str]]:
        """Yield the pictures of the result, each with an explanatory sentence.

        A picture that does not apply to the result is skipped.

        Parameters
        ----------
        **options
            Options of the result's `pictures`, such as ``best`` and ``pareto`` of a table.
        """
        pictures = self._subject.pictures(**options)
        if pictures is None:
            pictures = [
                ShownPicture(name) for name in names(self._group) if self._needs_only_result(name)
            ]
        for name, sentence, arguments in pictures:
            with suppress(InputError):
                yield getattr(self, name).chart(**arguments), sentence

    def page(self, *more: Result, **options: Any) -> str:
        """Return a self-contained HTML page: the result at a glance, then its pictures.

        Parameters
        ----------
        *more
            Further results whose pictures follow.
        **options
            As in `shown`.
        """
        pictures = [*self.shown(**options)]
        pictures += [picture for each in more for picture in each.plot.shown()]
        charts = [chart for chart, _ in pictures]
        return page(self._subject.headline, self._subject.to_html(), charts)

    def _needs_only_result(self, name: str) -> bool:
        """Return whether a picture has no required argument besides the result."""
        picture = getattr(self, name)
        return isinstance(picture, Picture) and not any(
            p.default is p.empty and p.kind is not p.VAR_POSITIONAL
            for p in signature(picture.chart).parameters.values()  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        )

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
        return f"plots: {', '.join(names(self._group))}"


_STYLE = (
    "body{font-family:'Open Sans','DejaVu Sans',Arial,sans-serif;color:#222;margin:24px auto;"
    "max-width:920px}pre{overflow-x:auto;font-size:13px}figure{margin:24px 0}"
)

#: Few buttons, so that they do not cover the title.
BUTTONS = {
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}


def page(title: str, head: str, charts: Sequence[Chart]) -> str:
    """Return a self-contained page that needs no network.

    Parameters
    ----------
    head
        HTML above the charts.
    """
    parts: list[str] = []
    for i, chart in enumerate(charts):
        html = draw(chart).to_html(  # pyright: ignore[reportUnknownMemberType]
            full_html=False, include_plotlyjs=i == 0, div_id=f"figure-{i}", config=BUTTONS
        )
        parts.append(f'<figure role="img" aria-label="{escape(chart.alt)}">{html}</figure>')
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head>\n<body>\n{head}\n" + "\n".join(parts) + "\n"
        "</body></html>\n"
    )
