"""Reads the keys of a Hugging Face config; what is wrong is collected, and reading goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from perfmodel.errors import nearest, one_of
from perfmodel.marks import Path
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_expressions import shown

#: Family and fields of its structure.
Made: TypeAlias = tuple[str, dict[str, Any]]

_LIMIT = 10**7
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_python": "gelu",
    "quick_gelu": "gelu_tanh", "relu": "relu", "relu2": "relu2", "sqrelu": "relu2",
}  # fmt: skip


class Config:
    """Reads keys of a config; what is wrong is collected, and reading goes on.

    Attributes
    ----------
    flaws
        What is wrong, by path.
    notes
        What a user must know about what was read.
    defaults
        Defaults of free dimensions that the config states.
    prefix
        Goes before the names of fields: those of a part of the structure.
    bad
        Fields whose key is at fault.
    """

    def __init__(
        self, data: Mapping[str, Any], path: Path = (), flaws: list[Flaw] | None = None
    ) -> None:
        self.data, self.path = data, path
        self.flaws: list[Flaw] = [] if flaws is None else flaws
        self.notes: list[str] = []
        self.defaults: dict[str, float] = {}
        self.prefix = ""
        self.bad: set[str] = set()
        self._fields: dict[str, Path] = {}
        self._outer: Config = self

    @property
    def classes(self) -> list[Any]:
        """Names of classes that the config, or that around it, states."""
        return self._outer.sizes("architectures") or []

    def size(
        self, key: str, default: int | None = None, *, field: str = "", least: int = 1,
        nullable: bool = True,
    ) -> int:  # fmt: skip
        """Return a count; where it is at fault the fault is noted and 1 returned.

        Parameters
        ----------
        default
            What a missing (or null) key means; without one the key is required.
        field
            Field of the structure that it becomes, so that faults found there point here.
        """
        if field:
            self._fields[self.prefix + field] = (*self.path, key)
        value = self.data.get(key)
        if value is None and (key not in self.data or nullable):
            if default is None:
                self._missing(key, _size(least))
                self.bad.add(field)
                return 1
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value <= _LIMIT:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not a size", _size(least))
            )
            self.bad.add(field)
            return 1
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a yes or no."""
        value = self.data.get(key)
        if value is None:
            return default
        if type(value) is not bool:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not a flag", "true or false")
            )
            return default
        return value

    def share(self, key: str, default: float) -> float:
        """Return a number from 0 to 1."""
        value = self.data.get(key)
        if value is None:
            return default
        if type(value) not in (int, float) or not 0 <= value <= 1:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not a share", "a number from 0 to 1")
            )
            return default
        return float(value)

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        """Return one of some words."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in known:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not supported",
                     one_of(known), nearest(str(value), known))
            )  # fmt: skip
            return default
        return value

    def activation(self, *keys: str, default: str) -> str:
        """Return the activation function that the first of the keys names."""
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if not isinstance(value, str) or value not in _ACTIVATIONS:
                self.flaws.append(
                    Flaw((*self.path, key), f"unknown activation {shown(value)}",
                         one_of(_ACTIVATIONS), nearest(str(value), _ACTIVATIONS))
                )  # fmt: skip
                return default
            return _ACTIVATIONS[value]
        return default

    def sizes(self, key: str) -> list[Any] | None:
        """Return a list, or none."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, list):
            self.flaws.append(Flaw((*self.path, key), f"{shown(value)} is not a list", "a list"))
            return None
        return cast("list[Any] | None", value)

    def section(self, key: str) -> Config:
        """Return the config of a part, such as ``text_config``; this one where there is none."""
        value = self.data.get(key)
        if not isinstance(value, Mapping):
            return self
        inner = Config(cast("Mapping[str, Any]", value), (*self.path, key), self.flaws)
        inner.notes, inner.defaults, inner._fields = self.notes, self.defaults, self._fields
        inner._outer = self._outer
        return inner

    def refuse(self, key: str, message: str, expected: str = "") -> None:
        """Note that a value of a key is not supported."""
        self.flaws.append(Flaw((*self.path, key), message, expected))

    def placed(self, flaw: Flaw) -> Flaw:
        """Return a fault of the structure at the key of the config that it came from."""
        path = ".".join(map(str, flaw.path))
        return Flaw(self._fields.get(path, ()), flaw.message, flaw.expected, flaw.suggestion)

    def _missing(self, key: str, expected: str) -> None:
        if key in self.data:
            self.flaws.append(Flaw((*self.path, key), "has no value", expected))
            return
        written = nearest(key, [k for k in self.data if k not in _KEYS], 0.75)
        if written:
            self.flaws.append(Flaw((*self.path, written), f"unknown key '{written}'", "", key,
                                   on_key=True))  # fmt: skip
        else:
            self.flaws.append(Flaw(self.path, f"missing key '{key}'", expected, on_key=True))


def _size(least: int) -> str:
    return f"a whole number from {least} to {_LIMIT:,}"


#: Keys that are right as they are, so that none is taken for a misspelling of another.
_KEYS = frozenset((
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "vocab_size", "head_dim", "moe_intermediate_size",
    "shared_expert_intermediate_size", "num_experts", "num_local_experts", "n_routed_experts",
    "n_shared_experts", "num_experts_per_tok", "kv_lora_rank", "q_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "d_model", "encoder_layers",
    "decoder_layers", "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim",
    "decoder_ffn_dim", "ffn_dim", "n_embd", "n_layer", "n_head", "n_inner", "n_positions",
    "max_position_embeddings", "num_layers", "model_type", "type_vocab_size", "sliding_window",
    "hidden_act", "num_kv_heads", "moe_ffn_hidden_size", "n_layers", "n_heads", "hidden_dim",
    "dim", "state_size", "num_heads", "n_groups", "encoder_num_hidden_layers",
    "decoder_num_hidden_layers", "encoder_num_attention_heads", "decoder_num_attention_heads",
    "encoder_num_key_value_heads", "decoder_num_key_value_heads", "decoder_n_points",
    "encoder_n_points", "num_queries", "attention_hidden_size", "encoder_hidden_dim",
    "moe_num_primary_experts", "moe_num_active_primary_experts", "num_detection_tokens",
    "projection_dim", "image_size", "patch_size",
))  # fmt: skip
