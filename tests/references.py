"""Reference outputs of R: where they lie, and the same model as a study of this package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.study import parse_study

COMMITTED = Path(__file__).parent / "reference"
SHARED = Path(__file__).parents[2] / "shared"
REFERENCES = {name: COMMITTED for name in ("synth26", "indo_rct")} | {
    name: SHARED / "reference" for name in ("birthwt", "asah")
}


def present(path: Path) -> Path:
    """A file; the test is skipped, loudly, where it is absent."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside this repository")
    return path


def reference_file(name: str, file: str) -> Path:
    """A file of a reference, committed or shared."""
    return present(REFERENCES[name] / file)


def reference(name: str) -> dict[str, Any]:
    text = reference_file(name, f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def reference_section(name: str, section: str) -> dict[str, Any]:
    """One section of a reference."""
    content: dict[str, Any] = reference(name)[section]
    return content


def log_odds_of(name: str, coefficients: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of a reference's design, and their log-odds by R's coefficients."""
    design = reference_design(name)
    terms = [term for term in coefficients if term != "(Intercept)"]
    predictor = design[terms].to_numpy() @ [coefficients[term] for term in terms]
    return design["y"].to_numpy(), coefficients["(Intercept)"] + predictor


def glm_log_odds(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and log-odds of R's maximum-likelihood fit."""
    return log_odds_of(name, reference_section(name, "glm")["coef"])


def shared_file(folder: str, name: str) -> Path:
    """A file of the shared folders."""
    return present(SHARED / folder / name)


def shared_table(folder: str, name: str, **options: Any) -> pd.DataFrame:
    """A CSV of the shared folders."""
    return pd.read_csv(shared_file(folder, f"{name}.csv"), **options)


def resampled_rows(name: str) -> np.ndarray:
    """Rows of R's bootstrap resamples, counted from 0, shape (resample, patient)."""
    return shared_table("reference", f"{name}_bootidx", header=None).to_numpy() - 1


def reference_design(name: str) -> pd.DataFrame:
    return pd.read_csv(reference_file(name, f"{name}_design.csv"))


def horseshoe_toml(name: str, columns: list[str], prior: dict[str, Any]) -> str:
    """The study whose prior is that of the rstanarm run, which the reference README states."""
    predictors = "".join(
        f'[[predictors]]\nname = "{column}"\nkind = "continuous"\n' for column in columns
    )
    return f"""
schema = 1
name = "{name}"
title = "{name}, as given to rstanarm"
[outcome]
column = "y"
event = 1
{predictors}
[prior]
global_scale = {prior["global_scale"]!r}
slab_scale = {float(prior["slab_scale"])!r}
slab_df = {float(prior["slab_df"])!r}
intercept = "normal"
intercept_scale = {float(prior["prior_intercept_sd"])!r}
"""


def reference_cohort(name: str) -> Cohort:
    design = reference_design(name)
    columns = [column for column in design.columns if column not in ("row", "y")]
    toml = horseshoe_toml(name, columns, reference(name)["horseshoe"])
    return bc.load_cohort(parse_study(toml), design)


# names of the statistics in the reference files, and in `bayes_cmvt.agreement`
STATISTICS = {"mean": "mean", "sd": "sd", "q2.5": "lower", "q50": "median", "q97.5": "upper"}
RISK_ROWS = 20


def reference_coefficients(name: str) -> pd.DataFrame:
    """Intercept and coefficients of rstanarm, as `bayes_cmvt.agreement.statistics_with_error`."""
    posterior = reference(name)["horseshoe"]["posterior"]
    terms = posterior["rows"][1:]
    quantities = ["intercept", *(f"beta[{term}]" for term in terms)]
    return _statistics(posterior, quantities, [None] * len(quantities))


def reference_risks(name: str) -> pd.DataFrame:
    """Risks of the first rows of the design by rstanarm; mean and limits alone."""
    risks = reference(name)["horseshoe"]["pred_first20"]
    return _statistics(risks, ["risk"] * RISK_ROWS, list(range(1, RISK_ROWS + 1)))


def _statistics(
    block: dict[str, Any], quantities: list[str], rows: Sequence[int | None]
) -> pd.DataFrame:
    values = np.asarray(block["values"], dtype=float).reshape(len(quantities), -1)
    wide = pd.DataFrame(values, columns=block["cols"])
    parts = [
        pd.DataFrame(
            {
                "quantity": quantities,
                "row": pd.array(rows, dtype="Int64"),
                "statistic": statistic,
                "estimate": wide[theirs],
                "mcse": wide[f"mcse_{theirs}"],
            }
        )
        for theirs, statistic in STATISTICS.items()
        if theirs in wide and f"mcse_{theirs}" in wide
    ]
    return pd.concat(parts, ignore_index=True)
