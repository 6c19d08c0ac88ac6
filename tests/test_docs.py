"""The pages tell the truth: code blocks are run and what they print is compared; links lead on."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from perfmodel.cli import main
from tests.draws import ALL_DRAWN
from tests.offenders import each

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], key=lambda path: path.name)
OTHERS = [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_blocks", ROOT / "docs" / "run_blocks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["run_blocks"] = module
    spec.loader.exec_module(module)
    return module


run_blocks = load()


#: Those that take longest.
LONG = {"schedules.md", "patches.md", "zigzag.md", "nas_latency.md", "models.md"}


#: What asks a shell for more than one command and its exit code.
SHELL = re.compile(r"[|;&<>$`*]")
CODE = '; echo "exit code $?"'


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], str]:
    """What a command prints: ``perfmodel`` in this process, all else in a shell of its own."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def answer(command: str, folder: Path) -> str:
        plain = command.strip().removesuffix(CODE)
        words = shlex.split(plain.replace("\\\n", " "))
        # Between quotation marks a shell reads nothing but `$`, and no page has one there.
        if words[0] != "perfmodel" or SHELL.search(re.sub(r'"[^"$`]*"|\'[^\']*\'', "", plain)):
            return run_blocks.shell(command, folder)
        out = io.StringIO()
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            code = main(words[1:])
        ended = f"exit code {code}\n" if command.strip().endswith(CODE) else ""
        return out.getvalue() + ended

    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.exhaustive] * (page.name in LONG)) for page in PAGES],
    ids=lambda path: path.name,
)
def test_blocks_print_what_the_page_says(
    page: Path, tmp_path: Path, console: Callable[[str, Path], str]
) -> None:
    """The README's commands start processes, as a reader's do; all pages' in `make test_all`."""
    started = ALL_DRAWN or page.name == "README.md"
    text = page.read_text(encoding="utf-8")
    steps = list(run_blocks.run(text, tmp_path, None if started else console))
    wrong = [f"{page.name} {step}" for step in steps if not step.good]
    assert wrong == [], "\n".join([*wrong, "(python docs/run_blocks.py --update FILE refreshes)"])


@each("page", [*PAGES, *OTHERS])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link.partition("#")[0] for link in links if "://" not in link]
    missing = [link for link in local if link and not (page.parent / link).exists()]
    assert missing == []


def test_commands_to_type_exist() -> None:
    """``sh`` blocks are not run; what they ask for must be there."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [*PAGES, *OTHERS]:
        for block in run_blocks.blocks(page.read_text(encoding="utf-8")):
            if block.language == "sh":
                for word in re.findall(r"\bmake ([a-z]+)", block.text):
                    assert word in targets, f"{page.name}: make {word}"


def test_python_examples_in_pages_are_many() -> None:
    """The pages are run at all: a fence spelled another way would pass in silence."""
    languages = {"python", "console", "text", "yaml", "sh", "ebnf", "json", "csv", ""}
    count = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = run_blocks.blocks(text)
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found), page.name
        assert {block.language for block in found} <= languages, page.name
        count += sum(block.language in {"python", "console"} for block in found)
    assert count > 25


PAGE = """
```python
print(1 + 1)
```

```text
3
```

```console
$ echo one; echo two
one
...
$ exit 3
```
"""


def test_a_wrong_page_is_found_and_mended(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    steps = list(run_blocks.run(PAGE, tmp_path / "a"))
    assert [step.good for step in steps] == [False, True, True]
    assert "line 2" in str(steps[0])
    mended = run_blocks.updated(PAGE, tmp_path / "b")
    assert mended == PAGE.replace("3\n```\n\n```console", "2\n```\n\n```console")
    assert all(step.good for step in run_blocks.run(mended, tmp_path / "c"))
