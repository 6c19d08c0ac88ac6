"""``perfmodel doctor --probe`` with a machine made up: what it prints, writes and refuses."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.calibrate import probe as room
from perfmodel.cli import main
from tests.calibrate.probe.known_machine import IDENTITY, FakeMeter, Machine, Ticks, kernels
from tests.cli.conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def known_host(monkeypatch: pytest.MonkeyPatch) -> FakeMeter:
    """Probe the machine made up, with no onnxruntime."""
    meter = FakeMeter(Machine(), kernels(128, 256))

    def probe(seconds: float, cores: int, **given: Any) -> Any:
        given.pop("identity")
        given["clock"] = Ticks()
        return real(seconds, cores, meter=meter, identity=IDENTITY, **given)

    real = room.probe
    monkeypatch.setattr(room, "probe", probe)
    monkeypatch.setattr(room, "identify", lambda: IDENTITY)
    monkeypatch.setattr("perfmodel.cli.doctor_probe._onnxruntime", lambda: None)
    return meter


def test_it_writes_a_spec_that_is_accepted_and_predicts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "my-desk 2.yaml"
    ran = run("doctor", "--probe", "-o", str(path))
    assert ran.code == 0
    assert "the nearest device of the library" in ran.out
    assert "memories.main.bandwidth" in ran.out
    assert "onnxruntime is not installed" in ran.err
    assert "probe: round 1" in ran.err
    assert run("hardware", "check", str(path)).code == 0
    shown = run("hardware", "show", str(path), "--json").data
    assert shown["name"] == "my_desk_2"
    assert shown["grade"]["letter"] == "A"
    assert shown["facts"]["engines.cpu.peaks.fp32"]["confidence"] == "measured"
    assert run("predict", "resnet18", str(path), "--json").data["latency_s"] > 0


def test_json(run: Run) -> None:
    data = run("doctor", "--probe", "--probe-cores", "2", "--json").data
    assert data["host"]["model"] == "A made up processor"
    assert data["device"]["engines"][0]["units"]["value"] == 2
    assert data["runtime"] is None
    names = {row["fact"]: row for row in data["differences"]}
    assert any(row["differs"] for row in names.values())
    for row in names.values():
        assert row["ratio"] is None or row["differs"] == (abs(row["ratio"] - 1) > 0.1)


def test_a_file_that_exists_stays(run: Run, known_host: FakeMeter, tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    path.write_text("mine")
    ran = run("doctor", "--probe", "-o", str(path))
    assert ran.code == 2
    assert ran.faults == [
        f"error: -o: '{path}' exists; expected another file, or --force to replace it"
    ]
    assert path.read_text() == "mine"
    assert not known_host.asked, "refused before anything is measured"
    assert run("doctor", "--probe", "--force", "-o", str(path)).code == 0
    assert "simd" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "absent/host.yaml"), "there is no folder 'absent'"),
        (("-o", "host.txt"), "has no suffix that states its format"),
        (("-o", "."), "is a folder"),
        (("-o", "a.yaml", "--runtime-output", "a.yaml"), "is the device's file too"),
        (("--runtime-output", "a.yaml"), "onnxruntime is not installed"),
        (("--probe-seconds", "0"), "0 is not a valid budget"),
        (("--probe-seconds", "nan"), "nan is not a valid budget"),
        (("--probe-cores", "0"), "0 cores are not here"),
        (("--probe-cores", "99"), "expected 1 to 8"),
        (("--probe-cores", "1.5"), "expected a whole number"),
    ],
)
def test_faults(
    run: Run,
    known_host: FakeMeter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("doctor", "--probe", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""
    assert not known_host.asked
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    ran = run("doctor", "--probe", "-o", str(tmp_path / "host.yaml"))
    assert ran.code == 2
    assert "cannot be written to" in ran.err


@pytest.mark.parametrize(
    "option",
    [
        ("-o", "x.yaml"),
        ("--force",),
        ("--probe-seconds", "3"),
        ("--probe-cores", "1"),
        ("--runtime-output", "x.yaml"),
    ],
)
def test_options_of_a_probe_need_one(run: Run, option: tuple[str, ...]) -> None:
    ran = run("doctor", *option)
    assert ran.code == 2
    assert ran.faults == [f"error: {option[0]}: belongs to a probe; expected --probe beside it"]


def test_an_interruption_writes_nothing(
    known_host: FakeMeter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(known_host, "run", stop)
    assert main(["doctor", "--probe", "-o", str(tmp_path / "host.yaml")]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_no_compiler_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Coarse(FakeMeter):
        def run(self, measure: Any, trials: int, seconds: float) -> list[float]:
            if measure.kernel == "product":
                return [50e9] * trials
            return super().run(measure, trials, seconds)

    monkeypatch.undo()
    monkeypatch.setattr(room, "compiler", lambda: None)
    monkeypatch.setattr(
        room, "WithNumpy", lambda: Coarse(Machine(), frozenset({"product", "copy"}))
    )
    monkeypatch.setattr(room, "identify", lambda: IDENTITY)
    monkeypatch.setattr("perfmodel.cli.doctor_probe._onnxruntime", lambda: None)
    path = tmp_path / "host.yaml"
    ran = run("doctor", "--probe", "--probe-seconds", "0.01", "-o", str(path))
    assert ran.code == 0
    assert "No C compiler was found: numpy measured" in ran.out
    assert "kind: simd" not in path.read_text()
    assert "No C compiler was found" in " ".join(path.read_text().split())
    assert run("hardware", "check", str(path)).code == 0


def test_a_broken_onnxruntime_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        class SessionOptions:
            pass

        def InferenceSession(self, *_: object, **__: object) -> None:
            raise RuntimeError("no provider")

    monkeypatch.setattr("perfmodel.cli.doctor_probe._onnxruntime", Broken)
    path = tmp_path / "host.yaml"
    assert run("doctor", "--probe", "-o", str(path)).code == 0
    ran = run("doctor", "--probe", "--runtime-output", str(tmp_path / "ort.yaml"))
    assert ran.code == 2
    assert "no provider" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["host.yaml"]
