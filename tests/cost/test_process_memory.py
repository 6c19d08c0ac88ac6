"""Memory of a process: the program, copies of weights and the arena, beside the tensors."""

from typing import Any

import numpy as np
import pytest

from perfmodel import hardware, predict, workload

TFLITE = "tflite_xnnpack"


def test_parts_follow_from_what_the_runtime_states() -> None:
    machine = hardware("raspberry_pi_4").machine(TFLITE)
    run = predict("resnet18", machine, precision="w=fp16,a=fp32")
    facts = machine.facts
    # Biases have the format of their slot's precision: all weights are stored in half precision.
    copies = facts["runtime.weight_copies.fp16"] * run.weight_bytes
    arena = facts["runtime.arena_share"] * run.activation_bytes
    assert run.process_parts == pytest.approx(
        {
            "program": 0.0,
            "weights": run.weight_bytes,
            "copies of weights": copies,
            "kv cache": 0.0,
            "arena": arena,
        }
    )
    assert run.process_bytes == pytest.approx(run.weight_bytes + copies + arena)
    assert run.to_dict()["process_parts"]["arena"] == run.arena_bytes
    assert "copies of weights" in str(run)


def test_a_process_is_its_tensors_where_nothing_is_known_of_it() -> None:
    run = predict("resnet18", "a100", runtime="ideal")
    assert run.process_bytes == run.peak_memory_bytes
    assert run.arena_bytes == run.activation_bytes
    assert "process" not in str(run)


def test_groups_of_weights_take_the_copies_of_their_format() -> None:
    step = workload("llama_3_2_1b", phase="decode")
    run = predict(
        step, "snapdragon_8_gen_3", runtime="executorch", engine="cpu", precision="w4g32a8"
    )
    plain = predict(
        step, "snapdragon_8_gen_3", runtime="executorch", engine="cpu", precision="w4a8"
    )
    per_byte = [p.process_parts["copies of weights"] / p.weight_bytes for p in (run, plain)]
    assert per_byte[0] == pytest.approx(per_byte[1])
    assert per_byte[0] > 0


def test_arrays_of_facts_equal_single_predictions() -> None:
    machine = hardware("raspberry_pi_4").machine(TFLITE)
    copies, shares = np.array([0.5, 1.0, 1.0]), np.array([1.0, 1.0, 2.0])

    def process_bytes(copied: Any, share: Any) -> Any:
        facts = {"runtime.weight_copies.int8": copied, "runtime.arena_share": share}
        return predict("mobilenet_v2", machine.vary(facts), precision="int8").process_bytes

    singles = [process_bytes(*pair) for pair in zip(copies.tolist(), shares.tolist(), strict=True)]
    np.testing.assert_allclose(process_bytes(copies, shares), singles)
