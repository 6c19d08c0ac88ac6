"""The kernels, compiled by the compiler of this host where there is one; and compilers made up."""

import subprocess
from pathlib import Path

import pytest

from perfmodel.calibrate.probe import identify
from perfmodel.calibrate.probe.dispatch import measure_dispatch
from perfmodel.calibrate.probe.measure import Measure, MeterError
from perfmodel.calibrate.probe.meters import SOURCE, Compiled, WithNumpy, compiled, compiler
from perfmodel.calibrate.probe.plan import plan_of
from tests.calibrate.probe.known_machine import Ticks


@pytest.fixture(scope="module")
def command() -> list[str]:
    found = compiler()
    if found is None:
        pytest.skip("no C compiler here")
    return found


def test_every_kernel_runs(command: list[str]) -> None:
    with compiled(command) as meter:
        assert {"clock_64", "chase_1", "fma_128", "read_128"} <= meter.kernels
        for kernel in sorted(meter.kernels):
            rates = meter.run(Measure(kernel, 12288), 2, 2e-5)
            assert len(rates) == 2
            assert min(rates) > 0
        assert min(meter.run(Measure("read_128", 8192, threads=2), 1, 2e-5)) > 0
        wanted = {m.kernel for m in plan_of(identify(), meter.kernels, 1).measures()}
        assert wanted <= meter.kernels
        with pytest.raises(MeterError, match="ended with 3"):
            meter.run(Measure("no_such", 4096), 1, 1e-5)
    with pytest.raises(MeterError, match="does not run"):
        meter.run(Measure("clock_64"), 1, 1e-5)


def test_it_compiles_without_a_warning(command: list[str], tmp_path: Path) -> None:
    made = subprocess.run(
        [
            *command,
            "-O2",
            "-std=gnu99",
            "-Wall",
            "-Wextra",
            "-pthread",
            "-c",
            str(SOURCE),
            "-o",
            str(tmp_path / "probe.o"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 1", "it says nothing"),
        ("echo 'kernels.c:1: error: no headers' >&2; exit 1", "no headers"),
        ("exit 0", "does not run"),  # says that it compiled, and made nothing
    ],
)
def test_a_compiler_that_fails(tmp_path: Path, text: str, said: str) -> None:
    broken = _script(tmp_path / "cc", text)
    with pytest.raises(MeterError, match=said), compiled([str(broken)]):
        pass


def test_a_program_that_talks_nonsense(tmp_path: Path) -> None:
    meter = Compiled(_script(tmp_path / "probe", "echo hello"), "made up")
    assert meter.kernels == {"hello"}
    for trials in (1, 2):
        with pytest.raises(MeterError, match="gave"):
            meter.run(Measure("hello"), trials, 1e-5)


def test_compilers_are_found_by_name(tmp_path: Path) -> None:
    where = {"PATH": str(tmp_path)}
    assert compiler(where) is None
    _script(tmp_path / "clang", "")
    assert compiler(where) == ["clang"]
    _script(tmp_path / "cc", "")
    assert compiler(where) == ["cc"]
    assert compiler(where | {"CC": "clang -m64"}) == ["clang", "-m64"]
    assert compiler(where | {"CC": "absent"}) == ["cc"]


def test_numpy_instead_of_a_compiler() -> None:
    meter = WithNumpy(Ticks(2.0**-10))
    for kernel in sorted(meter.kernels):
        first, second = (meter.run(Measure(kernel, 1 << 16), 3, 1e-3) for _ in range(2))
        assert first == second
        assert min(first) > 0
    with pytest.raises(MeterError, match="chase_1"):
        meter.run(Measure("chase_1"), 1, 1e-3)


class _Sessions:
    """An onnxruntime whose runs take ten ticks and so many more a node of each kind."""

    __version__ = "9.9"

    class SessionOptions:
        pass

    def __init__(self, clock: Ticks) -> None:
        self.clock = clock

    def InferenceSession(self, model: bytes, options: object, providers: list[str]) -> object:
        each = {b"Add": 2.0, b"queeze": 1.5, b"then_branch": 5.0}
        ticks, clock = sum(n * model.count(op) for op, n in each.items()), self.clock

        class Session:
            def run(self, names: None, feeds: object) -> None:
                clock.now += 10.0 + ticks

        return Session()


def test_dispatch_is_slope_and_intercept() -> None:
    clock = Ticks(0.0)
    found = measure_dispatch(1.0, _Sessions(clock), clock, clock)
    assert found.version == "9.9"
    assert found.per_node_s == pytest.approx(2.0)
    assert found.per_run_s == pytest.approx(10.0)
    assert found.per_view_s == pytest.approx(1.5)
    # A body holds a node, which takes as long as a view.
    assert found.per_subgraph_s == pytest.approx(3.5)
