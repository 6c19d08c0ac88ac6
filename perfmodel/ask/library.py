"""Public functions that list the library and check spec and model files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import Fault, InputError, no_such
from perfmodel.formats import Format, formats
from perfmodel.hardware import library as devices
from perfmodel.hardware.device import Device
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import OPERATING_POINT, FaultList, gathered
from perfmodel.specfile import read
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import as_text
from perfmodel.workload import library as workloads
from perfmodel.workload.published_counts import published_counts

_SPEC_FILES: Final = (".yaml", ".yml", ".json")
_FORMAT_COLUMNS: Final = (
    "name",
    "bits",
    "element_bits",
    "group",
    "scale_bits",
    "zero_bits",
    "family",
    "compute",
)


@dataclass(frozen=True, repr=False)
class LibraryAnswer(Result):
    """Result of a question about the library or a file.

    Attributes
    ----------
    title
        Title of the result.
    data
        Complete result as JSON-compatible data.
    body
        Text below the headline.
    rows
        Result as a table; one row of numbers and texts if it is not tabular.
    faults
        Faults of the checked files.
    spec
        Function that returns the result as a file that `check` accepts, if it has such a form.
    """

    noun = "library"

    title: str
    data: Any
    body: str = ""
    rows: Table | None = None
    faults: tuple[Fault, ...] = ()
    spec: Callable[[], str] | None = None

    @property
    def headline(self) -> str:
        """Title of the result."""
        return self.title

    def to_dict(self) -> Any:
        """Return the complete result as JSON-compatible data."""
        return plain(self.data)

    def sections(self) -> list[str]:
        """Return the text below the headline."""
        return [self.body] if self.body else []

    @cached_property
    def table(self) -> Table:
        """Rows of the result."""
        return super().table if self.rows is None else self.rows

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sections()])


def list_devices(*, tag: str | None = None, runtimes: bool = False) -> LibraryAnswer:
    """Return the devices (or runtimes) of the library, with their tags.

    Parameters
    ----------
    tag
        List only devices with this tag.
    runtimes
        List runtimes instead of devices.

    Raises
    ------
    InputError
        Nothing has the tag.

    Examples
    --------
    >>> list_devices(tag="phone").data[0]["name"]
    'apple_a12'
    """
    room: devices.Room = "runtimes" if runtimes else "devices"
    entries = sorted(devices.entries(room).values(), key=lambda entry: entry.name)
    listed = _tagged(entries, tag, room.removesuffix("s"))
    return _listing(
        room,
        [{n: getattr(e, n) for n in ("name", "title", "tags", "aliases")} for e in listed],
        {
            "name": [e.name for e in listed],
            "title": [e.title for e in listed],
            "tags": [" ".join(e.tags) for e in listed],
        },
    )


def list_workloads(*, tag: str | None = None, published: bool = False) -> LibraryAnswer:
    """Return the models of the library, with their tags and free dimensions.

    Parameters
    ----------
    tag
        List only models with this tag.
    published
        List only models whose counts others have published, with both counts.

    Raises
    ------
    InputError
        Nothing has the tag.

    Examples
    --------
    >>> list_workloads(tag="llm").data[0]["free"]["batch"]
    1
    """
    listed = _tagged([workloads.describe(n) for n in workloads.names()], tag, "workload")
    if published:
        return _beside([row for entry in listed for row in published_counts(entry)])
    return _listing(
        "workloads",
        [
            {n: getattr(e, n) for n in ("name", "title", "tags", "aliases")}
            | {"family": e.family.name, "free": dict(e.parameters)}
            for e in listed
        ],
        {
            "name": [e.name for e in listed],
            "title": [e.title for e in listed],
            "tags": [" ".join(e.tags) for e in listed],
            "free": [", ".join(f"{k}={v:g}" for k, v in e.parameters.items()) for e in listed],
        },
    )


def list_formats() -> LibraryAnswer:
    """Return the names of the formats with their bits.

    Examples
    --------
    >>> len(list_formats().data) > 50
    True
    """
    rows = [format_row(each) for each in formats().values()]
    return _listing("formats", rows, {key: [row[key] for row in rows] for key in _FORMAT_COLUMNS})


def _tagged(entries: list[Any], tag: str | None, noun: str) -> list[Any]:
    """Return the entries with a tag; all entries if no tag is named."""
    tags = sorted({each for entry in entries for each in entry.tags})
    if tag is not None and tag not in tags:
        raise InputError(no_such(f"no {noun} has the tag '{tag}'", tag, tags, "tag"))
    return [entry for entry in entries if tag is None or tag in entry.tags]


def _listing(noun: str, data: list[Any], columns: Mapping[str, Any]) -> LibraryAnswer:
    """Return a list as an answer with a table."""
    table = Table(dict(columns))
    return LibraryAnswer(f"{len(data)} {noun}", data, as_text(table, rows=len(table)), table)


def _beside(counts: list[dict[str, Any]]) -> LibraryAnswer:
    """Return published counts, those of perfmodel, and their differences."""
    largest = max((abs(row["difference"]) for row in counts), default=0.0)
    equal, models = sum(not r["difference"] for r in counts), len({r["name"] for r in counts})
    answer = _listing(
        f"counts of {models} models",
        counts,
        {
            "name": [row["name"] for row in counts],
            "of": [row["of"] for row in counts],
            "ours": [f"{row['counted']:,.0f}" for row in counts],
            "published": [f"{row['published']:,.0f}" for row in counts],
            "difference": [f"{100.0 * row['difference']:+.2f} %" for row in counts],
            "by": [row["by"] for row in counts],
        },
    )
    summary = (
        f"{answer.headline}: {equal} met to the last digit, "
        f"the largest difference {100.0 * largest:.2f} %"
    )
    return LibraryAnswer(summary, counts, f"{answer.body}\n{summary}", answer.rows)


def check_specs(specs: str | Path | Iterable[str | Path] = ()) -> LibraryAnswer:
    """Check spec files: return their faults, and the grade of each valid file.

    Parameters
    ----------
    specs
        Paths to spec files, or names of the library. By default the whole library.

    Examples
    --------
    >>> check_specs("a100").data[0]["grade"]
    'A'
    """
    names = _listed(specs) or [*devices.names("devices"), *devices.names("runtimes")]
    return _checked(names, _checked_spec, _grade_line)


def check_workloads(
    files: str | Path | Iterable[str | Path] = (), *, set: Mapping[str, Any] | None = None
) -> LibraryAnswer:
    """Check model files: return their faults, and the counts of each valid file.

    Parameters
    ----------
    files
        Paths to model files, or names of the library. By default the whole library.
    set
        Parameters of the workloads, such as batch=8, which apply to all of them.

    Examples
    --------
    >>> check_workloads("resnet18").data[0]["ok"]
    True
    """

    def checked(name: str) -> tuple[dict[str, Any], tuple[Fault, ...]]:
        model = workloads.find(name, set or {})
        unpriced = list(model.graph().not_priced)
        return {"parameters": model.weights, "macs": model.macs, "not_priced": unpriced}, ()

    def line(entry: Mapping[str, Any]) -> str:
        unpriced = len(entry["not_priced"])
        more = f", {unpriced} operators not priced" if unpriced else ""
        return f"{entry['parameters']:,.0f} parameters, {entry['macs']:,.0f} macs{more}"

    return _checked(_listed(files) or workloads.names(), checked, line)


def _listed(names: str | Path | Iterable[str | Path]) -> list[str]:
    """Return one or several names as a list of texts."""
    return [str(n) for n in ([names] if isinstance(names, str | Path) else names)]


def _checked(
    names: list[str],
    check: Callable[[str], tuple[dict[str, Any], tuple[Fault, ...]]],
    line: Callable[[Mapping[str, Any]], str],
) -> LibraryAnswer:
    """Return the faults of each file, and a line on each valid file."""
    faults = gathered()
    faults.settle()
    entries: list[dict[str, Any]] = []
    for name in names:
        try:
            entry, own = check(name)
        except InputError as error:
            entry, own = {}, error.faults
        faults += own
        status = {"name": name, "ok": not own, "faults": [str(fault) for fault in own]}
        entries.append({**entry, **status})
    good = [entry for entry in entries if entry["ok"]]
    body = "\n".join(f"{entry['name']}: {line(entry)}".rstrip() for entry in good)
    headline = f"{len(good)} of {len(entries)} in order"
    return LibraryAnswer(headline, entries, body, None, tuple(faults))


def _checked_spec(name: str) -> tuple[dict[str, Any], tuple[Fault, ...]]:
    """Return the kind and the grade of a spec file, and its faults."""
    if Path(name).suffix in _SPEC_FILES:
        keys = read(Path(name))[1].root.children
        if "server" in keys and "engines" not in keys:
            devices.system(name)
            return {"kind": "system"}, ()
    spec = spec_of(name)
    if isinstance(spec, Runtime):
        return {"kind": "runtime"}, ()
    from perfmodel.hardware.grade import grade

    faults = FaultList()
    for point in spec.operating_points:
        faults.trying_at(f"operating_points.{point}", spec.vary, {OPERATING_POINT: point})
    # A grade refers to a position only if the numbers are in the file itself.
    graded = grade(spec, name if Path(name).suffix else spec.name)
    entry = {n: getattr(graded, n) for n in ("score", "counts", "missing", "advice")}
    return {"kind": "device", "grade": graded.letter, **entry}, (*graded.faults, *faults)


def _grade_line(entry: Mapping[str, Any]) -> str:
    """Return the grade of a spec, or its kind, as a line."""
    if "grade" not in entry:
        return entry["kind"]
    return f"{entry['grade']} ({entry['score']:.2f})  {entry['advice']}"


def spec_of(name: str) -> Device | Runtime:
    """Return a device by name or path; else a runtime."""
    if name in devices.entries("runtimes") and name not in devices.entries("devices"):
        return devices.runtime(name)
    return devices.check(name) if Path(name).suffix in _SPEC_FILES else devices.hardware(name)


def format_row(each: Format) -> dict[str, Any]:
    """Return the properties of a format as numbers and names."""
    row = {name: getattr(each, name) for name in _FORMAT_COLUMNS}
    return row | {name: float(row[name]) for name in ("bits", "element_bits")}
