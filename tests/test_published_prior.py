"""Printed responses as the prior of a sampled model: the posterior of a type is its Beta."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_cmvt as bc
from bayes_cmvt import priors
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.design import learn_design
from bayes_cmvt.study import load_study, shipped_studies
from tests.baseline_study import invoke
from tests.builders import predictor, study

LEVELS = {"a": (18, 2), "b": (5, 15), "c": (12, 8)}
TYPE = predictor("type", "categorical", levels='["a", "b", "c"]')
COUNTS = {"a": (30, 21), "b": (25, 10), "c": (15, 9)}  # patients and events


def response(level, share, worth=20):
    return (
        f'[[published.responses]]\ngroup = "{level}"\nwhere = {{ type = "{level}" }}\n'
        f'share = "{share}"\nworth = {worth}\n'
    )


RESPONSES = "".join(response(level, a / (a + b)) for level, (a, b) in LEVELS.items())
PRIOR = "[prior]\npublished_responses = true\n"


def cohort(extra=""):
    rows = [
        {"type": level, "y": int(i < events), "x": float(i % 5)}
        for level, (count, events) in COUNTS.items()
        for i in range(count)
    ]
    return load_cohort(study(TYPE + extra, PRIOR + RESPONSES), pd.DataFrame(rows))


def shares_of_types(group, design):
    """Response probability of each type at the means of all else, from draws."""
    levels = np.vstack([np.zeros(2), np.eye(2)])
    rows = (levels - design.mean[:2]) / design.sd[:2]
    alpha = group["intercept"].to_numpy().reshape(-1, 1)
    beta = group["beta"].to_numpy().reshape(alpha.size, -1)[:, :2]
    return 1 / (1 + np.exp(-(alpha + beta @ rows.T)))


@pytest.fixture(scope="module")
def alone():
    found = cohort()
    return found, bc.sample(found, seed=1, draws=2000)


def test_the_posterior_of_each_type_is_its_beta(alone):
    found, fit = alone
    shares = shares_of_types(fit["posterior"], learn_design(found))
    for share, (level, (a, b)) in zip(shares.T, LEVELS.items(), strict=True):
        count, events = COUNTS[level]
        exact = stats.beta(a + events, b + count - events)
        # of 8,000 draws at least 2,000 count: four Monte Carlo errors of mean and quantile
        assert share.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / np.sqrt(2000))
        for level_of in (0.05, 0.5, 0.95):
            below = np.mean(share < exact.ppf(level_of))
            tolerance = 4 * np.sqrt(level_of * (1 - level_of) / 2000)
            assert below == pytest.approx(level_of, abs=tolerance)


def test_the_prior_draws_of_each_type_follow_its_beta(alone):
    found, fit = alone
    shares = shares_of_types(fit["prior"], learn_design(found))
    for share, (a, b) in zip(shares.T, LEVELS.values(), strict=True):
        assert stats.kstest(share, stats.beta(a, b).cdf).pvalue > 1e-4


def test_both_engines_learn_from_the_same_rows():
    from bayes_cmvt.horseshoe import logistic_model

    found = cohort(predictor("x"))
    design = learn_design(found)
    prior = priors.numeric_prior(design, n=len(found.outcome), events=int(found.outcome.sum()))
    assert prior.pseudo is not None
    assert prior.shrunk.tolist() == [False, False, True]
    model = logistic_model(np.zeros((70, 3)), found.outcome, prior, design.terms)
    assert model["matrix"].get_value().shape == (70 + 60, 3)
    assert model["events"].get_value()[70:].sum() == sum(a for a, _ in LEVELS.values())


def test_a_type_without_a_figure_is_refused():
    text = PRIOR + response("a", "0.9") + response("b", "0.25")
    rows = pd.DataFrame({"type": list("abc") * 4, "y": [0, 1] * 6})
    found = load_cohort(study(TYPE, text), rows)
    with pytest.raises(bc.StudyError, match=r"for each level of one predictor .* found 2"):
        bc.sample(found)


def test_the_command_takes_patients_and_says_what_the_types_knew_before(tmp_path):
    source = shipped_studies()["ldh"].read_text()
    levels = 'levels = ["unstated group 1", "unstated group 2"]'
    (tmp_path / "ldh.toml").write_text(source.replace(levels, 'levels = ["desk", "manual"]'))
    loaded = load_study(tmp_path / "ldh.toml")
    rng = np.random.default_rng(4)
    rows = {
        one.name: rng.normal(size=150).round(2)
        if one.kind == "continuous"
        else rng.choice(list(one.levels), 150)
        for one in loaded.predictors
    }
    rows["response"] = rng.integers(0, 2, 150)
    pd.DataFrame(rows).to_csv(tmp_path / "patients.csv", index=False)
    done = invoke(
        *["sample", tmp_path / "ldh.toml", "--data", tmp_path / "patients.csv"],
        *["--out", tmp_path / "run", "--warmup", "200", "--draws", "400"],
    )
    assert done.exit_code in (0, 3), done.output
    assert "printed responses, worth 80 patients: bulging Beta(18, 2), protruding" in done.stdout
    prior = pd.read_csv(tmp_path / "run" / "tables" / "prior.csv").set_index("term")
    row = prior.loc["type[prolapsed]"]
    # odds ratio of Beta(5, 15) against Beta(18, 2): .33 / 9 in the middle
    assert 0.0 < row["prior_lower"] < 1 / 30 < row["prior_upper"] < 1.0
