"""How many random cases a test draws: a quarter in `make test`, all of them in `make test_all`."""

import os

ALL_DRAWN = os.environ.get("PERFMODEL_DRAWS") == "all"


def draws(number: int) -> int:
    """How many of `number` random cases this run draws: a quarter of them, five at the least."""
    return number if ALL_DRAWN else min(number, max(5, -(-number // 4)))


def of_draws(number: int) -> int:
    """What is asked of this run where all random cases have at least `number` of a sort.

    Half of its share, because few cases scatter.
    """
    return number if ALL_DRAWN else number // 8
