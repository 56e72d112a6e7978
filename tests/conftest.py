"""Fits that many tests share, sampled once a session."""

from __future__ import annotations

import pytest
import xarray as xr
from hypothesis import settings

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort

settings.register_profile("repeatable", derandomize=True, max_examples=50)
settings.register_profile("search", deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def pep_cohort() -> Cohort:
    return bc.load_cohort(bc.load_study("pep"))


@pytest.fixture(scope="session")
def pep_fit(pep_cohort: Cohort) -> xr.DataTree:
    """Short but healthy: 4 chains x 1000 draws."""
    return bc.sample(pep_cohort, seed=7, warmup=800, draws=1000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many checks were left out because the shared data are not there."""
    skipped = terminalreporter.stats.get("skipped", [])
    absent = sum("is not beside this repository" in str(report.longrepr) for report in skipped)
    if absent:
        terminalreporter.write_line(f"{absent} checks need ../shared, which is not there")
