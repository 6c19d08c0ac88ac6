"""Which tensors of a GGUF file are which weights of a graph, held against each other one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from perfmodel.errors import Fault, nearest
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.gguf.keys import Keys
from perfmodel.workload.importers.gguf.read import StoredAs
from perfmodel.workload.symbols import constant

__all__ = ["Matched", "Stored", "match"]

#: Weight of a graph (of a layer: without its group) -> tensors of the file that it is, the first
#: that are all there: several are one weight, and one tensor may be part of several weights.
_NAMES: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "q_proj": (("attn_q",), ("attn_qkv",)), "k_proj": (("attn_k",), ("attn_qkv",)),
    "v_proj": (("attn_v",), ("attn_qkv",)), "o_proj": (("attn_output",),),
    "q_down": (("attn_q_a",),), "q_down_norm": (("attn_q_a_norm",),), "q_up": (("attn_q_b",),),
    "kv_down": (("attn_kv_a_mqa",),), "kv_down_norm": (("attn_kv_a_norm",),),
    "k_up": (("attn_k_b",), ("attn_kv_b",)), "v_up": (("attn_v_b",), ("attn_kv_b",)),
    "q_norm": (("attn_q_norm",),), "k_norm": (("attn_k_norm",),),
    "attention_norm": (("attn_norm",), ("attn_output_norm",), ("post_attention_norm",)),
    "attention_post_norm": (("post_attention_norm",),),
    "ffn_norm": (("ffn_norm",), ("layer_output_norm",), ("attn_norm_2",), ("post_ffw_norm",),
                 ("post_attention_norm",)),
    "ffn_post_norm": (("post_ffw_norm",),),
    "ffn_up": (("ffn_up",),), "ffn_gate": (("ffn_gate",), ("ffn_up",)),
    "ffn_down": (("ffn_down",),),
    "router": (("ffn_gate_inp",),),
    "experts_up": (("ffn_gate_exps", "ffn_up_exps"), ("ffn_gate_up_exps",), ("ffn_up_exps",)),
    "experts_down": (("ffn_down_exps",),),
    "shared_up": (("ffn_up_shexp",),), "shared_gate": (("ffn_gate_shexp",),),
    "shared_down": (("ffn_down_shexp",),), "shared_gate_proj": (("ffn_gate_inp_shexp",),),
    "norm": (("attn_norm",),), "in_proj": (("ssm_in",),), "conv": (("ssm_conv1d",),),
    "x_proj": (("ssm_x",),), "dt_proj": (("ssm_dt",),), "out_proj": (("ssm_out",),),
    "embedding": (("token_embd",),), "embedding_norm": (("token_embd_norm",),),
    "positions": (("position_embd",),), "token_types": (("token_types",),),
    "final_norm": (("output_norm",),), "head": (("output",),),
}  # fmt: skip
#: Those without ``.weight`` or ``.bias`` at the end.
_PLAIN: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "scan.A": (("ssm_a",),), "scan.D": (("ssm_d",),),
    "router.bias": (("ffn_gate_inp.bias",), ("exp_probs_b.bias",)),
}  # fmt: skip
#: Most of a file's bytes that may be in tensors without a place in the graph.
_BESIDE: Final = 0.02
_SHOWN: Final = 20

#: Formats by bytes: (format, share of the elements).
Parts: TypeAlias = tuple[tuple[str, float], ...]


class Stored(NamedTuple):
    """How a weight of a graph is stored: its format, and its elements by the file."""

    format: str
    elements: int


@dataclass
class Matched:
    """What the tensors of a file say of a graph.

    Attributes
    ----------
    whole
        Weight outside the layers -> how it is stored.
    layers
        For each layer, weight of its group (without the group's name) -> how it is stored.
    dropped
        Weights, without their group, that the file has no tensor for: norms that have none.
    beside
        Tensors that no weight of the graph stands for: by layer, or -1 outside the layers.
    """

    whole: dict[str, Stored] = field(default_factory=dict[str, Stored])
    layers: list[dict[str, Stored]] = field(default_factory=list[dict[str, Stored]])
    dropped: set[str] = field(default_factory=set[str])
    beside: dict[int, list[StoredAs]] = field(default_factory=dict[int, list[StoredAs]])


def match(graph: Graph, groups: Sequence[str], k: Keys) -> Matched:
    """Hold a file's tensors against the weights of a graph; faults are noted in `k`.

    Parameters
    ----------
    graph
        Of one phase; weights have the same names in all.
    groups
        For each layer the name of its block.
    """
    matching = _Matching(graph, k)
    found = matching.found
    weights = [n for n, t in graph.tensors.items() if t.role == "weight"]
    named = set(groups)
    inside: dict[str, list[str]] = {g: [] for g in named}
    for name in weights:
        group, _, rest = name.partition(".")
        if group in named:
            inside[group].append(rest)
        else:
            stored = matching.weight(name, name, "")
            if stored is not None:
                found.whole[name] = stored
    for i, group in enumerate(groups):
        layer: dict[str, Stored] = {}
        for rest in inside[group]:
            stored = matching.weight(f"{group}.{rest}", rest, f"blk.{i}.")
            if stored is not None:
                layer[rest] = stored
        found.layers.append(layer)
    matching.finish(len(groups))
    return found


class _Matching:
    def __init__(self, graph: Graph, k: Keys) -> None:
        self.graph, self.k = graph, k
        self.found = Matched()
        self.tensors = _with_experts_joined(k)
        #: tensor -> elements that weights of the graph take of it
        self.taken: dict[str, int] = {}
        self.missing: list[str] = []

    def weight(self, name: str, rest: str, layer: str) -> Stored | None:
        """Return how a weight is stored."""
        tensor = self.graph.tensors[name]
        size = constant(tensor.elements)
        assert size is not None
        elements = int(size)
        sources = self._sources(rest, layer)
        if not sources:
            if self.k.bare_norms and tensor.tag == "vector" and "norm" in rest:
                self.found.dropped.add(rest)
            else:
                self.missing.append(f"{layer}{_expected(rest)}")
            return None
        held = sum(s.elements for s in sources)
        if tensor.tag == "vector":
            # What is added or scaled with has the length that the file says.
            for source in sources:
                shared = "qkv" in source.name
                self.taken[source.name] = source.elements
                held = elements if shared else held
            return Stored(_format(sources), held)
        if len(sources) > 1:
            if held != elements:
                self._mismatch(sources[0], elements, held)
            for source in sources:
                self.taken[source.name] = source.elements
        else:
            self.taken[sources[0].name] = self.taken.get(sources[0].name, 0) + elements
        return Stored(_format(sources), elements)

    def _sources(self, rest: str, layer: str) -> list[StoredAs]:
        """Return the tensors of a weight; a norm's bias is part of it."""
        if rest in _PLAIN:
            options = [tuple(f"{layer}{n}" for n in option) for option in _PLAIN[rest]]
        else:
            stem, _, kind = rest.rpartition(".")
            options = [
                tuple(f"{layer}{n}.{kind}" for n in option) for option in _NAMES.get(stem, ())
            ]
        for option in options:
            if all(n in self.tensors for n in option):
                names = list(option)
                bias = f"{option[0].removesuffix('.weight')}.bias"
                if "norm" in rest and bias != option[0] and bias in self.tensors:
                    names.append(bias)
                return [self.tensors[n] for n in names]
        return []

    def _mismatch(self, tensor: StoredAs, expected: int, held: int) -> None:
        self.k.faults.append(
            Fault(f"'{tensor.name}' of shape {list(tensor.shape)} holds {held:,} elements",
                  path=f"byte {tensor.at}", file=self.k.header.file,
                  expected=f"{expected:,} by the keys of the header")
        )  # fmt: skip

    def finish(self, layers: int) -> None:
        """Note what is missing, what does not fit, and what is left over."""
        for name, taken in self.taken.items():
            tensor = self.tensors[name]
            if taken != tensor.elements:
                self._mismatch(tensor, taken, tensor.elements)
        left = [t for n, t in self.tensors.items() if n not in self.taken]
        names = [t.name for t in left]
        for name in self.missing[:_SHOWN]:
            self.k.faults.append(
                Fault(f"has no tensor '{name}'", file=self.k.header.file,
                      expected=f"what a {self.k.architecture} has",
                      suggestion=nearest(name, names, 0.85))
            )  # fmt: skip
        if len(self.missing) > _SHOWN:
            self.k.faults.append(Fault(f"lacks {len(self.missing) - _SHOWN} more tensors",
                                       file=self.k.header.file))  # fmt: skip
        self._beside(left, layers)

    def _beside(self, left: list[StoredAs], layers: int) -> None:
        total = sum(t.bytes for t in self.tensors.values())
        if sum(t.bytes for t in left) > _BESIDE * total and not self.k.faults:
            big = sorted(left, key=lambda t: -t.bytes)
            self.k.faults += [
                Fault(f"no operator of {self.k.architecture} stands for '{t.name}' of "
                      f"{t.bytes:,} bytes", path=f"byte {t.at}", file=self.k.header.file,
                      expected="tensors of the architecture as it is published")
                for t in big[:_SHOWN]
            ]  # fmt: skip
        for tensor in left:
            parts = tensor.name.split(".")
            number = int(parts[1]) if parts[0] == "blk" and parts[1].isdecimal() else -1
            self.found.beside.setdefault(number if number < layers else -1, []).append(tensor)
        if left:
            kinds = sorted({_without_number(t.name) for t in left})
            more = f" and {len(kinds) - 6} more" if len(kinds) > 6 else ""
            self.k.notes.append(
                "read once a run, with no arithmetic: " + ", ".join(kinds[:6]) + more
            )


def _without_number(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[2:]) if parts[0] == "blk" and len(parts) > 2 else name


def _expected(rest: str) -> str:
    if rest in _PLAIN:
        return _PLAIN[rest][0][0]
    stem, _, kind = rest.rpartition(".")
    return f"{_NAMES[stem][0][0]}.{kind}" if stem in _NAMES else rest


def _format(sources: Sequence[StoredAs]) -> str:
    """Return the format of a weight: that of its tensors, or a mixture by their elements."""
    by_format: dict[str, int] = {}
    for source in sources:
        by_format[source.type.format] = by_format.get(source.type.format, 0) + source.elements
    if len(by_format) == 1:
        return next(iter(by_format))
    total = sum(by_format.values())
    return "mix(" + "/".join(f"{n}:{count / total!r}" for n, count in by_format.items()) + ")"


def _with_experts_joined(k: Keys) -> dict[str, StoredAs]:
    """Return the tensors; experts that are a tensor each (files of 2023) as one of all of them."""
    joined: dict[str, StoredAs] = {}
    for name, tensor in k.tensors.items():
        parts = name.split(".")
        if len(parts) == 5 and parts[2] in ("ffn_up", "ffn_gate", "ffn_down"):
            whole = ".".join((*parts[:2], f"{parts[2]}_exps", parts[4]))
            before = joined.get(whole)
            if before is None or before.type == tensor.type:
                count = 1 if before is None else before.shape[-1] + 1
                joined[whole] = tensor._replace(name=whole, shape=(*tensor.shape[:2], count))
                continue
        joined[name] = tensor
    return joined
