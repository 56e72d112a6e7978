"""One small study with every kind of predictor, its patients and its baseline, for many tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from typer.testing import CliRunner

from bayes_cmvt import cli
from bayes_cmvt.baseline import fit_baseline
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.study import parse_study

STUDY = """
schema = 1
name = "small"
title = "Small"
[outcome]
column = "y"
event = 1
[[predictors]]
name = "age"
kind = "continuous"
per = 10
[[predictors]]
name = "marker"
kind = "continuous"
transform = "log"
[[predictors]]
name = "sex"
kind = "binary"
[[predictors]]
name = "site"
kind = "categorical"
levels = ["north", "east", "south"]
[[predictors]]
name = "grade"
kind = "ordinal"
levels = ["low", "mid", "high"]
[[predictors]]
name = "noise"
kind = "continuous"
[split]
column = "set"
development = "a"
validation = "b"
[decision]
thresholds = [0.1, 0.6]
use = 0.3
[baseline]
folds = 4
resamples = 60
"""
TERMS = ("age", "marker", "sex", "site[east]", "site[south]", "grade", "noise")
RESAMPLES, SUBSAMPLES = 60, 30


def patients(n: int = 200, seed: int = 2, shift: float = 0.0) -> pd.DataFrame:
    """Patients whose log-odds depend on age, the logarithm of a marker, sex and one site."""
    rng = np.random.default_rng(seed)
    age, marker = rng.normal(60, 10, n).round(1), np.exp(rng.normal(0, 1, n)).round(3)
    sex = rng.integers(0, 2, n)
    site = rng.choice(["north", "east", "south"], n, p=[0.5, 0.3, 0.2])
    grade = rng.choice(["low", "mid", "high"], n)
    log_odds = shift - 1 + 0.04 * (age - 60) + 0.5 * np.log(marker) + 0.6 * sex
    log_odds += 0.6 * (site == "south")
    outcome = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    columns = {"y": outcome, "age": age, "marker": marker, "sex": sex, "site": site}
    columns |= {"grade": grade, "noise": rng.normal(0, 3, n).round(2)}
    return pd.DataFrame(columns | {"set": np.where(np.arange(n) % 4, "a", "b")})


def cohort_of(frame: pd.DataFrame, settings: str = "") -> Cohort:
    """The study's cohort; further keys of its ``[baseline]``, its last table."""
    return load_cohort(parse_study(STUDY + settings), frame)


@cache
def small_cohort() -> Cohort:
    return cohort_of(patients())


@cache
def small_baseline() -> xr.DataTree:
    """60 resamples and 30 subsamples; not to be changed."""
    return fit_baseline(small_cohort(), seed=5, subsamples=SUBSAMPLES)


def invoke(*arguments: object):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones as well."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
