"""The table of measured energies in docs/energy.md has what `validate` says, to a tenth of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perfmodel.evaluate import validate

PAGE = Path(__file__).resolve().parents[3] / "docs" / "energy.md"
ROW = re.compile(r"^\| `(\w+)` \| (power_w|energy_j) \| (\d+) \|([^|]*)\|([^|]*)\|", re.MULTILINE)
SHARE = re.compile(r"([0-9.]+) %(?: a (\w+))?")


@pytest.mark.data
def test_every_figure_is_that_of_validate(data: Path) -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    names = list(dict.fromkeys(name for name, *_ in rows))
    assert names == ["mlperf_tiny", "tmac_orin_energy", "llamacpp_rpi5_quant_energy"]
    results = {each.name: each for each in validate(names, data=data, left_out=True)}
    for name, target, count, inside, outside in rows:
        result = results[name]
        plain, figures = result.targets[target], SHARE.findall(outside)
        assert figures, name
        if inside.strip():
            seen = 100.0 * (plain["mape"] or 0.0)
            assert seen == pytest.approx(float(inside.split()[0]), rel=0.1)
        for figure, noun in figures:
            ending = ", makers" if noun == "maker" else ""
            trial = result.left_out.get(target + ending)
            # A set without a refit of its own was in no fit.
            error = 100.0 * ((plain if trial is None else trial)["mape"] or 0.0)
            assert error == pytest.approx(float(figure), rel=0.1), (name, target, noun)
            if trial is not None:
                assert (trial["left_out"], trial["rows"]) == (noun, int(count))
