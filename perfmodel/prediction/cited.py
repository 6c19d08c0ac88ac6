"""What a prediction rests on: the documents behind its equations, facts, constants and network."""

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

#: What a document is used for, in the order in which it is told.
GROUPS: Final = ("software", "equations", "device", "runtime", "energy tables", "workload")


@dataclass(slots=True)
class Cited:
    """A document and what of a result comes from it.

    Attributes
    ----------
    reference : Reference
    uses : dict of str to list of str
        One of `GROUPS` -> terms, paths of facts, or what of the network.
    """

    reference: Reference
    uses: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def to_dict(self) -> dict[str, Any]:
        """Return the reference with its uses, ready for JSON."""
        return plain({**self.reference.to_dict(), "uses": self.uses})


@dataclass(repr=False)
class Citations(Result):
    """The references of a result.

    Attributes
    ----------
    subject : str
        The result in a line.
    cited : tuple of Cited
        Documents, each once, with keys of their own.
    undocumented : tuple of Cited
        Where numbers are from that no document states: what was assumed or recalled.
    unsourced : tuple of str
        Facts that name no source at all.
    fitted_on : dict of str to list of str
        Data that constants were fitted on -> paths of these.
    pages : dict of str to list of str
        Pages of the documentation -> terms that they derive.
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
        """The documents."""
        return tuple(each.reference for each in self.cited)

    def bibtex(self) -> str:
        """Return the documents as BibTeX."""
        return to_bibtex(self.references)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {"references": plain(self.cited), **super().to_dict()}

    @cached_property
    def table(self) -> Table:
        """One row for each document and what it is used for."""
        rows = [
            (each.reference.key, str(each.reference), group, "; ".join(uses))
            for each in self.cited
            for group, uses in each.uses.items()
        ]
        names = ("key", "document", "group", "uses")
        return Table({name: [row[i] for row in rows] for i, name in enumerate(names)})

    @property
    def headline(self) -> str:
        """The result that rests on them."""
        return self.subject

    def sections(self) -> list[str]:
        """Return the documents by what they are used for, and what none states."""
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
    found = list(names)
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


class _Collection:
    """References gathered under unique keys; addresses tell whether two are one."""

    def __init__(self, subject: str) -> None:
        self.found = Citations(subject)
        self._cited: dict[str, Cited] = {}
        self._keys: set[str] = set()

    def add(self, reference: Reference, group: str, use: str = "", of: str = "") -> None:
        """Note a use of a document; `of` tells apart documents of one key in several files."""
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
        self.found.cited = tuple(each for each in cited if each.reference.documented)
        self.found.undocumented = tuple(each for each in cited if not each.reference.documented)
        return self.found


def citations(prediction: Prediction) -> Citations:
    """Return what a prediction rests on; of the first point where it has many.

    Equations are those of the terms that took time, facts those that the latency depends on and,
    where there is an energy, those of power and energy.
    """
    if prediction.shape:
        return citations(prediction.at(0))
    workload, device = prediction.workload.name, prediction.device
    of = f"{workload} on {device}, {prediction.precision}, runtime {prediction.runtime}"
    gathered = _Collection(of)
    gathered.add(known()["perfmodel"], "software")
    _equations(prediction, gathered)
    _facts(prediction, gathered)
    _network(prediction, gathered)
    return gathered.done()


def merged(results: Iterable[Citations], subject: str) -> Citations:
    """Return the citations of several results as those of one."""
    gathered, found = _Collection(subject), list(results)
    for each in found:
        for cited in (*each.cited, *each.undocumented):
            for group, uses in cited.uses.items():
                for use in uses or [""]:
                    gathered.add(cited.reference, group, use)
    made = gathered.done()
    made.unsourced = tuple(dict.fromkeys(path for each in found for path in each.unsourced))
    for name in ("fitted_on", "pages"):
        into: dict[str, list[str]] = getattr(made, name)
        for each in found:
            for key, uses in getattr(each, name).items():
                into[key] = list(dict.fromkeys([*into.get(key, ()), *uses]))
    return made


def _equations(prediction: Prediction, gathered: _Collection) -> None:
    job = prediction._job  # pyright: ignore[reportPrivateUsage]
    _, terms = prediction._opened  # pyright: ignore[reportPrivateUsage]
    equations = job.model.kind.equations
    took = [t for t, seconds in {**terms.compute, **terms.overhead}.items() if np.any(seconds)]
    for term in (*took, "memory"):
        if term not in equations:
            continue
        found = resolve(equations[term].citation)
        for reference in found.references:
            gathered.add(reference, "equations", term)
        for page in found.pages:
            gathered.found.pages.setdefault(page, []).append(term)
        for text in found.unknown:  # of another package's kind
            key = "".join(c if c.isalnum() else "_" for c in text.lower())[:40]
            gathered.add(Reference(key, text), "equations", term)


def _facts(prediction: Prediction, gathered: _Collection) -> None:
    from perfmodel.hardware.technology.tables import cited as cited_by_table
    from perfmodel.prediction.explain import used_facts

    machine = prediction.machine
    paths = used_facts(prediction)
    if prediction.energy.joule is not None:
        paths += [p for p in machine.facts if p.startswith("power.") or "energy" in p]
    unsourced: list[str] = []
    for path in dict.fromkeys(paths):
        origin = machine.provenance.get(path)
        if origin is None or origin.writer == "default":
            continue
        if origin.fitted_on:
            gathered.found.fitted_on.setdefault(origin.fitted_on, []).append(path)
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
    gathered.found.unsourced = tuple(unsourced)


def _network(prediction: Prediction, gathered: _Collection) -> None:
    from perfmodel.workload.library import describe

    workload = prediction.workload
    if not workload.origin.endswith((".yaml", ".yml")):
        return
    try:
        entry = describe(Path(workload.origin))
    except InputError:
        return  # the file is gone by now
    published = entry.published
    sources: Mapping[str, Any] = entry.sources
    for key, source in sources.items():
        counts = published is not None and published.source == key
        use = f"counts of {entry.name}" if counts else f"structure of {entry.name}"
        gathered.add(of_source(key, source), "workload", use, entry.name)
