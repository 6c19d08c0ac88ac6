"""Published figures of offloading and streaming: what holds, and arithmetic of its own."""

from __future__ import annotations

import pytest

from perfmodel.evaluate import Reproduction, reproduce


@pytest.fixture(scope="module")
def rows() -> dict[str, Reproduction]:
    return {f"{r.system}.{r.claim}": r for r in reproduce(["flexgen", "big_moe_on_edge", "d2moe"])}


def test_what_is_within_stays_so(rows: dict[str, Reproduction]) -> None:
    within = {name for name, row in rows.items() if row.verdict == "within"}
    assert within >= {
        *(f"flexgen.opt_175b_{prompt}" for prompt in (256, 512, 1024)),
        *(f"flexgen.a100_opt_{size}" for size in ("6_7b", "13b", "30b", "66b")),
        *(f"big_moe_on_edge.wall_{run}" for run in ("stream", "c2000_l2", "base_ov", "k6")),
        *(f"big_moe_on_edge.hit_{run}" for run in ("8_of_2000", "8_of_4000", "6_of_4000")),
        "big_moe_on_edge.cycle_2",
        "big_moe_on_edge.cycle_4",
        "big_moe_on_edge.hit_below_cycle",
    }
    # Misses that are known, and must not turn into hits unnoticed.
    assert {
        "flexgen.opt_30b_512",
        "big_moe_on_edge.hit_qwen_3000_zipf",
        "d2moe.over_natural_32",
    } <= (rows.keys() - within)


def test_a_block_on_the_disk_by_hand(rows: dict[str, Reproduction]) -> None:
    """OPT-175B, prompts of 512: per layer the disk reads half the weights and the whole cache."""
    block, width, ffn = 32 * 8, 12288, 4 * 12288
    weights = 8 * width**2 + 4 * width * ffn
    token = 4 * width * block
    decode = (0.5 * weights + (512 + 16) * token) / 2e9
    compute = block * (512 * weights + 512**2 * 4 * width) / 65e12
    prompt = max(compute, 513 * token / 1e9)
    total = 96 * (prompt + 31 * decode)
    assert rows["flexgen.opt_175b_512"].predicted == pytest.approx(block * 32 / total, rel=1e-9)


def test_orders_are_bounded(rows: dict[str, Reproduction]) -> None:
    """No order gains more over the natural one than doing away with overlap would lose."""
    for requests in (4, 32):
        natural = rows[f"d2moe.over_natural_{requests}"].predicted
        serial = rows[f"d2moe.over_serial_{requests}"].predicted
        assert 1.0 <= natural < serial < 2.0
