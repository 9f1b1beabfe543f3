"""Work spread over threads: results in order, errors in their turn, a few pieces ahead and no more."""

import threading
from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from analyses.cores import in_order, num_cores, single_threaded_products


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_results_come_in_the_order_of_the_pieces(cores):
    first_waits = threading.Event()

    def work(number):
        if number == 0 and cores > 1:
            first_waits.wait(10)  # the second is done before
        if number == 1:
            first_waits.set()
        return number * number

    assert list(in_order((partial(work, number) for number in range(20)), cores)) == [n * n for n in range(20)]


def test_pieces_are_asked_for_a_few_ahead_only():
    asked = []

    def pieces():
        for number in range(50):
            asked.append(number)
            yield partial(int, number)

    for result in in_order(pieces(), 2):
        assert max(asked) <= result + 6


@pytest.mark.parametrize("cores", [1, 3])
def test_an_error_comes_in_its_turn(cores):
    def work(number):
        if number == 4:
            raise ValueError("the fifth")
        return number

    results = in_order((partial(work, number) for number in range(9)), cores)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="the fifth"):
        next(results)


def test_products_are_single_threaded_inside_only():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    with single_threaded_products():
        inside = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert inside == [1] * len(before) and before
    assert [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"] == before
    assert num_cores() >= 1
