"""The frequentist workflow on a cohort and its resamples: what the DataTree says is so."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt import baseline as module
from bayes_cmvt import runs
from bayes_cmvt.baseline import fit_baseline, is_baseline
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.lasso import cross_validate
from bayes_cmvt.logistic import fit_flac, fit_guarded
from bayes_cmvt.pipeline import STATUSES, draw_folds
from bayes_cmvt.resampling import Keep
from bayes_cmvt.workers import Workers
from tests.baseline_study import (
    RESAMPLES,
    SUBSAMPLES,
    TERMS,
    cohort_of,
    patients,
    small_baseline,
    small_cohort,
)
from tests.builders import numeric_cohort

CODES = tuple(STATUSES)


def development(cohort):
    """Standardised columns, outcomes and file rows of the development patients."""
    members = cohort.development
    matrix = design_matrix(learn_design(cohort), cohort.predictors[members])
    return matrix, cohort.outcome[members], cohort.rows[members]


def assert_same_fit(one, other):
    """Bit for bit, types included."""
    assert set(one.children) == set(other.children)
    for group in one.children:
        first, second = one[group].to_dataset(), other[group].to_dataset()
        xr.testing.assert_identical(first, second)
        assert {n: v.dtype for n, v in first.items()} == {n: v.dtype for n, v in second.items()}
    assert one.attrs == other.attrs


def drawn(fit, scheme):
    """Variables of each resample, and the positions of its patients."""
    _, _, rows = development(small_cohort())
    group = {name: values.to_numpy()[0] for name, values in fit[scheme].data_vars.items()}
    return group, np.searchsorted(rows, group["rows"])


# --- What a resample is --------------------------------------------------------------------------


def test_resamples_draw_development_patients_and_as_many():
    group, _ = drawn(small_baseline(), "bootstrap")
    _, _, rows = development(small_cohort())
    assert group["rows"].shape == (RESAMPLES, 150)
    assert np.isin(group["rows"], rows).all()
    distinct = [len(np.unique(one)) for one in group["rows"]]
    # share of distinct patients: mean 1 - 1/e; SE of one resample 0.025, of 60 0.0033; 4 SE
    assert np.mean(distinct) / 150 == pytest.approx(1 - (1 - 1 / 150) ** 150, abs=0.013)
    assert len({tuple(one) for one in group["rows"].tolist()}) == RESAMPLES


def test_subsamples_are_distinct_patients_of_the_same_share():
    group, _ = drawn(small_baseline(), "subsample")
    assert group["rows"].shape == (SUBSAMPLES, round(0.632 * 150))
    assert {len(np.unique(one)) for one in group["rows"]} == {95}


@pytest.mark.parametrize("scheme", ["bootstrap", "subsample"])
def test_coefficients_are_those_of_a_fit_to_the_rows_of_the_resample(scheme):
    """Physical copies instead of weights; both to a gradient of rounding size, hence 1e-7."""
    matrix, outcome, _ = development(small_cohort())
    group, positions = drawn(small_baseline(), scheme)
    own = small_baseline()["estimate"]["selected_final"].to_numpy()[0, 0]
    for i, rows in enumerate(positions):
        for name, prefix in (("selected_final", "reported_"), (None, "fixed_")):
            members = own if name is None else group[name][i]
            fit = fit_guarded(matrix[rows][:, members], outcome[rows])
            beta = np.zeros(len(TERMS))
            beta[members] = fit.coefficients
            if name is not None:
                assert group["final_firth"][i] == (fit.method == "firth")
            elif fit.method == "firth":
                continue  # its risks are tested below
            np.testing.assert_allclose(group[f"{prefix}beta"][i], beta, atol=1e-7)
            np.testing.assert_allclose(group[f"{prefix}intercept"][i], fit.intercept, atol=1e-7)


def test_each_resample_repeats_the_whole_workflow_with_copies_in_one_fold():
    """LASSO on the physical rows, P rule, final model; folds of distinct patients, spread out."""
    matrix, outcome, _ = development(small_cohort())
    group, positions = drawn(small_baseline(), "bootstrap")
    for number, rows in enumerate(positions[:25]):
        _, stream = np.random.SeedSequence(5, spawn_key=(1, number)).spawn(2)
        distinct, place = np.unique(rows, return_inverse=True)
        folds = draw_folds(outcome[distinct], 4, np.random.default_rng(stream))
        found = cross_validate(matrix[rows], outcome[rows], folds[place])
        kept = found.path.selected[found.index_min]
        np.testing.assert_array_equal(group["selected_lasso"][number], kept)
        assert group["lambda"][number] == pytest.approx(found.lambda_min, rel=1e-9)
        refit = fit_guarded(matrix[rows][:, kept], outcome[rows])
        if refit.method == "ml":
            final = kept.copy()
            final[kept] = refit.p_value < 0.05
            np.testing.assert_array_equal(group["selected_final"][number], final)
        assert group["folds"][number] == 4


def test_folds_by_rows_deal_the_copies_of_a_patient_like_strangers():
    cohort = cohort_of(patients(), 'folds_by = "rows"\n')
    fit = fit_baseline(cohort, resamples=6, seed=5, subsamples=0)
    group, positions = drawn(fit, "bootstrap")
    matrix, outcome, _ = development(cohort)
    np.testing.assert_array_equal(
        group["rows"], drawn(small_baseline(), "bootstrap")[0]["rows"][:6]
    )
    for number, rows in enumerate(positions):
        _, stream = np.random.SeedSequence(5, spawn_key=(1, number)).spawn(2)
        folds = draw_folds(outcome[rows], 4, np.random.default_rng(stream))
        found = cross_validate(matrix[rows], outcome[rows], folds)
        kept = found.path.selected[found.index_min]
        np.testing.assert_array_equal(group["selected_lasso"][number], kept)


def test_status_of_a_resample_says_what_its_model_holds():
    for scheme in ("bootstrap", "subsample"):
        group, _ = drawn(small_baseline(), scheme)
        size = group["selected_final"].sum(axis=1)
        np.testing.assert_array_equal(group["status"] == CODES.index("fitted"), size > 0)
        np.testing.assert_array_equal(group["status"] == CODES.index("empty"), size == 0)
        empty = group["beta"][size == 0]
        assert len(empty) > 0
        assert (empty == 0).all()
        assert not (group["selected_final"] & ~group["selected_lasso"]).any()


# --- The same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 2])
def test_the_fit_is_the_same_in_one_thread_and_in_two(cores):
    """Processes and clusters: in `tests/test_baseline_run.py`."""
    workers = Workers(cores=cores)
    again = fit_baseline(small_cohort(), seed=5, subsamples=SUBSAMPLES, workers=workers)
    assert_same_fit(again, small_baseline())


def test_a_resample_depends_on_seed_and_number_alone():
    fewer = fit_baseline(small_cohort(), resamples=7, seed=5, subsamples=3)
    for scheme, count in (("bootstrap", 7), ("subsample", 3)):
        whole = small_baseline()[scheme].to_dataset().isel(draw=slice(count))
        xr.testing.assert_identical(fewer[scheme].to_dataset(), whole)
    other = fit_baseline(small_cohort(), resamples=7, seed=6, subsamples=3)
    assert (other["bootstrap"]["rows"] != fewer["bootstrap"]["rows"]).any()


def _kept_fit(keep, **options):
    return fit_baseline(small_cohort(), seed=5, subsamples=SUBSAMPLES, keep=keep, **options)


def test_an_interrupted_fit_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    kept = {name: runs.KeptBlocks(tmp_path / "kept", name) for name in module.SCHEMES}
    keep = {name: Keep(load=one.load, save=one.save) for name, one in kept.items()}

    def stop(state):
        if state.finished >= 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _kept_fit(keep, report=stop, workers=Workers(cores=1))
    there = {
        number
        for block in (range(25), range(25, 50), range(50, 60))
        if kept["bootstrap"].load(block) is not None
        for number in block
    }
    assert len(there) >= 25
    computed = []
    resample = module._resample

    def counted(given, number):
        computed.append((given.scheme, number))
        return resample(given, number)

    monkeypatch.setattr(module, "_resample", counted)
    again = _kept_fit(keep)
    assert_same_fit(again, small_baseline())
    anew = sorted(number for scheme, number in computed if scheme == "bootstrap")
    assert anew == sorted(set(range(RESAMPLES)) - there)
    assert len([1 for scheme, _ in computed if scheme == "subsample"]) == SUBSAMPLES


def test_a_damaged_block_is_computed_again(tmp_path):
    kept = runs.KeptBlocks(tmp_path / "kept", "bootstrap")
    keep = {"bootstrap": Keep(load=kept.load, save=kept.save)}
    fit_baseline(small_cohort(), seed=5, subsamples=0, keep=keep)
    files = sorted((tmp_path / "kept").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:1000])
    files[1].write_bytes(b"")
    again = fit_baseline(small_cohort(), seed=5, subsamples=0, keep=keep)
    xr.testing.assert_identical(
        again["bootstrap"].to_dataset(), small_baseline()["bootstrap"].to_dataset()
    )


def test_the_fit_comes_back_from_its_file_as_it_was(tmp_path):
    (tmp_path / runs.RUN).write_text('{"schema": 1}')
    runs.write_bytes(tmp_path / runs.BASELINE, runs.tree_bytes(small_baseline()), overwrite=False)
    found = bc.load_baseline(tmp_path)
    assert_same_fit(found, small_baseline())
    assert is_baseline(found)
    (tmp_path / runs.BASELINE).write_bytes(b"not netCDF")
    with pytest.raises(bc.RunError, match=r"baseline\.nc is damaged .*; make it with `bayes-cmvt"):
        bc.load_baseline(tmp_path)
    (tmp_path / runs.BASELINE).unlink()
    with pytest.raises(bc.RunError, match=r"holds no baseline\.nc; make it with `bayes-cmvt basel"):
        bc.load_baseline(tmp_path)


# --- Everybody -----------------------------------------------------------------------------------


def test_given_folds_are_those_of_everybody_and_of_no_resample():
    matrix, outcome, _ = development(small_cohort())
    folds = np.arange(150) % 7
    fit = fit_baseline(small_cohort(), resamples=5, seed=5, folds=folds, subsamples=0)
    found = cross_validate(matrix, outcome, folds)
    np.testing.assert_allclose(fit["lasso"]["cv_mean"], found.mean, rtol=1e-12)
    assert int(fit["lasso"]["index_min"]) == found.index_min
    assert int(fit["lasso"]["index_1se"]) == found.index_1se
    assert fit["estimate"]["folds"].item() == 7
    for name in ("rows", "selected_lasso", "beta", "folds"):
        first = small_baseline()["bootstrap"][name].to_numpy()[:, :5]
        np.testing.assert_array_equal(fit["bootstrap"][name].to_numpy(), first)
    shuffled = np.random.default_rng(1).permutation(7)[folds] * 3 - 4  # names of folds say nothing
    again = fit_baseline(small_cohort(), resamples=0, seed=5, folds=shuffled)
    np.testing.assert_allclose(again["lasso"]["cv_mean"], fit["lasso"]["cv_mean"], rtol=1e-12)


def test_without_resamples_there_are_no_subsamples_either():
    fit = fit_baseline(small_cohort(), resamples=0, seed=5)
    assert {"bootstrap", "subsample"}.isdisjoint(fit.children)
    xr.testing.assert_identical(
        fit["estimate"].to_dataset(), small_baseline()["estimate"].to_dataset()
    )


def test_validation_patients_change_nothing():
    frame = patients()
    others = frame["set"] == "b"
    frame.loc[others, "y"] = 1 - frame.loc[others, "y"]
    frame.loc[others, "age"] += 7
    fit = fit_baseline(cohort_of(frame), resamples=5, seed=5, subsamples=0)
    first = small_baseline()["bootstrap"].to_dataset().isel(draw=slice(5))
    xr.testing.assert_identical(fit["bootstrap"].to_dataset(), first)
    assert fit["observed_data"].sizes == {"patient": 150}


@pytest.mark.parametrize(
    ("settings", "sets"),
    [
        ("p_enter = 1\n", "everything that the LASSO kept is final"),
        ('rule = "1se"\n', "the larger penalty"),
        ("screen_p = 0.1\n", "screened"),
        ('elimination = "aic"\n', "final is part of refit"),
        ('loss = "auc"\n', "loss"),
        ('cv = "glmnet"\n', "cv"),
    ],
)
def test_variants_of_the_workflow_are_settings_of_the_study(settings, sets):
    fit = fit_baseline(cohort_of(patients(), settings), resamples=4, seed=5, subsamples=0)
    one = {name: values.to_numpy()[0, 0] for name, values in fit["estimate"].data_vars.items()}
    plain = small_baseline()["lasso"]
    if "p_enter" in settings:
        np.testing.assert_array_equal(one["selected_final"], one["selected_lasso"])
        group = fit["bootstrap"]
        xr.testing.assert_equal(
            group["selected_final"].drop_attrs(), group["selected_lasso"].rename("selected_final")
        )
    if "1se" in settings:
        assert one["lambda"] == float(plain["penalty"][int(plain["index_1se"])]) > 0
        assert int(plain["index_1se"]) < int(plain["index_min"])
    if "screen" in settings:
        assert 0 < one["screened"].sum() < len(TERMS)
        site = [term.startswith("site") for term in TERMS]
        assert len(set(one["screened"][site])) == 1  # a predictor passes with all its columns
        assert not (fit["lasso"]["path_beta"].to_numpy()[:, ~one["screened"]] != 0).any()
    if "auc" in settings:
        assert (np.abs(fit["lasso"]["cv_mean"] - plain["cv_mean"]) > 0.1).all()
    assert not (one["selected_final"] & ~one["selected_lasso"]).any()


def test_other_units_change_the_coefficients_per_unit_and_nothing_else():
    frame = patients()
    frame["age"] = (frame["age"] * 365.25).round(6)
    fit = fit_baseline(cohort_of(frame), resamples=10, seed=5, subsamples=0)
    first = small_baseline()["bootstrap"].to_dataset().isel(draw=slice(10))
    for name in ("rows", "status", "selected_lasso", "selected_final"):
        np.testing.assert_array_equal(fit["bootstrap"][name], first[name])
    # per standard deviation nothing changes but rounding
    np.testing.assert_allclose(fit["bootstrap"]["beta"], first["beta"], atol=1e-6)
    ratio = fit["constant_data"]["sd"] / small_baseline()["constant_data"]["sd"]
    np.testing.assert_allclose(ratio, [365.25] + [1] * 6, rtol=1e-9)


# --- Patients of whom little can be learnt -------------------------------------------------------


def statuses(fit, scheme="bootstrap"):
    """How many resamples have each status."""
    codes = fit[scheme]["status"].to_numpy()[0]
    return {name: int((codes == i).sum()) for i, name in enumerate(CODES) if (codes == i).any()}


def normal(n, columns, seed=3):
    return np.random.default_rng(seed).normal(size=(n, columns))


def assert_nothing_is_silent(fit):
    """Models have finite coefficients; what has none has a status that says so."""
    for scheme in ("bootstrap", "subsample"):
        group, fitted = fit[scheme], None
        fitted = np.isin(group["status"].to_numpy()[0], [0, 1])
        for name in ("beta", "reported_beta", "fixed_beta"):
            finite = np.isfinite(group[name].to_numpy()[0])
            assert finite[fitted].all()
            assert not finite[~fitted].any()
            assert np.abs(group[name].to_numpy()[0][fitted]).max(initial=0) < 100
    assert np.isfinite(fit["estimate"]["beta"]).all()


def test_more_columns_than_patients():
    fit = fit_baseline(numeric_cohort(normal(30, 40)), resamples=30, subsamples=10)
    assert sum(statuses(fit).values()) == 30
    assert_nothing_is_silent(fit)
    assert fit["bootstrap"]["selected_lasso"].sum("coefficient").max() < 30


def test_separated_patients_are_fitted_by_firth_and_their_risks_by_flac():
    matrix = normal(60, 3)
    matrix[:, 0] = np.where(np.arange(60) < 20, 1, -1) * (1 + np.abs(matrix[:, 0]))
    cohort = numeric_cohort(matrix, 20)
    fit = fit_baseline(cohort, resamples=15, subsamples=5)
    assert statuses(fit) == {"fitted": 15}
    assert_nothing_is_silent(fit)
    one = fit["estimate"]
    assert one["final_firth"].item()
    assert fit["bootstrap"]["refit_firth"].all()
    standardised, outcome, _ = development(cohort)
    members = one["selected_final"].to_numpy()[0, 0]
    flac = fit_flac(standardised[:, members], outcome)
    np.testing.assert_allclose(one["beta"].to_numpy()[0, 0][members], flac.coefficients, rtol=1e-7)
    firth = fit_guarded(standardised[:, members], outcome)
    reported = one["reported_beta"].to_numpy()[0, 0][members]
    np.testing.assert_allclose(reported, firth.coefficients, rtol=1e-7)
    # the same columns refitted to a resample: risks of FLAC too, or they are not compared alike
    rows = fit["bootstrap"]["rows"].to_numpy()[0, 0] - 1
    flac = fit_flac(standardised[rows][:, members], outcome[rows])
    fixed = fit["bootstrap"]["fixed_beta"].to_numpy()[0, 0][members]
    np.testing.assert_allclose(fixed, flac.coefficients, rtol=1e-6)


def test_fewer_events_than_folds():
    fit = fit_baseline(numeric_cohort(normal(60, 3), 4), resamples=40, subsamples=20)
    found = statuses(fit)
    assert found["few_patients"] > 0
    assert sum(found.values()) == 40
    assert fit["estimate"]["folds"].item() == 4
    folds, status = (fit["bootstrap"][name].to_numpy()[0] for name in ("folds", "status"))
    outcome = np.arange(60) < 4
    distinct = [
        len(np.unique(rows[outcome[rows - 1]])) for rows in fit["bootstrap"]["rows"].to_numpy()[0]
    ]
    np.testing.assert_array_equal(folds, np.where(np.array(distinct) < 2, 0, distinct))
    expected = ["one_class" if n == 0 else "few_patients" if n == 1 else "" for n in distinct]
    for code, name in zip(status, expected, strict=True):
        assert name in ("", CODES[code])
    assert_nothing_is_silent(fit)


def test_a_column_that_is_constant_within_a_resample_is_counted():
    matrix = normal(80, 3)
    matrix[:, 2] = np.arange(80) == 3
    fit = fit_baseline(numeric_cohort(matrix, 30), resamples=40, subsamples=10)
    group = fit["bootstrap"]
    absent = ~(group["rows"].to_numpy()[0] == 4).any(axis=1)
    assert 0 < absent.sum() < 40
    np.testing.assert_array_equal(group["constant_columns"].to_numpy()[0], absent.astype(int))
    assert (group["beta"].to_numpy()[0][absent, 2] == 0).all()
    assert not group["selected_lasso"].to_numpy()[0][absent, 2].any()
    assert_nothing_is_silent(fit)


def test_a_level_with_few_patients_separates_and_is_counted():
    frame = patients()
    frame["site"] = np.where(frame["site"] == "south", "east", frame["site"])
    rare = frame.query("y == 1 and set == 'a'").index[:4]
    frame.loc[rare, "site"] = "south"
    fit = fit_baseline(cohort_of(frame, "p_enter = 1\n"), resamples=25, subsamples=5, seed=5)
    firth = fit["bootstrap"]["final_firth"].to_numpy()[0]
    assert firth.any()
    selected = fit["bootstrap"]["selected_final"].to_numpy()[0][:, TERMS.index("site[south]")]
    assert (firth <= selected).all()  # nothing else separates
    assert_nothing_is_silent(fit)


def test_patients_of_whom_no_model_can_be_made_are_refused_with_the_reason():
    cohort = numeric_cohort(normal(60, 3), 1)
    with pytest.raises(bc.DataError, match="60 development patients: fewer than two distinct"):
        fit_baseline(cohort, resamples=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resamples": -1}, "resamples: found -1; allowed: a whole number from 0"),
        ({"resamples": True}, "resamples: found True"),
        ({"resamples": 2.5}, r"resamples: found 2\.5"),
        ({"resamples": 10**9}, "resamples: found 1000000000"),
        ({"subsamples": -3}, "subsamples: found -3"),
        ({"seed": -1}, "seed: found -1"),
        ({"folds": np.arange(200) % 4}, r"found shape \(200,\).* each of 150 development"),
        ({"folds": np.zeros(150, dtype=int)}, "with 1 distinct values"),
        ({"resamples": 3, "workers": Workers(cores=0)}, "cores: found 0"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(options, words):
    with pytest.raises(bc.OptionError, match=words):
        fit_baseline(small_cohort(), **options)
