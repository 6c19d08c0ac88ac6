"""A plain graph as it is written: read once, built for many values of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import is_number
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import FlawList, as_mapping
from perfmodel.workload.layer_steps import LayerBlock, StepReader
from perfmodel.workload.workload import check_extent

KEYS: Final = (
    "parameters",
    "inputs",
    "layers",
    "outputs",
    "unit",
    "extends",
    "fields",
    "refuse",
    "tables",
    "blocks",
    "folded",
    "graph",
)


class Frozen(dict[str, Any]):
    """A mapping inside a structure; hashable, since it is never changed."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(tuple(self.items()))


def frozen(value: Any) -> Any:
    """Return plain data as mappings and tuples that are hashable."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return Frozen({key: frozen(item) for key, item in items})
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in cast("tuple[Any, ...]", value))
    return value


@dataclass(frozen=True, slots=True)
class LayerTemplate:
    """A graph with blocks, loops and conditions over fields.

    Attributes
    ----------
    name
        Of the graphs that it makes; fields may stand in braces.
    flaws
        What is wrong with its form.
    parameters
        Free dimensions and their defaults.
    inputs, outputs, folded
        As they are written.
    tables
        Names of plain data.
    blocks
        Named blocks.
    network
        The layers themselves.
    """

    name: str
    flaws: tuple[Flaw, ...]
    parameters: Mapping[str, float]
    inputs: Any
    outputs: Any
    folded: Any
    tables: Mapping[str, Any]
    blocks: Mapping[str, LayerBlock]
    network: LayerBlock


def read_template(data: Mapping[str, Any], name: str = "layers") -> LayerTemplate:
    """Read a template; everything that is wrong with its form is in its `flaws`."""
    flaws = FlawList()
    for key in data:
        if key not in KEYS:
            meant = nearest(str(key), KEYS)
            flaws.append(
                Flaw(
                    (key,),
                    f"unknown key '{key}'",
                    "" if meant else one_of(KEYS),
                    meant,
                    on_key=True,
                )
            )
    parameters = _parameters(data.get("parameters"), flaws)
    tables = as_mapping(data.get("tables", {}))
    if tables is None:
        flaws.append(
            Flaw(("tables",), f"{shown(data['tables'])} is not a mapping", "names and lists")
        )
    reader = StepReader(flaws)
    blocks = reader.blocks(data.get("blocks"))
    network = reader.block(data.get("layers"), ("layers",), named=True)
    usual = "batch_norm == 'folded'" if data.get("extends") == "image" else False
    return LayerTemplate(
        str(data.get("graph", name)),
        tuple(flaws),
        parameters,
        data.get("inputs"),
        data.get("outputs"),
        data.get("folded", usual),
        frozen(tables or {}),
        blocks,
        network,
    )


def _parameters(raw: Any, flaws: list[Flaw]) -> dict[str, float]:
    parameters = as_mapping(raw)
    read: dict[str, float] = {}
    if parameters is None:
        if raw is not None:
            flaws.append(
                Flaw(("parameters",), f"{shown(raw)} is not a mapping", "names and defaults")
            )
        return read
    for name, default in parameters.items():
        if not str(name).isidentifier():
            flaws.append(
                Flaw(
                    ("parameters", name),
                    f"'{name}' is not a name",
                    "letters, digits and underscores",
                    on_key=True,
                )
            )
        number = is_number(default)
        faults = (
            [f.message for f in check_extent(name, default)]
            if number
            else [f"{shown(default)} is not an extent"]
        )
        flaws += (Flaw(("parameters", name), message, "a number from 1") for message in faults)
        read[str(name)] = 1 if faults else default
    return read
