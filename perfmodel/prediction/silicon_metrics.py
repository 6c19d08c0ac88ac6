"""Area and leakage of the silicon that a prediction runs on, as far as the spec states it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from perfmodel.arrays import Value

if TYPE_CHECKING:
    from perfmodel.cost.area import SiliconBlocks
    from perfmodel.prediction.prediction import Prediction

_MM2 = 1e6


class SiliconMetrics:
    """Metrics of a prediction that depend on the blocks of the chip, not on the run.

    The blocks are those that the spec states (`perfmodel.kinds.silicon`), at the node of its
    process; `die_mm2` is what the vendor states of the whole die.
    """

    @cached_property
    def silicon(self) -> SiliconBlocks | str:
        """Blocks of the chip, flat over the points, or the reason why there are none."""
        from perfmodel.kinds.silicon import silicon_of

        p = cast("Prediction", self)
        return silicon_of(p.job.machine.device, p.setting.facts, p.totals["weight_bytes"])

    @property
    def area_parts_mm2(self) -> dict[str, Value]:
        """Block -> square millimetres; empty if the spec states no structure."""
        return dict(self._parts("area_mm2"))

    @property
    def area_mm2(self) -> Value:
        """Area of the blocks that the spec states, square millimetres; NaN without any."""
        return self._sum(self._parts("area_mm2"))

    @property
    def leakage_w(self) -> Value:
        """Leakage of these blocks with the device's transistors, watts; NaN without structure.

        It follows from logic and memories, and is NaN where only areas are stated.
        """
        return self._sum({} if self.has_only_areas else self._parts("leakage_w"))

    @property
    def has_only_areas(self) -> bool:
        """Whether the spec states the areas of all blocks, and not what is in them."""
        return not isinstance(self.silicon, str) and self.silicon.has_only_areas

    @property
    def die_mm2(self) -> float | None:
        """Area of the whole die that the spec states, square millimetres."""
        area = cast("Prediction", self).job.machine.device.area
        return None if area is None else area.value * _MM2

    def silicon_ends(self, metric: str, level: float) -> tuple[Value, Value]:
        """Return the ends of the interval of ``area_mm2`` or ``leakage_w``."""
        return self._sum(self._parts(metric, -level)), self._sum(self._parts(metric, level))

    @cached_property
    def _parts_at(self) -> dict[tuple[str, float], dict[str, Value]]:
        """Metric and level of an interval -> parts, as far as they were needed."""
        return {}

    def _parts(self, metric: str, level: float = 0.0) -> dict[str, Value]:
        """Return block -> its area or leakage, or the end of its interval; remembered."""
        if isinstance(self.silicon, str):
            return {}
        if (metric, level) not in self._parts_at:
            shaped = cast("Prediction", self).shaped
            is_area = metric == "area_mm2"
            values = self.silicon.areas(level) if is_area else self.silicon.leakage_w(level)
            unit = _MM2 if is_area else 1.0
            self._parts_at[metric, level] = {
                name: shaped(value * unit) for name, value in values.items()
            }
        return self._parts_at[metric, level]

    def _sum(self, parts: dict[str, Value]) -> Value:
        unknown = float("nan")
        return cast("Prediction", self).shaped(sum(parts.values(), 0.0) if parts else unknown)
