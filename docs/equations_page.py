"""Write the page of all equations from the tables that predictions are explained with.

python docs/equations_page.py          # prints the page
python docs/equations_page.py -o docs/equations.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from perfmodel.catalog import kinds
from perfmodel.kinds import kind
from perfmodel.kinds.fpga.design_styles import DESIGN_STYLES, design_style
from perfmodel.kinds.protocol import Equation, equations_of

#: Kind -> page that derives its terms, and what it models.
PAGES = {
    "roofline": ("roofline.md", "any engine with peaks and memories; the fallback of all others"),
    "tensor_core": ("gpu.md", "GPUs: tiles in waves, attention, collectives"),
    "simd": ("cpu.md", "CPU cores: register tiles, layouts, cold weights"),
    "systolic": ("systolic.md", "output-, weight- and input-stationary arrays"),
    "spatial": ("spatial.md", "row-stationary arrays"),
    "bit_fusion": ("bit_fusion.md", "bit-composable arrays"),
    "bit_serial": ("bit_serial.md", "arrays that take weights bit by bit"),
    "lookup_table": ("lookup_table.md", "products read from tables"),
    "mcu": ("mcu.md", "microcontrollers"),
    "npu": ("npu.md", "neural processors of vendors"),
    "fpga": ("fpga.md", "designs in the fabric of an FPGA, each style with terms of its own"),
    "in_memory": ("in_memory.md", "arrays of memory that multiply"),
    "hardwired": ("hardwired.md", "weights as wires"),
    "nand": ("nand.md", "flash dies that multiply"),
}

_DOCS = re.compile(r"docs/(\w+)\.md")

HEAD = """# Equations

Every term of a prediction, by kind of hardware: what it is computed from, and where the equation is
from. The tables are those that `perfmodel predict ... --explain` evaluates, and a test holds this
page to them.

A row of the table of operators takes its terms, and they compose:

    row_s     = join(arithmetic, each memory level) + overheads
    latency_s = sum over rows of count * row_s

`join` is the maximum where arithmetic and transfers overlap in full, their sum where they do not,
and a p-norm between, as the device or its runtime says (`overlap`); [roofline](roofline.md) has the
forms. Names in an equation are quantities of the row (`macs`, `bytes`, `kernels`) or facts of the
machine with its runtime (`peak`, `efficiency`, `clock`). What a kind takes over from the roofline
without change (`vector`, `memory`, `launch`, `layer`) is written at the roofline alone.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    roofline = kind("roofline").equations
    for name in sorted(kinds(), key=lambda name: list(PAGES).index(name)):
        link, what = PAGES[name]
        parts.append(
            f"## `{name}`\n\n{what[0].upper()}{what[1:]}: [{link.removesuffix('.md')}]({link}).\n"
        )
        if name == "fpga":
            for design in DESIGN_STYLES:
                own = _own(equations_of(design_style(design).counts), roofline)
                parts.append(f"Style `{design}`:\n\n" + (_table(own) or "the roofline's terms\n"))
            continue
        parts.append(_table(_own(kind(name).equations, roofline if name != "roofline" else {})))
    return "\n".join(parts)


def _link(found: re.Match[str]) -> str:
    return f"[{found[1]}]({found[1]}.md)"


def _own(mine: Mapping[str, Equation], others: Mapping[str, Equation]) -> dict[str, Equation]:
    return {name: said for name, said in mine.items() if others.get(name) != said}


def _table(equations: Mapping[str, Equation]) -> str:
    rows = [
        f"| `{name}` | `{said.text}` | {_DOCS.sub(_link, said.citation)} |"
        for name, said in equations.items()
    ]
    return "\n".join(["| term | equation | source |", "|---|---|---|", *rows, ""]) if rows else ""


if __name__ == "__main__":
    if sys.argv[1:2] == ["-o"]:
        Path(sys.argv[2]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
