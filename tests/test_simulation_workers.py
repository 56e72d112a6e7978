"""Whole fits on workers of every kind: the same numbers, and a worker that dies costs its block."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bayes_cmvt.progress import SamplingState
from bayes_cmvt.resampling import run_blocks
from bayes_cmvt.workers import Arrays, Workers
from tests import test_resampling as shared

if TYPE_CHECKING:
    from bayes_cmvt.priors import CoefficientPrior

Cluster = shared.Cluster
# fixtures
importable, bare_cluster, cluster = shared.importable, shared.bare_cluster, shared.cluster


# --- The same numbers ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """How large the data sets are, and how long their chains."""

    patients: int = 60
    columns: int = 4
    draws: int = 40


def fit_both(asked: Asked, numbers: range) -> Arrays:
    """Fit the data set of each number by the Gibbs sampler and by the published workflow."""
    fits = [fit_one(asked, number) for number in numbers]
    return {name: np.stack([fit[name] for fit in fits]) for name in fits[0]}


def fit_one(asked: Asked, number: int) -> Arrays:
    """One data set; what is imported here is not imported by processes of the other tests."""
    from bayes_cmvt.pipeline import Patients, run_pipeline
    from bayes_cmvt.refits import Refit, RefitLength, refit_draws
    from bayes_cmvt.schema import Baseline

    of_data, of_chains, of_folds = np.random.SeedSequence(8, spawn_key=(number,)).spawn(3)
    rng = np.random.default_rng(of_data)
    matrix = rng.normal(size=(asked.patients, asked.columns))
    outcome = (rng.random(asked.patients) < 1 / (1 + np.exp(-matrix[:, 0]))).astype(np.int8)
    refit = Refit(matrix, outcome, horseshoe(asked), matrix[:1], of_chains)
    draws = refit_draws(refit, RefitLength(chains=2, warmup=20, draws=asked.draws))
    patients = Patients(matrix, outcome, np.arange(asked.columns))
    fit = run_pipeline(patients, Baseline(p_enter=1.0), of_folds)
    assert fit.risk is not None
    return {"beta": draws.beta, "coefficients": fit.risk.coefficients}


def horseshoe(asked: Asked) -> CoefficientPrior:
    from bayes_cmvt.priors import CoefficientPrior

    none = np.full(asked.columns, np.nan)
    return CoefficientPrior(
        family="regularized-horseshoe",
        shrunk=np.ones(asked.columns, dtype=bool),
        own_mean=none,
        own_sd=none,
        global_scale=0.2,
        slab_scale=2.0,
        slab_df=4.0,
        scale=2.5,
        df=4.0,
        intercept_family="student-t",
        intercept_scale=2.5,
        n=asked.patients,
        pseudo_sd=2.0,
    )


@pytest.fixture(scope="module")
def in_threads() -> Arrays:
    return run_blocks(fit_both, Asked(), 12, workers=Workers(cores=2), block=3)


@pytest.mark.slow
def test_processes_give_the_fits_that_threads_give(in_threads: Arrays) -> None:
    found = run_blocks(fit_both, Asked(), 12, workers=shared.PROCESSES, block=5)
    assert_identical(found, in_threads)


@pytest.mark.cluster
def test_a_cluster_gives_the_fits_that_threads_give(in_threads: Arrays, cluster: Cluster) -> None:
    found = run_blocks(fit_both, Asked(), 12, workers=cluster.workers, block=4)
    assert_identical(found, in_threads)


def assert_identical(found: Arrays, wanted: Arrays) -> None:
    assert list(found) == list(wanted) == ["beta", "coefficients"]
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


# --- A worker that dies --------------------------------------------------------------------------


def die_midway(given: shared.Given, numbers: range) -> Arrays:
    """Draw; at 35 the first process that comes so far dies, its earlier blocks safely kept."""
    assert given.calls is not None
    assert given.flag is not None
    if 35 in numbers and not given.flag.exists():
        rows = [line.split() for line in given.calls.read_text().splitlines()]
        mine = {int(number) // 10 for number, process in rows if int(process) == os.getpid()}
        saved = [given.calls.parent / f"{10 * k}-{10 * k + 10}.npz" for k in mine - {3}]
        shared.wait_until(lambda: all(path.exists() for path in saved))
        given.flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shared.draw(given, numbers)


def test_a_process_that_dies_costs_what_it_had_of_its_block(tmp_path: Path) -> None:
    assert_that_one_block_is_lost(shared.PROCESSES, tmp_path)


@pytest.mark.cluster
def test_a_worker_of_a_cluster_that_dies_costs_what_it_had_of_its_block(
    cluster: Cluster, tmp_path: Path
) -> None:
    shared.worker_processes(cluster, 2)
    assert_that_one_block_is_lost(cluster.workers, tmp_path)


def assert_that_one_block_is_lost(workers: Workers, folder: Path) -> None:
    given = shared.Given(seconds=0.01, calls=folder / "calls", flag=folder / "flag")
    found = run_blocks(
        die_midway, given, 100, workers=workers, keep=shared.on_disk(folder), block=10
    )
    shared.assert_same(found, 100)
    numbers, processes = shared.calls_in(folder / "calls")
    times = Counter(numbers)
    assert {number for number in times if times[number] > 1} == set(range(30, 35))
    assert max(times.values()) == 2
    assert len(processes) >= 2


@pytest.mark.slow
def test_processes_may_die_one_after_the_other(tmp_path: Path) -> None:
    """More deaths than workers, each in another block: the run goes on."""
    found = run_blocks(
        die_in_every_block, shared.Given(calls=tmp_path), 15, workers=shared.PROCESSES, block=5
    )
    shared.assert_same(found, 15)
    assert len(list(tmp_path.glob("died-*"))) == 3


def die_in_every_block(given: shared.Given, numbers: range) -> Arrays:
    assert given.calls is not None
    flag = given.calls / f"died-{numbers.start}"
    if numbers.start % 5 == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shared.draw(shared.Given(), numbers)


# --- What is shown meanwhile ---------------------------------------------------------------------


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def shown(state: SamplingState, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the bar shows of a state, without colours."""
    from bayes_cmvt.console import SamplingProgress

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with SamplingProgress(quiet=False) as progress:
        progress(state)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())


def test_the_bar_shows_count_speed_memory_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    state = SamplingState(
        1200, 4000, "2.1 a second", unit="data sets", seconds_left=5025.0, memory=2_450_000_000
    )
    line = shown(state, monkeypatch)
    assert "1,200 of 4,000 data sets, 2.1 a second, 2.5 GB" in line
    assert "1:23:45 left" in line


def test_the_bar_says_nothing_of_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(SamplingState(30, 200), monkeypatch)
    assert re.search(r"30 of 200 draws +0:00:00 ", line)
    assert "left" not in line


@pytest.mark.cluster
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_memory_of_a_cluster_is_what_its_workers_report(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bayes_cmvt import workers as where

    processes = shared.worker_processes(cluster, 2)
    monkeypatch.setattr(where, "ASK_EVERY", 0.1)
    states: list[SamplingState] = []
    run_blocks(
        shared.draw,
        shared.Given(seconds=0.02),
        60,
        workers=cluster.workers,
        block=5,
        report=states.append,
    )
    told = [state.memory for state in states if state.memory is not None]
    # the workers measure themselves each half second, and grow while they import the task
    assert told[-1] == pytest.approx(where.resident_memory(processes), rel=0.3)
