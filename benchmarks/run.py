"""Time perfmodel, side by side with its peer, on one core: a table, or JSON with ``--json``."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from typing import Any

from measure import one_core


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help="decode, million, kernels, cores, ...; default all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    where = one_core()
    from cases import CASES as FIRST
    from kinds_cases import CASES as KINDS
    from question_cases import CASES as QUESTIONS

    CASES = {**FIRST, **KINDS, **QUESTIONS}

    unknown = sorted({*asked.case} - {*CASES})
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if asked.here:
        print(json.dumps([_as_dict(asked.case[0], line) for line in CASES[asked.case[0]]()]))
        return 0
    lines: list[dict[str, Any]] = []
    failed: list[str] = []
    if not asked.json:
        print(f"{platform.machine()}, Python {platform.python_version()}, {where}; CPU time")
        print(f"{'':46}{'median':>10}{'low':>10}{'high':>10}  unit     asked")
    for name in asked.case or CASES:
        # A process a case: its memory is its own, and no case finds another's caches warm.
        done = subprocess.run([sys.executable, __file__, "--here", name], stdout=subprocess.PIPE)
        if done.returncode:
            failed.append(name)
            continue
        found = json.loads(done.stdout)
        lines += found
        if not asked.json:
            for line in found:
                print(_row(line), flush=True)
    if asked.json:
        print(json.dumps({"python": platform.python_version(), "cpu": where, "lines": lines}))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or any(line["met"] is False for line in lines) else 0


def _as_dict(case: str, line: Any) -> dict[str, Any]:
    sample = line.sample
    return {
        "case": case,
        "what": line.what,
        "unit": line.unit,
        "median": sample.median,
        "low": sample.low,
        "high": sample.high,
        "values": sample.values,
        "limit": line.limit,
        "at_least": line.at_least,
        "met": line.met,
    }


def _row(line: dict[str, Any]) -> str:
    numbers = "".join(f"{line[key]:>10.4g}" for key in ("median", "low", "high"))
    asked = ""
    if line["limit"] is not None:
        sign = ">=" if line["at_least"] else "<="
        asked = f"{sign} {line['limit']:g}  {'yes' if line['met'] else 'NO'}"
    return f"{line['what']:46}{numbers}  {line['unit']:8} {asked}"


if __name__ == "__main__":
    sys.exit(main())
