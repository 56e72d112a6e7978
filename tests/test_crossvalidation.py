"""Patients left out: who is asked, who is learnt from, and whether the answers are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_cmvt.crossvalidation import (
    Partition,
    leave_one_out,
    left_out_risk,
    out_of_fold,
    refit_bad_rows,
    split_again,
)
from bayes_cmvt.errors import OptionError
from bayes_cmvt.posterior import prior_of
from bayes_cmvt.refits import RefitLength, development_rows, refit_risks


class Recorder:
    """Answers with each patient's position and remembers what it was asked."""

    def __init__(self) -> None:
        self.partitions: list[Partition] = []

    def __call__(self, partitions):
        self.partitions = list(partitions)
        return [one.asked.astype(float) for one in partitions]


outcomes = st.lists(st.integers(0, 1), min_size=8, max_size=60).filter(
    lambda drawn: 4 <= sum(drawn) <= len(drawn) - 4
)


@given(outcomes, st.integers(2, 12), st.integers(1, 3), st.integers(0, 5))
@settings(deadline=None)
def test_every_patient_is_asked_once_a_repeat_by_a_model_that_has_not_seen_it(
    drawn, folds, repeats, seed
):
    outcome, record = np.array(drawn), Recorder()
    found = out_of_fold(record, outcome, folds=folds, repeats=repeats, seed=seed)
    assert (found.risk == np.arange(len(outcome))).all()
    rarer = min(outcome.sum(), len(outcome) - outcome.sum())
    assert len(record.partitions) == repeats * min(folds, rarer)
    for one in record.partitions:
        assert not set(one.learnt) & set(one.asked)
        assert len(one.learnt) + len(one.asked) == len(outcome)
        # stratified: both outcomes on both sides, shares as even as whole patients allow
        share = outcome[one.asked].sum() - outcome.mean() * len(one.asked)
        assert 0 < outcome[one.asked].sum() < len(one.asked)
        assert abs(share) < 1.5
    for fold in found.fold:
        assert np.bincount(fold).min() >= len(outcome) // min(folds, rarer) - 1


def test_folds_and_streams_follow_the_seed():
    outcome = np.arange(40) % 2
    first, again, other = Recorder(), Recorder(), Recorder()
    for record, seed in ((first, 1), (again, 1), (other, 2)):
        out_of_fold(record, outcome, folds=5, repeats=2, seed=seed)

    def asked(record):
        return [one.asked.tolist() for one in record.partitions]

    assert asked(first) == asked(again) != asked(other)
    streams = [one.seed.spawn_key for one in first.partitions]
    assert len(set(streams)) == len(streams)


@given(outcomes, st.floats(0.3, 0.8), st.integers(0, 3))
@settings(deadline=None)
def test_splits_have_their_size_and_both_outcomes(drawn, share, seed):
    outcome = np.array(drawn)
    found = split_again(Recorder(), outcome, share=share, splits=5, seed=seed)
    for partition, risk in found:
        assert len(partition.learnt) == round(share * len(outcome))
        together = np.sort(np.concatenate([partition.learnt, partition.asked]))
        assert (together == np.arange(len(outcome))).all()
        assert (risk == partition.asked).all()
        for part in (partition.learnt, partition.asked):
            assert 0 < outcome[part].sum() < len(part)


def test_what_cannot_be_split_is_refused_in_words():
    with pytest.raises(OptionError, match="found 1 folds, 5 repeats, 2 patients of the rarer"):
        out_of_fold(Recorder(), np.array([1, 1, 0, 0, 0]), folds=1)
    with pytest.raises(OptionError, match="1 patients of the rarer outcome"):
        out_of_fold(Recorder(), np.array([1, 0, 0, 0, 0]))
    with pytest.raises(OptionError, match="at least 4 such patients"):
        split_again(Recorder(), np.array([1, 1, 1, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(OptionError, match="a share above 0 and below 1"):
        split_again(Recorder(), np.arange(20) % 2, share=1.0)


# Refits -------------------------------------------------------------------------------------------


def test_a_refit_to_the_same_rows_gives_the_risks_of_the_fit(pep_fit, pep_cohort):
    rows = development_rows(pep_fit, pep_cohort)
    everyone = np.arange(len(rows.outcome))
    plan = rows.refit(everyone, everyone, np.random.SeedSequence(3))
    assert plan.prior.global_scale == prior_of(pep_fit).global_scale
    (risk,) = refit_risks([plan], length=RefitLength(chains=2, warmup=500, draws=4000))
    posterior = pep_fit["posterior"]
    log_odds = posterior["intercept"].to_numpy()[..., np.newaxis] + (
        posterior["beta"].to_numpy() @ rows.matrix.T
    )
    draws = (1 / (1 + np.exp(-log_odds))).reshape(-1, len(everyone))
    # the fit has 4,000 correlated draws, the refit 8,000: some 800 effective ones at the least
    error = draws.std(axis=0) / np.sqrt(800) * np.sqrt(1.5)
    assert np.abs((risk - draws.mean(axis=0)) / error).max() < 4.5
    assert np.mean(np.abs((risk - draws.mean(axis=0)) / error) < 2) > 0.9


def test_refits_do_not_depend_on_the_number_of_cores(pep_fit, pep_cohort):
    rows = development_rows(pep_fit, pep_cohort)
    half = np.arange(0, len(rows.outcome), 2)
    plans = [rows.refit(half, half[:5], seed) for seed in np.random.SeedSequence(1).spawn(3)]
    short = RefitLength(chains=1, warmup=20, draws=30)
    states = []
    one = refit_risks(plans, length=short, cores=1, report=states.append)
    two = refit_risks(plans, length=short, cores=2)
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not (one[0] == one[1]).all()
    assert all(state.total == 3 and state.unit == "refits" for state in states)
    # fewer patients: a wider prior of the global scale, as a study of those patients would have
    assert plans[0].prior.global_scale > prior_of(pep_fit).global_scale


def test_exact_terms_agree_with_importance_sampling_where_that_is_good(pep_fit, pep_cohort):
    loo = leave_one_out(pep_fit)
    assert loo.refitted == 0
    highest = np.sort(loo.patients["pareto_k"])[-6]
    pretended = replace(loo, good_k=float(highest))  # the five worst count as bad
    found = refit_bad_rows(pretended, pep_fit, pep_cohort, seed=5)
    exact = found.patients["refitted"].to_numpy()
    assert exact.sum() == found.refitted == 5
    difference = (found.patients["elpd"] - loo.patients["elpd"]).to_numpy()
    assert (difference[~exact] == 0).all()
    # both are means over some 1,000 effective draws of a probability with relative SD below 0.7
    assert np.abs(difference[exact]).max() < 4 * 0.7 * np.sqrt(2 / 1000)
    assert (difference[exact] != 0).all()
    assert found.elpd == pytest.approx(found.patients["elpd"].sum())
    assert found.elpd + found.p_loo == pytest.approx(loo.elpd + loo.p_loo)


def test_nothing_is_refitted_where_all_is_well(pep_fit, pep_cohort):
    loo = leave_one_out(pep_fit)
    assert loo.bad == 0
    assert refit_bad_rows(loo, pep_fit, pep_cohort) is loo


def test_left_out_risks_score_as_the_left_out_densities_do(pep_fit, pep_cohort):
    loo = leave_one_out(pep_fit)
    risk = left_out_risk(loo, pep_cohort.outcome)
    log_density = np.where(pep_cohort.outcome == 1, np.log(risk), np.log1p(-risk))
    np.testing.assert_allclose(log_density, loo.patients["elpd"], rtol=1e-12)
