"""Sound model files of other tools, small ones: what the mutations start from."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def gguf() -> bytes:
    """A Llama of two layers with mixed K-quants; the header alone, which is enough."""
    from tests.workload.gguf_writer import header, llama

    keys, held = llama(
        layers=2, width=256, heads=4, kv_heads=2, ffn=512, vocabulary=64, mix="Q4_K_M"
    )
    return header(keys, held)


def safetensors() -> bytes:
    """The tensors of a Llama of two layers, without their content."""
    shapes = {
        "model.embed_tokens.weight": [64, 128],
        "model.norm.weight": [128],
        "lm_head.weight": [64, 128],
    }
    for layer in range(2):
        at = f"model.layers.{layer}"
        for name, shape in (
            ("self_attn.q_proj", [128, 128]),
            ("self_attn.k_proj", [64, 128]),
            ("self_attn.v_proj", [64, 128]),
            ("self_attn.o_proj", [128, 128]),
            ("mlp.gate_proj", [256, 128]),
            ("mlp.up_proj", [256, 128]),
            ("mlp.down_proj", [128, 256]),
            ("input_layernorm", [128]),
            ("post_attention_layernorm", [128]),
        ):
            shapes[f"{at}.{name}.weight"] = shape
    place, head = 0, dict[str, Any]()
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        head[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    raw = json.dumps(head).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(place)


def qonnx() -> bytes:
    """A product of quantised operands, as the QONNX tools write it."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def number(name: str, value: float) -> Any:
        return numpy_helper.from_array(np.array(value, np.float32), name)

    domain = "qonnx.custom_op.general"
    nodes = [
        helper.make_node(
            "Quant",
            [x, "scale", "zero", bits],
            [y],
            name=y,
            domain=domain,
            signed=1,
            narrow=0,
            rounding_mode="ROUND",
        )
        for x, y, bits in (("x", "xq", "b5"), ("w", "wq", "b3"))
    ]
    nodes.append(helper.make_node("MatMul", ["xq", "wq"], ["y"], "fc"))
    stored = [
        number("scale", 0.5),
        number("zero", 0),
        number("b5", 5),
        number("b3", 3),
        numpy_helper.from_array(np.zeros((16, 8), np.float32), "w"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", wide])
        for name, wide in (("x", 16), ("y", 8))
    ]
    graph = helper.make_graph(nodes, "quantised", ends[:1], ends[1:], stored)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def tensorflow_js() -> bytes:
    """A Keras network as TensorFlow.js keeps it."""
    keras = json.loads((DATA / "keras" / "siamese_2.json").read_text())
    manifest = [{"paths": ["group1.bin"], "weights": []}]
    return json.dumps(
        {
            "format": "layers-model",
            "modelTopology": {"model_config": keras},
            "weightsManifest": manifest,
        }
    ).encode()


def within(content: bytes, change: Callable[[str], str]) -> bytes:
    """An archive with the text of its largest member changed, and sums that fit it again."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as new,
    ):
        largest = max(old.infolist(), key=lambda member: member.file_size).filename
        for name in old.namelist():
            held = old.read(name)
            if name == largest:
                held = change(held.decode()).encode()
            new.writestr(zipfile.ZipInfo(name), held)
    return made.getvalue()


#: What must be said beside a file.
SETTINGS = {"model.safetensors": ("--set", "head_dim=32")}

#: File -> what writes a sound one, and mutations tried.
MODELS: dict[str, tuple[Callable[[], bytes], int]] = {
    "keras.json": ((DATA / "keras" / "siamese_3.json").read_bytes, 80),
    "qkeras.json": ((EXAMPLES / "jet_tagger_qkeras.json").read_bytes, 60),
    "tfjs.json": (tensorflow_js, 60),
    "net.keras": ((DATA / "keras" / "MobileNet_2.keras").read_bytes, 60),
    "net.pt2": ((DATA / "torch_export" / "recurrent.pt2").read_bytes, 120),
    "model.gguf": (gguf, 140),
    "model.safetensors": (safetensors, 100),
    "quantised.onnx": (qonnx, 70),
}
