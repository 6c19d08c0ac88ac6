"""Spaces of architectures whose members are workloads: `space` builds one, `names` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from perfmodel.deprecation import deprecated_names
from perfmodel.errors import InputError, input_error, nearest, no_such, one_of
from perfmodel.workload.nas_spaces.architecture_space import (
    ArchitectureDecision,
    ArchitectureSpace,
    Choice,
    Choices,
    Segment,
    VariantClass,
)

__all__ = [
    "ArchitectureDecision",
    "ArchitectureSpace",
    "Choice",
    "Choices",
    "Segment",
    "VariantClass",
    "names",
    "space",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Decision="ArchitectureDecision", Kin="VariantClass")

#: Name of a space -> module with its ``build(**settings)``.
_MODULES: Mapping[str, str] = {
    "nas_bench_201": "perfmodel.workload.nas_spaces.nas_bench_201",
    "fbnet": "perfmodel.workload.nas_spaces.fbnet",
    "ofa_mobilenet_v3": "perfmodel.workload.nas_spaces.once_for_all",
    "mcunet": "perfmodel.workload.nas_spaces.mcunet",
}


def names() -> tuple[str, ...]:
    """Return the names of the spaces."""
    return tuple(_MODULES)


def space(name: str, **settings: Any) -> ArchitectureSpace:
    """Return a space of architectures.

    Parameters
    ----------
    name
        One of `names`.
    settings
        Input size, classes and the other settings that the space's module documents.

    Raises
    ------
    InputError
        Unknown names and bad settings, all of them at once.
    """
    module = _MODULES.get(name)
    if module is None:
        raise input_error(
            f"no space of architectures is called {name!r}",
            expected=one_of(_MODULES),
            suggestion=nearest(str(name), _MODULES),
        )
    build: Callable[..., ArchitectureSpace] = import_module(module).build
    own = [n for n, each in signature(build).parameters.items() if each.kind is each.KEYWORD_ONLY]
    slips = [n for n in settings if n not in own and nearest(n, own, cutoff=0.8)]
    if slips:
        raise InputError(no_such(f"unknown key '{name}'", name, own, name) for name in slips)
    return build(**settings)
