"""The oracle equals `predict` on members of a space, on devices of each kind that people own."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.search.oracle import Oracle
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.architecture_space import ArchitectureSpace


@pytest.mark.parametrize(
    ("board", "runtime", "precision"),
    [
        ("kv260", "vitis_ai", "int8"),
        ("zcu102", "vitis_ai_threads", "int8"),
        ("vek280_dpu", "vitis_ai_3_5_threads", "int8"),
        ("ultra96_codenet", "codenet", "w4a8"),
        ("hailo15l", None, "int8"),
        ("rk3576", "rknn", "int8"),
        ("qcs9075", "qnn_htp", "int8"),
        ("gap9", None, "int8"),
        ("stm32u575", "x_cube_ai_9", "int8"),
        ("stm32mp157", None, "int8"),
        ("cim_jia_65nm", None, "int8"),
        ("olive", None, "w=int4,a=fp16"),
    ],
)
def test_oracle_equals_predict(board: str, runtime: str | None, precision: str) -> None:
    oracle = Oracle(
        hardware(board),
        space("ofa_mobilenet_v3", width_multiplier=1.0, batch_norm="folded"),
        ("latency_s",),
        precision=precision,
        runtime=runtime,
        settings={"batch": 3},
    )
    there = oracle.space
    assert isinstance(there, ArchitectureSpace)
    choices = there.sample(4, seed=1)
    found = oracle.batch(choices)["latency_s"]
    alone = [
        predict(
            there.workload(one).bind({"batch": 3}),
            hardware(board),
            precision=precision,
            runtime=runtime,
        ).latency_s
        for one in choices
    ]
    np.testing.assert_allclose(found, alone, rtol=1e-9)
