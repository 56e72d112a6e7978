"""What a draw and a resample cost, over patients and columns, and what a Dask cluster adds to it.

``python benchmarks/cost.py`` prints the tables of ``docs/cost-model.md``: core-seconds of a sweep
of the Gibbs sampler, of a resample of the whole workflow and of a ridge fit, their memory, and the
models fitted to them (about ten minutes). ``python benchmarks/cost.py dask`` compares the same work
in two threads of this process with two single-threaded workers of a local cluster. Times are of one
machine at one moment, whose load is printed: compare figures of one run with each other.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

PATIENTS = (100, 224, 1000, 5000, 20000)
COLUMNS = (10, 26, 100, 500)
LIMIT = 60  # seconds that a cell may take, its start included
SPENT = 2.0  # core-seconds that are measured of each cell
FITS, RUNS, RESAMPLES = 40, 40, 50
TURNS = 3
# terms of a cost, as exponents of patients and columns
SWEEP = {"n": (1, 0), "n p": (1, 1), "n p²": (1, 2), "p": (0, 1), "p³": (0, 3)}
RESAMPLE = {"n": (1, 0), "p": (0, 1), "n p²": (1, 2)}  # with fewer columns than patients
RIDGE = {"n": (1, 0), "p": (0, 1), "n p": (1, 1), "n p²": (1, 2), "p³": (0, 3)}


# --- Data and models -----------------------------------------------------------------------------


def drawn(n: int, p: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Columns like a clinical study's: correlated, every other one with two values; 6 effects."""
    rng = np.random.default_rng(seed)
    columns = np.sqrt(0.67) * rng.normal(size=(n, p)) + np.sqrt(0.33) * rng.normal(size=(n, 1))
    columns[:, 1::2] = columns[:, 1::2] > 0.5
    spread = columns.std(axis=0, ddof=1)
    columns = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    log_odds = 0.5 * columns[:, :6] @ np.array([1, 1, -1, 1, -1, 1.0]) - 0.7
    return columns, (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)


def horseshoe(n: int, p: int, event_share: float) -> Any:
    """The default prior: half of the columns expected to matter."""
    from bayes_cmvt.priors import CoefficientPrior, global_scale, pseudo_sd

    sigma = pseudo_sd(event_share)
    none = np.full(p, np.nan)
    return CoefficientPrior(
        family="regularized-horseshoe",
        shrunk=np.ones(p, dtype=bool),
        own_mean=none,
        own_sd=none,
        global_scale=global_scale(p / 2, p, sigma, n),
        slab_scale=2.0,
        slab_df=4.0,
        scale=2.5,
        df=4.0,
        intercept_family="student-t",
        intercept_scale=2.5,
        n=n,
        pseudo_sd=sigma,
    )


# --- One cell, in a process of its own -----------------------------------------------------------


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def repeated(work: Callable[[int], None]) -> tuple[float, int]:
    """Core-seconds of one repetition, and how many there were: some two seconds of them."""
    started, times = time.process_time(), 0
    while time.process_time() - started < SPENT:
        work(max(1, times))  # twice as many, each time
        times += max(1, times)
    return (time.process_time() - started) / times, times


def draws_cell(n: int, p: int) -> dict[str, Any]:
    """Of one sweep of one chain; and of a posterior, bytes per draw."""
    from threading import Event

    from bayes_cmvt.chains import (
        advance_chain,
        chain_draws,
        gibbs_problem,
        start_chains,
        sweep_seconds,
    )

    columns, outcome = drawn(n, p)
    prior = horseshoe(n, p, outcome.mean())

    def chain() -> tuple[Any, Any]:
        problem = gibbs_problem(columns, outcome, prior)
        return problem, start_chains(problem, prior, [np.random.SeedSequence(2)])[0]

    problem, running = chain()
    advance_chain(running, problem, 3, Event())
    before = peak()

    def sweep(times: int) -> None:
        advance_chain(running, problem, running.finished + times, Event())

    each, sweeps = repeated(sweep)
    draws = chain_draws([running], problem, 0)
    kept = (draws.intercept, draws.beta, draws.tau, draws.local, draws.slab)
    return {
        "seconds": each,
        "times": sweeps,
        "growth": peak() - before,
        "bytes": sum(array.nbytes for array in kept if array is not None) / running.finished,
        "sweep_seconds": sweep_seconds(n, p),
    }


def resample_cell(n: int, p: int) -> dict[str, Any]:
    """Of one resample of the whole workflow, as the baseline runs it."""
    from bayes_cmvt.baseline import Resampled, resample_block
    from bayes_cmvt.pipeline import STATUSES, Patients
    from bayes_cmvt.schema import Baseline

    def given(n: int, p: int) -> Resampled:
        columns, outcome = drawn(n, p)
        everybody = Patients(columns, outcome, np.arange(p))
        return Resampled(everybody, Baseline(), "bootstrap", 3, np.arange(p) < 6)

    small, asked = given(60, 8), given(n, p)
    resample_block(small, range(20))
    before, found, first = peak(), [], 0

    def run(times: int) -> None:
        nonlocal first
        found.append(resample_block(asked, range(first, first + times)))
        first += times

    each, resamples = repeated(run)
    codes = np.concatenate([block["status"] for block in found])
    kept = np.concatenate([block["selected_final"].sum(axis=1) for block in found])
    chosen = np.concatenate([block["selected_lasso"].sum(axis=1) for block in found])
    firth = np.concatenate([block["refit_firth"] for block in found])
    return {
        "seconds": each,
        "times": resamples,
        "growth": peak() - before,
        "bytes": sum(array.nbytes for block in found for array in block.values()) / resamples,
        "lasso": float(chosen.mean()),
        "kept": float(kept.mean()),
        "firth": float(firth.mean()),
        "status": {name: int((codes == k).sum()) for k, name in enumerate(STATUSES)},
    }


def ridge_cell(n: int, p: int) -> dict[str, Any]:
    """Of one ridge fit, its scale chosen."""
    from bayes_cmvt.simulation.ridge import fit_ridge

    columns, outcome = drawn(n, p)
    fit_ridge(*drawn(60, 8))
    before = peak()

    def fit(times: int) -> None:
        for _ in range(times):
            fit_ridge(columns, outcome)

    each, fits = repeated(fit)
    return {"seconds": each, "times": fits, "growth": peak() - before}


CELLS = {"draws": draws_cell, "resample": resample_cell, "ridge": ridge_cell}


def cell(kind: str, n: int, p: int) -> dict[str, Any] | None:
    """Figures of one cell in a fresh process; None where they take too long."""
    command = [sys.executable, __file__, "--cell", kind, str(n), str(p)]
    # one thread of BLAS, whichever library brings it and whenever: as fits that run side by side
    alone = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            command, env=alone, capture_output=True, text=True, timeout=LIMIT, check=True
        )
    except subprocess.TimeoutExpired:
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def grid(kind: str) -> dict[tuple[int, int], dict[str, Any]]:
    """All cells that do not take too long; none beyond one that does."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    slow: list[tuple[int, int]] = []
    for p in COLUMNS:
        for n in PATIENTS:
            if any(n >= patients and p >= columns for patients, columns in slow):
                continue
            figures = cell(kind, n, p)
            if figures is None:
                slow.append((n, p))
            else:
                found[n, p] = figures
    return found


# --- Models of the cost --------------------------------------------------------------------------


def sum_of_terms(
    terms: dict[str, tuple[int, int]], found: Any
) -> tuple[str, Callable[[float, float], float]]:
    """Least squares of relative errors, no coefficient negative: in words, and the prediction."""
    from scipy.optimize import nnls

    seconds = np.array([figures["seconds"] for figures in found.values()])
    rows = np.array([[float(n**a * p**b) for a, b in terms.values()] for n, p in found])
    coefficients, _ = nnls(rows / seconds[:, np.newaxis], np.ones(len(seconds)))

    def predicted(n: float, p: float) -> float:
        each = zip(coefficients, terms.values(), strict=True)
        return float(sum(coefficient * n**a * p**b for coefficient, (a, b) in each))

    words = [f"{1e9 * c:.3g} {name}" for c, name in zip(coefficients, terms, strict=True) if c]
    return " + ".join(words), predicted


def errors(found: Any, predicted: Callable[[float, float], float]) -> np.ndarray:
    """Predicted over measured, of every cell."""
    return np.array([predicted(n, p) / figures["seconds"] for (n, p), figures in found.items()])


def in_words(ratios: np.ndarray) -> str:
    """Largest errors of a model."""
    return (
        f"predicted / measured {ratios.min():.2f} to {ratios.max():.2f}, "
        f"median off by {np.median(np.abs(np.log(ratios))):.0%}"
    )


# --- Tables --------------------------------------------------------------------------------------


def table(heading: str, shown: Callable[[int, int], str]) -> None:
    """Markdown: a row for each number of columns, a column for each number of patients."""
    print(f"\n**{heading}**\n")
    print("| p \\ n |" + "".join(f" {n:,} |" for n in PATIENTS))
    print("|---|" + "---|" * len(PATIENTS))
    for p in COLUMNS:
        print(f"| {p} |" + "".join(f" {shown(n, p)} |" for n in PATIENTS))


def milliseconds(seconds: float) -> str:
    """Three figures."""
    return f"{float(f'{1000 * seconds:.3g}'):,g}"


def told(found: Any, text: Callable[[dict[str, Any]], str], missing: str = "-") -> Any:
    """What a table shows of a cell."""
    return lambda n, p: text(found[n, p]) if (n, p) in found else missing


def or_extrapolated(found: Any, predicted: Callable[[float, float], float]) -> Any:
    """Milliseconds measured, or in brackets those of the model."""
    return lambda n, p: (
        milliseconds(found[n, p]["seconds"])
        if (n, p) in found
        else f"({milliseconds(predicted(n, p))})"
    )


def report_draws() -> None:
    """Tables of the Gibbs sampler."""
    found = grid("draws")
    terms, predicted = sum_of_terms(SWEEP, found)
    table("One sweep of one chain, core-milliseconds", or_extrapolated(found, predicted))
    print(f"\nNanoseconds of a sweep: {terms}; {in_words(errors(found, predicted))}.")
    table(
        "`chains.sweep_seconds` over the measured",
        told(found, lambda one: f"{one['sweep_seconds'] / one['seconds']:.2f}"),
    )
    table("Bytes of a kept draw", told(found, lambda one: f"{one['bytes']:,.0f}"))
    table(
        "Growth of the largest resident memory by some two seconds of sweeps, MB",
        told(found, lambda one: f"{one['growth']:.0f} ({one['times']:,} sweeps)"),
    )


def report_resamples() -> None:
    """Tables of the published workflow."""
    found = grid("resample")
    fewer = {(n, p): figures for (n, p), figures in found.items() if p < n}
    terms, predicted = sum_of_terms(RESAMPLE, fewer)
    table("One resample of the workflow, core-milliseconds", or_extrapolated(found, predicted))
    print(
        f"\nNanoseconds of a resample, fewer columns than patients: {terms}; "
        f"{in_words(errors(fewer, predicted))}. In brackets: not run, for a cell would take more "
        f"than {LIMIT} seconds; the model's."
    )
    table(
        "Columns of LASSO and of the final model; share of Firth refits",
        told(found, lambda one: f"{one['lasso']:.0f}, {one['kept']:.0f}; {one['firth']:.0%}"),
    )
    table(
        "Resamples: fitted / empty / other",
        told(
            found,
            lambda one: (
                f"{one['status']['fitted']} / {one['status']['empty']} / "
                f"{one['times'] - one['status']['fitted'] - one['status']['empty']}"
            ),
        ),
    )
    table(
        "Bytes kept of a resample, and growth of the largest resident memory, MB",
        told(found, lambda one: f"{one['bytes']:,.0f}; {one['growth']:.0f}"),
    )


def report_ridge() -> None:
    """Table of the ridge fit."""
    found = grid("ridge")
    fewer = {(n, p): figures for (n, p), figures in found.items() if p < n}
    terms, predicted = sum_of_terms(RIDGE, fewer)
    table("One ridge fit, its scale chosen, core-milliseconds", or_extrapolated(found, predicted))
    print(
        f"\nNanoseconds of a ridge fit, fewer columns than patients: {terms}; "
        f"{in_words(errors(fewer, predicted))}."
    )


# --- Dask against threads ------------------------------------------------------------------------


def gibbs_fit(given: tuple[np.ndarray, np.ndarray], numbers: range) -> dict[str, np.ndarray]:
    """4 x (300 + 1000) sweeps of a bootstrap resample of the patients."""
    from bayes_cmvt.refits import Refit, RefitLength, mean_risk, refit_draws

    columns, outcome = given
    risks = []
    for number in numbers:
        for_rows, for_chains = np.random.SeedSequence(4, spawn_key=(number,)).spawn(2)
        rows = np.random.default_rng(for_rows).integers(0, len(outcome), len(outcome))
        prior = horseshoe(*columns.shape, outcome[rows].mean())
        refit = Refit(columns[rows], outcome[rows], prior, columns, for_chains)
        risks.append(mean_risk(refit_draws(refit, RefitLength(4, 300, 1000)), columns))
    return {"risk": np.stack(risks)}


def workflow_run(given: tuple[np.ndarray, np.ndarray], numbers: range) -> dict[str, np.ndarray]:
    """50 resamples of the whole workflow, their seed of the number."""
    from bayes_cmvt.baseline import Resampled, resample_block
    from bayes_cmvt.pipeline import Patients
    from bayes_cmvt.schema import Baseline

    columns, outcome = given
    everybody = Patients(columns, outcome, np.arange(columns.shape[1]))
    final = np.arange(columns.shape[1]) < 6
    betas = [
        resample_block(
            Resampled(everybody, Baseline(), "bootstrap", number, final), range(RESAMPLES)
        )["beta"]
        for number in numbers
    ]
    return {"beta": np.stack(betas)}


def reference_patients() -> tuple[np.ndarray, np.ndarray]:
    """The simulated reference: 224 patients, 26 columns, 82 events."""
    import pandas as pd

    design = pd.read_csv(ROOT / "tests" / "reference" / "synth26_design.csv")
    columns = design.drop(columns=["row", "y"]).to_numpy()
    standardised = (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)
    return standardised, design["y"].to_numpy(dtype=np.int8)


def dask_process(what: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A scheduler, or workers, in processes of their own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wall(task: Any, count: int, workers: Any) -> float:
    """Wall seconds of so many tasks, each a block of its own."""
    from bayes_cmvt.resampling import run_blocks

    started = time.perf_counter()
    run_blocks(task, reference_patients(), count, workers=workers, block=1)
    return time.perf_counter() - started


def report_dask() -> None:
    """Threads and cluster in turn, each three times; kernels and workers are warm."""
    from bayes_cmvt.workers import Workers
    from benchmarks import cost  # by its name, which workers know too

    print("\n| work | threads, s | Dask, s | efficiency |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        running = [dask_process("scheduler", "--port", "0", "--scheduler-file", str(file))]
        try:
            while not (file.exists() and file.read_text().endswith("}")):
                time.sleep(0.1)
            address = json.loads(file.read_text())["address"]
            running.append(dask_process("worker", address, "--nworkers", "2", "--nthreads", "1"))
            kinds = Workers("threads", 2), Workers("cluster", address=address)
            for name, task, count in (
                (f"{FITS} Gibbs fits, 4 x (300 + 1000)", cost.gibbs_fit, FITS),
                (f"{RUNS} x {RESAMPLES} resamples", cost.workflow_run, RUNS),
            ):
                for kind in kinds:
                    wall(task, 6, kind)
                turns = [[wall(task, count, kind) for kind in kinds] for _ in range(TURNS)]
                threads, dask = (min(column) for column in zip(*turns, strict=True))
                each = " ".join(f"{one / other:.2f}" for one, other in turns)
                efficiency = f"{threads / dask:.2f} (turns: {each})"
                print(f"| {name} | {threads:.2f} | {dask:.2f} | {efficiency} |")
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait()


def main() -> None:
    """Print every table, or one cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="draws, resample, ridge, dask")
    parser.add_argument("--cell", nargs=3, metavar=("KIND", "N", "P"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        kind, n, p = options.cell
        print(json.dumps(CELLS[kind](int(n), int(p))))
        return
    print(
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    reports = {
        "draws": report_draws,
        "resample": report_resamples,
        "ridge": report_ridge,
        "dask": report_dask,
    }
    for name in options.what or CELLS:
        reports[name]()
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
