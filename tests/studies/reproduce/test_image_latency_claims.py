"""One image on GPUs and boards: plain commands beside published latencies."""

from __future__ import annotations

from functools import lru_cache

import pytest

from perfmodel.evaluate import reproduce
from perfmodel.evaluate.claims import Reproduction
from perfmodel.table import plain

#: Cells that are farther off than a factor of 1.5; their notes say why.
MISSES = {"resnet50_orin_nano", "mobilenet_v2_raspberry_pi_5"}


@lru_cache(maxsize=1)
def cells() -> dict[str, Reproduction]:
    return {row.claim: row for row in reproduce("image_latencies")}


def test_there_is_a_cell_for_each_network_and_device() -> None:
    devices = ("t4", "a100", "rtx_4090", "orin_nano", "agx_orin", "raspberry_pi_5")
    networks = ("resnet50", "mobilenet_v2", "yolov8n")
    assert set(cells()) == {f"{network}_{device}" for network in networks for device in devices}


def test_none_but_the_named_misses_is_off_by_more_than_a_factor_of_one_and_a_half() -> None:
    ratios = {name: row.predicted / row.published for name, row in cells().items() if row.published}
    off = {name for name, ratio in ratios.items() if not 1 / 1.5 <= ratio <= 1.5}
    assert off == MISSES
    assert all(1 / 2 < ratio < 2 for ratio in ratios.values())


def test_every_cell_says_what_it_rests_on_and_a_figure_left_out_says_why() -> None:
    for row in cells().values():
        assert row.interval is not None
        low, high, basis = row.interval
        assert low < row.predicted < high
        assert basis in {"measured", "transferred"}
        assert row.published is not None or (row.verdict == "not_public" and row.note)


@pytest.mark.parametrize("name", ["resnet50_t4", "yolov8n_agx_orin"])
def test_the_table_prints_the_interval(name: str) -> None:
    row = cells()[name]
    assert plain(row)["interval"] == list(row.interval or ())
