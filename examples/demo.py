"""The demo: which device meets a latency limit, for a language model and for a small CNN.

``make demo`` runs it, or ``python examples/demo.py [FOLDER]``. It sweeps Llama 3 8B
decode and an ONNX network over ten devices each, three precisions and eight batches, says what it
found, and leaves the rows (CSV with a manifest) and two plots (HTML) in the folder.
"""

from __future__ import annotations

import runpy
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.ask import hardware, predict, sweep, workload
from perfmodel.errors import InputError
from perfmodel.table import Row, Table
from perfmodel.units import show

BATCHES = [1, 2, 4, 8, 16, 32, 64, 128]


@dataclass(frozen=True)
class DemoSweep:
    """One sweep and what is asked of it.

    Attributes
    ----------
    limited
        Column of seconds that the limit is on.
    rate
        Column of items per second, of which the most is best.
    """

    title: str
    slug: str
    model: str
    settings: dict[str, Any]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    limited: str
    limit: str
    rate: str
    item: str

    @property
    def condition(self) -> str:
        """The limit as `Table.where` takes it."""
        return f"{self.limited} <= {self.limit}"


def questions(folder: Path) -> tuple[DemoSweep, DemoSweep]:
    """Return both questions; writes the ONNX file that the second one is about."""
    script = Path(__file__).with_name("make_demo_cnn.py")
    network = runpy.run_path(str(script))["write"](folder / "demo_cnn.onnx")
    return (
        DemoSweep(
            "Llama 3 8B, one decode step at a context of 2048",
            "llama_3_8b",
            "llama_3_8b",
            {"phase": "decode", "context": 2048},
            (
                "h100",
                "a100",
                "rtx_4090",
                "apple_m2_ultra",
                "apple_m2_max",
                "apple_m1",
                "jetson_agx_orin",
                "snapdragon_8_gen_3",
                "rk3588",
                "raspberry_pi_5",
            ),
            ("w16a16", "w8a16", "w4a16"),
            "tpot_s",
            "50 ms",
            "tokens_per_s",
            "token",
        ),
        DemoSweep(
            "A convolutional network from an ONNX file, 224 x 224",
            "demo_cnn",
            str(network),
            {"height": 224, "width": 224},
            (
                "rtx_4090",
                "apple_m1",
                "jetson_agx_orin",
                "snapdragon_8_gen_3",
                "rk3588",
                "raspberry_pi_5",
                "zen4_core",
                "edge_tpu",
                "kv260",
                "stm32h743",
            ),
            ("fp32", "fp16", "int8"),
            "latency_s",
            "10 ms",
            "frames_per_s",
            "frame",
        ),
    )


def run(question: DemoSweep, folder: Path) -> Table:
    """Sweep, through the same function as ``perfmodel sweep``, and store the rows."""
    path = folder / f"{question.slug}.csv"
    axes = {**question.settings, "precision": list(question.precisions), "batch": BATCHES}
    start = time.perf_counter()
    table = sweep(question.model, list(question.devices), axes, output=path)
    seconds = time.perf_counter() - start
    print(f"\n{question.title}")
    print(
        f"{len(table)} points ({len(question.devices)} devices x {len(question.precisions)} "
        f"precisions x {len(BATCHES)} batches) in {seconds:.2f} s"
    )
    return Table(dict(table), table.dimensions, ("device", "precision", "batch"))


def findings(question: DemoSweep, table: Table) -> Row | None:
    """Print what each device reaches within the limit; return the best row."""
    column, rate = question.limited, question.rate
    word = {"tpot_s": "TPOT", "latency_s": "latency"}[column]
    print(f"\nMost {question.item}s a second with {word} of at most {question.limit}:\n")
    head = ("device", "precision", "batch", word, f"{question.item}s/s", "memory", "bound by")
    lines = [(*head, "runtime")]
    misses: list[str] = []
    found: list[tuple[float, tuple[str, ...]]] = []
    for device in question.devices:
        mine = table.where(f"device == '{device}'")
        best = mine.where(question.condition).best(rate)
        if best is None:
            misses.append(_miss(question, device, mine))
            continue
        cells = (
            device,
            best.precision,
            f"{best.batch:g}",
            show(best[column], "time"),
            f"{best[rate]:.0f}",
            show(best.peak_memory_bytes, "bytes", unit="B"),
            best.bottleneck,
            best.runtime,
        )
        found.append((best[rate], cells))
    lines += [cells for _, cells in sorted(found, key=lambda pair: -pair[0])]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for cells in lines:
        ends = [
            c.ljust(w) if i in (0, 1, 6, 7) else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        print("  " + "  ".join(ends).rstrip())
    for text in misses:
        print(f"  {text}")
    best = table.where(question.condition).best(rate)
    _sums(question, table, best)
    return best


def _miss(question: DemoSweep, device: str, rows: Table) -> str:
    """Say why a device has no row within the limit."""
    fits = rows.where("feasible")
    if not fits:
        return f"{device}: no point fits; {_why(question, rows[0])}"
    nearest = fits.best(question.limited)
    assert nearest is not None
    return (
        f"{device}: {show(nearest[question.limited], 'time')} at best "
        f"({nearest.precision}, batch {nearest.batch:g}, bound by {nearest.bottleneck})"
    )


def _why(question: DemoSweep, row: Row) -> str:
    """Return the first limit that a row exceeds, with what would mend it."""
    found = _again(question, row).violations
    return str(found[0]) if found else "it fits"


def _again(question: DemoSweep, row: Row) -> Any:
    """Predict a row of the table by itself, to open it."""
    subject = workload(question.model, **question.settings, batch=row.batch)
    return predict(subject, hardware(row.device), precision=row.precision, runtime=row.runtime)


def _sums(question: DemoSweep, table: Table, best: Row | None) -> None:
    gone = table.where("not feasible")
    print()
    if best is None:
        print(f"Best device: none has a point with {question.condition}")
    else:
        print(
            f"Best device: {best.device} with {best.precision} at batch {best.batch:g}: "
            f"{best[question.rate]:.0f} {question.item}s/s, "
            f"{show(best[question.limited], 'time')} (limit {question.limit})"
        )
        again = _again(question, best)
        half, most = (again.interval(question.limited, level).show("time") for level in (0.5, 0.9))
        print(
            f"  half of such measurements lie in {half}, nine of ten in {most}\n"
            f"  {again.basis}: {again.basis_reason}; runtime {best.runtime}"
        )
    print(f"Infeasible: {len(gone)} of {len(table)} points")
    seen: set[str] = set()
    for row in gone.rows():
        if row.device not in seen and len(seen) < 3:
            seen.add(row.device)
            share = len(gone.where(f"device == '{row.device}'"))
            print(f"  {row.device}, {share} points; {row.precision} at batch {row.batch:g}:")
            print(f"    {_why(question, row)}")


def draw(question: DemoSweep, table: Table, best: Row | None, folder: Path) -> list[Path]:
    """Write the plots, with one copy of plotly's script beside them, and return their files."""
    figures = {
        "pareto": table.plot.pareto(question.limited, question.rate, under=question.condition)
    }
    if best is not None:
        figures["roofline"] = _again(question, best).plot.roofline()
    paths: list[Path] = []
    for name, figure in figures.items():
        paths.append(folder / f"{question.slug}_{name}.html")
        figure.write_html(paths[-1], include_plotlyjs="directory", full_html=True)
    return paths


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit code."""
    folder = Path(arguments[0] if arguments else "out/demo")
    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []
        for question in questions(folder):
            table = run(question, folder)
            best = findings(question, table)
            paths += [folder / f"{question.slug}.csv", *draw(question, table, best, folder)]
    except InputError as error:
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        return 2
    print(f"\nDone in {time.perf_counter() - start:.1f} s. Written:")
    for path in paths:
        print(f"  {path}")
    print("Next: perfmodel predict llama_3_8b jetson_agx_orin --precision w4a16 --explain")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
