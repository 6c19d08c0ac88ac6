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
    from importlib.resources import files

    inside = files("perfmodel").joinpath("_data", kind)
    if inside.is_dir():
        return Path(str(inside))
    return Path(__file__).resolve().parents[1] / kind
