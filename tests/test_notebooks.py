"""Notebooks run from top to bottom, and are committed without outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: Those that take longest.
LONG = {
    "where_do_the_bytes_go.ipynb",
    "why_is_it_infeasible.ipynb",
    "co_designing_the_array_and_the_network.ipynb",
    "mixed_precision_under_an_sram_budget.ipynb",
    "a_nas_loop_in_twenty_lines.ipynb",
}

# In a process of its own: the kernel's libraries warn about themselves.
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=sys.argv[3])
nbformat.write(notebook, sys.argv[2])
"""


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


#: Notebook -> figures that it draws, and what it must say.
SHOWN = {
    "a_nas_loop_in_twenty_lines.ipynb": (
        2,
        (
            "us looked up",
            "the loop 20 of 20 times the best, 100.0 %",
            "of all 15,625 members",
            "regularised on nas_bench_201",
            "22 layers decided",
            "(beyond the limit)",
            "differentiable: 108.9 M MACs",
            "ready-made: ",
            "a gradient by all options",
        ),
    ),
    "accelerators.ipynb": (4, ("times_compulsory", "scale_sim_32x32", "published: 3.6", "claims")),
    "calibrate_your_device.ipynb": (
        1,
        (
            "mean error 63.0 % before, 15.8 % after, 17.9 % on each row by the others",
            "before 17 networks not fitted on: 58 % in the mean",
            "after  17 networks not fitted on: 13 %",
            "bound by dram, then matrix",
            " 8 rows: ",
        ),
    ),
    "co_designing_the_array_and_the_network.ipynb": (
        3,
        (
            "    4654    4654    4654    3502    3502    2350",
            "best change of the hardware:",
            "twice the scratchpad",
            "engines.array.height",
            "of at most 0.3",
            "14 of 16 chips are within 0.32 mm2",
            "least energy-delay product: 32 x 16, 64 KiB",
            "its own network",
            "half as much noise again",
        ),
    ),
    "energy_cost_and_heat.ipynb": (
        3,
        (
            "power model of the class: operations + bytes + static power x time",
            "memory dram       210.7 uJ    65 %",
            "least energy:                 1500mhz",
            "least energy within 10 ms:    2000mhz",
            "cost_usd  device 67 %, electricity 23 %, waiting 10 %",
            "carbon_kg embodied 1 %, operation 69 %, waiting 29 %",
            "raspberry_pi_5 at 2400mhz: full speed for 370 s, then 49 %",
            "raspberry_pi_5 at 1500mhz: full speed for ever",
        ),
    ),
    "first_roofline.ipynb": (4, ("llama_3_8b", "latency_s = ", "too much")),
    "flash_streaming.ipynb": (
        2,
        (
            "qwen3_30b_a3b",
            "proved: True",
            "1.45 tokens/s all from storage, 6.80 as placed",
            "4 GB:  80.8 % hits",
            "90% of the guesses right",
            "wall_stream: measured  585.2 ms",
        ),
    ),
    "fpga_budget.ipynb": (
        5,
        (
            "DSP       220",
            "0.15*",
            "takes 3462 DSP, 15.7 times the part's 220",
            "1260 combinations, 372 fit",
            "760 ns at 63 % of the scarcest",
            "605 ns at 80 %",
            "density 0.1:   395 ns,   70 % of the scarcest, fits",
            "11.87 ms  URAM 96 %",
        ),
    ),
    "mixed_precision_under_an_sram_budget.ipynb": (
        2,
        (
            "12.14 MiB with 8 bits everywhere",
            "sensitivity        1.273  (table)",
            "proved under the model",
            "value 1.273142, bound 1.273142, proved: True",
            "the search says 6,244,960 B",
            "2.61 times less",
            "10 % more memory: 0.572",
            "each ms less costs",
            "nothing satisfies the constraints",
            "needs 6.907 MiB",
            "needs a source of accuracy, and none is given",
            "points of top-1  (table, calibrated with 12 evaluations)",
        ),
    ),
    "one_network_on_six_kinds_of_hardware.ipynb": (
        3,
        (
            "bound by weights",
            "does not fit",
            "sram must hold 980 KiB and has 512 KiB",
            "weights from octo_flash",
            "fits with no reuse factor",
            "engines.main.adc_bits",
        ),
    ),
    "reading_a_spec.ipynb": (
        1,
        (
            "sbc_reviews: SBC reviews: tinymembench",
            "[williams_2009]",
            "tokens/s        6.191",
            "vary (in proportion to engines.cpu.clock)",
            "broken.yaml:8:75: memories.dram.feeds.0",
            "octaves, bandwidth x",
            "memories.dram.capacity: 4 GiB -> 8 GiB (set)",
            "D of C",
        ),
    ),
    "where_do_the_bytes_go.ipynb": (
        7,
        (
            "proved: no schedule can spill fewer bytes",
            "67.375 KiB + 67.375 KiB",
            "= 2.46752 MiB",
            "cell0.node1.second.2.depthwise.out",
            "does not fit",
            "with fewest bytes",
            "twice the capacity",
            "moved by tiles",
            "in patches",
        ),
    ),
    "why_is_it_infeasible.ipynb": (
        3,
        (
            "needs 1.43555 MiB on chip at once, of 256 KiB",
            "gap 1,243,136 B",
            "enough     1.18555 MiB more",
            "0 B less than the demand: fits",
            "1 B less than the demand: does not fit",
            "patches fit",
            "at least 938.5 KiB on chip",
            "no packing of this schedule fits: the best needs 80 KiB",
            "32 KiB  fragmentation",
            "proved",
        ),
    ),
}


def test_every_notebook_is_looked_at() -> None:
    assert [path.name for path in NOTEBOOKS] == [*SHOWN]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_committed_without_outputs(path: Path) -> None:
    for cell in cells(path):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.exhaustive] * (path.name in LONG))
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.name,
)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(tmp_path / "run.ipynb"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown: list[str] = []
    figures = 0
    for cell in cells(tmp_path / "run.ipynb"):
        if cell["cell_type"] != "code" or cell["source"] == "":
            continue
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]
            data = output.get("data", {})
            figures += "application/vnd.plotly.v1+json" in data
            shown += ["".join(data.get("text/html", [])), "".join(output.get("text", []))]
    text = "\n".join(shown)
    drawn, said = SHOWN[path.name]
    assert figures == drawn
    assert [words for words in said if words not in text] == []
