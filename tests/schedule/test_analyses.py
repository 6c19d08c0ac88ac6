"""Alternatives, steps that run again, levels of a device, LP files: asked of a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm


@pytest.fixture(scope="module")
def tight() -> Any:
    return pm.schedule("efficientformer_l1", "gemmini_16x16", capacity="735 KiB", fuse=False)


def test_alternatives_are_what_a_schedule_of_each_says(tight: Any) -> None:
    table = tight.alternatives()
    moved = dict(zip(table["change"], table["noncompulsory_bytes"], strict=True))
    assert moved["as it is"] == tight.spill_bytes + tight.reload_bytes > 0
    # Fused kernels need more at once than these operators one by one.
    assert np.isnan(moved["operators fused"])
    apart = pm.schedule(
        "efficientformer_l1", "gemmini_16x16", capacity=1_258_291, fuse=False, in_place=False
    )
    again = pm.schedule("efficientformer_l1", "gemmini_16x16", capacity=1_258_291, fuse=False)
    both = again.alternatives()
    kept = dict(zip(both["change"], both["noncompulsory_bytes"], strict=True))
    assert kept["no output in place"] == apart.spill_bytes + apart.reload_bytes > 0
    assert moved["twice the capacity"] == 0
    assert moved["tiles"] > moved["as it is"]
    latency = dict(zip(table["change"], table["latency_s"], strict=True))
    assert latency["twice the capacity"] <= latency["as it is"]
    # Patches keep everything on chip at no more work, in a smaller memory than the largest step.
    assert np.isnan(latency["patches"])


def test_what_does_not_fit_has_alternatives_too() -> None:
    s = pm.schedule("mlperf_tiny_vww", capacity="40 KiB")
    assert not s.feasible
    table = s.alternatives()
    moved = dict(zip(table["change"], table["noncompulsory_bytes"], strict=True))
    assert np.isnan(moved["as it is"])
    # Nothing but the weights of the layers in patches, which are read once a patch.
    patches = pm.patches("mlperf_tiny_vww", capacity="40 KiB")
    assert patches.plan is not None
    assert patches.plan.map_bytes == patches.plan.input_bytes
    assert moved["patches"] == patches.plan.weight_bytes - s.weight_bytes > 0
    assert moved["tiles"] > 0


def test_steps_run_again_where_that_is_cheaper(tight: Any) -> None:
    moved = tight.spill_bytes + tight.reload_bytes
    dear = tight.recomputed(bytes_per_mac=1e6, time_limit_s=2.0)
    assert dear.cost_bytes == moved
    assert dear.again == ()
    free = tight.recomputed(bytes_per_mac=0.0, time_limit_s=2.0)
    assert free.cost_bytes <= moved
    assert free.peak_bytes <= tight.capacity_bytes


def test_levels_of_a_device() -> None:
    s = pm.schedule(
        "efficientformer_l1",
        "zen4_core",
        memory="l2",
        precision="int8",
        fuse=False,
        capacity="735 KiB",
    )
    found = s.over_levels()
    assert [level.name for level in found.levels] == ["l2", "l3"]
    # What leaves the nearest level stops at the next one: it is never dearer than going to main.
    moved = s.spill_bytes + s.reload_bytes
    assert found.proved
    assert 0 < found.crossing_bytes[0] <= moved
    assert found.crossing_bytes[1] == 0
    with pytest.raises(pm.InputError, match="nothing lies between"):
        pm.schedule("resnet18", "edge_tpu").over_levels()
    with pytest.raises(pm.InputError, match="levels are those of a device"):
        pm.schedule("resnet18", capacity="1 MiB").over_levels()


def test_lp_files_give_the_optimum_back(tight: Any, tmp_path: Path) -> None:
    import highspy

    path = tmp_path / "evictions.lp"
    tight.write_lp(path)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(str(path))
    solver.run()
    # In units of a common divisor of the sizes.
    moved = tight.spill_bytes + tight.reload_bytes
    unit = moved / solver.getInfo().objective_function_value
    assert unit == round(unit)
    assert all(
        tight.problem.buffers[stay.buffer].size_bytes % unit == 0
        for stay in tight.trace.intervals
        if stay.spilled or stay.reloaded
    )
    with pytest.raises(pm.InputError, match=r"\.lp"):
        tight.write_lp(tmp_path / "x.txt")
    with pytest.raises(pm.InputError, match="fits"):
        pm.schedule("resnet18", capacity="1 MiB").write_lp(tmp_path / "y.lp")
    assert not (tmp_path / "y.lp").exists()
