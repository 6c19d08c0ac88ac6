"""Answers of commands with a few specific options or a specific output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perfmodel.atomic import write_text
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import Count, note, say, to_json
from perfmodel.errors import Fault
from perfmodel.table import Table
from perfmodel.table.text import as_text
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.compare import Comparison
    from perfmodel.prediction import Prediction
    from perfmodel.prediction.cited import Citations
    from perfmodel.schedule.assign import DeviceAssignment


@dataclass(kw_only=True)
class SplitAnswer(Answer):
    """Answer of ``split``: the position of the cut."""

    def explained(self, result: Any) -> str:
        """Return the arithmetic at the lowest and the highest rate."""
        ends = dict.fromkeys((0, len(result.rates_bytes_per_s) - 1))
        return "\n".join(map(result.explain, ends))


@dataclass(kw_only=True)
class PlacementAnswer(Answer):
    """A placement.

    Parameters
    ----------
    context_limit
        Also find the longest context at which everything has a place.
    """

    context_limit: bool = False

    def shown(self, result: Any) -> Shown:
        """Return the placement with its rows, and the longest context if requested."""
        shown = Shown(f"{result}\n\n{result.table}" if result.feasible else str(result))
        if self.context_limit:
            longest = result.context_limit()
            shown.data = {**result.to_dict(), "context_limit": longest}
            shown.text += f"\n\nlongest context: {longest}"
        return shown


@dataclass(kw_only=True)
class PredictionAnswer(Answer):
    """A prediction.

    Parameters
    ----------
    rows
        How many kernels --explain opens.
    """

    rows: Count = 8

    def shown(self, result: Prediction) -> Shown:
        """Return the prediction, with an explanation if requested."""
        if not self.explain:
            return Shown()
        arithmetic = result.explain(self.rows)
        data = {**result.to_dict(), "table": result.table.to_records(), "explain": arithmetic}
        return Shown(f"{arithmetic}\n\n{result.table}", data)


@dataclass(kw_only=True)
class ComparisonAnswer(Answer):
    """Two predictions side by side.

    Parameters
    ----------
    layers
        Layer by layer: what each takes on both, largest difference first, and nothing else.
    rows
        How many kernels (or layers) to show; by default 10 kernels, or all layers.
    """

    layers: bool = False
    rows: Count | None = None

    def shown(self, result: Comparison) -> Shown:
        """Return kernels with the relevant facts, or layers."""
        if self.explain:
            return super().shown(result)
        head = f"a: {result.a.headline}\nb: {result.b.headline}"
        if self.layers:
            table = result.layers
            why = "\n".join([result.reasons[0], *result.spreads])
            rows = as_text(table, rows=len(table) if self.rows is None else self.rows)
            return Shown(f"{head}\n\n{why}\n\n{rows}", table=table)
        facts = result.used_facts
        parts = [
            head,
            "\n".join(result.sentences),
            as_text(result.metrics, rows=40),
            as_text(result.table, rows=10 if self.rows is None else self.rows),
            f"facts that differ and matter here (of {len(result.facts)} that differ):\n"
            + (as_text(facts, rows=60) if facts else "none"),
        ]
        return Shown("\n\n".join(parts))


@dataclass(kw_only=True)
class TrafficAnswer(Answer):
    """Answer of ``traffic``: traffic against capacity."""

    def shown(self, result: Table) -> Shown:
        """Return the table and its conventions."""
        shown = result.select(*(name for name in result if name != "model"))
        return Shown(f"{shown}\n{result['model'][0]}", result.to_records())

    def give(self, result: Table) -> int:
        """Write and print it; infeasible if not even the smallest tile fits."""
        code = super().give(result)
        return code if np.all(np.isfinite(result["traffic_bytes"])) else INFEASIBLE

    def after(self, result: Table, ask: Any) -> None:
        """Name the layers whose smallest tile exceeds the largest such capacity."""
        unfit = ~np.isfinite(result["traffic_bytes"])
        if not unfit.any():
            return
        size = float(result["capacity_bytes"][unfit].max())
        layers = ask(capacity=size, layers=True)
        names = layers["name"][~np.isfinite(layers["traffic_bytes"])]
        note(f"in {show(size, 'bytes')} not even the smallest tile fits: {', '.join(names[:5])}")


@dataclass(kw_only=True)
class RequestAnswer(Answer):
    """A request, or several.

    Parameters
    ----------
    rows
        How many kernels --explain opens in each phase.
    """

    #: Parameters that may have several values.
    SIZES: ClassVar[tuple[str, ...]] = ("prompt", "generate", "batch")

    rows: Count = 4

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: only a single request can be explained."""
        faults = super().faults(values)
        if self.explain and any(np.size(values.get(name, 0)) > 1 for name in self.SIZES):
            *first, last = self.SIZES
            expected = f"one {', '.join(first)} and {last}"
            message = "shows the arithmetic of one request"
            faults.append(Fault(message, file="--explain", expected=expected))
        return faults

    def explained(self, result: Any) -> str:
        """Return the explanation."""
        return result.explain(self.rows)


@dataclass(kw_only=True)
class LoadAnswer(RequestAnswer):
    """A server under a load, or under several.

    Parameters
    ----------
    rows
        How many kernels --explain opens in each phase.
    """

    SIZES: ClassVar[tuple[str, ...]] = ("prompt", "generate", "concurrency")


@dataclass(kw_only=True)
class AssignmentAnswer(Answer):
    """Engines of operators.

    Parameters
    ----------
    save_plan
        Write the plan of one run to a .json file.
    """

    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {"save_plan": (".json",)}

    save_plan: Path | None = None

    def shown(self, result: DeviceAssignment) -> Shown:
        """Write the plan if there is an assignment."""
        if result.feasible and self.save_plan is not None:
            write_text(self.save_plan, result.plan.to_json(indent=1) + "\n")
        return Shown()


@dataclass(kw_only=True)
class CitationsAnswer(Answer):
    """Documents.

    Parameters
    ----------
    bibtex
        Print BibTeX.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".txt", ".json", ".bib")

    bibtex: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: the output formats are exclusive."""
        faults = super().faults(values)
        if self.bibtex and self.json:
            faults.append(Fault("--bibtex and --json exclude each other", expected="one of them"))
        return faults

    def give(self, result: Citations) -> int:
        """Write or print the documents in the requested format."""
        form = self.output.suffix if self.output is not None else ""
        if self.bibtex or form == ".bib":
            text = result.bibtex()
        elif self.json or form == ".json":
            text = to_json(result.to_dict())
        else:
            text = f"{result}\n"
        if self.output is None:
            say(text.removesuffix("\n"))
        else:
            write_text(self.output, text)
        return DONE
