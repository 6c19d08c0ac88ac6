"""The lowest versions that pyproject.toml declares, as requirements: ``python tests/lowest.py``.

`make test_lowest` installs exactly these, so that a bound that does not hold fails.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Extras whose libraries are small enough to be installed beside the required ones.
EXTRAS = ("dask", "jax", "notebook", "onnx", "parquet", "search", "ui")
#: What the tests themselves take of the extra `dev`.
TOOLS = ("hypothesis", "pytest", "pytest-xdist")
_BOUND = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)>=(?P<lowest>[0-9][0-9.]*)")


def lowest(project: dict[str, Any]) -> Iterator[str]:
    """Yield ``NAME==LOWEST`` of every dependency."""
    extras = project["optional-dependencies"]
    tools = [text for text in extras["dev"] if text.partition(">=")[0] in TOOLS]
    for text in (*project["dependencies"], *(t for e in EXTRAS for t in extras[e]), *tools):
        bound = _BOUND.fullmatch(text)
        if bound is None:
            raise SystemExit(f"pyproject.toml: '{text}' has no lowest version (NAME>=VERSION)")
        yield f"{bound['name']}=={bound['lowest']}"


if __name__ == "__main__":
    file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    sys.stdout.write("\n".join(lowest(tomllib.loads(file.read_text())["project"])) + "\n")
