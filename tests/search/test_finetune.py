"""Fine-tuning: memory against published schemes, schedules, closed forms, enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.claims.mcunet_v3 import SCHEMES, extra_kib, scheme_of, training_step

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.peak.least_peak import peak_of
from perfmodel.schedule.problem_from_graph import scheduling_problem
from perfmodel.search.finetune.finetuning_result import gains_of
from perfmodel.search.finetune.part_selection import best
from perfmodel.search.finetune.run import part_of
from perfmodel.search.finetune.training_memory import LayerUpdate, memory_of
from perfmodel.search.finetune.training_step import step_of
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.training_step import backward
from perfmodel.workload.workload import Workload
from tests.draws import draws

PLAIN = FusionRules(False, True)


def network(graph: Graph) -> Workload:
    return Workload(graph.name, lambda _: graph, graph.defaults)


def chain(widths: list[int], activation: str = "", batch: int = 8) -> Workload:
    g = GraphBuilder("chain")
    x = g.input("x", (batch, widths[0]))
    for i, width in enumerate(widths[1:]):
        x = g.linear(x, width, name=f"fc{i}")
        if activation and i < len(widths) - 2:
            x = g.elementwise(activation, x, name=f"act{i}")
    g.output(x)
    return network(g.build())


@pytest.mark.parametrize("name", SCHEMES)
def test_sixteen_published_schemes_keep_what_their_names_say(name: str) -> None:
    """Names are KiB rounded down (Lin et al. 2022, their own accounting)."""
    step = training_step(name)
    for kib in SCHEMES[name]:
        assert int(extra_kib(step, scheme_of(step, name, kib))) == kib


def residual(seed: int, activation: str, additions: float) -> Workload:
    """Six products, some followed by a function, some by an addition of their input."""
    random = np.random.default_rng(seed)
    g = GraphBuilder("residual")
    x = g.input("x", (8, 32))
    for i in range(6):
        y = g.linear(x, 32, name=f"fc{i}", bias=False)
        if activation and random.random() < 0.6:
            y = g.elementwise(activation, y, name=f"act{i}")
        if random.random() < additions:
            y = g.elementwise("add", x, y, name=f"add{i}")
        x = y
    g.output(x)
    return network(g.build())


@pytest.mark.parametrize("activation", ["", "gelu", "sigmoid"])
@pytest.mark.parametrize("trained", [range(6), (3, 4, 5), (1,), (0, 4)])
def test_the_peak_is_that_of_the_training_graph_as_it_is_scheduled(
    activation: str, trained: Sequence[int]
) -> None:
    """Operators of the backward pass one by one, in order, buffers freed by their last reader."""
    for seed, additions in itertools.product(range(6), (0.0, 0.5)):
        w = residual(seed, activation, additions)
        step = step_of(w, as_precision("w16a16"), PLAIN)
        scheme = {i: LayerUpdate(1.0) for i in trained}
        memory = memory_of(step, {i: [p] for i, p in scheme.items()})
        rows = memory.rows(scheme) - memory.trained_bytes @ memory.values(scheme)
        graph = backward(w.graph(), [f"fc{i}.weight" for i in trained])
        problem = scheduling_problem(
            network(graph), as_precision("w16a16"), PLAIN, in_place=False
        ).problem
        peak = peak_of(problem, range(len(problem.steps)))
        # Shares of a gradient are summed in place; the replay makes a new tensor of the sum.
        least = peak - (8 * 32 * 2 if additions else 0)
        assert least <= rows.max() <= peak, (seed, additions)


@pytest.mark.parametrize(("activation", "kept"), [("relu", 1 / 16), ("gelu", 1.0), ("", 0.0)])
def test_functions_keep_a_mask_or_their_input(activation: str, kept: float) -> None:
    w = chain([32, 64, 64, 16], activation)
    step = step_of(w, as_precision("w16a16"), PLAIN)
    scheme = {0: LayerUpdate()}
    memory = memory_of(step, {0: [LayerUpdate()]})
    got = float(memory.kept_bytes @ memory.values(scheme))
    assert got == pytest.approx(2 * 8 * 64 * 2 * kept)
    head = {2: LayerUpdate(1.0)}
    only = memory_of(step, {2: [LayerUpdate(1.0)]})
    # Below the first trained layer nothing is kept: the last layer needs its own input.
    assert float(only.kept_bytes @ only.values(head)) == 8 * 64 * 2


def test_shares_of_channels_ranks_and_optimisers() -> None:
    step = step_of(chain([64, 32]), as_precision("w16a16"), PLAIN)
    for part, kept, trained in (
        (LayerUpdate(0.25), 8 * 16 * 2, 16 * 32 * 2 + 64),
        (LayerUpdate(0.0, False, 4), 8 * (64 + 4) * 2, 4 * (64 + 32) * 2),
        (LayerUpdate(), 0, 64),
    ):
        for states in (0, 2):
            memory = memory_of(step, {0: [part]}, states=states)
            values = memory.values({0: part})
            assert float(memory.kept_bytes @ values) == kept
            assert float(memory.trained_bytes @ values) == trained * (1 + states)


def test_activations_of_a_transformer_layer_are_those_of_korthikanti() -> None:
    """34 sbh bytes a layer in 16 bits with recomputed scores (arXiv:2205.05198, equation 2 and 5),

    of which 2 sbh are masks of dropout, which these layers do not have.
    """
    s, b, h = 128, 4, 768
    kept: list[float] = []
    for layers in (2, 3):
        w = pm.workload("gpt2", phase="prefill", batch=b, prompt=s, layers=layers)
        step = step_of(w, as_precision("w16a16"), PLAIN)
        scheme = {i: LayerUpdate(1.0) for i in range(len(step.layers))}
        memory = memory_of(step, {i: [p] for i, p in scheme.items()})
        kept.append(float(memory.kept_bytes @ memory.values(scheme)))
    assert (kept[1] - kept[0]) / (s * b * h) == pytest.approx(34 - 2)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_choice_is_that_of_an_enumeration(activation: str) -> None:
    w = chain([24, 40, 8, 32, 12], activation, batch=4)
    step = step_of(w, as_precision("w8a8"), PLAIN)
    parts = (LayerUpdate(), LayerUpdate(0.5), LayerUpdate(1.0))
    memory = memory_of(step, {i: list(parts) for i in range(4)})
    gains = gains_of(memory, {})
    options = list(itertools.product([None, *parts], repeat=4))
    values = []
    for option in options:
        scheme = {i: p for i, p in enumerate(option) if p is not None}
        values.append((memory.peak_bytes(scheme), sum(gains[c] for c in scheme.items())))
    floor, top = min(v[0] for v in values), max(v[0] for v in values)
    for limit in np.linspace(floor, top, 9):
        wanted = max(gain for peak, gain in values if peak <= limit + 1e-9)
        answer = best(memory, gains, float(limit) + 1e-6, Deadline(20.0))
        assert answer.solution is not None
        assert answer.proved
        assert sum(gains[c] for c in answer.solution.items()) == pytest.approx(wanted)
        assert -answer.bound == pytest.approx(wanted)
        assert memory.peak_bytes(answer.solution) <= limit + 1e-3
    assert best(memory, gains, floor * 0.9, Deadline(20.0)).status == "infeasible"


def test_intervals_are_the_matrix_and_grow_with_the_number_of_operators() -> None:
    """Rows are those of the matrix written out; each further layer adds equally many intervals."""
    parts = [LayerUpdate(), LayerUpdate(1 / 3), LayerUpdate(0.0, False, 2)]
    counts: list[int] = []
    for layers in (8, 16, 24):
        step = step_of(chain([24] * layers, "gelu"), as_precision("w16a16"), PLAIN)
        offered = dict.fromkeys(range(len(step.layers)), parts)
        memory = memory_of(step, offered, states=2, late=True, resident=True)
        row, column, size = memory.entries()
        matrix = np.zeros((3 * step.kernels, memory.width))
        matrix[row, column] = size
        assert np.count_nonzero(matrix) == len(row)  # no entry is listed twice
        scheme = {i: parts[i % 3] for i in range(0, len(step.layers), 2)}
        rows = memory.constant + (matrix + memory.added_bytes) @ memory.values(scheme)
        np.testing.assert_allclose(memory.rows(scheme), rows, rtol=1e-14)
        counts.append(len(memory.intervals.column) + sum(map(len, memory.lower.values())))
    assert counts[2] - counts[1] == counts[1] - counts[0]


def test_what_gains_nothing_is_not_trained_where_everything_fits() -> None:
    step = step_of(chain([16, 32, 32, 8]), as_precision("int8"), PLAIN)
    memory = memory_of(step, {i: [LayerUpdate(), LayerUpdate(1.0)] for i in range(3)})
    gains = {(0, LayerUpdate()): 2.0, (1, LayerUpdate(1.0)): -1.0, (2, LayerUpdate(1.0)): 0.5}
    answer = best(memory, gains, 1e9, Deadline(1.0))
    assert answer.solution == {0: LayerUpdate(), 2: LayerUpdate(1.0)}
    assert (answer.value, answer.bound) == (-2.5, -2.5)


RES = {"height": 128, "width": 128, "classes": 10}


def test_under_256_kib_on_a_microcontroller() -> None:
    f = pm.finetune("mcunet_5fps", "stm32f746", limit="256 KiB", set=RES)
    assert f.feasible
    assert f.proved
    assert f.peak_bytes <= 256 * 1024
    assert f.gain == f.trained_parameters
    more = pm.finetune("mcunet_5fps", "stm32f746", limit="300 KiB", set=RES)
    assert more.gain > f.gain
    alone = pm.predict(pm.workload("mcunet_5fps", **RES), pm.hardware("stm32f746"))
    assert f.forward_s == pytest.approx(alone.latency_s)
    assert f.inference_bytes == pytest.approx(alone.activation_bytes)


def test_time_follows_what_is_trained() -> None:
    def of(train: str, **more: Any) -> Any:
        return pm.finetune("mcunet_5fps", "stm32h743", train=train, set=RES, **more)

    every, head, bias = of("*=all"), of("classifier=all"), of("*=bias")
    half = of("*=0.5")
    # Each product has two in return, but the first has no input to return to.
    forward = pm.workload("mcunet_5fps", **RES).macs
    stem = every.step.layers[0].macs
    assert every.macs == pytest.approx(3 * forward - stem)
    assert bias.macs == pytest.approx(2 * forward - stem)
    assert head.latency_s < bias.latency_s < half.latency_s < every.latency_s
    assert head.backward_s < 0.05 * every.backward_s
    # The sum of `predict`, kernel by kernel: one power for as long as this engine computes.
    forward = every.costs.forward
    assert every.forward_energy_j == forward.energy_j
    assert every.energy_j == pytest.approx(every.forward_energy_j + every.backward_energy_j)
    assert every.backward_energy_j == pytest.approx(forward.power_w * every.backward_s, rel=1e-9)
    assert head.energy_j < bias.energy_j < half.energy_j < every.energy_j
    assert not every.feasible
    assert every.violations[0].limit == "memory"
    assert of("*=bias", optimizer="adam").state_bytes == pytest.approx(2 * bias.trained_bytes)
    assert of("*=all", late_updates=True).peak_bytes > every.peak_bytes


def test_gains_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gains.csv"
    path.write_text("layer,part,gain\nstage12.0.expand,bias,0.2\nstage13.0.expand,1,1.5\n")
    f = pm.finetune("mcunet_5fps", limit="256 KiB", set=RES, gains=path)
    assert f.to_dict()["trained"] == {"stage12.0.expand": "bias", "stage13.0.expand": "1"}
    assert f.gain == pytest.approx(1.7)
    path.write_text("layer,part,gain\nstage12.0.expnd,bias,0.2\nstem,all of it,1.5\n")
    with pytest.raises(InputError) as caught:
        pm.finetune("mcunet_5fps", limit="256 KiB", set=RES, gains=path)
    assert [(f.line, f.column) for f in caught.value.faults] == [(2, 1), (3, 6)]


@pytest.mark.parametrize("text", ["", "biass", "0", "1.5", "1/0", "lora0", "lora", "nan"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(InputError, match="is not a part of a layer"):
        part_of(text)


def test_frozen_weights_count_where_they_lie_in_the_same_memory() -> None:
    """A GPU has one memory, a microcontroller runs frozen weights from its flash."""
    model = pm.workload("bert_base")
    weights = pm.predict(model, pm.hardware("rtx_4090"), precision="fp16").weight_bytes
    f = pm.finetune(model, "rtx_4090", train="*=lora8", precision="fp16")
    assert f.feasible
    assert f.inference_bytes > weights
    assert f.peak_bytes > f.inference_bytes + f.trained_bytes
    small = pm.finetune(model, "rtx_4090", train="*=bias", precision="fp16", limit="200 MiB")
    assert "the forward pass alone holds" in str(small.violations[0])
    # Trained in place: the weights are there once, their gradients and two states beside them.
    whole = pm.finetune(
        model, "rtx_4090", train="*=weight", precision="fp16", optimizer="adam", late_updates=True
    )
    matrices = sum(layer.weight_bytes for layer in whole.step.layers)
    least = whole.step.frozen_bytes + 3 * matrices
    assert least < whole.peak_bytes < least + whole.kept_bytes + 2 * 2**20
    flash = pm.finetune("mcunet_5fps", "stm32f746", train="classifier=all", set=RES)
    assert flash.peak_bytes < flash.step.frozen_bytes


@given(st.floats(0.2, 2.0), st.floats(0.2, 2.0))
@settings(max_examples=draws(12), deadline=None)
def test_more_memory_never_trains_less_and_what_is_chosen_fits(one: float, two: float) -> None:
    small, large = sorted((one * 2**20, two * 2**20))
    step = step_of(residual(3, "relu", 0.5), as_precision("int8"), PLAIN)
    memory = memory_of(
        step, {i: [LayerUpdate(0.25), LayerUpdate(1.0)] for i in range(len(step.layers))}
    )
    most = memory.peak_bytes({i: LayerUpdate(1.0) for i in range(len(step.layers))})
    worth = gains_of(memory, {})
    found: list[float] = []
    for limit in (small / 2**21 * most, large / 2**21 * most):
        answer = best(memory, worth, limit, Deadline(10.0))
        scheme = answer.solution
        assert answer.proved
        found.append(-1.0 if scheme is None else sum(worth[c] for c in scheme.items()))
        if scheme is not None:
            assert memory.peak_bytes(scheme) <= limit * (1 + 1e-9)
            assert found[-1] == pytest.approx(-answer.bound)
    assert found[0] <= found[1] * (1 + 1e-9)


def test_packed_weights_have_gradients_and_adapters_in_the_format_of_activations() -> None:
    step = step_of(chain([64, 32]), as_precision("w4a16"), PLAIN)
    for part, trained, gradient in (
        (LayerUpdate(1.0, bias=False), 64 * 32 / 2, 64 * 32 * 2),
        (LayerUpdate(0.0, False, 4), 4 * (64 + 32) * 2, 4 * (64 + 32) * 2),
    ):
        memory = memory_of(step, {0: [part]})
        values = memory.values({0: part})
        assert float(memory.trained_bytes @ values) == trained
        assert float(memory.gradient_bytes @ values) == gradient


def test_an_adapter_multiplies_thrice_its_size_a_token() -> None:
    """Two products forward; two gradients; two that the gradients pass through."""
    f = pm.finetune(chain([64, 32, 16], batch=8), "rtx_4090", train="*=lora4", precision="fp16")
    inner = 8 * 32 * 16  # the gradient that the second layer returns to the first
    adapters = 3 * 8 * 4 * ((64 + 32) + (32 + 16))
    assert f.macs == pytest.approx(8 * (64 * 32 + 32 * 16) + inner + adapters)


def operator_of(graph: Graph, name: str) -> Any:
    return next(op for _, op in graph.walk() if op.name == name)


def test_attention_over_a_whole_sequence_goes_backward_with_its_mask() -> None:
    """Two products forward, five backward (the scores again), and of each the same part masked."""
    tokens = 24
    w = pm.workload("gpt2", phase="prefill", prompt=tokens)
    step = backward(w.graph(), values=w.parameters)
    one = operator_of(step, "layer.attention@0")
    back = operator_of(step, "layer.attention@0.backward")
    forward, gradients = float(w.number(one.macs)), float(w.number(back.macs))
    assert forward == 2 * 12 * tokens * tokens * 64
    assert gradients == pytest.approx(2.5 * forward)
    assert float(w.number(back.masked_macs)) == pytest.approx(
        2.5 * float(w.number(one.masked_macs))
    )


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("gpt2", None),
        ("gpt2", "raspberry_pi_5"),
        ("gpt2", "jetson_agx_orin"),
        ("rwkv_7_0_1b", None),
    ],
)
def test_a_language_model_is_trained_on_whole_sequences(name: str, device: str | None) -> None:
    """All that multiplies by a weight does so once a token, the classifier too."""
    tokens = 16
    found = pm.finetune(name, device, limit="8 GiB", train="*=lora4", set={"prompt": tokens})
    named = pm.finetune(
        name, device, limit="8 GiB", train="*=lora4", set={"prompt": tokens, "phase": "prefill"}
    )
    assert found.peak_bytes == named.peak_bytes
    for layer in found.step.layers:
        assert layer.macs == pytest.approx(tokens * layer.weights), layer.name
    assert any("prefill" in note for note in found.notes)
    assert any(f"{tokens} tokens" in note for note in found.notes)
    assert not any("no phase" in note for note in named.notes)
    assert found.notes == tuple(found.to_dict()["notes"])
    assert all(note in repr(found) for note in found.notes)


@pytest.mark.parametrize(
    ("workload", "settings"),
    [
        ("gpt2", {"phase": "decode"}),
        ("gpt2", {"phase": "extend"}),
        ("gpt2", {"context": 64}),
        ("gpt2", {"phase": "request"}),
        ("t5_small", {}),
        ("mamba_130m", {"phase": "decode"}),
        (pm.workload("gpt2"), {}),
    ],
)
def test_nothing_is_trained_on_tokens_that_are_generated(
    workload: Any, settings: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as caught:
        pm.finetune(workload, limit="8 GiB", set=settings)
    (fault,) = caught.value.faults
    assert fault.path == "phase"
    assert "phase=prefill" in fault.expected


def test_without_time_what_is_trained_fits_and_has_a_bound() -> None:
    """All of it where that fits, else the last layers; the bound is what all would be worth."""
    w = chain([16, 32, 32, 8])
    every = pm.finetune(w, limit="1 GiB", parts="all", time_limit_s=1e-9)
    assert every.proved
    assert every.trained_parameters == every.parameters
    tight = pm.finetune(w, limit=every.peak_bytes - 1, parts="all", time_limit_s=1e-9)
    assert tight.feasible
    assert tight.gain <= tight.bound <= every.gain
    assert tight.proved == (tight.gain == tight.bound)


def test_a_language_model_is_answered() -> None:
    result = pm.finetune("llama_3_8b", "h100")
    assert result.feasible
    assert result.peak_bytes > 2 * 7.5e9  # its weights in 16 bits, activations left out
    small = pm.finetune("llama_3_8b", "jetson_orin_nano")
    levers = small.violations[0].levers
    assert not small.feasible
    assert any("bits per weight" in lever for lever in levers)
    assert not any("image" in lever for lever in levers)
