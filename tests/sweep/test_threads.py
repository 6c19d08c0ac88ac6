"""Eight threads at once get what one gets alone, on caches that are still cold."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import perfmodel as pm

sys.setswitchinterval(1e-5)
CASES = [
    ("llama_3_8b", "a100", {"batch": [1, 8], "context": [512, 2048]}),
    ("resnet18", "stm32h743", {"batch": [1]}),
    ("mobilenet_v2", "gemmini_16x16", {"memories.scratchpad.capacity": ["128 KiB", "256 KiB"]}),
    ("resnet18", "zcu104", {"batch": [1]}),
    ("mixtral_8x7b", "apple_m2_max", {"context": [64, 4096]}),
]
barrier = Barrier(8)

def work(thread):
    barrier.wait()
    order = CASES[thread % len(CASES):] + CASES[:thread % len(CASES)]
    rows = {}
    for workload, device, axes in order:
        rows[workload, device] = pm.sweep(workload, device, axes).to_json()
        w = pm.workload(workload)
        p = pm.predict(w, device)
        rows[workload, device, "explain"] = str(p.explain())
        rows[workload, device, "json"] = repr(p.to_dict())
    oracle = ORACLE
    rows["oracle"] = repr([oracle(a) for a in ARCHS])
    return rows

space = pm.space("nas_bench_201")
ARCHS = [space.random(seed) if hasattr(space, "random") else a for seed, a in zip(range(8), space)]
ORACLE = pm.Oracle("raspberry_pi_5", space)
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(work, range(8)))
alone_barrier = barrier
barrier = Barrier(1)
alone = work(0)
for thread, rows in enumerate(found):
    for key, value in alone.items():
        assert rows[key] == value, (thread, key)
print("agree", len(alone))
"""


@pytest.mark.slow
def test_eight_threads_agree() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "agree 16\n"
