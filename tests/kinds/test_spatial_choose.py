"""The mapping that closed forms choose, against every mapping there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.row_stationary.divisors import cheapest_of_all, least_dram
from perfmodel_studies.row_stationary.eyeriss import ALEXNET, VGG16

from perfmodel.kinds.spatial import AccessCosts, GroupedConvolution, PeArray, choose, count
from perfmodel.kinds.spatial.candidate_costs import movement_cost
from perfmodel.kinds.spatial.cheapest_mapping import cheapest, cheapest_mappings
from perfmodel.kinds.spatial.counts import buffer_demand, sets_that_fit
from perfmodel.kinds.spatial.repeated_search import cheapest_again
from tests.draws import draws

CHIP = PeArray(12.0, 14.0, 224.0, 12.0, 24.0, 51200.0, 4.0, 1.0, 4.0)
COSTS = AccessCosts(4.0, 15.0, 460.0, 531.5)
#: Of Chen, Emer and Sze (ISCA 2016): 1, 2, 6, 200 a product; no clock network.
RATIOS = AccessCosts(2.0, 6.0, 200.0, 0.0)


def _random_layers(n: int) -> list[GroupedConvolution]:
    rng = np.random.default_rng(7)
    layers: list[GroupedConvolution] = []
    for _ in range(n):
        kernel, stride = int(rng.choice([1, 3, 5, 7])), int(rng.choice([1, 1, 2]))
        out, channels = int(rng.integers(4, 30)), int(rng.choice([3, 16, 32, 100, 256]))
        filters, images = int(rng.choice([8, 24, 64, 200])), int(rng.choice([1, 1, 2]))
        image = stride * (out - 1) + 1
        layers.append(
            GroupedConvolution(
                *map(
                    float,
                    (
                        1,
                        images,
                        filters,
                        channels,
                        out,
                        out,
                        kernel,
                        kernel,
                        stride,
                        stride,
                        1,
                        1,
                        image,
                        image,
                    ),
                )
            )
        )
    for _ in range(n // 4):  # matrix products: rows of tokens, one column, one tap
        m, k, tokens = (int(v) for v in rng.integers([10, 10, 1], [600, 600, 40]))
        layers.append(
            GroupedConvolution(*map(float, (1, 1, m, k, tokens, 1, 1, 1, 1, 1, 1, 1, tokens, 1)))
        )
    return layers


def test_never_below_the_cheapest_of_all_and_close() -> None:
    """Median 0, nine of ten within 4 %, all within 8 % of the exhaustive search."""
    chip = [ALEXNET[name].layer._replace(groups=1.0) for name in ("CONV1", "CONV2", "CONV3")]
    layers = _random_layers(12) + chip
    gaps: list[float] = []
    for layer in layers:
        _, best = cheapest_of_all(layer, CHIP, COSTS)
        found = choose(layer, CHIP, COSTS)
        gaps.append(float(movement_cost(found.counts, COSTS)) / best - 1.0)
    assert min(gaps) >= -1e-9
    assert np.median(gaps) < 0.002
    assert np.quantile(gaps, 0.9) < 0.04
    assert max(gaps) < 0.08


def test_small_arrays_and_buffers_too() -> None:
    """From 6 KB and 4 x 4 elements: nine of ten within 6 % of the cheapest of all, all in 8 %."""
    rng, gaps = np.random.default_rng(0), list[float]()
    for layer in _random_layers(12):
        array = CHIP._replace(
            height=float(rng.integers(4, 24)),
            width=float(rng.integers(4, 24)),
            buffer_words=float(rng.uniform(3e3, 3e4)),
        )
        _, best = cheapest_of_all(layer, array, COSTS)
        gaps.append(float(movement_cost(choose(layer, array, COSTS).counts, COSTS)) / best - 1)
    assert min(gaps) >= -1e-9
    assert np.median(gaps) < 0.002
    assert np.quantile(gaps, 0.9) < 0.06
    assert max(gaps) < 0.08


def test_more_buffer_never_costs() -> None:
    """From 100 words, where rows are cut into blocks, to a million: never above a smaller one."""
    words = np.geomspace(100.0, 1e6, 100)
    for layer in _random_layers(32):
        found = choose(layer, CHIP._replace(buffer_words=words), COSTS)
        cost = np.asarray(movement_cost(found.counts, COSTS))
        assert np.all(cost[1:] <= np.minimum.accumulate(cost)[:-1] * (1 + 1e-8))
        assert cost[-1] < cost[0]
        assert found.blocks[-1] == 1


@pytest.mark.parametrize("side", ["height", "width"])
@pytest.mark.parametrize("costs", [COSTS, RATIOS])
def test_a_larger_array_never_costs(side: str, costs: AccessCosts) -> None:
    """At the same costs of an access and a clock: it can leave the elements beyond idle."""
    sizes = np.arange(1.0, 49.0)
    for layer in [*_random_layers(12), ALEXNET["CONV1"].layer, VGG16["CONV5-1"].layer]:
        found = choose(layer, CHIP._replace(**{side: sizes}), costs).counts
        cost = np.asarray(movement_cost(found, costs))
        assert np.all(cost[1:] <= np.minimum.accumulate(cost)[:-1] * (1 + 1e-8))
        assert cost[-1] < cost[0]


def test_capacities_together_as_one_by_one() -> None:
    """Layers that differ in the buffer alone share their candidates, and find the same."""
    rng, layers = np.random.default_rng(3), _random_layers(8)
    stacked = GroupedConvolution(*(np.array(v)[:, None] for v in zip(*layers, strict=True)))
    words = rng.permutation(np.geomspace(200.0, 1e5, 7))
    together = choose(stacked, CHIP._replace(buffer_words=words), COSTS)
    for i, layer in enumerate(layers):
        for j, held in enumerate(words):
            one = choose(layer, CHIP._replace(buffer_words=float(held)), COSTS)
            assert [float(v[i, j]) for v in together.mapping] == [float(v) for v in one.mapping]
            assert float(together.blocks[i, j]) == float(one.blocks)


@pytest.mark.parametrize("replicate", [False, True])
@pytest.mark.parametrize("varied", ["images", "out_rows", "groups"])
def test_batches_together_as_one_by_one(varied: str, replicate: bool) -> None:
    """Layers of a sweep share their candidates, and only some are priced: the mappings stay."""
    product = GroupedConvolution(*map(float, (1, 1, 90, 70, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)))
    sizes = np.array([*range(1, 40), 77, 168, 500, 1001, 4099], dtype=float)
    for layer in [product, *_random_layers(3)] if varied != "out_rows" else [product]:
        swept = layer._replace(**{varied: sizes})
        swept = swept._replace(in_rows=swept.out_rows) if varied == "out_rows" else swept
        together = choose(swept, CHIP, COSTS, replicate_groups=replicate)
        for i in range(0, len(sizes), 5):
            one = GroupedConvolution(*(float(np.broadcast_to(v, sizes.shape)[i]) for v in swept))
            alone = choose(one, CHIP, COSTS, replicate_groups=replicate)
            assert [float(v[i]) for v in together.mapping] == [float(v) for v in alone.mapping]


def test_what_is_chosen_fits() -> None:
    for layer in _random_layers(40):
        for words in (51200.0, 6000.0):
            array = CHIP._replace(buffer_words=words)
            mapping, counts, blocks = choose(layer, array, COSTS)
            assert float(blocks) == 1.0
            assert float(buffer_demand(layer, mapping)) <= words * (1 + 1e-9)
            assert float(mapping.set_channels) * float(layer.kernel_columns) <= 12
            taps = mapping.set_channels * mapping.set_filters * layer.kernel_columns
            assert float(taps) <= 224
            assert float(mapping.set_filters) <= 24
            sets = float(mapping.channel_sets * mapping.filter_sets * mapping.group_sets)
            assert sets <= float(sets_that_fit(mapping.rows, layer.kernel_rows, array)) + 1e-9
            again = count(layer, mapping, array)
            assert float(again.cycles) == pytest.approx(float(counts.cycles))


@given(st.integers(0, 2**31))
@settings(max_examples=draws(15))
def test_arrays_equal_singles(seed: int) -> None:
    """Layers, array sizes and buffers together, as one at a time."""
    rng = np.random.default_rng(seed)
    layers = _random_layers(8)
    stacked = GroupedConvolution(*(np.array(v) for v in zip(*layers, strict=True)))
    size = len(layers)
    array = CHIP._replace(
        height=rng.integers(3, 33, size).astype(float),
        width=rng.integers(3, 33, size).astype(float),
        buffer_words=rng.uniform(5e3, 2e5, size),
    )
    together = choose(stacked, array, COSTS).counts
    for i, layer in enumerate(layers):
        single = PeArray(*(float(np.broadcast_to(v, size)[i]) for v in array))
        one = choose(layer, single, COSTS).counts
        for name in together._fields:
            np.testing.assert_allclose(getattr(together, name)[i], getattr(one, name), rtol=1e-12)


def test_rows_that_no_buffer_holds_are_cut() -> None:
    """A row of sums beside its inputs in 64 words: columns go in blocks, words stay finite."""
    layer = GroupedConvolution(*map(float, (1, 1, 4, 3, 100, 1000, 3, 3, 1, 1, 1, 1, 100, 1000)))
    found = choose(layer, CHIP._replace(buffer_words=256.0), COSTS)
    assert float(found.blocks) > 1
    assert float(found.mapping.filters) >= 1
    assert np.isfinite(float(found.counts.cycles))
    assert float(found.counts.dram_input) >= 3 * 100 * 1000


def test_depthwise_sets_share_the_array() -> None:
    """Sets on other groups side by side: the clocks fall by what the buses still allow."""
    layer = GroupedConvolution(*map(float, (256, 1, 1, 1, 28, 28, 3, 3, 1, 1, 1, 1, 28, 28)))
    wide = CHIP._replace(input_bus=64.0, sum_bus=64.0, filter_bus=64.0)
    apart = choose(layer, wide, COSTS, replicate_groups=False)
    beside = choose(layer, wide, COSTS, replicate_groups=True)
    assert float(apart.mapping.group_sets) == 1
    assert float(beside.mapping.group_sets) > 1
    assert float(beside.counts.cycles) < 0.6 * float(apart.counts.cycles)
    assert float(beside.counts.macs) == 256 * 28 * 28 * 9


def test_conv1_of_alexnet_is_mapped_as_on_the_chip() -> None:
    chip = ALEXNET["CONV1"]
    assert chip.mapping is not None
    assert tuple(map(float, choose(chip.layer, CHIP, COSTS).mapping)) == tuple(
        map(float, chip.mapping)
    )


def test_least_dram_gives_what_is_known_of_the_chip() -> None:
    """VGG-16: 168 elements work in the last two blocks, as measured; every mapping fits."""
    for name, chip in VGG16.items():
        mapping = least_dram(chip.layer, CHIP, chip.channels_a_pass)
        assert float(buffer_demand(chip.layer, mapping)) <= 51200
        assert mapping.set_channels * mapping.channel_sets == chip.channels_a_pass
        if name.startswith(("CONV4", "CONV5")):
            assert float(count(chip.layer, mapping, CHIP).active) == 168
    with pytest.raises(ValueError, match="fits in the buffer"):
        least_dram(VGG16["CONV1-1"].layer, CHIP._replace(buffer_words=10.0), 1)


def test_main_memory_of_the_analysis_before_the_chip() -> None:
    """ISCA 2016, 256 elements, batch 16: energy of DRAM and registers of AlexNet, in products."""
    published = {
        "CONV1": (2.46e9, 6.75e9),
        "CONV2": (2.27e9, 14.33e9),
        "CONV3": (2.02e9, 9.57e9),
        "CONV4": (1.57e9, 7.18e9),
        "CONV5": (1.05e9, 4.78e9),
    }
    array = PeArray(16.0, 16.0, 220.0, 12.0, 24.0, 65536.0, 4.0, 4.0, 4.0)
    for name, (dram, registers) in published.items():
        layer = ALEXNET[name].layer._replace(images=16.0)
        found = choose(layer, array, RATIOS).counts
        words = found.dram_input + found.dram_filter + found.dram_output
        assert 0.85 * dram < float(200 * words) < 1.01 * dram, name
        assert float(4 * found.macs) == pytest.approx(registers, rel=0.002), name


@pytest.mark.parametrize("replicate", [0, 1])
def test_layers_searched_again_with_other_batches(replicate: int) -> None:
    """Lists of what is near the cheapest at any batch give what a search of the batch gives."""
    rng = np.random.default_rng(5)
    layers = np.array(_random_layers(draws(12)), dtype=float).T
    product = layers[:2].min(axis=0) * layers[5] * layers[6] * layers[7] == 1.0
    product &= layers[1] == 1.0
    groups = rng.choice([1.0, 1.0, 6.0, 400.0], layers.shape[1])
    covered = 0
    for words in (51200.0, 4096.0, 500.0):
        array = CHIP._replace(buffer_words=words, height=8.0)
        chip = np.array([*array, *COSTS])[:, None] * np.ones(layers.shape[1])
        for batch in (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 12.0, 40.5, 129.0, 1000.0, 6145.0):
            columns = np.concatenate([layers, chip])
            columns[0] = groups * np.where(groups > 100.0, batch, 1.0)
            columns[1] = np.where(product, 1.0, batch)
            columns[4] *= np.where(product, np.ceil(batch), 1.0)
            columns[12] = np.where(product, columns[4], columns[12])
            expected = cheapest(columns, replicate)
            for i in range(columns.shape[1]):
                again = cheapest_again(columns[:, [i]], replicate)
                covered += again is not None
                assert again is None or np.array_equal(again, expected[:, [i]]), (words, batch, i)
            together = cheapest_mappings(columns, replicate + 2)
            assert np.array_equal(together, expected)
    assert covered > 100
