"""Tables of llama.cpp and T-MAC: names, files that were held out, and errors on measured rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.calibrate import fit
from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.dataset_form import TextForm
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.validation_case import ValidationCase
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine

#: Rows as the files that were held out have them, by the manifest: devices alone are new.
LATER = {
    "llama3_gpu_llamacpp": (
        "gpu,n_gpu,model,mode,tok_s\n"
        + "".join(
            f"{gpu},1,LLaMA 3 8B Q4_K_M,{mode},100\n"
            for gpu in (
                "3080 10GB",
                "4090 24GB",
                "RTX 5000 Ada 32GB",
                "A40 48GB",
                "A100 PCIe 80GB",
                "H100 PCIe 80GB",
                "4070 Ti 12GB",
                "M2 Ultra 76\u2011Core GPU 192GB",
            )
            for mode in ("decode_tg1024", "prefill_pp1024")
        )
        + "H100 PCIe 80GB * 4,4,LLaMA 3 70B F16,decode_tg1024,20\n"
    ),
    "tmac_llm_decode": (
        "model,device,threads,llama_cpp_tok_s,tmac_tok_s\n"
        "BitNet-3B,AGX Orin,12,10,20\nLlama-2-7B (W2),Raspberry Pi 5,2,1,5\n"
        "Llama-2-7B (W4),Raspberry Pi 5,1,1,5\n"
    ),
    "llamacpp_rpi5_quant_energy": (
        "quant,file_gb,tok_s,mean_w,j_per_token,gb_x_tok_s,device\n"
        "Q3_K_M,0.36,28,6,0.2,10,Pi\nQ5_K_M,0.42,24,6,0.2,10,Pi\n"
    ),
    "llamacpp_dgx_spark_depth": (
        "model,size_gib,params_b,test,kv_depth,tok_s,device\n"
        "gpt-oss 120B MXFP4,59.02,116.83,pp2048,4096,1500,Spark\n"
        "gpt-oss 120B MXFP4,59.02,116.83,tg32,0,50,Spark\n"
    ),
    "llamacpp_dgx_spark_batched": (
        "batch,prompt_len,tg_tok_s_total,pp_tok_s,model,device\n"
        "8,8192,100,2000,Qwen2.5-Coder-7B Q8_0,Spark\n"
    ),
    "llamacpp_gpu_llama2_7b_q4_0": (
        "gpu,backend,model,quant,model_size_gib,pp512_tok_s,tg128_tok_s,source\n"
        "RTX 5090,CUDA,Llama 2 7B,Q4_0,3.56,10000,250,x\n"
        "RTX 5060 Ti,CUDA,Llama 2 7B,Q4_0,3.56,4000,90,x\n"
        "RX 7900 XTX,Vulkan,Llama 2 7B,Q4_0,3.56,3000,140,x\n"
        "RTX 5070 (Vulkan),Vulkan,Llama 2 7B,Q4_0,3.56,,120,x\n"
    ),
    "geerling_ai_benchmarks": (
        "model,system,unit,eval_tok_s,peak_system_w,link\n"
        "Llama 3.2:3b,Pi 5 - 16GB (Nvidia RTX 3090),GPU,100,300,x\n"
        "Llama 3.1:8b,M3 Ultra (80 GPU Core) 512GB,GPU,80,,x\n"
    ),
    "sbc_reviews": (
        "name,arch,hpl_gflops,ai_cpu_llama3_2_3b,memory_mb_sec_memcpy\n"
        "A board,aarch64,30,4.5,6000\nAnother,aarch64,,,5000\n"
    ),
}


@pytest.mark.parametrize("name", LATER)
def test_held_out_devices_are_in_the_library(name: str, tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / f"{name}_heldout.csv").write_text(LATER[name])
    (found,) = validate(name, data=tmp_path, suffix="_heldout")
    assert found.unpredicted == ()
    assert found.coverage == 1.0
    assert found.mape is not None


def test_what_is_not_known_counts_against_the_coverage(tmp_path: Path) -> None:
    table = (
        "model,system,unit,eval_tok_s,peak_system_w,link\n"
        "Llama 3.1:405b,A cluster of nine,GPU,1,,x\nLlama 9:1b,Pi 5,CPU,1,,x\n"
        "Llama 3.2:3b,Pi 5 - 8GB,CPU,4.6,,x\n"
    )
    (tmp_path / "geerling_ai_benchmarks.csv").write_text(table)
    (found,) = validate("geerling_ai_benchmarks", data=tmp_path)
    assert found.coverage == pytest.approx(1 / 3)
    assert [u["reason"] for u in found.unpredicted] == [
        "a cluster of machines is not modelled",
        "no model of the library is 'Llama 9:1b'",
    ]


def cases_of(name: str, table: str, folder: Path) -> dict[str, ValidationCase]:
    (folder / f"{name}.csv").write_text(table)
    return {case.name: case for case in dataset(name).load(data_folder(folder)).cases}


def machine_of(case: ValidationCase) -> Machine:
    assert case.machine is not None, case.reason
    return case.machine if isinstance(case.machine, Machine) else case.machine.machine(case.runtime)


@pytest.mark.parametrize(
    ("gpu", "device"),
    [
        ("NVIDIA GeForce RTX 4070 Ti SUPER (Vulkan)", "rtx_4070_ti_super"),
        ("RX 6700 XT 12GB", "radeon_rx_6700_xt"),
        ("3080 Ti", "rtx_3080_ti"),
        ("7900 XT", "radeon_rx_7900_xt"),
        ("A100 80GB", "a100"),
    ],
)
def test_names_of_boards(gpu: str, device: str, tmp_path: Path) -> None:
    table = (
        f"gpu,backend,model,quant,pp512_tok_s,tg128_tok_s\n{gpu},Vulkan,Llama 2 7B,Q4_0,3000,100\n"
    )
    (case,) = cases_of("llamacpp_gpu_llama2_7b_q4_0", table, tmp_path).values()
    assert machine_of(case).device.name == device


@pytest.mark.parametrize(
    ("system", "device", "slowdown"),
    [
        ("Pi CM5 - 16GB (Nvidia RTX 3080 Ti)", "rtx_3080_ti", 2.1),
        ("System76 Thelio Astra (Nvidia A4000)", "rtx_a4000", 4.2),
        ("Ryzen 9 7950X (Nvidia 4080)", "rtx_4080", 1.0),
        ("Pi 500+ - 16GB (Intel Arc A310 ECO)", "arc_a310", 27.0),
    ],
)
def test_a_board_has_its_host(system: str, device: str, slowdown: float, tmp_path: Path) -> None:
    table = f"model,system,unit,eval_tok_s\nLlama 3.2:3b,{system},GPU,50\n"
    (case,) = cases_of("geerling_ai_benchmarks", table, tmp_path).values()
    machine = machine_of(case)
    assert machine.device.name == device
    assert machine["runtime.host_slowdown"] == slowdown


#: Data set -> largest error of its targets, and rows that may have none.
BARS = {
    "llama3_gpu_llamacpp": ({"latency_s": 0.06}, 1.0),
    "llamacpp_gpu_llama2_7b_q4_0": ({"latency_s": 0.08}, 1.0),
    "llamacpp_rpi5_quant_energy": ({"latency_s": 0.03, "energy_j": 0.08}, 1.0),
    "tmac_llm_decode": ({"latency_s": 0.16}, 1.0),
    "llamacpp_dgx_spark_batched": ({"latency_s": 0.06, "prefill_latency_s": 0.08}, 1.0),
    "llamacpp_dgx_spark_depth": ({"latency_s": 0.03, "prefill_latency_s": 0.14}, 1.0),
    "geerling_ai_benchmarks": ({"latency_s": 0.18}, 0.75),
    "sbc_reviews": ({"latency_s": 0.13}, 0.65),
}


@pytest.mark.data
@pytest.mark.parametrize("name", BARS)
def test_errors_on_measured_rows(name: str, data: Path) -> None:
    bars, coverage = BARS[name]
    (found,) = validate(name, data=data)
    assert found.coverage >= coverage
    for target, bar in bars.items():
        error = found.targets[target]["mape"]
        assert error is not None
        assert error <= bar, target
    bare = found.baselines["roofline"]["mape"]
    assert found.mape is not None
    assert bare is not None
    assert found.mape < 0.5 * bare


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "target", "bar"),
    [
        ("llamacpp_apple_4167", "latency_s", 0.045),
        ("llamacpp_apple_4167", "prefill_latency_s", 0.05),
        ("llama3_gpu_llamacpp", "latency_s", 0.07),
        ("llama3_gpu_llamacpp", "prefill_latency_s, one GPU", 0.125),
        ("llamacpp_gpu_llama2_7b_q4_0", "latency_s, CUDA", 0.04),
        ("tmac_llm_decode", "latency_s", 0.25),
        ("llamacpp_rpi5_quant_energy", "latency_s", 0.03),
    ],
)
def test_a_device_left_out(name: str, target: str, bar: float, data: Path) -> None:
    (refit,) = (r for r in dataset(name).refits(data_folder(data)) if r.target == target)
    assert trial(refit)["mape"] <= bar


@pytest.mark.data
def test_the_power_of_the_pi_is_what_the_rows_give(data: Path) -> None:
    name = "llamacpp_rpi5_quant_energy"
    (refit,) = (r for r in dataset(name).refits(data_folder(data)) if r.target == "energy_j")
    found = fit(refit.forward, refit.measured, refit.constants, scale=refit.scale)
    stated = hardware("raspberry_pi_5_board").machine("llama_cpp_cpu_neon")["power.busy"]
    assert stated == pytest.approx(found.constants["power.busy"], rel=0.01)


@pytest.mark.data
def test_hosts_are_as_slow_as_the_rows_say(data: Path) -> None:
    refits = dataset("geerling_ai_benchmarks").refits(data_folder(data))
    found: dict[str, float] = {}
    for each in refits:
        if each.target.endswith(("NVIDIA", "Intel")):
            fitted = fit(each.forward, each.measured, each.constants, scale=each.scale)
            found |= fitted.constants
    slowdown = dataset("geerling_ai_benchmarks").form.values["slowdown"]
    assert isinstance(slowdown, TextForm)
    stated = {host: float(text) for host, text in (slowdown.names or {}).items()}
    assert stated == pytest.approx(found, rel=0.01)
