"""Spaces of inverted residuals in stages: depth a stage, kernel and expansion a block.

Once-for-all networks (Cai et al. 2020) and TinyNAS (Lin et al. 2020) share the form: a stage runs
the first of its blocks, as many as its depth says; the first may stride and change the channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, cast

from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.units import is_number
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.nas_spaces.base import ArchitectureDecision, ArchitectureSpace, Choice
from perfmodel.workload.symbols import divisible

KERNELS = (3, 5, 7)
EXPANDS = (3, 4, 6)
DEPTHS = (2, 3, 4)


class StagedBlockPosition(NamedTuple):
    """A block's place: its stage, its position there, and its two decisions' indices."""

    stage: int
    position: int
    kernel: int
    expand: int


class StagedSpaceLayout(NamedTuple):
    """The decisions of a staged space, and the fields of `StagedSpace` that say where they are."""

    decisions: tuple[ArchitectureDecision, ...]
    keys: tuple[str, ...]
    depths: tuple[int, ...]
    places: tuple[StagedBlockPosition, ...]


@dataclass(frozen=True)
class StagedSpace(ArchitectureSpace):
    """A space of stages.

    Its decisions are the outer ones (`keys`), a depth for each stage of more than one block, and
    kernel and expansion for each block.

    Attributes
    ----------
    keys
        Names of the outer decisions in the notation (``r``), in the order of the decisions.
    depths
        Index of the depth decision of each stage, -1 where it has one block.
    places
        Its blocks in order.
    """

    keys: tuple[str, ...] = field(default=(), compare=False, repr=False)
    depths: tuple[int, ...] = field(default=(), compare=False, repr=False)
    places: tuple[StagedBlockPosition, ...] = field(default=(), compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of architectures; blocks that a depth leaves out have no options."""
        total = 1
        for i in range(len(self.keys)):
            total *= len(self.decisions[i].options)
        each = len(KERNELS) * len(EXPANDS)
        for depth in self.depths:
            total *= each if depth < 0 else sum(each**d for d in DEPTHS)
        return total

    def __iter__(self) -> Iterator[Choice]:
        """Iterate over all canonical choices, lazily; the last decision varies fastest."""
        outer = [range(len(d.options)) for d in self.decisions[: len(self.keys)]]
        searched = [i for i in self.depths if i >= 0]
        for head in product(*outer):
            for depths in product(range(len(DEPTHS)), repeat=len(searched)):
                start = (*head, *depths)
                used = [self._runs(place, start) for place in self.places]
                free = [
                    options
                    for runs in used
                    for options in (
                        range(len(KERNELS) if runs else 1),
                        range(len(EXPANDS) if runs else 1),
                    )
                ]
                for blocks in product(*free):
                    yield (*start, *blocks)

    def _runs(self, place: StagedBlockPosition, choice: Sequence[int]) -> bool:
        at = self.depths[place.stage]
        return at < 0 or place.position < DEPTHS[choice[at]]

    def normal(self, choice: Choice) -> Choice:
        """Return the choice with kernel and expansion of left-out blocks at 0."""
        made = list(choice)
        for place in self.places:
            if not self._runs(place, choice):
                made[place.kernel] = made[place.expand] = 0
        return tuple(made)

    def parameters(self, choice: Sequence[int]) -> dict[str, float]:
        """Return the free dimensions; height and width are the resolution."""
        at = self.keys.index("r")
        side = self.decisions[at].options[choice[at]]
        return {"batch": 1, "height": side, "width": side}

    # notation

    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice as JSON: ``{"ks": [...], "e": [...], "d": [...], "r": 224}``."""
        chosen = self.checked(choice)
        values = [d.options[i] for d, i in zip(self.decisions, chosen, strict=True)]
        entry: dict[str, Any] = {
            "ks": [values[p.kernel] for p in self.places],
            "e": [values[p.expand] for p in self.places],
            "d": [values[i] for i in self.depths if i >= 0],
        }
        return json.dumps(entry | {key: values[i] for i, key in enumerate(self.keys)})

    def encode(self, native: Any) -> Choice:
        """Return the choice of such JSON, or of a mapping of that form.

        In place of ``ks``, ``e`` and ``d`` it may have ``stages``: for each stage its blocks as
        ``[kernel, expansion]``.

        Raises
        ------
        InputError
            Every fault of it at once.
        """
        entry = self._entry(native)
        faults: list[Fault] = []
        if "stages" in entry:
            entry = self._listed(entry, faults)
        searched = [i for i in self.depths if i >= 0]
        wanted: dict[str, list[int]] = {
            "ks": [p.kernel for p in self.places],
            "e": [p.expand for p in self.places],
            "d": searched,
        }
        wanted |= {key: [i] for i, key in enumerate(self.keys)}
        faults += [
            Fault(
                "unknown key",
                path=str(key),
                expected=one_of(wanted),
                suggestion=nearest(str(key), wanted),
            )
            for key in entry
            if key not in wanted
        ]
        choice = [0] * len(self.decisions)
        for key, indices in wanted.items():
            if key not in entry:
                faults.append(Fault("is missing", path=key))
                continue
            for i, option in zip(
                indices, self._options(entry[key], key, indices, faults), strict=False
            ):
                choice[i] = option
        if faults:
            raise InputError(faults)
        return tuple(choice)

    def _entry(self, native: Any) -> Mapping[str, Any]:
        if isinstance(native, str):
            try:
                native = json.loads(native)
            except (ValueError, RecursionError) as error:
                raise input_error(
                    f"{native[:60]!r} is no JSON: {error}",
                    expected='{"ks": [...], "e": [...], "d": [...], "r": ...}',
                ) from None
        if not isinstance(native, Mapping):
            raise input_error(
                f"{str(native)[:60]!r} names no architecture",
                expected='{"ks": [...], "e": [...], "d": [...], "r": ...}',
            )
        return cast("Mapping[str, Any]", native)

    def _listed(self, entry: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
        """Return an entry with ``stages`` written as ``ks``, ``e`` and ``d``."""
        made = {key: value for key, value in entry.items() if key != "stages"}
        stages: list[Any] = _items(entry["stages"])
        if len(stages) != len(self.depths):
            faults.append(
                Fault(f"{len(stages)} stages", path="stages", expected=f"{len(self.depths)}")
            )
        kernels, expands, depths = list[Any](), list[Any](), list[Any]()
        for stage, index in enumerate(self.depths):
            most = 1 if index < 0 else max(DEPTHS)
            found: Any = stages[stage] if stage < len(stages) else None
            blocks: list[Any] = _items(found)
            least = 1 if index < 0 else min(DEPTHS)
            if not least <= len(blocks) <= most or any(len(_items(b)) != 2 for b in blocks):
                if stage < len(stages):
                    faults.append(
                        Fault(
                            "is no list of [kernel, expansion]",
                            path=f"stages.{stage}",
                            expected=f"{least} to {most} of them",
                        )
                    )
                blocks = [(KERNELS[0], EXPANDS[0])] * least
            left_out = [(KERNELS[0], EXPANDS[0])] * (most - len(blocks))
            for kernel, expand in (*blocks, *left_out):
                kernels.append(kernel)
                expands.append(expand)
            if index >= 0:
                depths.append(len(blocks))
        return made | {"ks": kernels, "e": expands, "d": depths}

    def _options(
        self, given: Any, key: str, indices: Sequence[int], faults: list[Fault]
    ) -> list[int]:
        outer = key in self.keys
        values: list[Any] = _items(given) if isinstance(given, list | tuple) else [given]
        if len(values) != len(indices) or (not outer and not isinstance(given, list | tuple)):
            faults.append(
                Fault(f"{len(values)} values", path=key, expected=f"{len(indices)} of them")
            )
            return []
        made: list[int] = []
        for at, (index, value) in enumerate(zip(indices, values, strict=True)):
            options = self.decisions[index].options
            number = is_number(value)
            if number and value in options:
                made.append(options.index(value))
                continue
            made.append(0)
            near = min(options, key=lambda o: abs(o - value)) if number else ""
            faults.append(
                Fault(
                    f"{value!r} is no option",
                    path=key if outer else f"{key}.{at}",
                    expected=one_of(map(str, options)),
                    suggestion=str(near),
                )
            )
        return made


def staged_decisions(
    outer: Sequence[tuple[str, ArchitectureDecision]], stages: Sequence[int]
) -> StagedSpaceLayout:
    """Return the decisions of a staged space and where they are.

    Parameters
    ----------
    outer
        ``(key of the notation, decision)`` of what is decided once.
    stages
        Blocks of each stage, at most.
    """
    decisions = [decision for _, decision in outer]
    depths: list[int] = []
    for stage, most in enumerate(stages, 1):
        depths.append(len(decisions) if most > 1 else -1)
        if most > 1:
            decisions.append(ArchitectureDecision(f"depth{stage}", DEPTHS))
    places: list[StagedBlockPosition] = []
    for stage, most in enumerate(stages):
        for position in range(most):
            at = len(decisions)
            places.append(StagedBlockPosition(stage, position, at, at + 1))
            name = f"{stage + 1}.{position + 1}"
            decisions += [
                ArchitectureDecision(f"kernel{name}", KERNELS),
                ArchitectureDecision(f"expand{name}", EXPANDS),
            ]
    keys = tuple(key for key, _ in outer)
    return StagedSpaceLayout(tuple(decisions), keys, tuple(depths), tuple(places))


class Residual(NamedTuple):
    """What an inverted residual is made of, beside kernel and expansion."""

    outputs: int
    stride: int
    activation: str
    squeeze_excite: bool = False


def inverted_residual(
    g: ImageBuilder, x: Tensor, kernel: int, expand: int, block: Residual
) -> Tensor:
    """Add expansion, depthwise, squeeze and excitation, projection and the input where it fits.

    Channels in between are a multiple of 8, as those of a squeeze are (a quarter of them).
    """
    inputs = int(cast("int", x.shape[1]))
    inner = rounded(inputs * expand)
    act = block.activation
    y = x if expand == 1 else g.conv_norm(x, inner, 1, activation=act, name="expand")
    y = g.conv_norm(
        y, inner, kernel, stride=block.stride, groups=inner, activation=act, name="depthwise"
    )
    if block.squeeze_excite:
        squeezed = rounded(inner // 4)
        y = g.squeeze_excite(y, squeezed, activation="relu", gate="hard_sigmoid", name="se")
    y = g.conv_norm(y, block.outputs, 1, name="project")
    if block.stride == 1 and inputs == block.outputs:
        y = g.elementwise("add", y, x, name="add")
    return y


def rounded(channels: float) -> int:
    """Return channels as a multiple of 8, never a tenth below (Sandler et al. 2018)."""
    return int(cast("float", divisible(channels, 8)))


def _items(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else []
