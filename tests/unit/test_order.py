"""The order of tests for parallel workers: no test is lost, slow tests are distributed evenly; samples of cases."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.support.order import PIECE, balanced, sampled

ITEMS = (
    [(f"lab{n // 21}", n, 20) for n in range(63)]
    + [("ssh", n, 5) for n in range(30)]
    + [("unit", n, 0) for n in range(900)]
)


def ordered(workers: int, items: list[tuple[str, int, int]] = ITEMS) -> list[tuple[str, int, int]]:
    return balanced(items, workers, module=lambda item: item[0], weight=lambda item: item[2])


def parts(workers: int) -> list[list[tuple[str, int, int]]]:
    """Return the parts into which `--dist worksteal` divides the ordered tests."""
    left, result = ordered(workers), []
    for number in range(workers):
        length = len(left) // (workers - number)
        result.append(left[:length])
        left = left[length:]
    return result


@pytest.mark.parametrize("workers", [1, 2, 3, 6, 7, 16])
def test_every_test_occurs_once(workers: int) -> None:
    assert Counter(ordered(workers)) == Counter(ITEMS)


@pytest.mark.parametrize("workers", [2, 6, 7])
def test_each_worker_starts_with_its_share_of_the_slow_tests(workers: int) -> None:
    loads = []
    for part in parts(workers):
        slow = [item for item in part if item[2]]
        assert part[: len(slow)] == slow
        loads.append(sum(item[2] for item in slow))
    assert max(loads) - min(loads) <= 20 * PIECE


def test_tests_of_one_module_stay_together() -> None:
    all_parts = parts(6)
    assert len(all_parts) == 6
    for part in all_parts:
        lab = [item for item in part if item[2] == 20]
        changes = sum(one[0] != other[0] for one, other in itertools.pairwise(lab))
        assert changes <= len(lab) / PIECE + 1


def test_no_test_is_lost_when_slow_tests_exceed_a_part() -> None:
    few = ITEMS[:63] + ITEMS[-3:]
    assert Counter(ordered(6, few)) == Counter(few)


def sample(count: int, seed: int) -> list[tuple[str, int, int]]:
    return sampled(ITEMS, count, seed, family=lambda item: item[0])


def test_sample_has_the_given_number_of_cases_of_each_parametrised_test() -> None:
    assert Counter(item[0] for item in sample(4, 1)) == {"lab0": 4, "lab1": 4, "lab2": 4, "ssh": 4, "unit": 4}
    assert sample(len(ITEMS), 1) == ITEMS
    assert sample(4, 1) == sorted(sample(4, 1), key=ITEMS.index), "in the order of the collection"


def test_sample_changes_with_the_seed_until_every_case_was_chosen() -> None:
    assert sample(4, 1) == sample(4, 1)
    assert {item for seed in range(200) for item in sample(30, seed)} == set(ITEMS)
