"""Template of a network: parsed once, and built for many values of its fields.

`read_template` checks the form of the YAML mapping (parameters, inputs, blocks, layers, outputs)
and returns a `LayerTemplate`, which `TemplateInterpreter` turns into graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from perfmodel.pydantic_faults import Flaw
from perfmodel.units import is_number
from perfmodel.workload.layer_expressions import shown
from perfmodel.workload.layer_fields import FlawList
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


class FrozenMapping(dict[str, Any]):
    """A mapping in a structure, hashable because it is never modified."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(tuple(self.items()))


def freeze(value: Any) -> Any:
    """Return plain data as hashable mappings and tuples."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return FrozenMapping({key: freeze(item) for key, item in items})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in cast("tuple[Any, ...]", value))
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
    tables = flaws.mapping(data.get("tables", {}), ("tables",), "names and lists")
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
        freeze(tables),
        blocks,
        network,
        data.get("runs_all") is True,
    )


def _parameters(raw: Any, flaws: FlawList, *, fields: bool) -> dict[str, Any]:
    """Return the free dimensions and their defaults; a faulty default is replaced by 1."""
    read: dict[str, Any] = {}
    parameters = flaws.mapping({} if raw is None else raw, ("parameters",), "names and defaults")
    for name, default in parameters.items():
        if not str(name).isidentifier():
            expected = "letters, digits and underscores"
            flaws.note(("parameters", name), f"'{name}' is not a name", expected, on_key=True)
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
