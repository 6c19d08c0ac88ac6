"""Library of spec files: look up devices and runtimes by name, alias, tag or path.

`hardware` and `runtime` return a validated spec, with its base specs merged in, from the library or
from a user's folders; results are cached until a file changes.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

import yaml

from perfmodel.caches import FACTS_BYTES, cached, cached_by_files
from perfmodel.errors import (
    Fault,
    InputError,
    ending_alike,
    input_error,
    names_or_command,
    nearest,
    one_of,
    spelled_alike,
    words_of,
)
from perfmodel.package_data import data_root
from perfmodel.regular_files import read_text
from perfmodel.settings import FaultList
from perfmodel.source_positions import MarkedNode, Marks
from perfmodel.specfile import MAX_BYTES, read, validate

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.quantity import Spec
    from perfmodel.hardware.runtime import Runtime
    from perfmodel.hardware.system import System

S = TypeVar("S", bound="Spec")
T = TypeVar("T")
Room = Literal["devices", "runtimes"]

_HEAD: Final = re.compile(
    r"^(name|base|aliases|title|tags)[ \t]*:(?:.*)(?:\n(?:[ \t]+.*|-.*|\]|[ \t]*(?=\n)))*",
    re.MULTILINE,
)
_SUFFIXES: Final = (".yaml", ".yml", ".json")
#: In sorting order of file names; the last of several files with the same stem wins.
_SORTED: Final = tuple(sorted(_SUFFIXES))


@dataclass(frozen=True, slots=True)
class SpecEntry:
    """Header of a spec file: its names, tags, title and base.

    Attributes
    ----------
    name : str
        The file's stem.
    path : Path
    aliases, tags : tuple of str
    title : str
    base : str
        Spec that it inherits from, or ``""``.
    """

    name: str
    path: Path
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    title: str = ""
    base: str = ""


def entries(room: Room = "devices", directories: Iterable[str | Path] = ()) -> dict[str, SpecEntry]:
    """Return the headers of all spec files by name; later directories override earlier ones.

    Parameters
    ----------
    room : {"devices", "runtimes"}
    directories : iterable of path
        Further folders of spec files, after the library.
    """
    library = data_root() / room
    heads = dict(_read_recently((library,), lambda: _entries_of(library)))
    for folder in map(Path, directories):
        heads |= _entries_of(folder)
    return heads


def _entries_of(folder: Path) -> dict[str, SpecEntry]:
    """Return the headers of a folder's files by name."""
    return {entry.name: entry for entry in map(_head, _stamped_files(folder))}


def _stamped_files(folder: Path) -> list[tuple[str, int]]:
    """Return the spec files of a folder with their times of modification, in order."""
    try:
        with os.scandir(folder) as scan:
            return sorted(
                (item.path, item.stat().st_mtime_ns)
                for item in scan
                if item.name.endswith(_SUFFIXES)
            )
    except OSError:
        return []


def names(
    room: Room = "devices", tag: str | None = None, directories: Iterable[str | Path] = ()
) -> list[str]:
    """Return the sorted names of the library, optionally only those with a tag."""
    heads = entries(room, directories).values()
    return sorted(e.name for e in heads if tag is None or tag in e.tags)


def device_names(tag: str | None = None, directories: Iterable[str | Path] = ()) -> list[str]:
    """Return the sorted names of the devices, optionally only those with a tag."""
    return names("devices", tag, directories)


def select(wanted: str, directories: Iterable[str | Path] = ()) -> list[str]:
    """Return the device names that a text selects: ``"a100,tag:phone"``.

    Raises
    ------
    InputError
        Tags that no device has; names are not checked (they may be paths).
    """
    selection: dict[str, None] = {}
    faults: list[Fault] = []
    known = entries("devices", directories).values()
    for part in (p.strip() for p in wanted.split(",") if p.strip()):
        if not part.startswith("tag:"):
            selection[part] = None
            continue
        tag = part.removeprefix("tag:")
        having = sorted(e.name for e in known if tag in e.tags)
        selection |= dict.fromkeys(having)
        if not having:
            tags = sorted({t for e in known for t in e.tags})
            suggestion = nearest(tag, tags)
            expected = "" if suggestion else one_of(tags)
            faults.append(
                Fault(
                    f"no device has the tag '{tag}'",
                    expected=expected,
                    suggestion=f"tag:{suggestion}" if suggestion else "",
                )
            )
    if faults:
        raise InputError(faults)
    return list(selection)


def hardware(name: str | Path | Device, directories: Iterable[str | Path] = ()) -> Device:
    """Return a device by name, alias or path to a spec file.

    Parameters
    ----------
    name : str, Path or Device
        A Device is returned unchanged.
    directories : iterable of path
        Further folders of spec files; they override the library.

    Raises
    ------
    InputError
        Lists every fault of the file, or the nearest names for an unknown one.
    """
    from perfmodel.hardware.device import Device

    return name if isinstance(name, Device) else _find(name, "devices", Device, directories)


def runtime(name: str | Path | Runtime, directories: Iterable[str | Path] = ()) -> Runtime:
    """Return a runtime by name, alias or path to a spec file; errors as for `hardware`."""
    from perfmodel.hardware.runtime import Runtime

    return name if isinstance(name, Runtime) else _find(name, "runtimes", Runtime, directories)


def system(path: str | Path | System) -> System:
    """Return a system of two devices by the path of its spec file; errors as for `hardware`."""
    from perfmodel.hardware.system import System

    if isinstance(path, System):
        return path
    data, marks = read(Path(path))
    return validate(System, data, marks, str(path))


def check(
    path: str | Path, room: Room | None = None, directories: Iterable[str | Path] = ()
) -> Device | Runtime:
    """Read one spec file without caching, as device or runtime according to its keys.

    Raises
    ------
    InputError
        Lists every fault of the file.
    """
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.runtime import Runtime

    path = Path(path)
    if room is None:
        keys = set(read(path)[1].root.children)
        device_like = keys & {"engines", "memories", "links", "power"}
        runtime_like = keys & {"efficiency", "fusion", "semantics", "per_run", "per_operator"}
        in_runtimes = path.resolve().parent.name == "runtimes"
        room = "runtimes" if not device_like and (runtime_like or in_runtimes) else "devices"
    model: type[Device] | type[Runtime] = Device if room == "devices" else Runtime
    return _load(path, room, model, tuple(directories))


def folder_faults(directories: Iterable[str | Path]) -> list[Fault]:
    """Return the faults of every spec file in a user's folders, and of missing folders."""
    faults = FaultList()
    folders = tuple(directories)
    for folder in map(Path, folders):
        if not folder.is_dir():
            faults.append(
                Fault("no such folder", file=str(folder), expected="a folder of device specs")
            )
            continue
        for path in sorted(p for p in folder.iterdir() if p.name.endswith(_SUFFIXES)):
            faults.trying(check, path, directories=folders)
    return faults


def _find(name: object, room: Room, model: type[S], directories: Iterable[str | Path]) -> S:
    """Return the spec of a name, alias or path, from a short-lived cache if possible."""
    extra = tuple(map(str, directories))
    if not isinstance(name, (str, Path)):
        noun = room.removesuffix("s")
        raise input_error(f"a {type(name).__name__} is not a {noun}", expected="a name or path")
    if isinstance(name, Path) or _is_path(name):
        return _read_spec(str(name), room, model, extra)

    def read_spec() -> S:
        return _read_spec(str(_spec_path(name, room, extra)), room, model, extra)

    return read_spec() if extra else _read_recently((name, room), read_spec)


def _read_recently(key: tuple[Any, ...], read_library: Callable[[], T]) -> T:
    """Return what was read of the library within the last second, or read it again.

    A sweep looks up the same few names repeatedly: the library is checked for changes once a
    second, a user's files each time.
    """
    until, result = _recent.get(key, (0.0, None))
    if time.monotonic() < until:
        return result
    result = read_library()
    _recent[key] = time.monotonic() + 1.0, result
    return result


_recent: dict[tuple[Any, ...], tuple[float, Any]] = {}


def _is_path(name: str) -> bool:
    return name.endswith(_SUFFIXES) or "/" in name or os.sep in name


def _spec_path(name: str, room: Room, directories: tuple[str | Path, ...]) -> Path:
    """Return the file of a spec by name or alias; else raise with the nearest name."""
    path = _plain_path(name, room, directories)
    if path is None and not directories:
        path = _path_of_alias(name, data_root() / room)
    if path is not None:
        return path
    known = entries(room, directories)
    spelled = {alias: entry for entry in known.values() for alias in entry.aliases} | known
    if entry := spelled.get(name) or spelled_alike(name, spelled):
        return entry.path
    if room == "devices" and (entry := _abbreviated(name, spelled)):
        return entry.path
    noun = room.removesuffix("s")
    if name.startswith("tag:"):
        devices = select(name, directories)
        raise input_error(f"'{name}' selects several devices", expected=one_of(devices))
    suggestion = nearest(name, spelled)
    command = "perfmodel hardware list" + (" --runtimes" if room == "runtimes" else "")
    expected = "a path to a .yaml file, or one of " + names_or_command(sorted(known), command)
    if room == "devices":
        from perfmodel.hardware.similarity.known_products import advice

        known_product = advice(name, directories)
        if known_product:
            spelled_like = f" (nearest by spelling: {suggestion})" if suggestion else ""
            raise input_error(f"no device is named '{name}'{spelled_like}", expected=known_product)
    raise input_error(
        f"no {noun} is named '{name}'",
        expected="" if suggestion else expected,
        suggestion=suggestion,
    )


def _abbreviated(name: str, spelled: Mapping[str, SpecEntry]) -> SpecEntry | None:
    """Return the one device whose name a user shortened at its front, or put its maker before."""
    words = words_of(name).split("_")
    for start in range(len(words)):
        ending = "_".join(words[start:])
        entry = spelled_alike(ending, spelled) or ending_alike(ending, spelled)
        if entry is not None:
            described = {*words_of(entry.title).split("_"), *entry.tags}
            return entry if described.issuperset(words[:start]) else None
    return None


def _plain_path(name: str, room: Room, directories: tuple[str | Path, ...]) -> Path | None:
    """Return the file with exactly that name, without reading any header."""
    library = data_root() / room
    for folder in reversed((library, *map(Path, directories))):
        if folder == library:
            listed = _read_recently((folder, "files"), lambda: _files_of(library))
        else:
            listed = _files_of(folder)
        for suffix in reversed(_SORTED):
            if name + suffix in listed:
                return Path(folder, name + suffix)
    return None


def _path_of_alias(name: str, folder: Path) -> Path | None:
    """Return the file with exactly that alias, reading no header without its letters.

    Only for the first name of a process: of several, the headers of all files are read once.
    """
    if not _recent.keys().isdisjoint({(folder,), (folder, "texts")}):
        return None
    _recent[folder, "texts"] = 0.0, None
    for file in reversed(_stamped_files(folder)):
        if name in _text(file) and name in _head(file).aliases:
            return Path(file[0])
    return None


def _files_of(folder: Path) -> frozenset[str]:
    """Return the names of a folder's files; none if it cannot be read."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


@cached_by_files(FACTS_BYTES)
def _read_spec(
    path: str, room: Room, model: type[S], directories: tuple[str, ...]
) -> tuple[S, list[str]]:
    """Return the spec of a file, and the files that it depends on: its own and its bases'."""
    files = [path]
    return _load(Path(path), room, model, directories, files), files


def _load(
    path: Path,
    room: Room,
    model: type[S],
    directories: tuple[str | Path, ...],
    files: list[str] | None = None,
) -> S:
    """Read a spec file, merge its bases, and validate it."""
    data, marks = read(path)
    root, shown = marks.root, str(path)
    bases: dict[str, str] = {}
    if isinstance(data, dict) and "base" in data:
        from perfmodel.hardware.inheritance import merge_bases, origins

        def find(base: str) -> MarkedNode:
            base_path = _spec_path(base, room, (path.parent, *directories))
            if files is not None:
                files.append(str(base_path))
            return read(base_path)[1].root

        root = merge_bases(root, model, find)
        bases = {at: Path(file).stem for at, file in origins(root, shown).items()}
    faults: list[Fault] = _runtime_faults(root, shown) if room == "devices" else []
    try:
        spec = validate(model, root.plain(), Marks(root), shown)
    except InputError as error:
        faults.extend(error.faults)
        faults.sort(key=lambda fault: (fault.file, fault.line, fault.column))
        raise InputError(faults) from None
    if faults:
        raise InputError(faults)
    if bases and hasattr(spec, "inherit_from"):
        cast("Any", spec).inherit_from(bases)
    return spec


def _runtime_faults(root: MarkedNode, file: str) -> list[Fault]:
    """Return the faults of a device's runtimes that the library lacks."""
    nodes = [("default_runtime", root.child("default_runtime"))]
    listed = root.child("runtimes")
    if listed is not None:
        nodes += [(f"runtimes.{i}", item) for i, item in enumerate(listed.entries)]
    faults: list[Fault] = []
    for path, node in nodes:
        if node is None or not isinstance(node.value, str) or _is_path(node.value):
            continue
        try:
            _spec_path(node.value, "runtimes", ())
        except InputError as error:
            faults += [
                replace(
                    fault, path=path, file=node.file or file, line=node.line, column=node.column
                )
                for fault in error.faults
            ]
    return faults


@cached(1 << 10)
def _head(file: tuple[str, int]) -> SpecEntry:
    """Return the header of a spec file by scanning its text for the top-level keys in `_HEAD`."""
    path = Path(file[0])
    head: dict[str, Any] = {}
    try:
        sections = (match[0] for match in _HEAD.finditer(_text(file)))
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        loaded: Any = yaml.load("\n".join(sections), Loader=loader)
        head = cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}
    except yaml.YAMLError:
        pass  # as of an unreadable file
    return SpecEntry(
        path.stem,
        path,
        _texts(head, "aliases"),
        _texts(head, "tags"),
        str(head.get("title") or ""),
        str(head.get("base") or ""),
    )


@cached()
def _text(file: tuple[str, int]) -> str:
    """Return the text of a spec file; an unreadable one is listed by its name."""
    try:
        return read_text(file[0], MAX_BYTES)
    except InputError:
        return ""  # reading it as a spec reports the fault


def _texts(head: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = head.get(key)
    return tuple(map(str, cast("list[Any]", value))) if isinstance(value, list) else ()
