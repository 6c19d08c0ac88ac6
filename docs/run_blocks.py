"""Run the code blocks of Markdown files and compare, or refresh, what they print.

Blocks that are run, in the order of the page and in one empty folder a page:

* ``python``: all of a page share their names; a ``text`` block right after one is what it prints.
* ``console``: lines after ``$ `` are commands, the others what they print.
* ``yaml NAME``: written to the file NAME first. A ``yaml`` block without a name is only shown.

An output may leave parts out as ``...``. Other blocks (``sh``) are not run.

    python docs/run_blocks.py [--update] README.md docs/*.md
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^```(\w*)[ \t]*([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
CHECKOUT = Path(__file__).resolve().parent.parent
_CHECK = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS


#: A number printed to its last bit.
_LONG = re.compile(r"\d+\.\d{11,}(?:e[-+]?\d+)?")


def _twelve(text: str) -> str:
    return _LONG.sub(lambda found: f"{float(found[0]):.12g}", text)


@dataclass
class Block:
    """A fenced block: language, what follows it on its line, text, and where the text stands."""

    language: str
    name: str
    text: str
    start: int
    end: int
    line: int


@dataclass
class Step:
    """Something that was run: what the page says it prints, and what it printed."""

    line: int
    source: str
    expected: str
    printed: str
    #: Where the page says it; -1 for Python that has no ``text`` block to say it in.
    start: int
    end: int

    @property
    def good(self) -> bool:
        """Whether the page tells the truth, to twelve digits: the last few differ by processor."""
        return _CHECK.check_output(_twelve(self.expected), _twelve(self.printed), _FLAGS)

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.source.strip().splitlines()[-1]}\n"
            f"--- the page says\n{self.expected}--- it printed\n{self.printed}"
        )


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(m[1], m[2].strip(), m[3], m.start(3), m.end(3), page.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(page)
    ]


def run(
    page: str, folder: Path, console: Callable[[str, Path], str] | None = None
) -> Iterator[Step]:
    """Run the blocks of a page in a folder, as in a checkout.

    Parameters
    ----------
    page
        Text of the page.
    folder
        Where files are written and commands run.
    console
        A command and its folder -> what it prints; `shell` where left out.
    """
    for shared in ("examples", "hardware_specs", "workloads"):
        (folder / shared).symlink_to(CHECKOUT / shared, target_is_directory=True)
    found = blocks(page)
    names: dict[str, Any] = {"__name__": "__main__"}
    for i, block in enumerate(found):
        if block.language == "python":
            printed = _python(block, names, folder)
            after = found[i + 1] if i + 1 < len(found) else None
            if after and after.language == "text" and _next(page[block.end : after.start]):
                yield Step(block.line, block.text, after.text, printed, after.start, after.end)
            else:
                yield Step(block.line, block.text, "", printed, -1, -1)
        elif block.language == "console":
            yield from _console(block, folder, console or shell)
        elif block.language == "yaml" and block.name:
            (folder / block.name).write_text(block.text, encoding="utf-8")


def _next(between: str) -> bool:
    """Tell whether nothing but two fences stands between two blocks."""
    return not between.replace("```text", "").replace("```", "").strip()


def _python(block: Block, names: dict[str, Any], folder: Path) -> str:
    out = io.StringIO()
    # Faults of the page show its own line.
    code = compile("\n" * block.line + block.text, "page", "exec")
    with contextlib.redirect_stdout(out), contextlib.chdir(folder):
        exec(code, names)
    return out.getvalue()


def _console(block: Block, folder: Path, console: Callable[[str, Path], str]) -> Iterator[Step]:
    lines = block.text.splitlines(keepends=True)
    at, i = block.start, 0
    while i < len(lines):
        command = lines[i]
        if not command.startswith("$ "):
            raise ValueError(f"line {block.line + 1 + i}: a command starts with '$ '")
        number, i, at = block.line + 1 + i, i + 1, at + len(command)
        while command.rstrip("\n").endswith("\\"):
            command, i, at = command + lines[i], i + 1, at + len(lines[i])
        start = at
        expected = ""
        while i < len(lines) and not lines[i].startswith("$ "):
            expected, i, at = expected + lines[i], i + 1, at + len(lines[i])
        yield Step(number, command, expected, console(command[2:], folder), start, at)


def shell(command: str, folder: Path) -> str:
    """Return what a command prints on both streams, in a terminal of 100 columns."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def updated(page: str, folder: Path) -> str:
    """Return the page with what its blocks print; an output leaves out what it left out."""
    changes = [step for step in run(page, folder) if not step.good]
    for step in reversed(changes):
        if step.start >= 0:
            printed = abridged(page[step.start : step.end], step.printed)
            page = page[: step.start] + printed + page[step.end :]
    return page


def abridged(before: str, printed: str) -> str:
    """Return an output with the lines, and the words, that its former text left out as ``...``.

    Every former line takes the line printed after the one before it that is most like it.
    """
    if "..." not in before:
        return printed
    lines, out, start = printed.splitlines(), [], 0
    for line in before.splitlines():
        if line.strip() == "...":
            out.append(line)
            continue
        known = line.replace("...", "")
        likeness = [SequenceMatcher(None, known, new).quick_ratio() for new in lines[start:]]
        if not likeness:
            return printed
        place = start + max(range(len(likeness)), key=lambda i: likeness[i] - 1e-6 * i)
        head, dots, tail = line.partition("...")
        new, start = lines[place], place + 1
        words = len(head.split(" ")) - 1
        cut = " ".join([*new.split(" ")[:words], ""]) if words else ""
        end = f" {' '.join(new.split(' ')[-len(tail.split()) :])}" if tail.split() else tail
        # A line that prints dots of its own leaves nothing out.
        out.append(f"{cut}{dots}{end}" if dots and "..." not in new else new)
    text = "\n".join(out) + "\n"
    return text if _CHECK.check_output(text, printed, _FLAGS) else printed


def main(arguments: list[str]) -> int:
    """Check the pages, or update them."""
    update = "--update" in arguments
    wrong = 0
    for name in arguments:
        if name == "--update":
            continue
        path = Path(name)
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            if update:
                path.write_text(updated(page, Path(folder)), encoding="utf-8")
                continue
            for step in run(page, Path(folder)):
                if not step.good:
                    wrong += 1
                    sys.stdout.write(f"{name} {step}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
