"""Trust page: Markdown from results of validation and of published claims.

Errors are compared with those of other tools on the same or similar rows, as published or as run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from perfmodel.evaluate.datasets import dataset, dataset_names
from perfmodel.evaluate.evidence import evidence_of
from perfmodel.evaluate.pairwise_ranking import pair_scores
from perfmodel.evaluate.result import ValidationResult, percent
from perfmodel.evaluate.trust.peers import Peer, peers
from perfmodel.evaluate.trust.sections import (
    decision_section,
    interval_section,
    markdown_table,
    short,
)
from perfmodel.evidence import Evidence

#: Maximum number of rows listed with the largest errors, and of devices or groups with theirs.
_WORST_ROWS: Final = 3
_MAX_GROUPS: Final = 24
#: Errors shown in every table.
_ERROR_COLUMNS: Final = ("mape", "median_ape", "bias")

_INTRO = """\
# How far to trust it

This page compares predictions with every data set of measurements in the project. Rows that cannot
be predicted are counted and the reason is given. The page is written by
`perfmodel validate --nested --trust docs/trust.md`; nothing on it is typed by hand.

- **error**: mean of |predicted / measured - 1| (MAPE), with the library's specs as they are. Some
  runtime constants were fitted to rows of the same data set; the runtime's spec file lists them.
- **left out**: the same constants refitted with each device (chip, system, model: as named) left
  out in turn, and judged on it alone.
- **nested**: as *left out*, with the device also excluded from every modelling choice: the error to
  expect on a device that nobody has measured. In brackets: the increase over *left out*, in
  percentage points. Constants start at, and are regularised towards, family values that were not
  fitted to this data set. The other devices determine which constants are refitted and how strong
  the regularisation is ([how](validate.md#left-out-and-nested)).
- **roofline**: theoretical peak and bandwidth, nothing else; **scaled**: times one factor fitted on
  these very rows; **operations**: operations over peak.
- **other tool**: the error of the tool that exists for such rows: `=` on the very rows, `~` as
  published for rows of this kind.
"""


def trust_page(
    results: Sequence[ValidationResult],
    claims: Sequence[Any] = (),
    root: Path | None = None,
    evidence: Evidence | None = None,
) -> str:
    """Return the trust page.

    Parameters
    ----------
    results
        Results of `perfmodel.evaluate.validate`, preferably with ``left_out``.
    claims
        Results of `perfmodel.evaluate.reproduce`.
    root
        Folder of the data, to list measured files that no data set reads.
    evidence
        Evidence of the results (`perfmodel.evaluate.evidence_of`), for the coverage of intervals.

    Returns
    -------
    str
        Markdown.
    """
    others = peers()
    beside = {r.name: [o for o in others if o.data == r.name] for r in results}
    rows = [_overview_row(result, beside[result.name]) for result in results]
    parts = [_INTRO, "## At a glance\n\n" + markdown_table(_OVERVIEW, rows)]
    if evidence is not None:
        parts.append(interval_section(evidence, {r.name: evidence_of([r]) for r in results}))
    scores = pair_scores(results)
    parts += [decision_section(scores)] if scores else []
    parts.append("## Data sets, one by one\n")
    parts += [_dataset_section(result, beside[result.name]) for result in results]
    if claims:
        parts.append(_claims_section(claims))
    unread = _unread_claims(root) if root is not None else []
    if unread:
        listed = "\n".join(f"- `{name}`" for name in unread)
        parts.append(f"## Measurements that nothing predicts yet\n\n{listed}\n")
    return "\n".join(parts)


def _error_cell(errors: Mapping[str, Any] | None, name: str = "mape") -> str:
    """Return an error as a cell."""
    value = None if errors is None else errors[name]
    return "" if value is None else short(value, sign=name == "bias")


#: Column heads of the overview table.
_OVERVIEW = (
    "data set",
    "rows",
    "predicted %",
    "error %",
    "median %",
    "bias %",
    "left out %",
    "nested %",
    "roofline %",
    "scaled %",
    "operations %",
    "other tool %",
)


def _overview_row(result: ValidationResult, beside: Sequence[Peer]) -> list[str]:
    """Return the overview row of a data set; refitted targets are named unless primary."""
    primary, trials = result.targets.get(result.primary), result.left_out
    names = {t: "" if t == result.primary else f" {t.removesuffix('_latency_s')}" for t in trials}
    return [
        f"[`{result.name}`](#{result.name})",
        str(result.rows),
        short(result.coverage),
        *(_error_cell(primary, name) for name in _ERROR_COLUMNS),
        "; ".join(f"{_error_cell(o)}{names[t]} ({o['left_out']})" for t, o in trials.items()),
        # Nested error, with the increase over the plain left-out error in brackets.
        "; ".join(
            f"{_error_cell(o['nested'])} ({short(o['nested']['mape'] - o['mape'], sign=True)})"
            for o in trials.values()
            if "nested" in o
        ),
        *(_error_cell(result.baselines.get(n)) for n in ("roofline", "roofline_scaled", "compute")),
        ", ".join(f"{'=' if o.same_rows else '~'} {short(o.error)} {o.peer}" for o in beside),
    ]


def _dataset_section(result: ValidationResult, beside: Sequence[Peer]) -> str:
    """Return the section of a data set."""
    title = dataset(result.name).TITLE if result.name in dataset_names() else ""
    counted = f"{result.rows} rows, {percent(result.coverage)} predicted"
    out = [f"### {result.name}\n", f"{title}. {counted}.\n"]
    rows = [
        [
            f"`{target}`" + (" (primary)" if target == result.primary else ""),
            *(short(errors[k], sign=k == "bias") for k in (*_ERROR_COLUMNS, "within_10")),
            "" if errors["spearman"] is None else f"{errors['spearman']:.3f}",
        ]
        for target, errors in _target_rows(result)
    ]
    head = ("", "error %", "median %", "bias %", "within 10 %", "Spearman")
    out.append(markdown_table(head, rows))
    for kind, groups in (("device", result.by_device), ("group", result.by_group)):
        if len(groups) > 1:
            out.append(_group_line(f"By {kind}", groups))
    for target, trial in result.left_out.items():
        each = trial.get("nested", trial)["groups"]
        if len(each) > 1:
            out.append(_group_line(f"`{target}` by {trial['left_out']} left out", each))
    if result.worst:
        largest = "; ".join(
            f"{w['name']} on {w['device']} {percent(w['error'], sign=True)}"
            for w in result.worst[:_WORST_ROWS]
        )
        out.append(f"Largest errors: {largest}.\n")
    out += [f"Not predicted, {u['rows']} rows: {u['reason']}.\n" for u in result.unpredicted]
    out += [f"{note[:1].upper()}{note[1:]}.\n" for note in result.notes]
    for o in beside:
        how = "on the same rows" if o.same_rows else "as published"
        link = f"[{o.source}]({o.url})" if o.url else o.source
        out.append(f"{o.peer} {how}: {percent(o.error)} ({o.what}; {link}).\n")
    return "\n".join(out)


def _target_rows(result: ValidationResult) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the errors by target, left-out and nested refits, and baselines."""
    trials = result.left_out
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for target, errors in result.targets.items():
        rows.append((target, errors))
        if target in trials:
            rows.append((f"{target}, {trials[target]['left_out']} left out", trials[target]))
    rows += [(t, trial) for t, trial in trials.items() if t not in result.targets]
    rows += [(f"{t}, nested", trial["nested"]) for t, trial in trials.items() if "nested" in trial]
    return [*rows, *result.baselines.items()]


def _group_line(title: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the errors of the largest groups as a line."""
    largest = sorted(groups.items(), key=lambda kv: -kv[1]["rows"])[:_MAX_GROUPS]
    texts = [
        f"{name} {short(g['mape'])} ({short(g['bias'], sign=True)}, {g['rows']})"
        for name, g in largest
    ]
    more = len(groups) - len(largest)
    texts += [f"and {more} more"] if more else []
    return f"{title}, error % (bias, rows): {', '.join(texts)}.\n"


def _claims_section(claims: Sequence[Any]) -> str:
    """Return the section on published claims."""
    rows: list[list[str]] = []
    for system, each in groupby(claims, key=lambda c: c.system):
        own = list(each)
        cells = [f"`{system}`", str(len(own))]
        for basis in ("first_principles", "given", "fitted"):
            verdicts = [c.verdict for c in own if c.basis == basis and c.verdict != "not_public"]
            cells.append(f"{verdicts.count('within')} of {len(verdicts)}" if verdicts else "")
        rows.append(cells)
    head = ("system", "claims", "first principles", "constants given", "fitted")
    about = (
        "## Published results\n\nClaims of published systems that are predicted within their "
        "tolerance, by what entered: `perfmodel reproduce` shows each. A fitted claim is no "
        "prediction.\n\n"
    )
    return about + markdown_table(head, rows)


def _unread_claims(root: Path) -> list[str]:
    """Return the claims that could not be reproduced."""
    read = {place for name in dataset_names() for place in dataset(name).PLACES}
    names = sorted(path.name for path in (root / "measured").glob("*.csv*"))
    return [name for name in names if f"measured/{name}" not in read and "_heldout" not in name]
