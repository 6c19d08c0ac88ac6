"""Library of models: workloads by name, alias or path, with settings applied.

`find` returns the workload of a name or file. Settings bind free dimensions (``batch=8``) or
replace fields of the family's structure (``layers=16``), for which another graph is built and
cached.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.caches import GRAPH_BYTES, cached_by_files
from perfmodel.errors import (
    Fault,
    InputError,
    input_error,
    names_or_command,
    nearest,
    no_such,
    spelled_alike,
)
from perfmodel.package_data import data_root
from perfmodel.settings import OPERATING_POINT
from perfmodel.workload.families import Family, family, is_template
from perfmodel.workload.importers.readers import (
    IMPORTED_SUFFIXES,
    conversion_advice,
    describe_suffixes,
    is_imported,
    load_file,
    load_object,
)
from perfmodel.workload.workload import Workload, check_extent, from_family

if TYPE_CHECKING:
    from perfmodel.workload.workload_file import Published, WorkloadSource

_SUFFIXES: Final = (".yaml", ".yml", *IMPORTED_SUFFIXES)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the library.

    Attributes
    ----------
    name, aliases, title, tags
        Names, full title and tags.
    family, structure
        Family of the model, and its validated structure.
    parameters
        Free dimensions of its phase and their default numbers.
    defaults
        Defaults in the file, which include those of other phases.
    sources, published
        Sources of the structure; published counts.
    path
        Path of the file.
    fields
        Names of the structure's fields, which settings may override.
    base
        Workload with the defaults; `variants` caches workloads of other structures.
    rewrite
        Changes of a file to a workload of any structure (formats of its weights), if any.
    """

    name: str
    family: Family
    structure: Any
    parameters: Mapping[str, float]
    defaults: Mapping[str, float]
    path: Path
    fields: frozenset[str]
    base: Workload
    aliases: tuple[str, ...] = ()
    title: str = ""
    tags: tuple[str, ...] = ()
    sources: Mapping[str, WorkloadSource] = field(default_factory=dict[str, Any])
    published: Published | None = None
    variants: dict[tuple[tuple[str, Any], ...], Workload] = field(
        default_factory=dict[tuple[tuple[str, Any], ...], Workload]
    )
    rewrite: Callable[[Workload], Workload] | None = None


def find(name: object, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return a workload by name, alias or path.

    Parameters
    ----------
    name
        A model of the library; or a path: ``.yaml`` (the library's form), or a file that an
        importer reads (`perfmodel.workload.importers.readers.READERS`). Or a
        ``torch.export.ExportedProgram``.
    settings
        Free dimensions (``batch=8``, ``context=[...]``) to bind, and fields of the family's
        structure to replace (``phase="prefill"``, ``layers=16``, ``"experts.per_token"=4``). An
        array for a field that may stay free sweeps it.

    Raises
    ------
    InputError
        An unknown name, a file with faults, or settings that the model does not have: all of them
        at once.
    """
    entry = _ENTRIES.get(name) if type(name) is str else None
    if entry is None:
        if not isinstance(name, str | Path):
            return load_object(name, settings or {})
        text = str(name)
        if isinstance(name, Path) or _is_path(text):
            if not text.endswith((".yaml", ".yml")):
                return load_file(Path(name), settings or {})
            entry = _from_path(Path(name))
        else:
            entry = _ENTRIES[text] = _load(_library_path(text))
    return with_settings(entry, settings) if settings else entry.base


def names(tag: str | None = None) -> list[str]:
    """Return the names in the library, sorted; with a tag, only those that have it."""
    listed = sorted(_stems(data_root("workloads")))
    if tag is None:
        return listed
    return [name for name in listed if tag in describe(name).tags]


def describe(name: str | Path) -> ModelEntry:
    """Return the library entry of a model (a name, an alias or a path to a YAML file).

    Raises
    ------
    InputError
        An unknown name, faults of the file, or a file for an importer, which has no entry.
    """
    text = str(name)
    if isinstance(name, Path) or _is_path(text):
        if is_imported(text):
            raise input_error(
                "is not an entry of the library",
                file=text,
                expected="a name, or a file in its form (.yaml)",
            )
        return _from_path(Path(name))
    find(text)
    return _ENTRIES[text]


def forget_variants() -> None:
    """Clear the cached variants of the library's models."""
    for entry in list(_ENTRIES.values()):
        entry.variants.clear()


# Reading.

#: Structures cached per model; beyond that the oldest is dropped.
MOST_VARIANTS = 256
_ENTRIES: dict[str, ModelEntry] = {}


def _is_path(name: str) -> bool:
    if "/" not in name and os.sep not in name:
        return name.endswith(_SUFFIXES)
    if name.endswith(_SUFFIXES) or Path(name).exists():
        return True
    return not _spelled_path(name, _names_and_aliases(data_root("workloads")))


@cached_by_files(2**20)
def _stems(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the files of a folder's models by name; listed again if one was added."""
    return {path.stem: path for path in folder.glob("*.yaml")}, [folder]


def _library_path(name: str) -> Path:
    """Return the file for a name or alias."""
    folder = data_root("workloads")
    if path := _stems(folder).get(name):
        return path
    spelled = _names_and_aliases(folder)
    if path := _spelled_path(name, spelled):
        return path
    suggestion = nearest(name, spelled)
    expected = conversion_advice(
        name
    ) or f"a path ({describe_suffixes()}), or one of " + names_or_command(
        sorted(_stems(folder)), "perfmodel workload list"
    )
    suggestion = "" if conversion_advice(name) else suggestion
    raise input_error(
        f"no workload is named '{name}'",
        expected="" if suggestion else expected,
        suggestion=suggestion,
    )


def _spelled_path(name: str, spelled: Mapping[str, Path]) -> Path | None:
    """Return the file of a name in any spelling: of people, or of a repository of weights.

    ``"ViT-B/16"`` is ``vit_b_16``; ``"Qwen/Qwen3-8B-Instruct"`` is ``qwen3_8b``, as tuning changes
    no layer.
    """
    for spelling in (name, name.rpartition("/")[2]):
        if path := spelled.get(spelling) or spelled_alike(spelling, spelled):
            return path
        untuned = re.sub(_TUNING, "", spelling, flags=re.IGNORECASE)
        if untuned != spelling and (path := spelled_alike(untuned, spelled)):
            return path
    return None


#: What repositories add to a model's name for the data that it was tuned on.
_TUNING: Final = r"([-_ ](instruct|chat|it|hf|v0\.\d|2[45]\d\d))+$"


@cached_by_files(2**20)
def _names_and_aliases(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the files of a folder's models by name and by alias; read again if one changes."""
    spelled = dict(_stems(folder))
    paths = [*spelled.values()]
    for path in paths:
        for alias in _aliases(path):
            spelled.setdefault(alias, path)
    return spelled, [folder, *paths]


def _aliases(path: Path) -> tuple[str, ...]:
    """Read the aliases of a file without parsing the rest."""
    match = re.search(r"^aliases:\s*\[([^\]]*)\]", path.read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(part.strip(" \n'\"") for part in match[1].split(",")) if match else ()


@cached_by_files(GRAPH_BYTES)
def _from_path(path: Path) -> tuple[ModelEntry, list[Path]]:
    """Return the entry of a file, reloaded if the file has changed."""
    return _load(path), [path]


def _load(path: Path) -> ModelEntry:
    from perfmodel.specfile import read, validate
    from perfmodel.workload.workload_file import WorkloadFile

    data, marks = read(path)
    file = validate(WorkloadFile, data, marks, str(path))
    kind, fields = family(file.family), file.structure
    if file.family == "layers" and is_template(fields):
        from perfmodel.workload.template_family import inline_family

        kind, fields = inline_family(fields), {}
    structure = kind.structure.model_validate(fields)
    model = model_entry(
        file.name,
        kind,
        structure,
        path,
        file.parameters,
        precision=file.precision,
        trained_context=file.trained_context or getattr(structure, "positions", 0) or 0,
    )
    return replace(
        model,
        aliases=file.aliases,
        title=file.title,
        tags=file.tags,
        sources=file.sources,
        published=file.published,
    )


def model_entry(
    name: str,
    kind: Family,
    structure: Any,
    path: Path,
    defaults: Mapping[str, float] | None = None,
    *,
    precision: str = "",
    notes: tuple[str, ...] = (),
    trained_context: int = 0,
) -> ModelEntry:
    """Return the entry of a validated structure; also used by readers of other files."""
    defaults = defaults or {}
    free = kind.parameters(structure)
    bound = {k: v for k, v in defaults.items() if k in free}
    base = from_family(name, kind, structure, bound, origin=str(path), precision=precision)
    base.notes, base.trained_context = notes, trained_context
    return ModelEntry(
        name,
        kind,
        structure,
        cast("Mapping[str, float]", base.parameters),
        defaults,
        path,
        frozenset(kind.structure.model_fields),
        base,
    )


# Settings.


def with_settings(model: ModelEntry, settings: Mapping[str, Value]) -> Workload:
    """Return a model with fields of its structure replaced and free dimensions bound.

    Raises
    ------
    InputError
        All faults of the settings.
    """
    free: dict[str, Value] = {}
    changed: dict[str, Value] = {}
    for key, value in settings.items():
        if key in model.parameters or key.partition(".")[0] not in model.fields:
            free[key] = value
        else:
            changed[key] = value
    if not changed:
        return _bind(model, model.base, free)
    symbols = getattr(model.structure, "FREE", ())
    swept = [k for k, v in changed.items() if k in symbols and _varies(v)]
    fixed = {k: _plain_setting(v) for k, v in changed.items() if k not in swept}
    if swept:
        stated = fixed.get("free", ())
        if isinstance(stated, list | tuple):  # anything else is for the validation to refuse
            fixed["free"] = (*cast("tuple[str, ...]", stated), *swept)
        free |= {k: changed[k] for k in swept}
    key = tuple(fixed.items())
    try:
        base = model.variants.get(key)
    except TypeError:  # a list or mapping among the settings
        key, base = (), None
    if base is None:
        base = _variant(model, fixed, free)
        if key:
            while len(model.variants) >= MOST_VARIANTS:
                model.variants.pop(next(iter(model.variants)), None)
            model.variants[key] = base
    return _bind(model, base, free)


def _bind(model: ModelEntry, base: Workload, free: Mapping[str, Value]) -> Workload:
    if not free:
        return base
    if free.keys() <= base.parameters.keys():
        return base.bind(free)
    raise InputError(_unknown_setting_faults(model, base.parameters, free))


def _number(value: Value) -> Value:
    """Convert a NumPy scalar to a Python number."""
    numpy = type(value).__module__ == "numpy"
    return value.item() if numpy and np.ndim(value) == 0 else value


def _varies(value: Value) -> bool:
    value = _number(value)
    return (
        is_array(value)
        or isinstance(value, list)
        or (isinstance(value, float) and not value.is_integer())
    )


def _plain_setting(value: Value) -> Value:
    """Return a setting as plain data: NumPy scalars and integral floats become Python numbers."""
    value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _variant(model: ModelEntry, fixed: Mapping[str, Any], free: Mapping[str, Value]) -> Workload:
    """Return the model with another structure."""
    from perfmodel.specfile import validate

    faults = [
        Fault(
            "shapes the graph, so it cannot vary over points",
            path=key,
            expected="one number; predict once for each",
        )
        for key, value in fixed.items()
        if is_array(value)
    ]
    data = model.structure.model_dump()
    for key, value in fixed.items():
        *outer, last = key.split(".")
        inner = data
        for part in outer:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[last] = value
    base: Workload | None = None
    if not faults:
        try:
            structure = validate(model.family.structure, data)
            free_dimensions = model.family.parameters(structure)
            bound = {k: v for k, v in model.defaults.items() if k in free_dimensions}
            base = from_family(
                model.name,
                model.family,
                structure,
                bound,
                origin=model.base.origin,
                precision=model.base.precision,
            )
            base.notes = (*model.base.notes, *getattr(structure, "remarks", ()))
            base.trained_context = model.base.trained_context
            base = base if model.rewrite is None else model.rewrite(base)
        except InputError as error:
            faults += error.faults
    parameters = model.parameters if base is None else base.parameters
    if base is None:  # the free dimensions of a valid structure are known nevertheless
        free = {key: value for key, value in free.items() if key not in model.fields}
    faults += _unknown_setting_faults(model, parameters, free)
    if faults or base is None:
        raise InputError(faults)
    return base


def _unknown_setting_faults(
    model: ModelEntry, parameters: Mapping[str, Value], free: Mapping[str, Value]
) -> list[Fault]:
    """Return the faults of settings for free dimensions."""
    from perfmodel.workload.workload_file import all_parameters

    elsewhere = all_parameters(model.family, model.structure)
    faults: list[Fault] = []
    for key, value in free.items():
        if key in parameters:
            faults += check_extent(key, value)
        elif phases := elsewhere.get(key, ()):
            faults.append(
                Fault(
                    f"'{key}' is free in another phase",
                    path=key,
                    expected="phase " + " or ".join(phases),
                    suggestion=f"phase={phases[0]}",
                )
            )
        else:
            # A misspelt operating point of a device reads as a setting of the workload.
            point = OPERATING_POINT if nearest(key, (OPERATING_POINT,)) else ""
            known = sorted({*parameters, *model.fields, point} - {""})
            faults.append(no_such(f"'{model.name}' has no setting '{key}'", key, known, key))
    return faults
