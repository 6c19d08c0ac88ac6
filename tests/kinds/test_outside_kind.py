"""The worked example of CONTRIBUTING.md, as the package of somebody else: one file adds a kind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page in a folder, with the metadata that an installation would leave."""
    folder = tmp_path_factory.mktemp("outside")
    page = (checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(text, encoding="utf-8")
    (points,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    group, entry = re.findall(r'entry-points\."(\S+)"\]\n(.*)', points)[0]
    metadata = folder / "vector_pipeline-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vector_pipeline\nVersion: 1.0")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    return folder


def run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = (str(package), os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_passes_the_kit(package: Path) -> None:
    done = run(package, "pytest", "-q", "-p", "no:cacheprovider", "test_vector_pipeline.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b(9|\d\d) passed", done.stdout)


def test_the_command_line_costs_and_explains_with_it(package: Path) -> None:
    done = run(package, "perfmodel", "predict", "resnet18", "vector_machine.yaml", "--explain")
    assert done.returncode == 0, done.stderr
    assert "start_up: half_length / peak  [Hockney and Jesshope" in done.stdout
    seconds = float(re.findall(r"^latency_s = .* = (\S+)$", done.stdout, re.MULTILINE)[0])
    # Arithmetic bound throughout: all operations and one start-up a convolution or product.
    assert seconds == pytest.approx((2 * 1.8141e9 + 21 * 80) / 200e6, rel=0.01)
    assert done.stderr == ""


def test_a_fault_in_its_own_field_has_a_place(package: Path) -> None:
    text = (package / "vector_machine.yaml").read_text()
    (package / "bad.yaml").write_text(text.replace('half_length: "80"', 'half_lenght: "80"'))
    done = run(package, "perfmodel", "hardware", "check", "bad.yaml")
    assert done.returncode == 2
    assert "bad.yaml:12:5" in done.stdout + done.stderr
    assert "did you mean 'half_length'?" in done.stdout + done.stderr
