"""Construction of a configuration space: conversion of a user's choices to decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, cast, get_args

from perfmodel.errors import Fault, input_error, nearest, not_among
from perfmodel.formats import Precision, as_precision, fixed_format, parse_precision
from perfmodel.formats.format import find
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.search.space.decision import Decision, Role
from perfmodel.settings import FaultList, is_fact
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite import (
    ChannelGroup,
    CompressibleLayer,
    FormatGroup,
    channel_groups,
    format_groups,
    layers,
)
from perfmodel.workload.workload import Workload

#: Scope of one decision: a layer, a block, all layers of a kind, or the network.
Share: TypeAlias = Literal["layer", "block", "kind", "network"]

SHARES: tuple[Share, ...] = get_args(Share)

_WEIGHTS = ("weight_bits", "weight_format", "expert_bits", "sparsity")
_ACTIVATIONS = ("activation_bits", "activation_format")
_KV = ("kv_bits", "kv_format")
_WORDS = (*_WEIGHTS, *_ACTIVATIONS, *_KV, "channels", "precision")


def configurations_of(
    workload: Workload,
    choices: Mapping[str, Any],
    *,
    share: Share = "layer",
    precision: str | Precision | None = None,
) -> ConfigurationSpace:
    """Return the space of configurations spanned by a user's choices.

    Parameters
    ----------
    workload
        The network.
    choices
        Subject of a decision -> its options:

        ``weight_bits`` (numbers; 16 and 32 are floating point) or ``weight_format``, with
        ``sparsity`` (fractions of zeros, ``2:4``): one decision per layer; ``expert_bits``: the
        same for the experts of a layer, which may differ (``8:0.25/2:0.75``: a quarter of them in 8
        bits, the others in 2);
        ``activation_bits`` or ``activation_format``: one per group of activations that share a
        format (`format_groups`); ``kv_bits`` or ``kv_format``: one for all caches;
        ``channels``: fractions of a width, one decision per channel group (`channel_groups`), each
        rounded to the nearest allowed width; ``precision``: for everything else;
        a parameter of the workload (``batch``); a fact of the device by its path.

        Options are a list, or a mapping from patterns of layer names (``layer1.*``, ``kind:conv``)
        to lists, of which the last match applies; layers without a match are unchanged.
    share
        Scope of one decision: each layer, each block, all layers of a kind, or all layers.
    precision
        Formats of everything without a decision.

    Raises
    ------
    InputError
        For all unknown words, patterns without a match and invalid options.
    """
    faults = FaultList()
    stated = None if precision is None else as_precision(precision)
    graph = workload.graph()
    faults += not_among(f"no layers are shared by '{share}'", share, SHARES, "share")
    _check_words(workload, choices, faults)
    read = _Decisions(graph, choices, share, stated, faults)
    decisions = [
        *read.weights(),
        *read.activations(),
        *read.kv(),
        *read.channels(),
        *read.others(workload),
    ]
    if not decisions and not faults:
        faults.append(
            Fault(
                "nothing is decided",
                path="choices",
                expected=f"one of {', '.join(_WORDS)}, a parameter or a fact",
            )
        )
    faults.settle()
    return ConfigurationSpace(workload.name, workload, tuple(decisions), stated)


def _check_words(workload: Workload, choices: Mapping[str, Any], faults: list[Fault]) -> None:
    known = [*_WORDS, *workload.parameters]
    faults += [
        Fault(
            f"'{word}' is not a choice",
            path=f"choices.{word}",
            expected=f"one of {', '.join(known)}, or a fact of the device",
            suggestion=nearest(word, known),
        )
        for word in choices
        if word not in known and not is_fact(word)
    ]
    faults += [
        Fault(f"both {one} and {other}", path=f"choices.{other}", expected="one of them")
        for one, other in (("weight_bits", "weight_format"), _ACTIVATIONS, _KV)
        if one in choices and other in choices
    ]


class _Decisions:
    """Builder of decisions, which collects all faults."""

    def __init__(
        self,
        graph: Graph,
        choices: Mapping[str, Any],
        share: Share,
        precision: Precision | None,
        faults: FaultList,
    ) -> None:
        self.graph, self.choices, self.share = graph, choices, share
        self.precision, self.faults = precision, faults
        self.layers = layers(graph)

    def weights(self) -> list[Decision]:
        """Return the decisions on weight formats and sparsity."""
        if not any(word in self.choices for word in _WEIGHTS):
            return []
        names = [layer.name for layer in self.layers]
        kinds = [layer.kind for layer in self.layers]
        word = "weight_format" if "weight_format" in self.choices else "weight_bits"
        formats = self._options(word, names, kinds, _weight_format)
        experts = self._options("expert_bits", names, kinds, _expert_format)
        if "expert_bits" in self.choices and "moe" not in kinds:
            self.faults.append(
                Fault(
                    f"'{self.graph.name}' has no experts",
                    path="choices.expert_bits",
                    expected="a mixture of experts, or weight_bits",
                )
            )
        formats = [
            other if kind == "moe" and other is not None else own
            for own, other, kind in zip(formats, experts, kinds, strict=True)
        ]
        zeros = self._options("sparsity", names, kinds, _sparsity)
        groups: dict[tuple[str, tuple[str, ...]], list[CompressibleLayer]] = {}
        for i, layer in enumerate(self.layers):
            own, sparse = formats[i], zeros[i]
            if own is None and sparse is None:
                continue
            if own is None:
                own = [self.precision.weights.name] if self.precision else [""]
                if not self.precision and not any(f.path == "precision" for f in self.faults):
                    self.faults.append(
                        Fault(
                            "sparsity of weights of no stated format",
                            path="precision",
                            expected="a precision, or weight_bits beside sparsity",
                        )
                    )
            options = tuple(f"{f}{z}" for f in own for z in (sparse or [""]))
            groups.setdefault(
                (self._shared(layer.name, layer.block, layer.kind), options), []
            ).append(layer)
        return [
            Decision(
                f"{name}.weights",
                options,
                "weights",
                tuple(w for layer in members for w in layer.weights),
                tuple(layer.name for layer in members),
            )
            for (name, options), members in groups.items()
        ]

    def activations(self) -> list[Decision]:
        """Return the decisions on activation formats."""
        word = next((w for w in _ACTIVATIONS if w in self.choices), "")
        if not word:
            return []
        decided = [g for g in format_groups(self.graph) if _decides(self.graph, g)]
        readers = {g.name: [x for x in self.layers if x.input in g.tensors] for g in decided}
        names = [g.name for g in decided]
        kinds = [readers[g.name][0].kind if readers[g.name] else "" for g in decided]
        options = self._options(word, names, kinds, _activation_format)
        groups: dict[tuple[str, tuple[str, ...]], list[FormatGroup]] = {}
        for group, kind, own in zip(decided, kinds, options, strict=True):
            if own is not None:
                block = readers[group.name][0].block if readers[group.name] else group.name
                key = (self._shared(group.name, block, kind), tuple(own))
                groups.setdefault(key, []).append(group)
        return [
            Decision(
                f"{name}.activations",
                own,
                "activations",
                tuple(g.tensors[0] for g in together),
                tuple(x.name for g in together for x in readers[g.name]),
            )
            for (name, own), together in groups.items()
        ]

    def kv(self) -> list[Decision]:
        """Return the decision on the common format of all caches."""
        word = next((w for w in _KV if w in self.choices), "")
        if not word:
            return []
        caches = tuple(n for n, t in self.graph.tensors.items() if t.role == "kv")
        if not caches:
            self.faults.append(
                Fault(
                    f"'{self.graph.name}' has no KV cache",
                    path=f"choices.{word}",
                    expected="a network with one",
                )
            )
            return []
        (own,) = self._options(word, ["kv"], [""], _activation_format)
        return [] if own is None else [Decision("kv", tuple(own), "kv", caches)]

    def channels(self) -> list[Decision]:
        """Return the decisions on widths of channel groups."""
        if "channels" not in self.choices:
            return []
        prunable = [g for g in channel_groups(self.graph) if g.prunable]
        makers: dict[str, list[str]] = {}
        for group in prunable:
            tensors = {tensor for tensor, _, _ in group.members}
            makers[group.name] = [x.name for x in self.layers if x.output in tensors]
        options = self._options(
            "channels", [g.name for g in prunable], [""] * len(prunable), _fraction
        )
        out: list[Decision] = []
        for group, own in zip(prunable, options, strict=True):
            if own is not None:
                widths = dict.fromkeys(_width(group, fraction) for fraction in own)
                out.append(
                    Decision(
                        f"{group.name}.channels",
                        tuple(widths),
                        "channels",
                        (group.name,),
                        tuple(makers[group.name]),
                        float(group.size),
                    )
                )
        return out

    def others(self, workload: Workload) -> list[Decision]:
        """Return the decisions on parameters, facts and the overall precision."""
        out: list[Decision] = []
        for word, stated in self.choices.items():
            if word in _WORDS and word != "precision":
                continue
            options = self._list(stated, f"choices.{word}")
            role: Role = "precision" if word == "precision" else "parameter"
            if word != "precision" and word not in workload.parameters:
                if not is_fact(word):
                    continue
                role = "fact"
            if role == "precision":
                for i, text in enumerate(options):
                    self.faults.trying_at(f"choices.precision[{i}]", as_precision, text)
            if options:
                out.append(Decision(word, tuple(options), role, (word,)))
        return out

    def _shared(self, name: str, block: str, kind: str) -> str:
        return {"layer": name, "block": block or name, "kind": kind or name}.get(
            self.share, "network"
        )

    def _options(
        self,
        word: str,
        names: Sequence[str],
        kinds: Sequence[str],
        read: Callable[[Any], Any],
    ) -> list[list[Any] | None]:
        """Return the options for each name; None for names that the choice does not cover."""
        if word not in self.choices:
            return [None] * len(names)
        stated = self.choices[word]
        path = f"choices.{word}"
        if not isinstance(stated, Mapping):
            return [self._read(stated, path, read)] * len(names)
        out: list[list[Any] | None] = [None] * len(names)
        for pattern, options in cast("Mapping[str, Any]", stated).items():
            own = self._read(options, f"{path}.{pattern}", read)
            fits = [i for i, name in enumerate(names) if _fits(pattern, name, kinds[i])]
            if not fits:
                known = dict.fromkeys(f"kind:{kind}" for kind in kinds if kind)
                self.faults.append(
                    Fault(
                        f"'{pattern}' fits no layer",
                        path=f"{path}.{pattern}",
                        expected="a name such as " + ", ".join(names[:4]),
                        suggestion=nearest(pattern, [*names, *known]),
                    )
                )
            for i in fits:
                out[i] = own
        return out

    def _read(self, stated: Any, path: str, read: Callable[[Any], Any]) -> list[Any]:
        out: list[Any] = []
        for i, option in enumerate(self._list(stated, path)):
            value = self.faults.trying_at(f"{path}[{i}]", read, option)
            if value is not None and value not in out:
                out.append(value)
        return out

    def _list(self, stated: Any, path: str) -> list[Any]:
        options: list[Any]
        if isinstance(stated, str) or not isinstance(stated, Iterable):
            options = [stated]
        else:
            options = list(cast("Iterable[Any]", stated))
        if not options:
            self.faults.append(Fault("no options", path=path, expected="one at least"))
        return [o.item() if hasattr(o, "item") else o for o in options]


def _fits(pattern: str, name: str, kind: str) -> bool:
    if pattern.startswith("kind:"):
        return kind == pattern[5:]
    return fnmatchcase(name, pattern)


def _decides(graph: Graph, group: FormatGroup) -> bool:
    """Return whether the network is free to choose the format of a group."""
    if group.fixed or group.inputs or set(group.tensors) <= {*group.outputs}:
        return False
    return any(graph.tensors[name].role == "activation" for name in group.tensors)


def _number(value: Any, expected: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise input_error(f"{value!r} is not a number", expected=expected) from None


def _weight_format(value: Any) -> str:
    return _format(value, "bits: 1.58, 2 ... 8, 16, 32", "w{:g}a16").weights.name


def _activation_format(value: Any) -> str:
    return _format(value, "bits: 4, 8, 16, 32", "w8a{:g}").activations.name


def _format(value: Any, expected: str, widths: str) -> Precision:
    """Return a precision whose weights or activations have a format or a number of bits."""
    if isinstance(value, str) and not value.replace(".", "").isdigit():
        format = fixed_format(value)[0]
        return Precision(format, format, format)
    return parse_precision(widths.format(_number(value, expected)))


def _expert_format(value: Any) -> str:
    """Parse bits of all experts of a layer, or of shares of them: ``8:0.25/2:0.75``."""
    if not isinstance(value, str) or ":" not in value:
        return _weight_format(value)
    expected = "bits, or shares of the experts that add up to 1, such as 8:0.25/2:0.75"
    parts: list[str] = []
    for part in value.split("/"):
        bits, _, share = part.partition(":")
        _number(share, expected)
        parts.append(f"{_weight_format(bits)}:{share.strip()}")
    text = f"mix({'/'.join(parts)})"
    if find(text) is None:
        raise input_error(f"{value!r} is not a mixture", expected=expected)
    return text


def _sparsity(value: Any) -> str:
    if isinstance(value, str) and ":" in value:
        fixed_format(f"int8+{value}")
        return f"+{value}"
    share = _number(value, "a fraction of zeros below 1, or n:m")
    if share == 0:
        return ""
    fixed_format(f"int8+s{share:g}")
    return f"+s{share:g}"


def _fraction(value: Any) -> float:
    share = _number(value, "a fraction of the width, above 0 and at most 1")
    if not 0 < share <= 1:
        expected = "above 0 and at most 1, of the width"
        raise input_error(f"{value!r} is not a fraction", expected=expected)
    return share


def _width(group: ChannelGroup, fraction: float) -> int:
    return max(group.step, round(group.size * fraction / group.step) * group.step)
