"""Rules that the tree keeps: small files, no trace of a machine, one version of each tool."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

LONGEST = 500
TEXT = {"", ".cff", ".cfg", ".ipynb", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
# A path of one machine, or a package index by its address. Written so as not to find themselves.
MACHINE = re.compile(r"(?<![\w./~-])/(?:work|root|home|Users)/\w|[A-Z]:\\Users\\")
INDEX = re.compile(r"(?:extra-)?index-" + r"url|/simple/?[\"'\s]|pythonhosted" + r"\.org")


def tracked(checkout: Path) -> list[Path]:
    """Every file of the project: git's list, or the tree where there is no git (an sdist)."""
    if (checkout / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True
        )
        files = [checkout / name for name in listed.stdout.split("\0") if name]
    else:
        files = [p for p in checkout.rglob("*") if not any(q.startswith(".venv") for q in p.parts)]
    return [p for p in files if p.is_file()]


@pytest.fixture(scope="module")
def files(checkout: Path) -> list[Path]:
    found = tracked(checkout)
    assert checkout / "pyproject.toml" in found
    return found


def test_no_python_file_is_long(files: list[Path]) -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in files if p.suffix == ".py"}
    assert {str(p): n for p, n in lengths.items() if n > LONGEST} == {}


@pytest.mark.parametrize("trace", [MACHINE, INDEX], ids=["machine path", "package index"])
def test_no_trace_of_a_machine(files: list[Path], trace: re.Pattern[str]) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in files
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if trace.search(line)
    ]
    assert found == []


def test_the_traces_are_found() -> None:
    assert MACHINE.search("open('" + "/home" + "/ann/x')")
    assert MACHINE.search("C:" + "\\Users\\ann")
    assert not MACHINE.search("https://example.org/work/paper.pdf, ../home/x, ~/work/x")
    assert INDEX.search("pip install --index-" + "url x")


def test_every_package_folder_says_what_it_is(checkout: Path) -> None:
    folders = {p.parent for p in (checkout / "perfmodel").rglob("*.py")}
    faces = {folder: folder / "__init__.py" for folder in folders}
    assert [str(f) for f, face in faces.items() if not face.is_file()] == []
    assert [
        str(face) for face in faces.values() if not ast.get_docstring(ast.parse(face.read_text()))
    ] == []


def test_pre_commit_runs_the_ruff_of_the_dev_extra(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    (pin,) = [d for d in project["optional-dependencies"]["dev"] if d.startswith("ruff")]
    hooks = (checkout / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"ruff==[\d.]+", hooks) == [pin, pin]
