"""Families of networks stated as templates: YAML files of the library, or a user's own file.

`TemplateFamily` combines a parsed template with the model of its fields and offers what any family
offers: the free dimensions, the unit of a result, and the graph of a structure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from perfmodel.errors import InputError
from perfmodel.pydantic_faults import Flaw, faults_of, locate
from perfmodel.source_positions import Marks
from perfmodel.workload.families import ExecutionSemantics, Family, family_files
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.layer_declarations import LayerBuilder
from perfmodel.workload.layer_expressions import Scope, fill_expressions, interpolate
from perfmodel.workload.layer_fields import FlawList, as_mapping
from perfmodel.workload.layer_template import FrozenMapping, default_flaws, freeze, read_template
from perfmodel.workload.structure_model import TemplateStructure, structure_model
from perfmodel.workload.symbols import Dim, symbol
from perfmodel.workload.template_interpreter import EnclosingGraph, TemplateInterpreter
from perfmodel.workload.template_values import TemplateValues

#: Keys of a family's file in addition to those of a template.
_ABOUT = ("schema_version", "family", "doc", "sources", "uses", "runtimes")


class TemplateFamily:
    """A family defined by a template with fields.

    Parameters
    ----------
    name
        Name of the family.
    data
        The template.
    origin
        Key from which another process restores it: the family's name, or the template.
    marks, file
        Source locations of its parts, for faults.
    runtimes
        Software that its networks are usually run with, in order of preference.

    Attributes
    ----------
    flaws
        Flaws of the template's form.
    """

    def __init__(
        self,
        name: str,
        data: Mapping[str, Any],
        origin: Any,
        marks: Marks | None = None,
        file: str = "",
        runtimes: tuple[str, ...] = (),
    ) -> None:
        self.flaws = FlawList()
        self._marks, self._file = marks or Marks(), file
        self.structure = structure_model(name, data, self.flaws)
        self.structure.origin = origin
        self.template = read_template(data, name)
        self.flaws += self.template.flaws
        self.unit = str(data.get("unit", "runs"))
        self.yields = data.get("yields", "batch" if "batch" in self.template.parameters else 1)
        self._family = Family(
            name, self.structure, self.parameters, self.build, self.items, runtimes
        )

    @property
    def family(self) -> Family:
        """The family.

        Raises
        ------
        InputError
            Faults of the template's form.
        """
        self._raise_flaws(self.flaws)
        return self._family

    def _raise_flaws(self, flaws: list[Flaw]) -> None:
        if flaws:
            raise InputError(locate(flaws, self._marks, self._file))

    def parameters(self, structure: TemplateStructure) -> dict[str, float]:
        """Return the free dimensions and their default numbers, including fields kept as symbols.

        Raises
        ------
        InputError
            Defaults that are invalid extents for these values of the fields.
        """
        numbers, flaws = self._defaults(structure)
        self._raise_flaws(flaws)
        return numbers

    def _defaults(self, structure: TemplateStructure) -> tuple[dict[str, float], list[Flaw]]:
        fields = _values_of(structure)
        values = TemplateValues(Scope({**self.template.tables, **fields}))
        numbers: dict[str, float] = {}
        for name, raw in self.template.parameters.items():
            form, place = as_mapping(raw) or {"default": raw}, ("parameters", name)
            if not values.truth(form.get("when", True), place):
                continue
            before = len(values.flaws)
            numbers[name] = values.value(form.get("default"), place)
            if len(values.flaws) == before:
                values.flaws += default_flaws(name, numbers[name])
        free = fields.get("free", ()) if structure.FREE else ()
        return {**numbers, **{name: fields[name] for name in free}}, values.flaws

    def items(self, structure: TemplateStructure) -> tuple[str, Dim]:
        """Return the unit of a run's results and their number, by default ``batch``."""
        names = {
            **_values_of(structure),
            **{name: symbol(name) for name in self.template.dimensions},
        }
        scope = Scope(names)
        return interpolate(self.unit, scope), fill_expressions(f"{{{self.yields}}}", scope)

    def build(self, structure: TemplateStructure, semantics: ExecutionSemantics) -> Graph:
        """Build the graph.

        Raises
        ------
        InputError
            The values of the fields do not fit the layers.
        """
        template = replace(self.template, parameters=self.parameters(structure))
        interpreter = TemplateInterpreter(template, _values_of(structure), semantics, checked=False)
        self._raise_flaws(interpreter.flaws)
        return interpreter.graph()

    def all_flaws(self, structure: TemplateStructure) -> list[Flaw]:
        """Return all flaws of the template for these values of its fields."""
        defaults, flaws = self._defaults(structure)
        if flaws:
            return flaws
        template, fields = replace(self.template, parameters=defaults), _values_of(structure)
        semantics = ExecutionSemantics(runs_dead_branches=True)
        flaws = TemplateInterpreter(template, fields, semantics).flaws
        return flaws or TemplateInterpreter(template, fields, semantics, at_defaults=True).flaws

    def add_block(
        self, builder: LayerBuilder, name: str, inputs: Mapping[str, Tensor], values: dict[str, Any]
    ) -> Tensor:
        """Add a block to a graph under construction.

        Raises
        ------
        InputError
            The values do not fit the block's layers.
        """
        defaults = {key: field.default for key, field in self.structure.model_fields.items()}
        template = replace(self.template, network=self.template.blocks[name], parameters={})
        block = TemplateInterpreter(
            template,
            defaults | values,
            ExecutionSemantics(),
            checked=False,
            within=EnclosingGraph(builder, inputs),
        )
        self._raise_flaws(block.flaws)
        return cast("Tensor", block.result)


def _values_of(structure: TemplateStructure) -> dict[str, Any]:
    """Return fields and values; `dict` would fail on a model with a field ``keys``."""
    return {name: getattr(structure, name) for name in type(structure).model_fields}


def template_family(name: str) -> Family:
    """Return a family of the library that is stated as a template.

    Raises
    ------
    InputError
        Faults of the family's file.
    """
    return _library_family(name).family


@lru_cache
def _library_family(name: str) -> TemplateFamily:
    return read_family(family_files()[name])


def add_block(
    builder: LayerBuilder, family: str, block: str, inputs: Mapping[str, Tensor], **values: Any
) -> Tensor:
    """Add a block of a library family to a graph under construction.

    Parameters
    ----------
    builder
        Builder of the graph.
    family, block
        Names of the family and of its block.
    inputs
        Inputs of the block, by its names for them.
    **values
        Values of the family's fields that differ from the defaults, and the block's parameters.

    Returns
    -------
    Tensor
        Output of the block.

    Raises
    ------
    InputError
        The values do not fit the block's layers.
    """
    return _library_family(family).add_block(builder, block, inputs, values)


def read_family(path: Path) -> TemplateFamily:
    """Read the file of a family.

    Raises
    ------
    InputError
        Faults of the file's form.
    """
    from perfmodel.specfile import read

    data, marks = read(path)
    template = {key: value for key, value in data.items() if key not in _ABOUT}
    for name, wanted in data.get("uses", {}).items():
        other, _ = read(family_files()[name])
        for key in ("blocks", "tables", "fields"):
            taken = {k: v for k, v in other.get(key, {}).items() if k in wanted}
            template[key] = {**template.get(key, {}), **taken}
    runtimes = tuple(data.get("runtimes", ()))
    return TemplateFamily(path.stem, template, path.stem, marks, str(path), runtimes)


def family_of(origin: Any) -> Family:
    """Return the family of a structure's `origin`."""
    return template_family(origin) if isinstance(origin, str) else inline_family(origin)


def restore_structure(origin: Any, values: Mapping[str, Any]) -> BaseModel:
    """Restore a structure in another process."""
    return family_of(origin).structure.model_validate(values)


def inline_family(template: Mapping[str, Any]) -> Family:
    """Return the family defined by the template in a user's file.

    Raises
    ------
    InputError
        Faults of the template's form.
    """
    return _inline_family(freeze(template))


@lru_cache
def _inline_family(template: FrozenMapping) -> Family:
    return TemplateFamily("layers", template, template).family


def inline_template_flaws(template: Mapping[str, Any]) -> list[Flaw]:
    """Return all flaws of the template in a user's file."""
    family = TemplateFamily("layers", template, template)
    if family.flaws:
        return family.flaws
    for name, field in family.structure.model_fields.items():
        if field.is_required():
            family.flaws.append(Flaw(("fields", name), "missing key 'default'", on_key=True))
    try:
        structure = family.structure.model_validate({})
    except ValidationError as error:
        flaws = faults_of(error, family.structure)
        defaults = [
            replace(f, path=("fields", f.path[0], "default", *f.path[1:])) for f in flaws if f.path
        ]
        return family.flaws or defaults
    return family.all_flaws(structure)


def structure_as_written(structure: TemplateStructure) -> Mapping[str, Any]:
    """Return a structure as written in a workload file: its fields, or the template with them."""
    values, origin = (
        structure.model_dump(mode="json", exclude_defaults=True),
        type(structure).origin,
    )
    if isinstance(origin, str):
        return values
    fields = {
        name: {**field, "default": values[name]} if name in values else field
        for name, field in origin.get("fields", {}).items()
    }
    return json.loads(json.dumps({**origin, "fields": fields}))
