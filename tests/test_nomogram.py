"""The nomogram as data: R's rms, read back, second algorithms, invariances, simple truths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.design import FORWARD, design_matrix, learn_design
from bayes_cmvt.errors import OptionError
from bayes_cmvt.nomogram import nomogram_points
from bayes_cmvt.nomogram_scales import Nomogram
from bayes_cmvt.points_scale import central_model, scale_of
from bayes_cmvt.profile import patient_profile
from bayes_cmvt.study import parse_study
from tests.baseline_study import STUDY, cohort_of, patients, small_baseline, small_cohort
from tests.builders import HEADING, OUTCOME, predictor
from tests.estimate_fit import drawn_posterior, fit_of, maximum_likelihood
from tests.references import reference_design, reference_section

CONTRACT = ["model", "axis", "value", "points", "points_lower", "points_upper"]
RISK_CONTRACT = [
    *("model", "total_points", "risk", "lower", "upper"),
    *("lower_envelope", "upper_envelope"),
]


# --- R's rms -------------------------------------------------------------------------------------


def rms_cohort(name: str) -> Cohort:
    """The design of a reference, with its categories put together again."""
    design = reference_design(name)
    axes = reference_section(name, "nomogram")["axes"]
    declared = []
    for axis, shown in axes.items():
        parts = [column for column in design.columns if column.rstrip("0123456789") == axis]
        if axis not in design.columns and parts:
            codes = design[parts].to_numpy() @ np.arange(2, 2 + len(parts))
            design[axis] = np.where(codes == 0, 1, codes).astype(int)
            levels = "[" + ", ".join(shown["value"]) + "]"
            declared.append(predictor(axis, "categorical", levels=levels))
        else:
            declared.append(predictor(axis))
    return load_cohort(parse_study(HEADING + OUTCOME + "".join(declared)), design)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["birthwt", "asah", "synth26", "indo_rct"])
def test_points_and_mapping_equal_those_of_rms(name):
    """`rms` fits with eps 1e-12, so its coefficients are right to far more than 1e-6."""
    cohort, expected = rms_cohort(name), reference_section(name, "nomogram")
    found = nomogram_points(maximum_likelihood(cohort), cohort, axis_limits="rms", gather=0)
    assert set(found.axes["axis"]) == set(expected["axes"])
    for axis, rms in expected["axes"].items():
        own = found.axes[found.axes["axis"] == axis]
        if rms["value_num"] is None:
            assert own["value"].tolist() == rms["value"]
        else:
            np.testing.assert_allclose(own["number"], rms["value_num"], rtol=1e-12)
        np.testing.assert_allclose(own["points"], rms["points"], atol=1e-6)
    slope, start = expected["points_per_lp"], expected["lp_intercept"]
    assert found.quantity("points_per_log_odds") == pytest.approx(slope, abs=1e-6)
    assert found.quantity("log_odds_at_zero_points") == pytest.approx(start, abs=1e-6)
    total = found.risk["total_points"].to_numpy()
    risk = 1 / (1 + np.exp(-(start + total / slope)))
    np.testing.assert_allclose(found.risk["risk"], risk, atol=1e-6)


# --- Read back -----------------------------------------------------------------------------------


def random_profiles(cohort: Cohort, count: int, found: Nomogram) -> pd.DataFrame:
    """Values of every predictor drawn apart from the others', within its axis."""
    rng = np.random.default_rng(4)
    profiles = {}
    for one in cohort.study.predictors:
        shown = found.axes[found.axes["axis"] == one.name]
        if one.kind == "continuous":
            profiles[one.name] = rng.uniform(shown["number"].min(), shown["number"].max(), count)
        else:
            levels = [str(level) for level in one.levels]
            drawn = rng.integers(0, len(levels), count)
            profiles[one.name] = pd.Categorical.from_codes(drawn, levels, ordered=True)
    return pd.DataFrame(profiles)


def read_off(found: Nomogram, profiles: pd.DataFrame, study) -> np.ndarray:
    """Sum of points as a reader finds them: between two ticks of an axis along its line."""
    total = np.full(len(profiles), found.quantity("gathered_points"))
    for one in study.predictors:
        shown = found.axes[found.axes["axis"] == one.name]
        if shown["gathered"].any():
            continue
        if one.kind == "continuous":
            scale = FORWARD[one.transform]
            ticks, points = scale(shown["number"].to_numpy()), shown["points"].to_numpy()
            total += np.interp(scale(profiles[one.name].to_numpy()), ticks, points)
        else:
            points = dict(zip(shown["value"], shown["points"], strict=True))
            total += profiles[one.name].astype(str).map(points).to_numpy(dtype=float)
    return total


@pytest.mark.parametrize("source", ["posterior", "baseline", "pep"])
def test_read_back_risks_are_those_of_the_central_coefficients(source, pep_cohort, pep_fit):
    cohort = pep_cohort if source == "pep" else small_cohort()
    fit = {
        "posterior": lambda: drawn_posterior(cohort),
        "baseline": small_baseline,
        "pep": lambda: pep_fit,
    }[source]()
    design = learn_design(cohort)
    intercept, beta = central_model(
        fit, design_matrix(design, cohort.predictors[cohort.development])
    )
    for gather in (0.0, 0.3 if source == "pep" else 0.9):
        found = nomogram_points(fit, cohort, gather=gather)
        profiles = random_profiles(cohort, 1000, found)
        expected = 1 / (1 + np.exp(-(intercept + design_matrix(design, profiles) @ beta)))
        total = read_off(found, profiles, cohort.study)
        slope = found.quantity("points_per_log_odds")
        log_odds = found.quantity("log_odds_at_zero_points") + total / slope
        error = np.abs(1 / (1 + np.exp(-log_odds)) - expected)
        allowed = found.quantity("gathered_error_risk") if found.axes["gathered"].any() else 0.0
        assert error.max() <= allowed + 1e-9
        if gather and source != "baseline":
            # something was gathered, and the bound is no empty promise
            assert 0 < allowed < 0.5
            assert error.max() > allowed / 20


def test_gathered_axes_together_stay_below_the_share_and_are_the_shortest(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort, gather=0.2)
    lengths = found.axes.drop_duplicates("axis").set_index("axis")[["length", "gathered"]]
    gathered = lengths["length"][lengths["gathered"]]
    kept = lengths["length"][~lengths["gathered"]]
    assert gathered.sum() < 20 <= gathered.sum() + kept.min()
    assert gathered.max() <= kept.min()
    assert found.quantity("gathered_axes") == len(gathered)
    assert found.quantity("gathered_error_points") <= gathered.sum() + 1e-9


def test_the_longest_axis_has_100_points_and_comes_first(pep_cohort, pep_fit):
    axes = nomogram_points(pep_fit, pep_cohort).axes
    lengths = axes.drop_duplicates("axis")["length"].to_numpy()
    assert lengths[0] == pytest.approx(100)
    assert (np.diff(lengths) <= 0).all()
    ends = axes.groupby("axis")["points"]
    np.testing.assert_allclose(ends.min(), 0, atol=1e-9)
    spans = axes.drop_duplicates("axis").set_index("axis")["length"]
    np.testing.assert_allclose(ends.max(), spans.loc[ends.max().index], atol=1e-9)


# --- The centre ----------------------------------------------------------------------------------


def test_the_centre_is_the_logistic_fit_to_posterior_mean_risks(pep_cohort, pep_fit):
    """statsmodels' GLM takes fractions as outcomes: another algorithm for the same maximum."""
    matrix = design_matrix(learn_design(pep_cohort), pep_cohort.predictors)
    mean_risk = bc.predict(pep_fit, pep_cohort)["risk"].to_numpy()
    with_one = sm.add_constant(matrix)
    fitted = sm.GLM(mean_risk, with_one, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=200)
    intercept, beta = central_model(pep_fit, matrix)
    np.testing.assert_allclose([intercept, *beta], fitted.params, atol=1e-6)


def test_the_printed_gap_is_the_distance_to_predict(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort)
    scale = scale_of(pep_fit, pep_cohort)
    central = 1 / (1 + np.exp(-scale.log_odds(pep_cohort.predictors)))
    gap = np.abs(central - bc.predict(pep_fit, pep_cohort)["risk"])
    assert found.quantity("gap_median") == pytest.approx(gap.median(), abs=1e-12)
    assert found.quantity("gap_largest") == pytest.approx(gap.max(), abs=1e-12)
    assert found.quantity("patients") == 602


def test_a_posterior_without_spread_is_its_own_centre():
    cohort = small_cohort()
    one = drawn_posterior(cohort, draws=1)
    found = nomogram_points(one, cohort)
    assert found.quantity("gap_largest") < 1e-9
    np.testing.assert_allclose(found.axes["points"], found.axes["points_lower"], atol=1e-7)
    drawn = found.risk.dropna()
    for limit in ("lower", "upper", "lower_envelope", "upper_envelope"):
        np.testing.assert_allclose(drawn[limit], drawn["risk"], atol=1e-9)
    assert found.quantity("outside_envelope") == 0


# --- Bands ---------------------------------------------------------------------------------------


def test_axis_bands_are_quantiles_of_draws_measured_from_the_reference():
    cohort = small_cohort()
    fit = drawn_posterior(cohort)
    found, scale = nomogram_points(fit, cohort, ci_prob=0.9), scale_of(fit, cohort)
    design = learn_design(cohort)
    beta = fit["posterior"]["beta"].to_numpy()[0] / design.sd
    for j, axis in enumerate(scale.axes):
        shown = found.axes[found.axes["axis"] == axis.predictor.name]
        codes = np.r_[axis.numbers, axis.reference]
        if axis.predictor.kind == "continuous":
            encoded = FORWARD[axis.predictor.transform](codes)[:, np.newaxis]
        elif axis.predictor.kind == "categorical":
            encoded = (codes[:, np.newaxis] == np.arange(1, len(axis.predictor.levels))) * 1.0
        else:
            encoded = codes[:, np.newaxis]
        contribution = encoded @ beta[:, scale.columns[j]].T
        drawn = scale.per_log_odds * (contribution[:-1] - contribution[-1])
        expected = np.quantile(drawn, [0.05, 0.95], axis=1)
        expected += shown["reference_points"].iloc[0]
        np.testing.assert_allclose(shown["points_lower"], expected[0], atol=1e-9)
        np.testing.assert_allclose(shown["points_upper"], expected[1], atol=1e-9)


def test_where_the_intercept_alone_is_uncertain_every_band_is_exact():
    """All patients then share one shift of the log-odds: no band is wider than the interval."""
    cohort = small_cohort()
    design = learn_design(cohort)
    beta = np.linspace(-0.8, 1.0, len(design.terms))
    intercept = -1 + np.random.default_rng(0).normal(0, 0.4, 500)
    fit = fit_of(cohort, estimate=(-1.0, beta), bootstrap=(intercept, np.tile(beta, (500, 1))))
    found = nomogram_points(fit, cohort)
    drawn = found.risk.dropna()
    centre = np.log(drawn["risk"] / (1 - drawn["risk"])).to_numpy()
    for level, names in (
        (0.025, ("lower", "lower_envelope")),
        (0.975, ("upper", "upper_envelope")),
    ):
        shift = np.quantile(intercept, level) + 1
        expected = 1 / (1 + np.exp(-(centre + shift)))
        for name in names:
            # quantiles of risks and of log-odds differ between two order statistics
            np.testing.assert_allclose(drawn[name], expected, atol=2e-4)
    scale = scale_of(fit, cohort)
    total = scale.total(scale.log_odds(cohort.predictors))
    own = total[cohort.development]
    # no band is drawn for validation patients whose totals no development patient reaches
    beyond = (total < own.min() - 1e-6) | (total > own.max() + 1e-6)
    assert found.quantity("outside_envelope") == pytest.approx(beyond.mean(), abs=1e-12)
    np.testing.assert_allclose(found.axes["points_lower"], found.axes["points_upper"], atol=1e-9)


def test_bands_end_where_patients_end_and_the_envelope_holds_the_inner_band(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort)
    totals = scale_of(pep_fit, pep_cohort)
    own = totals.total(totals.log_odds(pep_cohort.predictors))
    drawn = found.risk.dropna()
    assert drawn["total_points"].min() >= own.min() - 1e-6
    assert drawn["total_points"].max() <= own.max() + 1e-6
    assert len(drawn) >= np.floor(own.max() - own.min())
    assert (drawn["lower_envelope"] <= drawn["lower"] + 1e-12).all()
    assert (drawn["upper_envelope"] >= drawn["upper"] - 1e-12).all()
    # 5 % beyond either edge, if both edges are left by others
    assert 0 < found.quantity("outside_envelope") < 0.12
    # the patient's own limits can only widen the envelope
    assert found.quantity("outside_envelope_left_out") >= found.quantity("outside_envelope")


def test_a_frequentist_fit_without_resamples_has_no_bands():
    cohort = small_cohort()
    found = nomogram_points(maximum_likelihood(cohort), cohort)
    assert found.interval_kind == "bootstrap"
    assert found.axes["points_lower"].isna().all()
    assert found.risk["lower"].isna().all()
    assert found.quantity("gap_largest") < 1e-12
    assert np.isnan(found.quantity("outside_envelope"))


# --- Invariances ---------------------------------------------------------------------------------


def test_neither_units_nor_the_order_of_rows_move_a_point():
    frame = patients()
    plain = nomogram_points(maximum_likelihood(cohort_of(frame)), cohort_of(frame))
    scaled = frame.assign(age=frame["age"] * 10, noise=frame["noise"] / 100)
    shuffled = scaled.sample(frac=1, random_state=3)
    cohort = cohort_of(shuffled)
    changed = nomogram_points(maximum_likelihood(cohort), cohort)
    np.testing.assert_allclose(changed.axes["points"], plain.axes["points"], atol=1e-6)
    np.testing.assert_allclose(changed.risk["risk"], plain.risk["risk"], atol=1e-8)


def test_another_reference_level_moves_no_point_and_no_risk():
    frame, text = patients(), STUDY
    other = text.replace('["north", "east", "south"]', '["south", "north", "east"]')
    both = []
    for one in (text, other):
        cohort = load_cohort(parse_study(one), frame)
        both.append(nomogram_points(maximum_likelihood(cohort), cohort))
    points = [found.axes.set_index(["axis", "value"])["points"].sort_index() for found in both]
    pd.testing.assert_index_equal(points[0].index, points[1].index)
    np.testing.assert_allclose(points[0], points[1], atol=1e-6)
    np.testing.assert_allclose(both[0].risk["risk"], both[1].risk["risk"], atol=1e-8)


def test_a_protective_predictor_runs_the_other_way():
    cohort = small_cohort()
    width = len(cohort.study.terms)
    effects = np.zeros(width)
    effects[0], effects[2] = -1.0, 0.4
    found = nomogram_points(fit_of(cohort, estimate=(-1.0, effects)), cohort)
    age = found.axes[found.axes["axis"] == "age"]
    assert (np.diff(age["points"]) < 0).all()
    assert age["points"].iloc[-1] == pytest.approx(0, abs=1e-9)
    unused = found.axes.loc[found.axes["length"] == 0, "axis"].unique()
    assert set(unused) == {"marker", "site", "grade", "noise"}
    assert set(found.scores["axis"]) == {"age", "sex"}


# --- Risk ticks and scores -----------------------------------------------------------------------


def test_round_risks_lie_where_the_ruler_says(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort)
    read = np.interp(
        found.risk_ticks["total_points"], found.risk["total_points"], found.risk["risk"]
    )
    # linear between totals one point apart, 1/118 of log-odds here
    np.testing.assert_allclose(read, found.risk_ticks["risk"], atol=1e-5)
    assert found.risk_ticks["major"].sum() >= 3


def test_a_narrow_range_of_risks_still_has_round_ticks():
    cohort = small_cohort()
    effects = np.zeros(len(cohort.study.terms))
    effects[2] = 0.05
    ticks = nomogram_points(fit_of(cohort, estimate=(-1.9, effects)), cohort).risk_ticks
    assert ticks["major"].all()
    assert len(ticks) >= 3


def test_scores_are_points_of_more_values_rounded(pep_cohort, pep_fit):
    scores = nomogram_points(pep_fit, pep_cohort).scores
    scale = scale_of(pep_fit, pep_cohort)
    age = scores[scores["axis"] == "age"]
    place = [axis.predictor.name for axis in scale.axes].index("age")
    expected = scale.points(place, pd.Series(age["value"].astype(float).to_numpy()))
    np.testing.assert_allclose(age["points"], expected, atol=1e-9)
    assert (scores["points_rounded"] - scores["points"]).abs().max() <= 0.5


# --- One patient ---------------------------------------------------------------------------------


def test_a_patient_is_read_exactly_and_the_ruler_agrees_with_the_risk(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort, patient=patient_profile(pep_cohort, 17))
    patient = found.patient
    assert patient is not None
    exact = bc.predict(pep_fit, pep_cohort).set_index("row").loc[17]
    for name in ("risk", "median", "lower", "upper"):
        assert patient.risk[name].iloc[0] == pytest.approx(exact[name], abs=1e-12)
    total = patient.points["points"].sum()
    assert patient.risk["total_points"].iloc[0] == pytest.approx(total, abs=1e-9)
    slope, start = (
        found.quantity(name) for name in ("points_per_log_odds", "log_odds_at_zero_points")
    )
    for limit in ("lower", "upper"):
        log_odds = start + patient.risk[f"total_{limit}"].iloc[0] / slope
        assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(exact[limit], abs=1e-12)


def test_the_distribution_on_the_ruler_is_that_of_the_draws():
    cohort = small_cohort()
    fit = drawn_posterior(cohort, draws=4000)
    found = nomogram_points(fit, cohort, patient=patient_profile(cohort, 5))
    density = found.patient.density
    weight = density["density"] / density["density"].sum()
    mean = float(weight @ density["total_points"])
    spread = float(np.sqrt(weight @ (density["total_points"] - mean) ** 2))
    row = design_matrix(learn_design(cohort), cohort.predictors.loc[[5]])[0]
    posterior = fit["posterior"]
    drawn = posterior["intercept"].to_numpy() + posterior["beta"].to_numpy() @ row
    total = scale_of(fit, cohort).total(drawn.ravel())
    # tails of 0.05 % are cut, and a kernel widens the spread by (1 + n^(-2/5))^(1/2), 1.8 %
    assert mean == pytest.approx(total.mean(), abs=0.05 * total.std())
    assert spread == pytest.approx(total.std(), rel=0.03)
    assert density["density"].max() == 1


def test_a_patient_may_be_named_as_on_the_command_line():
    cohort = small_cohort()
    fit = drawn_posterior(cohort)
    for given in (5, "row=5"):
        found = nomogram_points(fit, cohort, patient=given)
        assert found.patient.name == "row 5"
    assert nomogram_points(fit, cohort, patient={"age": 60}).patient.name == "profile"
    with pytest.raises(OptionError, match="patient: found float; expected the number of a row"):
        nomogram_points(fit, cohort, patient=5.0)


def test_gathered_axes_stand_where_most_patients_are():
    """Of levels that is the most frequent one, not the first."""
    cohort = small_cohort()
    effects = np.array([1.0, 0.0, 0.0, 0.0, 0.02, 0.03, 0.0])
    found = nomogram_points(fit_of(cohort, estimate=(-1.0, effects)), cohort)
    axes = found.axes[found.axes["gathered"]]
    assert set(axes["axis"]) == {"site", "grade"}
    rows = cohort.predictors[cohort.development]
    grade = sorted(rows["grade"].cat.codes)[(len(rows) - 1) // 2]
    usual = {"site": rows["site"].mode()[0], "grade": ["low", "mid", "high"][grade]}
    points = axes.set_index(["axis", "value"])["points"]
    expected = sum(points[pair] for pair in usual.items())
    assert found.quantity("gathered_points") == pytest.approx(expected, abs=1e-9)


def test_values_beyond_an_axis_are_marked_and_their_points_exact():
    cohort = small_cohort()
    fit = drawn_posterior(cohort)
    age = 150.0
    patient = patient_profile(cohort, {"age": age})
    found = nomogram_points(fit, cohort, patient=patient)
    row = found.patient.points.set_index("axis").loc["age"]
    assert row["beyond"]
    shown = found.axes[found.axes["axis"] == "age"]
    slope = np.polyfit(shown["number"], shown["points"], 1)
    assert row["points"] == pytest.approx(np.polyval(slope, age), abs=1e-6)
    assert set(found.patient.points.query("assumed")["axis"]) == {
        one.name for one in cohort.study.predictors
    } - {"age"}


# --- What tables hold, and what is refused -------------------------------------------------------


def test_tables_have_the_columns_of_the_contract(pep_cohort, pep_fit):
    found = nomogram_points(pep_fit, pep_cohort, ci_prob=0.8)
    assert list(found.axes)[:6] == CONTRACT
    assert list(found.risk)[:7] == RISK_CONTRACT
    assert set(found.axes["model"]) == set(found.risk["model"]) == {"horseshoe"}
    assert set(found.axes["interval"]) == {0.8}
    assert "row" not in {*found.axes, *found.risk, *found.accuracy, *found.risk_ticks}


def test_models_are_named_after_their_fits():
    cohort = small_cohort()
    found = nomogram_points(small_baseline(), cohort)
    assert (found.model, found.interval_kind) == ("baseline", "bootstrap")
    found = nomogram_points(drawn_posterior(cohort), cohort)
    assert (found.model, found.interval_kind) == ("horseshoe", "credible")


def test_what_cannot_be_drawn_is_refused(pep_cohort):
    cohort = small_cohort()
    fit = drawn_posterior(cohort)
    with pytest.raises(OptionError, match="gather: found 1; allowed: 0"):
        nomogram_points(fit, cohort, gather=1)
    with pytest.raises(OptionError, match=r"interval: found 1\.2"):
        nomogram_points(fit, cohort, ci_prob=1.2)
    with pytest.raises(OptionError, match='study "pep"; its predictors are not those of the fit'):
        nomogram_points(fit, pep_cohort)
    nothing = fit_of(cohort, estimate=(-1.0, np.zeros(len(cohort.study.terms))))
    with pytest.raises(OptionError, match="no predictor has an effect: there is nothing to draw"):
        nomogram_points(nothing, cohort)


def test_a_synthetic_cohort_is_said_to_be_one():
    cohort = replace(small_cohort(), source="small_SYNTHETIC.csv")
    found = nomogram_points(drawn_posterior(small_cohort()), cohort)
    assert "SYNTHETIC" in found.notice
    assert found.title.startswith("SYNTHETIC")


def test_a_large_cohort_is_judged_by_some_of_its_patients():
    frame = pd.concat([patients(800, seed=k) for k in range(4)], ignore_index=True)
    cohort = cohort_of(frame)
    found = nomogram_points(maximum_likelihood(cohort), cohort)
    assert found.quantity("patients") == 2000


def test_draws_without_an_effect_have_no_column():
    """Of a projected submodel the other columns are 0 in every draw, and stay 0 in the centre."""
    cohort = small_cohort()
    fit = drawn_posterior(cohort)
    beta = fit["posterior"]["beta"].to_numpy().copy()
    beta[..., [1, 3, 4, 5, 6]] = 0
    fit["posterior"] = xr.Dataset(
        {
            "intercept": fit["posterior"]["intercept"],
            "beta": (("chain", "draw", "coefficient"), beta),
        }
    )
    found = nomogram_points(fit, cohort)
    used = found.axes.loc[found.axes["length"] > 0, "axis"].unique()
    assert set(used) == {"age", "sex"}
