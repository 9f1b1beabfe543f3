"""Work spread over the cores that this process may use, with the same results whatever their number.

Numbers are computed by NumPy, SciPy and BLAS, which leave Python's lock alone, so threads are enough: nothing is copied
to other processes. What is spread is cut into pieces that do not depend on the number of cores, each piece is computed
by one thread from beginning to end, and results come back in the order of the pieces. BLAS itself keeps to one thread
meanwhile (``single_threaded_products``): a product that is cut into another number of parts may round otherwise.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")

MOST_CORES = 8
"""More are not used: each piece that is at work needs memory of its own."""


def num_cores() -> int:
    """Return how many pieces are worked on at once: the cores that this process may use, at most ``MOST_CORES``."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, MOST_CORES)


def in_order(pieces: Iterable[Callable[[], Result]], cores: int | None = None) -> Iterator[Result]:
    """Call every piece, several at once, and yield what they return in their order.

    ``pieces`` is advanced by the caller's thread, a few pieces ahead of what is at work, so that an iterator that reads
    files reads the next while others are computed. What a piece raises is raised here, in its turn.

    Parameters
    ----------
    pieces
        Functions without arguments that share nothing they change.
    cores
        How many at once; ``num_cores()`` when not given. With one, each is called when it is asked for.
    """
    cores = cores or num_cores()
    if cores == 1:
        yield from (piece() for piece in pieces)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores) as threads:
        try:
            for piece in pieces:
                waiting.append(threads.submit(piece))
                while len(waiting) > 2 * cores or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def single_threaded_products() -> threadpool_limits:
    """Return a context in which BLAS computes each product in one thread."""
    return threadpool_limits(limits=1, user_api="blas")
