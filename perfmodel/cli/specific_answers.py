"""Output of single commands that add options to those of every answer, or print it differently.

There is one subclass of `Answer` for each of ``compare``, ``traffic``, ``request``, ``serve``,
``split``, ``assign``, ``place`` and ``cite``; `perfmodel.cli.command_table` refers to them. A field
is an option of the command, and its entry in the docstring is the help text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from perfmodel.atomic import write_text
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.answer import Answer, DisplayOverrides
from perfmodel.cli.printing import note, say, to_json
from perfmodel.cli.typed_values import Count
from perfmodel.errors import Fault
from perfmodel.table.text import as_text
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.compare import Comparison
    from perfmodel.prediction.citations import Citations
    from perfmodel.schedule.assign import DeviceAssignment
    from perfmodel.table import Table


@dataclass(kw_only=True)
class SplitAnswer(Answer):
    """Output of ``split``: the best cut at each rate of the link."""

    def explanation(self, result: Any) -> str:
        """Return the arithmetic at the lowest and the highest rate."""
        ends = dict.fromkeys((0, len(result.rates_bytes_per_s) - 1))
        return "\n".join(map(result.explain, ends))


@dataclass(kw_only=True)
class PlacementAnswer(Answer):
    """Output of ``place``: the memory of every tensor.

    Parameters
    ----------
    context_limit
        Also find the longest context at which all weights and the KV cache have a place.
    """

    context_limit: bool = False

    def overrides(self, result: Any) -> DisplayOverrides:
        """Return the placement with its rows, and the longest context if requested."""
        overrides = DisplayOverrides(
            f"{result}\n\n{result.table}" if result.feasible else str(result)
        )
        if self.context_limit:
            longest = result.context_limit()
            overrides.data = {**result.to_dict(), "context_limit": longest}
            overrides.text += f"\n\nlongest context: {longest}"
        return overrides


@dataclass(kw_only=True)
class ComparisonAnswer(Answer):
    """Output of ``compare``: two predictions side by side.

    Parameters
    ----------
    layers
        Show only the time of each layer on both sides, largest difference first.
    rows
        Number of kernels (or layers) to show. By default 10 kernels, or all layers.
    """

    layers: bool = False
    rows: Count | None = None

    def overrides(self, result: Comparison) -> DisplayOverrides:
        """Return kernels with the relevant facts, or layers."""
        if self.explain:
            return super().overrides(result)
        head = f"a: {result.a.headline}\nb: {result.b.headline}"
        if self.layers:
            table = result.layers
            why = "\n".join([result.reasons[0], *result.spreads])
            rows = as_text(table, rows=len(table) if self.rows is None else self.rows)
            return DisplayOverrides(f"{head}\n\n{why}\n\n{rows}", table=table)
        facts = result.used_facts
        parts = [
            head,
            "\n".join(result.sentences),
            as_text(result.metrics, rows=len(result.metrics)),
            as_text(result.table, rows=10 if self.rows is None else self.rows),
            f"facts that differ and matter here (of {len(result.facts)} that differ):\n"
            + (as_text(facts, rows=60) if facts else "none"),
        ]
        return DisplayOverrides("\n\n".join(parts))


@dataclass(kw_only=True)
class TrafficAnswer(Answer):
    """Output of ``traffic``: bytes moved for each capacity."""

    def overrides(self, result: Table) -> DisplayOverrides:
        """Return the table and its conventions."""
        columns = result.select(*(name for name in result if name != "model"))
        return DisplayOverrides(f"{columns}\n{result['model'][0]}", result.to_records())

    def emit(self, result: Table) -> int:
        """Write and print it; infeasible if not even the smallest tile fits."""
        code = super().emit(result)
        return code if np.all(np.isfinite(result["traffic_bytes"])) else INFEASIBLE

    def print_remarks(self, result: Table, ask: Any) -> None:
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
    """Output of ``request``: one request, or one row for each of several.

    Parameters
    ----------
    rows
        Number of kernels of each phase that --explain shows in detail.
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

    def explanation(self, result: Any) -> str:
        """Return the explanation."""
        return result.explain(self.rows)


@dataclass(kw_only=True)
class LoadAnswer(RequestAnswer):
    """Output of ``serve``: a server under one load, or one row for each of several.

    Parameters
    ----------
    rows
        Number of kernels of each phase that --explain shows in detail.
    """

    SIZES: ClassVar[tuple[str, ...]] = ("prompt", "generate", "concurrency")


@dataclass(kw_only=True)
class AssignmentAnswer(Answer):
    """Output of ``assign``: the engine of every operator.

    Parameters
    ----------
    save_plan
        Write the plan of one run to a .json file.
    """

    FILES: ClassVar[Mapping[str, tuple[str, ...]]] = {"save_plan": (".json",)}

    save_plan: Path | None = None

    def overrides(self, result: DeviceAssignment) -> DisplayOverrides:
        """Write the plan if there is an assignment."""
        if result.feasible and self.save_plan is not None:
            write_text(self.save_plan, result.plan.to_json(indent=1) + "\n")
        return DisplayOverrides()


@dataclass(kw_only=True)
class CitationsAnswer(Answer):
    """Output of ``cite``: the cited documents.

    Parameters
    ----------
    bibtex
        Print the documents as BibTeX.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".txt", ".json", ".bib")

    bibtex: bool = False

    def faults(self, values: Mapping[str, Any]) -> list[Fault]:
        """Return the faults of the options: the output formats are exclusive."""
        faults = super().faults(values)
        if self.bibtex and self.json:
            faults.append(Fault("--bibtex and --json exclude each other", expected="one of them"))
        return faults

    def emit(self, result: Citations) -> int:
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
