"""Reference outputs of R: where they lie, and the same model as a study of this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.study import parse_study

COMMITTED = Path(__file__).parent / "reference"
SHARED = Path(__file__).parents[2] / "shared"
REFERENCES = {name: COMMITTED for name in ("synth26", "indo_rct")} | {
    name: SHARED / "reference" for name in ("birthwt", "asah")
}


def available(name: str) -> bool:
    return (REFERENCES[name] / f"{name}.json").is_file()


def reference(name: str) -> dict[str, Any]:
    text = (REFERENCES[name] / f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def reference_design(name: str) -> pd.DataFrame:
    return pd.read_csv(REFERENCES[name] / f"{name}_design.csv")


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


@dataclass(frozen=True)
class Summaries:
    """Value and Monte Carlo standard error of each statistic, shape (quantity,)."""

    names: list[str]
    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]


STATISTICS = ("mean", "sd", "q2.5", "q50", "q97.5")


def reference_summaries(name: str) -> Summaries:
    posterior = reference(name)["horseshoe"]["posterior"]
    return _summaries(posterior, posterior["rows"])


def reference_risks(name: str) -> Summaries:
    risks = reference(name)["horseshoe"]["pred_first20"]
    return _summaries(risks, [f"row {i}" for i in range(1, 21)])


def _summaries(block: dict[str, Any], names: list[str]) -> Summaries:
    table = pd.DataFrame(
        np.asarray(block["values"], dtype=float).reshape(len(names), -1), columns=block["cols"]
    )
    present = [one for one in STATISTICS if one in table and f"mcse_{one}" in table]
    return Summaries(
        names,
        {one: table[one].to_numpy() for one in present},
        {one: table[f"mcse_{one}"].to_numpy() for one in present},
    )


def draw_summaries(draws: np.ndarray, names: list[str]) -> Summaries:
    """The same statistics of our draws, shape (chain, draw, quantity)."""
    import arviz_stats as azs

    flat = draws.reshape(-1, draws.shape[-1])
    values = {"mean": flat.mean(axis=0), "sd": flat.std(axis=0, ddof=1)}
    errors = {"mean": azs.mcse(draws), "sd": azs.mcse(draws, method="sd")}
    for name, share in (("q2.5", 0.025), ("q50", 0.5), ("q97.5", 0.975)):
        values[name] = np.quantile(flat, share, axis=0)
        errors[name] = azs.mcse(draws, method="quantile", prob=share)
    return Summaries(names, values, errors)


def standardised_differences(ours: Summaries, theirs: Summaries) -> pd.DataFrame:
    """(ours - theirs) / combined Monte Carlo error, one row for each quantity."""
    return pd.DataFrame(
        {
            one: (ours.values[one] - theirs.values[one])
            / np.hypot(ours.errors[one], theirs.errors[one])
            for one in theirs.values
        },
        index=ours.names,
    )
