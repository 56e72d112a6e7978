"""How often the baseline's 95 % intervals hold the truth, where the truth is known.

``python benchmarks/baseline_coverage.py`` simulates data sets from logistic models with known
coefficients, runs the whole workflow on each and on every bootstrap resample of it, and prints the
tables of docs/baseline-coverage.md: percentile intervals over resamples, and beside them Wald's of
the final model, which ignore that its columns were chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from scipy.special import expit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bayes_cmvt.baseline import CODES, Resampled, resample_block  # noqa: E402
from bayes_cmvt.intervals import equal_tailed  # noqa: E402
from bayes_cmvt.logistic_inference import wald_interval  # noqa: E402
from bayes_cmvt.pipeline import Model, Patients, run_pipeline  # noqa: E402
from bayes_cmvt.resampling import run_blocks  # noqa: E402
from bayes_cmvt.schema import Baseline  # noqa: E402
from bayes_cmvt.workers import Workers  # noqa: E402

FRESH = 100  # patients whose risks are asked for, new ones for each data set
CI_PROB = 0.95
Z = 1.959963984540054
SEED = 2025
WEAK = {"x6": 0.3, "x11": -0.3, "x16": 0.15, "x21": -0.15}
RISK_BANDS = ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0))

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scenario:
    """A truth, and how it is studied.

    Attributes
    ----------
    name : str
    intercept : float
    coefficients : ndarray, shape (column,)
        Log-odds per SD: columns are normal with variance 1.
    patients : int
        In each data set.
    correlation : float
        Of neighbouring columns; between columns j and k its power |j - k|.
    settings : Baseline
    resamples : int
    seed : int
    """

    name: str
    intercept: float
    coefficients: Floats
    patients: int
    correlation: float
    settings: Baseline
    resamples: int = 300
    seed: int = SEED

    def risk(self, columns: Floats) -> Floats:
        """True risks, shape (patient,)."""
        return np.asarray(expit(self.intercept + columns @ self.coefficients))

    def columns(self, n: int, rng: Generator) -> Floats:
        """Columns of new patients, shape (patient, column)."""
        noise = rng.standard_normal((n, len(self.coefficients)))
        columns = noise.copy()
        for j in range(1, columns.shape[1]):
            own = np.sqrt(1 - self.correlation**2) * noise[:, j]
            columns[:, j] = self.correlation * columns[:, j - 1] + own
        return columns

    def drawn(self, rng: Generator) -> Patients:
        """The patients of one data set, and what became of them."""
        columns = self.columns(self.patients, rng)
        event = rng.random(self.patients) < self.risk(columns)
        return Patients(columns, event.astype(np.int8), np.arange(columns.shape[1]))


def strong(**changes: Any) -> Scenario:
    """Four strong effects and many patients: the workflow has nothing to choose."""
    given = {
        "name": "strong",
        "intercept": -0.5,
        "coefficients": np.array([0.8, -0.7, 0.6, 0.5]),
        "patients": 1000,
        "correlation": 0.3,
        "settings": Baseline(folds=5),
    }
    return Scenario(**(given | changes))


def weak(**changes: Any) -> Scenario:
    """The reference synth26 with four of its zeros made weak effects: 6, 4 and 16 zeros."""
    path = ROOT / "tests" / "reference" / "synth26_truth.json"
    truth = json.loads(path.read_text(encoding="utf-8"))
    given = {
        "name": "weak",
        "intercept": truth["intercept"],
        "coefficients": np.array(list((truth["beta"] | WEAK).values()), dtype=float),
        "patients": truth["n"],
        "correlation": truth["rho"],
        "settings": Baseline(),
    }
    return Scenario(**(given | changes))


SCENARIOS: dict[str, Callable[..., Scenario]] = {"strong": strong, "weak": weak}


def study_sets(scenario: Scenario, block: range) -> dict[str, NDArray[Any]]:
    """Simulate data sets by their numbers, and find all intervals of each.

    Returns
    -------
    dict of str to ndarray
        First axis: data set; NaN where there is no model, or no Wald interval. Limits have lower
        and upper on their last axis.
    """
    results = [_study_set(scenario, number) for number in block]
    return {name: np.stack([one[name] for one in results]) for name in results[0]}


def _study_set(scenario: Scenario, number: int) -> dict[str, NDArray[Any]]:
    streams = SeedSequence(scenario.seed, spawn_key=(number,)).spawn(3)
    rng, for_fresh, for_workflow = (np.random.default_rng(stream) for stream in streams)
    patients, fresh = scenario.drawn(rng), scenario.columns(FRESH, for_fresh)
    seed = int(for_workflow.integers(2**63))
    once = run_pipeline(patients, scenario.settings, SeedSequence(seed, spawn_key=(0,)))
    width = len(scenario.coefficients)
    record: dict[str, NDArray[Any]] = {
        "status": np.asarray(CODES.index(once.status)),
        "truth": scenario.risk(fresh),
        "selected": np.zeros(width, dtype=bool),
        "estimate": np.full(width, np.nan),
        "beta": np.full((width, 2), np.nan),
        "risk": np.full((FRESH, 2), np.nan),
        "beta_wald": np.full((width, 2), np.nan),
        "risk_wald": np.full((FRESH, 2), np.nan),
        "resample_status": np.zeros(len(CODES), dtype=int),
        "resample_firth": np.asarray(0),
    }
    if once.final is None or once.status not in ("fitted", "empty"):
        return record
    given = Resampled(patients, scenario.settings, "bootstrap", seed, once.final.members)
    found = resample_block(given, range(scenario.resamples))
    wald_beta, wald_risk = wald_limits(once.final, fresh)
    percentile_beta, percentile_risk = percentile_limits(found, fresh)
    return record | {
        "selected": once.final.members,
        "estimate": once.final.coefficients,
        "beta": percentile_beta,
        "risk": percentile_risk,
        "beta_wald": wald_beta,
        "risk_wald": wald_risk,
        "resample_status": np.bincount(found["status"], minlength=len(CODES)),
        "resample_firth": np.asarray(found["final_firth"].sum()),
    }


def percentile_limits(found: dict[str, NDArray[Any]], fresh: Floats) -> tuple[Floats, Floats]:
    """Percentiles over resamples that gave a model: of coefficients, and of fresh patients' risks.

    A column that a resample did not choose has the coefficient 0.
    """
    usable = np.isfinite(found["intercept"])
    beta, intercept = found["beta"][usable], found["intercept"][usable]
    risk = expit(intercept[:, np.newaxis] + beta @ fresh.T)
    return tuple(equal_tailed(draws, CI_PROB)[[0, 2]].T for draws in (beta, risk))  # type: ignore


def wald_limits(final: Model, fresh: Floats) -> tuple[Floats, Floats]:
    """Limits that take the final model for the only one that was ever thought of."""
    fit = final.fit
    beta = np.column_stack([final.spread(limit) for limit in wald_interval(fit, CI_PROB).T])
    row = np.column_stack([np.ones(len(fresh)), fresh[:, final.members]])
    log_odds = row @ np.append(fit.intercept, fit.coefficients)
    half = Z * np.sqrt(np.einsum("ij,jk,ik->i", row, fit.covariance, row))
    return beta, expit(np.column_stack([log_odds - half, log_odds + half]))


# --- The table -----------------------------------------------------------------------------------


def expected_coverage(resamples: int) -> float:
    """Coverage of percentiles of so many draws, where draws err as the estimate does.

    The limits are on average the 1 + 0.025 (B - 1)-th of B draws from either end; an error like
    theirs falls below the k-th of them with probability k/(B + 1).
    """
    return CI_PROB * (resamples - 1) / (resamples + 1)


def coverage_table(found: dict[str, NDArray[Any]], scenario: Scenario) -> pd.DataFrame:
    """Coverage, its Monte Carlo standard error and mean width of both intervals.

    Returns
    -------
    DataFrame
        ``what, truth, selected, bias, coverage, mcse, below, above, width`` and Wald's
        ``wald_coverage, wald_mcse, wald_width``, of the data sets that selected the column.
        ``below``, ``above``: share of intervals that lie wholly below or above the truth.
    """
    return pd.DataFrame([_row(*quantity) for quantity in _quantities(found, scenario)])


def _quantities(
    found: dict[str, NDArray[Any]], scenario: Scenario
) -> Iterator[tuple[str, Floats, Flags, dict[str, NDArray[Any]]]]:
    """Name, truth, which of them are meant, and intervals; arrays (data set, quantity)."""
    modelled = np.isfinite(found["beta"][..., 0])
    truth = np.broadcast_to(scenario.coefficients, modelled.shape)
    columns = {"interval": found["beta"], "wald": found["beta_wald"]}
    columns |= {"selected": found["selected"], "estimate": found["estimate"]}
    for j in np.flatnonzero(scenario.coefficients):
        at = np.zeros(len(scenario.coefficients), dtype=bool)
        at[j] = True
        yield f"x{j + 1}", truth, modelled & at, columns
    zero = scenario.coefficients == 0
    if zero.any():
        yield f"{zero.sum()} zeros", truth, modelled & zero, columns
    risk, modelled = found["truth"], np.isfinite(found["risk"][..., 0])
    risks = {"interval": found["risk"], "wald": found["risk_wald"]}
    yield "risk", risk, modelled, risks
    for low, high in RISK_BANDS:
        yield f"risk {low:g} to {high:g}", risk, modelled & (risk >= low) & (risk < high), risks


def _row(
    name: str, truth: Floats, meant: Flags, arrays: dict[str, NDArray[Any]]
) -> dict[str, str | float]:
    lower, upper = np.moveaxis(arrays["interval"], -1, 0)
    wald_lower, wald_upper = np.moveaxis(arrays["wald"], -1, 0)
    by_wald = meant & np.isfinite(wald_lower)
    holds, error = _share((lower <= truth) & (truth <= upper), meant)
    wald, wald_error = _share((wald_lower <= truth) & (truth <= wald_upper), by_wald)
    return {
        "what": name,
        "truth": truth[meant].mean(),
        "selected": _share(arrays["selected"], meant)[0] if "selected" in arrays else np.nan,
        "bias": (arrays["estimate"] - truth)[meant].mean() if "estimate" in arrays else np.nan,
        "coverage": holds,
        "mcse": error,
        "below": _share(upper < truth, meant)[0],
        "above": _share(lower > truth, meant)[0],
        "width": (upper - lower)[meant].mean(),
        "wald_coverage": wald,
        "wald_mcse": wald_error,
        "wald_width": (wald_upper - wald_lower)[by_wald].mean() if by_wald.any() else np.nan,
    }


def _share(true: Flags, meant: Flags) -> tuple[float, float]:
    """Share and its standard error; what comes from one data set is not independent."""
    count, total = (true & meant).sum(axis=1), meant.sum(axis=1)
    if not total.any():
        return np.nan, np.nan
    share = count.sum() / total.sum()
    return share, np.sqrt(((count - share * total) ** 2).sum()) / total.sum()


def outcomes(found: dict[str, NDArray[Any]]) -> str:
    """What became of data sets and resamples, in words."""
    sets, resamples = np.bincount(found["status"], minlength=len(CODES)), found["resample_status"]
    parts = [
        ", ".join(f"{count} {code}" for code, count in zip(CODES, counts, strict=True) if count)
        for counts in (sets, resamples.sum(axis=0))
    ]
    firth = found["resample_firth"].sum()
    everything = found["selected"].all(axis=1).mean()
    return (
        f"data sets: {parts[0]}; resamples: {parts[1]}; final model separated in {firth} of them; "
        f"every column selected in {100 * everything:.1f} % of data sets"
    )


def as_markdown(table: pd.DataFrame) -> str:
    """The table as in the page."""
    names = list(table.columns)
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in table.itertuples(index=False):
        cells = [cell if isinstance(cell, str) else f"{cell:.3f}" for cell in row]
        lines.append("| " + " | ".join("" if cell == "nan" else cell for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help="strong, weak")
    parser.add_argument("--sets", type=int, help="data sets; default 300 strong, 150 weak")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--patients", type=int, help="in each data set, instead of 1000 or 224")
    parser.add_argument("--save", type=Path, help="folder for the intervals of every data set")
    options = parser.parse_args()
    for name in options.scenarios:
        changes = {"patients": options.patients} if options.patients else {}
        scenario = SCENARIOS[name](resamples=options.resamples, **changes)
        sets = options.sets or {"strong": 300, "weak": 150}[name]
        found = run_blocks(
            study_sets, scenario, sets, workers=Workers("processes"), block=5, unit="data sets"
        )
        if options.save:
            np.savez(options.save / f"{name}.npz", **found)
        print(f"\n{name}: {scenario.patients} patients, {sets} data sets x {options.resamples}")
        print(f"expected of {options.resamples} draws: {expected_coverage(options.resamples):.3f}")
        print(outcomes(found))
        print(as_markdown(coverage_table(found, scenario)), flush=True)


if __name__ == "__main__":
    main()
