"""What selection finds where the truth is known, and what it costs.

``python benchmarks/selection.py truth`` simulates data sets with known coefficients, selects by
projection, by rules on single coefficients and by LASSO, and prints the tables of
docs/selection-on-known-truth.md. Everything about a data set follows from its number, so that
neither the number of cores nor an interruption changes a figure.

``python benchmarks/selection.py speed`` times `select` on the embedded example; with ``--r`` beside
rstanarm and projpred (benchmarks/selection.R). Times are of one machine at one moment, whose load
is printed: compare figures of one run with each other.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bayes_cmvt as bc  # noqa: E402
from bayes_cmvt import metrics, selection  # noqa: E402
from bayes_cmvt.pipeline import (  # noqa: E402
    Patients,
    PipelineFit,
    fitted_model,
    risk_model,
    run_pipeline,
)
from bayes_cmvt.posterior import settings_of  # noqa: E402
from bayes_cmvt.projection import project_nested  # noqa: E402
from bayes_cmvt.repetitions import JudgedSizes, Reference, SelectionSettings  # noqa: E402
from bayes_cmvt.schema import Baseline  # noqa: E402
from bayes_cmvt.selection import elpd_differences, select, suggest_size  # noqa: E402
from bayes_cmvt.selection_rules import expected_errors, horseshoe_rules  # noqa: E402
from bayes_cmvt.study import parse_study  # noqa: E402
from bayes_cmvt.submodels import ReferenceDraws, project_draws  # noqa: E402
from benchmarks.baseline_coverage import Scenario, as_markdown  # noqa: E402

SEED = 2026
FRESH = 10_000  # patients that every model of a data set is judged on, new ones for each
SAMPLER: Mapping[str, Any] = {"chains": 4, "warmup": 1000, "draws": 1000}
ONCE = {"repeats": 1, "subsamples": 0, "splits": 0, "seeds": 0, "dealings": 0}
SETTINGS = SelectionSettings(**ONCE)
WORKFLOW = Baseline()
LARGEST = 12  # size up to which submodels of the path are judged one by one
COPY = 0.98  # correlation of x27 with x1
BANDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # of posterior probabilities
PROCEDURES = {
    "projection": "projection, suggested size",
    "projection_told": "projection, told the size",
    "kappa": "kappa rule",
    "rope": "rope rule",
    "interval": "interval rule",
    "lasso_min": "LASSO, lambda.min",
    "lasso_1se": "LASSO, lambda.1se",
    "lasso_final": "LASSO, lambda.min, P < 0.05",
}
MODELS = {
    "truth": "true risks",
    "truth_ml": "true predictors, ML",
    "full": "full posterior",
    **{name: PROCEDURES[name] for name in ("projection", "projection_told")},
    **{name: PROCEDURES[name] for name in ("kappa", "rope", "interval")},
    "lasso_min": "LASSO, lambda.min",
    "lasso_min_ml": "LASSO, lambda.min, then ML",
    "lasso_1se": "LASSO, lambda.1se",
    "lasso_1se_ml": "LASSO, lambda.1se, then ML",
    "lasso_final": "LASSO, lambda.min, P < 0.05, ML",
}

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Record = dict[str, Any]
type Rows = list[dict[str, str | float]]


# --- Truths --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Copied(Scenario):
    """A truth whose last column tells hardly anything but what the first tells."""

    def columns(self, n: int, rng: Generator) -> Floats:
        """Columns of new patients, shape (patient, column)."""
        columns = super().columns(n, rng)
        own = np.sqrt(1 - COPY**2) * rng.standard_normal(n)
        columns[:, -1] = COPY * columns[:, 0] + own
        return columns


def known_truth() -> Record:
    """Truth of the reference synth26: 6 of 26 columns matter."""
    path = ROOT / "tests" / "reference" / "synth26_truth.json"
    truth = json.loads(path.read_text(encoding="utf-8"))
    return {
        "intercept": truth["intercept"],
        "coefficients": np.array(list(truth["beta"].values()), dtype=float),
        "patients": truth["n"],
        "correlation": truth["rho"],
        "settings": WORKFLOW,
        "seed": SEED,
    }


def scenarios() -> dict[str, Scenario]:
    """Truths by name; a data set's random numbers depend on the place of its truth."""
    given = known_truth()
    beta = given["coefficients"]
    events = 82 / given["patients"]  # the share that is expected of the truth with effects
    nothing = {"coefficients": np.zeros(len(beta)), "intercept": np.log(events / (1 - events))}
    return {
        "six": Scenario(name="six", **given),
        "null": Scenario(name="null", **given | nothing),
        "copy": Copied(name="copy", **given | {"coefficients": np.append(beta, 0.0)}),
    }


SETS = {"six": 200, "null": 50, "copy": 30}


# --- One data set --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """One data set with its posterior, and the fresh patients that judge every model.

    Attributes
    ----------
    patients : Patients
        In the columns' own units.
    fresh : ndarray, shape (fresh patient, column)
    fit : DataTree
        The posterior over all columns.
    """

    patients: Patients
    fresh: Floats
    fit: xr.DataTree

    @property
    def draws(self) -> ReferenceDraws:
        """As many draws as are projected to judge a submodel."""
        posterior = self.fit["posterior"]
        intercept = posterior["intercept"].to_numpy().ravel()
        beta = posterior["beta"].to_numpy().reshape(len(intercept), -1)
        return ReferenceDraws(intercept, beta).thinned(SETTINGS.draws)

    def standardised(self, columns: Floats) -> Floats:
        """Columns as the posterior knows them."""
        known = self.fit["constant_data"]
        return np.asarray((columns - known["mean"].to_numpy()) / known["sd"].to_numpy())

    def posterior_risk(self, kept: Flags | None = None) -> Floats:
        """Posterior-mean risk of fresh patients; by the draws projected onto columns, if given."""
        draws = self.draws
        if kept is not None:
            learnt = self.standardised(self.patients.columns)
            draws, _ = project_draws(draws, learnt, np.flatnonzero(kept))
        return np.asarray(draws.risks(self.standardised(self.fresh)).mean(axis=0))

    def refitted_risk(self, kept: Flags) -> Floats:
        """Risk of fresh patients by maximum likelihood, FLAC where that does not exist."""
        model = risk_model(self.patients, fitted_model(self.patients, kept))
        return linear_risk(model.fit.intercept, model.coefficients, self.fresh)


def linear_risk(intercept: float, coefficients: Floats, columns: Floats) -> Floats:
    """Risk by a logistic model, shape (patient,)."""
    return np.asarray(expit(intercept + columns @ coefficients))


def cohort_of(patients: Patients) -> bc.Cohort:
    """Simulated patients as a study's: every default of the prior, columns x1, x2, …."""
    names = [f"x{j + 1}" for j in range(patients.columns.shape[1])]
    heading = 'schema = 1\nname = "simulated"\ntitle = "Simulated"\n'
    outcome = '[outcome]\ncolumn = "y"\nevent = 1\n'
    declared = (f'[[predictors]]\nname = "{name}"\nkind = "continuous"\n' for name in names)
    table = pd.DataFrame(patients.columns, columns=names).assign(y=patients.outcome.astype(int))
    return bc.load_cohort(parse_study(heading + outcome + "".join(declared)), table)


def study_set(scenario: Scenario, number: int) -> Record:
    """Simulate one data set by its number, select from it in every way, and judge every model.

    Returns
    -------
    dict
        What JSON holds: the sets that procedures kept as positions, the figures of the models, what
        the posterior expected.
    """
    place = list(SETS).index(scenario.name)
    streams = SeedSequence(scenario.seed, spawn_key=(place, number)).spawn(5)
    for_patients, for_fresh, for_draws, for_selection, for_workflow = streams
    started = time.process_time()
    with threadpool_limits(limits=1):
        patients = scenario.drawn(np.random.default_rng(for_patients))
        cohort = cohort_of(patients)
        fit = bc.sample(cohort, seed=_seed(for_draws), cores=1, **SAMPLER)
        settings = SelectionSettings(**ONCE, seed=_seed(for_selection))
        selected = select(fit, cohort, settings=settings, cores=1)
        workflow = run_pipeline(patients, scenario.settings, for_workflow)
        rng = np.random.default_rng(for_fresh)
        problem = Problem(patients, scenario.columns(FRESH, rng), fit)
        kept = kept_columns(scenario, selected, horseshoe_rules(fit), workflow)
        risks = fresh_risks(scenario, problem, kept, workflow)
        outcome = (rng.random(FRESH) < risks["truth"]).astype(np.int8)
        record = {
            "scenario": scenario.name,
            "number": number,
            "made_by": made_by(scenario),
            "events": int(patients.outcome.sum()),
            "workflow": workflow.status,
            "kept": {name: np.flatnonzero(flags).tolist() for name, flags in kept.items()},
            "performance": judged(risks, outcome),
            **along_path(problem, selected, outcome),
            **expectations(scenario, fit, kept),
        }
    return record | {"core_seconds": round(time.process_time() - started, 2)}


def _seed(stream: SeedSequence) -> int:
    return int(stream.generate_state(1)[0])


def made_by(scenario: Scenario) -> str:
    """Fingerprint of all settings: records of others are not mixed with these.

    It does not know the code: after a change of the package start with a new file.
    """
    truth = [scenario.name, scenario.intercept, scenario.coefficients.tolist(), scenario.seed]
    rest = [scenario.patients, scenario.correlation, dict(scenario.settings), asdict(SETTINGS)]
    text = json.dumps([*truth, *rest, dict(SAMPLER), FRESH, LARGEST, COPY], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def kept_columns(
    scenario: Scenario, selected: xr.DataTree, rules: pd.DataFrame, workflow: PipelineFit
) -> dict[str, Flags]:
    """Which columns each procedure keeps; without those of a workflow that failed."""
    order = selected["search"]["order"].to_numpy()
    width = len(scenario.coefficients)
    sizes = {"projection": int(settings_of(selected)["suggested"])}
    sizes["projection_told"] = int((scenario.coefficients != 0).sum())
    kept = {name: np.isin(np.arange(width), order[:size]) for name, size in sizes.items()}
    for rule, column in (("kappa", "kappa"), ("rope", "rope_rule"), ("interval", "interval_rule")):
        kept[rule] = rules[column].to_numpy(dtype=bool)
    if workflow.status in ("fitted", "empty"):
        found, final = workflow.cross_validated, workflow.final
        assert found is not None
        assert final is not None
        kept["lasso_min"] = found.path.selected[found.index_min]
        kept["lasso_1se"] = found.path.selected[found.index_1se]
        kept["lasso_final"] = final.members
    return kept


def fresh_risks(
    scenario: Scenario, problem: Problem, kept: Mapping[str, Flags], workflow: PipelineFit
) -> dict[str, Floats]:
    """Risks of the fresh patients by every model; none of a workflow that failed."""
    risks = {
        "truth": scenario.risk(problem.fresh),
        "truth_ml": problem.refitted_risk(scenario.coefficients != 0),
        "full": problem.posterior_risk(),
    }
    for name in ("projection", "projection_told", "kappa", "rope", "interval"):
        risks[name] = problem.posterior_risk(kept[name])
    if "lasso_min" not in kept:
        return risks
    found = workflow.cross_validated
    assert found is not None
    for name, place in (("lasso_min", found.index_min), ("lasso_1se", found.index_1se)):
        path = found.path
        own = linear_risk(path.intercept[place], path.coefficients[place], problem.fresh)
        risks |= {name: own, f"{name}_ml": problem.refitted_risk(kept[name])}
    return risks | {"lasso_final": problem.refitted_risk(kept["lasso_final"])}


def judged(
    risks: Mapping[str, Floats], outcome: NDArray[np.int8]
) -> dict[str, dict[str, float | None]]:
    """AUC, calibration slope and error of the risks of fresh patients, by model."""
    return {
        name: {
            "auc": rounded(metrics.auc(outcome, risk)),
            "slope": rounded(metrics.calibration_slope(outcome, risk)),
            "risk_error": rounded(np.sqrt(np.mean((risk - risks["truth"]) ** 2))),
        }
        for name, risk in risks.items()
    }


def along_path(problem: Problem, selected: xr.DataTree, outcome: NDArray[np.int8]) -> Record:
    """What cross-validation says of every size, and what fresh patients say of the first ones."""
    order = selected["search"]["order"].to_numpy()
    group = selected["cross_validation"]
    names = ("risk", "reference_risk", "fold", "order")
    left_out = JudgedSizes(*(group[name].to_numpy() for name in names))
    difference, se = elpd_differences(left_out, problem.patients.outcome)
    draws, learnt = problem.draws, problem.standardised(problem.patients.columns)
    groups, fresh = np.arange(learnt.shape[1]), problem.standardised(problem.fresh)
    nested = project_nested(learnt, groups, draws.risks(learnt), order[:LARGEST].tolist())
    submodels = (ReferenceDraws(one.intercept, one.coefficients) for one in nested)
    risk = np.stack([one.risks(fresh).mean(axis=0) for one in submodels])
    return {
        "suggested": int(settings_of(selected)["suggested"]),
        "order": order.tolist(),
        "elpd_difference": [rounded(one) for one in difference],
        "elpd_difference_se": [rounded(one) for one in se],
        "path_auc": [rounded(one) for one in metrics.auc(outcome, risk)],
    }


def expectations(scenario: Scenario, fit: xr.DataTree, kept: Mapping[str, Flags]) -> Record:
    """What the posterior expects to be wrong, and the signs that it has wrong."""
    rules = horseshoe_rules(fit)
    mean = fit["posterior"]["beta"].mean(("chain", "draw")).to_numpy()
    wrong = (scenario.coefficients != 0) & (np.sign(mean) != np.sign(scenario.coefficients))
    table = expected_errors(rules, kept).set_index("procedure")
    return {
        "in_rope": [rounded(1 - one) for one in rules["prob_beyond_rope"]],
        "expected_wrong_sign": {name: rounded(table["expected_wrong_sign"][name]) for name in kept},
        "expected_in_rope": {name: rounded(table["expected_in_rope"][name]) for name in kept},
        "wrong_sign": {name: int((wrong & flags).sum()) for name, flags in kept.items()},
    }


def rounded(value: Any) -> float | None:
    """A figure as JSON keeps it."""
    return round(float(value), 5) if np.isfinite(value) else None


# --- Many data sets ------------------------------------------------------------------------------


def study_sets(scenario: Scenario, sets: int, *, cores: int, keep: Path | None) -> list[Record]:
    """Records of data sets in the order of their numbers; what is kept is not made again."""
    known = kept_records(scenario, keep)
    missing = [number for number in range(sets) if number not in known]
    for record in made(scenario, missing, cores):
        known[record["number"]] = record
        if keep is not None:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        seconds = record["core_seconds"]
        print(f"{scenario.name} {record['number']}: {seconds} core-s", file=sys.stderr, flush=True)
    return [known[number] for number in range(sets)]


def made(scenario: Scenario, numbers: Sequence[int], cores: int) -> Iterator[Record]:
    """Study data sets, here or in processes."""
    study = functools.partial(study_set, scenario)
    if cores == 1:
        yield from map(study, numbers)
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        yield from pool.map(study, numbers)


def kept_records(scenario: Scenario, keep: Path | None) -> dict[int, Record]:
    """Finished data sets of this truth and these settings; a line that was cut off is ignored."""
    if keep is None or not keep.exists():
        return {}
    records = {}
    for line in keep.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["made_by"] == made_by(scenario):
            records[record["number"]] = record
    return records


# --- Tables --------------------------------------------------------------------------------------


def kept_flags(records: Sequence[Record], procedure: str, width: int) -> Flags:
    """Columns that a procedure kept, shape (data set, column); without sets where it failed."""
    sets = [record["kept"][procedure] for record in records if procedure in record["kept"]]
    return np.array([np.isin(np.arange(width), one) for one in sets]).reshape(-1, width)


def with_error(values: Floats) -> tuple[float, float]:
    """Mean over data sets, and its Monte Carlo standard error."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return np.nan, np.nan
    return float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))


def selection_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """What each procedure finds of the truth, and what it takes for the truth.

    Returns
    -------
    DataFrame
        ``procedure, size, sensitivity, sensitivity_mcse, false, false_mcse, false_share,
        share_mcse, exact, exact_mcse, nothing``; ``false_share`` is false discoveries over columns
        kept, 0 where nothing is kept; ``nothing`` the share of data sets where that is so.
    """
    real = truth != 0
    rows: Rows = []
    for name, label in PROCEDURES.items():
        kept = kept_flags(records, name, len(truth))
        size, false = kept.sum(axis=1), (kept & ~real).sum(axis=1)
        found = (kept & real).sum(axis=1) / real.sum() if real.any() else np.full(len(kept), np.nan)
        columns = {
            "sensitivity": (found, "sensitivity_mcse"),
            "false": (false.astype(float), "false_mcse"),
            "false_share": (false / np.maximum(size, 1), "share_mcse"),
            "exact": ((kept == real).all(axis=1).astype(float), "exact_mcse"),
        }
        row: dict[str, str | float] = {"procedure": label, "size": float(size.mean())}
        for column, (values, error) in columns.items():
            row[column], row[error] = with_error(values)
        rows.append(row | {"nothing": float((size == 0).mean())})
    return pd.DataFrame(rows)


def effects_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """Share of data sets in which each procedure keeps each column that matters, and any other."""
    real = np.flatnonzero(truth)
    rows: Rows = []
    for name, label in PROCEDURES.items():
        share = kept_flags(records, name, len(truth)).mean(axis=0)
        found = {f"x{j + 1} ({truth[j]:g})": float(share[j]) for j in real}
        rows.append({"procedure": label, **found, "each other": float(share[truth == 0].mean())})
    return pd.DataFrame(rows)


def figures(records: Sequence[Record], model: str, figure: str) -> Floats:
    """One figure of one model, shape (data set,); NaN where there is none."""
    found = [record["performance"].get(model, {}).get(figure) for record in records]
    return np.array([np.nan if one is None else one for one in found])


def performance_table(records: Sequence[Record]) -> pd.DataFrame:
    """How every model predicts fresh patients.

    Returns
    -------
    DataFrame
        ``model, auc, auc_mcse, auc_diff, diff_mcse, slope, slope_mcse, slope_sd, risk_error,
        error_mcse``; ``auc_diff`` less the full posterior's, data set by data set; ``slope_sd``
        over data sets; ``risk_error`` the root mean squared distance from the true risk.
    """
    full = figures(records, "full", "auc")
    rows: Rows = []
    for name, label in MODELS.items():
        auc, slope = figures(records, name, "auc"), figures(records, name, "slope")
        row: dict[str, Any] = {"model": label}
        row["auc"], row["auc_mcse"] = with_error(auc)
        row["auc_diff"], row["diff_mcse"] = with_error(auc - full)
        row["slope"], row["slope_mcse"] = with_error(slope)
        row["slope_sd"] = row["slope_mcse"] * np.sqrt(np.isfinite(slope).sum())
        row["risk_error"], row["error_mcse"] = with_error(figures(records, name, "risk_error"))
        rows.append(row)
    return pd.DataFrame(rows)


def sizes_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """Share of data sets by the number of columns that each procedure keeps."""
    rows: Rows = []
    for name, label in PROCEDURES.items():
        size = kept_flags(records, name, len(truth)).sum(axis=1)
        row: dict[str, str | float] = {"procedure": label}
        row |= {str(k): float((size == k).mean()) for k in range(LARGEST)}
        row |= {f"{LARGEST} or more": float((size >= LARGEST).mean())}
        rows.append(row | {"all": float((size == len(truth)).mean())})
    return pd.DataFrame(rows)


def path_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """What the projection would find at each size, and how its submodels predict fresh patients.

    Returns
    -------
    DataFrame
        ``size, sensitivity, sensitivity_mcse, false, false_mcse, auc_diff, diff_mcse``;
        ``auc_diff`` less the full posterior's.
    """
    return pd.DataFrame(
        [
            {"size": str(k), **at_sizes(records, truth, np.full(len(records), k))}
            for k in range(LARGEST + 1)
        ]
    )


def at_sizes(
    records: Sequence[Record], truth: Floats, sizes: NDArray[np.int64]
) -> dict[str, float]:
    """Means over data sets of what the projection finds at a size for each of them."""
    full, real = figures(records, "full", "auc"), truth != 0
    found, false, auc = np.empty((3, len(records)))
    for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
        kept = real[record["order"][:size]]
        found[i], false[i] = kept.sum(), (~kept).sum()
        auc[i] = record["path_auc"][min(size, LARGEST)]
    row = {}
    if real.any():
        row["sensitivity"], row["sensitivity_mcse"] = with_error(found / real.sum())
    row["false"], row["false_mcse"] = with_error(false)
    row["auc_diff"], row["diff_mcse"] = with_error(auc - full)
    return row


def matched_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """What the projection's search finds where it stops at the size of another procedure.

    Returns
    -------
    DataFrame
        ``procedure, size, sensitivity, projection, difference, mcse``; ``difference`` is the
        projection's sensitivity less the procedure's, data set by data set.
    """
    real, rows = truth != 0, []
    for name, label in PROCEDURES.items():
        if name.startswith("projection"):
            continue
        kept = kept_flags(records, name, len(truth))
        used = [record for record in records if name in record["kept"]]
        found = (kept & real).sum(axis=1) / real.sum()
        size = kept.sum(axis=1)
        first = [real[one["order"][:k]].sum() for one, k in zip(used, size, strict=True)]
        ours = np.array(first) / real.sum()
        row: dict[str, Any] = {"procedure": label, "size": float(size.mean())}
        row |= {"sensitivity": float(found.mean()), "projection": float(ours.mean())}
        row["difference"], row["mcse"] = with_error(ours - found)
        rows.append(row)
    return pd.DataFrame(rows)


def suggestions(record: Record) -> dict[str, int]:
    """Size of the projected submodel of one data set by rules for the size, ours first."""
    difference = np.array(record["elpd_difference"])
    se = np.array(record["elpd_difference_se"])
    largest = len(difference) - 1

    def first(close: Flags) -> int:
        return int(np.argmax(close)) if close.any() else largest

    assert record["suggested"] == suggest_size(difference, se)
    return {
        "less than one SE or less than 4 below (ours)": record["suggested"],
        "less than one SE below": first(difference >= -se),
        "less than 4 below": first(difference > -4),
        "less than one SE and less than 4 below": first((difference >= -se) & (difference > -4)),
        "not below": first(difference >= 0),
        "highest elpd": int(np.argmax(difference)),
    }


def suggestions_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """What the size of the projected submodel would have been by other rules, and what it costs.

    Returns
    -------
    DataFrame
        ``elpd, size, sensitivity, sensitivity_mcse, false, false_mcse, auc_diff, diff_mcse``;
        ``auc_diff`` less the full posterior's, of sizes up to 12: larger ones count as 12.
    """
    sizes = [suggestions(record) for record in records]
    rows: Rows = []
    for rule in sizes[0]:
        chosen = np.array([one[rule] for one in sizes])
        means = at_sizes(records, truth, chosen)
        rows.append({"elpd": rule, "size": float(chosen.mean()), **means})
    return pd.DataFrame(rows)


def expected_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """False discoveries that the posterior expects among the columns kept, and those there are.

    Returns
    -------
    DataFrame
        ``procedure, false, expected_in_rope, difference, mcse, wrong_sign, expected_wrong_sign``;
        ``difference`` is found less expected in the region of practical equivalence, ``wrong_sign``
        the columns that matter, kept, whose posterior mean has the other sign.
    """
    rows: Rows = []
    for name, label in PROCEDURES.items():
        used = [record for record in records if name in record["kept"]]
        false = (kept_flags(used, name, len(truth)) & (truth == 0)).sum(axis=1)
        expected = np.array([record["expected_in_rope"][name] for record in used])
        difference, error = with_error(false - expected)
        sign = np.array([record["wrong_sign"][name] for record in used])
        expected_sign = np.array([record["expected_wrong_sign"][name] for record in used])
        rows.append(
            {
                "procedure": label,
                "false": float(false.mean()),
                "expected_in_rope": float(expected.mean()),
                "difference": difference,
                "mcse": error,
                "wrong_sign": float(sign.mean()),
                "expected_wrong_sign": float(expected_sign.mean()),
            }
        )
    return pd.DataFrame(rows)


def reliability_table(records: Sequence[Record], truth: Floats) -> pd.DataFrame:
    """Columns by the posterior probability that they have no effect of practical size."""
    said = np.array([record["in_rope"] for record in records])
    noise = np.broadcast_to(truth == 0, said.shape)
    rows: Rows = []
    for low, high in itertools.pairwise(BANDS):
        inside = (said >= low) & ((said < high) | (high == 1))
        if not inside.any():
            continue
        count, total = (inside & noise).sum(axis=1), inside.sum(axis=1)
        share = count.sum() / total.sum()
        error = np.sqrt(((count - share * total) ** 2).sum()) / total.sum()
        rows.append(
            {
                "said": f"{low:g} to {high:g}",
                "columns": f"{total.sum()}",
                "said_mean": float(said[inside].mean()),
                "noise": float(share),
                "mcse": float(error),
            }
        )
    return pd.DataFrame(rows)


def copies_table(records: Sequence[Record], width: int) -> pd.DataFrame:
    """What becomes of the first column and of its copy, the last."""
    rows: Rows = []
    for name, label in PROCEDURES.items():
        kept = kept_flags(records, name, width)
        first, last = kept[:, 0], kept[:, -1]
        states = {"x1": first, f"x{width}": last, "exactly one": first ^ last}
        states |= {"both": first & last, "neither": ~(first | last)}
        shares = {state: float(flags.mean()) for state, flags in states.items()}
        rows.append({"procedure": label, **shares})
    return pd.DataFrame(rows)


def print_tables(scenario: Scenario, records: Sequence[Record]) -> None:
    """Everything that the page shows of one truth."""
    truth = scenario.coefficients
    events = np.array([record["events"] for record in records])
    seconds = np.array([record["core_seconds"] for record in records])
    failed = sum("lasso_min" not in record["kept"] for record in records)
    print(f"\n## {scenario.name}: {len(records)} data sets of {scenario.patients} patients")
    print(f"events {events.min()} to {events.max()}, mean {events.mean():.1f};")
    print(f"failed workflows {failed}; {np.median(seconds):.1f} core-seconds each (median)")
    tables = {"found": selection_table(records, truth)}
    if truth.any():
        tables["effects"] = effects_table(records, truth)
        tables["projection at the size of others"] = matched_table(records, truth)
    if isinstance(scenario, Copied):
        tables["copies"] = copies_table(records, len(truth))
    tables |= {
        "fresh patients": performance_table(records),
        "sizes": sizes_table(records, truth),
        "projection at every size": path_table(records, truth),
        "rules for the size of the projection": suggestions_table(records, truth),
        "false discoveries": expected_table(records, truth),
        "probability of no practical effect": reliability_table(records, truth),
    }
    for title, table in tables.items():
        print(f"\n{title}\n\n{as_markdown(table.round(3).replace(0.0, 0.0))}", flush=True)


def truth(options: argparse.Namespace) -> None:
    """Study all data sets, and print the tables."""
    for name, scenario in scenarios().items():
        if name not in options.scenarios:
            continue
        sets = min(SETS[name], options.sets) if options.sets else SETS[name]
        records = study_sets(scenario, sets, cores=options.cores, keep=options.keep)
        if records:
            print_tables(scenario, records)


# --- Speed ---------------------------------------------------------------------------------------

PARTS: Mapping[str, tuple[Any, str]] = {
    "search": (selection, "search_submodels"),
    "cross-validation": (Reference, "judged"),
    "repetitions": (Reference, "repeated"),
    "LASSO, folds dealt again": (Reference, "dealt_again"),
    "projection": (selection, "projected_fit"),
}
EXPECTED_R = {"reference": "sampling", "kfold": "10-fold, repeats=1"}

type Spent = dict[str, NDArray[np.float64]]


def cost(work: Callable[[], Any]) -> tuple[Any, NDArray[np.float64]]:
    """What some work returns, its wall time, and core time of all its threads, in seconds."""
    before = time.perf_counter(), time.process_time()
    found = work()
    return found, np.subtract((time.perf_counter(), time.process_time()), before)


@contextmanager
def clocked(owner: Any, name: str, label: str, spent: Spent) -> Iterator[None]:
    """Have a function's calls timed."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def timed(*args: Any, **keys: Any) -> Any:
        found, seconds = cost(functools.partial(original, *args, **keys))
        spent[label] = spent.get(label, np.zeros(2)) + seconds
        return found

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)


def selection_costs(cores: int) -> dict[str, Spent]:
    """Wall and core seconds on the embedded example, by settings and part."""
    cohort = bc.load_cohort(bc.load_study("pep"))
    short = SelectionSettings(**ONCE | {"folds": 2, "dealings": 2}, max_size=2, draws=25)
    tiny = bc.sample(cohort, seed=1, warmup=10, draws=25, cores=cores)
    select(tiny, cohort, settings=short, cores=cores)  # kernels are compiled before the clock runs
    fit, sampled = cost(lambda: bc.sample(cohort, seed=1, cores=cores))
    found: dict[str, Spent] = {"sampling": {"together": sampled}}
    for name, settings in (
        ("10-fold, repeats=1", SelectionSettings(**ONCE)),
        ("defaults", SelectionSettings()),
    ):
        spent: Spent = {}
        with ExitStack() as stack:
            for label, (owner, function) in PARTS.items():
                stack.enter_context(clocked(owner, function, label, spent))
            tree, together = cost(
                functools.partial(select, fit, cohort, settings=settings, cores=cores)
            )
        found[name] = spent | {"together": together}
        print(f"{name}: suggested size {settings_of(tree)['suggested']}", flush=True)
    return found


def projpred_costs(given: Path) -> Record:
    """What selection.R prints: of this machine now, or of the file that holds what it printed."""
    if given != Path():
        found: Record = json.loads(given.read_text(encoding="utf-8"))
        return found
    if shutil.which("Rscript") is None:
        return {}
    study = bc.load_study("pep")
    names = ",".join(one.name for one in study.predictors)
    script, data = Path(__file__).with_suffix(".R"), ROOT / "models" / "indo_rct.csv"
    command = ["Rscript", str(script), str(data), study.outcome.column, names]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def speed(options: argparse.Namespace) -> None:
    """Print seconds of all parts, and ratios to R's core-seconds."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {options.cores} used")
    with threadpool_limits(limits=1):
        found = selection_costs(options.cores)
    rows: Rows = [
        {"settings": name, "part": part, "seconds": float(wall), "core-seconds": float(core)}
        for name, spent in found.items()
        for part, (wall, core) in spent.items()
    ]
    print(as_markdown(pd.DataFrame(rows)))
    if options.r is None:
        return
    theirs = projpred_costs(options.r)
    if not theirs:
        print("R: Rscript with rstanarm and projpred was not found, or it failed")
        return
    print(f"R with {theirs['versions']}, one core, sizes up to {theirs['largest_size']}")
    for part, name in EXPECTED_R.items():
        if part in theirs:
            core, own = theirs[part]["core"], found[name]["together"][1]
            print(f"{part}: R {core:.1f} core-s, ours {own:.1f} ({name}); ratio {core / own:.1f}")
    if "refits" in theirs:
        core = theirs["refits"]["core"]
        print(f"of kfold, {core:.1f} core-s are R's ten refits, far longer than ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    known = commands.add_parser("truth", help="what is found where the truth is known")
    known.set_defaults(work=truth)
    known.add_argument("scenarios", nargs="*", default=list(SETS), help="six, null, copy")
    known.add_argument("--sets", type=int, help="data sets at most; default 200, 50 and 30")
    known.add_argument("--cores", type=int, default=1)
    known.add_argument("--keep", type=Path, help="file of finished data sets, to go on from")
    clock = commands.add_parser("speed", help="what selection costs")
    clock.set_defaults(work=speed)
    clock.add_argument("--cores", type=int, default=2)
    clock.add_argument(
        "--r", type=Path, nargs="?", const=Path(), help="run selection.R, or read what it printed"
    )
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
