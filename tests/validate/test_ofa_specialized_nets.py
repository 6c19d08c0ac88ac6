"""Once-for-all networks for six devices: ranked, with networks of the stated size."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.validate import ofa_specialized_nets, validate

HEADER = "net,device,latency_ms,params_M,macs_M,top1,detail\n"


@pytest.mark.data
def test_open_networks_are_ranked(data: Path) -> None:
    (found,) = validate("ofa_specialized_nets", data=data)
    assert (found.rows, found.coverage, len(found.details)) == (27, 1.0, 6)
    for name, told in found.details.items():
        assert told["spearman"] == 1.0, name
        # Networks of the stated MACs and parameters exist in the space, within their rounding.
        assert told["off_macs_params"] < 0.011, name
        if told["stand_in"]["device"] == "pixel_6a_core":
            # Phones: nearer than MACs with the same freedom.
            assert told["mape"] < told["mape_macs"], name
            assert told["mape"] < 0.06, name
    assert found.mape is not None
    assert found.mape < 0.08


def test_devices_have_a_stand_in_of_their_sort() -> None:
    of = ofa_specialized_nets.stand_in
    assert of("Samsung Note10").device == "pixel_6a_core"
    assert (of("V100 GPU (Batch Size 64)").device, of("Jetson TX2 GPU").batch) == ("a100", 16)
    assert of("Intel Xeon CPU with MKL-DNN (Batch Size 1)").runtime == "onnxruntime_cpu"


def test_faults_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    place = tmp_path / ofa_specialized_nets.PLACES[0]
    place.write_text(HEADER + "a,LG G8,,5,100,70,x\nb,LG G8,3,5,many,70,x\n")
    with pytest.raises(InputError) as caught:
        validate("ofa_specialized_nets", data=tmp_path)
    assert {(f.line, f.path) for f in caught.value.faults} == {(2, "latency_ms"), (3, "macs_M")}
