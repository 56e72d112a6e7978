"""What the frequentist workflow costs, beside R's glmnet, scikit-learn and statsmodels.

``python benchmarks/baseline.py`` uses the simulated reference of 224 patients and 26 columns.
glmnet runs where Rscript finds it. Core-seconds are of one core; the last block is wall time on all
cores. Times are of one machine at one moment, whose load is printed: compare figures of one run
with each other.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bayes_cmvt.baseline import Resampled, resample_block  # noqa: E402
from bayes_cmvt.lasso import cross_validate  # noqa: E402
from bayes_cmvt.pipeline import Patients, run_pipeline  # noqa: E402
from bayes_cmvt.resampling import run_blocks  # noqa: E402
from bayes_cmvt.schema import Baseline  # noqa: E402
from bayes_cmvt.workers import Workers  # noqa: E402

DESIGN = ROOT / "tests" / "reference" / "synth26_design.csv"
ONCE, RESAMPLES, MANY = 20, 200, 1000


def core_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def patients() -> Patients:
    """The reference's patients, columns standardised."""
    design = pd.read_csv(DESIGN)
    columns = design.drop(columns=["row", "y"]).to_numpy()
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)
    return Patients(columns, design["y"].to_numpy(dtype=np.int8), np.arange(columns.shape[1]))


def folds(n: int) -> np.ndarray:
    """Ten folds, not stratified, as in the reference."""
    return np.random.default_rng(101).permutation(np.arange(n) % 10) + 1


def ours(everybody: Patients) -> dict[str, float]:
    """Core-seconds of one cross-validation and of 200 resamples, two ways."""
    dealt = folds(len(everybody.outcome))

    def once() -> None:
        cross_validate(everybody.columns, everybody.outcome, dealt, loss="deviance")

    lasso = Baseline(loss="deviance", p_enter=1.0)
    whole = Baseline(loss="deviance")
    final = run_pipeline(everybody, whole, np.random.SeedSequence(1)).final
    assert final is not None
    figures = {}
    once()
    figures["cv"] = min(core_seconds(once) for _ in range(ONCE))
    figures["cv_mean"] = core_seconds(lambda: [once() for _ in range(ONCE)]) / ONCE
    for name, settings in (("resamples", lasso), ("whole_workflow", whole)):
        given = Resampled(everybody, settings, "bootstrap", 1, final.members)
        resample_block(given, range(2))
        figures[name] = core_seconds(lambda given=given: resample_block(given, range(RESAMPLES)))
        if name == "whole_workflow":
            start = time.perf_counter()
            run_blocks(resample_block, given, MANY, workers=Workers())
            figures["thousand_wall"] = time.perf_counter() - start
    return figures


def glmnet(everybody: Patients, folder: Path) -> dict[str, Any]:
    """The same by glmnet, where Rscript finds it."""
    if shutil.which("Rscript") is None:
        return {}
    file = folder / "folds.csv"
    pd.DataFrame({"foldid": folds(len(everybody.outcome))}).to_csv(file, index=False)
    script = Path(__file__).with_suffix(".R")
    done = subprocess.run(
        ["Rscript", str(script), str(DESIGN), str(file)], capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def scikit_learn(everybody: Patients) -> float:
    """Core-seconds of LogisticRegressionCV over the same penalties."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import PredefinedSplit

    dealt = folds(len(everybody.outcome))
    path = cross_validate(everybody.columns, everybody.outcome, dealt, loss="deviance").path
    model = LogisticRegressionCV(
        Cs=1 / (path.penalties * len(dealt)),
        cv=PredefinedSplit(dealt),
        l1_ratios=(1.0,),
        solver="liblinear",
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        tol=1e-7,
        max_iter=10_000,
    )
    return core_seconds(lambda: model.fit(everybody.columns, everybody.outcome))


def statsmodels(everybody: Patients) -> float:
    """Core-seconds of Logit.fit_regularized along the path, once, without cross-validation."""
    import statsmodels.api as sm

    dealt = folds(len(everybody.outcome))
    path = cross_validate(everybody.columns, everybody.outcome, dealt, loss="deviance").path
    model = sm.Logit(everybody.outcome, sm.add_constant(everybody.columns))
    n, width = everybody.columns.shape

    def along() -> None:
        for penalty in path.penalties:
            model.fit_regularized(alpha=np.append(0.0, np.full(width, n * penalty)), disp=0)

    return core_seconds(along)


def main() -> None:
    """Print every figure, and the ratios."""
    import tempfile

    everybody = patients()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {everybody.columns.shape}")
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = ours(everybody)
        with tempfile.TemporaryDirectory() as folder:
            theirs = glmnet(everybody, Path(folder))
        learned, models = scikit_learn(everybody), statsmodels(everybody)
    print(f"one 10-fold cross-validation   ours {1000 * own['cv_mean']:.1f} ms")
    print(f"200 resamples, LASSO + refit   ours {own['resamples']:.2f} core-s")
    print(f"200 resamples, whole workflow  ours {own['whole_workflow']:.2f} core-s")
    print(f"1000 resamples, whole workflow ours {own['thousand_wall']:.1f} s on all cores")
    if theirs:
        print(
            f"glmnet {theirs['glmnet']}: {1000 * theirs['cv']:.1f} ms, "
            f"{theirs['resamples']:.2f} core-s; ratios {own['cv_mean'] / theirs['cv']:.2f} and "
            f"{theirs['resamples'] / own['resamples']:.1f} times as fast"
        )
    else:
        print("glmnet: Rscript with glmnet was not found")
    print(f"scikit-learn LogisticRegressionCV (liblinear): {learned:.2f} core-s")
    print(f"statsmodels fit_regularized, path without folds: {models:.2f} core-s")
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
