"""Neural processors with vector processors beside their arrays: what int8 does not speed up."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm

#: Milliseconds of an image in fp16 and int8 on the NPU of a Core Ultra 7 258V: ultralytics,
#: docs/en/integrations/openvino.md of 2026. They are in no fit.
ON_A_258V = {
    "yolo26n": (7.98, 8.17),
    "yolo26s": (9.74, 11.88),
    "yolo26m": (16.8, 15.68),
    "yolo26l": (19.21, 17.25),
    "yolo26x": (32.87, 25.88),
}


def predicted_ms(network: str, precision: str) -> float:
    found = pm.predict(
        network, "core_ultra_7_258v", runtime="openvino_npu", engine="npu", precision=precision
    )
    return 1e3 * float(found.latency_s)


def test_published_detectors_on_an_npu() -> None:
    errors = [
        predicted_ms(network, precision) / measured - 1.0
        for network, pair in ON_A_258V.items()
        for precision, measured in zip(("fp16", "int8"), pair, strict=True)
    ]
    assert np.mean(np.abs(errors)) < 0.32
    assert np.max(np.abs(errors)) < 0.55


@pytest.mark.parametrize("network", ["yolo26x", "bert_base"])
def test_vector_work_takes_as_long_in_eight_bits(network: str) -> None:
    wide, narrow = (
        pm.predict(
            network, "core_ultra_7_165h", runtime="openvino_npu", engine="npu", precision=precision
        ).table
        for precision in ("fp16", "int8")
    )
    vector = np.isin(wide["kind"], ("elementwise", "norm"))
    assert vector.any()
    assert narrow["vector_s"][vector] == pytest.approx(wide["vector_s"][vector])
