"""Many independent numbered tasks: in threads, processes or on a Dask cluster, same results.

A task knows its number and nothing else of where it runs: its random stream comes from
``SeedSequence(entropy, spawn_key=(number,))``. Numbers are cut into blocks, which are what is sent
to a worker, kept when finished, and not computed again after an interruption; within a block the
task is called for one number at a time, so that a result cannot depend on how numbers were cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from bayes_cmvt.errors import OptionError, SamplingError
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.workers import (
    Arrays,
    Task,
    Workers,
    WorkersLostError,
    cannot_compute,
    joined,
    opened_workers,
    resident_memory,
    unfit_workers,
)

PER = {"a second": 1, "a minute": 60, "an hour": 3600}
LOOK_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class Keep:
    """Where finished blocks are kept.

    Attributes
    ----------
    load : callable
        Takes a block and returns its arrays as they were saved, or None where it is not there.
    save : callable
        Takes a block and its arrays. It may be called again for a block that it has saved.
    """

    load: Callable[[range], Arrays | None]
    save: Callable[[range, Arrays], None]


def run_blocks[Given](
    task: Task[Given],
    given: Given,
    count: int,
    *,
    workers: Workers | None = None,
    keep: Keep | None = None,
    block: int = 25,
    report: Report | None = None,
    unit: str = "resamples",
) -> Arrays:
    """Compute the tasks numbered ``0 … count - 1``, and return their results in order.

    The result is the same bit for bit wherever the tasks run, however many run at a time, and
    whether or not the run was interrupted, on processors of one kind and with the same versions
    of the packages. A worker that dies costs the block that it was at, which another computes. A
    task that takes long is stopped between two numbers only (a process within
    about a second); on a cluster, blocks that have begun run to their end unheard.

    Parameters
    ----------
    task : callable
        Function of a module (no lambda, nothing nested) that takes ``given`` and a range of
        numbers and returns arrays whose first axis has one entry for each number, with the same
        names and dtypes whatever the number. It draws random numbers only from generators
        made of its number, ``SeedSequence(entropy, spawn_key=(number,))``, changes nothing
        outside itself, and for threads to run side by side its kernels release the GIL.
    given : object
        What all tasks need; sent once to each worker, so that it must be picklable.
    count : int
        Number of tasks.
    workers : Workers, optional
        Default: threads, one for each core.
    keep : Keep, optional
        Finished blocks are saved as soon as they arrive, and those there already are not computed.
    block : int, default 25
        Numbers in a block; to be the same when a run is resumed.
    report : callable, optional
        Called ten times a second with a `SamplingState` that counts tasks, with the time that is
        left and the memory in use. What it raises stops the run.
    unit : str
        What a task is called in the plural.

    Returns
    -------
    dict of ndarray, shape (count, …)

    Raises
    ------
    OptionError
        For a count or block below 1, workers that do not exist, or a cluster that cannot be used.
    SamplingError
        When one block ended several workers, a cluster is there no more, or a block does not hold
        what it should.
    KeyboardInterrupt
        On Ctrl-C, once finished blocks are saved and workers have stopped.
    Exception
        What the task raises, likewise.

    Examples
    --------
    >>> def doubled(given, numbers):
    ...     return {"double": np.array([2 * number + given for number in numbers])}
    >>> run_blocks(doubled, 1, 4, block=3)
    {'double': array([1, 3, 5, 7])}
    """
    workers = workers or Workers()
    _check(workers, count, block, unit)
    blocks = [range(first, min(first + block, count)) for first in range(0, count, block)]
    collected = _Collected(count, keep, report, unit)
    try:
        _run(workers, task, given, collected.missing(blocks), collected)
    except WorkersLostError as lost:
        msg = f"{lost}; {collected.in_words()}"
        raise SamplingError(msg) from lost
    return joined([collected.finished[each] for each in blocks])


def _check(workers: Workers, count: int, block: int, unit: str) -> None:
    """Refuse what cannot be run, naming all of it."""
    problems = [
        f"{name}: found {value}; at least 1 is needed"
        for name, value in (("count", count), ("block", block))
        if value < 1
    ]
    problems += unfit_workers(workers)
    if problems:
        raise OptionError(cannot_compute(unit), problems)


# --- Blocks as they arrive -----------------------------------------------------------------------


class _Collected:
    """Finished blocks: saved as they come, counted for whoever watches."""

    def __init__(self, count: int, keep: Keep | None, report: Report | None, unit: str) -> None:
        self.finished: dict[range, Arrays] = {}
        self.unit = unit
        self._count = count
        self._keep = keep
        self._report = report
        self._done = 0
        self._loaded = 0
        self._began = self._latest = time.monotonic()
        self._told = 0.0

    def missing(self, blocks: list[range]) -> list[range]:
        """Load what is kept, and return what is to be computed, whose time begins now."""
        for block in blocks:
            kept = self._keep.load(block) if self._keep else None
            if kept is not None:
                self._take(block, _checked(kept, block, self.unit))
        self._loaded = self._done
        self._began = time.monotonic()
        return [block for block in blocks if block not in self.finished]

    def add(self, block: range, arrays: Arrays) -> None:
        """Save a block that has just been computed."""
        if self._keep:
            self._keep.save(block, arrays)
        self._take(block, arrays)

    def _take(self, block: range, arrays: Arrays) -> None:
        self.finished[block] = arrays
        self._done += len(block)
        self._latest = time.monotonic()

    def tell(self, memory: Callable[[], int | None] = resident_memory) -> None:
        """Report, at most ten times a second."""
        now = time.monotonic()
        if self._report and (now - self._told >= LOOK_EVERY or self._done == self._count):
            self._told = now
            computed, seconds = self._done - self._loaded, self._latest - self._began
            left = _seconds_left(computed, self._count - self._done, seconds, now - self._latest)
            state = SamplingState(
                self._done,
                self._count,
                _rate(computed, seconds),
                unit=self.unit,
                seconds_left=left,
                memory=memory(),
            )
            self._report(state)

    def in_words(self) -> str:
        """Say how many are finished, and whether they are kept."""
        finished = f"{self._done} of {self._count} {self.unit} were finished"
        return f"{finished} and are kept" if self._keep else f"{finished}, and none are kept"


def _rate(finished: int, seconds: float) -> str:
    """Return a speed in words; nothing before anything is known."""
    if not finished or seconds <= 0:
        return ""
    speeds = {name: per * finished / seconds for name, per in PER.items()}
    name = next((name for name, speed in speeds.items() if speed >= 1), "an hour")
    return f"{speeds[name]:.{0 if speeds[name] >= 10 else 1}f} {name}"


def _seconds_left(computed: int, missing: int, seconds: float, since: float) -> float | None:
    """Return the time for the missing at the speed so far, counted down since the last arrived."""
    if not missing:
        return 0.0
    return max(0.0, missing * seconds / computed - since) if computed else None


def _run(
    workers: Workers, task: Task[Any], given: Any, blocks: list[range], collected: _Collected
) -> None:
    """Compute blocks; whatever ends this early, all that are finished are collected."""
    pending: dict[range, Future[Arrays]] = {}
    arrived: SimpleQueue[range] = SimpleQueue()
    collected.tell()
    if not blocks:
        return
    try:
        with opened_workers(workers, task, given, len(blocks), collected.unit) as opened:
            for block in blocks:
                pending[block] = opened.submit(block)
                pending[block].add_done_callback(_announced(block, arrived))
            while pending:
                try:
                    block = arrived.get(timeout=LOOK_EVERY)
                except Empty:
                    pass
                else:
                    collected.add(block, _checked(pending[block].result(), block, collected.unit))
                    del pending[block]
                collected.tell(opened.memory)
    except BaseException:
        for block, future in pending.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                collected.add(block, future.result())
        raise


def _announced(block: range, arrived: SimpleQueue[range]) -> Callable[[Future[Arrays]], None]:
    return lambda _: arrived.put(block)


def _checked(arrays: Arrays, block: range, unit: str) -> Arrays:
    """Refuse a block that holds another number of results."""
    for name, values in arrays.items():
        if np.shape(values)[:1] != (len(block),):
            msg = (
                f'{unit} {block.start} to {block.stop - 1}: "{name}" has shape '
                f"{np.shape(values)}; its first axis should have {len(block)} entries"
            )
            raise SamplingError(msg)
    return arrays
