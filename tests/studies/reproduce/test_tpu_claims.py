"""The first TPU's networks: weights in whole tiles over the memory's bandwidth, by hand."""

from __future__ import annotations

import math

import pytest

from perfmodel.evaluate import reproduce


def test_weights_bind_the_networks() -> None:
    """Each layer fetches whole tiles of 256 x 256 while the batch streams; the array waits."""
    found = {row.claim: row for row in reproduce("tpu_v1")}
    networks = {
        "mlp0": (5, 20e6, 200),
        "mlp1": (4, 5e6, 168),
        "lstm0": (24, 52e6, 64),
        "lstm1": (37, 34e6, 96),
    }
    for name, (layers, weights, batch) in networks.items():
        side = round((weights / layers) ** 0.5)
        tiles = math.ceil(side / 256) ** 2 * 256**2
        seconds = layers * tiles / 34e9
        macs = layers * batch * side**2
        assert found[f"{name}_tops"].predicted == pytest.approx(2e-12 * macs / seconds, rel=1e-9)
    assert found["matrix_600_us"].predicted == pytest.approx(9 * 256**2 / 34e3, rel=1e-12)
    assert found["matrix_600_on_512_us"].predicted == pytest.approx(4 * 512**2 / 34e3, rel=1e-12)


def test_what_is_within() -> None:
    verdicts = {row.claim: row.verdict for row in reproduce("tpu_v1")}
    assert verdicts.pop("lstm1_tops") == "off"
    assert verdicts.pop("memory_4x") == "off"
    assert set(verdicts.values()) == {"within"}
