"""Conversion of a cut into a plan: the side of each operator, and the transfers between them."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.plan import Placement, Plan, Transfer
from perfmodel.system.split.stages import Stages


def plan_of(
    stages: Stages,
    local: list[bool],
    names: tuple[str, str],
    link: str,
    sizes: Mapping[str, float],
    precision: str,
) -> Plan:
    """Return the plan of a cut, with operators in the order of the graph.

    A view is on the side that computes its source, and moves no data.

    Parameters
    ----------
    local
        Whether the device runs each stage.
    names
        Names of the device and of the server.
    sizes
        Bytes on the link of each transferred tensor.
    """
    device, server = names
    stage = {op: s for s, members in enumerate(stages.members) for op in members}
    maker: dict[str, int] = {}
    base: dict[str, str] = {}
    order: list[Placement] = []
    transfers: list[Transfer] = []
    sent: set[tuple[str, str]] = set()
    for _, operator in stages.graph.walk():
        source = operator.reads[0] if operator.reads else ""
        at = stage.get(operator.name)
        if at is None:
            side = order[maker[source]].device if source in maker else device
        else:
            side = device if local[at] else server
        if operator.kind == "view":
            base |= {name: base.get(source, source) for name in operator.writes}
        for name in operator.reads:
            written_at = maker.get(name)
            home = device if written_at is None else order[written_at].device
            entered = written_at is not None or name in stages.graph.inputs
            if home == side or not entered or (name, side) in sent:
                continue
            if stages.graph.tensors[name].role != "activation":
                continue
            sent.add((name, side))
            if written_at is not None:
                transfers.append(
                    Transfer(
                        tensor=name,
                        step=len(order),
                        link=link,
                        source=home,
                        target=side,
                        size_bytes=sizes.get(base.get(name, name), 0.0),
                        start_s=None,
                        end_s=None,
                    )
                )
        for name in operator.writes:
            maker.setdefault(name, len(order))
        order.append(Placement(operator=operator.name, device=side, start_s=None, end_s=None))
    return Plan(
        graph=stages.graph.content_hash(),
        precision=precision,
        method="split",
        order=tuple(order),
        transfers=tuple(transfers),
    )
