"""Labels: inside the plot, none upon another, whatever the points are."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from perfmodel.charts.label_placement import Box, Placer, clusters, text_size

unit = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.tuples(unit, unit, st.text("abcdefgh ", min_size=1, max_size=24)), max_size=25))
def test_placed_labels_never_overlap(points: list[tuple[float, float, str]]) -> None:
    placer = Placer(600, 400, (0, 1), (0, 1))
    for x, y, _ in points:
        placer.mark(x, y, 4)
    placed = 0
    for x, y, text in points:
        placed += placer.place(x, y, text) is not None
    assert placed == len(placer.labels)
    for a, b in combinations(placer.labels, 2):
        assert a.overlap(b) == 0
    for box in placer.labels:
        assert 0 <= box.left <= box.right <= 600
        assert 0 <= box.bottom <= box.top <= 400


def test_a_label_avoids_a_marker() -> None:
    free = Placer(600, 400, (0, 1), (0, 1)).place(0.5, 0.5, "name")
    assert free is not None
    assert (free.xanchor, free.yanchor, free.leader) == ("left", "middle", False)
    crowded = Placer(600, 400, (0, 1), (0, 1))
    crowded.mark(0.53, 0.5, 10)
    other = crowded.place(0.5, 0.5, "name")
    assert other is not None
    assert other.xanchor != "left" or other.yanchor != "middle"


def test_boxes_and_sizes() -> None:
    assert Box(0, 0, 2, 2).overlap(Box(1, 1, 3, 3)) == 1
    assert Box(0, 0, 1, 1).overlap(Box(1, 0, 2, 1)) == 0
    assert text_size("two<br>lines")[1] == 2 * text_size("lines")[1]


def test_clusters_join_what_is_near() -> None:
    assert clusters([(0, 0), (3, 4), (100, 0), (1, 1)], 5.0) == [[0, 1, 3], [2]]
