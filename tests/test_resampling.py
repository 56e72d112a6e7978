"""Same numbers wherever tasks run, and no finished block is ever lost."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from bayes_cmvt import resampling
from bayes_cmvt import workers as where
from bayes_cmvt.errors import OptionError, SamplingError
from bayes_cmvt.progress import SamplingState
from bayes_cmvt.resampling import Keep, run_blocks
from bayes_cmvt.workers import Arrays, Workers

ROOT = Path(__file__).parents[1]
PROCESSES = Workers("processes", cores=2)
WITHIN = 30  # seconds: how long a test waits for another process before it gives up


# --- Tasks, importable in workers ----------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What the tasks below are given."""

    entropy: int = 5
    seconds: float = 0.0  # that each task takes
    calls: Path | None = None  # file to which each call adds its number and process
    flag: Path | None = None  # made by the first task that kills its process, and ends that


def draw(given: Given, numbers: range) -> Arrays:
    """Numbers of a stream of the task's own, and a product whose last bits depend on threads."""
    if given.calls:
        with given.calls.open("a") as file:
            file.writelines(f"{number} {os.getpid()}\n" for number in numbers)
    time.sleep(given.seconds * len(numbers))
    drawn = [
        np.random.default_rng(np.random.SeedSequence(given.entropy, spawn_key=(k,))).normal(
            size=(160, 160)
        )
        for k in numbers
    ]
    return {
        "number": np.array(numbers),
        "corner": np.array([rows[:2, :3] for rows in drawn]),
        "length": np.array([rows.ravel() @ rows.ravel() for rows in drawn]),
    }


def refuse_thirty(given: Given, numbers: range) -> Arrays:
    if 30 in numbers:
        raise ZeroDivisionError("thirty")  # noqa: EM101 - as a task's own error looks
    return draw(given, numbers)


def die_at_thirty(given: Given, numbers: range) -> Arrays:
    if 30 in numbers and not (given.flag and given.flag.exists()):
        if given.flag:
            given.flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(given, numbers)


def want_a_package(given: Given, numbers: range) -> Arrays:
    import a_package_that_is_nowhere  # type: ignore[import-not-found]

    return dict(a_package_that_is_nowhere.of(given, numbers))


def twice_too_many(given: Given, numbers: range) -> Arrays:
    return {"number": np.array([*numbers, *numbers])}


def named_by_parity(given: Given, numbers: range) -> Arrays:
    return {f"name{numbers.start % 2}": np.array(numbers)}


# --- What the tests share ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes import this module: they are given this process's path."""
    monkeypatch.syspath_prepend(str(ROOT))


def in_memory(kept: dict[range, Arrays]) -> Keep:
    return Keep(kept.get, kept.__setitem__)


def on_disk(folder: Path) -> Keep:
    def path(block: range) -> Path:
        return folder / f"{block.start}-{block.stop}.npz"

    def load(block: range) -> Arrays | None:
        if not path(block).exists():
            return None
        with np.load(path(block)) as file:
            return dict(file)

    def save(block: range, arrays: Arrays) -> None:
        with (folder / "unfinished").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        (folder / "unfinished").replace(path(block))

    return Keep(load, save)


def expected(count: int) -> Arrays:
    """Compute in one call what the executor is to give."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return draw(Given(), range(count))


def assert_same(found: Arrays, count: int) -> None:
    wanted = expected(count)
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def calls_in(file: Path) -> tuple[list[int], set[int]]:
    """Return the numbers that tasks were called for, and the processes that they ran in."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return [int(number) for number, _ in rows], {int(process) for _, process in rows}


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_running(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def is_gone(group: int) -> bool:
    """Whether no process is left of those that a Ctrl-C in their terminal would reach."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


# --- In this process -----------------------------------------------------------------------------


@pytest.mark.parametrize(("cores", "block"), [(1, 25), (2, 25), (2, 7), (2, 1), (3, 1000)])
def test_threads_give_what_one_call_gives(cores: int, block: int) -> None:
    assert_same(run_blocks(draw, Given(), 60, workers=Workers(cores=cores), block=block), 60)


def test_what_is_kept_is_not_computed_again(tmp_path: Path) -> None:
    keep = on_disk(tmp_path)
    run_blocks(draw, Given(), 30, keep=keep, block=10)
    (tmp_path / "10-20.npz").unlink()
    given = Given(calls=tmp_path / "calls")
    assert_same(run_blocks(draw, given, 45, keep=keep, block=10), 45)
    numbers, _ = calls_in(tmp_path / "calls")
    assert sorted(numbers) == [*range(10, 20), *range(30, 45)]
    given.calls.unlink()  # type: ignore[union-attr]
    assert_same(run_blocks(draw, given, 45, keep=keep, block=10), 45)
    assert not (tmp_path / "calls").exists()


def test_report_counts_tasks_and_those_kept_at_once() -> None:
    states: list[SamplingState] = []
    kept: dict[range, Arrays] = {}
    run_blocks(draw, Given(), 20, keep=in_memory(kept), block=10)
    run_blocks(
        draw,
        Given(seconds=0.01),
        60,
        keep=in_memory(kept),
        block=10,
        report=states.append,
        unit="data sets",
    )
    assert replace(states[0], memory=None) == SamplingState(20, 60, unit="data sets")
    assert states[-1].finished == states[-1].total == 60
    assert states[-1].seconds_left == 0
    assert re.fullmatch(r"\d+(\.\d)? a second", states[-1].details)
    finished = [state.finished for state in states]
    assert finished == sorted(finished)


@pytest.mark.parametrize(
    ("finished", "seconds", "words"),
    [
        (0, 5.0, ""),
        (830, 10.0, "83 a second"),
        (21, 10.0, "2.1 a second"),
        (2, 10.0, "12 a minute"),
        (1, 600.0, "6.0 an hour"),
    ],
)
def test_rate_in_words(finished: int, seconds: float, words: str) -> None:
    assert resampling._rate(finished, seconds) == words


@pytest.mark.parametrize(
    ("computed", "missing", "seconds", "since", "left"),
    [
        (0, 60, 5.0, 5.0, None),
        (20, 60, 10.0, 0.0, 30.0),
        (20, 60, 10.0, 12.0, 18.0),  # counted down since the last block came
        (20, 10, 10.0, 12.0, 0.0),
        (20, 0, 10.0, 0.0, 0.0),
        (0, 0, 0.0, 0.0, 0.0),  # all of it was kept
    ],
)
def test_time_left_is_that_of_the_missing_at_the_speed_so_far(
    computed: int, missing: int, seconds: float, since: float, left: float | None
) -> None:
    assert resampling._seconds_left(computed, missing, seconds, since) == left


def test_time_left_knows_nothing_of_what_an_earlier_run_computed() -> None:
    """Of 90 tasks 50 are kept; each of the others takes 10 ms or more in one thread."""
    states: list[SamplingState] = []
    kept: dict[range, Arrays] = {}
    run_blocks(draw, Given(), 50, keep=in_memory(kept), block=5)
    given, one = Given(seconds=0.01), Workers(cores=1)
    run_blocks(draw, given, 90, workers=one, keep=in_memory(kept), block=5, report=states.append)
    assert (states[0].finished, states[0].seconds_left) == (50, None)
    known = [state for state in states if state.seconds_left is not None]
    first = known[0]
    assert first.seconds_left is not None
    # the kept would make it a tenth of that; told as soon as the block is there
    assert first.seconds_left >= 0.009 * (first.total - first.finished)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_memory_is_what_this_process_holds() -> None:
    held = np.ones(25_000_000)
    with_it = where.resident_memory() or 0
    del held
    without = where.resident_memory() or 0
    assert with_it - without == pytest.approx(200_000_000, rel=0.2)


def test_memory_of_a_process_that_has_ended_is_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own, both = where.resident_memory(), where.resident_memory([ended.pid])
    assert (own is None) == (both is None)
    assert both == pytest.approx(own, rel=0.05)


def test_what_a_watcher_raises_stops_the_run_and_finished_blocks_are_kept() -> None:
    kept: dict[range, Arrays] = {}

    def watch(state: SamplingState) -> None:
        if state.finished:
            raise EOFError

    given = Given(seconds=0.01)
    with pytest.raises(EOFError):
        run_blocks(draw, given, 1000, keep=in_memory(kept), block=5, report=watch)
    assert 1 <= len(kept) < 200


def test_a_block_whose_saving_is_interrupted_is_saved_all_the_same() -> None:
    kept: dict[range, Arrays] = {}

    def save(block: range, arrays: Arrays) -> None:
        if not kept and not interrupted:
            interrupted.append(block)
            raise KeyboardInterrupt
        kept[block] = arrays

    interrupted: list[range] = []
    with pytest.raises(KeyboardInterrupt):
        run_blocks(draw, Given(seconds=0.01), 200, keep=Keep(kept.get, save), block=5)
    assert interrupted[0] in kept


def test_what_is_raised_while_saving_propagates() -> None:
    def save(block: range, arrays: Arrays) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_blocks(draw, Given(), 100, keep=Keep(lambda _: None, save), block=5)


def test_a_block_of_another_size_is_refused() -> None:
    with pytest.raises(SamplingError, match=r'resamples 0 to 4: "number" has shape \(10,\)'):
        run_blocks(twice_too_many, Given(), 10, block=5)
    kept = Keep(lambda _: {"number": np.arange(3)}, lambda *_: None)
    with pytest.raises(SamplingError, match="its first axis should have 5 entries"):
        run_blocks(draw, Given(), 10, keep=kept, block=5)


def test_results_of_different_names_are_refused() -> None:
    with pytest.raises(SamplingError, match='different names: "name0" and "name1"'):
        run_blocks(named_by_parity, Given(), 10, block=5)


def test_all_that_is_impossible_is_named_at_once() -> None:
    with pytest.raises(OptionError, match="The data sets cannot be computed: 4") as caught:
        run_blocks(
            draw,
            Given(),
            0,
            block=0,
            workers=Workers("clusters", cores=0),  # type: ignore[arg-type]
            unit="data sets",
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "count",
        "block",
        "cores",
        "workers",
    ]
    with pytest.raises(OptionError, match="address: that of the cluster's scheduler"):
        run_blocks(draw, Given(), 1, workers=Workers("cluster"))
    with pytest.raises(OptionError, match='found "tcp://a:1", but threads have none'):
        run_blocks(draw, Given(), 1, workers=Workers(address="tcp://a:1"))


# --- Processes -----------------------------------------------------------------------------------


def test_processes_give_what_one_call_gives_and_their_memory_counts() -> None:
    """A process with numpy has 20 MB or more."""
    states: list[SamplingState] = []
    alone = where.resident_memory()
    found = run_blocks(draw, Given(), 60, workers=PROCESSES, block=8, report=states.append)
    assert_same(found, 60)
    told = [state.memory for state in states if state.memory is not None]
    assert alone is None or max(told) > alone + 2 * 20_000_000


@pytest.mark.parametrize("workers", [Workers(cores=2), PROCESSES], ids=["threads", "processes"])
def test_error_of_a_task_keeps_its_type_and_finished_blocks_are_kept(workers: Workers) -> None:
    kept: dict[range, Arrays] = {}
    with pytest.raises(ZeroDivisionError, match="thirty"):
        run_blocks(refuse_thirty, Given(), 500, workers=workers, keep=in_memory(kept), block=10)
    assert 2 <= len(kept) < 49  # two workers: before the fourth block begins, two are finished
    for block, arrays in kept.items():
        np.testing.assert_array_equal(arrays["number"], block)


def test_a_block_that_ends_process_after_process_is_named_with_what_is_kept() -> None:
    kept: dict[range, Arrays] = {}
    said = r"One block ended 3 worker processes .*; (\d+) of 500 resamples were finished and are"
    with pytest.raises(SamplingError, match=said) as caught:
        run_blocks(die_at_thirty, Given(), 500, workers=PROCESSES, keep=in_memory(kept), block=10)
    number = re.search(r"(\d+) of 500", str(caught.value))
    assert number is not None
    assert int(number[1]) == 10 * len(kept) >= 20


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.test_resampling import PROCESSES, Given, draw, run_blocks\n"
        "run_blocks(draw, Given(), 50, workers=PROCESSES)\n"
    )
    ended = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert ended.stderr.count('below the line `if __name__ == "__main__":`') == 2  # and its cause
    assert "bootstrapping" not in ended.stderr


# --- Interrupted and resumed ---------------------------------------------------------------------

RUN = """
import os, signal, sys
from pathlib import Path
from tests.test_resampling import Given, Workers, draw, on_disk, run_blocks
signal.signal(signal.SIGINT, signal.default_int_handler)
kind, folder = sys.argv[1], Path(sys.argv[2])
given = Given(seconds=float(sys.argv[3]), calls=folder / "calls")
states = []
def watch(state):
    states.append(state)
    if len(states) == 2 and sys.argv[4:]:  # the processes have just been started
        os.killpg(0, signal.SIGINT)
try:
    run_blocks(
        draw, given, 400, workers=Workers(kind, 2), keep=on_disk(folder), block=10, report=watch
    )
except KeyboardInterrupt:
    print("interrupted")
"""


def started(kind: str, folder: Path, seconds: float, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, kind, str(folder), str(seconds), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_ctrl_c_keeps_finished_blocks_and_leaves_no_process(kind: str, tmp_path: Path) -> None:
    process = started(kind, tmp_path, 0.01)
    wait_until(lambda: len(list(tmp_path.glob("*.npz"))) >= 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    output, errors = process.communicate(timeout=WITHIN)
    assert (output, errors) == ("interrupted\n", "")
    numbers, processes = calls_in(tmp_path / "calls")
    assert not any(map(is_running, processes))
    blocks = sorted(int(path.stem.split("-")[0]) for path in tmp_path.glob("*.npz"))
    finished = [first for first in range(0, 400, 10) if set(range(first, first + 10)) <= {*numbers}]
    assert blocks == finished
    assert 3 <= len(blocks) < 40


def test_ctrl_c_ends_processes_that_are_in_a_long_task(tmp_path: Path) -> None:
    process = started("processes", tmp_path, 600.0)
    calls = tmp_path / "calls"
    wait_until(lambda: calls.exists() and len(calls_in(calls)[0]) == 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=WITHIN) == ("interrupted\n", "")
    assert not any(map(is_running, calls_in(calls)[1]))


def test_ctrl_c_ends_threads_before_their_next_task(tmp_path: Path) -> None:
    process = started("threads", tmp_path, 1.0)
    calls = tmp_path / "calls"
    wait_until(lambda: calls.exists() and len(calls_in(calls)[0]) >= 2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WITHIN) == ("interrupted\n", "")
    assert len(calls_in(calls)[0]) < 10  # of the 20 in the two blocks that had begun


def test_ctrl_c_while_processes_start_says_nothing_else(tmp_path: Path) -> None:
    process = started("processes", tmp_path, 600.0, "at once")
    assert process.communicate(timeout=WITHIN) == ("interrupted\n", "")
    wait_until(lambda: is_gone(process.pid))


def test_a_killed_run_leaves_no_process_and_resumes_with_what_is_missing(tmp_path: Path) -> None:
    process = started("processes", tmp_path, 0.01)
    wait_until(lambda: len(list(tmp_path.glob("*.npz"))) >= 3)
    process.kill()
    process.communicate()
    _, processes = calls_in(tmp_path / "calls")
    wait_until(lambda: not any(map(is_running, processes)))
    (tmp_path / "calls").unlink()
    saved = [path.name for path in tmp_path.glob("*.npz")]
    assert 3 <= len(saved) < 40
    given = Given(calls=tmp_path / "calls")
    assert_same(run_blocks(draw, given, 400, keep=on_disk(tmp_path), block=10), 400)
    numbers, _ = calls_in(tmp_path / "calls")
    assert len(numbers) == len(set(numbers)) == 400 - 10 * len(saved)


# --- Dask ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """A scheduler in a process of its own, to which workers come."""

    address: str
    scheduler: subprocess.Popen[bytes]

    @property
    def workers(self) -> Workers:
        return Workers("cluster", address=self.address)


def dask_process(what: str, *arguments: str, path: Path = ROOT) -> subprocess.Popen[bytes]:
    shared = {
        "PYTHONPATH": f"{path}{os.pathsep}{ROOT}",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *arguments],
        env=os.environ | shared,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(WITHIN)


@pytest.fixture(scope="module")
def bare_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler without workers."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    process = dask_process("scheduler", "--port", "0", "--scheduler-file", str(file))
    try:
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        yield Cluster(json.loads(file.read_text())["address"], process)
    finally:
        ended(process)


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Iterator[Cluster]:
    """Two workers, each replaced when it dies."""
    workers = dask_process("worker", bare_cluster.address, "--nworkers", "2", "--nthreads", "1")
    try:
        yield bare_cluster
    finally:
        ended(workers)


def worker_processes(cluster: Cluster, number: int) -> list[int]:
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=WITHIN)
        return list(client.run(os.getpid).values())


@pytest.mark.cluster
def test_a_cluster_without_workers_and_one_with_other_versions_are_named(
    bare_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(where, "WORKERS_WITHIN", 0.2)
    with pytest.raises(OptionError, match="has had no workers for"):
        run_blocks(draw, Given(), 5, workers=bare_cluster.workers)
    monkeypatch.undo()
    metadata = tmp_path / "bayes_cmvt-0.0.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: bayes-cmvt\nVersion: 0.0.9\n")
    worker = dask_process("worker", bare_cluster.address, "--no-nanny", path=tmp_path)
    try:
        with pytest.raises(OptionError, match=r"worker tcp.*: bayes-cmvt is 0\.0\.9; "):
            run_blocks(draw, Given(), 5, workers=bare_cluster.workers)
    finally:
        ended(worker)


@pytest.mark.cluster
def test_a_cluster_gives_what_one_call_gives_and_logs_as_before(cluster: Cluster) -> None:
    worker_processes(cluster, 2)  # imports distributed, which sets its log's levels
    levels = {name: logging.getLogger(name).level for name in ("distributed", "distributed.client")}
    assert_same(run_blocks(draw, Given(), 60, workers=cluster.workers, block=8), 60)
    assert levels == {name: logging.getLogger(name).level for name in levels}


@pytest.mark.cluster
@pytest.mark.parametrize("deaths", [1, 2])
def test_workers_killed_midway_change_no_number(cluster: Cluster, deaths: int) -> None:
    doomed = worker_processes(cluster, 2)[:deaths]
    kept: dict[range, Arrays] = {}

    def kill(state: SamplingState) -> None:
        while doomed and state.finished >= 30:
            os.kill(doomed.pop(), signal.SIGKILL)

    found = run_blocks(
        draw,
        Given(seconds=0.01),
        120,
        workers=cluster.workers,
        keep=in_memory(kept),
        block=5,
        report=kill,
    )
    assert not doomed
    assert_same(found, 120)
    assert len(kept) == 24


@pytest.mark.cluster
def test_a_block_that_kills_every_worker_is_named_with_what_is_kept(cluster: Cluster) -> None:
    kept: dict[range, Arrays] = {}
    said = r"One block ended 2 workers .* of 100 resamples were finished and are kept"
    with pytest.raises(SamplingError, match=said):
        run_blocks(
            die_at_thirty,
            Given(),
            100,
            workers=cluster.workers,
            keep=in_memory(kept),
            block=5,
        )
    assert kept
    assert range(30, 35) not in kept


@pytest.mark.cluster
def test_error_of_a_task_on_a_cluster_keeps_its_type(cluster: Cluster) -> None:
    kept: dict[range, Arrays] = {}
    with pytest.raises(ZeroDivisionError, match="thirty"):
        run_blocks(
            refuse_thirty, Given(), 500, workers=cluster.workers, keep=in_memory(kept), block=10
        )
    assert kept


@pytest.mark.cluster
def test_a_package_that_a_worker_lacks_is_named(cluster: Cluster) -> None:
    said = 'lacks the package "a_package_that_is_nowhere"; 0 of 9 resamples were finished, and none'
    with pytest.raises(SamplingError, match=said):
        run_blocks(want_a_package, Given(), 9, workers=cluster.workers)


@pytest.mark.cluster
def test_a_task_that_a_cluster_cannot_import_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "known_here_alone.py").write_text("def task(given, numbers):\n    return {}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import known_here_alone  # type: ignore[import-not-found]

    with pytest.raises(SamplingError, match='lacks the package "known_here_alone"'):
        run_blocks(known_here_alone.task, Given(), 9, workers=cluster.workers)
    with pytest.raises(SamplingError, match='lacks the package "known_here_alone"'):
        run_blocks(draw, known_here_alone.task, 9, workers=cluster.workers)


@pytest.mark.cluster
def test_ctrl_c_on_a_cluster_keeps_finished_blocks(cluster: Cluster) -> None:
    kept: dict[range, Arrays] = {}

    def interrupt(state: SamplingState) -> None:
        if state.finished >= 10:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_blocks(
                draw,
                Given(seconds=0.01),
                1000,
                workers=cluster.workers,
                keep=in_memory(kept),
                block=5,
                report=interrupt,
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert 2 <= len(kept) < 200


@pytest.mark.cluster
def test_what_tasks_are_given_may_be_large(cluster: Cluster) -> None:
    large: Any = {"entropy": np.zeros(2_000_000)}  # 16 MB: Dask would warn above 10
    found = run_blocks(only_the_size, large, 4, workers=cluster.workers, block=2)
    assert found["size"].tolist() == [2_000_000] * 4


def only_the_size(given: dict[str, Any], numbers: range) -> Arrays:
    return {"size": np.array([given["entropy"].size for _ in numbers])}


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "no scheduler answers at tcp://127.0.0.1:1 within 0.3 seconds"),
        ("somewhere", 'found "somewhere"; expected such as tcp://HOST:8786'),
        ("ssh://somewhere:1", 'found "ssh://somewhere:1"; expected such as'),
    ],
)
def test_an_unreachable_cluster_is_named_and_nothing_else_is_said(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(where, "CONNECT_WITHIN", 0.3)
    with pytest.raises(OptionError, match=re.escape(said)):
        run_blocks(draw, Given(), 5, workers=Workers("cluster", address=address))
    assert not caplog.records


@pytest.mark.cluster
def test_a_port_where_something_else_answers_has_no_scheduler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As that of Dask's own dashboard: an answer that means nothing to a client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
                connection.recv(1000)

        listening = Thread(target=answer)
        listening.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OptionError, match=f"no scheduler answers at {address}"):
            run_blocks(draw, Given(), 5, workers=Workers("cluster", address=address))
        listening.join()
    assert not caplog.records


@pytest.mark.cluster
def test_an_encrypted_cluster_without_certificates_is_named() -> None:
    import dask

    with pytest.raises(OptionError, match=r"tls://127\.0\.0\.1:1 needs certificates: set DASK_"):
        run_blocks(draw, Given(), 5, workers=Workers("cluster", address="tls://127.0.0.1:1"))
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(OptionError, match=r'found "tcp://127\.0\.0\.1:1"; Dask is told to require'),
    ):
        run_blocks(draw, Given(), 5, workers=Workers("cluster", address="tcp://127.0.0.1:1"))


def test_a_cluster_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r"install bayes-cmvt\[cluster\]"):
        run_blocks(draw, Given(), 5, workers=Workers("cluster", address="tcp://127.0.0.1:1"))


@pytest.mark.cluster
def test_a_scheduler_that_dies_is_named_with_what_is_kept(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The last test of the file: nothing is left of the cluster."""
    kept: dict[range, Arrays] = {}

    def kill(state: SamplingState) -> None:
        if state.finished >= 10:
            cluster.scheduler.kill()

    said = r"The cluster at tcp.* gave the work up.* of 1000 resamples were finished and are kept"
    with pytest.raises(SamplingError, match=said):
        run_blocks(
            draw,
            Given(seconds=0.01),
            1000,
            workers=cluster.workers,
            keep=in_memory(kept),
            block=5,
            report=kill,
        )
    assert len(kept) >= 2
    assert not caplog.records
