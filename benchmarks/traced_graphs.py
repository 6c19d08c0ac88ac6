"""Digests of the graphs of torchvision's and timm's models, for `test_cosma_networks.py`.

    pip install torch torchvision timm
    python benchmarks/traced_graphs.py

Each model is traced with torch.fx on no data. An operator is named by its kind, the shape of its
output (without ones at the end) and the digests of its inputs; equal digests are equal graphs.
Padding, dropout, identities and pooling of one pixel are no operators; a concatenation of one
tensor is that tensor. (DARTS and AmoebaNet-D are in neither package: their digests were taken in
the same way of modules written after the authors' and torchgpipe's code.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

#: Class of module -> kind; None for what is no operator.
KINDS: dict[str, str | None] = {
    "Conv2d": "conv",
    "Conv2dSame": "conv",
    "Conv3d": "conv",
    "BatchNorm2d": "bn",
    "BatchNorm3d": "bn",
    "BatchNormAct2d": "bn",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "Hardswish": "hard_swish",
    "Hardsigmoid": "hard_sigmoid",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Linear": "linear",
    "Dropout": None,
    "Identity": None,
    "Flatten": None,
    "ZeroPad2d": None,
    "StochasticDepth": None,
}
FUNCTIONS: dict[str, str | None] = {
    "add": "add",
    "iadd": "add",
    "add_": "add",
    "mul": "mul",
    "cat": "concat",
    "relu": "relu",
    "max_pool2d": "pool",
    "avg_pool2d": "pool",
    "adaptive_avg_pool2d": "pool",
    "mean": "pool",
    "interpolate": "resize",
}
FREE_ORDER = {"add", "mul", "concat"}


def short(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def digest(model: Any, shape: tuple[int, ...]) -> str:
    """Trace a model on an input of a shape and name its outputs."""
    import torch
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
            whole = {"Conv2dSame", "BatchNormAct2d", "SelectAdaptivePool2d", "AvgPool2dSame"}
            return not list(m.children()) or type(m).__name__ in {*whole, "MaxPool2dSame"}

    model.eval()
    module = fx.GraphModule(model, Tracer().trace(model))
    shapes: dict[str, list[int]] = {}

    class Shapes(fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            made = super().run_node(n)
            if isinstance(made, torch.Tensor):
                shapes[n.name] = list(made.shape)
            return made

    with torch.no_grad():
        Shapes(module).run(torch.empty(*shape, device="meta"))
    found: dict[str, str] = {}
    for node in module.graph.nodes:
        read = [found[n.name] for n in _tensors(node.args, shapes)]
        if node.op == "output":
            return short(sorted(found[n.name] for n in node.all_input_nodes))
        if node.op == "placeholder":
            kind: str | None = "input"
        elif node.op == "call_module":
            kind = _kind(module.get_submodule(node.target))
        else:
            name = node.target if isinstance(node.target, str) else node.target.__name__
            kind = FUNCTIONS.get(name)
        if kind is None or (kind == "concat" and len(read) == 1):
            if read:
                found[node.name] = read[0]
            continue
        read = read[:1] if kind == "resize" else read
        extents = shapes[node.name]
        while extents and extents[-1] == 1:
            extents = extents[:-1]
        found[node.name] = short((kind, extents, sorted(read) if kind in FREE_ORDER else read))
    raise ValueError("a graph without an output")


def _kind(module: Any) -> str | None:
    name = type(module).__name__
    if "Pool" in name:
        return None if getattr(module, "kernel_size", 0) in (1, (1, 1)) else "pool"
    return KINDS[name]


def _tensors(value: Any, shapes: dict[str, list[int]]) -> Iterator[Any]:
    if hasattr(value, "name") and value.name in shapes:
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item, shapes)


def main() -> None:
    import timm
    import torch
    from torchvision import models

    image = (1, 3, 224, 224)
    wide = (1, 3, 520, 520)
    seg = models.segmentation
    no: dict[str, Any] = {"weights": None, "weights_backbone": None}
    made: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "nasnet_a_large": (lambda: timm.create_model("nasnetalarge"), image),
        "pnasnet5_large": (lambda: timm.create_model("pnasnet5large"), image),
        "densenet121": (models.densenet121, image),
        "inception_v3": (
            lambda: models.inception_v3(aux_logits=False, init_weights=False),
            (1, 3, 299, 299),
        ),
        "resnext50_32x4d": (models.resnext50_32x4d, image),
        "resnet50": (models.resnet50, image),
        "r2plus1d_18": (models.video.r2plus1d_18, (1, 3, 16, 112, 112)),
        "s3d": (models.video.s3d, (1, 3, 16, 224, 224)),
        "fcn_resnet50": (lambda: seg.fcn_resnet50(aux_loss=True, **no), wide),
        "deeplabv3_resnet50": (lambda: seg.deeplabv3_resnet50(aux_loss=True, **no), wide),
        "lraspp_mobilenet_v3_large": (lambda: seg.lraspp_mobilenet_v3_large(**no), wide),
        "mobilenet_v3_large": (models.mobilenet_v3_large, image),
        "resnet18": (models.resnet18, image),
        "mobilenet_v2": (models.mobilenet_v2, image),
        "mobilenet_v3_small": (models.mobilenet_v3_small, image),
        "efficientnet_b0": (models.efficientnet_b0, image),
    }
    for name, (build, shape) in made.items():
        with torch.device("meta"):
            print(f'    "{name}": "{digest(build(), shape)}",')


if __name__ == "__main__":
    main()
