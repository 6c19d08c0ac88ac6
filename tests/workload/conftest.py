"""Workload files of the library, read without the library's own loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.specfile import read
from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family


@pytest.fixture(scope="session")
def entry(checkout: Path) -> Callable[[str], dict[str, Any]]:
    """The plain data of a workload file, by name."""

    def get(name: str) -> dict[str, Any]:
        data, _ = read(checkout / "workloads" / f"{name}.yaml")
        return data

    return get


@pytest.fixture(scope="session")
def load(entry: Callable[[str], dict[str, Any]]) -> Callable[..., Workload]:
    """The workload of a file, by name, with fields of its structure replaced."""

    def get(name: str, **structure: Any) -> Workload:
        data = entry(name)
        kind = family(data["family"])
        made = kind.structure.model_validate({**data["structure"], **structure})
        return from_family(name, kind, made, data["parameters"])

    return get


@pytest.fixture
def onnx_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small ONNX file: nodes, inputs by name, names of outputs, weights by name.

    A shape is a list of extents, names or ``None``; a weight a shape alone (its data are left
    out), or an array.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def write(
        nodes: list[Any],
        inputs: dict[str, Any],
        outputs: list[str],
        weights: dict[str, Any] | None = None,
        *,
        opset: int = 21,
        format: int = TensorProto.FLOAT,
        name: str = "small.onnx",
        domains: tuple[str, ...] = ("com.microsoft",),
    ) -> Path:
        stored: list[Any] = []
        for key, value in (weights or {}).items():
            if isinstance(value, np.ndarray):
                stored.append(numpy_helper.from_array(value, key))
                continue
            kind, shape = value if isinstance(value[0], str) else ("FLOAT", value)
            tensor = TensorProto(name=key, dims=shape, data_type=getattr(TensorProto, kind))
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="absent")
            stored.append(tensor)
        made = helper.make_model(
            helper.make_graph(
                nodes,
                "small",
                [
                    helper.make_tensor_value_info(key, *value)
                    if isinstance(value, tuple)
                    else helper.make_tensor_value_info(key, format, value)
                    for key, value in inputs.items()
                ],
                [helper.make_tensor_value_info(key, format, None) for key in outputs],
                stored,
            ),
            opset_imports=[
                helper.make_opsetid(d, v) for d, v in (("", opset), *((d, 1) for d in domains))
            ],
        )
        path = tmp_path / name
        path.write_bytes(made.SerializeToString())
        return path

    return write
