"""What the intervals of a deployed rule's performance hold: how often they cover the truth."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bayes_cmvt import metrics
from bayes_cmvt.performance import draw_instability_table, performance_table
from bayes_cmvt.scoring import Risks, ScoringSettings, score_risks
from tests.honesty import (
    BOOTSTRAP,
    DELONG,
    DELONG_LOGIT,
    METRICS,
    MODEL,
    OVER_DRAWS,
    THRESHOLD,
    VALIDATION,
    coverage,
    net_benefit,
    population,
    simulate,
    true_figure,
    true_figures,
)

PAGE = Path(__file__).parents[1] / "docs" / "interval-honesty.md"

# What is known of each 95 % interval before it is simulated: lowest and highest coverage in sets of
# 95 patients, some 23 of them with the event.
KNOWN = {
    # normal limits on the scale of the area, which is skewed: "very liberal" in small samples
    # (Kottas, Kuss & Zapf 2014, doi:10.1186/1471-2288-14-26)
    ("auc", DELONG): (0.91, 0.95),
    # its logit is nearly symmetric: nominal within two points
    ("auc", DELONG_LOGIT): (0.93, 0.97),
    # likelihood theory with two parameters and 23 events: nominal within two points
    ("slope", MODEL): (0.93, 0.97),
    # standard errors smaller than DeLong's by sqrt((m - 1)/m n/(n + 1)), m = 23, n = 95, from which
    # 2 Phi(1.96 * 0.973) - 1 = 0.943; quantiles follow the skewness: within two points
    ("auc", BOOTSTRAP): (0.923, 0.963),
    # variance without correction for the two parameters fitted, and quantiles that lean to the
    # long side of a skewed estimate instead of away from it: up to five points are lost
    ("slope", BOOTSTRAP): (0.90, 0.95),
    # a mean of 95 values, each 1, -3/7 or 0: sqrt(94/96) for the standard error and the normal for
    # Student's quantile give 0.945; within two points for the skewness
    ("net_benefit", BOOTSTRAP): (0.925, 0.965),
}


def assert_covers_as_known(table: pd.DataFrame) -> None:
    for key, (lowest, highest) in KNOWN.items():
        if key in table.index:
            found, error = table.loc[[key], ["coverage", "coverage_mcse"]].to_numpy()[0]
            assert lowest - 3 * error <= found <= highest + 3 * error, key


@pytest.fixture(scope="module")
def closed() -> pd.DataFrame:
    """Validation sets judged without resampling."""
    return coverage(simulate(600, seed=11))


@pytest.fixture(scope="module")
def unstable() -> pd.DataFrame:
    """Validation sets judged by each of 500 draws besides."""
    return coverage(simulate(150, draws=True, seed=12))


# --- the truth -----------------------------------------------------------------------------------


def test_figures_of_the_population_are_those_of_scikit_learn() -> None:
    """1e-5: scikit-learn's solver stops at a gradient of 1e-10; the others agree to rounding."""
    known = population()
    outcome = np.repeat([1, 0], len(known.truth))
    weights = np.concatenate([known.truth, 1 - known.truth])
    risk = np.tile(known.rule, 2)
    area = roc_auc_score(outcome, risk, sample_weight=weights)
    assert true_figures()["auc"] == pytest.approx(area, abs=1e-12)
    line = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.log(risk / (1 - risk))[:, np.newaxis], outcome, weights
    )
    assert true_figures()["slope"] == pytest.approx(line.coef_[0, 0], abs=1e-5)
    gained = known.truth - (1 - known.truth) * THRESHOLD / (1 - THRESHOLD)
    by_hand = np.mean((known.rule >= THRESHOLD) * gained)
    assert true_figures()["net_benefit"] == pytest.approx(by_hand, abs=1e-12)


def test_ever_more_patients_approach_the_figures_of_the_population() -> None:
    """A million patients; 4 standard errors: DeLong's, the model's, and that of a mean."""
    known = population()
    chosen, outcome = known.patients(1_000_000, np.random.default_rng(3))
    risk = known.rule[chosen]
    area, line = metrics.auc_delong(outcome, risk), metrics.recalibration(outcome, risk)
    assert area.estimate == pytest.approx(true_figures()["auc"], abs=4 * area.variance**0.5)
    assert line.slope == pytest.approx(true_figures()["slope"], abs=4 * line.slope_se)
    level = true_figure(metrics.calibration_in_the_large, known.rule)
    assert line.in_the_large == pytest.approx(level, abs=4 * line.in_the_large_se)
    found = net_benefit(outcome, risk)
    assert found == pytest.approx(true_figures()["net_benefit"], abs=4 * 1 / 1000)


def test_the_rule_is_imperfect_and_the_truth_is_not() -> None:
    known = population()
    assert true_figures()["slope"] < 0.8
    assert true_figure(metrics.calibration_in_the_large, known.rule) < -0.2
    of_truth = {name: true_figure(metric, known.truth) for name, metric in METRICS.items()}
    assert of_truth["slope"] == pytest.approx(1, abs=1e-9)
    assert of_truth["auc"] > true_figures()["auc"] + 0.01
    assert of_truth["net_benefit"] > true_figures()["net_benefit"] + 0.005


# --- intervals over patients ---------------------------------------------------------------------


def test_closed_intervals_cover_as_known(closed: pd.DataFrame) -> None:
    assert set(closed.index) == {("auc", DELONG), ("auc", DELONG_LOGIT), ("slope", MODEL)}
    assert_covers_as_known(closed)


def test_logit_limits_cover_more_often_than_plain_ones_of_the_same_width(
    closed: pd.DataFrame,
) -> None:
    """They move towards a half, where areas estimated too high came from."""
    plain, logit = (closed.loc[("auc", method)] for method in (DELONG, DELONG_LOGIT))
    assert logit["coverage"] > plain["coverage"]
    assert logit["width"] == pytest.approx(plain["width"], rel=0.02)
    assert logit["interval_score"] < plain["interval_score"]


def test_bootstrap_limits_of_the_area_are_narrower_than_delong_s_by_their_divisors() -> None:
    """First order: sqrt(n/(n + 1) (m - 1)/m), from 0.973 with 23 events to 0.988 with 72 others.

    0.03 for what the first order leaves out; the mean of 60 sets has a standard error of 0.005.
    """
    rows = simulate(60, replicates=1000, seed=13)
    width = (rows["upper"] - rows["lower"]).groupby([rows["figure"], rows["method"]]).mean()
    assert 0.943 < width["auc", BOOTSTRAP] / width["auc", DELONG] < 1.018


@pytest.mark.slow
def test_every_interval_over_patients_covers_as_known_and_none_over_draws_does() -> None:
    table = coverage(simulate(500, replicates=4000, draws=True))
    assert set(KNOWN) == {key for key in table.index if key[1] != OVER_DRAWS}
    assert_covers_as_known(table)
    for figure in METRICS:
        over_draws, over_patients = (table.loc[(figure, key)] for key in (OVER_DRAWS, BOOTSTRAP))
        assert over_draws["coverage"] < 0.9
        assert over_draws["interval_score"] > over_patients["interval_score"]
    compare_with_page(table)


# --- draws ---------------------------------------------------------------------------------------


def test_limits_over_draws_do_not_cover(unstable: pd.DataFrame) -> None:
    """They say how well 224 patients fixed the coefficients, not how well 95 judge the rule.

    Were they centred as DeLong's are, a share w of the width would cover 2 Phi(1.96 w) - 1.
    """
    of_draws, of_patients = (unstable.loc[("auc", key)] for key in (OVER_DRAWS, DELONG))
    share = of_draws["width"] / of_patients["width"]
    expected = 2 * norm.cdf(norm.ppf(0.975) * share) - 1
    assert expected < 0.6
    assert of_draws["coverage"] < expected + 0.05 + 3 * of_draws["coverage_mcse"]
    assert of_draws["interval_score"] > 2 * of_patients["interval_score"]
    assert unstable.loc[("net_benefit", OVER_DRAWS), "coverage"] < 0.65
    assert unstable.loc[("slope", OVER_DRAWS), "coverage"] < 0.9


def test_the_deployed_rule_does_better_than_its_draws() -> None:
    """Brier and log score by Jensen's inequality, in any patients; area and net benefit here.

    These two by more than 4 standard errors of a mean over 250 draws.
    """
    known = population()
    chosen, outcome = known.patients(VALIDATION, np.random.default_rng(5))
    for metric in (metrics.brier_score, metrics.log_score):
        by_draw = metric(outcome, known.draws[:, chosen])
        assert metric(outcome, known.rule[chosen]) < by_draw.mean()
    for figure in ("auc", "net_benefit"):
        by_draw = true_figure(METRICS[figure], known.draws[:250])
        error = by_draw.std(ddof=1) / len(by_draw) ** 0.5
        assert by_draw.mean() + 4 * error < true_figures()[figure]
        assert np.mean(by_draw < true_figures()[figure]) > 0.6


def test_tables_keep_the_rule_and_its_draws_apart() -> None:
    known = population()
    chosen, outcome = known.patients(VALIDATION, np.random.default_rng(4))
    rule = Risks("rule", "validation", "holdout", outcome, known.rule[np.newaxis, chosen])
    settings = ScoringSettings(np.array([THRESHOLD]), use=THRESHOLD, replicates=1000, cores=1)
    over_patients = performance_table([score_risks(rule, settings)]).set_index("metric")
    over_draws = draw_instability_table(rule, known.draws[:, chosen]).set_index("metric")
    assert set(over_patients["interval_of"]) == {"patients"}
    assert set(over_draws["interval_of"]) == {"draws"}
    columns = ["lower", "estimate", "upper"]
    for name in ("auc", "calibration_slope"):
        metric = getattr(metrics, name)
        of_rule, of_draws = (
            metric(outcome, part[..., chosen]) for part in (known.rule, known.draws)
        )
        assert over_patients.loc[name, "estimate"] == of_rule
        expected = np.quantile(of_draws, [0.025, 0.5, 0.975])
        np.testing.assert_allclose(
            over_draws.loc[name, columns].astype(float), expected, rtol=1e-12
        )
    assert over_patients.loc["net_benefit", "estimate"] == net_benefit(outcome, known.rule[chosen])
    assert "net_benefit" not in over_draws.index


# --- the page ------------------------------------------------------------------------------------


def page_rows() -> pd.DataFrame:
    """The table of the page."""
    lines = re.findall(r"^\| (auc|slope|net_benefit) \|(.+)\|$", PAGE.read_text("utf-8"), re.M)
    cells = [(figure, *(cell.strip() for cell in rest.split("|"))) for figure, rest in lines]
    columns = ["figure", "truth", "method", "coverage", "coverage_mcse", "width", "interval_score"]
    table = pd.DataFrame(cells, columns=columns).set_index(["figure", "method"])
    return table.astype(float)


def compare_with_page(table: pd.DataFrame) -> None:
    """Coverage within 4 standard errors of the difference of two simulations."""
    page = page_rows().loc[table.index]
    error = np.hypot(page["coverage_mcse"], table["coverage_mcse"])
    assert (np.abs(page["coverage"] - table["coverage"]) < 4 * error).all()


def test_page_states_the_truth_and_what_is_found_again(closed: pd.DataFrame) -> None:
    page = page_rows()
    assert set(KNOWN) < set(page.index)
    for (figure, _), row in page.iterrows():
        assert row["truth"] == pytest.approx(true_figures()[figure], abs=5e-4)
    compare_with_page(closed)
    assert "python benchmarks/evaluation.py honesty" in PAGE.read_text("utf-8")
