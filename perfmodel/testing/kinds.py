"""Conformance tests for kinds of hardware: properties that hold for every cost model.

Array evaluation equals single points, faster parts never slow a prediction, rows add up to the
totals, traffic is at least compulsory, and the arithmetic of `explain()` evaluates to the number.

Subclass `KindConformance` in a test module, return a device whose default engine is of the kind,
and pytest collects the tests::

    class TestMyKind(KindConformance):
        def device(self) -> Device: ...
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.kinds import kind
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing.laws import allowed, never_rises
from perfmodel.testing.results import check_explanation
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

_FACTORS = np.array([0.25, 0.5, 1.0, 1.7, 4.0])


class KindConformance:
    """Tests of every kind; override `device`, and `workloads` if the defaults do not fit."""

    def device(self) -> Device:
        """Return a device whose default engine is of the kind."""
        raise AssertionError("a conformance test returns the device of its kind")

    def precision(self) -> str | None:
        """Return the precision of the predictions; ``None`` for the device's default."""
        return None

    def workloads(self) -> Sequence[Workload]:
        """Return workloads that the kind can cost."""
        return [
            find("resnet18", {}),
            find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512}),
        ]

    def rates(self) -> Sequence[str]:
        """Return the paths of kind-specific facts whose increase never slows a prediction."""
        return ()

    def delays(self) -> Sequence[str]:
        """Return the paths of kind-specific facts whose decrease never slows a prediction."""
        return ()

    def batch_slack(self) -> float:
        """Return the relative amount by which a larger batch may be faster.

        Only rounding, unless the kind chooses kernels or mappings by another criterion than the
        least time, such as the least energy.
        """
        return 1e-12

    def _predict(self, workload: Workload, machine: Device | Machine | None = None) -> Prediction:
        """Return a prediction on the device of the test."""
        return predict(workload, machine or self._machine(), precision=self.precision())

    def _machine(self) -> Machine:
        """Return the device under its default runtime."""
        device = self.device()
        return device.machine(device.default_runtime)  # of every workload alike

    def test_kind_is_found_by_name(self) -> None:
        """Check that the catalog finds the kind and that it names its equations."""
        machine = self._machine()
        loaded = kind(machine.device.engine(machine.engine).kind)
        assert loaded.equations
        assert all(e.text and e.citation for e in loaded.equations.values())

    def test_batch_equals_singles(self) -> None:
        """Check that N points at once equal N separate predictions within 1e-12."""
        for workload in self.workloads():
            batches = np.array([1.0, 2.0, 3.0, 7.0, 64.0])
            together = self._predict(workload.bind({"batch": batches}))
            for i, batch in enumerate(batches):
                one = self._predict(workload.bind({"batch": float(batch)}))
                for metric in ("latency_s", "energy_j", "peak_memory_bytes", "utilization"):
                    np.testing.assert_allclose(
                        getattr(together, metric)[i], getattr(one, metric), rtol=1e-12
                    )
                for level, traffic in one.traffic_bytes.items():
                    np.testing.assert_allclose(
                        together.traffic_bytes[level][i], traffic, rtol=1e-12
                    )

    def test_two_axes_broadcast(self) -> None:
        """Check that a fact and a dimension on two axes result in their outer product."""
        workload = self.workloads()[0]
        machine = self._machine()
        path = f"memories.{machine.main_memory}.bandwidth"
        base = machine.facts[path]
        varied = machine.vary({path: base * _FACTORS[:, None]})
        grid = self._predict(workload.bind({"batch": np.array([1.0, 4.0])}), varied)
        assert grid.latency_s.shape == (len(_FACTORS), 2)
        single = self._predict(
            workload.bind({"batch": 4.0}), machine.vary({path: float(base * _FACTORS[1])})
        )
        np.testing.assert_allclose(grid.latency_s[1, 1], single.latency_s, rtol=1e-12)

    def test_faster_parts_are_never_slower(self) -> None:
        """Check that more bandwidth, clock or units, or less delay, never increases latency."""
        machine = self._machine()
        for path, value in machine.facts.items():
            rising = path.startswith("engines.") and path.endswith((".clock", ".units"))
            rising = rising or (path.startswith("memories.") and path.endswith(".bandwidth"))
            rising = rising or ".peaks." in path or ".vector_peaks." in path
            rising = rising or path in self.rates()
            falling = path.endswith((".latency", ".launch_overhead")) or path in (
                "runtime.per_run",
                "runtime.per_operator",
                "runtime.per_subgraph",
                "runtime.per_layer",
                "runtime.per_layer_clocks",
                "runtime.per_sequence",
                "runtime.per_prompt",
                *self.delays(),
            )
            falling = falling or path == "runtime.sustained_energy_per_op"
            if not rising and not falling:
                continue
            varied = machine.vary({path: allowed(machine, path, value * _FACTORS)})
            for workload in self.workloads():
                seconds = np.broadcast_to(self._predict(workload, varied).latency_s, (5,))
                change = np.diff(seconds) if rising else -np.diff(seconds)
                assert np.all(change <= 1e-12 * seconds[:-1]), path

    def test_more_batch_is_never_quicker(self) -> None:
        """Check that a larger batch never decreases latency."""
        batches = np.array([64.0, 17.0, 16.0, 9.0, 8.0, 3.0, 2.0, 1.0])
        for workload in self.workloads():
            if "batch" in workload.parameters:
                prediction = self._predict(workload.bind({"batch": batches}))
                slack = self.batch_slack()
                assert never_rises(prediction.latency_s, batches.size, slack), workload.name

    def test_bits_set_to_what_they_are_change_nothing(self) -> None:
        """Check that stored bits equal to those of the format change nothing."""
        for workload in self.workloads():
            base = self._predict(workload)
            precision = base.job.precision
            for role in ("weights", "activations", "kv"):
                own = float(getattr(precision, role).element_bits)
                changed = precision.with_bits(**{role: np.array([own / 2.0, own])})
                prediction = predict(
                    workload,
                    base.machine,
                    precision=changed,
                    warm=base.job.warm,
                )
                for metric in ("latency_s", "peak_memory_bytes"):
                    last = np.ravel(getattr(prediction, metric))[-1]
                    np.testing.assert_allclose(last, getattr(base, metric), rtol=1e-12)

    def test_more_capacity_never_adds_traffic(self) -> None:
        """Check that more capacity at equal access cost never adds main-memory traffic or time."""
        machine = self._machine()
        for path, value in machine.facts.items():
            if path.startswith("memories.") and path.endswith(".capacity"):
                varied = machine.vary({path: value * np.geomspace(1e-3, 10.0, 41)})
                for workload in self.workloads():
                    prediction = self._predict(workload, varied)
                    for traffic in prediction.traffic_bytes.values():
                        traffic = np.broadcast_to(traffic, (41,))
                        assert np.all(np.diff(traffic) <= 1e-9 * traffic[0] + 1e-9), path
                    seconds = np.broadcast_to(prediction.latency_s, (41,))
                    assert np.all(np.diff(seconds) <= 1e-12 * seconds[0]), path

    def test_traffic_is_at_least_compulsory(self) -> None:
        """Check that main-memory traffic is at least compulsory: weights read, inputs, outputs."""
        for workload in self.workloads():
            prediction = self._predict(workload)
            table = prediction.table
            assert np.all(table["row_s"] >= 0)
            store = {**prediction.traffic_bytes}
            graph = workload.graph()
            inputs = sum(workload.number(graph.tensors[n].elements) for n in graph.inputs)
            assert sum(store.values()) >= inputs

    def test_rows_add_up(self) -> None:
        """Check conservation: work, bytes and seconds of the rows add up to the totals."""
        for workload in self.workloads():
            prediction = self._predict(workload)
            table = prediction.table
            count = table["count"]
            np.testing.assert_allclose(
                float(np.sum(table["total_s"])) + prediction.once_a_run_s,
                prediction.latency_s,
                rtol=1e-9,
            )
            np.testing.assert_allclose(
                float(np.sum(count * table["macs"])), prediction.macs, rtol=1e-9
            )
            for level, traffic in prediction.traffic_bytes.items():
                np.testing.assert_allclose(
                    float(np.sum(count * table[f"{level}_bytes"])), traffic, rtol=1e-9
                )

    def test_units_are_si(self) -> None:
        """Check that scaling all rates by ten and all delays by a tenth speeds up tenfold."""
        machine = self._machine()
        changes: dict[str, float] = {}
        for path, value in machine.facts.items():
            rate = path.startswith("memories.") and path.endswith(".bandwidth")
            if rate or ".peaks." in path or ".vector_peaks." in path or path in self.rates():
                changes[path] = float(allowed(machine, path, value * 10))
            elif (
                path.endswith(
                    (
                        ".latency",
                        ".launch_overhead",
                        ".per_run",
                        ".per_operator",
                        ".per_subgraph",
                        ".per_layer",
                        ".per_sequence",
                        ".per_prompt",
                    )
                )
                or path == "runtime.sustained_energy_per_op"
                or path in self.delays()
            ):
                changes[path] = value / 10
            elif path.endswith(".clock"):
                changes[path] = value * 10
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)

    def test_explanation_evaluates_to_the_number(self) -> None:
        """Check that the arithmetic of `explain()` evaluates to the explained number."""
        for workload in self.workloads():
            prediction = self._predict(workload)
            check_explanation(prediction.explain(), prediction.latency_s)
