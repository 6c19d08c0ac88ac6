"""Regenerate the golden net, or compare it: ``python -m tests.golden [--check] [SECTION...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from time import process_time

from tests.golden import store
from tests.golden.compare import Change, changes, grouped, settled
from tests.golden.figures import Section, Value
from tests.golden.sections import SECTIONS

RECORD = Path(__file__).parent / "CHANGES.md"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("section", nargs="*", help="by default all that this machine can compute")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--reason", default="", help="why figures change, for CHANGES.md")
    parser.add_argument("--rows", type=int, default=None, help="print at most so many changes")
    return parser.parse_args(arguments)


def chosen(names: Sequence[str]) -> list[Section]:
    """Return sections by name; all whose data are there where none is named."""
    from tests.conftest import data_folder

    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise SystemExit(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if names:
        return [SECTIONS[name] for name in names]
    there = data_folder().is_dir()
    return [section for section in SECTIONS.values() if there or not section.measured]


def recorded(reason: str, found: Sequence[tuple[str, Sequence[Change]]]) -> None:
    """Append an entry to the record of changes."""
    counts = ", ".join(f"{name} {len(listed)}" for name, listed in found if listed)
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(f"\n## {date.today().isoformat()}\n\n{reason.strip()}\n\nFigures: {counts}.\n")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare sections with the store, and write them unless told to check."""
    asked = parsed(arguments)
    results = list[tuple[Section, dict[str, Value], list[Change]]]()
    for section in chosen(asked.section):
        began = process_time()
        old, new = store.read(section.name), section.now()
        found = changes(section, old, new)
        results.append((section, settled(section, old, new), found))
        added = sum(change.new_key for change in found)
        counts = f"{len(new)} figures, {len(found) - added} changed, {added} new"
        say(f"{section.name}: {counts}, {process_time() - began:.1f} s")
        for line in grouped([c for c in found if not c.new_key], asked.rows):
            say(f"  {line}")
    altered = [(s.name, [c for c in found if not c.new_key]) for s, _, found in results]
    if asked.check:
        return int(any(found for _, _, found in results))
    if any(listed for _, listed in altered) and not asked.reason.strip():
        say("nothing is written: figures changed, and --reason does not say why")
        return 2
    size = sum(store.write(section.name, values) for section, values, _ in results)
    say(f"{size} bytes written")
    if any(listed for _, listed in altered):
        recorded(asked.reason, altered)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
