"""Sensitivity to the prior: power-scaling by two ways, refits that are fits of other studies."""

from __future__ import annotations

from dataclasses import replace

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_cmvt as bc
from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.crossvalidation import leave_one_out
from bayes_cmvt.errors import OptionError
from bayes_cmvt.posterior import prior_of
from bayes_cmvt.prior_sensitivity import (
    CONFLICT,
    STRONG_PRIOR,
    UNMOVED,
    _counting,
    _diagnoses,
    log_prior,
    other_priors,
    power_scaling,
    prior_alternatives,
)
from bayes_cmvt.progress import SamplingState
from bayes_cmvt.sampling import SamplerSettings
from bayes_cmvt.study import parse_study, prior_in_words
from tests.builders import numeric_cohort, predictor, study
from tests.estimate_fit import drawn_posterior

SHORT = SamplerSettings(chains=2, warmup=200, draws=400, seed=5)
HORSESHOE = '[prior]\nfamily = "regularized-horseshoe"\n'


def cohort_of(rest="", width=4):
    rng = np.random.default_rng(6)
    matrix = rng.normal(size=(80, width))
    return numeric_cohort(
        matrix + np.arange(80)[:, None] % 2 * np.array([1.0, 0.5, 0, 0])[:width], rest=rest
    )


def fit_of(cohort, **keys):
    settings = {"seed": 5, "chains": 2, "warmup": 200, "draws": 400, **keys}
    return bc.sample(cohort, **settings)


@pytest.fixture(scope="module")
def cohort():
    return cohort_of()


@pytest.fixture(scope="module")
def fit(cohort):
    return fit_of(cohort)


@pytest.fixture(scope="module")
def alternatives(cohort, fit):
    return prior_alternatives(cohort, fit, settings=SHORT)


def jensen_shannon(values, weights):
    """Cumulative Jensen-Shannon distance of weighted and plain draws, as its definition has it.

    Kallioinen et al. 2024, eq. 8-9: of the distribution functions of x, and of -x; the larger.
    """

    def distance(ordered, weighed):
        gap = np.diff(ordered)
        plain = np.arange(1, len(ordered)) / len(ordered)
        other = np.cumsum(weighed)[:-1]

        def one_way(p, q):
            return gap @ (p * np.log2(2 * p / (p + q))) + gap @ (q - p) / (2 * np.log(2))

        both = one_way(plain, other) + one_way(other, plain)
        return np.sqrt(both / (gap @ (plain + other)))

    order = np.argsort(values)
    ordered, weighed = values[order], weights[order]
    return max(distance(ordered, weighed), distance(-ordered[::-1], weighed[::-1]))


def importance_sensitivity(values, log_density):
    """Gradient of the distance to log2 of the power, with plain importance weights."""
    total = 0.0
    for power in (0.99, 1.01):
        weights = np.exp((power - 1) * (log_density - log_density.max()))
        weights /= weights.sum()
        total += jensen_shannon(values, weights) / abs(np.log2(power))
    return total / 2


def test_power_scaling_is_that_of_plain_importance_weights(pep_fit):
    table = power_scaling(pep_fit).set_index("quantity")
    posterior = pep_fit["posterior"]
    densities = {"prior": log_prior(pep_fit), "likelihood": posterior["log_lik"].to_numpy()}
    draws = {
        "intercept": posterior["intercept"],
        "tau": posterior["tau"],
        "m_eff": posterior["m_eff"],
        "beta[pep]": posterior["beta"].sel(coefficient="pep"),
    }
    for quantity, values in draws.items():
        for name, density in densities.items():
            expected = importance_sensitivity(values.to_numpy().ravel(), density.ravel())
            # powers so near 1 leave little to smooth: the two differ in the largest weights alone
            assert table.loc[quantity, name] == pytest.approx(expected, rel=0.03), (quantity, name)


def test_power_scaling_is_that_of_arviz(pep_fit):
    tree = pep_fit.copy()
    posterior, prior = pep_fit["posterior"], prior_of(pep_fit)
    half = prior.slab_df / 2
    parts = {
        "intercept": stats.t.logpdf(posterior["intercept"], 3, scale=2.5),
        "tau": stats.halfcauchy.logpdf(posterior["tau"], scale=prior.global_scale),
        "c2": stats.invgamma.logpdf(posterior["slab"] ** 2, half, scale=half * prior.slab_scale**2),
    }
    draw = ("chain", "draw")
    tree["log_prior"] = xr.DataTree(xr.Dataset({name: (draw, one) for name, one in parts.items()}))
    total = xr.Dataset({"all": (draw, posterior["log_lik"].to_numpy())})
    tree["log_likelihood"] = xr.DataTree(total)
    known = azs.psense_summary(tree, var_names=["intercept", "tau", "beta"], round_to=10)
    found = power_scaling(pep_fit).set_index("quantity").loc[known.index]
    np.testing.assert_allclose(found["prior"], known["prior"], atol=1e-9)
    np.testing.assert_allclose(found["likelihood"], known["likelihood"], atol=1e-9)
    assert list(found["label"])[:2] == ["Intercept", "Global scale τ"]


def test_diagnosis_of_two_sensitivities():
    prior, likelihood = pd.Series([0.2, 0.2, 0.01, 0.05]), pd.Series([0.2, 0.01, 0.2, 0.05])
    assert list(_diagnoses(prior, likelihood)) == [CONFLICT, STRONG_PRIOR, UNMOVED, CONFLICT]


def test_a_prior_against_the_data_is_told_from_one_that_agrees():
    """x raises the odds; a narrow prior says that it lowers them."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=200) + np.repeat([0, 0.8], 100)
    frame = pd.DataFrame({"x": x, "y": np.repeat([0, 1], 100)})
    for prior, expected in (("[-1.0, 0.2]", CONFLICT), ("[0.8, 2.0]", UNMOVED)):
        cohort = load_cohort(study(predictor("x", prior=prior)), frame)
        table = power_scaling(fit_of(cohort, draws=1000)).set_index("quantity")
        assert table.loc["beta[x]", "diagnosis"] == expected


def test_log_prior_of_a_family_without_scales_is_that_of_its_coefficients():
    for family, law in (("normal", stats.norm(scale=0.7)), ("student-t", stats.t(5, scale=0.7))):
        rest = f'[prior]\nfamily = "{family}"\nscale = 0.7\n' + ("df = 5\n" if law.args else "")
        fit = fit_of(cohort_of(rest))
        posterior = fit["posterior"]
        expected = stats.t.logpdf(posterior["intercept"], 3, scale=2.5)
        expected = expected + law.logpdf(posterior["beta"]).sum(axis=-1)
        np.testing.assert_allclose(log_prior(fit), expected, rtol=1e-12)
        assert power_scaling(fit)[["prior", "likelihood"]].notna().all(axis=None)


def test_log_prior_knows_coefficients_with_priors_of_their_own():
    declared = predictor("x") + predictor("known", prior="[0.5, 0.2]")
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"y": np.arange(40) % 2, "x": rng.normal(size=40)})
    fit = fit_of(load_cohort(study(declared), frame.assign(known=3 * rng.normal(size=40))))
    posterior, prior = fit["posterior"], prior_of(fit)
    known = posterior["beta"].sel(coefficient="known").to_numpy()
    sd = float(fit["constant_data"]["sd"][1])
    half = prior.slab_df / 2
    expected = (
        stats.t.logpdf(posterior["intercept"], 3, scale=2.5)
        + stats.norm.logpdf(known, 0.5 * sd, 0.2 * sd)
        + stats.halfcauchy.logpdf(posterior["tau"], scale=prior.global_scale)
        + stats.invgamma.logpdf(posterior["slab"] ** 2, half, scale=half * 4)
    )
    np.testing.assert_allclose(log_prior(fit), expected, rtol=1e-12)


def test_printed_responses_that_are_a_prior_are_scaled_with_it():
    """Pseudo-patients: 2 responders of 8 without x, 4 of 8 with it, beside flat priors."""
    shares = "".join(
        f'[[published.responses]]\ngroup = "x{level}"\nwhere = {{ x = {level} }}\n'
        f'share = "{share}"\nworth = 8\n'
        for level, share in ((0, 0.25), (1, 0.5))
    )
    rest = f"[prior]\npublished_responses = true\n{shares}"
    frame = pd.DataFrame({"y": np.arange(40) % 2, "x": np.arange(40) // 2 % 2})
    fit = fit_of(load_cohort(study(predictor("x", "binary"), rest), frame))
    posterior, constants = fit["posterior"], fit["constant_data"]
    intercept, beta = posterior["intercept"].to_numpy(), posterior["beta"].to_numpy()[..., 0]
    mean, sd = (float(constants[name][0]) for name in ("mean", "sd"))
    expected = stats.norm.logpdf(intercept, scale=50) + stats.norm.logpdf(beta, scale=50)
    for level, events in ((0, 2), (1, 4)):
        risk = 1 / (1 + np.exp(-(intercept + beta * (level - mean) / sd)))
        expected = expected + events * np.log(risk) + (8 - events) * np.log1p(-risk)
    np.testing.assert_allclose(log_prior(fit), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("rest", "half", "double"),
    [
        ("", 1.0, 3.0),  # 2 of 4 expected: twice as many would be all
        ("[prior]\nexpected_nonzero = 1.5\n", 0.75, 3.0),
        ("[prior]\nexpected_nonzero = 3\n", 1.5, 3.5),
        ("[prior]\nexpected_nonzero = 0.5\n", 0.25, 1.0),
    ],
)
def test_expected_numbers_are_halved_and_doubled_below_all_columns(rest, half, double):
    found = other_priors(cohort_of(rest).study)
    assert list(found) == ["half_expected", "double_expected", "normal", "student_t"]
    assert found["half_expected"][0].expected_nonzero == half
    assert found["double_expected"][0].expected_nonzero == double
    words = found["double_expected"][1]
    assert ("half way" in words) == (double in (3.0, 3.5) and "1.5" not in rest)
    assert found["normal"][1] == "normal, scale 2.5 per SD"
    assert found["student_t"][1] == "Student-t, 4 df, scale 2.5 per SD"


def test_a_declared_global_scale_is_halved_and_doubled():
    found = other_priors(cohort_of("[prior]\nglobal_scale = 0.1\nslab_scale = 1.5\n").study)
    assert found["half_expected"][0].global_scale == 0.05
    assert found["double_expected"][0].global_scale == 0.2
    assert found["double_expected"][1] == "regularised horseshoe: global scale 0.2, slab 1.5"
    assert found["double_expected"][0].slab_scale == 1.5


def test_a_study_without_a_horseshoe_is_given_one():
    found = other_priors(cohort_of('[prior]\nfamily = "normal"\n').study)
    assert list(found) == ["horseshoe", "student_t"]
    assert found["horseshoe"][1] == "regularised horseshoe: 2 of 4 expected, slab 2"
    assert list(other_priors(cohort_of('[prior]\nfamily = "normal"\nscale = 1\n').study)) == [
        *("horseshoe", "normal", "student_t")
    ]


def test_nothing_shrunk_has_no_alternative(cohort):
    kept = numeric_cohort(cohort.predictors.to_numpy()[:, :1], shrink="false")
    assert other_priors(kept.study) == {}
    found = prior_alternatives(kept, fit_of(kept), settings=SHORT)
    assert list(found.fits["prior"]) == ["as_analysed"]
    assert found.fits["m_eff"].iloc[0] == 0


def test_alternative_studies_are_valid_study_files():
    for rest in ("", "[prior]\nglobal_scale = 0.1\n", '[prior]\nfamily = "student-t"\ndf = 3\n'):
        declared = cohort_of(rest).study
        for prior, words in other_priors(declared).values():
            read = parse_study(replace(declared, prior=prior).to_toml())
            assert words.startswith(prior_in_words(read))
            assert read.prior.family == prior.family


def test_refits_are_fits_of_a_study_with_that_prior(alternatives):
    """The same seed: what the user would have got by declaring it."""
    for key, rest in (
        ("half_expected", "[prior]\nexpected_nonzero = 1\n"),
        ("double_expected", "[prior]\nexpected_nonzero = 3\n"),
        ("normal", '[prior]\nfamily = "normal"\n'),
        ("student_t", '[prior]\nfamily = "student-t"\n'),
    ):
        other = cohort_of(rest)
        again = fit_of(other)
        expected = bc.coefficients(again).iloc[1:]
        rows = alternatives.priors[alternatives.priors["prior"] == key]
        assert list(rows["term"]) == list(expected["term"])
        for column in ("prob_positive", "shrinkage"):
            np.testing.assert_allclose(rows[column], expected[column], rtol=1e-10)
        ratios = bc.prior_odds_ratios(again)  # on contrasts that can stand on one axis
        for column, source in (("odds_ratio", "median"), ("odds_ratio_lower", "lower")):
            np.testing.assert_allclose(rows[column], ratios[f"posterior_{source}"], rtol=1e-10)
        row = alternatives.fits.set_index("prior").loc[key]
        assert row["elpd_loo"] == pytest.approx(leave_one_out(again).elpd, rel=1e-10)
        risk = bc.predict(again, other)
        assert row["median_width"] == round((risk["upper"] - risk["lower"]).median(), 3)


def test_analysed_prior_is_the_fit_itself(alternatives, fit):
    row = alternatives.fits.iloc[0]
    assert row["prior"] == "as_analysed"
    assert row["description"] == "regularised horseshoe: 2 of 4 expected, slab 2"
    zero = ["elpd_diff", "elpd_diff_se", "risk_mean_difference", "risk_largest_difference"]
    assert (row[zero] == 0).all()
    loo = leave_one_out(fit)
    assert (row["elpd_loo"], row["elpd_se"], row["bad_k"]) == (loo.elpd, loo.se, loo.bad)
    number = fit["posterior"]["m_eff"].to_numpy().ravel()
    expected = np.quantile(number, [0.5, 0.025, 0.975])
    found_number = row[["m_eff", "m_eff_lower", "m_eff_upper"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found_number, expected, rtol=1e-9)
    assert row["trusted"] == bc.verdict(fit).trusted
    assert (alternatives.fits["patients"] == 80).all()


def test_differences_are_paired_over_patients(alternatives, fit):
    other = cohort_of('[prior]\nfamily = "normal"\n')
    again = fit_of(other)
    elpd = [leave_one_out(one).patients["elpd"].to_numpy() for one in (again, fit)]
    difference = elpd[0] - elpd[1]
    row = alternatives.fits.set_index("prior").loc["normal"]
    assert row["elpd_diff"] == pytest.approx(difference.sum(), rel=1e-9)
    assert row["elpd_diff_se"] == pytest.approx(np.sqrt(80 * difference.var(ddof=1)), rel=1e-9)
    risk = [bc.predict(one, other)["risk"].to_numpy() for one in (again, fit)]
    apart = np.abs(risk[0] - risk[1])
    assert row["risk_mean_difference"] == pytest.approx(apart.mean(), rel=1e-9)
    assert row["risk_largest_difference"] == round(apart.max(), 3)  # no patient's exact value


def test_a_weaker_prior_leaves_more_coefficients(alternatives):
    number = alternatives.fits.set_index("prior")["m_eff"]
    assert number["half_expected"] < number["as_analysed"] < number["double_expected"]
    # under N(0, 2.5²) each κ is 1 / (1 + 80/4 · 6.25)
    assert number["normal"] == pytest.approx(4 * (1 - 1 / (1 + 20 * 6.25)), rel=1e-9)


def test_progress_counts_the_draws_of_all_refits():
    told = []
    for number in range(2):
        report = _counting(told.append, number, 2)
        for finished in (50, 100):
            report(SamplingState(finished, 100))
    assert [(one.finished, one.total) for one in told] == [
        (50, 200),
        (100, 200),
        (150, 200),
        (200, 200),
    ]


def test_what_has_no_prior_is_refused(cohort, fit):
    with pytest.raises(OptionError, match="no prior of its own"):
        power_scaling(drawn_posterior(cohort))
    with pytest.raises(OptionError, match="did not learn from the development patients"):
        prior_alternatives(cohort_of(width=2), fit)
    with pytest.raises(OptionError, match="sampling cannot start"):
        prior_alternatives(cohort, fit, settings=SamplerSettings(chains=0))
