from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import cast

import pytest

from perfmodel.errors import InputError
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.fbnet import BLOCKS

SPACE = space("fbnet")

FBNET_A = (
    "skip-k3_e3-k3_e1-skip-skip-k5_e6-k3_e3-k5_e1-k3_e3-k5_e6-k5_e3-k5_e1_g2-k5_e6-k3"
    "_e6-k5_e1_g2-k5_e3-k3_e1_g2-k5_e6-k5_e6-k5_e3-k5_e6-k5_e6"
)
FBNET_C = (
    "k3_e1-k3_e6-skip-k3_e1-k3_e1-k5_e6-k5_e3-k5_e6-k3_e6-k5_e6-k5_e3-k5_e6-k5_e6-k5_"
    "e6-k5_e6-k5_e6-k5_e3-k5_e6-k5_e6-k5_e6-k5_e6-k3_e6"
)


def test_size() -> None:
    assert SPACE.size == 9**22  # "about 10^21" in the paper
    assert len(SPACE.decisions) == 22
    assert SPACE.size == pytest.approx(1e21, rel=0.05)


def test_published_networks_on_imagenet() -> None:
    # Table 3 of the paper: FBNet-A 249 M FLOPs, 4.3 M parameters; its last convolution, like that
    # of its published definition, has 1504 channels. timm: fbnetc_100, 5.57 M parameters.
    a = space("fbnet", dataset="imagenet", head=1504).workload(SPACE.encode(FBNET_A))
    assert a.macs == pytest.approx(249e6, rel=0.005)
    assert a.weights == pytest.approx(4.3e6, abs=0.05e6)
    c = space("fbnet", dataset="imagenet").workload(SPACE.encode(FBNET_C))
    assert c.weights == pytest.approx(5.57e6, abs=0.005e6)
    assert c.macs == pytest.approx(0.4e9, abs=0.05e9)


def test_a_network_layer_by_layer() -> None:
    """The CIFAR-100 variant, added up as HW-NAS-Bench's table of operators lists it."""
    table = {
        name: (int(name[1]), int(name[4]), 2 if name.endswith("g2") else 1) for name in BLOCKS[:-1]
    }
    for choice in [*SPACE.sample(20, 3).tolist(), [8] * 22, [7] * 22]:
        size, inputs = 32, 16
        total = size**2 * 27 * 16
        at = 0
        stages = zip(
            (16, 24, 32, 64, 112, 184, 352),
            (1, 4, 4, 4, 4, 4, 1),
            (1, 1, 2, 2, 1, 2, 1),
            strict=True,
        )
        for outputs, layers, first in stages:
            for layer in range(layers):
                stride = 1 if layer else first
                out = size // stride
                option = choice[at]
                if option == 8:
                    if stride > 1 or inputs != outputs:
                        total += out**2 * inputs * outputs
                else:
                    kernel, expand, groups = table[BLOCKS[option]]
                    inner = inputs * expand
                    total += size**2 * inputs * inner // groups
                    total += out**2 * inner * kernel**2
                    total += out**2 * inner * outputs // groups
                size, inputs, at = out, outputs, at + 1
        total += size**2 * 352 * 1504 + 1504 * 100
        assert SPACE.workload(choice).macs == total


def test_skips_are_tensors_themselves_where_shapes_stay() -> None:
    graph = SPACE.graph((8,) * 22)
    names = [block.name for block in graph.blocks]
    assert names == ["stem", *(f"layer{i}" for i in (2, 6, 10, 14, 18, 22)), "head"]
    # Equal layers of a stage: it does not matter which of them is skipped.
    base = [3] * 22
    canonical = {SPACE.canonical([*base[:at], 8, *base[at + 1 :]]) for at in (2, 3, 4)}
    assert canonical == {(3, 3, 3, 3, 8, *base[5:])}
    assert SPACE.canonical([*base[:1], 8, *base[2:]]) == (3, 8, *base[2:])


@pytest.mark.data
def test_strings_of_the_measured_file(data: Path) -> None:
    with gzip.open(data / "measured" / "help_fbnet_latency.csv.gz", "rt") as file:
        texts = [row["arch_ops"] for row in csv.DictReader(file)]
    assert len(texts) == 5000
    for text in texts:
        choice = SPACE.encode(text)
        assert SPACE.decode(choice) == text
        assert SPACE.encode([BLOCKS[i] for i in choice]) == choice


def test_all_faults_of_a_string() -> None:
    with pytest.raises(InputError) as caught:
        SPACE.encode("9-k3_e2-" + "0-" * 19 + "x")
    assert [fault.path for fault in caught.value.faults] == ["layer1", "layer2", "layer22"]
    with pytest.raises(InputError, match="did you mean 'k5_e1_g2'"):
        SPACE.encode(["k5_e1g2"] * 22)
    with pytest.raises(InputError, match="21 blocks; expected 22"):
        SPACE.encode([0] * 21)
    with pytest.raises(InputError, match="did you mean 'cifar100'"):
        space("fbnet", dataset="cifar10")
    with pytest.raises(InputError) as caught:
        space("fbnet", strides=(1, 2, 3, 1, 1, 1, 1), head=0)
    assert {cast("str", f.path).split("[")[0].split(".")[0] for f in caught.value.faults} == {
        "strides",
        "head",
    }
