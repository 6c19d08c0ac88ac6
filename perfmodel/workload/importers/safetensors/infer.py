"""What network a file of weights holds, by the names and shapes of its tensors alone.

Llama-like decoders, GPT-2, BERT and ViT are told; where the tensors leave something open (the size
of a head, how many experts a token visits, a sliding window) the file is refused and says what is
missing. A note says what was taken as the published models of that width have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import Fault, InputError
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import family
from perfmodel.workload.importers.gguf.architectures import ARCHITECTURES
from perfmodel.workload.importers.gguf.keys import Keys
from perfmodel.workload.importers.gguf.read import Header, StoredAs
from perfmodel.workload.importers.gguf.types import GgmlType
from perfmodel.workload.importers.stored.held import FileTensor
from perfmodel.workload.library import ModelEntry, entry
from perfmodel.workload.library_file import structure_flaws

#: Settings that may say what tensors leave open.
SHAPING: Final = ("head_dim",)
#: Size of a head by width, where a width was published: Radford et al. 2019 (table 2); Devlin et
#: al. 2019 and Turc et al. 2019 (arXiv:1908.08962); Dosovitskiy et al. 2021 (table 1) and Touvron
#: et al. 2021 (DeiT). Other files of these classes differ: MiniLM has heads of 32 at 384.
_HEADS: Final[Mapping[str, Mapping[int, int]]] = {
    "gpt2": dict.fromkeys((768, 1024, 1280, 1600), 64),
    "bert": dict.fromkeys((128, 256, 512, 768, 1024), 64),
    "vit": {**dict.fromkeys((192, 384, 768, 1024), 64), 1280: 80},
}
#: Axes of tensors that sizes are read from.
_AXES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("attn_q.weight", "attn_k.weight", "ffn_down.weight", "ffn_up.weight"), 2),
    "attn_q_norm.weight": 1,
}


def inferred(
    path: Path, named: Mapping[str, FileTensor], settings: Mapping[str, Any]
) -> ModelEntry:
    """Return the entry of a file without a config.

    Parameters
    ----------
    named
        Tensors by GGUF's names.
    settings
        Those of `SHAPING` that the user gave.

    Raises
    ------
    InputError
        The tensors do not tell the network: what is missing is said.
    """
    layers = {name.split(".")[1] for name in named if name.startswith("blk.")}
    telling = _Telling(path, named, settings, len(layers))
    if "patch_embd.weight" in named and layers:
        name, structure = "vit", telling.vit()
    else:
        name, structure = telling.language()
    if telling.faults:
        raise InputError(telling.faults)
    kind = family(name)
    flaws = structure_flaws(kind, structure)
    if flaws:
        raise InputError([telling.placed(flaw) for flaw in flaws])
    title = path.name.removesuffix(".index.json").removesuffix(".safetensors")
    title = path.resolve().parent.name if title.startswith("model") else title
    shape = kind.structure.model_validate(structure)
    return entry(title, kind, shape, path, notes=tuple(telling.notes))


class _Telling:
    def __init__(
        self, path: Path, named: Mapping[str, FileTensor], settings: Mapping[str, Any], layers: int
    ) -> None:
        self.file, self.named, self.layers = str(path), named, layers
        self.settings = settings
        self.faults: list[Fault] = []
        self.notes: list[str] = ["there is no config.json: told from names and shapes"]

    def placed(self, flaw: Flaw) -> Fault:
        """Return a fault of the structure that was told."""
        message = f"its tensors tell no sound network: {flaw.message}"
        place = ".".join(map(str, flaw.path)), self.file
        return Fault(message, *place, expected="a config.json beside it")

    def refuse(self, message: str, also: str = "") -> None:
        """Note what is open."""
        expected = f"a config.json beside it{also}"
        self.faults.append(Fault(message, file=self.file, expected=expected))

    def _class(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Return the class of a decoder or a BERT; where it is none of them, say why."""
        needed = {"token_embd.weight", "blk.0.ffn_down.weight", "blk.0.attn_output.weight"}
        if any("_exps" in n or ".ffn_up.0." in n or "ffn_gate_inp" in n for n in self.named):
            self.refuse("has experts, and no tensor tells how many of them a token visits")
            return ""
        if (
            not needed <= shapes.keys()
            or len(shapes["token_embd.weight"]) != 2
            or not _sound(shapes)
        ):
            message = "its names and shapes are those of no network that can be told from them"
            self.refuse(message, ", or the weights of a Llama, GPT-2, BERT or ViT")
            return ""
        if any("post_ffw_norm" in n for n in self.named):
            self.refuse("is a Gemma, and no tensor tells its sliding window")
        for name, telling in (
            ("bert", {"blk.0.layer_output_norm.weight"}),
            ("gpt2", {"position_embd.weight", "blk.0.attn_qkv.weight"}),
            ("llama", {"blk.0.ffn_gate.weight", "blk.0.attn_q.weight"}),
        ):
            if telling <= shapes.keys():
                return name
        self.refuse("its layers are none of a Llama, GPT-2 or BERT")
        return ""

    def language(self) -> tuple[str, dict[str, Any]]:
        """Return family and structure of a decoder or a BERT."""
        shapes = {n: t.shape for n, t in self.named.items()}
        what = self._class(shapes)
        keys = {} if self.faults else self._keys(what, shapes, shapes["token_embd.weight"][1])
        if self.faults:
            return "transformer", {}
        tensors = tuple(
            StoredAs(n, tuple(reversed(t.shape)) or (t.elements,), GgmlType("", 1, 1, t.format), 0)
            for n, t in self.named.items()
        )
        k = Keys(Header(self.file, 3, keys, tensors), what)
        name, structure, _ = ARCHITECTURES[what](k)
        self.faults += k.faults
        if what == "bert" and "pooler.weight" in self.named:
            structure["head"] = "pooler"
        if what == "llama":
            structure["qkv_bias"] = "blk.0.attn_q.bias" in self.named
            self.notes.append("a SiLU gate and attention to everything, which no tensor shows")
        return name, structure

    def _keys(self, what: str, shapes: Mapping[str, tuple[int, ...]], width: int) -> dict[str, Any]:
        head = self._head_dim(what, shapes, width)
        queries = shapes.get("blk.0.attn_q.weight", (width,))[0]
        keys = shapes.get("blk.0.attn_k.weight", (width,))[0]
        if head and (queries % head or keys % head):
            self.refuse(f"{queries} queries and {keys} keys are no heads of {head}")
        # Convolutions of GPT-2's class have the input first.
        down = shapes["blk.0.ffn_down.weight"]
        hidden = down[0] if what == "gpt2" else down[-1]
        head = head or 1
        return {
            f"{what}.block_count": self.layers,
            f"{what}.embedding_length": width,
            f"{what}.feed_forward_length": hidden,
            f"{what}.attention.head_count": queries // head,
            f"{what}.attention.head_count_kv": keys // head,
            f"{what}.attention.key_length": head,
        }

    def _head_dim(self, what: str, shapes: Mapping[str, tuple[int, ...]], width: int) -> int:
        given = self.settings.get("head_dim")
        if given is not None:
            if type(given) is int and given > 0:
                return given
            message = f"{given!r} is no size of a head"
            self.faults.append(Fault(message, "head_dim", expected="a whole number from 1"))
            return 0
        if "blk.0.attn_q_norm.weight" in shapes:
            return shapes["blk.0.attn_q_norm.weight"][0]
        head = _HEADS.get(what, {}).get(width, 0)
        if not head:
            self.refuse("no tensor tells the size of a head", ", or head_dim=128 (or what it is)")
        else:
            self.notes.append(f"heads of {head}, as the published {what} of width {width} has")
        return head

    def vit(self) -> dict[str, Any]:
        """Return the structure of a ViT."""
        shapes = {n: t.shape for n, t in self.named.items()}
        patch = shapes["patch_embd.weight"]
        rows = shapes.get("position_embd.weight", ())
        up = shapes.get("blk.0.ffn_up.weight", ())
        if len(patch) != 4 or len(rows) != 3 or not _sound(shapes) or not up:
            self.refuse("its names and shapes are not those of a ViT")
            return {}
        width, channels, size, across = patch
        side = isqrt(max(rows[1] - 1, 0))
        if side * side != rows[1] - 1 or size != across:
            self.refuse(f"{rows[1] - 1} positions are no square of patches")
        return {
            "layers": self.layers,
            "width": width,
            "heads": width // max(self._head_dim("vit", shapes, width), 1),
            "ffn_width": up[0],
            "patch": size,
            "image_size": side * size,
            "image_channels": channels,
            "classes": (*shapes.get("cls.weight", ()), 0)[0],
            "qkv_bias": "blk.0.attn_q.bias" in self.named,
            "pooler": "pooler.weight" in self.named,
        }


def _sound(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the tensors of the first layer that sizes are read from have the axes they need."""
    return all(
        len(shapes.get(f"blk.0.{name}", (1,) * axes)) == axes for name, axes in _AXES.items()
    )
