"""Workers of a sweep end with their parent, however it ended."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

psutil: Any = pytest.importorskip("psutil")

#: As long as a test waits for what must come, and never for what must not.
PATIENCE_S = 60.0
#: A job in the background of a shell ignores interrupts, and hands that down.
SWEEP = """
import signal, sys
from perfmodel.cli import main
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
"""
ARGUMENTS = (
    "sweep",
    "llama_3_8b",
    "-d",
    "a100",
    "--set",
    "batch=1..400",
    "--set",
    "context=1..10000",
    "--metrics",
    "latency_s",
    "--executor",
    "process:3",
)


def workers(parent: subprocess.Popen[str]) -> list[Any]:
    """Processes below the parent, the one that minds its semaphores among them."""
    return psutil.Process(parent.pid).children(recursive=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    "name",
    [
        "SIGKILL",
        pytest.param("SIGTERM", marks=pytest.mark.exhaustive),
        pytest.param("SIGINT", marks=pytest.mark.exhaustive),
    ],
)
def test_no_worker_outlives_its_sweep(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SWEEP)
    parent = subprocess.Popen(
        [sys.executable, str(script), *ARGUMENTS, "-o", str(tmp_path / "points.csv")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun: list[Any] = []
    try:
        parts = tmp_path / ".points.csv.parts"
        # Once a chunk is written, workers are at work, and hundreds of chunks are left to them.
        while not list(parts.glob("[0-9]*.csv")) and parent.poll() is None:
            try:
                parent.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        begun = workers(parent)
        assert len(begun) >= 2, "no workers to leave behind"
        parent.send_signal(getattr(signal, name))
        told = parent.communicate(timeout=PATIENCE_S)[1]
        _, left = psutil.wait_procs(begun, timeout=PATIENCE_S)
        assert not left
        # A worker that was only starting cannot read on, and its interpreter says so.
        assert name != "SIGINT" or "Traceback" not in told
        assert parent.returncode == (130 if name == "SIGINT" else -getattr(signal, name))
    finally:
        parent.kill()
        for process in begun:
            with suppress(psutil.NoSuchProcess):
                process.kill()
