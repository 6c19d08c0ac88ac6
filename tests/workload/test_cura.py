"""CURA: parameters as the authors' code adds up, operations by hand."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError


def test_falls_take_345_parameters() -> None:
    cura = pm.workload("cura_fallalld")
    assert cura.weights == 32 + 32 + 72 + 200 + 9 == 345
    # A sample: gate and residual 3 x 8, mix 8 x 8, three taps of 8 x 8; the output once.
    assert cura.macs == 1800 * (2 * 3 * 8 + 64 + 3 * 64) + 8
    # All that is stored goes into half a kilobyte in int8.
    assert pm.predict(cura, "stm32h743", precision="w8a8").weight_bytes < 512


def test_flat_networks_convolve_over_features() -> None:
    assert pm.workload("cura_uci_har").weights == 561 * 4 + 4 + 3 * 20 + 4 + 4 * 6 + 6
    assert pm.workload("cura_ettm1").weights == 673 + 3 * 2 + 4 + 48
    two = pm.workload("cura_uci_har", blocks=2)
    assert two.weights - pm.workload("cura_uci_har").weights == 3 * 20 + 4


def test_encoder_by_hand() -> None:
    d, h, n, rank, vocabulary = 128, 150, 128, 32, 30522
    attention = 4 * d * d + 4 * d
    feed = 2 * (d * h + h) + (h * h + h) + (3 * h * h + h) + (h * d + d)
    block = attention + feed + 4 * d
    tables = vocabulary * rank + rank * d + d + n * d
    head = (d * d + d) + (d + 1) + (2 * d + 2)
    cura = pm.workload("curasformer_sst2")
    assert cura.weights == tables + 4 * block + head == 1_873_763
    products = n * (4 * d * d + 2 * d * h + h * h + 3 * h * h + h * d) + 2 * n * n * d
    assert cura.macs == n * rank * d + 4 * products + n * (d * d + d) + n * d + 2 * d
    # Half of it is the table of tokens, of which a sentence reads its rows alone.
    assert cura.active_weights < cura.weights - vocabulary * rank + n * rank + 1


def test_a_block_is_a_workload() -> None:
    """The block of the encoder by itself: what replaces a feed-forward network."""
    block = pm.workload("curasformer_sst2", form="block", inputs=128)
    assert block.weights == 2 * (128 * 150 + 150) + (150 * 150 + 150) + (3 * 150 * 150 + 150)
    latency = pm.predict(
        block.bind({"length": np.array([16, 64, 128])}), "raspberry_pi_5"
    ).latency_s
    assert np.all(np.diff(latency) > 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"heads": 7}, "divisor of 128"), ({"rank": None}, "tables"), ({"form": "texts"}, "text")],
)
def test_faults(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        pm.workload("curasformer_sst2", **settings)
    assert said in str(caught.value)
