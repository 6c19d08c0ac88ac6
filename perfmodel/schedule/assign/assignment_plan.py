"""Conversion of an assignment of rows into a plan: every operator with engine and times.

A row is a fused kernel; its operators, and the views of their outputs, are placed on its engine.
"""

from __future__ import annotations

from perfmodel.plan import Placement, Plan, Transfer
from perfmodel.schedule.assign.list_scheduling import AssignmentTimeline
from perfmodel.schedule.assign.network_problem import AssignmentNetwork


def to_plan(network: AssignmentNetwork, run: AssignmentTimeline, method: str) -> Plan:
    """Return the plan of one run.

    The first operator of a kernel carries the kernel's time; the others take none. A view follows
    the tensor that it is an alias of, and moves no data.
    """
    device_engines = network.device_engines
    members, row_of = _members(network, run)
    order: list[Placement] = []
    step: dict[str, int] = {}
    names = [next(op.name for op in k.operators) for k in network.kernels]
    # Of rows that start together, those that end first ran first on their engine.
    rows = sorted(
        range(len(members)), key=lambda i: (float(run.start_s[i]), float(run.end_s[i]), i)
    )
    for i in rows:
        device_engine = device_engines[int(run.engine[i])]
        start, end = float(run.start_s[i]), float(run.end_s[i])
        kernel = network.kernels[i]
        for name, timed in members[i]:
            step[name] = len(order)
            first = timed and name == names[i]
            order.append(
                Placement(
                    operator=name,
                    device=device_engine.device,
                    engine=device_engine.engine,
                    kernel=kernel.head.name if timed and len(kernel.operators) > 1 else "",
                    start_s=(start if first else end) if timed else None,
                    end_s=end if timed else None,
                )
            )
    return Plan(
        graph=network.graph.content_hash(),
        precision=str(network.precision),
        method=method,
        order=tuple(order),
        transfers=tuple(_transfers(network, run, row_of, step, order)),
    )


def _members(
    network: AssignmentNetwork, run: AssignmentTimeline
) -> tuple[list[list[tuple[str, bool]]], dict[str, int]]:
    """Return the operators of each row with its views, as (name, is timed), and each one's row."""
    row_of = {op.name: i for i, k in enumerate(network.kernels) for op in k.operators}
    maker: dict[str, str] = {}
    reading: dict[str, list[str]] = {}
    views: list[tuple[str, str, tuple[str, ...]]] = []
    for _, operator in network.graph.walk():
        if operator.kind == "view":
            source = operator.reads[0] if operator.reads else ""
            views.append((operator.name, maker.get(source, ""), operator.writes))
        for name in operator.writes:
            maker.setdefault(name, operator.name)
        for name in operator.reads:
            reading.setdefault(name, []).append(operator.name)
    views_after: dict[str, list[str]] = {}
    for name, made_by, _ in views:
        if made_by in row_of:
            views_after.setdefault(made_by, []).append(name)
            row_of[name] = row_of[made_by]
    views_before: list[list[str]] = [[] for _ in network.kernels]
    # Aliases of tensors without a maker precede the first row that reads them; in reverse order, so
    # that a view of a view finds its row.
    for name, _, writes in reversed(views):
        if name in row_of:
            continue
        rows = {row_of[r] for w in writes for r in reading.get(w, ()) if r in row_of}
        first = min(rows, key=lambda i: (float(run.start_s[i]), float(run.end_s[i]), i), default=0)
        views_before[first].insert(0, name)
        row_of[name] = first
    members: list[list[tuple[str, bool]]] = []
    for i, kernel in enumerate(network.kernels):
        entries = [(name, False) for name in views_before[i]]
        for operator in kernel.operators:
            entries.append((operator.name, True))
            pending = list(views_after.get(operator.name, ()))
            while pending:
                name = pending.pop(0)
                entries.append((name, False))
                pending += views_after.get(name, ())
        members.append(entries)
    return members, row_of


def _transfers(
    network: AssignmentNetwork,
    run: AssignmentTimeline,
    row_of: dict[str, int],
    step: dict[str, int],
    order: list[Placement],
) -> list[Transfer]:
    """Return the transfers between devices, each name once per device that reads it."""
    device_engines = network.device_engines
    timed: dict[tuple[str, int, str], tuple[float, float]] = {}
    for t, f, sent, arrived in zip(run.tensor, run.target, run.sent_s, run.arrived_s, strict=True):
        flow = network.flows[int(t)]
        key = (flow.tensor, flow.maker, device_engines[int(f)].device)
        soonest = timed.get(key, (float("inf"), float("inf")))
        timed[key] = min(soonest, (float(sent), float(arrived)), key=lambda span: span[1])
    size = {(f.tensor, f.maker): f.size_bytes for f in network.flows}
    maker: dict[str, str] = {}
    aliased: dict[str, str] = {}
    for _, operator in network.graph.walk():
        for name in operator.writes:
            maker.setdefault(name, operator.name)
            aliased[name] = operator.reads[0] if operator.kind == "view" and operator.reads else ""
    transfers: dict[tuple[str, str], Transfer] = {}
    reads = {op.name: op.reads for _, op in network.graph.walk()}
    for at, placement in enumerate(order):
        for name in reads[placement.operator]:
            writer = maker.get(name, "")
            if not writer or writer == placement.operator:
                continue
            sender = order[step[writer]].device
            if sender == placement.device or (name, placement.device) in transfers:
                continue
            base = name
            while aliased.get(base):
                base = aliased[base]
            row = row_of[writer]
            link = network.links[sender, placement.device]
            sent = timed.get((base, row, placement.device))
            transfers[name, placement.device] = Transfer(
                tensor=name,
                step=at,
                link=link.link,
                source=sender,
                target=placement.device,
                size_bytes=size.get((base, row), 0.0),
                start_s=None if sent is None else sent[0],
                end_s=None if sent is None else sent[1],
            )
    return list(transfers.values())
