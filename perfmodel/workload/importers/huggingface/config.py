"""Typed access to the keys of a Hugging Face config, collecting faults.

`declarations` and the modules of rules read a config through this class, so that each invalid key
is a fault at its place in the file, and each fault of the resulting structure is traced back to the
key that states the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.source_positions import Path
from perfmodel.specfile import shipped
from perfmodel.workload.layer_expressions import shown

#: (family, fields of its structure).
StructureFields: TypeAlias = tuple[str, dict[str, Any]]

#: Field of the structure (``experts.count`` for a nested one) -> value.
Fields: TypeAlias = dict[str, Any]

_LIMIT = 10**7
_ACTIVATIONS: Final[Mapping[str, str]] = shipped("workloads", "stored/published.yaml")[
    "activations"
]


class Config:
    """Reader of the keys of a config; reading continues after faults.

    Attributes
    ----------
    flaws
        Collected faults, with paths.
    notes
        Remarks for the user on the imported config.
    defaults
        Defaults of free dimensions that the config states.
    prefix
        Prefix of field names, for a nested part of the structure.
    invalid_fields
        Fields whose key is missing or invalid.
    """

    def __init__(
        self, data: Mapping[str, Any], path: Path = (), flaws: list[Flaw] | None = None
    ) -> None:
        self.data, self.path = data, path
        self.flaws: list[Flaw] = [] if flaws is None else flaws
        self.notes: list[str] = []
        self.defaults: dict[str, float] = {}
        self.prefix = ""
        self.invalid_fields: set[str] = set()
        self._fields: dict[str, Path] = {}
        self._outer: Config = self

    @property
    def classes(self) -> list[Any]:
        """Names in ``architectures`` of the outermost config."""
        return self._outer.sizes("architectures") or []

    def size(self, key: str, default: int | None = None, *, field: str = "", least: int = 1) -> int:
        """Return a count, or record a fault and return 1 if it is invalid.

        Parameters
        ----------
        default
            Value of a missing (or null) key; without a default the key is required.
        field
            Corresponding field of the structure, so that its faults refer to this key.
        """
        if field:
            self._fields[self.prefix + field] = (*self.path, key)
        value = self.data.get(key)
        if value is None:
            if default is None:
                self._missing(key, _expected_size(least))
                self.invalid_fields.add(field)
                return 1
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value <= _LIMIT:
            self.refuse(key, f"{shown(value)} is not a size", _expected_size(least))
            self.invalid_fields.add(field)
            return 1
        return value

    def _checked(
        self,
        key: str,
        default: Any,
        good: Callable[[Any], bool],
        what: str,
        expected: str,
        known: Sequence[str] = (),
    ) -> Any:
        """Return a value, or the default if it is missing or invalid (recorded as a fault)."""
        value = self.data.get(key)
        if value is None:
            return default
        if not good(value):
            near = nearest(str(value), known) if known else ""
            message = f"{shown(value)} is not {what}"
            self.flaws.append(Flaw((*self.path, key), message, expected, near))
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a Boolean."""
        return self._checked(key, default, lambda v: type(v) is bool, "a flag", "true or false")

    def share(self, key: str, default: float) -> float:
        """Return a number from 0 to 1."""

        def good(value: Any) -> bool:
            return type(value) in (int, float) and 0 <= value <= 1

        return float(self._checked(key, default, good, "a share", "a number from 0 to 1"))

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        """Return one of the known words."""
        return self._checked(key, default, known.__contains__, "supported", one_of(known), known)

    def activation(self, *keys: str, default: str) -> str:
        """Return the activation function named by the first of the keys that has a value."""
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if not isinstance(value, str) or value not in _ACTIVATIONS:
                near = nearest(str(value), _ACTIVATIONS)
                message = f"unknown activation {shown(value)}"
                self.flaws.append(Flaw((*self.path, key), message, one_of(_ACTIVATIONS), near))
                return default
            return _ACTIVATIONS[value]
        return default

    def sizes(self, key: str) -> list[Any] | None:
        """Return a list, or None if there is none."""
        return self._checked(key, None, lambda v: isinstance(v, list), "a list", "a list")

    def section(self, key: str) -> Config:
        """Return a nested config, such as ``text_config``, or this one if there is none."""
        value = self.data.get(key)
        if not isinstance(value, Mapping):
            return self
        inner = Config(cast("Mapping[str, Any]", value), (*self.path, key), self.flaws)
        inner.notes, inner.defaults = self.notes, self.defaults
        inner._fields, inner._outer = self._fields, self._outer
        return inner

    def refuse(self, key: str, message: str, expected: str = "") -> None:
        """Record a fault for an unsupported value of a key."""
        self.flaws.append(Flaw((*self.path, key), message, expected))

    def at_config_key(self, flaw: Flaw) -> Flaw:
        """Return a fault of the structure with the path of the corresponding config key."""
        path = ".".join(map(str, flaw.path))
        return Flaw(self._fields.get(path, ()), flaw.message, flaw.expected, flaw.suggestion)

    def _missing(self, key: str, expected: str) -> None:
        """Record the fault of a missing key; a misspelled key that is present is suggested."""
        if key in self.data:
            self.refuse(key, "has no value", expected)
            return
        valid_keys = shipped("workloads", "stored/right_keys.yaml")["huggingface"]
        misspelled_key = nearest(key, [k for k in self.data if k not in valid_keys], 0.75)
        self.flaws.append(
            Flaw(
                (*self.path, misspelled_key),
                f"unknown key '{misspelled_key}'",
                "",
                key,
                on_key=True,
            )
            if misspelled_key
            else Flaw(self.path, f"missing key '{key}'", expected, on_key=True)
        )


def _expected_size(least: int) -> str:
    """Return the expected value of a size, for messages."""
    return f"a whole number from {least} to {_LIMIT:,}"
