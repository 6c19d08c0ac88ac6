"""Published tables and bounds of constants that studies need, in YAML files beside this module.

Each file says in its head what a row is and where it was published.
"""

from functools import cache
from pathlib import Path
from typing import Any

from perfmodel.calibrate import Constant
from perfmodel.specfile import read

__all__ = ["constants_of", "table"]


@cache
def table(name: str) -> Any:
    """Return the contents of a file."""
    return read(Path(__file__).parent / f"{name}.yaml")[0]


def constants_of(section: str, prefix: str = "") -> tuple[Constant, ...]:
    """Return the constants of a section of ``constants.yaml``, their names after a prefix."""
    rows = table("constants")[section].items()
    return tuple(Constant(prefix + name, *row) for name, row in rows)
