"""From choices to decisions: what they govern, what patterns mean, every fault at once."""

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.search.space import configurations_of


def test_layers_groups_and_widths_decide_for_themselves() -> None:
    network = pm.workload("resnet18")
    space = configurations_of(
        network,
        {"weight_bits": [4, 8], "activation_bits": [4, 8], "channels": [1, 0.5]},
        precision="w8a8",
    )
    roles = [d.role for d in space.decisions]
    # 21 layers; four stages of residual sums, stem and eight inner activations; widths likewise.
    assert roles.count("weights") == 21
    residual = next(d for d in space.decisions if d.name == "layer2.0.conv2.channels")
    assert set(residual.layers) == {"layer2.0.conv2", "layer2.0.downsample", "layer2.1.conv2"}
    assert residual.options == (128, 64)
    assert all("image" not in member for d in space.decisions for member in d.members)


def test_the_last_pattern_that_fits_holds() -> None:
    choices = {"weight_bits": {"*": [8], "layer1.*": [2, 4], "kind:gemm": [16]}}
    space = configurations_of(pm.workload("resnet18"), choices)
    options = {d.layers[0]: d.options for d in space.decisions}
    assert options["layer1.0.conv1"] == ("int2", "int4")
    assert options["fc"] == ("fp16",)
    assert options["conv1"] == ("int8",)


def test_shared_layers_decide_once() -> None:
    network = pm.workload("resnet18")
    for share, count in (("network", 1), ("kind", 2)):
        space = configurations_of(network, {"weight_bits": [4, 8]}, share=share)  # pyright: ignore[reportArgumentType]
        assert len(space.decisions) == count
        assert sum(len(d.layers) for d in space.decisions) == 21


def test_experts_may_differ_and_are_predicted_by_their_shares() -> None:
    space = configurations_of(
        pm.workload("mixtral_8x7b"), {"expert_bits": [8, "8:0.25/2:0.75"]}, precision="w16a16"
    )
    weights = [
        pm.predict(space.workload(choice), "h100", precision="w16a16").weight_bytes
        for choice in ((0, 0), (1, 1))
    ]
    experts = sum(
        float(pm.workload("mixtral_8x7b").number(t.elements)) * 32
        for name, t in pm.workload("mixtral_8x7b").graph().tensors.items()
        if "experts" in name and t.role == "weight"
    )
    # A quarter in 8 bits and the others in 2: 3.5 bits a weight.
    assert weights[0] - weights[1] == pytest.approx(experts * (8 - 3.5) / 8, rel=1e-12)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        configurations_of(
            pm.workload("resnet18"),
            {
                "weight_bitz": [4],
                "weight_bits": {"layr*": [4], "*": [99]},
                "sparsity": ["2:x", 1.2],
                "kv_bits": [8],
                "expert_bits": ["8:0.5/2:0.6"],
                "channels": [2],
            },
        )
    told = "\n".join(str(fault) for fault in caught.value.faults)
    for said in (
        "'weight_bitz' is not a choice",
        "'layr*' fits no layer",
        "unknown format 'int99'",
        "'2:x' is not a sparsity",
        "has no KV cache",
        "has no experts",
        "is not a mixture",
        "2 is not a fraction",
    ):
        assert said in told


def test_a_configuration_goes_there_and_back() -> None:
    space = configurations_of(
        pm.workload("llama_3_8b"), {"weight_bits": [4, 8], "kv_bits": [8, 16], "batch": [1, 4]}
    )
    for choice in space.sample(20, seed=1).tolist():
        assert space.encode(space.decode(choice)) == tuple(choice)
    with pytest.raises(InputError, match="did you mean 'batch'"):
        space.encode({"bach": 1})
