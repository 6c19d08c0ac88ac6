"""Parsed form of a plain graph: read once, built for many values of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from perfmodel.pydantic_faults import Flaw
from perfmodel.units import is_number
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import FlawList, as_mapping
from perfmodel.workload.layer_steps import LayerBlock, StepReader, walk
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
    "free",
    "yields",
    "runs_all",
)


class Frozen(dict[str, Any]):
    """A mapping in a structure, hashable because it is never modified."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(tuple(self.items()))


def frozen(value: Any) -> Any:
    """Return plain data as hashable mappings and tuples."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
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
        Name of its graphs, with fields in braces.
    flaws
        Flaws of its form.
    parameters
        Free dimensions -> default: a number, an expression of fields, or ``{default, when}``.
    inputs, outputs, folded
        Inputs, outputs and the ``folded`` condition as written.
    dimensions
        Names of the free dimensions, including those that some values of the fields omit.
    tables
        Plain data by name.
    blocks
        Blocks by name.
    network
        The layers of the network.
    runs_all
        Whether operators whose results reach no output are executed.
    """

    name: str
    flaws: tuple[Flaw, ...]
    parameters: Mapping[str, Any]
    inputs: Any
    outputs: Any
    folded: Any
    dimensions: tuple[str, ...]
    tables: Mapping[str, Any]
    blocks: Mapping[str, LayerBlock]
    network: LayerBlock
    runs_all: bool

    @property
    def has_input_layers(self) -> bool:
        """Whether layers of type ``input`` declare the inputs."""
        blocks = (self.network, *self.blocks.values())
        return any(step.op == "input" for block in blocks for step in walk(block.steps))


def read_template(data: Mapping[str, Any], name: str = "layers") -> LayerTemplate:
    """Parse a template; flaws of its form are collected in `flaws`."""
    flaws = FlawList()
    flaws.unknown_keys(data, KEYS, ())
    parameters = _parameters(data.get("parameters"), flaws, fields="fields" in data)
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
        tuple(parameters),
        frozen(tables or {}),
        blocks,
        network,
        data.get("runs_all") is True,
    )


def _parameters(raw: Any, flaws: list[Flaw], *, fields: bool) -> dict[str, Any]:
    parameters = as_mapping(raw)
    read: dict[str, Any] = {}
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
        varies = fields and isinstance(default, str | Mapping)
        faults = [] if varies else default_flaws(name, default)
        flaws += faults
        read[str(name)] = 1 if faults else default
    return read


def default_flaws(name: str, default: Any) -> list[Flaw]:
    """Return the flaws of the default of a free dimension."""
    faults = (
        [fault.message for fault in check_extent(name, default)]
        if is_number(default)
        else [f"{shown(default)} is not an extent"]
    )
    return [Flaw(("parameters", name), message, "a number from 1") for message in faults]
