"""Tasks side by side in threads: watched while they run, stopped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

LOOK_EVERY = 0.1  # seconds


def side_by_side[T](
    tasks: Sequence[Callable[[Event], T]], *, threads: int, watch: Callable[[], None]
) -> list[T]:
    """Run tasks in threads of their own, and return what they return, in order.

    Meanwhile BLAS has one thread: the last bit of a product depends on how many share it.

    Parameters
    ----------
    tasks : sequence of callable
        Each takes an event and, once that is set, ends within a fraction of a second; what it
        returns is then of no use.
    threads : int
        Tasks that run at the same time, at most.
    watch : callable
        Called ten times a second in the thread of the caller. What it raises stops the tasks.

    Returns
    -------
    list

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, as soon as the tasks have stopped.

    Examples
    --------
    >>> side_by_side([lambda _: 2, lambda _: 3], threads=2, watch=lambda: None)
    [2, 3]
    """
    import scipy.linalg  # noqa: F401 - brings the BLAS of the kernels, whose threads are limited
    from threadpoolctl import threadpool_limits

    stopped = Event()
    with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool:
        try:
            running = [pool.submit(task, stopped) for task in tasks]
            while wait(running, timeout=LOOK_EVERY).not_done:
                watch()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in running]
