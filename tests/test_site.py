"""The documentation site builds without a warning and needs no other host; its pages are whole."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import perfmodel as pm
from perfmodel.catalog import kinds
from perfmodel.kinds import kind
from perfmodel.prediction import METRICS
from perfmodel.sweep.plan import EXTRA
from perfmodel.sweep.plan import METRICS as COLUMNS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).lower()


# navigation


def test_every_page_is_in_the_navigation() -> None:
    pytest.importorskip("sphinx")
    conf = load("conf")
    sections = conf.navigation((DOCS / "index.md").read_text(encoding="utf-8"))
    assert [title for title, _ in sections] == [
        "Start",
        "How to",
        "Questions",
        "Explanation",
        "Reference",
        "Trust",
    ]
    listed = [page for _, pages in sections for page in pages]
    assert len(listed) == len(set(listed))
    there = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for pattern in ("docs/*.md", "docs/*.rst", "notebooks/*.ipynb", "*.md")
        for path in ROOT.glob(pattern)
    }
    assert there - set(listed) == {"docs/index"}


# what is generated, and what lists everything


def test_the_equations_are_those_of_the_kinds() -> None:
    module = load("equations_page")
    assert set(module.PAGES) == set(kinds())
    page = module.page()
    assert (DOCS / "equations.md").read_text(encoding="utf-8") == page, (
        "python docs/equations_page.py -o docs/equations.md refreshes it"
    )
    for name, (link, _) in module.PAGES.items():
        derived = (DOCS / link).read_text(encoding="utf-8")
        assert f"`{name}`" in derived, f"{link} does not name its kind"
        for said in kind(name).equations.values():
            assert name == "fpga" or said.text in page


def rows() -> list[list[str]]:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [cells for cells in found if cells[0] != "term"]


def test_the_glossary_has_every_metric() -> None:
    terms = {cells[0].strip("`") for cells in rows()}
    assert {*METRICS, *COLUMNS, *EXTRA} - terms == set()
    assert len(terms) == len(rows())


def test_terms_of_the_glossary_are_used() -> None:
    """Each is a word of the product itself, and on the page that its row leads to."""
    source = plain(
        "\n".join(
            path.read_text(encoding="utf-8")
            for package in ("perfmodel", "studies/perfmodel_studies")
            for path in (ROOT / package).rglob("*.py")
        )
    )
    wrong: list[str] = []
    for cells in rows():
        term = plain(cells[0].strip("`"))
        link = re.search(r"\]\(([^)]+)\)", cells[2])
        assert link, cells[0]
        page = plain((DOCS / link[1].partition("#")[0]).read_text(encoding="utf-8"))
        stem = term.rstrip("s")
        wrong += [f"{cells[0]} is not in the source"] if stem not in source else []
        wrong += [f"{cells[0]} is not in {link[1]}"] if stem not in page else []
    assert wrong == []


def test_every_word_of_the_face_is_documented() -> None:
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto\w+:: perfmodel\.(?:\w+\.)*(\w+)$", text, re.MULTILINE))
    assert set(pm.__all__) - documented == {"__version__"}


# the build

#: Sphinx without its index for searching, and with the tree of all pages on one page a folder: on
#: the others it is the same, and takes half of the time.
BUILD = """
import sys, furo
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.cmd.build import main
tree, folders = furo._compute_navigation_tree, set()
def once(context):
    folder = context["pagename"].rpartition("/")[0]
    return "" if folder in folders or folders.add(folder) else tree(context)
furo._compute_navigation_tree = once
StandaloneHTMLBuilder.search = False
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo")
    pytest.importorskip("myst_nb")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BUILD,
            "-q",
            "-c",
            "docs",
            "-W",
            "--keep-going",
            "-n",
            "-d",
            str(folder / "doctrees"),
            ".",
            str(folder / "html"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 80
    loads = re.compile(
        r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=\"(?:https?:)?//"
        r"|<link\b(?![^>]*rel=\"canonical\")[^>]*\bhref=\"(?:https?:)?//",
    )
    broken: list[str] = []
    anchors: dict[Path, set[str]] = {}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert loads.search(text) is None, page.name
        anchors[page] = set(re.findall(r"\bid=\"([^\"]+)\"", text))
    for sheet in site.rglob("*.css"):
        assert re.search(r"url\([\"']?(?:https?:)?//|@import", sheet.read_text()) is None
    for page in pages:
        found = re.findall(r"<a\b[^>]*\bhref=\"([^\"]*)\"", page.read_text(encoding="utf-8"))
        for link in dict.fromkeys(found):
            if "://" in link or link.startswith(("mailto:", "data:")):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            known = anchors.get(target, set()) if target.suffix == ".html" else {anchor}
            if not target.exists() or (anchor and anchor not in known):
                broken.append(f"{page.relative_to(site)} -> {link}")
    assert broken == []
