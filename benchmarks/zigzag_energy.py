"""Energy reached after equal time: the exact chain of tiles against ZigZag's own search.

    pip install zigzag-dse==3.9.1 six        # in an environment of its own, or in this one
    python benchmarks/zigzag_energy.py --zigzag PYTHON --seconds 100
    python benchmarks/zigzag_energy.py --draw docs/images/zigzag_energy.png

ZigZag's search LOMA tries every order of at most ``lpf_limit`` loops. It is run as its users do:
with the lowest limit, then with one more, and so on until the time is up or no factor is left; each
better mapping is noted with the CPU seconds spent until then, imports and parsing left out. Ours is
timed the same way, in a process that has imported everything and remembers nothing. Energies are
counted alike (``accounting="zigzag"``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: (accelerator, what, nest): layers of ResNet-18 and MobileNetV2 in which a finer split may pay.
CASES: list[tuple[str, str, dict[str, int]]] = [
    (
        "tpu_like",
        "MobileNetV2, depthwise, 960 channels, 7 x 7",
        {
            "groups": 960,
            "out_rows": 7,
            "out_columns": 7,
            "kernel_rows": 3,
            "kernel_columns": 3,
            "in_rows": 7,
            "in_columns": 7,
        },
    ),
    (
        "tesla_npu_like",
        "ResNet-18, 128 channels, 28 x 28",
        {
            "out_channels": 128,
            "in_channels": 128,
            "out_rows": 28,
            "out_columns": 28,
            "kernel_rows": 3,
            "kernel_columns": 3,
            "in_rows": 28,
            "in_columns": 28,
        },
    ),
    (
        "ascend_like",
        "ResNet-18, 256 channels, 14 x 14",
        {
            "out_channels": 256,
            "in_channels": 256,
            "out_rows": 14,
            "out_columns": 14,
            "kernel_rows": 3,
            "kernel_columns": 3,
            "in_rows": 14,
            "in_columns": 14,
        },
    ),
    (
        "eyeriss_like",
        "ResNet-18, 256 channels, 14 x 14",
        {
            "out_channels": 256,
            "in_channels": 256,
            "out_rows": 14,
            "out_columns": 14,
            "kernel_rows": 3,
            "kernel_columns": 3,
            "in_rows": 14,
            "in_columns": 14,
        },
    ),
]
#: Files of ZigZag that describe an accelerator, where they are not named like it.
FILES = {
    "meta_prototype_like": ("meta_prototype", "meta_prototype_like"),
    "eyeriss_like": ("eyeriss_like", "default"),
}


def zigzag(accelerator: str, nest: dict[str, int], seconds: float) -> list[dict[str, float]]:
    """Best energy of ZigZag's search against CPU seconds, limit after limit."""
    import logging

    import zigzag as package
    from zigzag.mapping.temporal_mapping import TemporalMappingType
    from zigzag.parser.workload_factory import LayerNodeFactory
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
    from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
    from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
    from zigzag.stages.parser.workload_parser import WorkloadParserStage

    logging.disable(logging.CRITICAL)
    inputs = Path(package.__file__).parent / "inputs"
    hardware, mapping = FILES.get(accelerator, (accelerator, accelerator))
    machine = AcceleratorParserStage.parse_accelerator(
        str(inputs / "hardware" / f"{hardware}.yaml")
    )
    mappings = WorkloadParserStage.parse_mapping_data(str(inputs / "mapping" / f"{mapping}.yaml"))
    trace: list[dict[str, float]] = []
    best, spent = float("inf"), 0.0
    limit, loops = 1, 0
    while True:
        layer = LayerNodeFactory(_layer(nest), mappings).create()
        stages = [SpatialMappingGeneratorStage, TemporalMappingGeneratorStage, CostModelStage]
        search = stages[0](
            stages[1:],
            accelerator=machine,
            layer=layer,
            loma_lpf_limit=limit,
            loma_show_progress_bar=False,
            nb_mappings_generated=3,
            temporal_mapping_type=TemporalMappingType.UNEVEN,
            access_same_data_considered_as_no_access=True,
        )
        start, tried = time.process_time(), 0
        for found, extra in search.run():
            tried += 1
            now = spent + time.process_time() - start
            loops = sum(map(len, extra[1][0].mapping_dic_origin[layer.output_operand]))
            if found.energy_total < best:
                best = found.energy_total
                trace.append({"cpu_s": now, "joules": best * 1e-12, "loops": loops})
            if now > seconds:
                break
        spent += time.process_time() - start
        trace.append({"cpu_s": spent, "joules": best * 1e-12, "loops": loops, "tried": tried})
        if spent > seconds or loops < limit:
            break
        limit = loops + 1
    return trace


def _layer(nest: dict[str, int]) -> dict[str, Any]:
    """A layer in the form that ZigZag's ONNX parser makes."""
    get = nest.get
    return {
        "id": 0,
        "name": "layer",
        "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "operand_source": {"W": 0, "I": 0},
        "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
        "loop_sizes": [
            1,
            get("out_channels", 1),
            get("groups", 1),
            get("out_columns", 1),
            get("out_rows", 1),
            get("in_channels", 1),
            get("kernel_columns", 1),
            get("kernel_rows", 1),
        ],
        "dimension_relations": ["ix=1*ox+1*fx", "iy=1*oy+1*fy"],
        "operand_precision": {"W": 8, "I": 8, "O_final": 8, "O": 16},
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [get("in_columns"), get("in_rows")],
        "padding": [[1, 1], [1, 1]],
    }


def ours(accelerator: str, nest: dict[str, int]) -> dict[str, Any]:
    """The same from `best_mapping`, and from `loma_mapping` limit after limit."""
    from perfmodel.cost.mapping import KNOWN, best_mapping, loma_mapping
    from perfmodel.cost.mapping.search import enumerated_mapping, least_cost_mapping
    from perfmodel.cost.traffic.nest import TileNest, Widths

    real = {name: nest[name] for name in ("in_rows", "in_columns")}
    layer = TileNest(**{name: size for name, size in nest.items() if name not in real})
    machine = KNOWN[accelerator]()
    given: dict[str, Any] = {"widths": Widths(1, 1, 1, 2), "accounting": "zigzag", **real}
    times: list[float] = []
    for _ in range(6):  # the first one pays for imports
        least_cost_mapping.cache_clear()
        start = time.process_time()
        best = best_mapping(layer, machine, **given)
        times.append(time.process_time() - start)
    listed: list[dict[str, float]] = []
    for limit in range(4, 9):
        enumerated_mapping.cache_clear()
        start = time.process_time()
        found = loma_mapping(layer, machine, loops=limit, **given)
        spent = time.process_time() - start
        listed.append({"cpu_s": spent, "joules": found.energy_j, "limit": limit})
        if spent > 5:
            break
    return {
        "cpu_s": sorted(times[1:])[2],
        "joules": best.energy_j,
        "proved": best.proved,
        "loops": len(best.loops),
        "listed": listed,
    }


def main() -> None:
    """Measure, or draw what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zigzag", default=sys.executable, help="Python that has zigzag-dse")
    parser.add_argument("--seconds", type=float, default=100.0, help="CPU seconds a layer")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/zigzag_energy.json"))
    parser.add_argument("--draw", type=Path, help="draw the output file instead")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker is not None:
        accelerator, _, nest = CASES[asked.worker]
        print(json.dumps(zigzag(accelerator, nest, asked.seconds)))
        return
    if asked.draw is not None:
        draw(json.loads(asked.output.read_text()), asked.draw)
        return
    rows: list[dict[str, Any]] = []
    for at, (accelerator, what, nest) in enumerate(CASES):
        command = [asked.zigzag, __file__, "--worker", str(at), "--seconds", str(asked.seconds)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = {
            "accelerator": accelerator,
            "what": what,
            "nest": nest,
            "ours": ours(accelerator, nest),
            "zigzag": json.loads(done.stdout.splitlines()[-1]),
        }
        rows.append(row)
        last = row["zigzag"][-1]
        print(
            f"{accelerator}, {what}: {row['ours']['joules'] * 1e6:.3f} uJ after "
            f"{row['ours']['cpu_s'] * 1e3:.1f} ms; ZigZag {last['joules'] * 1e6:.3f} uJ after "
            f"{last['cpu_s']:.1f} s",
            flush=True,
        )
    asked.output.write_text(json.dumps(rows, indent=1) + "\n")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the excess energy of the searches over CPU time, a panel a layer."""
    from perfmodel.charts.chart import Chart, ChartAxis, Lines, Note, Panel
    from perfmodel.charts.draw import draw as drawn
    from perfmodel.charts.style import BLUE, GREEN, INK, VERMILION

    panels: list[Panel] = []
    words: list[str] = []
    times = {1e-3: "1 ms", 1e-2: "10 ms", 0.1: "100 ms", 1: "1 s", 10: "10 s", 100: "100 s"}
    for at, row in enumerate(rows):
        least = row["ours"]["joules"]
        points, listed = (
            [(p["cpu_s"], 100 * (p["joules"] / least - 1)) for p in reached]
            for reached in (row["zigzag"], row["ours"]["listed"])
        )
        every = [
            ("ZigZag 3.9.1", points, VERMILION, 2.5, "hv", "", 8),
            ("its search, in arrays here", listed, GREEN, 2.5, "linear", "diamond", 8),
            ("exact chain of tiles", [(row["ours"]["cpu_s"], 0.0)], BLUE, 0, "linear", "star", 16),
        ]
        below, right = divmod(at, 2)
        # The first mappings are far above; the panel shows what is reached after 30 ms.
        first = [y for x, y in points if x <= 0.03][-1:]
        high = max([y for x, y in points if x > 0.03] + [y for _, y in listed] + first) or 1.0
        left, bottom = 0.54 * right, 0.56 * (1 - below)
        title = f"<b>{row['accelerator']}</b>: {row['what']}"
        above = "" if right else "energy above the least (%)"
        panels.append(
            Panel(
                x=ChartAxis("CPU time" if below else "", 1e-3, 200, log=True, ticks=times),
                y=ChartAxis(above, -0.08 * high, 1.08 * high),
                series=[
                    Lines(
                        name=name,
                        x=[x for x, _ in reached],
                        y=[y for _, y in reached],
                        color=color,
                        width=width,
                        step=step,
                        symbol=symbol,
                        size=size,
                        edge=INK,
                        edge_width=0.5,
                    )
                    for name, reached, color, width, step, symbol, size in every
                ],
                notes=[Note(text=title, x=0.0, y=1.03, frame="", anchor="left bottom")],
                across=(left, left + 0.46),
                down=(bottom, bottom + 0.40),
            )
        )
        words.append(
            f"{row['accelerator']}, {row['what']}: ours {1e6 * least:.4g} uJ after "
            f"{1e3 * row['ours']['cpu_s']:.1f} ms, proved; ZigZag {points[-1][1]:.2f} % above "
            f"after {points[-1][0]:.0f} s, first mapping after {points[0][0]:.3f} s"
        )
    chart = Chart(
        "Energy reached after equal time",
        "one core; ZigZag with one loop more from search to search; its first mappings lie above",
        "Excess energy over CPU time. " + ". ".join(words) + ".",
        panels,
        legend="above",
    )
    drawn(chart).write_image(path, scale=1.5)
    print(chart.alt)


if __name__ == "__main__":
    main()
