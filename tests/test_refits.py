"""Refits that two stages share: what is remembered is what sampling again would give."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bayes_cmvt import refits
from bayes_cmvt.crossvalidation import fold_partitions, horseshoe_refitter
from bayes_cmvt.refits import RefitLength, RefitMemory, development_rows, refit_draws
from bayes_cmvt.sampling import sample
from tests.baseline_study import small_cohort

SHORT = RefitLength(chains=2, warmup=50, draws=60)


@cache
def small_fit():
    return sample(small_cohort(), chains=2, warmup=200, draws=300, seed=2)


@pytest.fixture
def partitions():
    outcome = development_rows(small_fit(), small_cohort()).outcome
    _, found = fold_partitions(outcome, folds=4, repeats=1, seed=9)
    return [partition for _, partition in found]


def test_remembered_risks_are_the_same_to_the_last_bit_and_nothing_is_sampled_again(
    partitions, monkeypatch
):
    memory = RefitMemory()
    fresh = horseshoe_refitter(small_fit(), small_cohort(), length=SHORT)(partitions)
    keeping = horseshoe_refitter(small_fit(), small_cohort(), length=SHORT, memory=memory)
    first = keeping(partitions)

    def sampled_again(*_):
        raise AssertionError

    monkeypatch.setattr(refits, "gibbs_problem", sampled_again)
    second = keeping(partitions)
    for one, two, three in zip(fresh, first, second, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_anything_that_the_draws_depend_on_changes_the_key(partitions):
    rows = development_rows(small_fit(), small_cohort())
    one, two = partitions[:2]
    refit = rows.refit(one.learnt, one.asked, one.seed)
    others = [
        rows.refit(two.learnt, one.asked, one.seed),
        rows.refit(one.learnt, one.asked, two.seed),
        replace(refit, outcome=1 - refit.outcome),
        replace(refit, matrix=refit.matrix + 1e-12),
        replace(refit, prior=replace(refit.prior, intercept_scale=2.6)),
    ]
    keys = {refit.key(SHORT), refit.key(replace(SHORT, draws=61))}
    keys |= {other.key(SHORT) for other in others}
    assert len(keys) == 2 + len(others)
    # which patients are asked about does not change the draws
    assert rows.refit(one.learnt, two.asked, one.seed).key(SHORT) == refit.key(SHORT)


def test_what_has_no_room_is_sampled_again(partitions):
    memory = RefitMemory(room=0)
    rows = development_rows(small_fit(), small_cohort(), memory)
    one = partitions[0]
    refit = rows.refit(one.learnt, one.asked, one.seed)
    draws = refit_draws(refit, SHORT)
    assert memory.recall(refit.key(SHORT)) is None
    np.testing.assert_array_equal(refit_draws(refit, SHORT).beta, draws.beta)
