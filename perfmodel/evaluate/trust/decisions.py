"""How often two alternatives are put in the measured order: the section of the trust page."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.evaluate.pairs import PREDICTORS, PairScore
from perfmodel.evaluate.trust.markdown import markdown_table, short

_INTRO = """\
## Decisions

Which of two is faster: one network on two devices, two networks on one device, one network on one
device in two precisions. Pairs are drawn with a fixed seed, up to 100,000 of each class and as many
from each data set as from another, of rows that are alike in all else and whose measured times
differ by more than 20 %. Shown is the share that is put in the right order: by plain predictions,
by constants refitted without the devices (on the pairs of which both rows have such a prediction),
by the bare roofline, by operations over peak; a coin has 50 %. Classes with fewer than 50 pairs are
left out.
"""

#: Pairs from which on a share says something.
_ENOUGH = 50
_DIFFER = {
    "device": "one network, two devices", "network": "two networks, one device",
    "precision": "two precisions",
}  # fmt: skip


def decision_section(scores: Sequence[PairScore]) -> str:
    """Return the section of `perfmodel.evaluate.pairs.pair_scores`."""
    head = ("decision", "class of workloads", "pairs", "data sets", "right %", "left out %",
            "roofline %", "operations %")  # fmt: skip
    rows = [
        (_DIFFER[one.differ_in], one.workload_class, str(one.pairs), str(one.datasets),
         *(_share(one, name) for name in PREDICTORS))
        for one in scores
        if one.pairs >= _ENOUGH
    ]  # fmt: skip
    return _INTRO + "\n" + markdown_table(head, rows, left=2)


def _share(one: PairScore, predictor: str) -> str:
    if predictor not in one.right:
        return ""
    share, pairs = one.right[predictor]
    return short(share) + (f" ({pairs})" if predictor == "left_out" else "")
