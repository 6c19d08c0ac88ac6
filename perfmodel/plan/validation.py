"""Validation of a plan against its graph: order, times, capacities, addresses, transfers.

A plan is valid if every operator runs once and after its producers, no engine runs two operators at
a time, the residencies of each memory fit its capacity without overlapping addresses, and each
tensor is resident where and when it is read. `Plan.check` calls it; every violation is one fault
with its place in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from perfmodel.errors import Fault, nearest
from perfmodel.plan.records import (
    GraphLike,
    Move,
    OperatorLike,
    Placement,
    Plan,
    Residency,
    Transfer,
)


class ForeignRead(NamedTuple):
    """A read, at a step of the plan, of a tensor that another operator produces."""

    step: int
    placement: Placement
    tensor: str
    producer: str


@dataclass(slots=True)
class PlanValidator:
    """Checks of a plan against its graph.

    Attributes
    ----------
    sizes
        Expected bytes of each tensor; empty if they are not checked.
    operators, producer_of, alias_of
        Operator by name, and for each tensor the operator that writes it and the tensor whose
        memory it shares.
    step_of
        Operator -> its position in the order.
    residencies, moves_of, transfers_of
        Entries of the plan by tensor.
    """

    plan: Plan
    graph: GraphLike
    sizes: Mapping[str, float]
    operators: dict[str, OperatorLike] = field(default_factory=dict[str, "OperatorLike"])
    producer_of: dict[str, str] = field(default_factory=dict[str, str])
    alias_of: dict[str, str] = field(default_factory=dict[str, str])
    step_of: dict[str, int] = field(default_factory=dict[str, int])
    residencies: dict[str, list[Residency]] = field(default_factory=dict[str, "list[Residency]"])
    moves_of: dict[str, list[Move]] = field(default_factory=dict[str, "list[Move]"])
    transfers_of: dict[str, list[Transfer]] = field(default_factory=dict[str, "list[Transfer]"])

    def faults(self) -> Iterator[Fault]:
        """Index the plan and the graph by name, then yield every fault."""
        for _, operator in self.graph.walk():
            self.operators[operator.name] = operator
            for access in operator.accesses:
                if access.mode == "write":
                    self.producer_of.setdefault(access.tensor, operator.name)
                    if access.elements == 0 and operator.accesses[0].mode == "read":
                        source = operator.accesses[0].tensor
                        self.alias_of[access.tensor] = str(self.alias_of.get(source, source))
        for i, placement in enumerate(self.plan.order):
            self.step_of.setdefault(placement.operator, i)
        for residency in self.plan.residency:
            self.residencies.setdefault(residency.tensor, []).append(residency)
        for move in self.plan.moves:
            self.moves_of.setdefault(move.tensor, []).append(move)
        for transfer in self.plan.transfers:
            self.transfers_of.setdefault(transfer.tensor, []).append(transfer)
        yield from self._order_faults()
        yield from self._time_faults()
        yield from self._name_faults()
        yield from self._capacity_faults()
        yield from self._address_faults()
        yield from self._crossing_faults()
        yield from self._tile_faults()
        if self.plan.residency:
            yield from self._presence_faults()
            yield from self._arrival_faults()

    def _order_faults(self) -> Iterator[Fault]:
        """Yield operators that run twice, never, or before a producer of their inputs."""
        seen: set[str] = set()
        for i, placement in enumerate(self.plan.order):
            name = placement.operator
            if name not in self.operators:
                suggestion = nearest(name, self.operators)
                yield Fault(
                    f"the graph has no operator '{name}'", f"order.{i}", suggestion=suggestion
                )
            elif name in seen:
                yield Fault(f"'{name}' runs twice", f"order.{i}", expected="each operator once")
            seen.add(name)
        for name in self.operators:
            if name not in seen:
                yield Fault(f"'{name}' never runs", "order", expected="every operator once")
        for i, _, tensor, producer in self._reads():
            if self.step_of.get(producer, i) > i:
                yield Fault(
                    f"'{self.plan.order[i].operator}' reads '{tensor}' before '{producer}' "
                    f"produces it at step {self.step_of[producer]}",
                    f"order.{i}",
                )

    def _reads(self) -> Iterator[ForeignRead]:
        """Yield the reads of other operators' outputs, in the order of the plan."""
        for i, placement in enumerate(self.plan.order):
            operator = self.operators.get(placement.operator)
            for access in operator.accesses if operator is not None else ():
                producer = self.producer_of.get(access.tensor, "")
                if access.mode == "read" and producer and producer != placement.operator:
                    yield ForeignRead(i, placement, access.tensor, producer)

    def _time_faults(self) -> Iterator[Fault]:
        """Yield operators that overlap on an engine, or start before an input has arrived."""
        order = self.plan.order
        busy: dict[tuple[str, str], tuple[float, str]] = {}
        for i, placed in enumerate(order):
            if placed.start_s is None or placed.end_s is None:
                continue
            if placed.end_s < placed.start_s:
                yield Fault(f"'{placed.operator}' ends before it starts", f"order.{i}")
            until, other = busy.get((placed.device, placed.engine), (0.0, ""))
            if other and placed.start_s < until:
                yield Fault(
                    f"'{placed.operator}' starts while '{other}' holds the engine",
                    f"order.{i}",
                    expected=f"a start from {until:g} s",
                )
            busy[placed.device, placed.engine] = max(
                (until, other), (placed.end_s, placed.operator)
            )
        for i, placed, tensor, producer in self._reads():
            placement = order[self.step_of[producer]] if producer in self.step_of else None
            ready = None if placement is None else placement.end_s
            for transfer in self.transfers_of.get(tensor, ()):
                if transfer.target == placed.device and transfer.end_s is not None:
                    ready = transfer.end_s
            if ready is not None and placed.start_s is not None and placed.start_s < ready:
                yield Fault(
                    f"'{placed.operator}' starts before '{tensor}' is there",
                    f"order.{i}",
                    expected=f"a start from {ready:g} s",
                )

    def _name_faults(self) -> Iterator[Fault]:
        """Yield names, sizes, steps and devices that the graph or the order does not have."""
        steps = len(self.plan.order)
        devices = set(self.plan.devices)
        tensors = self.graph.tensors
        for group in ("residency", "moves", "transfers"):
            for i, item in enumerate(getattr(self.plan, group)):
                path, name = f"{group}.{i}", item.tensor
                if name not in tensors:
                    suggestion = nearest(name, tensors)
                    yield Fault(f"the graph has no tensor '{name}'", path, suggestion=suggestion)
                elif item.size_bytes != self.sizes.get(name, item.size_bytes):
                    size = f"{self.sizes[name]:g} bytes"
                    yield Fault(f"'{name}' has {item.size_bytes:g} bytes", path, expected=size)
                last = item.last if group == "residency" else item.step
                if last >= steps:
                    expected = f"a step from 0 to {steps - 1}"
                    yield Fault(f"step {last} is beyond the order", path, expected=expected)
                if group == "residency" and item.first > item.last:
                    yield Fault(f"ends at step {item.last}, before step {item.first}", path)
                used = (item.source, item.target) if group == "transfers" else (item.device,)
                for device in [each for each in used if each not in devices]:
                    suggestion = nearest(device, devices)
                    yield Fault(
                        f"no operator runs on device '{device}'", path, suggestion=suggestion
                    )
                if group == "transfers" and item.source == item.target:
                    yield Fault(f"sends '{name}' to where it is", path)

    def _capacity_faults(self) -> Iterator[Fault]:
        """Yield memories whose residencies exceed their capacity at some step."""
        for i, capacity in enumerate(self.plan.capacities):
            resident_bytes = self.plan.held_bytes(capacity.memory, capacity.device)
            worst = max(resident_bytes, default=0.0)
            if worst > capacity.size_bytes:
                step = resident_bytes.index(worst)
                name = self.plan.order[step].operator
                yield Fault(
                    f"'{capacity.memory}' holds {worst:g} bytes at step {step} ('{name}')",
                    f"capacities.{i}",
                    expected=f"{capacity.size_bytes:g} bytes at most",
                )

    def _address_faults(self) -> Iterator[Fault]:
        """Yield residencies that overlap in address and time, or end outside the memory."""
        limits = {(c.device, c.memory): c.size_bytes for c in self.plan.capacities}
        placed: dict[tuple[str, str], list[tuple[int, Residency]]] = {}
        for i, residency in enumerate(self.plan.residency):
            if residency.address is None:
                continue
            limit = limits.get((residency.device, residency.memory))
            if limit is not None and residency.address + residency.size_bytes > limit:
                yield Fault(
                    f"'{residency.tensor}' ends at {residency.address + residency.size_bytes:g}",
                    f"residency.{i}",
                    expected=f"an end up to {limit:g}",
                )
            placed.setdefault((residency.device, residency.memory), []).append((i, residency))
        for entries in placed.values():
            entries.sort(key=lambda entry: entry[1].first)
            live: list[Residency] = []
            for i, residency in entries:
                live = [other for other in live if other.last >= residency.first]
                for other in live:
                    assert residency.address is not None
                    assert other.address is not None
                    is_disjoint = (
                        residency.address >= other.address + other.size_bytes
                        or other.address >= residency.address + residency.size_bytes
                    )
                    is_in_place = (
                        residency.takes_over == other.tensor and other.last == residency.first
                    )
                    if not is_disjoint and other.tensor != residency.tensor and not is_in_place:
                        yield Fault(
                            f"'{residency.tensor}' overlaps '{other.tensor}' "
                            f"at step {residency.first}",
                            f"residency.{i}",
                        )
                live.append(residency)

    def _crossing_faults(self) -> Iterator[Fault]:
        """Yield reads of tensors that another device computes and has not sent before."""
        for i, placement, tensor, producer in self._reads():
            produced_at = self.step_of.get(producer)
            source = "" if produced_at is None else self.plan.order[produced_at].device
            if produced_at is None or source == placement.device:
                continue
            if not any(
                transfer.target == placement.device and produced_at < transfer.step <= i
                for transfer in self.transfers_of.get(tensor, ())
            ):
                yield Fault(
                    f"'{placement.operator}' on '{placement.device}' reads '{tensor}', "
                    f"which stays on '{source}'",
                    f"order.{i}",
                    expected=f"a transfer to '{placement.device}'",
                )

    def _tile_faults(self) -> Iterator[Fault]:
        """Yield kernels in tiles whose operators or tensors the plan or the graph does not have."""
        kernel_of = {p.operator: p.kernel or p.operator for p in self.plan.order}
        inside = self._tensors_inside_kernels()
        tiled: set[str] = set()
        for i, kernel in enumerate(self.plan.tiles):
            path = f"tiles.{i}"
            if kernel.operator not in self.plan.tiled:
                suggestion = nearest(kernel.operator, self.plan.tiled)
                message = f"'{kernel.operator}' is not among the operators in tiles"
                yield Fault(message, path, suggestion=suggestion)
                continue
            label = kernel_of.get(kernel.operator)
            members = {name for name, other in kernel_of.items() if other == label}
            if members & tiled:
                yield Fault(f"'{kernel.operator}' is in tiles twice", path, expected="once")
            tiled |= members
            touched = {
                self.alias_of.get(access.tensor, access.tensor)
                for name in members & self.operators.keys()
                for access in self.operators[name].accesses
                if self.graph.tensors[access.tensor].role == "activation" and access.elements != 0
            }
            stated = {tensor.tensor for tensor in kernel.tensors}
            for name in sorted(touched - inside - stated):
                yield Fault(f"states no traffic of '{name}', which its operators use", path)
            for j, tensor in enumerate(kernel.tensors):
                where = f"{path}.tensors.{j}"
                if tensor.tensor not in touched:
                    message = f"no operator of the kernel uses '{tensor.tensor}'"
                    yield Fault(message, where, suggestion=nearest(tensor.tensor, touched))
        for i, name in enumerate(self.plan.tiled):
            if name not in tiled:
                message = f"'{name}' is in tiles, but their traffic is not stated"
                yield Fault(message, f"tiled.{i}", expected="a kernel of it in tiles")

    def _presence_faults(self) -> Iterator[Fault]:
        """Yield accesses to activations that are not resident on the operator's device."""
        inside, tiled = self._tensors_inside_kernels(), {*self.plan.tiled}
        for i, placement in enumerate(self.plan.order):
            operator = self.operators.get(placement.operator)
            if placement.operator in tiled:
                continue
            for access in operator.accesses if operator is not None else ():
                if self.graph.tensors[access.tensor].role != "activation" or access.elements == 0:
                    continue
                if access.tensor in inside:
                    continue
                names = (access.tensor, self.alias_of.get(access.tensor, access.tensor))
                if not any(
                    residency.device == placement.device and residency.first <= i <= residency.last
                    for name in names
                    for residency in self.residencies.get(name, ())
                ):
                    yield Fault(
                        f"'{operator.name if operator else ''}' {access.mode}s "
                        f"'{access.tensor}', which is in no memory at step {i}",
                        f"order.{i}",
                    )

    def _tensors_inside_kernels(self) -> set[str]:
        """Return the tensors that are read only inside the kernel that produces them."""
        kernel = {p.operator: p.kernel for p in self.plan.order if p.kernel}
        inside = {t for t, producer in self.producer_of.items() if producer in kernel}
        for name, operator in self.operators.items():
            for access in operator.accesses:
                producer = self.producer_of.get(access.tensor, "")
                if kernel.get(name) != kernel.get(producer):
                    inside.discard(access.tensor)
        return inside - set(self.graph.outputs)

    def _arrival_faults(self) -> Iterator[Fault]:
        """Yield residencies that begin without production, reload or transfer of the tensor.

        Also yields moves out of a memory that does not contain the tensor.
        """
        for i, residency in enumerate(self.plan.residency):
            producer = self.producer_of.get(residency.tensor)
            produced_at = None if producer is None else self.step_of.get(producer)
            tensor = self.graph.tensors.get(residency.tensor)
            # Caches and states exist before the run that updates them.
            is_persistent = tensor is not None and tensor.role != "activation"
            if produced_at is None or is_persistent or residency.tensor in self.graph.inputs:
                continue
            is_on_producer = residency.device == self.plan.order[produced_at].device
            is_reloaded = any(
                move.target == residency.memory
                and move.device == residency.device
                and move.step <= residency.first
                for move in self.moves_of.get(residency.tensor, ())
            )
            is_sent = any(
                transfer.target == residency.device and transfer.step <= residency.first
                for transfer in self.transfers_of.get(residency.tensor, ())
            )
            if residency.first < produced_at:
                yield Fault(
                    f"'{residency.tensor}' is resident before '{producer}' produces it "
                    f"at step {produced_at}",
                    f"residency.{i}",
                )
            elif not (
                (is_on_producer and residency.first == produced_at) or is_reloaded or is_sent
            ):
                yield Fault(
                    f"'{residency.tensor}' appears in '{residency.memory}' "
                    f"at step {residency.first} without a producer",
                    f"residency.{i}",
                    expected="a reload or a transfer before",
                )
        in_tiles = {(t.tensor, kernel.memory) for kernel in self.plan.tiles for t in kernel.tensors}
        for i, move in enumerate(self.plan.moves):
            is_resident = any(
                residency.memory == move.source
                and residency.device == move.device
                and residency.first <= move.step
                and residency.last >= move.step - 1
                for residency in self.residencies.get(move.tensor, ())
            )
            has_moved_in = any(
                earlier_move.target == move.source
                and earlier_move.device == move.device
                and earlier_move.step <= move.step
                for earlier_move in self.moves_of.get(move.tensor, ())
            )
            is_outside = move.kind == "reload" and (
                move.tensor in self.graph.inputs or (move.tensor, move.source) in in_tiles
            )
            if not (is_resident or has_moved_in or is_outside):
                yield Fault(
                    f"'{move.source}' does not hold '{move.tensor}' at step {move.step}",
                    f"moves.{i}",
                )
