"""The documentation site: Sphinx over the Markdown of the checkout, on nothing from other hosts.

    make docs        # into site/html, notebooks run and shown with what they draw
    sphinx-build -c docs -W --keep-going -n . site/html    # the same without running notebooks

The source folder is the checkout, so that a link from one page to another, to a notebook or to a
spec file is the same path here and on a page that shows the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from perfmodel import __version__

ROOT = Path(__file__).resolve().parent.parent
INDEX = "docs/index"
QUESTIONS = "docs/howto"

project = "perfmodel"
copyright = "the perfmodel authors, Apache-2.0"
version = release = __version__
root_doc = INDEX
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md", "docs/*.rst",
    "notebooks/*.ipynb",
]  # fmt: skip
exclude_patterns = [
    ".*", "**/__pycache__", "*.egg-info", "benchmarks", "build", "dist", "hardware_specs", "out",
    "perfmodel", "shared", "site", "tests", "workloads",
]  # fmt: skip

# Pages are Markdown as it is shown everywhere; anchors of headings are what links point at.
myst_heading_anchors = 4
# No math extension: it would fetch MathJax from another host, and formulas are plain text here.
myst_enable_extensions: list[str] = []
# A heading `#### x` right under `## y` is a matter of taste.
# The same attribute of several results, named in the docstring of one of them, is that one's.
# A block of CSV is shown as it is.
suppress_warnings = ["myst.header", "ref.python", "misc.highlighting_failure"]
# Notebooks are tested by tests/test_notebooks.py; a site with their figures runs them once more.
nb_execution_mode = "force" if os.environ.get("PERFMODEL_SITE_NOTEBOOKS") else "off"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True

autodoc_typehints = "none"  # numpydoc docstrings say the types, with shapes and units
autodoc_member_order = "bysource"
add_module_names = False
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
# References between pages must hold; names of types inside prose are not all documented.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = f"perfmodel {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["site_root"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"font-stack--monospace": "ui-monospace, SFMono-Regular, Menlo, "
                            "Consolas, 'DejaVu Sans Mono', monospace"},
}  # fmt: skip


def navigation(text: str, folder: str = "docs") -> list[tuple[str, dict[str, str]]]:
    """Return the sections of the index, each with its pages and what they are called, in order.

    Parameters
    ----------
    text
        The index: ``## Section`` and below it a list, or a table, that links its pages.
    folder
        Where it lies in the checkout.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        pages: dict[str, str] = {}
        for name, link in re.findall(r"\[([^\]]+)\]\(([^)#\s]+\.(?:md|rst|ipynb))\)", rest):
            page = os.path.normpath(f"{folder}/{link}").removesuffix(Path(link).suffix)
            pages.setdefault(page, name)
        found.append((title.strip(), pages))
    return found


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give indices the tables of contents that their lists of links are."""
    if docname == f"{QUESTIONS}/index":
        pages = sorted(path.stem for path in (ROOT / QUESTIONS).glob("*.md"))
        entries = "\n".join(page for page in pages if page != "index")
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"
    if docname != INDEX:
        return
    for title, pages in navigation(source[0]):
        entries = "\n".join(f"{name} </{page}>" for page, name in pages.items())
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"


def without_mathjax(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Take out the script that plotly would fetch for formulas in figures; none has any."""
    body = context.get("body", "")
    context["body"] = re.sub(r'<script src="https://[^"]*mathjax[^"]*"></script>', "", body)


def setup(app: Sphinx) -> None:
    """Register what this site adds."""
    app.connect("source-read", add_navigation)
    app.connect("html-page-context", without_mathjax)
