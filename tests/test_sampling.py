from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_base import from_dict
from scipy.special import expit

import bayes_cmvt as bc
from bayes_cmvt import chains, nuts, sampling
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.diagnostics import draws_needed
from bayes_cmvt.sampling import SamplerSettings, expected_seconds
from bayes_cmvt.study import parse_study

STUDY = """
schema = 1
name = "truth"
title = "A truth to recover"
[outcome]
column = "y"
event = 1
[[predictors]]
name = "marker"
kind = "continuous"
[[predictors]]
name = "noise"
kind = "continuous"
[[predictors]]
name = "group"
kind = "categorical"
levels = ["a", "b", "c"]
{prior}
"""


def simulated(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Log-odds -0.5 + 0.8 marker + 1.2 [group is c]; the noise column does nothing."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "marker": rng.normal(size=n),
            "noise": rng.normal(size=n),
            "group": rng.choice(["a", "b", "c"], size=n),
        }
    )
    predictor = -0.5 + 0.8 * data["marker"] + 1.2 * (data["group"] == "c")
    data["y"] = (rng.random(n) < expit(predictor)).astype(int)
    return data


def fitted(
    data: pd.DataFrame, prior: str = "", toml: str = STUDY, **options: int | str
) -> xr.DataTree:
    cohort = bc.load_cohort(parse_study(toml.format(prior=prior)), data)
    return bc.sample(cohort, **({"seed": 5, "warmup": 500, "draws": 1000} | options))


@pytest.fixture(scope="module", params=["gibbs", "nuts"])
def truth_fit(request: pytest.FixtureRequest) -> xr.DataTree:
    return fitted(simulated(), engine=request.param)


def test_truth_is_inside_its_interval(truth_fit: xr.DataTree) -> None:
    table = bc.coefficients(truth_fit, ci_prob=0.99).set_index("term")
    for term, value in {"marker": 0.8, "noise": 0.0, "group[c]": 1.2, "group[b]": 0.0}.items():
        assert table.loc[term, "lower"] < value < table.loc[term, "upper"], term
    assert table.loc["noise", "shrinkage"] > table.loc["marker", "shrinkage"]


def test_rows_levels_and_units_do_not_matter(truth_fit: xr.DataTree) -> None:
    """Shuffle the rows, rename the levels, change a unit: same risks, coefficients rescaled."""
    data = simulated()
    changed = data.sample(frac=1, random_state=1)
    order = changed.index.to_numpy()
    changed["marker"] *= 1000
    changed["group"] = changed["group"].map({"a": "none", "b": "mild", "c": "grave"})
    toml = STUDY.replace('["a", "b", "c"]', '["none", "mild", "grave"]')
    other = fitted(changed, toml=toml)
    first, second = bc.predict(truth_fit, data), bc.predict(other, changed)
    # 4 combined Monte Carlo errors of a mean risk: its posterior SD over root of the ESS
    sd = (first["upper"] - first["lower"]).to_numpy()[order] / 3.92
    error = np.sqrt(2) * sd / np.sqrt(bc.verdict(truth_fit).min_ess_bulk)
    gap = np.abs(first["risk"].to_numpy()[order] - second["risk"].to_numpy())
    assert (gap < 4 * error).all()
    ours, theirs = bc.coefficients(truth_fit), bc.coefficients(other)
    for term, factor in (("marker", 1000.0), ("noise", 1.0)):
        mine = ours.set_index("term").loc[term]
        other_row = theirs.set_index("term").loc[term]
        assert mine["mean"] / mine["std_mean"] == pytest.approx(
            factor * other_row["mean"] / other_row["std_mean"], rel=1e-9
        )
        combined = np.hypot(mine["mcse_mean"], other_row["mcse_mean"])
        assert abs(mine["std_mean"] - other_row["std_mean"]) < 4 * combined
    assert list(theirs["term"])[-2:] == ["group[mild]", "group[grave]"]


@pytest.mark.parametrize("engine", ["gibbs", pytest.param("nuts", marks=pytest.mark.slow)])
def test_same_seed_gives_the_same_draws_on_any_number_of_cores(engine: str) -> None:
    data = simulated(80)
    short = {"warmup": 100, "draws": 50, "chains": 3, "engine": engine}
    one, two = fitted(data, cores=1, **short), fitted(data, cores=2, **short)
    for group in ("posterior", "prior", "posterior_predictive", "log_likelihood"):
        xr.testing.assert_identical(
            one[group].to_dataset().drop_attrs(), two[group].to_dataset().drop_attrs()
        )
    other = fitted(data, seed=6, **short)
    assert not np.array_equal(one["posterior"]["beta"], other["posterior"]["beta"])


def test_log_likelihood_and_totals_are_closed_form(truth_fit: xr.DataTree) -> None:
    cohort = bc.load_cohort(parse_study(STUDY.format(prior="")), simulated())
    from bayes_cmvt.design import design_matrix, learn_design

    matrix = design_matrix(learn_design(cohort), cohort.predictors)
    posterior = truth_fit["posterior"]
    predictor = posterior["intercept"].to_numpy()[..., None] + (
        posterior["beta"].to_numpy() @ matrix.T
    )
    risk = expit(predictor)
    expected = np.where(cohort.outcome == 1, np.log(risk), np.log1p(-risk))
    ours = truth_fit["log_likelihood"]["outcome"].to_numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_allclose(posterior["log_lik"], expected.sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(posterior["mean_risk"], risk.mean(axis=-1), rtol=1e-9)


def test_predictive_draws_have_the_posterior_mean_risk(truth_fit: xr.DataTree) -> None:
    share = truth_fit["posterior_predictive"]["outcome"].to_numpy().mean(axis=(0, 1))
    risk = bc.predict(truth_fit, simulated())["risk"].to_numpy()
    # 4000 draws that are independent given the risk: at most 4 x sqrt(.25 / 4000), with 300 rows
    assert np.abs(share - risk).max() < 4.5 * np.sqrt(0.25 / 4000)


def test_a_kept_in_predictor_and_an_informative_prior() -> None:
    """With an sd of 0.001, against 0.14 of the data, the posterior is the prior."""
    toml = STUDY.replace(
        'name = "marker"\nkind = "continuous"',
        'name = "marker"\nkind = "continuous"\nprior = [-0.4, 0.001]',
    ).replace('name = "noise"\n', 'name = "noise"\nshrink = false\n')
    fit = fitted(simulated(), toml=toml)
    table = bc.coefficients(fit).set_index("term")
    assert table.loc["marker", "mean"] == pytest.approx(-0.4, abs=0.0003)
    assert table.loc["marker", "sd"] == pytest.approx(0.001, rel=0.1)
    assert table.loc["noise", "shrinkage"] < 0.01
    assert fit["posterior"]["lambda"].dims[-1] == "shrunk_coefficient"
    assert list(fit["posterior"]["shrunk_coefficient"]) == ["group[b]", "group[c]"]
    assert bc.verdict(fit).trusted


@pytest.mark.parametrize("family", ["normal", "student-t"])
def test_a_wide_prior_gives_the_maximum_likelihood_fit(family: str) -> None:
    """n = 4000, scale 25: the posterior mean is the ML estimate, its SD the standard error."""
    data = simulated(4000, seed=2)
    wide = f'[prior]\nfamily = "{family}"\nscale = 25.0\nintercept_scale = 25.0'
    fit = fitted(data, wide, draws=1500)
    estimate, error = maximum_likelihood(data)
    table = bc.coefficients(fit)
    assert not {"tau", "slab"} & set(fit["posterior"].data_vars)
    # Monte Carlo error, and the skewness of a likelihood with 4000 patients (order SE²)
    slack = 4 * table["sd"] / np.sqrt(table["ess_bulk"]) + 2 * error**2
    assert (np.abs(table["mean"] - estimate) < slack).all()
    np.testing.assert_allclose(table["sd"], error, rtol=0.08)


def maximum_likelihood(data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Newton's iterations on the original scale, a second algorithm."""
    group = data["group"].to_numpy()
    columns = np.column_stack(
        [np.ones(len(data)), data["marker"], data["noise"], group == "b", group == "c"]
    ).astype(float)
    beta = np.zeros(columns.shape[1])
    for _ in range(25):
        risk = expit(columns @ beta)
        information = columns.T @ (columns * (risk * (1 - risk))[:, None])
        beta += np.linalg.solve(information, columns.T @ (data["y"].to_numpy() - risk))
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_divergences_repeat_the_run_once_with_smaller_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first attempt is made to report divergences; the second is what is kept."""
    targets = []
    honest = nuts._nuts

    def with_divergences(compiled, length, target, seed, report, *, attempt):
        targets.append(target)
        tree = honest(compiled, length, target, seed, report, attempt=attempt)
        if attempt == 1:
            tree["sample_stats"]["diverging"][0, :3] = True
        return tree

    monkeypatch.setattr(nuts, "_nuts", with_divergences)
    fit = fitted(simulated(80), warmup=200, draws=60, engine="nuts")
    settings = json.loads(fit.attrs["settings"])
    assert targets == [0.99, 0.995]
    assert settings["repeated"] is True
    assert settings["target_accept_used"] == 0.995
    assert settings["divergences_before_repeat"] >= 3


def test_a_run_in_parts_draws_what_one_run_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """``draws="auto"`` that had to go on holds the draws of a run of that length."""
    data = simulated(80)
    monkeypatch.setitem(sampling.DEFAULT_DRAWS, "gibbs", 60)
    extended = fitted(data, warmup=100, draws="auto")
    lengths = json.loads(extended.attrs["settings"])["lengths"]
    assert lengths[0] == 60
    assert len(lengths) > 1
    assert bc.verdict(extended).trusted
    whole = fitted(data, warmup=100, draws=lengths[-1])
    for name in ("intercept", "beta", "tau", "slab", "lambda"):
        np.testing.assert_array_equal(extended["posterior"][name], whole["posterior"][name])


def test_sampling_until_enough_gives_up_at_a_stated_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sampling.DEFAULT_DRAWS, "gibbs", 20)
    monkeypatch.setitem(sampling.LONGEST, "gibbs", 50)
    fit = fitted(simulated(80), warmup=50, draws="auto")
    assert json.loads(fit.attrs["settings"])["lengths"] == [20, 50]
    assert not bc.verdict(fit).trusted


def test_stopping_looks_at_rhat_and_effective_size_alone() -> None:
    """Shifted and rescaled draws of the same ranks stop at the same length."""
    rng = np.random.default_rng(0)
    beta = rng.normal(size=(4, 200, 3))
    changed = {"beta": 100 - 7 * beta, "lambda": np.zeros((4, 200, 3))}
    assert draws_needed({"beta": beta}) == draws_needed(changed) == 200
    slow = rng.normal(size=(4, 200, 1)).cumsum(axis=1)
    assert draws_needed({"beta": slow}) >= 400


def test_nuts_until_enough_starts_again_with_fresh_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A longer run replaces a short one; its seeds are others."""
    lengths, states = [], []

    def short(compiled, length, target, seed, report, *, attempt):
        lengths.append(length.draws)
        states.append(int(seed.generate_state(1)[0]))
        rng = np.random.default_rng(seed)
        shape = (length.chains, length.draws)
        enough = length.draws > 400
        walk = rng.normal(size=shape) if enough else rng.normal(size=shape).cumsum(axis=1)
        posterior = {"intercept": walk, "beta": rng.normal(size=(*shape, 4))}
        return from_dict({"posterior": posterior, "sample_stats": {"diverging": walk > np.inf}})

    monkeypatch.setattr(nuts, "_nuts", short)
    monkeypatch.setattr(nuts, "compile_nuts", lambda *_: None)
    monkeypatch.setitem(sampling.DEFAULT_DRAWS, "nuts", 200)
    fit = fitted(simulated(80), prior='[prior]\nfamily = "normal"', draws="auto", engine="nuts")
    assert json.loads(fit.attrs["settings"])["lengths"] == lengths
    assert lengths[0] == 200
    assert lengths[-1] > 400
    assert len(set(states)) == len(states)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"draws": 0}, "draws: found 0; allowed: a whole number from 4"),
        ({"chains": 0}, "chains: found 0"),
        ({"chains": True}, "chains: found True"),
        ({"seed": -1}, "seed: found -1"),
        ({"seed": 1.5}, r"seed: found 1\.5"),
        ({"seed": 2**70}, "seed: found"),
        ({"target_accept": 1.0}, r"target acceptance: found 1\.0"),
        ({"target_accept": float("nan")}, "target acceptance: found nan"),
        ({"engine": "hmc"}, 'engine: found "hmc"; allowed: "gibbs", "nuts"'),
        ({"draws": "many"}, "draws: found 'many'; allowed: a whole number from 4 to 1000000 or"),
        ({"draws": 10**6, "chains": 64}, "chains x draws"),
    ],
)
@pytest.mark.parametrize("engine", ["gibbs", "nuts"])
def test_impossible_settings_are_refused(
    pep_cohort: Cohort, changes: dict[str, object], text: str, engine: str
) -> None:
    with pytest.raises(bc.OptionError, match=text):
        bc.sample(pep_cohort, **({"engine": engine} | changes))  # type: ignore[arg-type]


def test_all_impossible_settings_are_named_at_once(pep_cohort: Cohort) -> None:
    with pytest.raises(bc.OptionError) as caught:
        bc.sample(pep_cohort, draws=0, chains=0, seed=-1, target_accept=2)
    assert len(caught.value.problems) == 4


def test_expected_time_grows_with_patients_draws_and_care(monkeypatch: pytest.MonkeyPatch) -> None:
    # a machine whose operations take a nanosecond each, whatever else runs on this one
    monkeypatch.setattr(chains, "_timed_gram", lambda matrix: 1e-9 * matrix.size * matrix.shape[1])
    monkeypatch.setattr(nuts, "_timed_gradient", lambda matrix, _: 4e-9 * matrix.size)
    for engine in ("gibbs", "nuts"):
        short = SamplerSettings(engine=engine, draws=500, warmup=500, target_accept=0.9)
        small, large = (expected_seconds(n, 26, short, cores=2) for n in (300, 45_000))
        assert large > 20 * small
        default = expected_seconds(45_000, 26, SamplerSettings(engine=engine), cores=2)
        assert default > 3 * large
    rare = expected_seconds(45_000, 26, SamplerSettings(), cores=2, events=100)
    assert rare > 2 * expected_seconds(45_000, 26, SamplerSettings(), cores=2)


def test_arviz_takes_a_fit_as_it_is(truth_fit: xr.DataTree) -> None:
    import arviz as az

    table = az.summary(truth_fit, var_names=["intercept", "beta"], round_to="none")
    ours = bc.coefficients(truth_fit)
    np.testing.assert_allclose(table["mean"].astype(float), ours["std_mean"], rtol=1e-9)
    loo = az.loo(truth_fit, var_name="outcome")
    assert loo.elpd == pytest.approx(bc.leave_one_out(truth_fit).elpd, abs=0.1)
