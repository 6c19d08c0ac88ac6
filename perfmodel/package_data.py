"""Folder of the data files that are shipped with the package: hardware specs and workloads."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache
def data_root(kind: str = "hardware_specs") -> Path:
    """Return the folder of the data shipped with the package.

    Parameters
    ----------
    kind : str
        ``hardware_specs`` or ``workloads``.

    Returns
    -------
    Path
        Folder inside the installed package, else in the checkout next to it.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_data" / kind
    return inside if inside.is_dir() else package.parent / kind
