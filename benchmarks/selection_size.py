"""How far the suggested size is flattered by the patients who chose it, where the truth is known.

``python benchmarks/selection_size.py`` simulates data sets of 250 patients with weak effects (.5,
.4, .3, .3, .2, .2 of 14 columns), lets `bayes_cmvt.select` suggest a size, and prints its loss of
elpd as the cross-validation shows it, as it is with the size of every fold chosen by the other
folds, and as it is on 20,000 fresh patients.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import SeedSequence
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bayes_cmvt as bc  # noqa: E402
from bayes_cmvt.pipeline import Patients  # noqa: E402
from bayes_cmvt.posterior import settings_of  # noqa: E402
from bayes_cmvt.repetitions import SelectionSettings  # noqa: E402
from bayes_cmvt.selection import select  # noqa: E402
from bayes_cmvt.selection_estimates import honest_difference, selection_table  # noqa: E402
from benchmarks.baseline_coverage import as_markdown  # noqa: E402
from benchmarks.selection import cohort_of  # noqa: E402

SEED, N, FRESH = 606, 250, 20_000
EFFECTS = np.array([0.5, 0.4, 0.3, 0.3, 0.2, 0.2, *[0.0] * 8])
INTERCEPT = -1.2
ONCE = {"repeats": 1, "subsamples": 0, "splits": 0, "seeds": 0, "dealings": 0}


def drawn(n: int, rng: np.random.Generator) -> Patients:
    """Patients with independent normal columns."""
    columns = rng.standard_normal((n, len(EFFECTS)))
    outcome = (rng.random(n) < expit(INTERCEPT + columns @ EFFECTS)).astype(np.int8)
    return Patients(columns, outcome, np.arange(len(EFFECTS)))


def log_density(risk: NDArray[np.float64], outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Log predictive density of each patient."""
    return np.asarray(np.where(outcome == 1, np.log(risk), np.log1p(-risk)))


def study_set(number: int) -> dict[str, float]:
    """One data set: the suggested size, and its loss in three ways."""
    for_patients, for_fresh = SeedSequence(SEED, spawn_key=(number,)).spawn(2)
    with threadpool_limits(limits=1):
        cohort = cohort_of(drawn(N, np.random.default_rng(for_patients)))
        fit = bc.sample(cohort, seed=number, cores=1)
        settings = SelectionSettings(**ONCE, seed=number)
        selection = select(fit, cohort, settings=settings, cores=1)
        fresh = drawn(FRESH, np.random.default_rng(for_fresh))
        frame = pd.DataFrame(fresh.columns, columns=[f"x{j + 1}" for j in range(len(EFFECTS))])
        submodel, whole = (
            log_density(bc.predict(one, frame)["risk"].to_numpy(), fresh.outcome)
            for one in (selection, fit)
        )
    size = int(settings_of(selection)["size"])
    row = selection_table(selection).iloc[size]
    honest = honest_difference(selection)
    assert honest is not None
    return {
        "size": size,
        "shown": row["elpd_diff"],
        "shown_se": row["elpd_diff_se"],
        "by_other_folds": honest[0],
        "fresh": N * float((submodel - whole).mean()),
    }


def main() -> None:
    """Study the data sets, and print their means with standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.cores, mp_context=get_context("spawn")) as pool:
        table = pd.DataFrame(pool.map(study_set, range(options.sets)))
    table["shown less fresh"] = table["shown"] - table["fresh"]
    table["by other folds less fresh"] = table["by_other_folds"] - table["fresh"]
    summary = pd.DataFrame(
        {"mean": table.mean(), "mcse": table.std(ddof=1) / np.sqrt(len(table))}
    ).reset_index(names="elpd less that of the full posterior")
    print(as_markdown(summary))


if __name__ == "__main__":
    main()
