"""What the moves without weights buy the Gibbs sampler: the tables of decisions 0005 and 0006.

Run with ``python benchmarks/moves.py``; needs ../shared/data. Subsamples of two large cohorts with
a stated share of the rarer outcome are sampled without moves of groups, with them, and with the
independence step besides: smallest bulk ESS of intercept and coefficients, per 1,000 sweeps and per
core-second.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data"

SHARES = {300: (0.1, 0.05), 1000: (0.1, 0.05, 0.02, 0.01), 4000: (0.05, 0.02, 0.01, 0.004)}
SWEEPS = 2000


def trauma() -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """CRASH-2: nine baseline predictors, death within 28 days."""
    numbers = ["age", "injurytime", "sbp", "hr", "rr", "cc", "gcs"]
    table = pd.read_csv(DATA / "crash2.csv").dropna(
        subset=[*numbers, "sex", "injurytype", "death28"]
    )
    levels = pd.get_dummies(table[["sex", "injurytype"]], drop_first=True).to_numpy(dtype=float)
    return np.column_stack([table[numbers], levels]), table["death28"].to_numpy(dtype=np.int8)


def knees() -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """PROMs: comorbidities and scores before knee replacement, no gain as the outcome."""
    numbers = [
        "revision", "heart_disease", "high_bp", "stroke", "circulation", "lung_disease", "diabetes",
        "kidney_disease", "nervous_system", "liver_disease", "cancer", "depression", "arthritis",
        "eq_mobility", "eq_selfcare", "eq_activity", "eq_discomfort", "eq_anxiety", "eq_vas",
        "oks_pre", "oks_pain", "oks_limping", "oks_stairs", "oks_work",
    ]  # fmt: skip
    table = pd.read_csv(DATA / "proms_knee_2016_17.csv", low_memory=False)
    table = table.dropna(subset=[*numbers, "oks_mid7"])
    return table[numbers].to_numpy(dtype=float), 1 - table["oks_mid7"].to_numpy(dtype=np.int8)


def subsample(
    columns: NDArray[np.float64], outcome: NDArray[np.int8], n: int, events: int
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Rows with so many events, columns standardised, constant ones left out."""
    rng = np.random.default_rng(0)
    parts = [
        rng.choice(np.flatnonzero(outcome == value), size, replace=False)
        for value, size in ((1, events), (0, n - events))
    ]
    rows = np.concatenate(parts)
    matrix = columns[rows]
    matrix = matrix[:, matrix.std(axis=0) > 0]
    return (matrix - matrix.mean(axis=0)) / matrix.std(axis=0, ddof=1), outcome[rows]


def smallest_ess(
    matrix: NDArray[np.float64], outcome: NDArray[np.int8], *, groups: bool, independent: bool
) -> tuple[float, float]:
    """Smallest bulk ESS of 4 chains and the core-seconds that they took."""
    import arviz_stats as azs

    from bayes_cmvt import chains
    from bayes_cmvt.priors import CoefficientPrior, global_scale, pseudo_sd

    columns = matrix.shape[1]
    sigma = pseudo_sd(float(outcome.mean()))
    tau0 = global_scale(columns / 2, columns, sigma, len(outcome))
    nothing = np.full(columns, np.nan)
    prior = CoefficientPrior(
        "regularized-horseshoe", np.ones(columns, dtype=bool), nothing, nothing, tau0, 2.0, 4.0,
        2.5, 4.0, "student-t", 2.5, len(outcome), sigma,
    )  # fmt: skip
    problem = chains.gibbs_problem(matrix, outcome, prior, independent=independent)
    if not groups:
        alone = problem.groups._replace(column=problem.groups.column[:0])
        problem = chains.Problem(problem.rows, alone, problem.prior, independent)
    running = chains.start_chains(problem, prior, np.random.SeedSequence(0).spawn(4))
    chains.advance_chains(running, problem, 300, cores=2)
    before = resource.getrusage(resource.RUSAGE_SELF)
    chains.advance_chains(running, problem, 300 + SWEEPS, cores=2)
    after = resource.getrusage(resource.RUSAGE_SELF)
    draws = chains.chain_draws(running, problem, 300)
    theta = np.concatenate([draws.intercept[..., np.newaxis], draws.beta], axis=-1)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(np.min(azs.ess(theta))), spent


def main() -> None:
    ways = (
        ("weights only", False, False),
        ("groups", True, False),
        ("groups + independence", True, True),
    )
    print("ESS per 1,000 sweeps, per core-second")
    print(f"{'data':8} {'n':>5} {'share':>6}" + "".join(f"{way[0]:>24}" for way in ways))
    for name, population in (("trauma", trauma()), ("knees", knees())):
        for n, share in ((n, share) for n, shares in SHARES.items() for share in shares):
            matrix, outcome = subsample(*population, n, round(n * share))
            cells = []
            for _, groups, independent in ways:
                ess, spent = smallest_ess(matrix, outcome, groups=groups, independent=independent)
                cells.append(f"{ess / (4 * SWEEPS) * 1000:12.0f} {ess / spent:11.0f}")
            print(f"{name:8} {n:5} {share:6.3f}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
