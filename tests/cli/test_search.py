"""``perfmodel search``: Python's numbers, brute force, exit codes, faults, files, problem files."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.search.loss_tables import layer_decisions
from perfmodel.search.problem_file import load
from perfmodel.search.space import configurations_of
from perfmodel.table import Table
from perfmodel.workload.nas_spaces import space as find_space

Run = Callable[..., Any]
MIB = 2**20
NETWORK = """\
schema_version: 1
name: small
family: layers
structure:
  parameters: {batch: 1, height: 32, width: 32}
  unit: frames
  inputs:
    image: [batch, 16, height, width]
  layers:
    - {name: first, op: conv, channels: 32, kernel: 3, padding: 1}
    - {name: second, op: conv, channels: 64, kernel: 3, padding: 1, stride: 2}
    - {name: third, op: conv, channels: 64, kernel: 1}
    - {name: pool, op: global_pool}
    - {name: last, op: linear, features: 10}
"""
#: Layer -> losses in 2, 4 and 8 bits, chosen so that small layers are not simply the best to save.
LOSSES = {
    "first": (3.0, 0.5, 0.01),
    "second": (5.0, 0.9, 0.02),
    "third": (0.7, 0.4, 0.1),
    "last": (2.0, 1.5, 0.2),
}
BITS = ("int2", "int4", "int8")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network and its losses, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(NETWORK)
    rows = [
        f"{layer},w={bits},{loss}"
        for layer, losses in LOSSES.items()
        for bits, loss in zip(BITS, losses, strict=True)
    ]
    (tmp_path / "losses.csv").write_text("layer,option,sensitivity\n" + "\n".join(rows) + "\n")
    return tmp_path


def small(*more: str) -> tuple[str, ...]:
    return (
        "search",
        "small.yaml",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "weight_bits=2,4,8",
        "--accuracy",
        "table:losses.csv",
        *more,
    )


@pytest.mark.parametrize("kib", [12, 16, 22, 27])
def test_the_best_of_all_configurations(run: Run, files: Path, kib: float) -> None:
    done = run(*small("--constraint", f"weight_bytes <= {kib} KiB", "--json"))
    space = configurations_of(
        pm.workload("small.yaml"), {"weight_bits": [2, 4, 8]}, precision="w8a8"
    )
    assert [each.layer for each in layer_decisions(space)] == list(LOSSES)
    best = float("inf")
    for choice in product(range(3), repeat=4):
        predicted = pm.predict(space.workload(choice), "gemmini_16x16", precision="w8a8")
        if float(predicted.weight_bytes) <= kib * 1024:
            loss = sum(losses[i] for losses, i in zip(LOSSES.values(), choice, strict=True))
            best = min(best, loss)
    assert done.code == 0
    data = done.data
    assert data["best"]["value"] == pytest.approx(best, rel=1e-9)
    assert data["proved"] is True
    assert "losses of layers added up" in data["model"]
    assert data["source"] == "table losses.csv"
    assert (data["objective"], data["unit"]) == ("sensitivity", "")
    # What is told is what predict says of the configuration.
    chosen = space.encode(data["best"]["configuration"])
    again = pm.predict(space.workload(chosen), "gemmini_16x16", precision="w8a8")
    assert data["best"]["metrics"]["latency_s"] == pytest.approx(float(again.latency_s), rel=1e-9)
    assert data["limits"][0]["used"] == pytest.approx(float(again.weight_bytes), rel=1e-9)
    assert data["limits"][0]["used"] <= kib * 1024


def test_it_is_what_python_gives(run: Run, files: Path) -> None:
    limits = ["weight_bytes <= 16 KiB", "latency_s <= 1 ms"]
    done = run(
        *small(
            "--constraint",
            limits[0],
            "--constraint",
            limits[1],
            "--share",
            "kind",
            "--set",
            "batch=2",
            "--seed",
            "3",
            "--json",
        )
    )
    found = pm.search(
        "small.yaml",
        "gemmini_16x16",
        choices={"weight_bits": [2, 4, 8]},
        constraints=limits,
        accuracy=pm.accuracy.table("losses.csv"),
        share="kind",
        precision="w8a8",
        set={"batch": 2},
        seed=3,
    )
    assert done.code == 0
    assert done.data == json.loads(json.dumps(found.to_dict()))


def test_in_words(run: Run, files: Path) -> None:
    done = run(
        *small(
            "--constraint",
            "weight_bytes <= 16 KiB",
            "--constraint",
            "frames_per_s >= 30",
            "--relief",
            "--front",
        )
    )
    assert (done.code, done.err) == (0, "")
    assert "small on gemmini_16x16: 4 decisions, 81 configurations" in done.out
    assert "(table losses.csv)" in done.out
    assert " KiB of at most 16 KiB; " in done.out
    assert "/s of at least 30/s; costs nothing" in done.out
    assert "proved under the model: sums over kernels" in done.out
    lines = done.out.splitlines()
    at = lines.index("what 10 % more of each limit would change, the others as they are:")
    assert lines[at + 1].startswith("  weight_bytes <= 16 KiB  sensitivity ")
    assert lines[at + 2] == "  frames_per_s >= 30      nothing"
    assert any(line.startswith("front of sensitivity against weight_bytes") for line in lines)


def test_relief_is_the_search_with_that_much_more(run: Run, files: Path) -> None:
    eased = run(*small("--constraint", "weight_bytes <= 16 KiB", "--relief", "--json")).data
    more = run(*small("--constraint", f"weight_bytes <= {16 * 1024 * 1.1} B", "--json")).data
    assert eased["relief"]["weight_bytes <= 16 KiB"] == pytest.approx(more["best"]["value"])
    assert more["best"]["value"] < eased["best"]["value"]


def test_the_front_holds_and_is_proved(run: Run, files: Path) -> None:
    data = run(*small("--constraint", "weight_bytes <= 16 KiB", "--front", "--json")).data
    rows = data["front"]
    assert len(rows) > 3
    for before, after in pairwise(rows):
        assert before["weight_bytes"] < after["weight_bytes"]
        assert before["sensitivity"] > after["sensitivity"]
    assert all(row["bound"] == pytest.approx(row["sensitivity"]) for row in rows)
    assert rows[-1]["sensitivity"] == pytest.approx(0.01 + 0.02 + 0.1 + 0.2)


def test_patterns_of_layers(run: Run, files: Path) -> None:
    done = run(
        "search",
        "mobilenet_v2",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "weight_bits=4,8",
        "--choice",
        "weight_bits:kind:depthwise=8",
        "--choice",
        "weight_bits:stage7.*=2",
        "--constraint",
        "latency_s <= 10 ms",
        "--objective",
        "weight_bytes",
        "--json",
    )
    assert done.code == 0
    chosen = done.data["best"]["configuration"]
    assert chosen["stage7.0.depthwise.weights"] == "int2"
    assert chosen["stage6.0.depthwise.weights"] == "int8"
    assert chosen["stage6.0.expand.weights"] == "int4"


def test_hardware_beside_the_network(run: Run, files: Path) -> None:
    done = run(
        "search",
        "resnet18",
        "jetson_agx_orin",
        "--precision",
        "w8a8",
        "--choice",
        "weight_bits=4,8",
        "--share",
        "network",
        "--choice",
        "memories.main.bandwidth=60 GB/s,204.8 GB/s",
        "--constraint",
        "weight_bytes <= 8 MiB",
    )
    assert done.code == 0
    assert "  memories.main.bandwidth  204.8 GB/s" in done.out.splitlines()
    numbers = run(
        "search",
        "resnet18",
        "jetson_agx_orin",
        "--precision",
        "w8a8",
        "--choice",
        "memories.main.bandwidth=6e10,204800000000",
    )
    assert "204.8 GB/s" in numbers.out
    assert "204800000000" not in numbers.out


def test_rates_of_runs_whose_batch_is_decided(run: Run, files: Path) -> None:
    done = run(
        "search",
        "small.yaml",
        "gemmini_16x16",
        "--precision",
        "w8a8",
        "--choice",
        "batch=1,2,4",
        "--choice",
        "weight_bits=4,8",
        "--share",
        "network",
        "--constraint",
        "latency_s <= 2 ms",
        "--objective",
        "frames_per_s",
        "--json",
    )
    rates: list[float] = []
    for batch, bits in product((1, 2, 4), (4, 8)):
        p = pm.predict(
            pm.workload("small.yaml", batch=batch), "gemmini_16x16", precision=f"w{bits}a8"
        )
        if float(p.latency_s) <= 2e-3:
            rates.append(float(p.frames_per_s))
    assert done.data["best"]["value"] == pytest.approx(max(rates), rel=1e-9)
    assert done.data["objective"] == "frames_per_s"
    wrong = run(
        "search",
        "small.yaml",
        "gemmini_16x16",
        "--choice",
        "batch=1,2",
        "--objective",
        "tokens_per_s",
    )
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'frames_per_s'?" in wrong.err


def test_what_nothing_satisfies_exits_1(run: Run, files: Path) -> None:
    done = run(*small("--constraint", "weight_bytes <= 1 KiB", "--json"))
    assert done.code == 1
    assert done.data["best"] is None
    assert done.data["proved"] is True
    told = run(*small("--constraint", "weight_bytes <= 1 KiB")).out
    opening = next(line for line in told.splitlines() if line.startswith("  would open it"))
    bound = opening.removeprefix("  would open it").removesuffix("alone").strip()
    opened = run(*small("--constraint", bound, "--json"))
    assert opened.code == 0
    # As small as it gets: every layer in the fewest bits.
    assert set(opened.data["best"]["configuration"].values()) == {"int2"}
    words = run(*small("--constraint", "weight_bytes <= 1 KiB", "-o", "x.csv", "--plot", "x.html"))
    assert words.code == 1
    assert "nothing satisfies the constraints" in words.err
    assert not (files / "x.csv").exists()
    assert not (files / "x.html").exists()
    assert "nothing satisfies" in run(*small("--constraint", "weight_bytes <= 1 KiB")).out


def test_a_space_of_architectures(run: Run, files: Path) -> None:
    space = find_space("nas_bench_201")
    # Strings of one network are one row.
    unlike = dict.fromkeys(space.canonical(choice) for choice in space.sample(60, seed=1).tolist())
    strings = [space.decode(choice) for choice in unlike][:40]
    lines = [f"{text},{50 + 0.7 * i}" for i, text in enumerate(strings)]
    (files / "cells.csv").write_text("architecture,top1\n" + "\n".join(lines) + "\n")
    times = [
        float(
            pm.predict(
                space.workload(space.encode(s)), "raspberry_pi_5", runtime="litert"
            ).latency_s
        )
        for s in strings
    ]
    limit = sorted(times)[20]
    (files / "cells.yaml").write_text(
        "workload: nas_bench_201\ndevice: raspberry_pi_5\nruntime: litert\n"
        f"constraints: [latency_s <= {limit!r}]\n"
        "accuracy: {kind: table, path: cells.csv, accuracy: top1}\n"
    )
    done = run("search", "cells.yaml", "--json")
    last = max(i for i, t in enumerate(times) if t <= limit * (1 + 1e-9))
    assert done.code == 0
    assert done.data["objective"] == "accuracy_drop"
    assert done.data["unit"] == "points of accuracy"
    assert done.data["best"]["value"] == pytest.approx(0.7 * (39 - last))
    found = space.canonical(space.encode(done.data["best"]["configuration"]["architecture"]))
    assert found == space.canonical(space.encode(strings[last]))


PROBLEM = """\
title: Bits of a small network
workload: small.yaml
device: gemmini_16x16
precision: w8a8
choices:
  weight_bits: {"*": [2, 4, 8]}
constraints:
  - weight_bytes <= 16 KiB
accuracy: {kind: table, path: losses.csv}
"""


def test_a_problem_in_a_file(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    (files / "problem.yaml").write_text(PROBLEM)
    stated = run(*small("--constraint", "weight_bytes <= 16 KiB", "--json"))
    assert run("search", "problem.yaml", "--json").data == stated.data
    assert pm.search("problem.yaml").to_dict() == load(Path("problem.yaml")).search().to_dict()
    # Paths inside are seen from the file, wherever the command runs.
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    there = str(files / "problem.yaml")
    assert run("search", there, "--json").data == stated.data
    assert run("search", there, "--method", "exhaustive", "--json").data["method"] == "exhaustive"


def test_options_that_stand_in_the_file(run: Run, files: Path) -> None:
    (files / "problem.yaml").write_text(PROBLEM)
    done = run("search", "problem.yaml", "--precision", "w8a8", "--choice", "sparsity=0")
    assert (done.code, done.out) == (2, "")
    assert sorted(line.split(":")[1] for line in done.faults) == [" --choice", " --precision"]
    with pytest.raises(pm.InputError, match="objective: stands in the file"):
        pm.search("problem.yaml", objective="latency_s")
    # How to search is no part of the problem.
    assert pm.search("problem.yaml", method="exhaustive").method == "exhaustive"
    with pytest.raises(pm.InputError, match="device: no device"):
        pm.search("resnet18")


def test_files(run: Run, files: Path) -> None:
    more = ("--constraint", "weight_bytes <= 16 KiB")
    for suffix in (".json", ".csv", ".parquet", ".txt"):
        path = files / f"found{suffix}"
        done = run(*small(*more, "-o", str(path), "--plot", "found.html"))
        assert (done.code, done.out) == (0, "")
        assert path.stat().st_size > 100
    table = Table.read(files / "found.csv")
    assert list(table["decision"]) == [f"{layer}.weights" for layer in LOSSES]
    assert json.loads((files / "found.json").read_text())["proved"] is True
    page = (files / "found.html").read_text()
    assert "<figure" in page
    assert run(*small(*more, "--front", "-o", "front.csv", "--plot", "both.html")).code == 0
    assert "sensitivity" in Table.read(files / "front.csv")
    assert (files / "both.html").read_text().count("<figure") == 2


def test_every_fault_at_once(run: Run, files: Path) -> None:
    done = run(
        "search",
        "mobilenet_v2",
        "gemmini_16x16",
        "--choice",
        "wieght_bits=4",
        "--choice",
        "weight_bits",
        "--choice",
        "weight_bits:kind:depthwize=4,8",
        "--constraint",
        "latency_s <= 5 MB",
        "--constraint",
        "latncy_s < 3 ms",
        "--objective",
        "accuracy_drop",
        "--method",
        "foo",
        "--share",
        "foo",
        "--precision",
        "w4a77",
        "--set",
        "bacth=3",
        "--set",
        "foo",
        "-o",
        "x.png",
        "--plot",
        "y.htm",
        "--time-limit",
        "-1",
        "--seed",
        "-1",
        "--engine",
        "bar",
        "--runtime",
        "zzz",
    )
    assert (done.code, done.out) == (2, "")
    for words in (
        "-o: 'x.png'",
        "--plot: 'y.htm'",
        "--set: 'foo' sets nothing",
        "--choice: 'weight_bits'",
        "--runtime: no runtime is named 'zzz'",
        "--precision: ",
        "did you mean 'batch'?",
        "--share: no layers are shared by 'foo'",
        "did you mean 'weight_bits'?",
        "--choice: weight_bits.kind:depthwize: 'kind:depthwize' fits no layer",
        "--method: there is no method 'foo'",
        "--constraint: column 11: a time and a size",
        "did you mean 'latency_s'?",
        "--objective: 'accuracy_drop' needs a source of accuracy",
        "--time-limit: -1.0",
        "--seed: -1",
        "--engine: gemmini_16x16 has no engine 'bar'",
    ):
        assert words in done.err, words
    assert len(done.faults) == 17
    assert {path.name for path in files.iterdir()} == {"small.yaml", "losses.csv"}


def test_a_former_name_in_a_problem_is_answered(run: Run, files: Path) -> None:
    (files / "problem.yaml").write_text(PROBLEM + "seconds: 30\n")
    done = run("search", "problem.yaml", "--json")
    assert done.code == 0
    assert done.err == "note: problem.yaml: 'seconds' is called 'time_limit_s' now\n"
    with pytest.warns(DeprecationWarning, match="'seconds' is called 'time_limit_s' now"):
        pm.search("problem.yaml")


def test_a_limit_that_no_member_keeps_is_answered_in_its_unit(run: Run) -> None:
    least = min(pm.predict("resnet50", "h100", set={"batch": b}).power_w for b in (1, 2))
    limits = ("--objective", "carbon_kg", "--constraint", "power_w <= 10 W")
    done = run("search", "resnet50", "h100", "--choice", "batch=1,2", *limits)
    assert done.code == 1
    assert f"power_w <= 10 W: no member is better than {least:.4g} W" in done.out + done.err
