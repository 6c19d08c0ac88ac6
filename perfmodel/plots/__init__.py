"""Plots, one file a plot, found by name: ``prediction.plot.roofline()``, ``table.plot.pareto()``.

Built-in plots are methods; others join through the entry points ``perfmodel.prediction_plots`` and
``perfmodel.table_plots``, as functions that take the prediction or the table first.
"""

from perfmodel.plots.face import PredictionPlots, TablePlots, prediction_plots, table_plots

__all__ = ["PredictionPlots", "TablePlots", "prediction_plots", "table_plots"]
