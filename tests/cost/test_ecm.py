"""The Execution-Cache-Memory model: published numbers, closed forms, physics."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.ecm import (
    CacheBoundary,
    EcmCore,
    Work,
    cycles_at_levels,
    cycles_by_size,
    layer_lines,
    miss_share,
)
from perfmodel.cost.ecm.model import transfer_cycles
from perfmodel.cost.ecm.ports import core_cycles, store_switches

COPY = Work(loads=1.0, split=0.0, reads=1.0, writes=1.0, updates=0.0)
TRIAD = Work(loads=3.0, split=0.0, reads=3.0, writes=1.0, updates=0.0)
LEVELS = ("L1", "L2", "L3", "MEM")


@pytest.mark.data
@pytest.mark.parametrize("machine", ["skylakesp2", "casclakesp2", "icx36", "rome1", "milan1"])
def test_the_published_hypotheses_are_limits_of_the_model(data: Path, machine: str) -> None:
    """With kerncraft's machine parameters: its prediction of each row.

    Levels of Intel's cores add (exponent 1), those of AMD's overlap (a large exponent).
    """
    folder = data / "cpu_zen4" / "ecm"
    specs = json.loads((folder / "ecm_machine_specs.json").read_text())
    rows = [
        row
        for row in csv.DictReader((folder / "ecm_model_vs_measured.csv").read_text().splitlines())
        if row["machine"] == machine
    ]
    assert len(rows) >= 52
    intel = machine in {"skylakesp2", "casclakesp2", "icx36"}
    for row in rows:
        spec = specs[f"{machine}_{row['isa']}"]
        core = EcmCore(
            vector=32.0 if row["isa"] == "avx" else 64.0,
            loads_per_clock=1e9,
            stores_per_clock=1e9,
            load_bandwidth=spec["L1_read_bw"],
            access_bandwidth=spec.get("L1_shared_bw", np.inf),
            overlap=1.0 if intel else 300.0,
        )
        # Bytes a clock of stores, as stores a clock.
        core = core._replace(stores_per_clock=spec["L1_write_bw"] / core.vector)
        inner = 64.0 / spec["L2_read_bw"]
        edges = (
            CacheBoundary(inner, 64.0 / spec["L2_write_bw"] if intel else 0.0),
            CacheBoundary(64.0 / spec["L3_read_bw"]),
            CacheBoundary(64.0 / spec["MEM_read_bw"], 64.0 / spec["MEM_write_bw"]),
        )
        reads, writes, updates = (float(row[k]) for k in ("rd", "wr", "rw"))
        work = Work(reads + updates, 0.0, reads, writes, updates)
        at = cycles_at_levels(work, core, edges)[LEVELS.index(row["level"])]
        assert float(at) == pytest.approx(float(row["ecm_cy_per_CL"]), rel=6e-3), row


def test_layer_conditions_as_kerncraft_reports_them() -> None:
    """``N <= 2048/3`` in 32 KiB, ``16384/3`` in 256 KiB for a 2D stencil of radius 2.

    From kerncraft's layer-condition output for ``2d-2r-isotropic-constant-star-stencil``.
    """
    for capacity, limit in ((32 * 1024.0, 2048 / 3), (256 * 1024.0, 16384 / 3)):

        def lines(columns: float, capacity: float = capacity) -> float:
            return float(layer_lines(2, 8.0 * columns, 0.0, capacity, 500.0, dimensions=2))

        assert lines(limit * 0.97) == pytest.approx(1.0, abs=1e-3)
        assert lines(limit * 1.03) == pytest.approx(5.0, abs=1e-3)


def test_three_dimensions_lose_planes_first_and_rows_last() -> None:
    def lines(capacity: float) -> float:
        return float(layer_lines(1, 8e3, 8e6, capacity, 500.0, dimensions=3))

    assert lines(1e9) == pytest.approx(1.0)
    assert lines(1e7) == pytest.approx(3.0)
    assert lines(1e4) == pytest.approx(5.0)


def test_ports_of_a_core_with_two_loads_and_a_store() -> None:
    core = EcmCore(vector=32.0, loads_per_clock=2.0, stores_per_clock=1.0, accesses_per_clock=2.0)
    assert core_cycles(COPY, core) == 2.0
    assert core_cycles(TRIAD, core) == 4.0
    wide = core._replace(vector=64.0)
    assert core_cycles(TRIAD, wide) == 2.0


def test_loads_that_straddle_lines_take_two_accesses() -> None:
    """Seven clocks for the five-point stencil with 64-byte vectors, one load a clock."""
    work = Work(loads=4.0, split=3.0, reads=1.0, writes=1.0, updates=0.0, full_lines=0.0)
    core = EcmCore(vector=64.0, loads_per_clock=1.0, stores_per_clock=0.5)
    assert core_cycles(work, core) == 7.0
    # With half as long vectors every other one straddles a line.
    assert core_cycles(work, core._replace(vector=32.0, loads_per_clock=2.0)) == 5.5


def test_streams_of_stores_take_turns() -> None:
    assert store_switches(1.0, 2.0) == 1.0
    assert store_switches(4.0, 2.0) == 8.0
    assert store_switches(0.0, 2.0) == 0.0


def test_lines_written_whole_need_no_read_where_the_machine_spares_it() -> None:
    edge = CacheBoundary(line_in=2.0, line_out=1.0, allocate=0.0)
    assert transfer_cycles(COPY, edge, 1.0) == 3.0
    assert transfer_cycles(COPY._replace(full_lines=0.0), edge, 1.0) == 5.0
    assert transfer_cycles(COPY, edge._replace(allocate=1.0), 1.0) == 5.0


positive = st.floats(0.1, 20.0)
streams = st.integers(0, 4).map(float)


@given(
    streams, streams, streams, positive, positive, positive, st.floats(1.0, 30.0), st.floats(0, 5)
)
def test_times_lie_between_the_largest_and_the_sum(
    reads: float,
    writes: float,
    updates: float,
    near: float,
    far: float,
    out: float,
    overlap: float,
    replay: float,
) -> None:
    if reads + writes + updates == 0:
        reads = 1.0
    work = Work(reads + updates, 0.0, reads, writes, updates)
    edges = (CacheBoundary(near, out), CacheBoundary(far, out))
    core = EcmCore(overlap=overlap, replay=replay)
    at = [float(v) for v in cycles_at_levels(work, core, edges)]
    parts = [core_cycles(work, core), replay * (reads + updates)]
    parts += [transfer_cycles(work, e, 1.0) for e in edges]
    assert at[0] <= at[1] <= at[2]
    assert max(parts) * (1 - 1e-9) <= at[2] <= sum(parts) * (1 + 1e-9)
    # More overlap, wider ports or quicker transfers never cost time.
    better = core._replace(overlap=overlap + 1.0, loads_per_clock=3.0)
    assert cycles_at_levels(work, better, edges)[2] <= at[2] * (1 + 1e-9)
    quicker = (edges[0], edges[1]._replace(line_in=far / 2))
    assert cycles_at_levels(work, core, quicker)[2] <= at[2] * (1 + 1e-9)


@given(st.floats(1.0, 1e12), st.floats(1.0, 1e12), st.floats(0.5, 60.0))
def test_misses_grow_with_the_working_set(size: float, centre: float, sharpness: float) -> None:
    share = float(miss_share(size, centre, sharpness))
    assert 0.0 <= share <= 1.0
    assert float(miss_share(size * 1.5, centre, sharpness)) >= share
    assert float(miss_share(size, centre * 1.5, sharpness)) <= share
    assert float(miss_share(centre, centre, sharpness)) == pytest.approx(0.5)


def test_a_batch_of_sizes_equals_its_members() -> None:
    edges = (CacheBoundary(1.0, 1.0, centre=32e3), CacheBoundary(4.0, centre=1e6))
    at = cycles_at_levels(TRIAD, EcmCore(), edges)
    sizes = np.geomspace(1e3, 1e9, 9)
    whole = cycles_by_size(at, sizes, edges)
    assert whole.shape == (9,)
    assert whole == pytest.approx([float(cycles_by_size(at, float(s), edges)) for s in sizes])
    assert np.all(np.diff(whole) >= -1e-12 * whole[0])
