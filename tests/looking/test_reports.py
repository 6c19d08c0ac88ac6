"""Reports read without a browser: their numbers, their questions, what they need."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.call_record import recorded_call
from perfmodel.charts.chart import Bars, Chart, ChartAxis, Lines, Panel, Points
from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.report.document import ReportDocument, picture_rows
from perfmodel.report.reconstructed_call import call_of
from perfmodel.table.text import shown_cells
from perfmodel.units import parse, show

#: No page may weigh more.
MOST = 5_000_000
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """The text of a page without its scripts, its tables, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [v for n, v in attrs if n in ("src", "srcset", "data", "action") and v]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if found.get("href"):
            self.targets.append(str(found["href"]))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.said.append(data)
        if {"td", "th"} & set(self.open[-3:]):
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST
    page = Page(text)
    # Nothing is loaded from anywhere, links stay within the page, and every anchor is there once.
    assert page.loads == []
    assert all(target.startswith("#") for target in page.targets)
    assert {target[1:] for target in page.targets} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"@import|url\(", text.partition("</style>")[0])
    return page


DECODE = {"phase": "decode", "batch": 1, "context": 2048}


def decode(device: str = "jetson_agx_orin", **options: Any) -> Any:
    return pm.predict(pm.workload("llama_3_8b", **DECODE), device, **options)


def test_the_numbers_are_those_of_the_prediction(tmp_path: Path) -> None:
    p = decode(precision="w4a16")
    p.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    for text in (
        show(p.latency_s, "time"),
        show(p.energy_j, "energy"),
        show(p.peak_memory_bytes, "bytes"),
        show(p.interval().high, "time"),
        "Fits.",
        p.traffic_model,
    ):
        assert text in page.text
    (kernels,) = [t for t in page.tables if t[0][0] == "kernel"]
    # A column has one unit, below its title.
    unit = kernels[0][kernels[0].index(next(t for t in kernels[0] if t.startswith("total_s")))]
    scale = parse(f"1 {unit.removeprefix('total_s')}", "time")
    shown = {row[0]: row for row in kernels[1:]}
    assert len(shown) == len(p.table)
    for row in p.table.rows():
        cells = shown[row["name"]]
        assert float(cells[kernels[0].index(unit)]) == pytest.approx(row.total_s / scale, rel=1e-3)
        assert row.bound_by in cells
    # Slowest first, and the facts name their sources.
    totals = {r["name"]: r.total_s for r in p.table.rows()}
    order = [totals[row[0]] for row in kernels[1:]]
    assert order == sorted(order, reverse=True)
    (facts,) = [t for t in page.tables if t[0][0] == "fact"]
    bandwidth = next(row for row in facts if row[0] == "memories.dram.bandwidth")
    assert bandwidth[1:4] == ["204.8 GB/s", "datasheet", "t_mac"]
    (sources,) = [t for t in page.tables if t[0][0] == "source"]
    assert any("arxiv.org/abs/2407.00088" in row[3] for row in sources)


def test_what_is_missing_comes_first_with_what_would_mend_it(tmp_path: Path) -> None:
    p = decode("raspberry_pi_5", precision="fp16")
    p.report(tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert text.index("Does not fit.") < text.index("latency")
    (violation,) = p.violations
    assert violation.message in text
    assert all(lever in text for lever in violation.levers)


def test_the_same_question_gives_the_same_bytes(tmp_path: Path) -> None:
    decode().report(tmp_path / "a.html")
    decode().report(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    decode().report(tmp_path / "c.html", "2026-01-31")
    assert "; 2026-01-31" in read(tmp_path / "c.html").text


@pytest.mark.parametrize(
    "asked",
    [
        {"workload": "resnet18", "device": "a100"},
        {
            "workload": ("resnet18", {"batch": 8, "height": 320}),
            "device": "a100",
            "precision": "int8",
        },
        {
            "workload": ("llama_3_8b", {"phase": "request", "prompt": 64, "generate": 8}),
            "device": "apple_m2_max",
            "precision": "q4_0",
            "runtime": "llama_cpp_metal",
        },
        {
            "workload": ("llama_3_8b", DECODE),
            "device": "jetson_agx_orin",
            "set": {"memories.main.bandwidth": "100 GB/s"},
        },
        {"workload": "resnet18", "device": "a100", "model": "roofline"},
        {"workload": "mobilenet_v2", "device": "zen4_core", "warm": True},
    ],
)
def test_the_call_of_a_report_gives_its_prediction(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """As Python and as a command: the call is run, not looked at."""
    options = dict(asked)
    workload = options.pop("workload")
    made = workload if isinstance(workload, str) else pm.workload(workload[0], **workload[1])
    p = pm.predict(made, options.pop("device"), **options)
    call = call_of(p)
    assert call is not None
    names: dict[str, Any] = {}
    exec(call.python, names)
    assert names["p"].latency_s == p.latency_s
    typed = shlex.split(call.command)
    assert typed[:2] == ["perfmodel", "predict"]
    assert main([*typed[1:], "--json"]) in (0, 1)
    done = json.loads(capsys.readouterr().out)
    assert done["latency_s"] == p.latency_s
    assert done["peak_memory_bytes"] == p.peak_memory_bytes


def test_an_object_that_no_name_stands_for_has_no_call(tmp_path: Path) -> None:
    device = pm.hardware("a100").vary({"memories.main.bandwidth": 1e12})
    assert call_of(pm.predict("resnet18", device)) is not None
    p = pm.predict(pm.workload("llama_3_8b", phase="decode", layers=2), "a100")
    assert call_of(p) is None
    p.report(tmp_path / "r.html")
    assert "pm.predict(" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_many_points_are_told_as_ranges(tmp_path: Path) -> None:
    p = pm.predict(pm.workload("resnet18", batch=np.array([1.0, 8.0, 64.0])), "a100")
    p.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    row = next(r for t in page.tables for r in t if r[0] == "latency")
    assert row[1:] == [" to ".join(show(float(f(p.latency_s)), "time") for f in (np.min, np.max))]


def test_a_sweep_names_its_best_and_its_front(tmp_path: Path) -> None:
    table = pm.sweep(
        "llama_3_8b",
        ["jetson_agx_orin", "raspberry_pi_5"],
        {"phase": "decode", "batch": [1, 4, 16], "precision": ["w16a16", "w4a16"]},
    )
    table.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    best = table.best("latency_s")
    assert best is not None
    assert f"Best latency_s: {show(best.latency_s, 'time')}" in page.text
    assert f"{len(table)} points, {int(table['feasible'].sum())} of them fit." in page.text
    front = table.pareto("latency_s", "energy_j")
    listed = next(t for t in page.tables if "workload" in t[0][0])
    assert len(listed) - 1 == len(front)
    assert [row[1] for row in listed[1:]] == front["device"].tolist()
    _, call = recorded_call(table).split("\n", 1)
    assert " ".join(call.split()) in page.text
    assert eval(call, {"pm": pm}) == table


def test_a_schedule_says_its_proof_and_a_curve_its_table(tmp_path: Path) -> None:
    s: Any = pm.schedule("mobilenet_v2", "gemmini_16x16", capacity="2 MiB")
    s.report(tmp_path / "s.html")
    page = read(tmp_path / "s.html")
    assert "proved: no schedule can spill fewer bytes" in page.text
    assert "from 1.43555 MiB on nothing is spilled" in page.text
    stays = next(t for t in page.tables if t[0][0] == "tensor")
    assert len(stays) - 1 == len(s.residency)
    c: Any = pm.schedule("mobilenet_v2", "gemmini_16x16", capacity="1 MiB..2 MiB")
    c.report(tmp_path / "c.html")
    page = read(tmp_path / "c.html")
    assert "1 of 2 capacities do not fit." in page.text
    why = c.schedules[0].infeasible
    assert " ".join(why.text().split()) in page.text


def test_a_schedule_that_spills_says_what_more_memory_saves(tmp_path: Path) -> None:
    s: Any = pm.schedule("efficientformer_l1", "gemmini_16x16", capacity="735 KiB", fuse=False)
    s.report(tmp_path / "s.html")
    page = read(tmp_path / "s.html")
    assert "882 KiB spilled and reloaded" in page.text
    part = page.text.split("What more memory would save")[-1].split("Proof")[0]
    # The curve starts at the schedule itself and ends where nothing is spilled.
    assert "735 KiB: 882 KiB" in part
    again: Any = pm.schedule("efficientformer_l1", "gemmini_16x16", capacity="735 KiB", fuse=False)
    again.report(tmp_path / "again.html")
    assert (tmp_path / "s.html").read_bytes() == (tmp_path / "again.html").read_bytes()


def test_a_search_says_prices_and_what_more_would_change(tmp_path: Path, checkout: Path) -> None:
    problem = tmp_path / "problem.json"
    problem.write_text(
        json.dumps(
            {
                "workload": "resnet18",
                "device": "jetson_agx_orin",
                "runtime": "ideal",
                "precision": "w8a8",
                "choices": {"weight_bits": {"layer*": [4, 8]}},
                "constraints": ["weight_bytes <= 7 MiB", "latency_s <= 70 us"],
                "accuracy": {
                    "kind": "hawq",
                    "path": str(checkout / "examples" / "hawq_resnet18.yaml"),
                },
            }
        )
    )
    r = pm.search(problem)
    r.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    limits = next(t for t in page.tables if t[0][0] == "limit" and "price" in t[0])
    assert [row[0] for row in limits[1:]] == [u.constraint.text for u in r.limits]
    relief = next(t for t in page.tables if t[0][0] == "limit" and len(t[0]) == 2)
    assert [row[0] for row in relief[1:]] == list(r.relief())
    assert f"{len(r.front)} points" in page.text
    assert r.best is not None
    bits = next(t for t in page.tables if t[0][0].startswith("decision"))
    assert [row[2] for row in bits[1:]] == r.table["option"].tolist()


def test_a_search_without_an_answer_says_why(tmp_path: Path) -> None:
    r = pm.search(
        "resnet18",
        "jetson_agx_orin",
        precision="w8a8",
        choices={"weight_bits": [4, 8]},
        constraints="weight_bytes <= 1 MiB",
        objective="latency_s",
    )
    assert r.best is None
    r.report(tmp_path / "r.html")
    text = read(tmp_path / "r.html").text
    assert "Nothing satisfies the constraints." in text
    assert "would open it" in text


def test_a_comparison_gives_its_reasons(tmp_path: Path) -> None:
    c = pm.compare("resnet18", "a100", "jetson_agx_orin")
    c.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    text = page.text
    assert all(reason in text for reason in c.reasons)
    kernels = next(t for t in page.tables if t[0][0] == "kernel" and t[0][1].startswith("a_s"))
    assert len(kernels) - 1 == len(c.table)
    names, units, columns = shown_cells(c.table, 1)
    assert kernels[0] == [f"{name}{unit}" for name, unit in zip(names, units, strict=True)]
    assert kernels[1] == [column[0] for column in columns]
    assert 'pm.compare("resnet18", "a100", "jetson_agx_orin")' in text


@pytest.mark.data
def test_a_validation_draws_every_row(tmp_path: Path, data: Path) -> None:
    (found,) = pm.validate("llamacpp_apple_4167", data=data)
    found.report(tmp_path / "r.html")
    page = read(tmp_path / "r.html")
    assert page.tables[0][1][:2] == [found.name, str(found.rows)]
    assert 'pm.validate("llamacpp_apple_4167"' in page.text
    drawn = next(t for t in page.tables if t[0][0] == "series")
    assert len(drawn) - 1 == found.rows


def test_the_data_of_a_picture_is_what_it_says() -> None:
    chart = Chart(
        "title",
        "",
        "alt",
        [
            Panel(
                x=ChartAxis(),
                y=ChartAxis(),
                series=[
                    Bars(
                        name="a", x=[1, 2], y=["u", "v"], hover=["<b>one</b><br>1 ms", "two &lt; 3"]
                    ),
                    Lines("", [0, 1], [0, 1]),
                    Points(name="b", x=[0.5, None], y=[2, 3]),
                ],
            )
        ],
    )
    heads, body, count = picture_rows(chart, 10)
    assert heads == ("series", "point")
    assert body == [("a", "one; 1 ms"), ("a", "two < 3"), ("b", "0.5, 2")]
    assert count == 3
    assert picture_rows(chart, 1)[1:] == ([("a", "one; 1 ms")], 3)


def test_names_cannot_break_the_page() -> None:
    evil = "</script><script>alert(1)</script><!--"
    series = [Bars(name=evil, x=[1], y=[evil], hover=[evil])]
    panel = Panel(x=ChartAxis(), y=ChartAxis(names=[evil]), series=series)
    made = ReportDocument(evil, evil, evil)
    made.part(evil, made.picture(Chart(evil, evil, evil, [panel]), evil))
    text = made.render()
    assert "alert(1)</script>" not in text
    Page(text)


def test_a_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for name in ("r.txt", "no/such/folder/r.html"):
        with pytest.raises(InputError):
            decode().report(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
