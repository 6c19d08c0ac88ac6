"""Torch modules as workloads, against torch's own counter and the same network built by hand."""

from typing import Any

import pytest

from perfmodel.catalog import loaded
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.search.adapters import torch_cost, torch_workload
from perfmodel.workload.image_builder import ImageBuilder

pytestmark = pytest.mark.skipif(
    not loaded("torch"), reason="torch is not installed: pip install 'perfmodel[torch]'"
)


def network() -> Any:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(16)
            self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False)
            self.project = nn.Conv2d(16, 16, 1)
            self.pool = nn.MaxPool2d(2)
            self.fc = nn.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.norm(self.stem(x)))
            y = self.project(self.depthwise(y)) + y
            return self.fc(self.pool(y).mean((2, 3)))

    return Block()


def built() -> Any:
    g = ImageBuilder("by_hand")
    x = g.input("image", (2, 3, 32, 32))
    y = g.conv_norm(x, 16, 3, stride=2, activation="relu", name="stem")
    z = g.conv(y, 16, 5, padding=2, groups=16, bias=False, name="depthwise")
    z = g.conv(z, 16, 1, name="project")
    z = g.elementwise("add", z, y, name="add")
    z = g.global_pool(g.pool(z, 2, name="pool"), name="mean")
    g.output(g.linear(z, 10, name="fc"))
    return g.build()


def counted(module: Any, *inputs: Any) -> float:
    """Multiply-accumulates by torch's counter, which counts two operations each."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module.eval()(*inputs)
    return counter.get_total_flops() / 2


def test_a_network_equals_the_one_built_by_hand() -> None:
    import torch

    from perfmodel.search.adapters.torch_modules import Recorded
    from perfmodel.workload.workload import Workload

    module, example = network().train(), torch.zeros(2, 3, 32, 32)
    traced = torch_workload(module, example)
    assert module.training  # left as it was
    assert module.stem.training
    assert not module.stem._forward_hooks
    hand = Workload("by_hand", Recorded(built()), {})
    assert traced.not_priced == ()
    assert traced.macs == hand.macs == counted(module, example)
    assert traced.weights == hand.weights == sum(p.numel() for p in module.parameters())
    device = hardware("raspberry_pi_5")
    one, other = predict(traced, device), predict(hand, device)
    assert float(one.latency_s) == pytest.approx(float(other.latency_s), rel=1e-12)
    assert float(one.peak_memory_bytes) == float(other.peak_memory_bytes)
    told = torch_cost("raspberry_pi_5", ("latency_s", "macs"))(module, example)
    assert told == {"latency_s": float(one.latency_s), "macs": traced.macs, "feasible": 1.0}


@pytest.mark.parametrize("flavour", ["transformer", "transposed", "recurrence"])
def test_multiply_accumulates_equal_torchs_counter(flavour: str) -> None:
    import torch
    from torch import nn

    if flavour == "transformer":
        module: Any = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        example = torch.zeros(2, 10, 64)
    elif flavour == "transposed":
        module = nn.Sequential(
            nn.Conv1d(4, 8, 5, dilation=2), nn.GELU(), nn.ConvTranspose1d(8, 6, 4, stride=2)
        )
        example = torch.zeros(1, 4, 40)
    else:
        module = nn.GRUCell(8, 16)
        example = torch.zeros(3, 8)
    workload = torch_workload(module, example)
    # The counter leaves out the fused attention of CPUs: scores and values, 4 heads of 16.
    attention = 2 * 2 * 4 * 10 * 10 * 16 if flavour == "transformer" else 0
    assert workload.macs == counted(module, example) + attention
    if flavour != "recurrence":
        assert workload.not_priced == ()
    assert workload.weights <= sum(p.numel() for p in module.parameters())
    assert float(predict(workload, hardware("raspberry_pi_5")).latency_s) > 0


def test_what_has_no_cost_is_listed() -> None:
    import torch
    from torch import nn

    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.inv(x)

    workload = torch_workload(Odd(), torch.eye(3))
    assert any("linalg_inv" in text and "no operator" in text for text in workload.not_priced)
