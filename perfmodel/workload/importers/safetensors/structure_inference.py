"""Inference of a network from the names and shapes of the tensors in a weight file.

Recognises Llama-like decoders, GPT-2, BERT and ViT. Widths, depths and vocabulary follow from
shapes; the sizes are then read by the GGUF architecture of the same name, so that both formats
share one set of readers. A file is rejected if its tensors do not determine the structure (head
size, experts per token, sliding window); the message states which information is missing. A head
size taken from a published model of the same width is reported in a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import Fault, InputError
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import shipped
from perfmodel.workload.families import family
from perfmodel.workload.importers.gguf.architectures import ARCHITECTURES
from perfmodel.workload.importers.gguf.ggml_types import GgmlType
from perfmodel.workload.importers.gguf.header import GgufHeader, GgufTensor
from perfmodel.workload.importers.gguf.header_keys import GgufKeys
from perfmodel.workload.importers.weight_files.file_tensor import FileTensor
from perfmodel.workload.library import ModelEntry, model_entry
from perfmodel.workload.workload_file import structure_flaws

#: Settings by which the user may supply sizes that the tensors do not determine.
STRUCTURE_SETTINGS: Final = ("head_dim",)
#: Architecture -> width -> head size of the published models.
_HEADS: Final[Mapping[str, Mapping[str, int]]] = shipped("workloads", "stored/published.yaml")[
    "head_sizes"
]
#: Expected number of axes of the tensors from which sizes are read.
_AXES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("attn_q.weight", "attn_k.weight", "ffn_down.weight", "ffn_up.weight"), 2),
    "attn_q_norm.weight": 1,
}


def infer_model(
    path: Path, named: Mapping[str, FileTensor], settings: Mapping[str, Any]
) -> ModelEntry:
    """Return the library entry of a weight file without a config.

    Parameters
    ----------
    named
        Tensors by GGUF name.
    settings
        User settings among `STRUCTURE_SETTINGS`.

    Raises
    ------
    InputError
        The tensors do not determine the network; the message states the missing information.
    """
    layers = {name.split(".")[1] for name in named if name.startswith("blk.")}
    inference = _StructureInference(path, named, settings, len(layers))
    if "patch_embd.weight" in named and layers:
        name, structure = "vit", inference.vit()
    else:
        name, structure = inference.language()
    if inference.faults:
        raise InputError(inference.faults)
    kind = family(name)
    if flaws := structure_flaws(kind, structure):
        raise InputError([inference.fault_of_structure(flaw) for flaw in flaws])
    title = path.name.removesuffix(".index.json").removesuffix(".safetensors")
    title = path.resolve().parent.name if title.startswith("model") else title
    shape = kind.structure.model_validate(structure)
    return model_entry(title, kind, shape, path, notes=tuple(inference.notes))


class _StructureInference:
    """Inference of one network; faults and notes accumulate."""

    def __init__(
        self, path: Path, named: Mapping[str, FileTensor], settings: Mapping[str, Any], layers: int
    ) -> None:
        self.file, self.named, self.layers = str(path), named, layers
        self.settings = settings
        self.faults: list[Fault] = []
        self.notes: list[str] = [
            "there is no config.json: the structure is inferred from tensor names and shapes"
        ]

    def fault_of_structure(self, flaw: Flaw) -> Fault:
        """Return a fault of the inferred structure, located in the file."""
        message = f"the structure inferred from its tensors is invalid: {flaw.message}"
        key = ".".join(map(str, flaw.path))
        return Fault(message, key, self.file, expected="a config.json in the same folder")

    def refuse(self, message: str, alternative: str = "") -> None:
        """Record a fault for information that the tensors do not determine."""
        expected = f"a config.json in the same folder{alternative}"
        self.faults.append(Fault(message, file=self.file, expected=expected))

    def _architecture(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Return the GGUF architecture of a decoder or BERT; record a fault for anything else."""
        needed = {"token_embd.weight", "blk.0.ffn_down.weight", "blk.0.attn_output.weight"}
        if any("_exps" in n or ".ffn_up.0." in n or "ffn_gate_inp" in n for n in self.named):
            self.refuse(
                "has experts, but the tensors do not determine how many are active per token"
            )
            return ""
        if (
            not needed <= shapes.keys()
            or len(shapes["token_embd.weight"]) != 2
            or not _has_expected_axes(shapes)
        ):
            message = "its tensor names and shapes match no architecture that can be inferred"
            self.refuse(message, ", or the weights of a Llama, GPT-2, BERT or ViT")
            return ""
        if any("post_ffw_norm" in n for n in self.named):
            self.refuse("is a Gemma, but the tensors do not determine its sliding window")
        for name, characteristic in (
            ("bert", {"blk.0.layer_output_norm.weight"}),
            ("gpt2", {"position_embd.weight", "blk.0.attn_qkv.weight"}),
            ("llama", {"blk.0.ffn_gate.weight", "blk.0.attn_q.weight"}),
        ):
            if characteristic <= shapes.keys():
                return name
        self.refuse("its layers are not those of a Llama, GPT-2 or BERT")
        return ""

    def language(self) -> tuple[str, dict[str, Any]]:
        """Return family and structure of a decoder or a BERT."""
        shapes = {n: t.shape for n, t in self.named.items()}
        architecture = self._architecture(shapes)
        header_keys = (
            {} if self.faults else self._keys(architecture, shapes, shapes["token_embd.weight"][1])
        )
        if self.faults:
            return "transformer", {}
        tensors = tuple(
            GgufTensor(
                n, tuple(reversed(t.shape)) or (t.elements,), GgmlType("", 1, 1, t.format), 0
            )
            for n, t in self.named.items()
        )
        keys = GgufKeys(GgufHeader(self.file, 3, header_keys, tensors), architecture)
        name, structure, _ = ARCHITECTURES[architecture](keys)
        self.faults += keys.faults
        if architecture == "bert" and "pooler.weight" in self.named:
            structure["head"] = "pooler"
        if architecture == "llama":
            structure["qkv_bias"] = "blk.0.attn_q.bias" in self.named
            self.notes.append(
                "assumed a SiLU gate and full attention, which the tensors do not determine"
            )
        return name, structure

    def _keys(
        self, architecture: str, shapes: Mapping[str, tuple[int, ...]], width: int
    ) -> dict[str, Any]:
        """Return the keys that a GGUF header would state: depth, widths and head counts."""
        head = self._head_dim(architecture, shapes, width)
        queries = shapes.get("blk.0.attn_q.weight", (width,))[0]
        keys = shapes.get("blk.0.attn_k.weight", (width,))[0]
        if head and (queries % head or keys % head):
            self.refuse(
                f"{queries} query and {keys} key rows are not multiples of the head size {head}"
            )
        # GPT-2's Conv1D layers store weights with the input axis first.
        down = shapes["blk.0.ffn_down.weight"]
        hidden = down[0] if architecture == "gpt2" else down[-1]
        head = head or 1
        return {
            f"{architecture}.block_count": self.layers,
            f"{architecture}.embedding_length": width,
            f"{architecture}.feed_forward_length": hidden,
            f"{architecture}.attention.head_count": queries // head,
            f"{architecture}.attention.head_count_kv": keys // head,
            f"{architecture}.attention.key_length": head,
        }

    def _head_dim(
        self, architecture: str, shapes: Mapping[str, tuple[int, ...]], width: int
    ) -> int:
        """Return the head size from a setting, the norm of a head, or a published model."""
        stated = self.settings.get("head_dim")
        if stated is not None:
            if type(stated) is int and stated > 0:
                return stated
            message = f"{stated!r} is not a head size"
            self.faults.append(Fault(message, "head_dim", expected="an integer of at least 1"))
            return 0
        if "blk.0.attn_q_norm.weight" in shapes:
            return shapes["blk.0.attn_q_norm.weight"][0]
        head = _HEADS.get(architecture, {}).get(str(width), 0)
        if not head:
            self.refuse(
                "the tensors do not determine the head size",
                ", or the setting head_dim (for example head_dim=128)",
            )
        else:
            self.notes.append(
                f"assumed heads of size {head}, as in the published {architecture} of width {width}"
            )
        return head

    def vit(self) -> dict[str, Any]:
        """Return the structure of a ViT."""
        shapes = {n: t.shape for n, t in self.named.items()}
        patch = shapes["patch_embd.weight"]
        positions = shapes.get("position_embd.weight", ())
        up = shapes.get("blk.0.ffn_up.weight", ())
        if len(patch) != 4 or len(positions) != 3 or not _has_expected_axes(shapes) or not up:
            self.refuse("its tensor names and shapes are not those of a ViT")
            return {}
        width, channels, patch_height, patch_width = patch
        side = isqrt(max(positions[1] - 1, 0))
        if patch_height != patch_width:
            self.refuse(f"patches of {patch_height} x {patch_width} pixels are not square")
        if side * side != positions[1] - 1:
            self.refuse(f"{positions[1] - 1} patch positions do not form a square grid")
        return {
            "layers": self.layers,
            "width": width,
            "heads": width // max(self._head_dim("vit", shapes, width), 1),
            "ffn_width": up[0],
            "patch": patch_height,
            "image_size": side * patch_height,
            "image_channels": channels,
            "classes": (*shapes.get("cls.weight", ()), 0)[0],
            "qkv_bias": "blk.0.attn_q.bias" in self.named,
            "pooler": "pooler.weight" in self.named,
        }


def _has_expected_axes(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether the tensors from which sizes are read have the expected number of axes."""
    return all(
        len(shapes.get(f"blk.0.{name}", (1,) * axes)) == axes for name, axes in _AXES.items()
    )
