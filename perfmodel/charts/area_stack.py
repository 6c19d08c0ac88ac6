"""Picture of silicon: area of each block of a chip, stacked, of one design or of several."""

from __future__ import annotations

import numpy as np

from perfmodel.charts import SERIES, Chart, ChartAxis, Panel, Picture, percent
from perfmodel.charts.stacked_bars import stacked
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show


@Picture
def area_stack(prediction: Prediction, *others: Prediction) -> Chart:
    """Draw a bar for each design, stacked by block: arrays, vector units, memories, converters.

    Parameters
    ----------
    prediction, others
        Predictions; every point of an array-valued one is a bar.

    Raises
    ------
    InputError
        A spec states no structure, or no node.
    """
    designs = [
        each.at(i) for each in (prediction, *others) for i in range(int(np.prod(each.shape)))
    ]
    for each in designs:
        if isinstance(each.silicon, str):
            raise input_error(f"{each.device} has no area to draw: {each.silicon}")
    parts = [{n: float(area) for n, area in each.area_parts_mm2.items()} for each in designs]
    totals = [sum(each.values()) for each in parts]
    blocks = list(dict.fromkeys(name for each in parts for name in each))
    names = _names(designs)
    areas = {block: [each.get(block, 0.0) for each in parts] for block in blocks}

    def hover_text(block: str, i: int) -> str:
        share = percent(areas[block][i], totals[i])
        return f"<b>{names[i]}</b><br>{block}: {show(areas[block][i], 'silicon')}, {share}"

    dies = (f" of a die of {show(e.die_mm2, 'silicon')}" if e.die_mm2 else "" for e in designs)
    texts = [
        f"{name} {show(total, 'silicon')}{die}"
        for name, total, die in zip(names, totals, dies, strict=True)
    ]
    shares = ", ".join(f"{block} {percent(sum(areas[block]), sum(totals))}" for block in blocks)
    colors = dict(zip(blocks, SERIES * len(blocks), strict=False))
    return Chart(
        f"Area: {', '.join(dict.fromkeys(each.device for each in designs))}",
        "area by block that the spec states",
        f"Area by block: {'; '.join(texts[:8])}. Of all of it {shares}.",
        [
            Panel(
                ChartAxis(names=names, grid=False, angle=-45 if len(names) > 8 else 0),
                ChartAxis("area", 0.0, 1.06 * max(totals), "silicon"),
                stacked(names, areas, colors, hover_text, across=False, edge_width=0.5),
            )
        ],
        stacked=True,
        gap=0.25,
    )


def _names(designs: list[Prediction]) -> list[str]:
    """Return a name for each design: its device, with the numbers that tell it from others."""
    varied = [each.machine.varied for each in designs]
    paths = list(dict.fromkeys(p for v in varied for p in v))
    apart = [p for p in paths if len({str(v.get(p)) for v in varied}) > 1]
    names = [
        ", ".join([each.device, *(f"{p.split('.')[-1]} {v[p]:g}" for p in apart if p in v)])
        for each, v in zip(designs, varied, strict=True)
    ]
    return [n if names.count(n) == 1 else f"{n} ({i + 1})" for i, n in enumerate(names)]
