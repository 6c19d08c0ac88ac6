"""Validation of a plan against its graph: order, times, capacities, addresses, transfers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from perfmodel.errors import Fault, nearest
from perfmodel.plan.value import GraphLike, Move, OperatorLike, Placement, Plan, Residency, Transfer


@dataclass(slots=True)
class Check:
    """Checks of a plan against its graph.

    `faults` first indexes both: producing operator, aliased tensor and step by name, and the
    residencies, moves and transfers by tensor.
    """

    plan: Plan
    graph: GraphLike
    sizes: Mapping[str, float]
    operators: dict[str, OperatorLike] = field(default_factory=dict[str, "OperatorLike"])
    maker: dict[str, str] = field(default_factory=dict[str, str])
    alias: dict[str, str] = field(default_factory=dict[str, str])
    step: dict[str, int] = field(default_factory=dict[str, int])
    residencies: dict[str, list[Residency]] = field(default_factory=dict[str, "list[Residency]"])
    moves_of: dict[str, list[Move]] = field(default_factory=dict[str, "list[Move]"])
    transfers_of: dict[str, list[Transfer]] = field(default_factory=dict[str, "list[Transfer]"])

    def faults(self) -> Iterator[Fault]:
        """Yield every fault."""
        for _, operator in self.graph.walk():
            self.operators[operator.name] = operator
            for access in operator.accesses:
                if access.mode == "write":
                    self.maker.setdefault(access.tensor, operator.name)
                    if access.elements == 0 and operator.accesses[0].mode == "read":
                        source = operator.accesses[0].tensor
                        self.alias[access.tensor] = str(self.alias.get(source, source))
        for i, placement in enumerate(self.plan.order):
            self.step.setdefault(placement.operator, i)
        for r in self.plan.residency:
            self.residencies.setdefault(r.tensor, []).append(r)
        for m in self.plan.moves:
            self.moves_of.setdefault(m.tensor, []).append(m)
        for t in self.plan.transfers:
            self.transfers_of.setdefault(t.tensor, []).append(t)
        yield from self._order()
        yield from self._times()
        yield from self._names()
        yield from self._memories()
        yield from self._addresses()
        yield from self._crossings()
        if self.plan.residency:
            yield from self._presence()
            yield from self._arrivals()

    def _order(self) -> Iterator[Fault]:
        seen: set[str] = set()
        for i, placement in enumerate(self.plan.order):
            name = placement.operator
            if name not in self.operators:
                meant = nearest(name, self.operators)
                yield Fault(f"the graph has no operator '{name}'", f"order.{i}", suggestion=meant)
            elif name in seen:
                yield Fault(f"'{name}' runs twice", f"order.{i}", expected="each operator once")
            seen.add(name)
        for name in self.operators:
            if name not in seen:
                yield Fault(f"'{name}' never runs", "order", expected="every operator once")
        for i, _, tensor, maker in self._reads():
            if self.step.get(maker, i) > i:
                yield Fault(
                    f"'{self.plan.order[i].operator}' reads '{tensor}' before '{maker}' "
                    f"makes it at step {self.step[maker]}",
                    f"order.{i}",
                )

    def _reads(self) -> Iterator[tuple[int, Placement, str, str]]:
        """Yield (step, placement, tensor, producer) for reads of another operator's output."""
        for i, placement in enumerate(self.plan.order):
            operator = self.operators.get(placement.operator)
            for access in operator.accesses if operator is not None else ():
                maker = self.maker.get(access.tensor, "")
                if access.mode == "read" and maker and maker != placement.operator:
                    yield i, placement, access.tensor, maker

    def _times(self) -> Iterator[Fault]:
        order = self.plan.order
        busy: dict[tuple[str, str], tuple[float, str]] = {}
        for i, p in enumerate(order):
            if p.start_s is None or p.end_s is None:
                continue
            if p.end_s < p.start_s:
                yield Fault(f"'{p.operator}' ends before it starts", f"order.{i}")
            until, other = busy.get((p.device, p.engine), (0.0, ""))
            if other and p.start_s < until:
                yield Fault(
                    f"'{p.operator}' starts while '{other}' holds the engine",
                    f"order.{i}",
                    expected=f"a start from {until:g} s",
                )
            busy[p.device, p.engine] = max((until, other), (p.end_s, p.operator))
        for i, p, tensor, maker in self._reads():
            placement = order[self.step[maker]] if maker in self.step else None
            ready = None if placement is None else placement.end_s
            for t in self.transfers_of.get(tensor, ()):
                if t.target == p.device and t.end_s is not None:
                    ready = t.end_s
            if ready is not None and p.start_s is not None and p.start_s < ready:
                yield Fault(
                    f"'{p.operator}' starts before '{tensor}' is there",
                    f"order.{i}",
                    expected=f"a start from {ready:g} s",
                )

    def _names(self) -> Iterator[Fault]:
        steps = len(self.plan.order)
        devices = set(self.plan.devices)
        tensors = self.graph.tensors
        for group in ("residency", "moves", "transfers"):
            for i, item in enumerate(getattr(self.plan, group)):
                path, name = f"{group}.{i}", item.tensor
                if name not in tensors:
                    meant = nearest(name, tensors)
                    yield Fault(f"the graph has no tensor '{name}'", path, suggestion=meant)
                elif self.sizes and item.size_bytes != self.sizes.get(name):
                    size = f"{self.sizes.get(name, 0):g} bytes"
                    yield Fault(f"'{name}' has {item.size_bytes:g} bytes", path, expected=size)
                last = item.last if group == "residency" else item.step
                if last >= steps:
                    expected = f"a step from 0 to {steps - 1}"
                    yield Fault(f"step {last} is beyond the order", path, expected=expected)
                if group == "residency" and item.first > item.last:
                    yield Fault(f"ends at step {item.last}, before step {item.first}", path)
                used = (item.source, item.target) if group == "transfers" else (item.device,)
                for device in [each for each in used if each not in devices]:
                    meant = nearest(device, devices)
                    yield Fault(f"no operator runs on device '{device}'", path, suggestion=meant)
                if group == "transfers" and item.source == item.target:
                    yield Fault(f"sends '{name}' to where it is", path)

    def _memories(self) -> Iterator[Fault]:
        for i, c in enumerate(self.plan.capacities):
            resident_bytes = self.plan.held_bytes(c.memory, c.device)
            worst = max(resident_bytes, default=0.0)
            if worst > c.size_bytes:
                step = resident_bytes.index(worst)
                name = self.plan.order[step].operator
                yield Fault(
                    f"'{c.memory}' holds {worst:g} bytes at step {step} ('{name}')",
                    f"capacities.{i}",
                    expected=f"{c.size_bytes:g} bytes at most",
                )

    def _addresses(self) -> Iterator[Fault]:
        limits = {(c.device, c.memory): c.size_bytes for c in self.plan.capacities}
        placed: dict[tuple[str, str], list[tuple[int, Residency]]] = {}
        for i, r in enumerate(self.plan.residency):
            if r.address is None:
                continue
            limit = limits.get((r.device, r.memory))
            if limit is not None and r.address + r.size_bytes > limit:
                yield Fault(
                    f"'{r.tensor}' ends at {r.address + r.size_bytes:g}",
                    f"residency.{i}",
                    expected=f"an end up to {limit:g}",
                )
            placed.setdefault((r.device, r.memory), []).append((i, r))
        for entries in placed.values():
            entries.sort(key=lambda entry: entry[1].first)
            open_: list[Residency] = []
            for i, r in entries:
                open_ = [o for o in open_ if o.last >= r.first]
                for o in open_:
                    assert r.address is not None
                    assert o.address is not None
                    disjoint = (
                        r.address >= o.address + o.size_bytes
                        or o.address >= r.address + r.size_bytes
                    )
                    in_place = r.takes_over == o.tensor and o.last == r.first
                    if not disjoint and o.tensor != r.tensor and not in_place:
                        yield Fault(
                            f"'{r.tensor}' overlaps '{o.tensor}' at step {r.first}",
                            f"residency.{i}",
                        )
                open_.append(r)

    def _crossings(self) -> Iterator[Fault]:
        """Yield reads of tensors that another device computes and has not sent before."""
        for i, placement, tensor, maker in self._reads():
            written_at = self.step.get(maker)
            source = "" if written_at is None else self.plan.order[written_at].device
            if written_at is None or source == placement.device:
                continue
            if not any(
                t.target == placement.device and written_at < t.step <= i
                for t in self.transfers_of.get(tensor, ())
            ):
                yield Fault(
                    f"'{placement.operator}' on '{placement.device}' reads '{tensor}', "
                    f"which stays on '{source}'",
                    f"order.{i}",
                    expected=f"a transfer to '{placement.device}'",
                )

    def _presence(self) -> Iterator[Fault]:
        """Yield accesses to activations that are not resident on the operator's device."""
        inside = self._inside()
        for i, placement in enumerate(self.plan.order):
            operator = self.operators.get(placement.operator)
            for access in operator.accesses if operator is not None else ():
                if self.graph.tensors[access.tensor].role != "activation" or access.elements == 0:
                    continue
                if access.tensor in inside:
                    continue
                names = (access.tensor, self.alias.get(access.tensor, access.tensor))
                if not any(
                    r.device == placement.device and r.first <= i <= r.last
                    for name in names
                    for r in self.residencies.get(name, ())
                ):
                    yield Fault(
                        f"'{operator.name if operator else ''}' {access.mode}s "
                        f"'{access.tensor}', which is in no memory at step {i}",
                        f"order.{i}",
                    )

    def _inside(self) -> set[str]:
        """Return the tensors that are read only inside the kernel that produces them."""
        kernel = {p.operator: p.kernel for p in self.plan.order if p.kernel}
        inside = {t for t, maker in self.maker.items() if maker in kernel}
        for name, operator in self.operators.items():
            for access in operator.accesses:
                maker = self.maker.get(access.tensor, "")
                if kernel.get(name) != kernel.get(maker):
                    inside.discard(access.tensor)
        return inside - set(self.graph.outputs)

    def _arrivals(self) -> Iterator[Fault]:
        """Yield residencies that begin without production, reload or transfer of the tensor.

        Also yields moves out of a memory that does not contain the tensor.
        """
        for i, r in enumerate(self.plan.residency):
            maker = self.maker.get(r.tensor)
            written_at = None if maker is None else self.step.get(maker)
            tensor = self.graph.tensors.get(r.tensor)
            # Caches and states exist before the run that updates them.
            persistent = tensor is not None and tensor.role != "activation"
            if written_at is None or persistent or r.tensor in self.graph.inputs:
                continue
            here = r.device == self.plan.order[written_at].device
            reloaded = any(
                m.target == r.memory and m.device == r.device and m.step <= r.first
                for m in self.moves_of.get(r.tensor, ())
            )
            sent = any(
                t.target == r.device and t.step <= r.first
                for t in self.transfers_of.get(r.tensor, ())
            )
            if r.first < written_at:
                yield Fault(
                    f"'{r.tensor}' is held before '{maker}' makes it at step {written_at}",
                    f"residency.{i}",
                )
            elif not (here and r.first == written_at) and not reloaded and not sent:
                yield Fault(
                    f"'{r.tensor}' appears in '{r.memory}' at step {r.first} from nowhere",
                    f"residency.{i}",
                    expected="a reload or a transfer before",
                )
        for i, m in enumerate(self.plan.moves):
            resident = any(
                r.memory == m.source
                and r.device == m.device
                and r.first <= m.step
                and r.last >= m.step - 1
                for r in self.residencies.get(m.tensor, ())
            )
            earlier = any(
                o.target == m.source and o.device == m.device and o.step <= m.step
                for o in self.moves_of.get(m.tensor, ())
            )
            outside = m.kind == "reload" and m.tensor in self.graph.inputs
            if not (resident or earlier or outside):
                yield Fault(
                    f"'{m.source}' does not hold '{m.tensor}' at step {m.step}", f"moves.{i}"
                )
