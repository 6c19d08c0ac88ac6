"""What ``prediction.plot`` and ``table.plot`` are: a method a plot, others by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.catalog import load, names

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction
    from perfmodel.table import Table

#: Entry-point groups of plots: functions that take a prediction, or a table, first.
PREDICTION_GROUP = "perfmodel.prediction_plots"
TABLE_GROUP = "perfmodel.table_plots"


class PredictionPlots:
    """Plots of a prediction; of an array-valued one, of its first point.

    Each returns a plotly figure, with a text alternative in ``layout.meta["alt"]``. Plots of other
    packages are further methods (entry points ``perfmodel.prediction_plots``).
    """

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def roofline(self, *, level: str | None = None) -> Figure:
        """Rows under the roofs of the machine; see `perfmodel.plots.roofline.roofline`."""
        from perfmodel.plots.roofline import roofline

        return roofline(self._prediction, level=level)

    def bottlenecks(self, *, by: str = "class") -> Figure:
        """Time by what binds; see `perfmodel.plots.bottlenecks.bottlenecks`."""
        from perfmodel.plots.bottlenecks import bottlenecks

        return bottlenecks(self._prediction, by=by)

    def memory(self) -> Figure:
        """Memory over the schedule; see `perfmodel.plots.memory.memory`."""
        from perfmodel.plots.memory import memory

        return memory(self._prediction)

    def flash_timeline(
        self, *, row: str | None = None, requests: int = 5, dies: int = 2, sliced: bool = True
    ) -> Figure:
        """A channel of flash that computes; see `perfmodel.plots.flash_timeline`."""
        from perfmodel.plots.flash_timeline import flash_timeline

        return flash_timeline(
            self._prediction, row=row, requests=requests, dies=dies, sliced=sliced
        )

    def bit_planes(self, *, row: str | None = None, groups: int | None = None) -> Figure:
        """Terms, bit planes and tables over time; see `perfmodel.plots.bit_planes`."""
        from perfmodel.plots.bit_planes import bit_planes

        return bit_planes(self._prediction, row=row, groups=groups)

    def occupancy(self, *, layer: str | None = None) -> Figure:
        """Busy elements of a systolic array; see `perfmodel.plots.occupancy`."""
        from perfmodel.plots.occupancy import occupancy

        return occupancy(self._prediction, layer=layer)

    def resources(self) -> Figure:
        """What a design takes of an FPGA, by layer; see `perfmodel.plots.fabric`."""
        from perfmodel.plots.fabric import resources

        return resources(self._prediction)

    def energy_stack(self, *, measured: Mapping[str, float] | None = None) -> Figure:
        """Energy of each row by part; see `perfmodel.plots.energy_stack`."""
        from perfmodel.plots.energy_stack import energy_stack

        return energy_stack(self._prediction, measured=measured)

    def flash_and_sram(self, *others: Prediction) -> Figure:
        """What fits where on microcontrollers; see `perfmodel.plots.flash_and_sram`."""
        from perfmodel.plots.flash_and_sram import flash_and_sram

        return flash_and_sram([self._prediction, *others])

    def storage(
        self, *, memory: str | None = None, depths: Sequence[float] = (),
        blocks: tuple[float | str, float | str] = ("4 KiB", "16 MiB"),
        measured: Iterable[tuple[float | str, float, float]] = (),
    ) -> Figure:  # fmt: skip
        """Bandwidth of storage by block and depth; see `perfmodel.plots.storage`."""
        from perfmodel.plots.storage import storage

        return storage(
            self._prediction, memory=memory, depths=depths, blocks=blocks, measured=measured
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return further(PREDICTION_GROUP, name, self._prediction)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *names(PREDICTION_GROUP)})

    def __repr__(self) -> str:
        return f"plots: {', '.join(names(PREDICTION_GROUP, ('roofline', 'bottlenecks', 'memory')))}"


class TablePlots:
    """Plots of a table, such as that of a sweep."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def pareto(
        self, x: str, y: str, *, under: str | None = None, color: str | None = None,
        best: str | None = None,
    ) -> Figure:  # fmt: skip
        """Rows in two metrics with their front; see `perfmodel.plots.pareto.pareto`."""
        from perfmodel.plots.pareto import pareto

        return pareto(self._table, x, y, under=under, color=color, best=best)

    def curves(self, x: str, y: str) -> Figure:
        """A metric over an axis of a sweep; see `perfmodel.plots.curves.curves`."""
        from perfmodel.plots.curves import curves

        return curves(self._table, x, y)

    def heatmap(self, x: str, y: str, metric: str) -> Figure:
        """A metric over two axes of a sweep; see `perfmodel.plots.heatmap.heatmap`."""
        from perfmodel.plots.heatmap import heatmap

        return heatmap(self._table, x, y, metric)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return further(TABLE_GROUP, name, self._table)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *names(TABLE_GROUP)})

    def __repr__(self) -> str:
        return f"plots: {', '.join(names(TABLE_GROUP, ('pareto', 'curves', 'heatmap')))}"


def further(group: str, name: str, subject: Any) -> Callable[..., Any]:
    """Return a plot of another package, bound to its subject."""
    from functools import partial

    if name.startswith("_") or name not in names(group):
        raise AttributeError(f"no plot '{name}'")
    return partial(load(group, name), subject)


def prediction_plots(prediction: Prediction) -> PredictionPlots:
    """Return the plots of a prediction."""
    return PredictionPlots(prediction)


def table_plots(table: Table) -> TablePlots:
    """Return the plots of a table."""
    return TablePlots(table)
