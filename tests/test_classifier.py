"""The workflow as a scikit-learn classifier: its rules kept, the same model as the pipeline."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bayes_cmvt.classifier import LassoLogisticClassifier
from bayes_cmvt.pipeline import Patients, run_pipeline
from bayes_cmvt.posterior import expit
from bayes_cmvt.schema import Baseline


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        LassoLogisticClassifier(),
        LassoLogisticClassifier(folds=5, loss="auc", rule="1se", cv="glmnet", screen_p=0.5),
        LassoLogisticClassifier(folds=5, loss="deviance", elimination="aic"),
    ]
)
def test_rules_of_scikit_learn_are_kept(estimator: Any, check: Any) -> None:
    """Those for arrays of other libraries ask for SCIPY_ARRAY_API, and are skipped without it."""
    check(estimator)


def two_effects(n: int = 250, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Six columns, of which the first two matter."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6))
    risk = expit(1.2 * features[:, 0] - features[:, 1] - 0.5)
    return features, (rng.random(n) < risk).astype(int)


SETTINGS = [
    {},
    {"loss": "deviance", "rule": "1se", "folds": 5},
    {"loss": "auc", "cv": "glmnet", "p_enter": 1.0},
    {"screen_p": 0.2, "elimination": "aic"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_classifier_is_the_pipeline(settings: dict[str, Any]) -> None:
    """The same folds come from the same random state, hence the same numbers to the last bit."""
    features, event = two_effects()
    model = LassoLogisticClassifier(random_state=3, **settings).fit(features, event)
    seed = np.random.SeedSequence(int(np.random.RandomState(3).randint(2**31 - 1)))
    patients = Patients(features, event.astype(np.int8), np.arange(6))
    found = run_pipeline(patients, Baseline(**settings), seed)
    assert found.refit is not None
    assert found.risk is not None
    np.testing.assert_array_equal(model.lasso_selected_, found.refit.members)
    np.testing.assert_array_equal(model.selected_, found.risk.members)
    np.testing.assert_array_equal(model.coef_[0], found.risk.coefficients)
    assert model.intercept_[0] == found.risk.fit.intercept
    assert model.status_ == found.status == "fitted"
    risk = expit(found.risk.fit.intercept + features @ found.risk.coefficients)
    np.testing.assert_allclose(model.predict_proba(features)[:, 1], risk, rtol=1e-12)


def test_larger_label_is_the_event() -> None:
    features, event = two_effects()
    by_number = LassoLogisticClassifier(random_state=1).fit(features, event)
    by_word = LassoLogisticClassifier(random_state=1).fit(features, np.where(event, "yes", "no"))
    assert by_word.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(by_word.coef_, by_number.coef_)
    expected = np.where(by_number.decision_function(features) >= 0, "yes", "no")
    assert (by_word.predict(features) == expected).all()


def test_random_state_is_all_that_folds_depend_on() -> None:
    features, event = two_effects()

    def fitted(state: Any) -> np.ndarray:
        model = LassoLogisticClassifier(random_state=state, p_enter=1.0, rule="min")
        coefficients: np.ndarray = model.fit(features, event).coef_
        return coefficients

    np.random.seed(1)  # noqa: NPY002 - the global stream is what must not matter
    first = fitted(5)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(fitted(5), first)
    state = np.random.RandomState(5)
    np.testing.assert_array_equal(fitted(state), first)
    assert fitted(state).shape == first.shape  # the stream goes on; scikit-learn's way


def test_names_of_columns_are_kept_and_asked_for_again() -> None:
    features, event = two_effects()
    table = pd.DataFrame(features, columns=list("abcdef"))
    model = LassoLogisticClassifier(random_state=1).fit(table, event)
    assert model.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[list("fedcba")])


def test_copies_and_pickles_predict_the_same() -> None:
    features, event = two_effects()
    model = LassoLogisticClassifier(loss="deviance", random_state=2).fit(features, event)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "coef_")
    np.testing.assert_array_equal(copied.fit(features, event).coef_, model.coef_)
    kept = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(kept.predict_proba(features), model.predict_proba(features))


def test_units_of_columns_do_not_matter() -> None:
    """A scaler before it changes coefficients alone; 1e-6, the LASSO's selection is the same."""
    features, event = two_effects()
    in_units = features * [1, 1000, 0.001, 1, 5, 1] + [0, 50, 0, -3, 0, 100]
    model = LassoLogisticClassifier(random_state=4)
    plain = clone(model).fit(in_units, event)
    scaled = make_pipeline(StandardScaler(), clone(model)).fit(in_units, event)
    np.testing.assert_allclose(
        scaled.predict_proba(in_units), plain.predict_proba(in_units), rtol=1e-6
    )
    np.testing.assert_array_equal(scaled[-1].selected_, plain.selected_)


def test_choice_is_repeated_in_every_fold_of_somebody_s_resampling() -> None:
    features, event = two_effects()
    model = LassoLogisticClassifier(folds=5, random_state=1)
    risk = cross_val_predict(model, features, event, cv=5, method="predict_proba")[:, 1]
    assert ((risk > 0) & (risk < 1)).all()
    concordant = risk[event == 1][:, np.newaxis] > risk[event == 0]
    assert concordant.mean() > 0.75  # the true risks reach 0.84


def test_a_search_may_try_its_settings() -> None:
    """Numbers of numpy are numbers, as they come from a grid."""
    features, event = two_effects(150)
    grid = {"p_enter": np.array([0.01, 1.0]), "folds": np.array([3, 5]), "rule": ["min", "1se"]}
    model = LassoLogisticClassifier(random_state=1)
    search = GridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(features, event)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.status_ == "fitted"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"folds": 1}, "folds: found 1; it should be greater than or equal to 2"),
        ({"folds": 5.0}, "folds: found 5.0; it should be a valid integer"),
        ({"loss": "msee"}, "loss: found 'msee'; it should be 'mse', 'deviance' or 'auc'"),
        ({"rule": "max"}, "rule: found 'max'; it should be 'min' or '1se'"),
        ({"cv": "loo"}, "cv: found 'loo'; it should be 'exact' or 'glmnet'"),
        ({"p_enter": 0}, "p_enter: found 0; it should be greater than 0"),
        ({"p_enter": np.nan}, "p_enter: found nan"),
        ({"screen_p": 1.5}, "screen_p: found 1.5; it should be less than or equal to 1"),
        ({"elimination": "bic"}, "elimination: found 'bic'; it should be 'aic'"),
        ({"folds": 0, "p_enter": 2.0}, "folds: .*; p_enter: found 2.0"),
    ],
)
def test_parameters_outside_what_is_allowed_are_named(
    parameters: dict[str, Any], words: str
) -> None:
    features, event = two_effects(60)
    with pytest.raises(ValueError, match=words) as refused:
        LassoLogisticClassifier(**parameters).fit(features, event)
    assert "pydantic" not in str(refused.value)


def test_data_that_no_model_can_be_made_of_are_refused_in_words() -> None:
    features, event = two_effects(40)
    model = LassoLogisticClassifier()
    with pytest.raises(ValueError, match="found 1 class in y"):
        model.fit(features, np.ones(40))
    with pytest.raises(ValueError, match="found 3 classes in y"):
        model.fit(features, np.arange(40) % 3)
    with pytest.raises(ValueError, match="fewer than two distinct patients of an outcome"):
        model.fit(features, np.arange(40) == 0)
    with pytest.raises(ValueError, match="finds no model: no column goes with the outcome"):
        model.fit(np.ones((40, 2)), event)


def test_nothing_selected_is_the_event_share_for_everybody() -> None:
    rng = np.random.default_rng(8)
    features, event = rng.normal(size=(80, 3)), np.arange(80) % 4 == 0
    model = LassoLogisticClassifier(p_enter=1e-6, random_state=1).fit(features, event)
    assert model.status_ == "empty"
    assert not model.selected_.any()
    np.testing.assert_allclose(model.predict_proba(features)[:, 1], 0.25, rtol=1e-12)


def test_separated_outcomes_give_finite_risks_that_add_up_to_the_events() -> None:
    """FLAC's; 1e-9, its fit has converged to that."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(60, 2))
    event = features[:, 0] > 0.3
    model = LassoLogisticClassifier(folds=5, p_enter=1.0, random_state=1).fit(features, event)
    risk = model.predict_proba(features)[:, 1]
    assert np.isfinite(model.coef_).all()
    assert ((risk > 0) & (risk < 1)).all()
    assert risk.sum() == pytest.approx(event.sum(), rel=1e-9)
