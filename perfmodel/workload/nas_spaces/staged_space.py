"""Spaces of inverted residuals in stages: a depth per stage, a kernel and expansion per block.

Once-for-all networks (Cai et al. 2020) and TinyNAS (Lin et al. 2020) have this form. A stage of
depth d runs the first d of its blocks; its first block may stride and change the channels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, NamedTuple, TypeAlias, cast

from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.units import is_number
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder, ImageStructure
from perfmodel.workload.nas_spaces.architecture_space import (
    ArchitectureDecision,
    ArchitectureSpace,
    Choice,
    Segment,
)
from perfmodel.workload.symbols import divisible

KERNELS = (3, 5, 7)
EXPANDS = (3, 4, 6)
DEPTHS = (2, 3, 4)

#: Function that appends a part of a network to a tensor.
Builder: TypeAlias = Callable[[ImageBuilder, Tensor, Choice], Tensor]


class StagedBlockPosition(NamedTuple):
    """Location of a block: stage and position in it, and the indices of its two decisions."""

    stage: int
    position: int
    kernel: int
    expand: int


@dataclass(frozen=True)
class StagedSpace(ArchitectureSpace):
    """A space of stages of inverted residuals.

    Its decisions are the outer ones (`keys`), one depth per stage of more than one block, and one
    kernel and expansion per block.

    Attributes
    ----------
    keys
        Names of the outer decisions in the notation (``r``), in decision order.
    depths
        Index of each stage's depth decision; -1 for a stage of one block.
    block_positions
        The blocks in order.
    """

    keys: tuple[str, ...] = field(default=(), compare=False, repr=False)
    depths: tuple[int, ...] = field(default=(), compare=False, repr=False)
    block_positions: tuple[StagedBlockPosition, ...] = field(default=(), compare=False, repr=False)

    @property
    def size(self) -> int:
        """Number of architectures; blocks that a depth omits have no options."""
        outer = math.prod(len(d.options) for d in self.decisions[: len(self.keys)])
        per_block = len(KERNELS) * len(EXPANDS)
        per_stage = sum(per_block**depth for depth in DEPTHS)
        return outer * math.prod(per_block if i < 0 else per_stage for i in self.depths)

    @property
    def _depth_decisions(self) -> list[int]:
        """Indices of the depth decisions, which stages of one block lack."""
        return [i for i in self.depths if i >= 0]

    def __iter__(self) -> Iterator[Choice]:
        """Iterate lazily over all canonical choices; the last decision varies fastest."""
        outer = [range(len(d.options)) for d in self.decisions[: len(self.keys)]]
        for head in product(*outer):
            for depths in product(range(len(DEPTHS)), repeat=len(self._depth_decisions)):
                start = (*head, *depths)
                options: list[range] = []
                for block in self.block_positions:
                    runs = self._runs(block, start)
                    options += [range(len(values) if runs else 1) for values in (KERNELS, EXPANDS)]
                for blocks in product(*options):
                    yield (*start, *blocks)

    def _runs(self, block: StagedBlockPosition, choice: Sequence[int]) -> bool:
        depth_index = self.depths[block.stage]
        return depth_index < 0 or block.position < DEPTHS[choice[depth_index]]

    def normal(self, choice: Choice) -> Choice:
        """Return the choice with kernel and expansion of omitted blocks set to 0."""
        normal = list(choice)
        for block in self.block_positions:
            if not self._runs(block, choice):
                normal[block.kernel] = normal[block.expand] = 0
        return tuple(normal)

    def parameters(self, choice: Sequence[int]) -> dict[str, float]:
        """Return the free dimensions; height and width are the resolution."""
        resolution_index = self.keys.index("r")
        side = self.decisions[resolution_index].options[choice[resolution_index]]
        return {"batch": 1, "height": side, "width": side}

    # Notation.

    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice as JSON: ``{"ks": [...], "e": [...], "d": [...], "r": 224}``."""
        checked = self.checked(choice)
        values = [d.options[i] for d, i in zip(self.decisions, checked, strict=True)]
        entry: dict[str, Any] = {
            "ks": [values[p.kernel] for p in self.block_positions],
            "e": [values[p.expand] for p in self.block_positions],
            "d": [values[i] for i in self._depth_decisions],
        }
        return json.dumps(entry | {key: values[i] for i, key in enumerate(self.keys)})

    def encode(self, native: Any) -> Choice:
        """Return the choice written as such JSON, or as a mapping of that form.

        Instead of ``ks``, ``e`` and ``d`` it may have ``stages``: per stage, the list of its
        blocks as ``[kernel, expansion]``.

        Raises
        ------
        InputError
            All faults at once.
        """
        entry = self._parse_notation(native)
        faults: list[Fault] = []
        if "stages" in entry:
            entry = self._expand_stages(entry, faults)
        wanted: dict[str, list[int]] = {
            "ks": [p.kernel for p in self.block_positions],
            "e": [p.expand for p in self.block_positions],
            "d": self._depth_decisions,
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

    def _parse_notation(self, native: Any) -> Mapping[str, Any]:
        if isinstance(native, str):
            try:
                native = json.loads(native)
            except (ValueError, RecursionError) as error:
                raise input_error(
                    f"{native[:60]!r} is not JSON: {error}",
                    expected='{"ks": [...], "e": [...], "d": [...], "r": ...}',
                ) from None
        if not isinstance(native, Mapping):
            raise input_error(
                f"{str(native)[:60]!r} names no architecture",
                expected='{"ks": [...], "e": [...], "d": [...], "r": ...}',
            )
        return cast("Mapping[str, Any]", native)

    def _expand_stages(self, entry: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
        """Return an entry with ``stages`` converted to ``ks``, ``e`` and ``d``."""
        others = {key: value for key, value in entry.items() if key != "stages"}
        stages: list[Any] = _as_list(entry["stages"])
        if len(stages) != len(self.depths):
            faults.append(
                Fault(f"{len(stages)} stages", path="stages", expected=f"{len(self.depths)}")
            )
        kernels, expands, depths = list[Any](), list[Any](), list[Any]()
        for stage, index in enumerate(self.depths):
            max_blocks = 1 if index < 0 else max(DEPTHS)
            listed: Any = stages[stage] if stage < len(stages) else None
            blocks: list[Any] = _as_list(listed)
            min_blocks = 1 if index < 0 else min(DEPTHS)
            if not min_blocks <= len(blocks) <= max_blocks or any(
                len(_as_list(b)) != 2 for b in blocks
            ):
                if stage < len(stages):
                    faults.append(
                        Fault(
                            "is not a list of [kernel, expansion]",
                            path=f"stages.{stage}",
                            expected=f"{min_blocks} to {max_blocks} of them",
                        )
                    )
                blocks = [(KERNELS[0], EXPANDS[0])] * min_blocks
            left_out = [(KERNELS[0], EXPANDS[0])] * (max_blocks - len(blocks))
            for kernel, expand in (*blocks, *left_out):
                kernels.append(kernel)
                expands.append(expand)
            if index >= 0:
                depths.append(len(blocks))
        return others | {"ks": kernels, "e": expands, "d": depths}

    def _options(
        self, entry: Any, key: str, indices: Sequence[int], faults: list[Fault]
    ) -> list[int]:
        outer = key in self.keys
        values: list[Any] = _as_list(entry) if isinstance(entry, list | tuple) else [entry]
        if len(values) != len(indices) or (not outer and not isinstance(entry, list | tuple)):
            faults.append(
                Fault(f"{len(values)} values", path=key, expected=f"{len(indices)} of them")
            )
            return []
        selected: list[int] = []
        for position, (index, value) in enumerate(zip(indices, values, strict=True)):
            options = self.decisions[index].options
            number = is_number(value)
            if number and value in options:
                selected.append(options.index(value))
                continue
            selected.append(0)
            near = min(options, key=lambda o: abs(o - value)) if number else ""
            faults.append(
                Fault(
                    f"{value!r} is not an option",
                    path=key if outer else f"{key}.{position}",
                    expected=one_of(map(str, options)),
                    suggestion=str(near),
                )
            )
        return selected


class Residual(NamedTuple):
    """Properties of an inverted residual other than kernel and expansion."""

    outputs: int
    stride: int
    activation: str
    squeeze_excite: bool = False


def staged_space(
    name: str,
    settings: ImageStructure,
    outer: Mapping[str, ArchitectureDecision],
    stages: Sequence[tuple[int, Residual]],
    stem: Builder,
    head: Builder,
) -> StagedSpace:
    """Return a space of stages.

    Parameters
    ----------
    outer
        Key in the notation -> decision for the whole network: a width multiplier (``w``), which is
        passed to stem and head, and the resolution (``r``).
    stages
        Largest number of blocks of each stage, and its first block; the others have stride 1.
    """
    keys, decisions = tuple(outer), [*outer.values()]
    widths = outer["w"].options if "w" in outer else ()
    scaled = (keys.index("w"),) if widths else ()
    depths: list[int] = []
    for stage, (max_blocks, _) in enumerate(stages, 1):
        depths.append(len(decisions) if max_blocks > 1 else -1)
        if max_blocks > 1:
            decisions.append(ArchitectureDecision(f"depth{stage}", DEPTHS))
    block_positions: list[StagedBlockPosition] = []
    segments = [Segment("stem", scaled, 1, stem)]
    for stage, (max_blocks, first) in enumerate(stages):
        for position in range(max_blocks):
            block_position = StagedBlockPosition(
                stage, position, len(decisions), len(decisions) + 1
            )
            block_positions.append(block_position)
            label = f"{stage + 1}.{position + 1}"
            decisions += [
                ArchitectureDecision(f"kernel{label}", KERNELS),
                ArchitectureDecision(f"expand{label}", EXPANDS),
            ]
            depth = (depths[stage],) if max_blocks > 1 else ()
            block = first._replace(stride=1) if position else first
            segments.append(
                Segment(
                    f"stage{stage + 1}.block{position + 1}",
                    (*scaled, *depth, block_position.kernel, block_position.expand),
                    1,
                    partial(_block, position, block, widths),
                )
            )
    segments.append(Segment("head", scaled, 1, head))
    return StagedSpace(
        name,
        settings,
        tuple(decisions),
        tuple(segments),
        (keys.index("r"),),
        keys,
        tuple(depths),
        tuple(block_positions),
    )


def _block(
    position: int,
    block: Residual,
    widths: Sequence[float],
    builder: ImageBuilder,
    x: Tensor,
    choice: Choice,
) -> Tensor:
    """Add a block if its stage is deep enough; any width multiplier is the first of the choice."""
    *outer, kernel, expand = choice
    if widths:
        block = block._replace(outputs=rounded(block.outputs * widths[outer.pop(0)]))
    if outer and position >= DEPTHS[outer[0]]:
        return x
    return inverted_residual(builder, x, KERNELS[kernel], EXPANDS[expand], block)


def inverted_residual(
    builder: ImageBuilder, x: Tensor, kernel: int, expand: int, block: Residual
) -> Tensor:
    """Add expansion, depthwise, squeeze-excitation and projection, plus the input if shapes match.

    Inner channels are a multiple of 8, and so are those of the squeeze, a quarter of them.
    """
    inputs = int(cast("int", x.shape[1]))
    inner = rounded(inputs * expand)
    act = block.activation
    y = x if expand == 1 else builder.conv_norm(x, inner, 1, activation=act, name="expand")
    y = builder.conv_norm(
        y, inner, kernel, stride=block.stride, groups=inner, activation=act, name="depthwise"
    )
    if block.squeeze_excite:
        squeezed = rounded(inner // 4)
        y = builder.squeeze_excite(y, squeezed, activation="relu", gate="hard_sigmoid", name="se")
    y = builder.conv_norm(y, block.outputs, 1, name="project")
    if block.stride == 1 and inputs == block.outputs:
        y = builder.elementwise("add", y, x, name="add")
    return y


def rounded(channels: float) -> int:
    """Return channels rounded to a multiple of 8, at least 90 % of them (Sandler et al. 2018)."""
    return int(cast("float", divisible(channels, 8)))


def _as_list(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else []
