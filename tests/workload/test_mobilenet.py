from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perfmodel.workload.families import family
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.workload import Workload, from_family

MOBILENET = family("mobilenet")


def reference(channels: float, divisor: int = 8) -> int:
    """The channel rule as the MobileNetV2 authors state it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv(inputs: int, outputs: int, kernel: int, size: int, groups: int = 1) -> int:
    return inputs // groups * outputs * kernel**2 * size**2


def mobilenet_v2(width: float) -> int:
    """Multiply-accumulates of MobileNetV2 at 224 x 224, layer by layer."""
    size, inputs = 112, reference(32 * width)
    total = conv(3, inputs, 3, size)
    rows = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for expand, channels, repeats, stride in rows:
        outputs = reference(channels * width)
        for i in range(repeats):
            hidden = inputs * expand
            if expand != 1:
                total += conv(inputs, hidden, 1, size)
            size //= stride if i == 0 else 1
            total += conv(hidden, hidden, 3, size, hidden) + conv(hidden, outputs, 1, size)
            inputs = outputs
    last = reference(1280 * max(1.0, width))
    return total + conv(inputs, last, 1, size) + last * 1000


WIDTHS = [0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4, 2.0]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_width_of_mobilenet_v2(width: float, load: Callable[..., Workload]) -> None:
    assert load("mobilenet_v2").bind({"width_multiplier": width}).macs == mobilenet_v2(width)


@pytest.mark.parametrize(("width", "millions"), [(0.35, 1.68), (0.5, 1.97)])
def test_published_widths_of_mobilenet_v2(
    width: float, millions: float, load: Callable[..., Workload]
) -> None:
    # timm's mobilenetv2_035 and mobilenetv2_050.
    net = load("mobilenet_v2").bind({"width_multiplier": width})
    assert net.weights == pytest.approx(millions * 1e6, abs=0.005e6)


def test_the_width_may_be_an_array(load: Callable[..., Workload]) -> None:
    many = load("mobilenet_v2").bind({"width_multiplier": np.array(WIDTHS)})
    np.testing.assert_array_equal(many.macs, [mobilenet_v2(width) for width in WIDTHS])


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"])
def test_the_relaxed_form_has_a_slope(name: str, load: Callable[..., Workload]) -> None:
    jax = pytest.importorskip("jax")
    net = load(name)
    macs = net.graph().macs

    def relaxed(width: Any) -> Any:
        return evaluate(macs, {**net.parameters, "width_multiplier": width}, relaxed=True)

    slope = float(jax.jit(jax.grad(relaxed))(1.21))
    step = 1e-3
    finite = (relaxed(1.21 + step) - relaxed(1.21 - step)) / (2 * step)
    assert slope == pytest.approx(finite, rel=1e-4)
    # The staircase follows the relaxed form.
    hard = net.bind({"width_multiplier": 1.21}).macs
    assert relaxed(1.21) == pytest.approx(hard, rel=0.1)


def test_image_size_is_free(load: Callable[..., Workload]) -> None:
    net = load("mobilenet_v3_large")
    pooled = sum(
        net.number(block.count * operator.macs)
        for block, operator in net.graph().walk()
        if ".se." in operator.name or operator.name.startswith("classifier")
    )
    # Squeeze-and-excitation and the head see pooled channels; all else doubles with the height.
    tall = net.bind({"height": 448})
    assert tall.macs - pooled == 2 * (net.macs - pooled)


def test_compound_scaling_of_efficientnet(load: Callable[..., Workload]) -> None:
    # EfficientNet-B1 and B3 (Tan and Le 2019; torchvision: 7.794184 M at 240, 12.233232 M at 300).
    b1 = load("efficientnet_b0", depth_multiplier=1.1).bind({"height": 240, "width": 240})
    assert b1.weights == 7_794_184
    assert b1.macs == pytest.approx(0.687e9, rel=0.005)
    b3 = load("efficientnet_b0", depth_multiplier=1.4).bind(
        {"height": 300, "width": 300, "width_multiplier": 1.2}
    )
    assert b3.weights == 12_233_232
    assert b3.macs == pytest.approx(1.827e9, rel=0.005)


def test_blocks_hold_what_they_should(load: Callable[..., Workload]) -> None:
    graph = load("mobilenet_v3_small", batch_norm="folded").graph()
    flat = graph.unroll()
    names = [operator.name for _, operator in flat.walk()]
    # 11 blocks: 10 expand, 9 squeeze, 6 add their input.
    assert sum(name.endswith("expand") and ".se" not in name for name in names) == 10
    assert sum(name.endswith("se.reduce") for name in names) == 9
    assert sum(name.endswith("add") for name in names) == 6
    assert sum(operator.kind == "depthwise" for _, operator in flat.walk()) == 11


@pytest.mark.parametrize(
    ("field", "value"),
    [("variant", "v4"), ("stages", ()), ("head", -1), ("depth_multiplier", -1.0), ("widht", 1)],
)
def test_wrong_structures_are_refused(field: str, value: object) -> None:
    data: dict[str, Any] = {"variant": "v2", "stages": ({"channels": 16},)}
    MOBILENET.structure.model_validate(data)
    with pytest.raises(ValueError, match=field):
        MOBILENET.structure.model_validate({**data, field: value})


def test_structures_are_hashable() -> None:
    data = {"variant": "v2", "stages": ({"channels": 16},)}
    structure = MOBILENET.structure.model_validate(data)
    again = MOBILENET.structure.model_validate(structure.model_dump())
    assert hash(structure) == hash(again)
    one, two = (from_family("n", MOBILENET, s, {}) for s in (structure, again))
    assert one.graph() is two.graph()
