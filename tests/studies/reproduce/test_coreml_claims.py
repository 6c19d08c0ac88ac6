"""Core ML's rows: the fits compose as `predict` does, and no network is in its own fit."""

from __future__ import annotations

import numpy as np
import pytest
from perfmodel_studies.claims import coreml

import perfmodel as pm
from perfmodel.evaluate import reproduce


@pytest.mark.parametrize("name", ["efficientformerv2_s1", "mobile_r2l", "deit_t"])
def test_the_fit_costs_as_predict_does(name: str) -> None:
    row = coreml.ROWS.get(name) or coreml.OTHERS[name]
    constants = {
        "runtime.per_run": 0.7e-3,
        "runtime.efficiency.conv": 0.3,
        "runtime.efficiency.bandwidth": 0.6,
    }
    changes = constants | {f"runtime.efficiency.{key}": 0.3 for key in coreml.PRODUCTS}
    machine = pm.hardware(row.device).machine("coreml").vary(changes)
    found = pm.predict(coreml.network(row), machine, precision="fp16")
    assert coreml.latency(name, constants) == pytest.approx(found.latency_s, rel=1e-12)


def test_the_runtime_states_what_the_rows_give() -> None:
    machine = pm.hardware("apple_a14").machine("coreml")
    for path, value in coreml.fitted().constants.items():
        assert machine[path] == pytest.approx(value, rel=0.002), path


def test_a_row_left_out_does_not_move_its_own_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    before = coreml.fitted("efficientformer_l7").constants
    wrong = coreml.ROWS["efficientformer_l7"]._replace(seconds=70e-3)
    monkeypatch.setattr(coreml, "ROWS", {**coreml.ROWS, "efficientformer_l7": wrong})
    assert coreml.fitted("efficientformer_l7").constants == before
    assert coreml.fitted().constants != before


def test_what_is_within() -> None:
    rows = {row.claim: row for row in reproduce("coreml")}
    asked = ("efficientformer_l1", "efficientformer_l3", "efficientformer_l7", "mobile_r2l")
    for claim in asked:
        assert rows[claim].verdict == "within", claim
    off = {claim for claim, row in rows.items() if row.verdict == "off"}
    assert off == {"mobilenet_v2_x1.4", "efficientnet_b0", "deit_t", "deit_s"}
    errors = [abs(rows[c].error or 0.0) for c in coreml.ROWS]
    assert float(np.mean(errors)) < 0.075


def test_weights_bind_the_largest() -> None:
    """EfficientFormer-L7's weights alone take five sixths of its time at the memory's full rate."""
    row = coreml.ROWS["efficientformer_l7"]
    floor = 2 * coreml.network(row).weights / 34.1e9
    assert floor < row.seconds
    assert coreml.latency("efficientformer_l7", coreml.fitted().constants) > floor


def test_the_renderer_by_hand() -> None:
    """29 blocks of two 256 x 256 products a ray, a head of 312, and three transposed ones."""
    rays = 63 * 84
    head, body = rays * 312 * 256, rays * 29 * 2 * 256**2
    up1 = rays * 16 * 256 * 64 + 4 * rays * 4 * 64**2
    up2 = 4 * rays * 16 * 64**2 + 16 * rays * 4 * 64**2
    up3 = 16 * rays * 9 * 64 * 16 + 144 * rays * (4 * 16**2 + 16 * 3)
    net = coreml.network(coreml.ROWS["mobile_r2l"])
    assert net.macs == head + body + up1 + up2 + up3
    output = net.graph().tensors[net.graph().outputs[0]]
    assert [net.number(extent) for extent in output.shape] == [1, 3, 756, 1008]
