"""Bits per layer of real networks on real tasks, run through onnxruntime.

    python -m benchmarks.real_tasks.run [--quick] [--only NETWORK] [--task TEXT] [--json FILE]

Reads the networks inside the packages of tests/requirements-models.txt; rapidocr's lines are
rendered with Pillow. Each assignment of 2 to 8 bits is found under a limit on the bits of all
weights, its weights are written into the network as fp32 numbers of the quantised values, and the
network is run on test inputs that no method has seen. Figures in brackets are 95 % intervals over
resamples of the test inputs; differences are from the found one, in the same resamples.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

# Before numpy: with more threads CPU time would be a sum over them.
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np

from benchmarks.real_tasks.assign import (
    Choice,
    exact,
    greedy,
    limit_bits,
    predicted,
    stored_bits,
    uniform,
)
from benchmarks.real_tasks.errors import (
    BITS,
    Pairs,
    Quantised,
    adds_up,
    adjacent,
    falling,
    hessian_mean,
    measured,
)
from benchmarks.real_tasks.losses import Losses
from benchmarks.real_tasks.networks import Array
from benchmarks.real_tasks.score import Draws, Score
from benchmarks.real_tasks.tails import Tails
from benchmarks.real_tasks.tasks import Task, magika_tasks, rapidocr_tasks

OURS = "found"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few inputs: does it run at all")
    parser.add_argument("--only", choices=("magika", "rapidocr"))
    parser.add_argument("--task", default="", metavar="TEXT", help="tasks with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    tasks: list[Task] = []
    if asked.only != "rapidocr":
        tasks += magika_tasks(asked.quick)
    if asked.only != "magika":
        tasks += rapidocr_tasks(asked.quick)
    print(f"inputs made and labelled: {time.process_time():.0f} s CPU")
    probes = 1 if asked.quick else 3
    found = [answer(task, probes) for task in tasks if asked.task in task.name]
    print(f"\nall together {time.process_time():.0f} s CPU")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    return 0


def answer(task: Task, probes: int) -> dict[str, Any]:
    """Run one task: tables, assignments, scores; print them and return them."""
    network, clock = task.network, Clock()
    sizes = np.array([part.weights for part in network.parts])
    quantised = Quantised(network, task.moments)
    clock.lap("quantised weights")
    losses = Losses(Tails(network, task.feeds, task.cuts), task.losses)
    clock.lap("calibration")
    raw = measured(quantised, losses)
    clock.lap(f"measured losses ({raw[0].size} runs)")
    additive = adds_up(quantised, losses, raw[0], least=round(8 * min(task.limits)))
    clock.lap(f"additivity ({additive.evaluations} figures)")
    tables = [falling(table) for table in raw]
    hessian = hessian_mean(network, losses, probes, seed=0)
    clock.lap(f"Hessian traces ({probes * len(sizes)} runs)")
    pairs = adjacent(quantised, losses, tables[0], bits=4)
    clock.lap(f"adjacent pairs ({len(pairs)} runs)")
    names = [kind.name for kind in losses.kinds]
    check = Losses(Tails(network, task.checks, 1), (task.check, task.losses[-1]))
    scores: dict[Choice, Score] = {}
    draws = Draws(task.tested)
    plain = task.score({})
    eight = task.score(quantised.operands([len(BITS) - 1] * len(sizes)))
    print(
        f"\n## {task.name}\n\n{len(sizes)} decisions over {int(sizes.sum())} weights; {task.about}."
    )
    print(f"{task.measure}: float {_figure(plain, draws)}, all at 8 bits {_figure(eight, draws)}.")
    print(f"Do losses add: {str(additive).partition(': ')[2]}.")
    rows: list[dict[str, Any]] = []
    for share in task.limits:
        limit = limit_bits(share, sizes)
        chosen = assignments(quantised, names, tables, hessian, pairs, limit)
        measured_exact = {n: c for n, c in chosen.items() if n.startswith("exact")}
        measured_exact |= mixtures(tables, names, sizes, limit)
        by_choice = {c: check.of(quantised.operands(c)) for c in set(measured_exact.values())}
        checked = {n: tuple(by_choice[c].tolist()) for n, c in measured_exact.items()}
        picked = min(checked, key=lambda name: checked[name])
        chosen[OURS] = measured_exact[picked]
        for choice in chosen.values():
            if choice not in scores:
                scores[choice] = task.score(quantised.operands(choice))
        joint = {c: float(losses.of(quantised.operands(c))[0]) for c in set(chosen.values())}
        best, kind = scores[chosen[OURS]], losses.kinds[0]
        print(f"\n{100 * share:g} % of the 8-bit size; losses: {kind.name}, {kind.unit}.\n")
        heads = [f"{task.measure}, %", f"less {OURS}", *(f"{name}, %" for name in best.others)]
        print("| assignment | size, % | loss: summed | measured | " + " | ".join(heads) + " |")
        print("|---|---|---|---|---|---|" + "---|" * len(best.others))
        for name, choice in chosen.items():
            score = scores[choice]
            size = 100 * stored_bits(choice, sizes) / (8 * int(sizes.sum()))
            row = {
                "limit": share,
                "picked": picked,
                "assignment": name,
                "size_percent": size,
                "summed": predicted(choice, tables[0]),
                "measured": joint[choice],
                "value": score.value,
                "interval": draws.interval(score),
                "others": score.others,
                "difference": score.value - best.value,
                "difference_interval": draws.interval(score, best),
                "bits": "".join(str(BITS[o]) for o in choice),
            }
            rows.append(row)
            low, high = row["difference_interval"]
            gap = f"{100 * row['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            print(
                f"| {name} | {size:.1f} | {row['summed']:.3f} | {joint[choice]:.3f} | "
                f"{_figure(score, draws)} | {'' if name == OURS else gap} | "
                + " | ".join(f"{100 * v:.1f}" for v in score.others.values())
                + " |"
            )
        values = "; ".join(f"{name} {100 * value[0]:.2f}" for name, value in checked.items())
        print(
            f"\nFound: {picked}. {check.kinds[0].name} on {len(task.checks)} more inputs, "
            f"%: {values}.\n"
        )
        for name, choice in chosen.items():
            print(f"    {name:26} {''.join(str(BITS[o]) for o in choice)}")
        clock.lap(f"assignments and scores at {100 * share:g} %")
    print("\nCPU: " + ", ".join(f"{what} {seconds:.1f} s" for what, seconds in clock.laps))
    return {
        "task": task.name,
        "about": task.about,
        "rows": rows,
        "cpu_s": dict(clock.laps),
        "sizes": sizes.tolist(),
        "measured": raw.tolist(),
        "hessian": hessian.tolist(),
        "additivity": str(additive),
        "float": plain.value,
        "int8": eight.value,
    }


def assignments(
    quantised: Quantised,
    names: list[str],
    tables: list[Array],
    hessian: Array,
    pairs: Pairs,
    limit: int,
) -> dict[str, Choice]:
    """Return what each method chooses under a limit in bits; `names` are those of the tables."""
    sizes = np.array([part.weights for part in quantised.network.parts])
    ratio = quantised.to_signal
    found = {
        "uniform": uniform(sizes, limit),
        "greedy SQNR, dB a bit": greedy(10 * np.log10(ratio), sizes, limit),
        "greedy SQNR, noise a bit": greedy(ratio, sizes, limit),
        "greedy SQNR, best left": greedy(ratio, sizes, limit, per_bit=False),
        "exact, SQNR": exact(ratio, sizes, limit),
    }
    for name, mean in zip(names[:2], hessian, strict=False):
        found[f"HAWQ-style, {name}"] = exact(0.5 * mean[:, None] * quantised.noise, sizes, limit)
    found[f"greedy, {names[0]}"] = greedy(tables[0], sizes, limit)
    for k in (0, -1):
        found[f"exact, {names[k]}"] = exact(tables[k], sizes, limit)
    found[f"exact, {names[0]}, pairs"] = exact(tables[0], sizes, limit, pairs)
    return found


def mixtures(tables: list[Array], names: list[str], sizes: Array, limit: int) -> dict[str, Choice]:
    """Return exact choices for the task's loss plus a multiple of the output error.

    The first is what matters but is measured badly on few inputs, the second is measured well.
    """
    return {
        f"{names[-1]} + {w:g} x {names[0]}": exact(tables[-1] + w * tables[0], sizes, limit)
        for w in (0.3, 1.0, 3.0)
    }


class Clock:
    """CPU seconds of this process by what they went for."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []
        self._last = time.process_time()

    def lap(self, what: str) -> None:
        """Book what was used since the last lap."""
        now = time.process_time()
        self.laps.append((what, now - self._last))
        self._last = now


def _figure(score: Score, draws: Draws) -> str:
    low, high = draws.interval(score)
    return f"{100 * score.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    raise SystemExit(main())
