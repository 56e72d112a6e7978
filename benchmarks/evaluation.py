"""What judging a rule costs, and what its intervals are worth.

``python benchmarks/evaluation.py`` times the metrics of every draw and of every replicate of the
Bayesian bootstrap, beside a loop over scikit-learn on fewer rows. Each block comes from a process
of its own, kernels compiled before the clock runs. Times are of one machine at one moment, whose
load is printed: compare figures of one run with each other. Core-seconds count what all threads
used; they suffer less from neighbours than wall time.

``python benchmarks/evaluation.py honesty`` prints the table of docs/interval-honesty.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bayes_cmvt import metrics  # noqa: E402
from bayes_cmvt.benefit import threshold_grid  # noqa: E402

ROWS = 4000
MANY, FEW = 36_000, 224  # patients: complete ones of the PROMs cohort, development ones of CMVT
COLUMNS = 24
HELD = 500  # draws whose risks are held at once
THRESHOLDS = threshold_grid(0.05, 0.6)
GRID = 100
GIB = 2**30
CORE = "core: "

type Floats = NDArray[np.float64]
type Figures = dict[str, float]


def patients(n: int) -> tuple[Floats, Floats, NDArray[np.int8]]:
    """Design, coefficients of the truth and outcomes of simulated patients, a quarter events."""
    rng = np.random.default_rng(n)
    design = np.column_stack([np.ones(n), rng.standard_normal((n, COLUMNS))])
    coefficients = np.append(-1.5, rng.normal(0, 0.3, COLUMNS))
    outcome = rng.random(n) < expit(design @ coefficients)
    return design, coefficients, outcome.astype(np.int8)


def expit(log_odds: Floats) -> Floats:
    """Risk of a log-odds, in the same memory."""
    np.negative(log_odds, out=log_odds)
    np.exp(log_odds, out=log_odds)
    log_odds += 1
    return np.reciprocal(log_odds, out=log_odds)


def one_rule(n: int) -> tuple[NDArray[np.int8], Floats]:
    """Outcomes, and risks by a rule that is not quite the truth."""
    design, coefficients, outcome = patients(n)
    return outcome, expit(design @ (1.2 * coefficients))


def draw_risks(n: int, rows: int) -> Iterator[Floats]:
    """Risks by draws around the truth, some draws at a time."""
    design, coefficients, _ = patients(n)
    rng = np.random.default_rng(1)
    for start in range(0, rows, HELD):
        drawn = rng.normal(coefficients, 0.1, (min(HELD, rows - start), len(coefficients)))
        yield expit(drawn @ design.T)


def benefits(outcome: Any, risk: Any, /, *, weights: Any = None) -> Floats:
    """Net benefit at 56 thresholds."""
    return metrics.decision_curve(outcome, risk, THRESHOLDS, weights=weights).net_benefit


METRICS: dict[str, Callable[..., Any]] = {
    "AUC": metrics.auc,
    "calibration slope": metrics.calibration_slope,
    f"net benefit, {len(THRESHOLDS)} thresholds": benefits,
}
ici = functools.partial(metrics.integrated_calibration_index, grid=GRID)


def cost(work: Callable[[], Any]) -> NDArray[np.float64]:
    """Wall time of some work and core time of all its threads, in seconds."""
    before = time.perf_counter(), time.process_time()
    work()
    return np.subtract((time.perf_counter(), time.process_time()), before)


def every_draw() -> Figures:
    """Metrics of each draw's own risks."""
    outcome = patients(MANY)[2]
    spent = {name: np.zeros(2) for name in METRICS}

    def score() -> None:
        for risk in draw_risks(MANY, ROWS):
            for name, metric in METRICS.items():
                spent[name] += cost(functools.partial(metric, outcome, risk))

    together = cost(score)
    return with_core(spent | {"together, risks included": together})


def every_replicate(n: int, scores: dict[str, Callable[..., Any]]) -> Figures:
    """Intervals of one rule; each metric draws its weights anew."""
    outcome, risk = one_rule(n)
    interval = functools.partial(metrics.metric_interval, replicates=ROWS, seed=1)
    spent = {
        name: cost(functools.partial(interval, metric, outcome, risk))
        for name, metric in scores.items()
    }
    if len(spent) > 1:
        spent["together"] = np.sum(list(spent.values()), axis=0)
    return with_core(spent)


def every_score(n: int) -> Figures:
    """All scores and curves of a rule, as `evaluate` has them computed."""
    from bayes_cmvt.scoring import Risks, ScoringSettings, score_risks

    outcome, risk = one_rule(n)
    rule = Risks("rule", "validation", "holdout", outcome, risk[np.newaxis])
    settings = ScoringSettings(THRESHOLDS, use=0.3, replicates=ROWS)
    score_risks(rule, ScoringSettings(THRESHOLDS, use=0.3, replicates=100))
    return with_core({"score_risks": cost(lambda: score_risks(rule, settings))})


def with_core(spent: dict[str, NDArray[np.float64]]) -> Figures:
    """Wall and core seconds under names of their own."""
    walls = {name: float(wall) for name, (wall, _) in spent.items()}
    return walls | {CORE + name: float(core) for name, (_, core) in spent.items()}


def grid_error() -> Figures:
    """Calibration errors on the grid against exact loess, over 100 replicates of 2,000 patients."""
    outcome, risk = one_rule(2000)
    weights = metrics.bayesian_bootstrap(len(risk), 100, seed=1)
    exact, approximate = (
        metrics.calibration_errors(outcome, risk, grid=grid, weights=weights)
        for grid in (None, GRID)
    )
    names = {"ici": "ICI", "e50": "E50", "e90": "E90", "emax": "Emax"}
    found = {
        label: np.abs(getattr(approximate, name) - getattr(exact, name)).max()
        for name, label in names.items()
    }
    return found | {"mean ICI": float(np.mean(exact.ici))}


def naive_loop(outcome: Any, risk: Floats, weights: Floats) -> list[list[float]]:
    """AUC, slope and net benefits of each row of weights by scikit-learn and Python."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    log_odds, found = np.log(risk / (1 - risk))[:, np.newaxis], []
    for weight in weights:
        line = LogisticRegression(C=np.inf, tol=1e-8, solver="newton-cholesky")
        line.fit(log_odds, outcome, weight)
        row = [roc_auc_score(outcome, risk, sample_weight=weight), line.coef_[0, 0]]
        for threshold in THRESHOLDS:
            treated = weight * (risk >= threshold)
            true, false = (treated[outcome == value].sum() for value in (1, 0))
            row.append((true - false * threshold / (1 - threshold)) / weight.sum())
        found.append(row)
    return found


def beside_scikit_learn(n: int, rows: int) -> Figures:
    """Core time of a row in the loop and in the package, and how far their results differ."""
    outcome, risk = one_rule(n)
    weights = metrics.bayesian_bootstrap(n, rows, seed=1)
    few = weights[: max(4, rows // 20)]
    ours: list[Floats] = []
    loop: list[list[float]] = []
    with threadpool_limits(limits=1):
        package = cost(
            lambda: ours.extend(
                metric(outcome, risk, weights=weights) for metric in METRICS.values()
            )
        )
        naive = cost(lambda: loop.extend(naive_loop(outcome, risk, few)))
    difference = np.abs(np.column_stack(ours)[: len(few)] - loop).max()
    per_row = {"loop": naive[1] / len(few), "package": package[1] / rows}
    return per_row | {"ratio": per_row["loop"] / per_row["package"], "difference": difference}


CASES: dict[str, Callable[[], Figures]] = {
    "draws": every_draw,
    "replicates": functools.partial(every_replicate, MANY, METRICS),
    "ici": functools.partial(every_replicate, MANY, {f"ICI, grid of {GRID}": ici}),
    "whole": functools.partial(every_score, MANY),
    "small": functools.partial(every_score, FEW),
    "error": grid_error,
    "loop": functools.partial(beside_scikit_learn, MANY, 80),
    "loop_small": functools.partial(beside_scikit_learn, FEW, ROWS),
}


def compile_kernels() -> None:
    """Compile, or load what was compiled, before the clock runs."""
    outcome, risk = one_rule(50)
    for grid in (None, 10):
        metrics.calibration_errors(outcome, risk, grid=grid)
    for metric in METRICS.values():
        metric(outcome, risk)


def child(case: str) -> tuple[Figures, float]:
    """Figures of one case in a fresh process, and its peak memory in GiB."""
    done = subprocess.run(
        [sys.executable, __file__, "case", case],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    figures: Figures = json.loads(done.stdout)
    return figures, figures.pop("peak") / GIB


def timed(heading: str, case: str, values: int) -> None:
    """Print seconds of each step of a case, nanoseconds for each risk, and peak memory."""
    load = os.getloadavg()[0]
    figures, peak = child(case)
    print(f"\n{heading}: load {load:.1f}, peak {peak:.2f} GiB")
    for name, core in figures.items():
        if name.startswith(CORE):
            wall = figures[name.removeprefix(CORE)]
            print(
                f"  {name.removeprefix(CORE):28} {wall:7.2f} s wall {core:7.2f} core-s "
                f"{1e9 * core / values:7.1f} core-ns a risk"
            )


def speed() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first line")
    large = f"{ROWS:,} draws x {MANY:,} patients"
    timed(large, "draws", ROWS * MANY)
    large = f"{ROWS:,} bootstrap replicates x {MANY:,} patients"
    for case in ("replicates", "ici", "whole"):
        timed(large, case, ROWS * MANY)
    timed(f"{ROWS:,} bootstrap replicates x {FEW} patients", "small", ROWS * FEW)
    error = child("error")[0]
    mean = error.pop("mean ICI")
    print(f"\nlargest error of the grid at 2,000 patients, 100 replicates of mean ICI {mean:.4f}")
    print("  " + ", ".join(f"{name} {value:.1e}" for name, value in error.items()))
    print("\nAUC, slope and net benefits of a row of weights on one core, beside scikit-learn")
    for case, n in (("loop", MANY), ("loop_small", FEW)):
        row = child(case)[0]
        print(
            f"  {n:6,} patients: loop {1e3 * row['loop']:7.2f} ms, package "
            f"{1e3 * row['package']:6.3f} ms, {row['ratio']:.0f} times; results differ by at most "
            f"{row['difference']:.0e}"
        )


def honesty(sets: int) -> None:
    """Print how often each interval covers the truth."""
    from tests.honesty import coverage, simulate

    table = coverage(simulate(sets, replicates=ROWS, draws=True)).sort_index(
        level="figure", sort_remaining=False
    )
    print("| figure | truth | 95 % interval | coverage | MCSE | mean width | interval score |")
    print("|---|---|---|---|---|---|---|")
    for (figure, method), row in table.iterrows():
        print(
            f"| {figure} | {row['truth']:.4f} | {method} | {row['coverage']:.3f} | "
            f"{row['coverage_mcse']:.3f} | {row['width']:.3f} | {row['interval_score']:.3f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("speed", "honesty", "case"), default="speed")
    parser.add_argument("case", nargs="?", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--sets", type=int, default=2000, help="validation sets of the simulation")
    options = parser.parse_args()
    if options.case:
        compile_kernels()
        figures = CASES[options.case]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(figures | {"peak": peak}))
    elif options.what == "honesty":
        honesty(options.sets)
    else:
        speed()


if __name__ == "__main__":
    main()
