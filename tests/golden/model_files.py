"""Model files of other tools: what each importer understands of small ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import perfmodel as pm
from tests.broken.model_files import DATA, EXAMPLES, MODELS
from tests.golden.figures import Figures, tried
from tests.golden.graphs import network

#: Settings without which a file does not say enough.
SETTINGS = {"model.safetensors": {"head_dim": 32}}

#: Folders of files, and the names that are models.
FOLDERS = (
    (DATA / "huggingface", "*.config.json"),
    (DATA / "keras", "*_?.json"),
    (DATA / "keras", "mixed_qkeras.json"),
    (DATA / "keras", "*.keras"),
    (DATA / "torch_export", "*.pt2"),
    (EXAMPLES, "*.gguf"),
    (EXAMPLES, "*.pt2"),
    (EXAMPLES, "*qkeras.json"),
    (EXAMPLES / "qwen3_4b", "config.json"),
)


def files() -> Iterator[tuple[str, Path]]:
    """Yield the files that lie beside the tests, with a key."""
    for folder, pattern in FOLDERS:
        for path in sorted(folder.glob(pattern)):
            if not path.name.startswith("counts"):
                yield f"{folder.name}/{path.name}", path


def written(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield small files that are written here, one of each format."""
    sound: dict[str, Callable[[], bytes]] = {name: made for name, (made, _) in MODELS.items()}
    for name, made in {**sound, **onnx_files(), **tflite_files()}.items():
        path = folder / name
        path.write_bytes(made())
        yield f"sound/{name}", path


def onnx_files() -> dict[str, Callable[[], bytes]]:
    """Return seeded networks in ONNX: file -> what writes it."""
    from tests.broken.random_onnx import random_model

    def model(seed: int) -> bytes:
        return random_model(seed).SerializeToString()

    return {f"random_{seed}.onnx": partial(model, seed) for seed in range(24)}


def tflite_files() -> dict[str, Callable[[], bytes]]:
    """Return a network in TensorFlow Lite, as the example writes it."""
    from tests.workload.tflite_file import example

    return {
        "kws.tflite": example.kws,
        "mobilenet_v1.tflite": partial(example.mobilenet_v1, 8, 96, 2),
    }


def figures() -> Figures:
    """Yield what was understood of every file."""
    with tempfile.TemporaryDirectory() as folder:
        for key, path in (*files(), *written(Path(folder))):
            settings = SETTINGS.get(path.name, {})
            yield from tried(
                f"file/{key}",
                lambda path=path, settings=settings: network(pm.workload(path, **settings)),
            )
