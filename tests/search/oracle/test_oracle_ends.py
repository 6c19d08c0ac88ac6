"""A space whose networks may end in different segments: the oracle equals the predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.search.oracle import Oracle
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.nas_spaces import ArchitectureDecision, ArchitectureSpace, Segment
from perfmodel.workload.nas_spaces.architecture_space import Choice, SizedSettings


@dataclass(frozen=True)
class Ending(ArchitectureSpace):
    """A convolution, then two of which each may be left out."""

    def encode(self, native: Any) -> Choice:
        return self.checked(native)

    def decode(self, choice: Sequence[int]) -> str:
        return "-".join(map(str, choice))


def convolution(g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    return x if choice == (0,) else g.conv_norm(x, 16, 3, activation="relu", name="conv")


def test_any_of_the_last_segments_may_end_a_network() -> None:
    space = Ending(
        "ending",
        SizedSettings(height=16, width=16),
        (ArchitectureDecision("second", (0, 1)), ArchitectureDecision("third", (0, 1))),
        (
            Segment("first", (), 1, convolution),
            Segment("second", (0,), 1, convolution),
            Segment("third", (1,), 1, convolution),
        ),
    )
    oracle = Oracle("zen4_core", space)
    for choice in product((0, 1), repeat=2):
        prediction = pm.predict(space.workload(choice), "zen4_core")
        assert oracle(choice)["latency_s"] == pytest.approx(float(prediction.latency_s), rel=1e-12)
