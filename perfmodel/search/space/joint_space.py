"""Joint space of architecture, sparsity and bits, as in APQ (Wang et al., arXiv:2006.08509).

The decisions of a space of architectures (kernels, widths, depths: channels pruned as blocks) are
followed by the storage formats of weights and activations of each stage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.errors import Fault, input_error, nearest, no_such, one_of
from perfmodel.formats import as_precision, fixed_format
from perfmodel.settings import FaultList
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import ArchitectureDecision, ArchitectureSpace, Choice
from perfmodel.workload.nas_spaces.architecture_space import ChoiceSpace
from perfmodel.workload.rewrite import format_groups, layers, with_formats
from perfmodel.workload.workload import Workload


class _Slot(NamedTuple):
    """Format decision for the weights or the activations of a stage."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class ProductSpace(ChoiceSpace):
    """Product of architectures and formats; compares, hashes and pickles by its fields.

    Attributes
    ----------
    architectures
        The space of architectures.
    weights, activations
        Format options of each stage. A single format is fixed, and not a decision.
    stages
        ``(name, segments)``; segments in no stage have the formats of `precision`.
    precision
        Formats outside all stages; empty for the oracle's precision. A conversion between equal
        formats at the edge of a stage is omitted only if they are stated here.
    """

    architectures: ArchitectureSpace
    weights: tuple[str, ...]
    activations: tuple[str, ...]
    stages: tuple[tuple[str, tuple[str, ...]], ...]
    precision: str = ""

    @property
    def name(self) -> str:
        """Name of the space."""
        return f"{self.architectures.name}_formats"

    @cached_property
    def decisions(self) -> tuple[ArchitectureDecision, ...]:
        """Decisions of the architectures, then ``stage.weights`` and ``stage.activations``."""
        return (
            *self.architectures.decisions,
            *(ArchitectureDecision(*slot) for slot in self._slots if len(slot.options) > 1),
        )

    @cached_property
    def _slots(self) -> tuple[_Slot, ...]:
        return tuple(
            _Slot(f"{stage}.{role}", options)
            for stage, _ in self.stages
            for role, options in (("weights", self.weights), ("activations", self.activations))
            if options
        )

    # choices

    def split(self, choice: Sequence[int]) -> tuple[Choice, dict[str, str]]:
        """Return the architecture's choice, and a mapping ``stage.weights``, ... -> format."""
        options = self.checked(choice)
        n = len(self.architectures.decisions)
        formats_left = iter(options[n:])
        formats = {
            slot.name: slot.options[next(formats_left) if len(slot.options) > 1 else 0]
            for slot in self._slots
        }
        return options[:n], formats

    def canonical(self, choice: Sequence[int]) -> Choice:
        """Return the representative of all choices with the same network and formats.

        A stage that is absent from the architecture has format 0.
        """
        architecture, _ = self.split(choice)
        architecture = self.architectures.canonical(architecture)
        here = _places(self, self.architectures.operators(architecture))
        formats = self.checked(choice)[len(architecture) :]
        slots = [s for s in self._slots if len(s.options) > 1]
        return architecture + tuple(
            option if here[slot.name] else 0 for slot, option in zip(slots, formats, strict=True)
        )

    def encode(self, native: Any) -> Choice:
        """Return the choice of ``{"architecture": ..., "formats": {"stem.weights": "int4", ...}}``.

        The architecture is in the notation of its space; a str is parsed as JSON.

        Raises
        ------
        InputError
            For all faults at once.
        """
        try:
            stated: Any = json.loads(native) if isinstance(native, str) else native
        except ValueError:
            stated = None
        expected = 'an object with "architecture" and "formats"'
        if not isinstance(stated, Mapping) or set(cast("Any", stated)) != {
            "architecture",
            "formats",
        }:
            raise input_error(f"{native!r} names no member", expected=expected)
        faults = FaultList()
        architecture = faults.trying(self.architectures.encode, stated["architecture"]) or ()
        formats = cast("Mapping[str, Any]", stated["formats"])
        row: list[int] = []
        known = [s.name for s in self._slots]
        for name, options in self._slots:
            option = formats.get(name, options[0] if len(options) == 1 else None)
            if option not in options:
                faults.append(
                    Fault(
                        f"{option!r} is not an option",
                        path=f"formats.{name}",
                        expected=one_of(options),
                    )
                )
            elif len(options) > 1:
                row.append(options.index(option))
        faults += [
            Fault("is no decision", path=f"formats.{name}", suggestion=nearest(name, known))
            for name in formats
            if name not in known
        ]
        faults.settle()
        return (*architecture, *row)

    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice as JSON that `encode` reads."""
        architecture, formats = self.split(choice)
        text = self.architectures.decode(architecture)
        return json.dumps({"architecture": text, "formats": formats})

    # networks

    def graph(self, choice: Sequence[int]) -> Graph:
        """Return the graph of a choice in its formats, with conversions between them."""
        return _graph(self, self.canonical(choice))

    def workload(self, choice: Sequence[int], **settings: Any) -> Workload:
        """Return the workload of a choice.

        Parameters
        ----------
        settings
            Values of free dimensions.

        Raises
        ------
        InputError
            The choice is not in this space, a name is unknown, or a value is not an extent.
        """
        options = self.canonical(choice)
        architecture, _ = self.split(options)
        plain = self.architectures.workload(architecture)
        label = "-".join(map(str, options[len(architecture) :]))
        network = Workload(
            f"{plain.name}/{label}",
            ProductBuild(self, options),
            plain.parameters,
            (plain.unit, plain.items()),
            precision=self.precision,
            origin=self.name,
            notes=plain.notes,
        )
        return network.bind(settings) if settings else network


class ProductBuild:
    """Builder of the graph of one member, cached per process."""

    __slots__ = ("choice", "space")

    def __init__(self, space: ProductSpace, choice: Choice) -> None:
        self.space, self.choice = space, choice

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph, which is the same for every runtime."""
        del semantics
        return _graph(self.space, self.choice)

    def __reduce__(self) -> tuple[Any, ...]:
        return ProductBuild, (self.space, self.choice)


@cached(GRAPH_BYTES)
def _graph(space: ProductSpace, choice: Choice) -> Graph:
    architecture, formats = space.split(choice)
    places = _places(space, space.architectures.operators(architecture))
    by_role: dict[str, dict[str, str]] = {"weights": {}, "activations": {}}
    for slot, format in formats.items():
        role = slot.rpartition(".")[2]
        by_role[role] |= dict.fromkeys(places[slot], format)
    return with_formats(
        space.architectures.graph(architecture),
        by_role["weights"],
        by_role["activations"],
        precision=space.precision or None,
    )


@cached(GRAPH_BYTES // 16)
def _places(space: ProductSpace, architecture: Choice) -> Mapping[str, tuple[str, ...]]:
    """Return ``stage.weights``, ... -> tensors of the graph whose format it decides.

    A group of activations with a common format belongs to the stage that writes its first one.
    """
    graph = space.architectures.graph(architecture)
    stage_of = {segment: name for name, segments in space.stages for segment in segments}
    places: dict[str, list[str]] = {slot.name: [] for slot in space._slots}  # pyright: ignore[reportPrivateUsage]
    writer: dict[str, str] = {}
    for block, operator in graph.walk():
        for name in operator.writes:
            writer.setdefault(name, block.name)
    for layer in layers(graph):
        slot = f"{stage_of.get(layer.block, '')}.weights"
        if slot in places:
            places[slot] += layer.weights
    for group in format_groups(graph):
        slot = f"{stage_of.get(writer.get(group.name, ''), '')}.activations"
        if slot in places and not group.fixed:
            places[slot].append(group.name)
    return {slot: tuple(names) for slot, names in places.items()}


def product_space(
    architectures: ArchitectureSpace,
    weights: Sequence[str] = ("int8", "int4"),
    activations: Sequence[str] = ("int8",),
    *,
    stages: Mapping[str, Sequence[str]] | None = None,
    precision: str = "",
) -> ProductSpace:
    """Return the product of a space of architectures with formats for each stage.

    Parameters
    ----------
    architectures
        Space of architectures, for example ``space("fbnet")``.
    weights
        Weight format options of each stage: ``int8``, ``int4g32``, or sparse, ``int8+2:4`` and
        ``fp16+s0.5``. Empty: the formats of the precision.
    activations
        Activation format options of each stage, without sparsity.
    stages
        Name -> segments of the architectures; by default each segment is a stage.
    precision
        Formats outside all stages, for example of the image.

    Raises
    ------
    InputError
        For all faults at once: unknown formats and segments, segments in two stages.
    """
    known = [segment.name for segment in architectures.segments]
    faults = FaultList()
    for role, texts in (("weights", weights), ("activations", activations)):
        if len(set(texts)) < len(texts):
            faults.append(Fault("a format stands twice", path=role, expected="each once"))
        for i, text in enumerate(texts):
            read = faults.trying_at(f"{role}[{i}]", fixed_format, text)
            if read is not None and read[1] is not None and role == "activations":
                faults.append(
                    Fault(
                        f"'{text}' is sparse",
                        path=f"{role}[{i}]",
                        expected="a format without zeros",
                    )
                )
    if not weights and not activations:
        faults.append(Fault("no formats", path="weights", expected="two or more"))
    owned = {name: (name,) for name in known} if stages is None else stages
    owner: dict[str, str] = {}
    for name, segments in owned.items():
        for segment in segments:
            if segment not in known:
                faults.append(
                    no_such(f"there is no segment '{segment}'", segment, known, f"stages.{name}")
                )
            elif owner.setdefault(segment, name) != name:
                faults.append(
                    Fault(
                        f"segment '{segment}' is in '{owner[segment]}' already",
                        path=f"stages.{name}",
                        expected="one stage",
                    )
                )
    if precision:
        faults.trying(as_precision, precision)
    faults.settle()
    listed = tuple((name, tuple(segments)) for name, segments in owned.items())
    return ProductSpace(architectures, tuple(weights), tuple(activations), listed, precision)
