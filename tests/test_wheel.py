"""The wheel, built from the sdist and installed into a fresh environment, works anywhere."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, run without this process's settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel in it, and an empty folder to run from."""

    python: Path
    commands: frozenset[str]
    elsewhere: Path

    def __call__(self, *arguments: str | Path) -> str:
        return run(*arguments, cwd=self.elsewhere)

    @property
    def perfmodel(self) -> str:
        return str(self.python.parent / "perfmodel")


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a release is: a source archive first, then the wheel from that archive alone."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ".", cwd=checkout)
    assert len(list(out.glob("perfmodel-*.tar.gz"))) == 1
    (built,) = out.glob("perfmodel-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Dependencies come from this environment, by a path file: nothing is downloaded again."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    bin_folder = folder / "bin"
    python = bin_folder / "python"
    before = {p.name for p in bin_folder.iterdir()}
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    commands = frozenset(p.name for p in bin_folder.iterdir()) - before
    site = Path(
        run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        ).strip()
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    return Installed(python, commands, elsewhere)


def test_the_wheel_holds_one_package_and_the_library(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    version = wheel.name.split("-")[1]
    assert {name.split("/")[0] for name in names} == {"perfmodel", f"perfmodel-{version}.dist-info"}
    assert f"perfmodel-{version}.dist-info/licenses/LICENSE" in names
    assert "perfmodel/py.typed" in names
    assert "License-Expression: Apache-2.0" in metadata
    data = {
        p.relative_to(checkout).as_posix()
        for p in (checkout / "perfmodel").rglob("*")
        if p.is_file() and p.suffix not in (".py", ".pyc") and "__pycache__" not in p.parts
    }
    assert {"perfmodel/report/page.css", "perfmodel/report/look.js"} <= data
    assert data <= names
    for library in ("hardware_specs", "workloads"):
        carried = {n for n in names if n.startswith(f"perfmodel/_data/{library}/")}
        kept = {
            f"perfmodel/_data/{p.relative_to(checkout).as_posix()}"
            for p in (checkout / library).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert carried == kept
        assert any(n.endswith(".yaml") for n in carried)


def test_it_installs_one_command_and_one_package(installed: Installed) -> None:
    assert installed.commands == {"perfmodel"}
    found = installed(
        str(installed.python),
        "-c",
        "import importlib.metadata as m, json; d = m.distribution('perfmodel');"
        "print(json.dumps([sorted({f.parts[0] for f in d.files if f.parts[0] != '..'}),"
        " [e.name for e in d.entry_points if e.group == 'console_scripts']]))",
    )
    tops, scripts = json.loads(found)
    assert [t for t in tops if not t.endswith(".dist-info")] == ["perfmodel"]
    assert scripts == ["perfmodel"]


def test_it_imports_from_the_fresh_environment(installed: Installed, checkout: Path) -> None:
    where = installed(str(installed.python), "-c", "import perfmodel; print(perfmodel.__file__)")
    assert Path(where.strip()).is_relative_to(installed.python.parent.parent)
    assert not Path(where.strip()).is_relative_to(checkout)


def test_it_predicts_from_python_with_the_library_it_carries(installed: Installed) -> None:
    answer = installed(
        str(installed.python),
        "-c",
        "import perfmodel as pm; w = pm.workload('llama_3_8b', phase='decode');"
        "print(float(pm.predict(w, pm.hardware('a100')).latency_s))",
    )
    assert 1e-3 < float(answer) < 1.0  # 16 GB of weights at 2 TB/s: 8 ms


def test_it_reads_model_files_and_writes_a_report(installed: Installed, checkout: Path) -> None:
    """What needs files of the package beside its code, or no package beside those it requires."""
    examples = checkout / "examples"
    for file in ("llama_3_8b_q4_k_m.gguf", "resnet18.pt2", "jet_tagger_qkeras.json"):
        shown = installed(installed.perfmodel, "workload", "show", examples / file, "--json")
        assert json.loads(shown)["macs"] > 0
    page = installed.elsewhere / "page.html"
    installed(installed.perfmodel, "predict", "resnet18", "raspberry_pi_5", "--report", page)
    assert (checkout / "perfmodel" / "report" / "page.css").read_text().strip()[:40] in (
        page.read_text(encoding="utf-8")
    )
    page.unlink()
    assert "Williams" in installed(installed.perfmodel, "cite", "resnet18", "raspberry_pi_5")
    near = installed(installed.perfmodel, "hardware", "near", "rtx_4080", "--json")
    assert json.loads(near)


def test_its_command_lists_the_library_and_predicts(installed: Installed, checkout: Path) -> None:
    listed = installed(installed.perfmodel, "hardware", "list", "--json")
    for spec in (checkout / "hardware_specs" / "devices").glob("*.yaml"):
        assert f'"{spec.stem}"' in listed
    predicted = json.loads(
        installed(installed.perfmodel, "predict", "resnet18", "raspberry_pi_5", "--json")
    )
    assert predicted["latency_s"] > 0
    assert list(installed.elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "what"), [(["reproduce"], "published claims"), (["validate", "cpu_zen4"], "data sets")]
)
def test_without_studies_it_says_what_to_install(
    installed: Installed, line: list[str], what: str
) -> None:
    done = subprocess.run(
        [installed.perfmodel, *line],
        cwd=installed.elsewhere,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"no {what} are installed" in done.stderr
    assert "pip install perfmodel-studies" in done.stderr
