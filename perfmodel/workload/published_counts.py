"""Parameters and multiply-accumulates of the library's models beside their published counts."""

from __future__ import annotations

from typing import Any

from perfmodel.workload.library import ModelEntry


def published_counts(entry: ModelEntry) -> list[dict[str, Any]]:
    """Return the published counts of a model with the computed ones; empty if there are none.

    Parameters
    ----------
    entry
        Entry from `perfmodel.workload.library.describe`.

    Returns
    -------
    list of dict
        ``name``, ``of`` (parameters, active parameters, MACs), ``counted``, ``published``,
        ``difference`` (relative), ``by``, ``source`` (title), ``url``, ``note``.
    """
    published = entry.published
    if published is None:
        return []
    base = entry.base
    pairs = [
        ("parameters", published.params, lambda: base.weights),
        (
            "active parameters",
            published.active_params,
            lambda: base.number(base.graph().active_weight_elements),
        ),
        ("MACs", published.macs, lambda: base.macs),
    ]
    source = entry.sources[published.source]
    rows: list[dict[str, Any]] = []
    for quantity, stated, count in pairs:
        if stated is None:
            continue
        counted = float(count())
        rows.append(
            {
                "name": entry.name,
                "of": quantity,
                "counted": counted,
                "published": stated,
                "difference": counted / stated - 1.0,
                "by": source.publisher or "",
                "source": source.title,
                "url": source.url or "",
                "note": published.note or "",
            }
        )
    return rows
