"""Draw the images of the README and the docs: ``python examples/draw_images.py [docs/images]``.

Needs the package ``kaleido`` and a Chromium or Chrome that it finds.
"""

import argparse
from pathlib import Path

from perfmodel_studies.row_stationary.eyeriss import eyeriss_layers
from perfmodel_studies.staircase_plot import staircase as draw_staircases

import perfmodel as pm
from perfmodel.charts.energy_stack import energy_stack
from perfmodel.charts.patches import patches as draw_patches
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.schedule.tiling import network, patch_plan
from perfmodel.workload.rewrite import layers

#: Four layers of ResNet-18.
LAYERS = {
    "conv1": TileNest(112, 112, 64, 3, 7, 7, 2, 2),
    "layer1": TileNest(56, 56, 64, 64, 3, 3),
    "layer4": TileNest(7, 7, 512, 512, 3, 3),
    "fc": TileNest(out_rows=1, out_channels=1000, in_channels=512),
}
#: Joule of the convolutions of AlexNet on Eyeriss: power by time (Chen et al., JSSC 52(1), 2017).
EYERISS = {
    "CONV1": 6.94e-3,
    "CONV2": 12.07e-3,
    "CONV3": 6.28e-3,
    "CONV4": 4.32e-3,
    "CONV5": 2.48e-3,
}
#: Sensitivities of ResNet-18.
HAWQ = Path(__file__).parent / "hawq_resnet18.yaml"
#: A systolic array to be sized.
SIZED = Path(__file__).parent / "sized_array.yaml"
#: Half again as many pixels as on screen, for displays that have them.
SCALE = 1.5


def residual_layers(model):
    """Return the names of all layers but the first and the last."""
    return [layer.name for layer in layers(pm.workload(model).graph())][1:-1]


def figures():
    """Return file name -> figure."""
    orin = pm.hardware("jetson_agx_orin")
    request = pm.workload("llama_3_8b", phase="request", batch=4, prompt=1024, generate=256)
    answer = pm.predict(request, orin, precision="w4a16")
    small = pm.predict(pm.workload("mlperf_tiny_vww"), pm.hardware("stm32h743"), precision="int8")
    devices = ["h100", "a100", "rtx_4090", "apple_m2_ultra", "apple_m2_max", "jetson_agx_orin"]
    table = pm.sweep(
        "llama_3_8b",
        devices,
        {"batch": "2**0..2**7", "context": 2048, "precision": ["w16a16", "w4a16"]},
    )
    spikes = pm.sweep(
        ["lsm_n_mnist", "l2mu_braille"],
        ["stm32h743", "raspberry_pi_4"],
        {"spike_rate": [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1], "precision": ["w8a8"]},
    )
    decode = pm.workload("opt_6_7b", phase="decode", batch=1, context=1000)
    token = pm.predict(decode, pm.hardware("cambricon_llm_s"), precision="w8a8")
    resnet = pm.predict(pm.workload("resnet18"), pm.hardware("scale_sim_32x32"))
    chip = {name: layer.energy_j for name, layer in eyeriss_layers("alexnet").items()}
    tight = {"device": "gemmini_16x16", "fuse": False}
    sizes = ["512 KiB", "640 KiB", "735 KiB", "768 KiB", "832 KiB", "896 KiB", "1 MiB", "1.25 MiB"]
    spilling = pm.schedule("efficientformer_l1", capacity="735 KiB", **tight)
    over = pm.schedule("efficientformer_l1", capacity=sizes, **tight)
    engines = pm.assign("mobilenet_v3_small", "kv260", precision="int8")
    net = network(pm.workload("mobilenet_v2"), "w8a8")
    grids = ((4, 4), (7, 1), (10, 1), (14, 1))
    bits = pm.search(
        "resnet18",
        "jetson_agx_orin",
        precision="w8a8",
        choices={"weight_bits": {"layer*": [4, 8]}},
        constraints=["weight_bytes <= 8 MiB", "latency_s <= 1 ms"],
        accuracy=pm.accuracy.hawq(HAWQ, layers=residual_layers("resnet18")),
    )
    strips = patch_plan(net, "macs", capacity_bytes=256 * 1024, grids=grids)
    bitnet = pm.workload("bitnet_b1_58_large", phase="decode", batch=1, context=64)
    in_tables = "w=ternary_head_int8,a=int8,kv=fp16"
    tables = pm.predict(bitnet, pm.hardware("tellme"), precision=in_tables)
    prompt = pm.workload("llama_3_8b", phase="prefill", batch=1, prompt=256)
    serial = pm.predict(prompt, pm.hardware("bitmod"), precision="w=bitmod6,a=fp16,kv=int8")
    sides = [8, 16, 32, 64, 128, 256]
    designs = pm.sweep(
        "mobilenet_v2",
        SIZED,
        {
            "engines.mesh.height": sides,
            "engines.mesh.width": sides,
            "memories.sram.capacity": ["64 KiB", "256 KiB", "1 MiB", "4 MiB"],
            "memories.dram.bandwidth": ["3.2 GB/s", "12.8 GB/s", "51.2 GB/s"],
        },
        zip=[["engines.mesh.height", "engines.mesh.width"]],
        precision="int8",
        metrics=["latency_s", "energy_j", "area_mm2"],
    )
    cut = pm.split(
        "mobilenet_v2",
        "galaxy_s7",
        "rtx_4090",
        rate="logspace(1 Mbit/s, 200 Mbit/s, 60)",
        latency="5 ms",
        link_format="int8",
    )
    if strips is None:
        raise SystemExit("MobileNetV2 no longer fits 256 KiB in strips")
    return {
        "split": cut.plot.latency(cuts=4),
        "search_front": bits.plot.front(),
        "search_layers": bits.plot.layers(),
        "patches": draw_patches(strips, capacity="256 KiB"),
        "schedule_memory": spilling.plot.memory(),
        "schedule_curve": over.plot.curve(),
        "engines": engines.plot.timeline(),
        "energy_stack": energy_stack(
            chip, measured=EYERISS, title="AlexNet, batch 4, on Eyeriss without DRAM"
        ),
        "occupancy": resnet.plot.occupancy(layer="layer4.1.conv1"),
        "flash_timeline": token.plot.flash_timeline(),
        "bit_planes": tables.plot.bit_planes(),
        "bit_terms": serial.plot.bit_planes(row="layer.ffn_up"),
        "staircase": draw_staircases(
            {name: staircase(nest, Widths()) for name, nest in LAYERS.items()},
            capacity="16 KiB",
            least="64 B",
        ),
        "roofline": answer.plot.roofline(),
        "bottlenecks": answer.plot.bottlenecks(by="block"),
        "memory": small.plot.memory(),
        "spike_rates": spikes.plot.curves("spike_rate", "latency_s"),
        "array_front": designs.plot.pareto("energy_j", "area_mm2"),
        "pareto": table.plot.pareto("tpot_s", "tokens_per_s", under="tpot_s <= 50 ms"),
    }


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="docs/images", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures().items():
        path = folder / f"{name}.png"
        figure.write_image(path, scale=SCALE)
        print(f"{path}: {figure.layout.meta['alt']}")


if __name__ == "__main__":
    main()
