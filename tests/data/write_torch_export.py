"""Write the .pt2 files that tests/workload/test_torch_export.py reads, with torch and torchvision.

    python tests/data/write_torch_export.py

Each is what ``torch.export.save`` writes, without weights, sample inputs and traces of the source;
beside them ``counts.json``: what torch itself counts of the modules.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.export import Dim, export, save
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent / "torch_export"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COUNTS: dict[str, Any] = {"torch": torch.__version__, "torchvision": torchvision.__version__}


class Recurrent(nn.Module):
    """A lookup, two layers of LSTM in both directions, a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 16)
        self.lstm = nn.LSTM(16, 24, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(48, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(self.lstm(self.table(x))[0])
        return self.head(y[:, -1])


class Frozen(nn.Module):
    """A part without gradients: its operators stand in a graph inside the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = self.body(x).relu()
            z = self.head(y)
        return z + y[:, :4] + self.head(x)


def write(
    name: str,
    module: nn.Module,
    args: tuple[Any, ...],
    free: Any = None,
    core: bool = False,
    **kwargs: Any,
) -> None:
    """Export a module, count it, and keep its graph."""
    module = module.eval()
    program = export(module, args, kwargs, dynamic_shapes=free)
    if core:
        program = program.run_decompositions()
    with torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(False)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(*args, **kwargs)
        torch.backends.mha.set_fastpath_enabled(True)
    COUNTS[name] = {
        "parameters": sum(p.numel() for p in module.parameters()),
        "macs": counter.get_total_flops() / 2,
    }
    buffer = io.BytesIO()
    save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        member = next(n for n in archive.namelist() if "/models/" in n)
        graph = json.loads(archive.read(member))
    stripped(graph)
    text = json.dumps(graph, separators=(",", ":"))
    path = (EXAMPLES if name == "resnet18" else HERE) / f"{name}.pt2"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(
            zipfile.ZipInfo(f"{name}/models/model.json"),
            text,
            compress_type=zipfile.ZIP_DEFLATED,
            compresslevel=9,
        )


def stripped(graph: dict[str, Any]) -> None:
    """Leave out what tells where the source lay."""
    graph["guards_code"] = []
    graph["graph_module"]["module_call_graph"] = []
    waiting = [graph["graph_module"]["graph"]]
    while waiting:
        for node in waiting.pop()["nodes"]:
            node["metadata"] = {}
            inner = (i["arg"].get("as_graph") for i in node["inputs"])
            waiting += [i["graph"] for i in inner if i]


def main() -> None:
    warnings.simplefilter("ignore")
    HERE.mkdir(exist_ok=True)
    batch = Dim("batch", min=1, max=64)
    images = torch.zeros(2, 3, 224, 224)
    for name in ("resnet18", "mobilenet_v2", "efficientnet_b0", "vit_b_16", "swin_t"):
        free = None if name in {"vit_b_16", "swin_t"} else {"x": {0: batch}}
        write(name, getattr(torchvision.models, name)(), (images,), free)
    write("resnet18_core", torchvision.models.resnet18(), (images,), {"x": {0: batch}}, core=True)
    write("frozen", Frozen(), (torch.zeros(2, 8),))
    write("recurrent", Recurrent(), (torch.zeros(2, 12, dtype=torch.long),))
    ids = torch.zeros(2, 16, dtype=torch.long)
    sizes = {
        "vocab_size": 1000,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
    }
    write(
        "bert_tiny",
        BertModel(BertConfig(**sizes, max_position_embeddings=64)),
        (),
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
    )
    write(
        "llama_tiny",
        LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2)),
        (),
        input_ids=ids,
        use_cache=False,
    )
    (HERE / "counts.json").write_text(json.dumps(COUNTS, indent=1) + "\n")


if __name__ == "__main__":
    main()
