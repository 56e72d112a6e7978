"""Where numbered tasks run: threads of this process, processes of this machine, a Dask cluster.

Each is opened for one task and what it is given, takes blocks of numbers, and is closed whatever
happens meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    CancelledError,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.errors import OptionError, SamplingError, quoted

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event as SharedEvent

type Arrays = dict[str, NDArray[Any]]  # the first axis of each: the numbers asked for, in order
type Task[Given] = Callable[[Given, range], Arrays]
type Submit = Callable[[range], Future[Arrays]]

PACKAGE = "bayes-cmvt"
KINDS = ("threads", "processes", "cluster")
GIVE_UP_AFTER = 1.0  # seconds that a process has to end by itself
CONNECT_WITHIN = 8.0  # seconds
WORKERS_WITHIN = 30.0  # seconds
ASK_EVERY = 2.0  # seconds: how often a cluster is asked for its memory
COULD_NOT_START = (
    "The worker processes could not start. A script must do its work below the line "
    '`if __name__ == "__main__":`, and what it hands over must be importable'
)
DEATHS = 3  # of processes that one block may cost before it is given up

# in a worker process: the task, what it is given, and whether it should stop
_assigned: ContextVar[tuple[Task[Any], Any, Event]] = ContextVar("_assigned")


@dataclass(frozen=True)
class Workers:
    """Where tasks run.

    Attributes
    ----------
    kind : {"threads", "processes", "cluster"}
        Threads of this process, processes of this machine, or a Dask cluster.
    cores : int, optional
        Threads or processes; default: one for each core. A cluster has its own.
    address : str, optional
        Scheduler of the cluster, such as ``tcp://192.168.1.4:8786``.
    """

    kind: Literal["threads", "processes", "cluster"] = "threads"
    cores: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Opened:
    """Workers that take blocks.

    Attributes
    ----------
    submit : callable
        Takes a block and returns the future of its arrays.
    memory : callable
        Returns the bytes resident in this process and in the workers, or None where the system
        does not tell.
    """

    submit: Submit
    memory: Callable[[], int | None]


class WorkersLostError(Exception):
    """Workers are gone, and blocks with them that no other can be given."""


def unfit_workers(workers: Workers) -> list[str]:
    """Name what is wrong with workers before any is opened."""
    problems = []
    if workers.cores is not None and workers.cores < 1:
        problems.append(f"cores: found {workers.cores}; at least 1 is needed")
    if workers.kind not in KINDS:
        problems.append(f'workers: found "{workers.kind}"; allowed are {quoted(KINDS)}')
    elif workers.kind == "cluster" and not workers.address:
        problems.append(
            "address: that of the cluster's scheduler is needed, such as tcp://HOST:8786"
        )
    elif workers.kind != "cluster" and workers.address:
        problems.append(f'address: found "{workers.address}", but {workers.kind} have none')
    return problems


def cannot_compute(unit: str) -> str:
    """Heading of what keeps tasks from being computed."""
    return f"The {unit} cannot be computed"


@contextmanager
def opened_workers(
    workers: Workers, task: Task[Any], given: Any, blocks: int, unit: str
) -> Iterator[Opened]:
    """Open workers, and close them when the blocks are done or anything is raised meanwhile."""
    cores = min(workers.cores or os.cpu_count() or 1, blocks)
    if workers.kind == "threads":
        opened = _threads(task, given, cores)
    elif workers.kind == "processes":
        opened = _processes(task, given, cores)
    else:
        opened = _cluster(task, given, str(workers.address), cannot_compute(unit))
    with opened as workers_at_work:
        yield workers_at_work


def compute_block(task: Task[Any], given: Any, block: range, stopped: Event) -> Arrays:
    """Compute the tasks of a block, one at a time."""
    parts = []
    for number in block:
        if stopped.is_set():
            raise CancelledError
        parts.append(task(given, range(number, number + 1)))
    return joined(parts)


def joined(parts: list[Arrays]) -> Arrays:
    """Put results one after the other; all must have the same names."""
    odd = [names for names in map(set, parts) if names != set(parts[0])]
    if odd:
        msg = (
            f"Results have different names: {quoted(sorted(parts[0]))} and {quoted(sorted(odd[0]))}"
        )
        raise SamplingError(msg)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _limit_blas() -> Any:
    """Give BLAS one thread: the last bit of a product depends on how many share it."""
    import scipy.linalg  # noqa: F401 - brings the BLAS that is limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def resident_memory(others: Iterable[int] = ()) -> int | None:
    """Bytes resident in this process and in others, known by their numbers.

    Pages that processes share are counted in each. An ended process has none.

    Returns
    -------
    int or None
        None where the system has no ``/proc`` that tells.
    """
    own = _resident("self")
    return None if own is None else own + sum(_resident(str(one)) or 0 for one in others)


def _resident(process: str) -> int | None:
    try:
        pages = Path("/proc", process, "statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _threads(task: Task[Any], given: Any, cores: int) -> Iterator[Opened]:
    stopped = Event()
    with _limit_blas(), ThreadPoolExecutor(cores) as pool:
        try:
            yield Opened(
                lambda block: pool.submit(compute_block, task, given, block, stopped),
                resident_memory,
            )
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


# --- Processes -----------------------------------------------------------------------------------


@contextmanager
def _processes(task: Task[Any], given: Any, cores: int) -> Iterator[Opened]:
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)  # a worker that reads a script without a guard; its parent finds the words
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    heard, told = context.Pipe(duplex=False)
    stopped, starting = Event(), Lock()

    def pool_of_one() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, context, _begin, (task, given, began, heard))

    processes = [_Process(pool_of_one, began, starting, stopped) for _ in range(cores)]
    idle: SimpleQueue[_Process] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def compute(block: range) -> Arrays:
        process = idle.get()
        try:
            return process.compute(block)
        finally:
            idle.put(process)

    with heard, told, ThreadPoolExecutor(cores) as attending:
        try:
            yield Opened(lambda block: attending.submit(compute, block), _memory_of_processes)
        except BaseException:
            stopped.set()
            told.send(None)
            attending.shutdown(cancel_futures=True)
            raise
        finally:
            with ThreadPoolExecutor(cores) as ending:
                list(ending.map(_Process.end, processes))


def _memory_of_processes() -> int | None:
    children = [process.pid for process in multiprocessing.active_children()]
    return resident_memory(one for one in children if one is not None)


class _Process:
    """A worker process, replaced when it dies: its pool of one breaks, all the others go on.

    Parameters
    ----------
    opened : callable
        Makes a pool of one process.
    began : Event
        That some process could start.
    starting : Lock
        Processes are started one at a time.
    stopped : Event
        That nothing more is to be computed.
    """

    def __init__(
        self,
        opened: Callable[[], ProcessPoolExecutor],
        began: SharedEvent,
        starting: Lock,
        stopped: Event,
    ) -> None:
        self._opened = opened
        self._pool = opened()
        self._began = began
        self._starting = starting
        self._stopped = stopped

    def compute(self, block: range) -> Arrays:
        """Compute a block, again where the process dies meanwhile, but not for ever."""
        for _ in range(DEATHS):
            if self._stopped.is_set():
                raise CancelledError
            try:
                with self._starting, _interrupt_held():
                    answer = self._pool.submit(_in_process, block)
                return answer.result()
            except BrokenProcessPool as error:
                if not self._began.is_set():
                    raise WorkersLostError(COULD_NOT_START) from error
                self.end()
                self._pool = self._opened()
        msg = f"One block ended {DEATHS} worker processes (out of memory, or killed)"
        raise WorkersLostError(msg)

    def end(self) -> None:
        """Wait until the process has ended."""
        self._pool.shutdown()


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Start processes that no Ctrl-C reaches: their parent is the one who stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(task: Task[Any], given: Any, began: SharedEvent, heard: Connection) -> None:
    """Prepare a worker process."""
    began.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopped = Event()
    Thread(target=_end_when_told, args=(heard, stopped), daemon=True).start()
    _limit_blas()
    _assigned.set((task, given, stopped))


def _end_when_told(heard: Connection, stopped: Event) -> None:
    """End this process when its parent says so or is there no more."""
    heard.poll(None)
    stopped.set()
    time.sleep(GIVE_UP_AFTER)  # an answer on its way arrives: half of one would block the parent
    os._exit(1)


def _in_process(block: range) -> Arrays:
    task, given, stopped = _assigned.get()
    return compute_block(task, given, block, stopped)


# --- Dask ----------------------------------------------------------------------------------------


@contextmanager
def _cluster(task: Task[Any], given: Any, address: str, heading: str) -> Iterator[Opened]:
    try:
        import distributed  # noqa: F401 - an extra that may be missing
    except ImportError as error:
        problem = "a cluster needs the package distributed: install bayes-cmvt[cluster]"
        raise OptionError(heading, [problem]) from error
    with _quiet(), _connected(address, heading) as client:
        name = f"bayes_cmvt-{uuid4().hex}"
        waiting: list[tuple[Any, Future[Arrays]]] = []
        reported = _Reported(client)

        def submit(block: range) -> Future[Arrays]:
            key = (name, block.start)
            answer = client.submit(_on_cluster, task, held, block, key=key, pure=False)
            heard = asyncio.run_coroutine_threadsafe(_heard(answer), client.loop.asyncio_loop)
            waiting.append((answer, heard))
            return heard

        try:
            held = _handed_out(client, given)
            yield Opened(submit, reported.memory)
        except Exception as error:
            reason = _loss(error, address)
            if reason:
                raise WorkersLostError(reason) from error
            raise
        finally:
            reported.forget()
            on_the_way = [heard for answer, heard in waiting if answer.status == "finished"]
            wait(on_the_way, timeout=GIVE_UP_AFTER)


@contextmanager
def _connected(address: str, heading: str) -> Iterator[Any]:
    """Connect to a scheduler that has workers fit for our tasks."""
    from distributed import Client
    from distributed.comm import get_address_host_port

    try:
        get_address_host_port(address)
    except ValueError as error:
        problem = f'address: found "{address}"; expected such as tcp://HOST:8786 ({error})'
        raise OptionError(heading, [problem]) from error
    uncertified = _uncertified(address)
    if uncertified:
        raise OptionError(heading, [uncertified])
    try:
        with ThreadPoolExecutor(1) as elsewhere:  # a notebook's thread has a loop that runs
            elsewhere.submit(asyncio.run, _greeted(address)).result()
        client = Client(address, timeout=CONNECT_WITHIN, set_as_default=False)
    except Exception as error:  # what else may listen there answers with anything
        problem = f"address: no scheduler answers at {address} within {CONNECT_WITHIN:g} seconds"
        raise OptionError(heading, [problem]) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WITHIN)
        except TimeoutError as error:
            problem = f"address: {address} has had no workers for {WORKERS_WITHIN:g} seconds"
            raise OptionError(heading, [problem]) from error
        problems = _unlike(client.get_versions(packages=[PACKAGE]))
        if problems:
            raise OptionError(heading, problems)
        yield client


async def _greeted(address: str) -> None:
    """Exchange greetings and part: a client whose greeting fails cannot be closed either."""
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=CONNECT_WITHIN, **arguments)
    await comm.close()


def _uncertified(address: str) -> str:
    """Say what an encrypted connection lacks: Dask itself would say so in its own words."""
    from distributed.security import Security

    security = Security()
    encrypted = address.startswith("tls://")
    if encrypted and security.get_connection_args("client").get("ssl_context") is None:
        return (
            f"address: {address} needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "…__TLS__CLIENT__CERT and …__TLS__CLIENT__KEY"
        )
    if security.require_encryption and not encrypted:
        return f'address: found "{address}"; Dask is told to require encryption, as tls://HOST:8786'
    return ""


def _unlike(versions: dict[str, Any]) -> list[str]:
    """Name a scheduler or workers whose bayes-cmvt is another: their numbers may differ."""
    ours, scheduler = (versions[one]["packages"][PACKAGE] for one in ("client", "scheduler"))
    theirs = {"scheduler": scheduler} | {
        f"worker {worker}": told["packages"][PACKAGE]
        for worker, told in versions["workers"].items()
    }
    return [
        f"{where}: {PACKAGE} is {found or 'not installed'}; {ours} is needed, as here"
        for where, found in theirs.items()
        if found != ours
    ]


def _handed_out(client: Any, given: Any) -> Any:
    """Send to every worker what tasks are given; unlike scattered data it outlives all workers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        held = client.submit(_itself, given, pure=False)
    error = held.exception()
    if error is not None:
        raise error
    client.replicate(held)
    return held


def _loss(error: Exception, address: str) -> str:
    """Say what became of a cluster's workers; nothing where the task itself raised the error."""
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    for one in (error, error.__cause__):
        if isinstance(one, ModuleNotFoundError):
            return f'The scheduler or a worker of {address} lacks the package "{one.name}"'
    if isinstance(error, KilledWorker):
        deaths = error.allowed_failures + 1
        return f"One block ended {deaths} workers of the cluster (out of memory?)"
    if isinstance(error, (CancelledError, CommClosedError)):
        return f"The cluster at {address} gave the work up, or is there no more"
    return ""


class _Reported:
    """Memory of a cluster's workers as they report it: asked for now and then, never waited for."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._asked = -math.inf
        self._answer: Future[int] | None = None
        self._latest: int | None = None

    def memory(self) -> int | None:
        """Bytes of this process and of the workers; None before they have reported."""
        if self._answer is not None and self._answer.done():
            if not self._answer.cancelled() and self._answer.exception() is None:
                self._latest = self._answer.result()
            self._answer = None
        if self._answer is None and time.monotonic() - self._asked >= ASK_EVERY:
            self._asked = time.monotonic()
            loop = self._client.loop.asyncio_loop
            self._answer = asyncio.run_coroutine_threadsafe(self._ask(), loop)
        own = resident_memory()
        return None if own is None or self._latest is None else own + self._latest

    async def _ask(self) -> int:
        told = await self._client.scheduler.identity(n_workers=-1)
        return sum(int(worker["metrics"].get("memory", 0)) for worker in told["workers"].values())

    def forget(self) -> None:
        """Leave a question that is on its way."""
        if self._answer is not None:
            self._answer.cancel()


async def _heard(answer: Any) -> Arrays:
    """Fetch an answer and release it: what is not, dies with its worker and is computed again."""
    arrays = cast("Arrays", await answer)
    answer.release()
    return arrays


def _itself(given: Any) -> Any:
    return given


def _on_cluster(task: Task[Any], given: Any, block: range) -> Arrays:
    _limit_blas()
    return compute_block(task, given, block, Event())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log away meanwhile: what matters of it is raised."""
    families = ("distributed", "tornado", "asyncio")
    known = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in families]
    loggers = [logging.getLogger(name) for name in known]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
