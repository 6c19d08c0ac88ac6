"""References of a prediction: sources of its equations, facts, constants and network.

`citations` collects the documents behind one prediction, as the command `cite` prints them: the
sources of the equations of all terms that take time, of the facts that the latency and energy
depend on, and of the network. `merged` combines those of several results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel.errors import InputError
from perfmodel.references import Reference, known, of_source, resolve, same_address, to_bibtex
from perfmodel.references.catalogue import by_address
from perfmodel.table import Result, Table, plain

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Uses of a document, in display order.
GROUPS: Final = ("software", "equations", "device", "runtime", "energy tables", "costs", "workload")


#: Table -> documents with the areas of its cells.
_CELLS: Final = {
    "operations": ("sze2017",),
    "memories": ("bitfusion_cacti",),
    "nodes": ("stillmaker2017",),
    "areas": ("nangate45", "wikichip_cells", "itrs"),
}


@dataclass(slots=True)
class Cited:
    """Document with the parts of a result that come from it.

    Attributes
    ----------
    reference : Reference
        Document.
    uses : dict of str to list of str
        One of `GROUPS` -> terms, paths of facts, or parts of the network.
    """

    reference: Reference
    uses: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def to_dict(self) -> dict[str, Any]:
        """Return the reference with its uses as a JSON-compatible dictionary."""
        return plain({**self.reference.to_dict(), "uses": self.uses})


@dataclass(repr=False)
class Citations(Result):
    """References of a result.

    Attributes
    ----------
    subject : str
        Title of the result.
    cited : tuple of Cited
        Documents without duplicates, with unique keys.
    undocumented : tuple of Cited
        Sources of numbers that are not documents, such as assumptions.
    unsourced : tuple of str
        Facts without any source.
    fitted_on : dict of str to list of str
        Data set -> paths of the constants fitted to it.
    pages : dict of str to list of str
        Page of the documentation -> terms derived there.
    """

    noun = "citations"
    attributes = ("subject", "undocumented", "unsourced", "fitted_on", "pages")

    subject: str
    cited: tuple[Cited, ...] = ()
    undocumented: tuple[Cited, ...] = ()
    unsourced: tuple[str, ...] = ()
    fitted_on: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    pages: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def references(self) -> tuple[Reference, ...]:
        """References of all cited documents."""
        return tuple(each.reference for each in self.cited)

    def bibtex(self) -> str:
        """Return the documents as BibTeX."""
        return to_bibtex(self.references)

    def to_dict(self) -> dict[str, Any]:
        """Return all references as a JSON-compatible dictionary."""
        return {"references": plain(self.cited), **super().to_dict()}

    @cached_property
    def table(self) -> Table:
        """Table with one row per document and group of uses."""
        rows = [
            (each.reference.key, str(each.reference), group, "; ".join(uses))
            for each in self.cited
            for group, uses in each.uses.items()
        ]
        names = ("key", "document", "group", "uses")
        return Table({name: [row[i] for row in rows] for i, name in enumerate(names)})

    @property
    def headline(self) -> str:
        """Title of the result."""
        return self.subject

    def sections(self) -> list[str]:
        """Return the documents grouped by use, and the undocumented sources."""
        lines: list[str] = []
        for group in GROUPS:
            of_group = [each for each in self.cited if group in each.uses]
            if of_group:
                lines += ["", group]
            for each in of_group:
                lines.append(f"  [{each.reference.key}] {each.reference}")
                if any(each.uses[group]):
                    lines.append(f"      {_few(each.uses[group])}")
        if self.pages:
            lines += ["", "derived in the documentation"]
            lines += [f"  {page}: {_few(terms)}" for page, terms in self.pages.items()]
        if self.fitted_on:
            lines += ["", "fitted on"]
            lines += [f"  {data}: {_few(paths)}" for data, paths in self.fitted_on.items()]
        if self.undocumented or self.unsourced:
            lines += ["", "no document states"]
            for each in self.undocumented:
                paths = [path for group in each.uses.values() for path in group]
                lines.append(f"  {_few(paths)}: {each.reference.title}")
            if self.unsourced:
                lines.append(f"  {_few(self.unsourced)}: no source is named")
        return ["\n".join(lines[1:])]


def _few(names: Iterable[str], most: int = 6) -> str:
    all_names = list(names)
    others = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + others


class _Collection:
    """Collection of references under unique keys; equal addresses identify duplicates."""

    def __init__(self, subject: str) -> None:
        self.citations = Citations(subject)
        self._cited: dict[str, Cited] = {}
        self._keys: set[str] = set()

    def add(self, reference: Reference, group: str, use: str = "", of: str = "") -> None:
        """Record a use of a document; `of` distinguishes equal keys of different files."""
        address = same_address(reference.url)
        canonical = by_address().get(address) if address else None
        reference = canonical or reference
        identity = address or f"{reference.title}|{reference.venue}|{reference.year}"
        cited = self._cited.get(identity)
        if cited is None:
            key = reference.key
            for number, tried in enumerate((key, f"{key}_{of}" if of else "", *[key] * 98), 1):
                name = f"{key}_{number}" if number > 2 else tried
                if name and name not in self._keys:
                    key = name
                    break
            self._keys.add(key)
            cited = self._cited[identity] = Cited(replace(reference, key=key))
        uses = cited.uses.setdefault(group, [])
        if use and use not in uses:
            uses.append(use)

    def done(self) -> Citations:
        cited = list(self._cited.values())
        self.citations.cited = tuple(each for each in cited if each.reference.documented)
        self.citations.undocumented = tuple(each for each in cited if not each.reference.documented)
        return self.citations


def citations(prediction: Prediction) -> Citations:
    """Return the references of a prediction, for its first point if it has many.

    Equations are those of terms with non-zero time; facts are those that the latency depends on
    and, if the energy is known, those of power and energy.
    """
    if prediction.shape:
        return citations(prediction.at(0))
    workload, device = prediction.workload.name, prediction.device
    of = f"{workload} on {device}, {prediction.precision}, runtime {prediction.runtime}"
    gathered = _Collection(of)
    gathered.add(known()["perfmodel"], "software")
    _equations(prediction, gathered)
    _facts(prediction, gathered)
    _silicon(prediction, gathered)
    if prediction.costs_asked:
        _costs(prediction, gathered)
    _network(prediction, gathered)
    return gathered.done()


def merged(results: Iterable[Citations], subject: str) -> Citations:
    """Merge the citations of several results."""
    gathered, parts = _Collection(subject), list(results)
    for each in parts:
        for cited in (*each.cited, *each.undocumented):
            for group, uses in cited.uses.items():
                for use in uses or [""]:
                    gathered.add(cited.reference, group, use)
    combined = gathered.done()
    combined.unsourced = tuple(dict.fromkeys(path for each in parts for path in each.unsourced))
    for name in ("fitted_on", "pages"):
        into: dict[str, list[str]] = getattr(combined, name)
        for each in parts:
            for key, uses in getattr(each, name).items():
                into[key] = list(dict.fromkeys([*into.get(key, ()), *uses]))
    return combined


def _equations(prediction: Prediction, gathered: _Collection) -> None:
    job = prediction.job
    _, terms = prediction.opened
    equations = job.model.kind.equations
    took = [t for t, seconds in {**terms.compute, **terms.overhead}.items() if np.any(seconds)]
    for term in (*took, "memory"):
        if term not in equations:
            continue
        sources = resolve(equations[term].citation)
        for reference in sources.references:
            gathered.add(reference, "equations", term)
        for page in sources.pages:
            gathered.citations.pages.setdefault(page, []).append(term)
        for text in sources.unknown:  # the kind belongs to another package
            key = "".join(c if c.isalnum() else "_" for c in text.lower())[:40]
            gathered.add(Reference(key, text), "equations", term)


def _facts(prediction: Prediction, gathered: _Collection) -> None:
    from perfmodel.hardware.technology.tables import cited as cited_by_table
    from perfmodel.prediction.explain import used_facts

    machine = prediction.machine
    paths = used_facts(prediction)
    if prediction.energy.joule is not None:
        # Links between devices take no part in the energy of one.
        own = (path for path in machine.facts if not path.startswith("links."))
        paths += [path for path in own if path.startswith("power.") or "energy" in path]
    unsourced: list[str] = []
    for path in dict.fromkeys(paths):
        origin = machine.provenance.get(path)
        if origin is None or origin.writer == "default":
            continue
        if origin.fitted_on:
            gathered.citations.fitted_on.setdefault(origin.fitted_on, []).append(path)
        group = "runtime" if path.startswith("runtime.") else "device"
        table = cited_by_table(origin.writer, origin.source)
        for key, source in table.items():
            gathered.add(of_source(key, source), "energy tables", path)
        if table:
            continue
        sources = machine.runtime.sources if group == "runtime" else machine.device.sources
        source = sources.get(origin.source or "")
        if source is not None:
            name = machine.runtime.name if group == "runtime" else machine.device.name
            gathered.add(of_source(origin.source or "", source), group, path, name)
        elif not origin.writer.startswith("vary"):
            unsourced.append(path)
    gathered.citations.unsourced = tuple(unsourced)


def _silicon(prediction: Prediction, gathered: _Collection) -> None:
    """Add the tables of cells behind the area, and what the ratio of placed blocks stands on."""
    from perfmodel.hardware.technology import sources

    if isinstance(prediction.silicon, str):
        return
    for name, keys in _CELLS.items():
        for key in keys:
            gathered.add(of_source(key, sources(name)[key]), "energy tables", "area_mm2")
    gathered.citations.fitted_on["published blocks of chips (silicon_areas)"] = ["area_mm2"]


def _costs(prediction: Prediction, gathered: _Collection) -> None:
    """Add the documents behind money, carbon and heat: of the device, else of its class."""
    from perfmodel.hardware.technology.tables import OWNERSHIP, sources
    from perfmodel.prediction.explain_ownership import ownership_facts

    machine, tables = prediction.machine, sources(OWNERSHIP)
    gathered.add(of_source("act2022", tables["act2022"]), "costs", "embodied_kg")
    for path in ownership_facts(prediction):
        default = machine.device.defaults.get(path)
        origin = machine.provenance.get(path)
        if origin is not None and origin.source in machine.device.sources:
            source = machine.device.sources[origin.source]
            gathered.add(of_source(origin.source, source), "costs", path, machine.device.name)
        elif origin is None and default is not None:
            gathered.add(of_source(default.source, tables[default.source]), "costs", path)


def _network(prediction: Prediction, gathered: _Collection) -> None:
    from perfmodel.workload.library import describe

    workload = prediction.workload
    if not workload.origin.endswith((".yaml", ".yml")):
        return
    try:
        entry = describe(Path(workload.origin))
    except InputError:
        return  # the file no longer exists
    published = entry.published
    sources: Mapping[str, Any] = entry.sources
    for key, source in sources.items():
        counts = published is not None and published.source == key
        use = f"counts of {entry.name}" if counts else f"structure of {entry.name}"
        gathered.add(of_source(key, source), "workload", use, entry.name)
