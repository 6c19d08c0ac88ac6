"""The page of errors: Markdown from results of validation and of published claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from perfmodel.evaluate.datasets import dataset, dataset_names
from perfmodel.evaluate.pairs import pair_scores
from perfmodel.evaluate.result import ValidationResult, percent
from perfmodel.evaluate.trust.decisions import decision_section
from perfmodel.evaluate.trust.intervals import interval_section
from perfmodel.evaluate.trust.markdown import markdown_table, short
from perfmodel.evaluate.trust.peers import Peer, peers
from perfmodel.evidence import Evidence

_WORST = 3
_DEVICES = 24

_INTRO = """\
# How far to trust it

Every data set of measurements that the project has, predicted; rows that cannot be predicted count,
with their reason. This page is written by `perfmodel validate --nested --trust docs/trust.md`;
nothing on it is typed by hand.

- **error**: mean of |predicted / measured - 1| (MAPE), with the library's specs as they are. Some
  constants of runtimes were fitted on rows of the same data set; the runtime's file says which.
- **left out**: the same constants refitted with each device (chip, system, model: as named) left
  out in turn, and judged on it alone.
- **nested**: left out of every choice as well, and in brackets the points that this costs: what to
  expect of a device that nobody has measured. Constants start at values of their family that the
  rows of the data set did not make, and are pulled there; which of them move, and how hard they are
  pulled, the other devices choose ([how](validate.md#left-out-and-nested)).
- **roofline**: theoretical peak and bandwidth, nothing else; **scaled**: times one factor fitted on
  these very rows; **operations**: operations over peak.
- **other tool**: the error of the tool that exists for such rows: `=` on the very rows, `~` as
  published for rows of this kind.
"""


def trust_page(
    results: Sequence[ValidationResult], claims: Sequence[Any] = (), root: Path | None = None,
    evidence: Evidence | None = None,
) -> str:  # fmt: skip
    """Return the page.

    Parameters
    ----------
    results
        Of `perfmodel.evaluate.validate`, best with ``left_out``.
    claims
        Of `perfmodel.evaluate.reproduce`.
    root
        Folder of the data: measured files that no data set reads are listed.
    evidence
        What the results are evidence of (`perfmodel.evaluate.evidence_of`): whether intervals hold.

    Returns
    -------
    str
        Markdown.
    """
    others = peers()
    parts = [_INTRO, _overview(results, others)]
    parts += [] if evidence is None else [interval_section(evidence)]
    scores = pair_scores(results)
    parts += [decision_section(scores)] if scores else []
    parts.append("## Data sets, one by one\n")
    parts += [_section(r, [o for o in others if o.data == r.name]) for r in results]
    if claims:
        parts.append(_claims(claims))
    unread = _unread(root) if root is not None else []
    if unread:
        listed = "\n".join(f"- `{name}`" for name in unread)
        parts.append(f"## Measurements that nothing predicts yet\n\n{listed}\n")
    return "\n".join(parts)


def _mape(found: Mapping[str, Any] | None) -> str:
    return "" if found is None or found["mape"] is None else short(found["mape"])


def _overview(results: Sequence[ValidationResult], others: Sequence[Peer]) -> str:
    rows: list[list[str]] = []
    for result in results:
        primary = result.targets.get(result.primary)
        beside = [o for o in others if o.data == result.name]
        rows.append([
            f"[`{result.name}`](#{result.name})",
            str(result.rows),
            short(result.coverage),
            _mape(primary),
            "" if primary is None else short(primary["median_ape"]),
            "" if primary is None else short(primary["bias"], sign=True),
            _left_out(result),
            _nested(result),
            *(_mape(result.baselines.get(n)) for n in ("roofline", "roofline_scaled", "compute")),
            ", ".join(f"{'=' if o.same_rows else '~'} {short(o.error)} {o.peer}" for o in beside),
        ])  # fmt: skip
    head = ("data set", "rows", "predicted %", "error %", "median %", "bias %", "left out %",
            "nested %", "roofline %", "scaled %", "operations %", "other tool %")  # fmt: skip
    return "## At a glance\n\n" + markdown_table(head, rows)


def _left_out(result: ValidationResult) -> str:
    """Return the errors of every refitted target, named where it is not the primary one."""
    parts: list[str] = []
    for target, told in result.left_out.items():
        name = "" if target == result.primary else f" {target.removesuffix('_latency_s')}"
        parts.append(f"{_mape(told)}{name} ({told['left_out']})")
    return "; ".join(parts)


def _nested(result: ValidationResult) -> str:
    """Return the errors of the nested trials in the same order, and what each nesting costs."""
    return "; ".join(
        f"{_mape(trial['nested'])} ({short(trial['nested']['mape'] - trial['mape'], sign=True)})"
        for trial in result.left_out.values() if "nested" in trial
    )  # fmt: skip


def _section(result: ValidationResult, beside: Sequence[Peer]) -> str:
    title = dataset(result.name).TITLE if result.name in dataset_names() else ""
    counted = f"{result.rows} rows, {percent(result.coverage)} predicted"
    out = [f"### {result.name}\n", f"{title}. {counted}.\n"]
    rows = [
        [
            f"`{target}`" + (" (primary)" if target == result.primary else ""),
            *(short(found[k], sign=k == "bias") for k in ("mape", "median_ape", "bias")),
            short(found["within_10"]),
            "" if found["spearman"] is None else f"{found['spearman']:.3f}",
        ]
        for target, found in _targets(result)
    ]
    head = ("", "error %", "median %", "bias %", "within 10 %", "Spearman")
    out.append(markdown_table(head, rows))
    for title, groups in (("device", result.by_device), ("group", result.by_group)):
        if len(groups) > 1:
            out.append(_groups(title, groups))
    if result.worst:
        far = "; ".join(
            f"{w['name']} on {w['device']} {percent(w['error'], sign=True)}"
            for w in result.worst[:_WORST]
        )
        out.append(f"Farthest off: {far}.\n")
    out += [f"Not predicted, {u['rows']} rows: {u['reason']}.\n" for u in result.unpredicted]
    out += [f"{note[:1].upper()}{note[1:]}.\n" for note in result.notes]
    for o in beside:
        how = "on the same rows" if o.same_rows else "as published"
        link = f"[{o.source}]({o.url})" if o.url else o.source
        out.append(f"{o.peer} {how}: {percent(o.error)} ({o.what}; {link}).\n")
    return "\n".join(out)


def _targets(result: ValidationResult) -> list[tuple[str, Mapping[str, Any]]]:
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for target, found in result.targets.items():
        rows.append((target, found))
        told = result.left_out.get(target)
        if told is not None:
            rows.append((f"{target}, {told['left_out']} left out", told))
    rows += [(t, f) for t, f in result.left_out.items() if t not in result.targets]
    rows += [(f"{t}, nested", f["nested"]) for t, f in result.left_out.items() if "nested" in f]
    rows += [(name, found) for name, found in result.baselines.items()]
    return rows


def _groups(title: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    chosen = sorted(groups.items(), key=lambda kv: -kv[1]["rows"])[:_DEVICES]
    text = ", ".join(
        f"{name} {short(g['mape'])} ({short(g['bias'], sign=True)}, {g['rows']})"
        for name, g in chosen
    )
    more = len(groups) - len(chosen)
    tail = f", and {more} more" if more else ""
    return f"By {title}, error % (bias, rows): {text}{tail}.\n"


def _claims(claims: Sequence[Any]) -> str:
    rows: list[list[str]] = []
    for system, found in groupby(claims, key=lambda c: c.system):
        mine = list(found)
        cells = [f"`{system}`", str(len(mine))]
        for basis in ("first_principles", "given", "fitted"):
            some = [c for c in mine if c.basis == basis and c.verdict != "not_public"]
            good = sum(c.verdict == "within" for c in some)
            cells.append(f"{good} of {len(some)}" if some else "")
        rows.append(cells)
    head = ("system", "claims", "first principles", "constants given", "fitted")
    about = (
        "## Published results\n\nClaims of published systems that are predicted within their "
        "tolerance, by what entered: `perfmodel reproduce` shows each. A fitted claim is no "
        "prediction.\n\n"
    )
    return about + markdown_table(head, rows)


def _unread(root: Path) -> list[str]:
    read = {place for name in dataset_names() for place in dataset(name).PLACES}
    found = sorted((root / "measured").glob("*.csv*"))
    return [p.name for p in found if f"measured/{p.name}" not in read and "_heldout" not in p.name]
